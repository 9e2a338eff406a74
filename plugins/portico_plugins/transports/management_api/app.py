"""The ASGI application of `/api/v1`: one request in, one answer out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import attrs
import msgspec
from starlette.types import Receive, Scope, Send

from portico.api import Host, PorticoError
from portico_plugins.transports.management_api.again import request_of
from portico_plugins.transports.management_api.door import Entrance
from portico_plugins.transports.management_api.keys import Keys
from portico_plugins.transports.management_api.others import operations
from portico_plugins.transports.management_api.problems import Problem, problem_of
from portico_plugins.transports.management_api.shown import trouble_of
from portico_plugins.transports.management_api.table import (
    Answer,
    Call,
    Operation,
    check_preconditions,
    find,
    read_query,
)

if TYPE_CHECKING:
    from portico_plugins.transports.management_api import ManagementApiConfig

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_FIXED: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class _Gone(Exception):
    """The client left before its request was whole."""


class Api:
    """Serves everything under `/api/v1`.

    Args:
        config: The plugin's.
        host: What it was given.
    """

    def __init__(self, config: ManagementApiConfig, host: Host) -> None:
        self._host = host
        self._door = Entrance(
            [(ref.name, host.component(ref)) for ref in config.auth], config.scope, host.log
        )
        self._most = config.max_body
        self._seconds = config.key_seconds
        self._keys = Keys(config.max_keys, config.key_seconds, host.clock)
        self._operations = operations(config.max_changes, config.catalog, config.catalog_allow_private)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        try:
            answer = await self._answer(scope, headers, receive)
            media = b"application/json"
        except _Gone:
            return
        except PorticoError as error:
            problem = problem_of(error, conditional="if-match" in headers or "if-none-match" in headers)
            if problem is None:
                self._host.log.error("api.fault", path=scope["path"], exc_info=error)
                problem = Problem(500, "fault", "The gateway failed; its log says why")
            answer, media = (
                Answer(problem.status, trouble_of(problem), problem.headers),
                b"application/problem+json",
            )
        except Exception as error:
            self._host.log.error("api.fault", path=scope["path"], exc_info=error)
            fault = Problem(500, "fault", "The gateway failed; its log says why")
            answer, media = Answer(500, trouble_of(fault)), b"application/problem+json"
        await _send(scope["method"], answer, media, send)

    async def _answer(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Answer:
        principal, author = await self._door.enter(scope, headers)
        raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
        operation, name = find(self._operations, scope["method"], raw_path)
        check_preconditions(operation, headers)
        query = read_query(operation, scope["query_string"])
        raw = await self._read(headers, receive)
        body = _body(operation, headers, raw)
        await self._host.management.catch_up()
        since = self._host.clock.time() - self._seconds
        call = Call(self._host, principal, author, name, query, headers, body, since)
        key = headers.get("idempotency-key")
        if key is None or not operation.idempotent:
            return await operation.handler(call)
        call.author = attrs.evolve(author, request=request_of(principal, operation.id, key, raw))
        place = (principal.key, operation.id, str(call.dry_run), key)
        return await self._keys.once(place, raw, lambda: operation.handler(call))

    async def _read(self, headers: dict[str, str], receive: Receive) -> bytes:
        """The whole body.

        Raises:
            Problem: 413; it is too large.
            _Gone: The client left.
        """
        length = headers.get("content-length", "0")
        if length.isdecimal() and len(length) < 19 and int(length) > self._most:
            raise self._too_large()
        chunks: list[bytes] = []
        total = 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise _Gone
            chunk: bytes = event.get("body", b"")
            chunks.append(chunk)
            total += len(chunk)
            if total > self._most:
                raise self._too_large()
            if not event.get("more_body", False):
                return b"".join(chunks)

    def _too_large(self) -> Problem:
        return Problem(
            413, "too-large", f"A body has at most {self._most} bytes", headers={"connection": "close"}
        )


def _body(operation: Operation, headers: dict[str, str], raw: bytes) -> Any:
    """The decoded body of a request that has one.

    Raises:
        Problem: 415, 400; there is one where none belongs, none where one does, or it is no JSON.
    """
    if operation.body is None:
        if raw.strip() not in (b"", b"{}"):
            raise Problem(400, "bad-body", "This request has no body")
        return None
    media, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media.strip().lower() not in operation.media or charset not in ("", "charset=utf-8"):
        accept = {"accept-patch": ", ".join(operation.media)} if operation.method == "PATCH" else {}
        raise Problem(415, "media-type", f"Expected Content-Type: {operation.media[0]}", headers=accept)
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "bad-json", f"The body is not JSON: {error}") from None


async def _send(method: str, answer: Answer, media: bytes, send: Send) -> None:
    body = b"" if answer.value is None else _encode(answer.value)
    headers = [*_FIXED, *((name.encode(), value.encode("latin-1")) for name, value in answer.headers.items())]
    if answer.value is not None:
        headers += [(b"content-type", media), (b"content-length", b"%d" % len(body))]
    elif answer.status != 304:
        headers.append((b"content-length", b"0"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
