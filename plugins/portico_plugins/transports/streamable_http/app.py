"""One MCP endpoint: who is it, which era, and on to the code that serves it."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from portico.api import (
    LEGACY_VERSIONS,
    META_VERSION,
    Challenge,
    Endpoint,
    Principal,
    Refused,
    Reply,
    is_modern,
    parse,
)
from portico_plugins.transports.streamable_http.answer import Manner
from portico_plugins.transports.streamable_http.asgi import AsgiReply
from portico_plugins.transports.streamable_http.fields import Fields, accepts, fields_of
from portico_plugins.transports.streamable_http.legacy import LegacySessions
from portico_plugins.transports.streamable_http.modern import ModernRequests
from portico_plugins.transports.streamable_http.wire import Raw, send_empty, send_problem, send_refusal


class McpApp:
    """One virtual server's MCP endpoint, for ASGI and for servers that hand requests in whole.

    Args:
        endpoint: The virtual server.
        session_idle: Seconds until an idle legacy session ends.
        max_sessions: Legacy sessions open at once.
        max_sessions_each: Legacy sessions of one principal open at once.
        manner: How streams are served.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        session_idle: float,
        max_sessions: int,
        max_sessions_each: int,
        manner: Manner,
    ) -> None:
        self.endpoint = self._endpoint = endpoint
        self.sessions = LegacySessions(endpoint, session_idle, max_sessions, max_sessions_each, manner)
        self._modern = ModernRequests(endpoint, manner)
        self._authenticating: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request over ASGI."""
        body = await _read(receive) if scope["method"] == "POST" else b""
        if body is not None:
            reply = AsgiReply()
            self.handle(scope, body, reply)
            await reply.pump(receive, send)

    def handle(self, scope: Scope, body: bytes, reply: Reply) -> None:
        """Serve one HTTP request whose body has come whole."""
        if self._endpoint.closed:
            send_problem(reply, 404, b'{"error":"not found"}')
            return
        if scope["method"] not in ("POST", "GET", "DELETE"):
            send_empty(reply, 405, (b"allow", b"POST, GET, DELETE"))
            return
        fields = fields_of(scope, self._endpoint.name)
        verdict = self._endpoint.recognise(fields.credentials)
        if verdict is not None:
            self._admitted((scope, body), fields, verdict, reply)
            return

        async def authenticate() -> None:
            verdict = await self._endpoint.authenticate(fields.credentials)
            reply.on_gone = None
            self._admitted((scope, body), fields, verdict, reply)

        task = asyncio.get_running_loop().create_task(authenticate())
        self._authenticating.add(task)
        task.add_done_callback(self._authenticating.discard)
        reply.on_gone = task.cancel

    def _admitted(self, raw: Raw, fields: Fields, principal: Principal | Challenge, reply: Reply) -> None:
        method, headers = raw[0]["method"], fields.headers
        if isinstance(principal, Challenge):
            extra = [(name.lower().encode(), value.encode()) for name, value in principal.headers]
            if principal.status == 401 and not any(name == b"www-authenticate" for name, _ in extra):
                extra.append((b"www-authenticate", b"Bearer"))  # RFC 9110 wants one with every 401
            send_problem(reply, principal.status, b'{"error":"%s"}' % principal.reason.encode(), *extra)
        elif method == "POST":
            self._post(raw, fields, principal, reply)
        elif is_modern(version := headers.get("mcp-protocol-version")) or "mcp-session-id" not in headers:
            # The modern era has neither; a legacy client has a session by the time it sends these.
            send_empty(reply, 405, (b"allow", b"POST"))
        elif version is not None and version not in LEGACY_VERSIONS:
            send_problem(reply, 400, b'{"error":"unknown MCP-Protocol-Version"}')
        elif method == "DELETE":
            self.sessions.delete(raw, principal, headers, reply)
        elif not accepts(fields.joined("accept"), "text/event-stream"):
            send_problem(reply, 406, b'{"error":"expected Accept: text/event-stream"}')
        else:
            self.sessions.get(raw, principal, headers, reply)

    def _post(self, raw: Raw, fields: Fields, principal: Principal, reply: Reply) -> None:
        body, headers = raw[1], fields.headers
        if fields.problem is not None:
            send_problem(reply, *fields.problem)
            return
        version = headers.get("mcp-protocol-version")
        batch = body[:1] != b"{" and body.lstrip(b" \t\r\n")[:1] == b"["
        if batch and not is_modern(version) and "mcp-session-id" in headers:
            self.sessions.post_batch(raw, principal, headers, reply)
            return
        try:
            message = parse(body, depth=self._endpoint.depth_limit)
        except Refused as refusal:
            send_refusal(reply, 400, refusal)
            return
        if not _is_modern(version, message.params.get("_meta")):
            self.sessions.post(raw, message, principal, fields, reply)
        elif message.kind in ("result", "error"):
            send_refusal(reply, 400, Refused(-32600, "Invalid request: clients send no responses"))
        else:
            self._modern.serve(raw, message, principal, fields, reply)


def _is_modern(version: str | None, meta: object) -> bool:
    """The body says first, then the header; no word of either is legacy (see `eras`)."""
    if isinstance(meta, dict) and META_VERSION in meta:
        return True
    return version is not None and version.strip(" \t") not in LEGACY_VERSIONS


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
