"""Who is it: the first thing that is asked about a request, whatever it wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from portico.api import Challenge, Endpoint, Principal, Reply
from portico_plugins.transports.over_http.asgi import AsgiReply
from portico_plugins.transports.over_http.fields import Fields, fields_of
from portico_plugins.transports.over_http.wire import Raw, send_problem


class Entrance:
    """Lets the requests for one virtual server in.

    Args:
        endpoint: The virtual server.
        admitted: Serves those that have been let in.
        stranger: Serves some that have not; False if a request is none of those.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        admitted: Callable[[Raw, Fields, Principal, Reply], None],
        stranger: Callable[[Raw, Fields, Challenge, Reply], bool] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._admitted = admitted
        self._stranger = stranger
        self._authenticating: set[asyncio.Task[None]] = set()

    async def over_asgi(self, handle: Callable[[Scope, bytes, Reply], None], scope: Scope, receive: Receive,
                        send: Send) -> None:  # fmt: skip
        """Serve one HTTP request over ASGI by what takes whole requests."""
        body = await _read(receive) if scope["method"] == "POST" else b""
        if body is not None:
            reply = AsgiReply()
            handle(scope, body, reply)
            await reply.pump(receive, send)

    def enter(self, scope: Scope, body: bytes, reply: Reply) -> None:
        """Serve a request, or refuse it, once it is known whose it is."""
        if self._endpoint.closed:
            send_problem(reply, 404, b'{"error":"not found"}')
            return
        fields = fields_of(scope, self._endpoint.name)
        verdict = self._endpoint.recognise(fields.credentials)
        if verdict is not None:
            self._judged((scope, body), fields, verdict, reply)
            return

        async def authenticate() -> None:
            verdict = await self._endpoint.authenticate(fields.credentials)
            reply.on_gone = None
            self._judged((scope, body), fields, verdict, reply)

        task = asyncio.get_running_loop().create_task(authenticate())
        self._authenticating.add(task)
        task.add_done_callback(self._authenticating.discard)
        reply.on_gone = task.cancel

    def _judged(self, raw: Raw, fields: Fields, verdict: Principal | Challenge, reply: Reply) -> None:
        if isinstance(verdict, Challenge):
            if self._stranger is None or not self._stranger(raw, fields, verdict, reply):
                send_problem(reply, verdict.status, *words_of(verdict))
        else:
            self._admitted(raw, fields, verdict, reply)


def words_of(challenge: Challenge) -> tuple[bytes, *tuple[tuple[bytes, bytes], ...]]:
    """The body and the headers that tell a client why it was not let in."""
    headers = [(name.lower().encode(), value.encode()) for name, value in challenge.headers]
    if challenge.status == 401 and not any(name == b"www-authenticate" for name, _ in headers):
        headers.append((b"www-authenticate", b"Bearer"))  # RFC 9110 wants one with every 401
    return b'{"error":"%s"}' % challenge.reason.encode(), *headers


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
