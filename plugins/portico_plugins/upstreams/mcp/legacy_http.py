"""A legacy session over streamable HTTP (2025-03-26 to 2025-11-25)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from portico.api import Host, Refused
from portico_plugins.failures import bad_response, unavailable
from portico_plugins.http1 import Answer, HttpError

from . import wire
from .backchannel import Backchannel
from .call import Call
from .http import JSON_AND_SSE, JSON_BODY, SSE_ONLY, HttpClient, header_lines
from .modern_http import http_failure, whole
from .session import SessionExpired, Wire

_RETRY_MS: Final = 1000
_MOST_RETRIES: Final = 5
_LONGEST_WAIT: Final = 30.0
_PATIENCE: Final = 30.0
"""Seconds a server may take to accept a notification or a response."""


class StreamableHttp(Wire):
    """One session: POSTs with their own streams, and one GET stream for what belongs to none.

    Args:
        http: The upstream's HTTP client.
        host: Its host.
        caller: On whose behalf.
        backchannel: Makes the backchannel, given how to respond.
        missed: Told when notifications may have been missed.
    """

    def __init__(
        self,
        http: HttpClient,
        host: Host,
        caller: wire.Caller,
        backchannel: Callable[[Any], Backchannel],
        missed: Callable[[], None],
    ) -> None:
        super().__init__()
        self._http = http
        self._host = host
        self._caller = caller
        self._back = backchannel(self.post)
        self._missed = missed
        self._session: str | None = None
        self._head = b""
        self._post_head = JSON_BODY + JSON_AND_SSE
        self._tasks: set[asyncio.Task[None]] = set()

    def _identify(self, version: str = "") -> None:
        """Have all requests name the session, and the revision where it wants that."""
        headers = {"Mcp-Session-Id": self._session} if self._session is not None else {}
        if version >= "2025-06-18":
            headers["MCP-Protocol-Version"] = version
        self._head = header_lines(headers.items())
        self._post_head = JSON_BODY + JSON_AND_SSE + self._head

    async def _send(self, body: bytes, call: Call | None = None) -> Answer:
        exchange = call.exchange if call is not None else None
        answer = await self._http.send("POST", self._post_head, self._caller, body, None, exchange)
        if answer.status not in (400, 404) or self._session is None:
            return answer
        if answer.status == 404 or b"session" in answer.body.lower():
            # Refused for want of a session, so not executed. Servers differ in the status.
            self.lose(bad_response(self._host.name, "session_expired"))
            raise SessionExpired
        raise wire.refusal(answer.body) or bad_response(self._host.name, "http_400", exchange)

    async def perform(self, call: Call, body: bytes) -> bytes:
        """Send a request and follow its stream, resuming it where the server allows."""
        self._back.calls[call.id] = call
        try:
            answer = await self._send(body, call)
            if call.method == "initialize":
                self._session = self._http.session_of(answer)
                self._identify()
            if answer.stream:
                return await self._streams(answer, call)
            return await whole(answer, call, self._back, self._host.name)
        except asyncio.CancelledError:
            call.finish(cancelled=True)
            if call.method != "initialize":
                # A lost stream is no cancellation in this era: it has to be said.
                self.background(self._cancelled(call))
            raise
        except wire.Garbled:
            raise bad_response(self._host.name, "malformed_message", call.exchange) from None
        finally:
            self._back.calls.pop(call.id, None)
            call.finish()

    async def _streams(self, answer: Answer, call: Call) -> bytes:
        last: str | None = None
        retry: int | None = None
        while True:
            on_purpose = True
            done = False
            try:
                async for events in self._http.events(answer):
                    for event in events:
                        last = event.id if event.id is not None else last
                        retry = event.retry if event.retry is not None else retry
                        for message in wire.messages(event.data) if event.data else ():
                            if self._back.passed(message, call):
                                continue
                            result = await self._back.heard(message, call)
                            if result is not None:
                                done = True
                                answer.finish()
                                return result
            except HttpError:
                on_purpose = False
            except ValueError as error:
                raise bad_response(self._host.name, wire.fault(error), call.exchange) from None
            finally:
                if not done:
                    answer.close()
            if not last:
                raise bad_response(self._host.name, "stream_cut", call.exchange)
            if on_purpose and call.exchange is not None:
                call.exchange.client.poll(retry if retry is not None else _RETRY_MS)
            answer = await self._resume(call, last, retry)

    async def _resume(self, call: Call, last: str, retry: int | None) -> Answer:
        """Ask for the rest of a stream that ended before the answer.

        Raises:
            Refused: 50200, the server cannot or will not give it. The call may have been executed.
        """
        wait = (retry if retry is not None else _RETRY_MS) / 1000
        for _ in range(_MOST_RETRIES):
            await asyncio.sleep(min(wait, _LONGEST_WAIT))
            wait = max(wait, 0.1) * 2
            head = self._after(last)
            try:
                answer = await self._http.send("GET", head, self._caller, exchange=call.exchange)
            except Refused:
                continue
            if answer.stream:
                return answer
            if answer.status < 500:
                break
        raise bad_response(self._host.name, "stream_cut", call.exchange)

    def _after(self, last: str | None) -> bytes:
        """The head of a request for a stream, from after the last event that came on."""
        return SSE_ONLY + self._head + (header_lines([("Last-Event-ID", last)]) if last else b"")

    async def _cancelled(self, call: Call) -> None:
        try:
            await self.post(wire.notification("notifications/cancelled", {"requestId": call.id}))
        except Refused as refusal:
            self._host.log.debug("upstream_cancel_lost", reason=refusal.message)

    async def post(self, body: bytes) -> None:
        """Send a notification or a response."""
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await self._send(body)
        except SessionExpired:
            raise self.why or bad_response(self._host.name, "session_expired") from None
        except TimeoutError:
            raise unavailable(self._host.name, "post_timeout") from None
        answer.close()  # whatever else it says
        if answer.status >= 400:
            raise http_failure(answer.status, self._host.name, None)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something nobody waits for, for as long as the session lives."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def established(self, version: str) -> None:
        """The handshake is done."""
        self._identify(version)

    def listen(self) -> None:
        """Open the GET stream."""
        self.background(self._get())

    async def _get(self) -> None:
        """Keep the GET stream open: it carries what belongs to no request."""
        last: str | None = None
        wait, failures, again = _RETRY_MS / 1000, 0, False
        while not self.lost.is_set():
            try:
                answer = await self._http.send("GET", self._after(last), self._caller)
            except Refused as refusal:
                failures += 1
                if failures > 1:
                    self.lose(refusal)
                await asyncio.sleep(wait)
                continue
            if answer.status == 404 and self._session is not None:
                self.lose(bad_response(self._host.name, "session_expired"))
            if not answer.stream:
                if answer.status < 500 and answer.status != 409:
                    return  # 405: there is no such stream
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                failures = 0
                if again:
                    self._missed()
                again = True
                try:
                    async for events in self._http.events(answer):
                        for event in events:
                            last = event.id if event.id is not None else last
                            wait = event.retry / 1000 if event.retry is not None else wait
                            for message in wire.messages(event.data) if event.data else ():
                                # Some servers send what they ask in the middle of a call on this stream, too.
                                call = self._back.related(message) if bytes(message.id) else None
                                await self._back.heard(message, call, certain=False)
                except (HttpError, ValueError, Refused) as error:
                    self._host.log.debug("upstream_stream_ended", reason=type(error).__name__)
                finally:
                    answer.close()
            await asyncio.sleep(min(wait, _LONGEST_WAIT))

    async def close(self) -> None:
        """End the session; the server is told, but not waited for long."""
        for task in tuple(self._tasks):
            task.cancel()
        lost = self.lost.is_set()
        why = bad_response(self._host.name, "closed")
        self.lose(why)
        self._back.close(why)
        if self._session is not None and not lost:
            try:
                async with asyncio.timeout(2.0):
                    await self._http.send("DELETE", self._head, self._caller)
            except (Refused, TimeoutError):
                self._host.log.debug("upstream_delete_lost")
