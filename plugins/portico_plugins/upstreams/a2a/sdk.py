"""What the SDK's transports carry out: gRPC, and A2A 0.3. They connect to nothing by themselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import httpx
from a2a.client.client import ClientCallContext
from a2a.client.transports.base import ClientTransport
from a2a.utils.errors import A2AError

from portico.api import Json
from portico_plugins.a2a.protojson import from_json, to_json
from portico_plugins.http1 import Answer, Unusable

from .operations import Context, Operation
from .web import BadStatus, Web, is_json


class Sdk:
    """Carries out operations with a transport of the SDK's. Implements `Transport`.

    Args:
        transport: That one.
    """

    def __init__(self, transport: ClientTransport) -> None:
        self._transport = transport

    async def call(self, operation: Operation, request: Json, context: Context) -> Json:
        """See `Transport`."""
        with _of_status():
            answer = await self._begun(operation, request, context)
        return to_json(answer) if answer is not None else {}

    async def stream(self, operation: Operation, request: Json, context: Context) -> AsyncGenerator[Json]:
        """See `Transport`."""
        with _of_status():
            async with aclosing(self._begun(operation, request, context)) as events:
                async for event in events:
                    yield to_json(event)

    def _begun(self, operation: Operation, request: Json, context: Context) -> Any:
        made = from_json(request, operation.request)
        how = ClientCallContext(service_parameters=dict(context.headers), timeout=context.seconds)
        return getattr(self._transport, operation.call)(made, context=how)


@contextmanager
def _of_status() -> Iterator[None]:
    """Tell of a status as the other transports do."""
    try:
        yield
    except A2AError as error:
        cause = error.__cause__
        if isinstance(cause, httpx.HTTPStatusError):
            later = cause.response.headers.get("retry-after", "")
            raise error from BadStatus(cause.response.status_code, later)
        raise


class Bridge(httpx.AsyncBaseTransport):
    """What the SDK's HTTP client sends with. `HttpError` passes through the SDK as it is.

    Args:
        web: Sends.
        most: The most bytes a stream may have.
        rpc: Whether errors are JSON-RPC: then the status does not matter where there is such an error.
    """

    def __init__(self, web: Web, most: int, *, rpc: bool) -> None:
        self._web = web
        self._most = most
        self._rpc = rpc

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            HttpError: There is no acceptable answer.
            TooLarge: The request is larger than may be sent; it was not.
        """
        answer = await self._web.ask(request.method, str(request.url), request.headers.raw, request.content)
        status, kind = answer.status, answer.headers.get(b"content-type", b"")
        headers = [(b"content-type", kind)]
        if answer.stream:
            return httpx.Response(status, headers=headers, stream=_Pieces(answer, self._most))
        if self._rpc and is_json(answer) and status not in (401, 403) and b'"jsonrpc"' in answer.body:
            status = 200
        if b"retry-after" in answer.headers:
            headers.append((b"retry-after", answer.headers[b"retry-after"]))
        return httpx.Response(status, headers=headers, content=answer.body)


class _Pieces(httpx.AsyncByteStream):
    """A stream of events.

    Args:
        answer: Where it comes from.
        most: The most bytes it may have.
    """

    def __init__(self, answer: Answer, most: int) -> None:
        self._answer = answer
        self._left = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._answer.pieces():
            self._left -= len(piece)
            if self._left < 0:
                raise Unusable("message_too_large")
            yield piece

    async def aclose(self) -> None:
        """Nobody wants the rest: keep the connection if it is about to end by itself."""
        self._answer.finish()
