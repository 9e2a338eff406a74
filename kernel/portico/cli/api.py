"""The management API of a running gateway, as the commands that manage it use it."""

from __future__ import annotations

import functools
import http.client
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlunsplit

import attrs
import click

from portico._core.errors import ConfigError
from portico.cli.failures import Failure, Misuse
from portico.cli.remote import web_address

if TYPE_CHECKING:
    from portico._core.contracts.json import Json

R = TypeVar("R")

DEFAULT_URL: Final = "http://127.0.0.1:4444"
EPILOG: Final = "Exit codes: 0 done, 1 the gateway says no, 2 the command line or the configuration is wrong."

_PREFIX: Final = "/api/v1"
_PAGE: Final = 200
_CHUNK: Final = 100
_MOST: Final = 64 * 1024 * 1024
_WRONG: Final = (400, 412, 415, 422)
_LISTS: Final = {"pins": "pin-records"}
_PATIENCE: Final = 2.0


class Problem(Failure):
    """The gateway says no (RFC 9457).

    Attributes:
        status: Of its answer.
        said: Its answer.
    """

    def __init__(self, status: int, said: Json, what: str) -> None:
        self.status, self.said = status, said
        super().__init__(explained(status, said, what))


class WrongRequest(Problem):
    """What was asked for cannot be: it is not what was expected, or not what there is any more."""

    exit_code = 2


def explained(status: int, said: Mapping[str, Any], what: str) -> str:
    """A problem in plain sentences: what is wrong, then each place on a line of its own, aligned."""
    from portico.cli.show import safe

    detail = said.get("detail") or said.get("title") or http.client.responses.get(status, "")
    if status == 401:
        detail = f"{detail or 'it wants a token'}; give one with --token or PORTICO_TOKEN"
    if status == 412 and not said.get("detail"):
        detail = "it has changed meanwhile"
    wrong = said.get("errors")
    errors = [each for each in wrong if isinstance(each, dict)] if isinstance(wrong, list) else []
    if not errors:
        return f"{what}: {safe(detail)}"
    problems = [(safe(each.get("path", "")), safe(each.get("message", ""))) for each in errors]
    return ConfigError(problems, what).render()


@attrs.frozen
class Answer:
    """What the gateway answered: its status, its body, and the record's version if it says one."""

    status: int
    body: Json
    version: int | None = None


class Api:
    """The management API of one gateway.

    Attributes:
        url: Of the gateway.
        via: What its history says a change came by: `cli`, `import` or `catalog`.

    Args:
        url: Of the gateway, or of an MCP endpoint of it.
        token: For `Authorization`, or None.
        timeout: Seconds of silence after which to give up.

    Raises:
        Misuse: The URL is none.
    """

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        parts, host, port = web_address(url, DEFAULT_URL)
        base = parts.path.rstrip("/").removesuffix("/mcp").partition("/servers/")[0].removesuffix(_PREFIX)
        self.url = urlunsplit((parts.scheme, parts.netloc, base, "", ""))
        self._base = base
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._timeout = host, port, timeout
        self._token = token
        self.via = "cli"

    def request(
        self,
        method: str,
        path: Sequence[str],
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> Answer:
        """Ask for something.

        Args:
            method: Of HTTP.
            path: The steps below `/api/v1`, as they are.
            body: A JSON value, or None.
            query: Parameters; those that are None or false are left out.
            version: What the record must have (`If-Match`); 0: it must not exist.

        Raises:
            Problem: The gateway says no.
            Failure: It does not answer, or has no management API.
        """
        import msgspec

        said = {key: "true" if value is True else value for key, value in (query or {}).items() if value}
        target = f"{self._base}{_PREFIX}/" + "/".join(quote(step, safe="") for step in path)
        target += f"?{urlencode(said, doseq=True)}" if said else ""
        headers = {"Accept": "application/json, application/problem+json", "Portico-Via": self.via}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if version is not None:
            headers |= {"If-Match": f'"{version}"'} if version else {"If-None-Match": "*"}
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            headers["Content-Type"] = kind
        status, answered, text = self._exchange(method, target, data, headers)
        try:
            value = msgspec.json.decode(text) if text else {}
        except msgspec.DecodeError:
            value = None
        if not isinstance(value, dict):
            raise Failure(self._no_api(status))
        if status >= 400:
            if status == 404 and "title" not in value:
                raise Failure(self._no_api(status))
            raise (WrongRequest if status in _WRONG else Problem)(status, value, "/".join(path))
        tag = (answered.get("ETag") or "").removeprefix("W/").strip('"')
        return Answer(status, value, int(tag) if tag.isdigit() else None)

    def _exchange(
        self, method: str, target: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = self._kind(self._host, self._port, timeout=self._timeout)
        try:
            connection.request(method, target, data, headers)
            with connection.getresponse() as response:
                return response.status, response.headers, response.read(_MOST)
        except TimeoutError:
            raise Failure(f"{self.url} said nothing for {self._timeout:g} s") from None
        except ValueError:  # http.client on header values that are not Latin-1
            raise Misuse("the token cannot be sent: it has characters no header may have") from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Failure(
                f"no answer from {self.url}: {why}. Is `gateway serve` running there? "
                "(--gateway names another)"
            ) from None
        finally:
            connection.close()

    def _no_api(self, status: int) -> str:
        return (
            f"{self.url} has no management API (it answers {status}): its configuration needs "
            '[transports.api] with use = "management_api"'
        )

    def everything(self, kind: str, /, **query: Any) -> Iterator[Json]:
        """All items of a list, page after page."""
        cursor: str | None = None
        while True:
            page = self.request("GET", [kind], query={"limit": _PAGE, **query, "cursor": cursor}).body
            yield from page["items"]
            following = page.get("next_cursor")
            if not following or following == cursor:
                return
            cursor = following

    def records(self, kind: str, **query: Any) -> Iterator[Json]:
        """All records of a kind, and what the configuration file has of it."""
        return self.everything(_LISTS.get(kind, kind), **query)

    def find(self, kind: str, name: str) -> Answer | None:
        """One record, or None where there is none."""
        try:
            return self.request("GET", [kind, name])
        except Problem as problem:
            if problem.status == 404:
                return None
            raise

    def bulk(self, changes: Sequence[Json], mode: str, dry_run: bool) -> Iterator[Json]:
        """Make many changes; gives what became of each, in their order.

        Args:
            changes: `{"action", "kind", "name", "config", "about", "version"}` each.
            mode: `all` or none of them, in one request; `each` by itself, a hundred a request.
            dry_run: Only check.

        Raises:
            Problem: The gateway takes none of them.
        """
        size = _CHUNK if mode == "each" else max(len(changes), 1)
        for start in range(0, len(changes), size):
            part = {"changes": list(changes[start : start + size]), "mode": mode}
            yield from self.request("POST", ["bulk"], part, {"dry_run": dry_run}).body["results"]


def api_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the options that say which gateway to manage; the command gets them as one `api`."""
    return _with_api(function, "--gateway", "--url")


def api_options_beside_url(function: Callable[..., R]) -> Callable[..., R]:
    """The same for a command whose own `--url` is that of an upstream."""
    return _with_api(function, "--gateway")


def _with_api(function: Callable[..., R], *flags: str) -> Callable[..., R]:
    options = [
        click.option(
            *flags,
            "gateway",
            metavar="URL",
            envvar="PORTICO_URL",
            help="A running gateway; by default the one that runs here. [env: PORTICO_URL]",
        ),
        click.option("--token", envvar="PORTICO_TOKEN", help="Bearer token. [env: PORTICO_TOKEN]"),
        click.option(
            "--timeout",
            type=click.FloatRange(0, min_open=True),
            default=60.0,
            show_default=True,
            help="Seconds.",
        ),
    ]

    @functools.wraps(function)
    def command(*args: Any, **values: Any) -> R:
        url, token, timeout = values.pop("gateway"), values.pop("token"), values.pop("timeout")
        values["api"] = Api(url or running_url(), token, timeout)
        return function(*args, **values)

    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def running_url() -> str:
    """Where the gateway listens that runs here, as `gateway status` finds it; else the default."""
    from portico.cli.control import Running, ask

    try:
        status = ask(Running(None, None, None), {"do": "status"}, _PATIENCE)
    except Failure:
        return DEFAULT_URL
    for address in status.get("listen") or ():
        host, colon, port = str(address).rpartition(":")
        if colon and port.isdigit():
            here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104
            return f"http://{here}:{port}"
    return DEFAULT_URL
