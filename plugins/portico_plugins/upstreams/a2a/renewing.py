"""Requests that an agent does not let in, sent once more with other headers: they were not carried out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import attrs
import grpc

from portico.api import Json

from .headers import Headers
from .operations import Context, Operation, Transport
from .web import BadStatus


@attrs.frozen(eq=False)
class Renewing:
    """Asks for other headers when the agent does not take those it was sent. Implements `Transport`.

    Attributes:
        transport: What carries out the operations.
        headers: Those of requests.
    """

    transport: Transport
    headers: Headers

    async def call(self, operation: Operation, request: Json, context: Context) -> Json:
        """See `Transport`."""
        try:
            return await self.transport.call(operation, request, context)
        except Exception as error:
            other = await self._renewed(error, context)
            if other is None:
                raise
        return await self.transport.call(operation, request, other)

    async def stream(self, operation: Operation, request: Json, context: Context) -> AsyncGenerator[Json]:
        """See `Transport`."""
        begun = False
        other: Context | None = None
        try:
            async with aclosing(self.transport.stream(operation, request, context)) as events:
                async for event in events:
                    begun = True
                    yield event
        except Exception as error:
            other = None if begun else await self._renewed(error, context)
            if other is None:
                raise
        if other is not None:
            async with aclosing(self.transport.stream(operation, request, other)) as events:
                async for event in events:
                    yield event

    async def _renewed(self, error: Exception, context: Context) -> Context | None:
        """What to send a request with instead; None when it failed otherwise, or there is nothing else."""
        cause = error.__cause__
        if isinstance(cause, BadStatus):
            refused = cause.status == 401
        else:
            refused = (
                isinstance(cause, grpc.aio.AioRpcError) and cause.code() is grpc.StatusCode.UNAUTHENTICATED
            )
        found = await self.headers.renewed(context.headers) if refused else None
        return None if found is None else attrs.evolve(context, headers=found)
