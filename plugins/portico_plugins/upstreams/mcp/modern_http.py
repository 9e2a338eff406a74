"""The modern leg over HTTP (2026-07-28): each call is one self-contained POST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from portico.api import (
    LATEST_MODERN,
    NAME_PARAM,
    Era,
    Exchange,
    Host,
    Json,
    Principal,
    Refused,
    Result,
    Target,
    encode_header_value,
    header_map,
    param_headers,
)
from portico_plugins.failures import bad_response, unavailable
from portico_plugins.http1 import Answer, HttpError

from . import wire
from .backchannel import Backchannel
from .call import Call
from .http import JSON_AND_SSE, JSON_BODY, HttpClient, header_lines

_BUSY: Final = frozenset({429, 502, 503, 504})


class ModernHttp:
    """Calls to a modern server.

    Args:
        http: The upstream's HTTP client.
        host: Its host.
        own: Makes the params of a request of the gateway's own.
        backchannel: Makes a backchannel for a principal.
    """

    def __init__(
        self,
        http: HttpClient,
        host: Host,
        own: Callable[[Json | None], Json],
        backchannel: Callable[[Principal | None, Any], Backchannel],
    ) -> None:
        self._http = http
        self._host = host
        self._own = own
        self._backchannel = backchannel
        # Every call brings its own client, so they can share one.
        self._back = backchannel(None, _no_responses)
        self._maps: dict[str, tuple[Json, Mapping[tuple[str, ...], str]]] = {}

    async def send(self, exchange: Exchange, target: Target, caller: wire.Caller) -> Result:
        """Carry out an exchange. Cancelling closes the stream, which cancels the call upstream."""
        call = Call(exchange.method, exchange)
        params = wire.modern_params(exchange, call.id)
        head = _head(exchange.method, params)
        if exchange.method == "tools/call" and target.definition is not None:
            head += self._mirrored(exchange, target.definition)
        body = wire.request(call.id, exchange.method, params)
        return Result(await self._perform(call, head, body, caller, self._back), None, Era.MODERN)

    async def request(
        self, method: str, params: Json | None, caller: wire.Caller, call: Call | None = None
    ) -> bytes:
        """Make a request of the gateway's own; gives the result's bytes."""
        call = call or Call(method)
        params = self._own(params)
        back = self._backchannel(caller.principal, _no_responses)
        try:
            body = wire.request(call.id, method, params)
            return await self._perform(call, _head(method, params), body, caller, back)
        finally:
            back.close(bad_response(self._host.name, "closed"))

    def _mirrored(self, exchange: Exchange, definition: Json) -> bytes:
        """The `Mcp-Param-*` headers: those the schema asks for, and the client's others as they came."""
        name = str(definition.get("name"))
        known = self._maps.get(name)
        if known is None or known[0] is not definition:
            known = self._maps[name] = (definition, header_map(definition.get("inputSchema")))
        theirs = [header for header in exchange.headers if header[:10] == "mcp-param-"]
        if not known[1] and not theirs:
            return b""
        headers = param_headers(known[1], exchange.params.get("arguments"))
        ours = {f"mcp-param-{token.lower()}" for token in known[1].values()}
        for header in theirs:
            value = exchange.headers[header]
            if header not in ours and value.isascii() and value.isprintable():
                headers[header] = value
        return header_lines(headers.items())

    async def _perform(
        self, call: Call, head: bytes, body: bytes, caller: wire.Caller, back: Backchannel
    ) -> bytes:
        answer = await self._http.send("POST", head, caller, body, exchange=call.exchange)
        try:
            if answer.stream:
                result = await self._stream(answer, call, back)
                answer.finish()
                return result
            return await whole(answer, call, back, self._host.name)
        except wire.Garbled:
            answer.close()
            raise bad_response(self._host.name, "malformed_message", call.exchange) from None
        except BaseException:
            answer.close()
            raise
        finally:
            call.finish()

    async def _stream(self, answer: Answer, call: Call, back: Backchannel) -> bytes:
        try:
            async for events in self._http.events(answer):
                for event in events:
                    for message in wire.messages(event.data) if event.data else ():
                        if back.passed(message, call):
                            continue
                        result = await back.heard(message, call)
                        if result is not None:
                            return result
        except HttpError:
            self._host.log.debug("upstream_stream_ended", method=call.method)
        except ValueError as error:
            raise bad_response(self._host.name, wire.fault(error), call.exchange) from None
        raise bad_response(self._host.name, "stream_cut", call.exchange)


def _head(method: str, params: Json) -> bytes:
    name = params.get(NAME_PARAM.get(method, ""))
    return _routing(method, name if isinstance(name, str) else None)


@lru_cache(maxsize=1024)
def _routing(method: str, name: str | None) -> bytes:
    headers = {"MCP-Protocol-Version": LATEST_MODERN, "Mcp-Method": encode_header_value(method)}
    if name is not None:
        headers["Mcp-Name"] = encode_header_value(name)
    return JSON_BODY + JSON_AND_SSE + header_lines(headers.items())


async def whole(answer: Answer, call: Call, back: Backchannel, upstream: str) -> bytes:
    """The result in an answer that is no stream; what else is in it goes to the backchannel.

    Raises:
        Garbled: It cannot be read.
        Refused: It has none.
    """
    try:
        for message in wire.messages(answer.body):
            result = await back.heard(message, call)
            if result is not None:
                return result
    except wire.Garbled:
        if answer.status < 400:
            raise
    raise http_failure(answer.status, upstream, call.exchange)


def http_failure(status: int, upstream: str, exchange: Exchange | None) -> Refused:
    """What an HTTP status without a JSON-RPC body means for a call."""
    if status in _BUSY:
        return unavailable(upstream, f"http_{status}", exchange)
    return bad_response(upstream, f"http_{status}" if status >= 300 else "no_answer", exchange)


async def _no_responses(_: bytes) -> None:
    """A modern server asks nothing, so there is nothing to respond to."""
    await asyncio.sleep(0)
