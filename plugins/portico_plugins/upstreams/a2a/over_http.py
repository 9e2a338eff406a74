"""The bindings of A2A 1.0 that are HTTP and JSON, over the gateway's own client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import msgspec
from a2a.client.errors import A2AClientError

from portico.api import Json, SseEvent, SseParser, SseTooLarge
from portico_plugins.http1 import Answer, Unusable

from .canonical import canonical
from .operations import Context, Operation
from .web import BadStatus, Web

_ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
_HEADERS: Final = [(b"Content-Type", b"application/json"), (b"A2A-Version", b"1.0")]
_WHOLE: Final = [(b"Accept", b"application/json, */*;q=0.5"), *_HEADERS]
_STREAM: Final = [(b"Accept", b"text/event-stream"), *_HEADERS]


class OverHttp(ABC):
    """Carries out operations with requests of HTTP. Implements `Transport`.

    Args:
        web: Sends them.
        url: Of the interface.
        tenant: What every request names, "" for nothing.
        most: The most bytes a stream may have.
    """

    def __init__(self, web: Web, url: str, tenant: str, most: int) -> None:
        self._web = web
        self._url = url
        self._tenant = tenant
        self._most = most

    async def call(self, operation: Operation, request: Json, context: Context) -> Json:
        """See `Transport`."""
        answer = await self._asked(operation, request, context, _WHOLE)
        if answer.stream:  # what is wrong with it comes first: it may not end, or be too much
            async for _ in _events(answer, self._most):
                pass
            raise Unusable("wrong_content_type")
        return self._read(operation, self.of_answer(answer))

    async def stream(self, operation: Operation, request: Json, context: Context) -> AsyncGenerator[Json]:
        """See `Transport`."""
        answer = await self._asked(operation, request, context, _STREAM)
        if not answer.stream:
            yield self._read(operation, self.of_answer(answer))
            return
        async with aclosing(_events(answer, self._most)) as events:
            async for event in events:
                yield self._read(operation, self.of_event(event))

    async def _asked(
        self, operation: Operation, request: Json, context: Context, headers: list[tuple[bytes, bytes]]
    ) -> Answer:
        if self._tenant:
            request = {**request, "tenant": self._tenant}
        verb, url, body = self.request(operation, request)
        more = [(name.encode(), value.encode()) for name, value in context.headers.items()]
        return await self._web.ask(verb, url, [*headers, *more], body)

    def _read(self, operation: Operation, value: Any) -> Json:
        return canonical(value, operation.answer) if operation.answer is not None else {}

    @abstractmethod
    def request(self, operation: Operation, request: Json) -> tuple[str, str, bytes]:
        """The method, the URL and the body of a request."""

    @abstractmethod
    def of_answer(self, answer: Answer) -> Any:
        """The message in an answer, as it came.

        Raises:
            A2AError: It is an error, or nothing that can be read.
        """

    @abstractmethod
    def of_event(self, event: SseEvent) -> Any:
        """The message in an event, as it came.

        Raises:
            A2AError: It is an error, or nothing that can be read.
        """


async def _events(answer: Answer, most: int) -> AsyncGenerator[SseEvent]:
    parser, left = SseParser(most), most
    try:
        async for piece in answer.pieces():
            left -= len(piece)
            if left < 0:
                raise Unusable("message_too_large")
            for event in _fed(parser, piece):
                if event.data:
                    yield event
    finally:
        answer.finish()  # nobody wants the rest: the connection is kept if it is about to end by itself


def _fed(parser: SseParser, piece: bytes) -> list[SseEvent]:
    try:
        return parser.feed(piece)
    except SseTooLarge:
        raise Unusable("message_too_large") from None
    except ValueError:
        raise Unusable("bad_text") from None


def decoded(text: bytes | str) -> Any:
    """JSON from an agent.

    Raises:
        A2AClientError: It is none.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise A2AClientError("The answer is not JSON") from None


def bad_status(answer: Answer) -> BadStatus:
    """An answer that is no success."""
    return BadStatus(answer.status, answer.headers.get(b"retry-after", b"").decode("latin-1"))


def error_info(details: Any) -> Json:
    """The `google.rpc.ErrorInfo` among the details of an error, {} if there is none."""
    for each in details if isinstance(details, list) else ():
        if isinstance(each, dict) and each.get("@type") == _ERROR_INFO:
            return each
    return {}


def metadata_of(info: Json) -> Json | None:
    """What an agent adds to an error of A2A's; None for nothing."""
    metadata = info.get("metadata")
    return metadata if isinstance(metadata, dict) and metadata else None
