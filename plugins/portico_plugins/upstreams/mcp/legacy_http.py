"""A legacy session over streamable HTTP (2025-03-26 to 2025-11-25)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import aiohttp

from portico.api import Host, Refused

from . import wire
from .call import Backchannel, Call
from .http import JSON_AND_SSE, HttpClient, is_sse
from .modern_http import http_failure
from .session import SessionExpired, Wire

_RETRY_MS: Final = 1000
_MOST_RETRIES: Final = 5
_LONGEST_WAIT: Final = 30.0


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
        self._version = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def _headers(self, accept: str = JSON_AND_SSE) -> dict[str, str]:
        headers = {"Accept": accept}
        if self._session is not None:
            headers["Mcp-Session-Id"] = self._session
        if self._version >= "2025-06-18":
            headers["MCP-Protocol-Version"] = self._version
        return headers

    async def _send(self, body: bytes, call: Call | None = None) -> aiohttp.ClientResponse:
        headers = self._headers() | {"Content-Type": "application/json"}
        exchange = call.exchange if call is not None else None
        response = await self._http.send("POST", headers, self._caller, body, exchange=exchange)
        if self._session is None or response.status not in (400, 404):
            return response
        data = await self._http.read(response, exchange)
        if response.status == 404 or b"session" in data.lower():
            # Refused for want of a session, so not executed. Servers differ in the status.
            self.lose(wire.bad_response(self._host.name, "session_expired"))
            raise SessionExpired
        raise wire.refusal(data) or wire.bad_response(self._host.name, "http_400", exchange)

    async def perform(self, call: Call, body: bytes) -> bytes:
        """Send a request and follow its stream, resuming it where the server allows."""
        self._back.calls[call.id] = call
        try:
            response = await self._send(body, call)
            if call.method == "initialize":
                self._session = response.headers.get("Mcp-Session-Id")
            if response.status == 200 and is_sse(response):
                return await self._streams(response, call)
            return await self._body(response, call)
        except asyncio.CancelledError:
            call.finish(cancelled=True)
            if call.method != "initialize":
                # A lost stream is no cancellation in this era: it has to be said.
                self.background(self._cancelled(call))
            raise
        except wire.Garbled:
            raise wire.bad_response(self._host.name, "malformed_message", call.exchange) from None
        finally:
            self._back.calls.pop(call.id, None)
            call.finish()

    async def _body(self, response: aiohttp.ClientResponse, call: Call) -> bytes:
        data = await self._http.read(response, call.exchange)
        try:
            for message in wire.messages(data):
                result = await self._back.heard(message, call)
                if result is not None:
                    return result
        except wire.Garbled:
            if response.status < 400:
                raise
        raise http_failure(response.status, self._host.name, call.exchange)

    async def _streams(self, response: aiohttp.ClientResponse, call: Call) -> bytes:
        last: str | None = None
        retry: int | None = None
        while True:
            on_purpose = True
            done = False
            try:
                async for _, data, ident, pause in self._http.events(response):
                    last = ident if ident is not None else last
                    retry = pause if pause is not None else retry
                    for message in wire.messages(data) if data else ():
                        result = await self._back.heard(message, call)
                        if result is not None:
                            done = True
                            self._http.finish(response)
                            return result
            except (aiohttp.ClientError, OSError):
                on_purpose = False
            except ValueError:
                raise wire.bad_response(self._host.name, "malformed_message", call.exchange) from None
            finally:
                if not done:
                    response.close()
            if not last:
                raise wire.bad_response(self._host.name, "stream_cut", call.exchange)
            if on_purpose and call.exchange is not None:
                call.exchange.client.poll(retry if retry is not None else _RETRY_MS)
            response = await self._resume(call, last, retry)

    async def _resume(self, call: Call, last: str, retry: int | None) -> aiohttp.ClientResponse:
        """Ask for the rest of a stream that ended before the answer.

        Raises:
            Refused: 50200, the server cannot or will not give it. The call may have been executed.
        """
        wait = (retry if retry is not None else _RETRY_MS) / 1000
        for _ in range(_MOST_RETRIES):
            await asyncio.sleep(min(wait, _LONGEST_WAIT))
            wait = max(wait, 0.1) * 2
            headers = self._headers("text/event-stream") | {"Last-Event-ID": last}
            try:
                response = await self._http.send("GET", headers, self._caller, exchange=call.exchange)
            except Refused:
                continue
            if response.status == 200 and is_sse(response):
                return response
            response.close()
            if response.status < 500:
                break
        raise wire.bad_response(self._host.name, "stream_cut", call.exchange)

    async def _cancelled(self, call: Call) -> None:
        try:
            await self.post(wire.notification("notifications/cancelled", {"requestId": call.id}))
        except Refused as refusal:
            self._host.log.debug("upstream_cancel_lost", reason=refusal.message)

    async def post(self, body: bytes) -> None:
        """Send a notification or a response."""
        try:
            response = await self._send(body)
        except SessionExpired:
            raise self.why or wire.bad_response(self._host.name, "session_expired") from None
        status = response.status
        response.release()
        if status >= 400:
            raise http_failure(status, self._host.name, None)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something nobody waits for, for as long as the session lives."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def established(self, version: str) -> None:
        """The handshake is done."""
        self._version = version

    def listen(self) -> None:
        """Open the GET stream."""
        self.background(self._get())

    async def _get(self) -> None:
        """Keep the GET stream open: it carries what belongs to no request."""
        last: str | None = None
        wait, failures, again = _RETRY_MS / 1000, 0, False
        while not self.lost.is_set():
            headers = self._headers("text/event-stream")
            if last:
                headers["Last-Event-ID"] = last
            try:
                response = await self._http.send("GET", headers, self._caller)
            except Refused as refusal:
                failures += 1
                if failures > 1:
                    self.lose(refusal)
                await asyncio.sleep(wait)
                continue
            if response.status == 404 and self._session is not None:
                self.lose(wire.bad_response(self._host.name, "session_expired"))
            if response.status != 200 or not is_sse(response):
                response.close()
                if response.status < 500 and response.status != 409:
                    return  # 405: there is no such stream
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                failures = 0
                if again:
                    self._missed()
                again = True
                try:
                    async for _, data, ident, pause in self._http.events(response):
                        last = ident if ident is not None else last
                        wait = pause / 1000 if pause is not None else wait
                        for message in wire.messages(data) if data else ():
                            # Some servers send what they ask in the middle of a call on this stream, too.
                            call = self._back.related(message) if bytes(message.id) else None
                            await self._back.heard(message, call, certain=False)
                except (aiohttp.ClientError, OSError, ValueError, Refused) as error:
                    self._host.log.debug("upstream_stream_ended", reason=type(error).__name__)
                finally:
                    response.close()
            await asyncio.sleep(min(wait, _LONGEST_WAIT))

    async def close(self) -> None:
        """End the session; the server is told, but not waited for long."""
        for task in tuple(self._tasks):
            task.cancel()
        lost = self.lost.is_set()
        why = wire.bad_response(self._host.name, "closed")
        self.lose(why)
        self._back.close(why)
        if self._session is not None and not lost:
            try:
                async with asyncio.timeout(2.0):
                    (await self._http.send("DELETE", self._headers(), self._caller)).release()
            except (Refused, TimeoutError):
                self._host.log.debug("upstream_delete_lost")
