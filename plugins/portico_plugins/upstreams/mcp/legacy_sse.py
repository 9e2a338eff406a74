"""The HTTP+SSE transport of 2024-11-05: one GET stream for everything the server says, POSTs for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from yarl import URL

from portico.api import Host
from portico_plugins.failures import bad_response, unavailable
from portico_plugins.http1 import Answer, HttpError

from . import wire
from .backchannel import Backchannel
from .http import JSON_BODY, SSE_ONLY, HttpClient
from .modern_http import http_failure
from .multiplex import Multiplex

_JSON: Final = b"Accept: application/json\r\n"


class HttpSse(Multiplex):
    """One connection.

    Args:
        http: The upstream's HTTP client.
        host: Its host.
        caller: On whose behalf.
        backchannel: Makes the backchannel, given how to respond.
        timeout: Seconds for the server to name its endpoint.
    """

    def __init__(
        self,
        http: HttpClient,
        host: Host,
        caller: wire.Caller,
        backchannel: Callable[[Any], Backchannel],
        timeout: float,
    ) -> None:
        super().__init__(host, backchannel)
        self._http = http
        self._caller = caller
        self._timeout = timeout
        self._endpoint: asyncio.Future[URL] = asyncio.get_running_loop().create_future()
        self._reader: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and wait for the endpoint."""
        answer = await self._http.send("GET", SSE_ONLY, self._caller)
        if not answer.stream:
            raise http_failure(answer.status, self._host.name, None)
        self._reader = asyncio.create_task(self._read(answer))
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.shield(self._endpoint)
        except TimeoutError:
            raise unavailable(self._host.name, "no_endpoint_event") from None

    async def _read(self, answer: Answer) -> None:
        why = bad_response(self._host.name, "stream_cut")
        try:
            async for events in self._http.events(answer):
                for event in events:
                    if event.event == "endpoint":
                        self._named(event.data)
                    elif event.event == "message" and event.data:
                        self.received(event.data)
        except ValueError as error:
            why = bad_response(self._host.name, wire.fault(error))
        except HttpError as error:
            self._host.log.debug("upstream_stream_ended", reason=type(error).__name__)
        finally:
            answer.close()
            if not self._endpoint.done():
                self._endpoint.set_exception(why)
                self._endpoint.exception()  # retrieved, whether or not anybody waits
            self.lose(why)

    def _named(self, text: str) -> None:
        """Take the endpoint, which must be of the same origin: credentials go there."""
        try:
            endpoint = self._http.url.join(URL(text))
            same = endpoint.origin() == self._http.url.origin()
        except ValueError as error:
            raise wire.Garbled("endpoint") from error
        if not same:
            raise wire.Garbled("endpoint")
        if not self._endpoint.done():
            self._endpoint.set_result(endpoint)

    async def write(self, body: bytes) -> None:
        """POST one frame; its answer comes on the stream."""
        url = await asyncio.shield(self._endpoint)
        answer = await self._http.send("POST", JSON_BODY + _JSON, self._caller, body, url)
        answer.close()  # whatever else it says
        if answer.status >= 300:
            raise http_failure(answer.status, self._host.name, None)

    async def close(self) -> None:
        """Close the stream, which ends the session."""
        self.lose(bad_response(self._host.name, "closed"))
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
