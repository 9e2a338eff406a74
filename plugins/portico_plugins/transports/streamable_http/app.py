"""One MCP endpoint: who is it, which era, and on to the code that serves it."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from portico.api import (
    LEGACY_VERSIONS,
    Endpoint,
    Json,
    Principal,
    Refused,
    Reply,
    is_enveloped,
    is_modern,
    parse,
)
from portico_plugins.transports.over_http.entrance import Entrance
from portico_plugins.transports.over_http.fields import Fields, accepts
from portico_plugins.transports.over_http.wire import Raw, send_empty, send_problem, send_refusal
from portico_plugins.transports.streamable_http.legacy import LegacySessions
from portico_plugins.transports.streamable_http.manner import Manner
from portico_plugins.transports.streamable_http.modern import ModernRequests


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
        self._entrance = Entrance(endpoint, self._admitted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request over ASGI."""
        await self._entrance.over_asgi(self.handle, scope, receive, send)

    def handle(self, scope: Scope, body: bytes, reply: Reply) -> None:
        """Serve one HTTP request whose body has come whole."""
        if scope["method"] not in ("POST", "GET", "DELETE") and not self._endpoint.closed:
            send_empty(reply, 405, (b"allow", b"POST, GET, DELETE"))
        else:
            self._entrance.enter(scope, body, reply)

    def sweep(self) -> None:
        """End idle sessions."""
        self.sessions.sweep()

    def close(self) -> None:
        """End every session."""
        self.sessions.close()

    def _admitted(self, raw: Raw, fields: Fields, principal: Principal, reply: Reply) -> None:
        method, headers = raw[0]["method"], fields.headers
        if method == "POST":
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
        if not _is_modern(version, message.params):
            self.sessions.post(raw, message, principal, fields, reply)
        elif message.kind in ("result", "error"):
            send_refusal(reply, 400, Refused(-32600, "Invalid request: clients send no responses"))
        else:
            self._modern.serve(raw, message, principal, fields, reply)


def _is_modern(version: str | None, params: Json) -> bool:
    """The body says first, then the header; no word of either is legacy (see `eras`)."""
    if is_enveloped(params):
        return True
    return version is not None and version.strip(" \t") not in LEGACY_VERSIONS
