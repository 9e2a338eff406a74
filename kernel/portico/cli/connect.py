"""Which gateway a client command talks to: a running one, or one started in this process."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import attrs
import click

from portico._core.contracts.json import Json
from portico.cli.compose import Sources, compose, installed
from portico.cli.failures import Misuse
from portico.cli.session import Sender, Session

R = TypeVar("R")

DEFAULT_URL: Final = "http://127.0.0.1:4444/mcp"
EPILOG: Final = "Exit codes: 0 done, 1 the gateway or the tool says no, 2 the command line is wrong."


@attrs.frozen
class Where:
    """What the options of a client command say.

    Attributes:
        url: Of a running gateway's MCP endpoint.
        server: The virtual server, "" for the one the URL names or `default`.
        token: For `Authorization`, or None.
        headers: `Name: value` texts.
        timeout: Seconds.
        sources: A gateway to start instead; None to talk to `url`.
    """

    url: str
    server: str
    token: str | None
    headers: tuple[str, ...]
    timeout: float
    sources: Sources | None


def connection_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the options that say which gateway to talk to; the command gets them as one `where`."""
    options = [
        click.option(
            "--url",
            envvar="PORTICO_URL",
            default=DEFAULT_URL,
            show_default=True,
            help="MCP endpoint of a running gateway. [env: PORTICO_URL]",
        ),
        click.option("--server", default="", metavar="NAME", help="A virtual server of it, by name."),
        click.option("--token", envvar="PORTICO_TOKEN", help="Bearer token. [env: PORTICO_TOKEN]"),
        click.option(
            "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Add a header. Repeatable."
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(0, min_open=True),
            default=330.0,
            show_default=True,
            help="Seconds.",
        ),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            help="Start the gateway of this file inside this command instead, without listening.",
        ),
        click.option(
            "--upstream", "upstreams", multiple=True, metavar="SPEC", help="Likewise, as `serve` has it."
        ),
        click.option(
            "--mcp-json",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Likewise, as `serve` has it.",
        ),
        click.option(
            "--set", "sets", multiple=True, metavar="KEY=VALUE", help="With those: as `serve` has it."
        ),
        click.option("--plugins", metavar="a,b|no:x", help="With those: as `serve` has it."),
    ]

    @functools.wraps(function)
    def command(*args: Any, **values: Any) -> R:
        names = ("config", "upstreams", "mcp_json", "sets", "plugins")
        source = {name: values.pop(name) for name in names}
        local = any(source[name] for name in ("config", "upstreams", "mcp_json"))
        if (source["sets"] or source["plugins"]) and not local:
            raise click.UsageError("--set and --plugins go with --config, --upstream or --mcp-json")
        reach = {name: values.pop(name) for name in ("url", "server", "token", "headers", "timeout")}
        values["where"] = Where(sources=Sources(**source) if local else None, **reach)
        return function(*args, **values)

    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


@contextmanager
def session(where: Where) -> Iterator[Session]:
    """A session with the gateway that `where` says; one that was started for it is stopped afterwards."""
    from portico.cli.questions import ask, can_ask

    answer = ask if can_ask() else None
    if where.sources is None:
        yield Session(remote(where), answer, _progress)
        return
    from portico.cli.local import Local

    settings = compose(where.sources, installed(where.sources.plugins))
    with Local(settings, where.server or "default") as local:
        for name, each in local.gateway.plane.status().items():
            if each["state"] != "ready":
                click.echo(f"gateway: upstream {name!r} is {each['state']}: {each.get('reason')}", err=True)
        yield Session(local, answer, _progress)


def remote(where: Where) -> Sender:
    """The way to a running gateway.

    Raises:
        Misuse: A header is none.
    """
    from portico.cli.remote import Remote

    headers = dict(map(split_header, where.headers))
    if where.token:
        headers["Authorization"] = f"Bearer {where.token}"
    return Remote(endpoint(where.url, where.server), headers, where.timeout)


def split_header(text: str) -> tuple[str, str]:
    """Name and value of a `--header`.

    Raises:
        Misuse: It is none.
    """
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or any(char in text for char in "\r\n"):
        raise Misuse(f"expected --header 'Name: value', got {text!r}")
    return name.strip(), value.strip()


def endpoint(url: str, server: str = "") -> str:
    """The URL of an MCP endpoint: `/mcp` where `url` has no path, the server's own where one is named."""
    parts = urlsplit(url)
    base = parts.path.rstrip("/").removesuffix("/mcp")
    if server:
        path = f"{base.partition('/servers/')[0]}/servers/{server}/mcp"
    else:
        path = parts.path if parts.path.strip("/") else "/mcp"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _progress(frame: Json) -> None:
    """Show progress on a terminal; nothing else is asked for."""
    params = frame.get("params")
    if (
        frame.get("method") != "notifications/progress"
        or not isinstance(params, dict)
        or not sys.stderr.isatty()
    ):
        return
    from portico.cli.show import line

    total = f"/{params['total']}" if "total" in params else ""
    click.echo(f"  {params.get('progress')}{total} {line(params.get('message') or '')}".rstrip(), err=True)
