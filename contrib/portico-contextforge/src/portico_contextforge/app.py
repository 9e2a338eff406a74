"""The ASGI application: one request in, one answer out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from starlette.types import Receive, Scope, Send

from portico.api import PROXIED, Author, Credentials, Door, Host, PorticoError, Principal
from portico_contextforge.errors import Trouble, trouble_of
from portico_contextforge.operations import OPERATIONS, not_here
from portico_contextforge.serving import Serving
from portico_contextforge.table import Answer, Call, Operation, find, parts_of

if TYPE_CHECKING:
    from portico_contextforge import ContextForgeConfig

_encode: Final = msgspec.json.Encoder().encode
_FIXED: Final = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_FAULT: Final = "The gateway failed; its log says why"


class _Gone(Exception):
    """The client left before its request was whole."""


class Api:
    """Serves everything but the MCP endpoints.

    Args:
        config: The plugin's.
        host: What it was given.
    """

    def __init__(self, config: ContextForgeConfig, host: Host) -> None:
        self._config = config
        self._host = host
        schemes = [(ref.name, host.component(ref)) for ref in config.auth]
        self._door = Door(schemes, config.scope, host.log)
        metrics = host.component(config.metrics) if config.metrics is not None else None
        self._serving = Serving(host, config, self._door, metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        try:
            answer = await self._answer(scope, receive)
        except _Gone:
            return
        except PorticoError as error:
            trouble = trouble_of(error)
            if trouble is None:
                self._host.log.error("contextforge.fault", path=scope["path"], exc_info=error)
                trouble = Trouble(500, _FAULT)
            answer = Answer(trouble.body, trouble.status, trouble.headers)
        except Exception as error:
            self._host.log.error("contextforge.fault", path=scope["path"], exc_info=error)
            answer = Answer(Trouble(500, _FAULT).body, 500)
        await _send(scope["method"], answer, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        parts = parts_of(scope)
        not_here(parts)
        operation, variable = find(OPERATIONS, scope["method"], parts)
        peer = scope["client"][0] if scope.get("client") else ""
        secure, proxied = scope["scheme"] == "https", bool(scope.get(PROXIED))
        principal = await self._entered(operation, Credentials(headers, peer, "", secure, proxied))
        raw = await self._read(headers, receive)
        author = Author(principal.subject, "api", peer)
        if not (operation.open or operation.serves):  # a call never waits for the registry
            await self._host.management.catch_up()
        call = Call(self._host, self._config, self._serving, principal, author, scope, headers, variable, raw)
        return await operation.handler(call)

    async def _entered(self, operation: Operation, credentials: Credentials) -> Principal:
        if operation.open:
            return Principal("anonymous", "nobody")
        if operation.serves:
            return await self._serving.recognised(credentials)
        return await self._door.enter(credentials)

    async def _read(self, headers: dict[str, str], receive: Receive) -> bytes:
        """The whole body.

        Raises:
            Trouble: 413; it is too large.
            _Gone: The client left.
        """
        most = self._config.max_body
        length = headers.get("content-length", "0")
        chunks: list[bytes] = []
        total = int(length) if length.isdecimal() and len(length) < 19 else 0
        if total > most:
            raise Trouble(413, f"A body has at most {most} bytes", {"connection": "close"})
        total = 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise _Gone
            chunk: bytes = event.get("body", b"")
            chunks.append(chunk)
            total += len(chunk)
            if total > most:
                raise Trouble(413, f"A body has at most {most} bytes", {"connection": "close"})
            if not event.get("more_body", False):
                return b"".join(chunks)


async def _send(method: str, answer: Answer, send: Send) -> None:
    body = _encode(answer.value)
    headers = [
        *_FIXED,
        *((name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
