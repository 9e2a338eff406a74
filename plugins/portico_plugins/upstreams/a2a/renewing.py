"""Requests that an agent does not let in, sent once more with other headers: they were not carried out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any, Final, cast

import attrs
import grpc
import httpx
from a2a.client.client import ClientCallContext
from a2a.client.transports.base import ClientTransport

from .headers import Headers

_STREAMED: Final = frozenset({"send_message_streaming", "subscribe"})


def renewing(transport: ClientTransport, headers: Headers) -> ClientTransport:
    """A transport of the SDK's that asks for other headers when the agent does not take those it was sent."""
    return cast("ClientTransport", _Renewing(transport, headers))


@attrs.frozen(eq=False)
class _Renewing:
    _transport: ClientTransport
    _headers: Headers

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._transport, name)
        return partial(self._streamed if name in _STREAMED else self._once, call)

    async def _once(self, call: Any, request: Any, *, context: ClientCallContext) -> Any:
        try:
            return await call(request, context=context)
        except Exception as error:
            other = await self._renewed(error, context)
            if other is None:
                raise
        return await call(request, context=other)

    async def _streamed(self, call: Any, request: Any, *, context: ClientCallContext) -> AsyncGenerator[Any]:
        begun = False
        other: ClientCallContext | None = None
        try:
            async with aclosing(call(request, context=context)) as events:
                async for event in events:
                    begun = True
                    yield event
        except Exception as error:
            other = None if begun else await self._renewed(error, context)
            if other is None:
                raise
        if other is not None:
            async with aclosing(call(request, context=other)) as events:
                async for event in events:
                    yield event

    async def _renewed(self, error: Exception, context: ClientCallContext) -> ClientCallContext | None:
        """What to send a request with instead; None when it failed otherwise, or there is nothing else."""
        cause = error.__cause__
        if isinstance(cause, httpx.HTTPStatusError):
            refused = cause.response.status_code == 401
        else:
            refused = (
                isinstance(cause, grpc.aio.AioRpcError) and cause.code() is grpc.StatusCode.UNAUTHENTICATED
            )
        found = await self._headers.renewed(context.service_parameters or {}) if refused else None
        return None if found is None else context.model_copy(update={"service_parameters": found})
