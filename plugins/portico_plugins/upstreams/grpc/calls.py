"""Calls of methods: one message or a list of them, each way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc
import msgspec

from portico.api import UPSTREAM_UNAVAILABLE, Exchange, Host, Json, Refused, Result
from portico_plugins.failures import bad_response, error_text, reason_of
from portico_plugins.upstreams.grpc_client.status import Status, refusal, status_of, tool_error

from .config import GrpcConfig
from .lookup import Lookup
from .messages import BadArguments, BadMessage, decode, encode
from .metadata import Metadata
from .methods import ITEMS, Method
from .schemas import WRAPPED

_SHOWN: Final = 16 * 1024
"""Bytes of a message up to which it is shown whole in a notification of progress."""
_MOST_TYPES: Final = 8
"""Types that are asked for because of one message."""
_MARGIN: Final = 1.0
"""Seconds before the deadline at which a stream is ended, so that what came of it gets to the client."""


class Unauthorized(Refused):
    """The server wants other metadata, and has carried nothing out."""


class Calls:
    """Calls on one upstream.

    Args:
        config: Of the upstream.
        host: Its host.
        suspect: Called when the server no longer knows a method, or goes away within a stream.
        lookup: Finds types that the descriptors lack.
    """

    def __init__(self, config: GrpcConfig, host: Host, suspect: Callable[[], None], lookup: Lookup) -> None:
        self._config = config
        self._host = host
        self._suspect = suspect
        self._lookup = lookup
        self._channel: grpc.aio.Channel | None = None
        self._callers: dict[tuple[str, bool], Any] = {}

    async def send(
        self, channel: grpc.aio.Channel, method: Method, exchange: Exchange, metadata: Metadata
    ) -> Result:
        """Call a method.

        Raises:
            Unauthorized: The server did not take the metadata.
            Refused: The call has not come about, or its answer is of no use.
            grpc.aio.AioRpcError: Never; what the method itself refuses is a result that says so.
        """
        arguments = exchange.params.get("arguments")
        try:
            requests = await self._encoded(channel, method, arguments if isinstance(arguments, dict) else {})
        except BadArguments as error:
            return error_text(f"Invalid arguments: {error}")
        if any(len(each) > self._config.max_message_bytes for each in requests):
            return error_text(
                f"Invalid arguments: the message is larger than {self._config.max_message_bytes} bytes"
            )
        seconds = max(0.0, exchange.deadline - self._host.clock.monotonic())
        if self._config.call_timeout is not None:
            seconds = min(seconds, self._config.call_timeout)
        if method.gives_many:
            return await self._stream(channel, method, requests, exchange, metadata, seconds)
        try:
            raw = await self._begun(channel, method, requests, seconds, metadata)
        except grpc.aio.AioRpcError as error:
            return self._answer(status_of(error, method.pool), exchange)
        value = await self._decoded(channel, method, raw, exchange)
        content = {WRAPPED: value} if method.wrapped_output else value
        return _result(msgspec.json.encode(content))

    def _begun(
        self, channel: grpc.aio.Channel, method: Method, requests: list[bytes], seconds: float, metadata: Any
    ) -> Any:
        """Begin a call.

        A stream of one message is sent as a message is: on the wire that is the same, and a status that comes
        while a stream is being sent is lost in the library (`Internal error from Core`).
        """
        many = method.takes_many and len(requests) != 1
        caller = self._caller(channel, method, many)
        return caller(iter(requests) if many else requests[0], timeout=seconds, metadata=metadata)

    def _caller(self, channel: grpc.aio.Channel, method: Method, many: bool) -> Any:
        """What calls a method on a channel; kept, as long as that is the upstream's."""
        if channel is not self._channel:
            self._channel = channel
            self._callers.clear()
        found = self._callers.get((method.path, many))
        if found is None:
            if method.gives_many:
                kind = channel.stream_stream if many else channel.unary_stream
            else:
                kind = channel.stream_unary if many else channel.unary_unary
            found = self._callers[method.path, many] = kind(method.path)
        return found

    def _answer(self, status: Status, exchange: Exchange, **more: Any) -> Result:
        """What a status is for the client, with what is to be said beside it.

        Raises:
            Refused: It is none of the method's own, and there is nothing more to say.
        """
        refused = refusal(status, self._host.name, exchange)
        if refused is not None and more:  # nothing of what gRPC itself says is quoted
            if refused.code == UPSTREAM_UNAVAILABLE:
                self._suspect()
            return tool_error(Status(status.code, f"{refused.message} ({reason_of(refused)})"), **more)
        if refused is not None and status.code == "UNAUTHENTICATED":
            raise Unauthorized(refused.code, refused.message, refused.data)
        if refused is not None:
            raise refused
        if status.code == "UNIMPLEMENTED":
            self._suspect()
        return tool_error(status, **more)

    async def _encoded(self, channel: grpc.aio.Channel, method: Method, arguments: Json) -> list[bytes]:
        """The messages of a call; types in an `Any` that are not known are asked for.

        Raises:
            BadArguments: They do not fit.
        """
        for _ in range(_MOST_TYPES):
            try:
                return await encode(method, arguments)
            except BadArguments as error:
                if not await self._lookup.find(channel, method.pool, error.lacking):
                    raise
        return await encode(method, arguments)

    async def _decoded(
        self, channel: grpc.aio.Channel, method: Method, raw: bytes, exchange: Exchange
    ) -> Any:
        """What a message of the server says; types in an `Any` that are not known are asked for.

        Raises:
            Refused: 50200: it cannot be read.
        """
        for _ in range(_MOST_TYPES):
            try:
                return await decode(method, raw)
            except BadMessage as error:
                if await self._lookup.find(channel, method.pool, error.lacking):
                    continue
                self._host.log.warning("grpc_bad_message", method=method.path, error=str(error))
                break
        raise bad_response(self._host.name, "malformed_message", exchange)

    async def _stream(
        self,
        channel: grpc.aio.Channel,
        method: Method,
        requests: list[bytes],
        exchange: Exchange,
        metadata: Metadata,
        seconds: float,
    ) -> Result:
        """Collect a stream, each message also being sent on as progress.

        Messages are taken one by one: a server that is faster than the client is held back by HTTP/2.
        """
        call = self._begun(channel, method, requests, seconds, metadata)
        items: list[msgspec.Raw] = []
        try:
            async with asyncio.timeout(max(seconds - _MARGIN, seconds * 0.9)):
                why = await self._collect(channel, call, method, exchange, items)
        except TimeoutError:
            if not items:
                status = Status("DEADLINE_EXCEEDED", "")
                return self._answer(status, exchange)
            why = "deadline"
        except grpc.aio.AioRpcError as error:
            more: Json = {ITEMS: items} if items else {}
            return self._answer(status_of(error, method.pool), exchange, **more)
        finally:
            call.cancel()
        content = msgspec.json.encode({ITEMS: items, **({"truncated": why} if why else {})})
        items.clear()  # a long list is there often enough
        return _result(content)

    async def _collect(
        self,
        channel: grpc.aio.Channel,
        call: Any,
        method: Method,
        exchange: Exchange,
        items: list[msgspec.Raw],
    ) -> str:
        """Take messages until the stream ends, or a limit is met; gives which, "" for none."""
        size = 0
        while True:
            raw = await call.read()
            if not isinstance(raw, bytes):
                return ""
            if len(items) >= self._config.max_stream_messages:
                return "max_stream_messages"
            item = msgspec.json.encode(await self._decoded(channel, method, raw, exchange))
            size += len(item)
            if size > self._config.max_stream_bytes:
                return "max_stream_bytes"
            items.append(msgspec.Raw(item))
            if exchange.progress_token is not None:
                shown = item.decode() if len(item) <= _SHOWN else f"a message of {len(item)} bytes"
                params: Json = {
                    "progressToken": exchange.progress_token,
                    "progress": len(items),
                    "message": shown,
                }
                await exchange.client.notify("notifications/progress", params)


def _result(content: bytes) -> Result:
    """A result with structured content, which is there as text, too."""
    text = msgspec.json.encode(content.decode())
    raw = b'{"content":[{"type":"text","text":%b}],"structuredContent":%b}' % (text, content)
    return Result(raw=raw)
