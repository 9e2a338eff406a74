"""Sessions of the legacy era: POST, the GET stream, resumption, DELETE (2024-11-05 to 2025-11-25)."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping

from portico.api import (
    INVALID_REQUEST,
    OVERLOADED,
    Endpoint,
    Id,
    Message,
    Principal,
    Refused,
    Reply,
    Session,
    Stream,
    error_frame,
    failure,
    parse_batch,
)
from portico_plugins.transports.over_http.fields import Fields
from portico_plugins.transports.over_http.wire import JSON, Raw, end_broken, send_empty, send_refusal
from portico_plugins.transports.streamable_http.http_session import HttpSession
from portico_plugins.transports.streamable_http.legacy_answer import Answer
from portico_plugins.transports.streamable_http.manner import Manner

SESSION_TTL = 365 * 86_400.0


class LegacySessions:
    """The legacy sessions of one virtual server over HTTP.

    Args:
        endpoint: The virtual server.
        idle_seconds: After which an idle session ends.
        most: Sessions open at once.
        most_each: Sessions of one principal open at once.
        manner: How streams are served.
    """

    def __init__(
        self, endpoint: Endpoint, idle_seconds: float, most: int, most_each: int, manner: Manner
    ) -> None:
        self._endpoint = endpoint
        self._idle_seconds = idle_seconds
        self._most = most
        self._most_each = most_each
        self._manner = manner
        self._sessions: dict[str, HttpSession] = {}
        self._owned: Counter[Principal] = Counter()

    def __len__(self) -> int:
        return len(self._sessions)

    def sweep(self) -> None:
        """End the sessions that have been idle for too long."""
        before = self._endpoint.clock.monotonic() - self._idle_seconds
        for ident, each in list(self._sessions.items()):
            if each.session.last_seen < before and each.idle:
                self._end(ident)

    def close(self) -> None:
        """End every session."""
        for ident in list(self._sessions):
            self._end(ident)

    def _end(self, ident: str) -> None:
        each = self._sessions.pop(ident)
        self._owned[each.session.principal] -= 1
        if not self._owned[each.session.principal]:
            del self._owned[each.session.principal]
        each.session.close()
        for stream in each.streams.values():
            stream.end()

    def find(self, headers: Mapping[str, str], principal: Principal) -> HttpSession | None:
        """The session a request names, if it is this principal's; anybody else's does not exist."""
        each = self._sessions.get(headers.get("mcp-session-id", ""))
        if each is None:
            return None
        owner = each.session.principal
        if owner is not principal and owner != principal:
            return None
        each.session.touch()
        return each

    def _known(
        self, raw: Raw, headers: Mapping[str, str], principal: Principal, reply: Reply, ident: Id = None
    ) -> HttpSession | None:
        """The session a request names, or None: then another worker answers, or a refusal has been sent."""
        each = self.find(headers, principal)
        if each is not None:
            return each
        name = headers.get("mcp-session-id")
        if name is None:
            send_refusal(reply, 400, Refused(INVALID_REQUEST, "Mcp-Session-Id is required"))
            return None

        def lost(begun: bool) -> None:
            if not begun:
                send_refusal(reply, 404, Refused(INVALID_REQUEST, "Session not found"))
            elif ident is not None:
                end_broken(reply, ident)
            else:
                reply.end()

        owners = self._endpoint.owners
        if owners is None or not owners.elsewhere("session", name, principal, *raw, reply, lost):
            lost(False)
        return None

    def post(self, raw: Raw, message: Message, principal: Principal, fields: Fields, reply: Reply) -> None:
        """Answer a POSTed message."""
        headers = fields.headers
        if message.kind == "request" and message.method == "initialize" and "mcp-session-id" not in headers:
            self._initialize(message, principal, headers, reply)
            return
        each = self._known(raw, headers, principal, reply, message.id if message.kind == "request" else None)
        if each is None:
            return
        if message.kind == "request":
            sink = Answer(each, reply, self._manner, streamed=fields.streamed)
            each.session.receive(message, sink, headers)
        else:
            each.session.receive(message, Stream(), headers)
            send_empty(reply, 202)

    def post_batch(self, raw: Raw, principal: Principal, headers: Mapping[str, str], reply: Reply) -> None:
        """Answer a batch, which only 2025-03-26 has."""
        each = self._known(raw, headers, principal, reply)
        if each is None:
            return
        try:
            if each.session.version != "2025-03-26":
                raise Refused(INVALID_REQUEST, "Invalid request: expected one JSON object, not a batch")
            items = parse_batch(raw[1], depth=self._endpoint.depth_limit)
        except Refused as refusal:
            send_refusal(reply, 400, refusal)
            return
        answers = sum(isinstance(item, Refused) or item.kind == "request" for item in items)
        sink = Answer(each, reply, self._manner, batch=answers) if answers else Stream()
        for item in items:
            if isinstance(item, Refused):
                sink.end(error_frame(None, item.body()))
            else:
                each.session.receive(item, sink, headers)
        if not answers:
            send_empty(reply, 202)

    def _initialize(
        self, message: Message, principal: Principal, headers: Mapping[str, str], reply: Reply
    ) -> None:
        if len(self._sessions) >= self._most or self._owned[principal] >= self._most_each:
            busy = failure(OVERLOADED, "Too many sessions are open", reason="session_limit")
            send_refusal(reply, 503, busy, message.id)
            return
        ident = self._endpoint.seal.close("session", principal, secrets.token_hex(16), SESSION_TTL)
        session = Session(self._endpoint, principal, ident)
        stream = Stream()
        session.receive(message, stream, headers)
        body = stream.take(0)[0][1]
        if session.version:
            self._sessions[ident] = HttpSession(session, self._manner.unread)
            self._owned[principal] += 1
            reply.send(200, (*JSON, (b"mcp-session-id", ident.encode())), body)
        else:
            reply.send(200, JSON, body)

    def get(self, raw: Raw, principal: Principal, headers: Mapping[str, str], reply: Reply) -> None:
        """Open the stream for what belongs to no POST, or go on with one that broke off.

        Coming back takes a stream over from a reader that was not noticed to have gone.
        """
        each = self._known(raw, headers, principal, reply)
        if each is None:
            return
        ident, _, number = headers.get("last-event-id", "").rpartition("-")
        stream = each.streams.get(ident)
        at = int(number) if number.isdecimal() and len(number) < 16 else -1
        # What comes after the end of a stream of notices comes on another.
        if stream is not None and at >= 0 and not (stream.notices and stream.ended and at >= stream.last):
            each.serve(stream, reply, self._manner, at, prime=False)
        else:
            each.serve(each.listen(), reply, self._manner, 0, prime=True)

    def delete(self, raw: Raw, principal: Principal, headers: Mapping[str, str], reply: Reply) -> None:
        """End a session at its client's wish."""
        if self._known(raw, headers, principal, reply) is not None:
            self._end(headers["mcp-session-id"])
            send_empty(reply, 204)
