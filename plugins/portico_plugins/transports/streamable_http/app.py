"""The ASGI application of one MCP endpoint: who is it, which era, and on to the code that serves it."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from portico.api import (
    LEGACY_VERSIONS,
    META_VERSION,
    Challenge,
    Credentials,
    Endpoint,
    Principal,
    Refused,
    is_modern,
    parse,
)
from portico_plugins.transports.streamable_http.legacy import LegacySessions
from portico_plugins.transports.streamable_http.modern import ModernRequests
from portico_plugins.transports.streamable_http.wire import send_body, send_empty, send_refusal


class McpApp:
    """One virtual server's MCP endpoint.

    Args:
        endpoint: The virtual server.
        session_idle: Seconds until an idle legacy session ends.
        max_sessions: Legacy sessions open at once.
        keep_alive: Seconds of silence on a stream before a comment.
        stream_after: Seconds before a legacy answer becomes an event stream.
        retry: Milliseconds before legacy clients reconnect.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        session_idle: float,
        max_sessions: int,
        keep_alive: float,
        stream_after: float,
        retry: int,
    ) -> None:
        self._endpoint = endpoint
        self.sessions = LegacySessions(endpoint, session_idle, max_sessions, keep_alive, stream_after, retry)
        self._modern = ModernRequests(endpoint, keep_alive)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        lines = [
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        headers = dict(lines)
        method = scope["method"]
        if method not in ("POST", "GET", "DELETE"):
            await send_empty(send, 405, [(b"allow", b"POST, GET, DELETE")])
            return
        client = scope.get("client")
        principal = await self._endpoint.authenticate(
            Credentials(headers, client[0] if client else "", self._endpoint.name, scope["scheme"] == "https")
        )
        if isinstance(principal, Challenge):
            extra = [(name.lower().encode(), value.encode()) for name, value in principal.headers]
            if principal.status == 401 and not any(name == b"www-authenticate" for name, _ in extra):
                extra.append((b"www-authenticate", b"Bearer"))  # RFC 9110 wants one with every 401
            await send_body(send, principal.status, b'{"error":"%s"}' % principal.reason.encode(), extra)
            return
        if method == "POST":
            await self._post(lines, headers, principal, receive, send)
        elif is_modern(version := headers.get("mcp-protocol-version")) or "mcp-session-id" not in headers:
            # The modern era has neither; a legacy client has a session by the time it sends these.
            await send_empty(send, 405, [(b"allow", b"POST")])
        elif version is not None and version not in LEGACY_VERSIONS:
            await send_body(send, 400, b'{"error":"unknown MCP-Protocol-Version"}')
        elif method == "GET":
            if not _accepts(_joined(lines, "accept"), "text/event-stream"):
                await send_body(send, 406, b'{"error":"expected Accept: text/event-stream"}')
                return
            await self.sessions.get(principal, headers, receive, send)
        else:
            await self.sessions.delete(principal, headers, send)

    async def _post(
        self,
        lines: list[tuple[str, str]],
        headers: dict[str, str],
        principal: Principal,
        receive: Receive,
        send: Send,
    ) -> None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or headers.get("content-encoding", "identity") != "identity":
            await send_body(send, 415, b'{"error":"expected Content-Type: application/json, not encoded"}')
            return
        accept = _joined(lines, "accept")
        if not (_accepts(accept, "application/json") and _accepts(accept, "text/event-stream")):
            await send_body(send, 406, b'{"error":"expected Accept: application/json, text/event-stream"}')
            return
        body = await _read(receive)
        if body is None:
            return
        version = headers.get("mcp-protocol-version")
        if body.lstrip(b" \t\r\n")[:1] == b"[" and not is_modern(version) and "mcp-session-id" in headers:
            await self.sessions.post_batch(body, principal, headers, receive, send)
            return
        try:
            message = parse(body, depth=self._endpoint.depth_limit)
        except Refused as refusal:
            await send_refusal(send, 400, refusal)
            return
        meta = message.params.get("_meta")
        if _is_modern(version, meta):
            if message.kind in ("result", "error"):
                await send_refusal(send, 400, Refused(-32600, "Invalid request: clients send no responses"))
                return
            await self._modern.serve(message, principal, headers, lines, receive, send)
        else:
            await self.sessions.post(message, principal, headers, receive, send)


def _is_modern(version: str | None, meta: object) -> bool:
    """The body says first, then the header; no word of either is legacy (see `eras`)."""
    if isinstance(meta, dict) and META_VERSION in meta:
        return True
    return version is not None and version.strip(" \t") not in LEGACY_VERSIONS


def _joined(lines: list[tuple[str, str]], name: str) -> str | None:
    """A list-valued header, which may come in several lines (RFC 9110, 5.3)."""
    values = [value for each, value in lines if each == name]
    return ",".join(values) if values else None


def _accepts(accept: str | None, kind: str) -> bool:
    if accept is None:
        return True
    family = kind.partition("/")[0]
    return any(
        part.partition(";")[0].strip().lower() in (kind, "*/*", f"{family}/*") for part in accept.split(",")
    )


async def _read(receive: Receive) -> bytes | None:
    """The whole body, bounded by the guard in front; None when the client left."""
    chunks: list[bytes] = []
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        chunk = event.get("body", b"")
        if not event.get("more_body", False):
            return b"".join([*chunks, chunk]) if chunks else chunk
        chunks.append(chunk)
