"""A2A operations for the agent as they are, on behalf of the A2A clients of a virtual server.

Nothing of a message is changed on the way to the agent or back. Two things are looked at: whose the tasks and
contexts are, and where push notifications are to be sent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Final

from a2a.types import SendMessageRequest, TaskPushNotificationConfig
from a2a.utils.error_handlers import build_error_details
from a2a.utils.errors import (
    JSON_RPC_ERROR_CODE_MAP,
    A2AError,
    InvalidAgentResponseError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from portico.api import METHOD_NOT_FOUND, Exchange, Host, Json, Refused, Result
from portico_plugins.a2a.protojson import BadJson, from_json, to_json
from portico_plugins.failures import bad_response, unavailable
from portico_plugins.upstreams.checks import header_problem

from .config import A2aConfig
from .elsewhere import forbidden
from .failures import failure_of, is_no_path
from .handles import is_plain
from .headers import Headers
from .ledger import Key
from .link import Link
from .operations import LIST, OPERATIONS, SEND, STREAMED, Context, Operation, Transport
from .owners import Owners

PREFIX: Final = "a2a/"
EVENT: Final = "notifications/a2a/event"

_EXTENSIONS: Final = "A2A-Extensions"
_PAGES: Final = 10
"""How many pages of tasks are asked for, at most, to find one that is the client's."""


class Relay:
    """Carries out A2A operations with one agent.

    Args:
        link: The connection to it.
        headers: Of the requests.
        config: The upstream's configuration.
        host: Its host.
    """

    def __init__(self, link: Link, headers: Headers, config: A2aConfig, host: Host) -> None:
        self._link = link
        self._headers = headers
        self._config = config
        self._host = host
        self._owners = Owners(host.state / "a2a.sqlite", host.name, host.clock, host.log)

    async def close(self) -> None:
        """Let go of what is known of owners."""
        await self._owners.close()

    async def send(self, exchange: Exchange, card: Json | None) -> Result:
        """Carry out an operation.

        Args:
            exchange: Its method is `a2a/` and the operation, its params the ProtoJSON of the request.
            card: ProtoJSON of the agent's card, None before there is one.

        Raises:
            Refused: The agent's own error, with what A2A says of it in `data.a2a`; or one of Portico's.
        """
        try:
            return await self._carried_out(exchange, card)
        except A2AError as error:
            refusal = _refusal(error)
            if refusal is None or is_no_path(error):
                raise self._failed(error, exchange) from None
            raise refusal from None
        except (Refused, TimeoutError):
            raise
        except Exception as error:
            raise self._failed(error, exchange) from None

    async def _carried_out(self, exchange: Exchange, card: Json | None) -> Result:
        name = exchange.method.removeprefix(PREFIX)
        if card is None or self._link.transport is None:
            raise unavailable(self._host.name, "no_card", exchange)
        if name == "GetAgentCard":
            return Result(value=card)
        operation = OPERATIONS.get(name)
        if operation is None:
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        try:
            request: Any = from_json(exchange.params, operation.request, lenient=True)
        except BadJson as error:
            raise InvalidParamsError(str(error)) from None
        _check_can(name, card)
        await self._check(exchange, operation, request)
        context = await self._context(exchange)
        transport, asked = self._link.transport, to_json(request)
        if name in STREAMED:
            return await self._streamed(exchange, transport.stream(operation, asked, context))
        if operation is LIST:
            return Result(value=await self._listed(exchange, asked, transport, context))
        made = await transport.call(operation, asked, context)
        if operation is SEND:
            await self._claim(exchange, made)
        return Result(value=made)

    async def _streamed(self, exchange: Exchange, events: AsyncGenerator[Json]) -> Result:
        async with aclosing(events):
            async for made in events:
                await self._claim(exchange, made)
                await exchange.client.notify(EVENT, made)
        return Result(value={})

    async def _context(self, exchange: Exchange) -> Context:
        headers = await self._headers.of(exchange)
        wanted = exchange.headers.get(_EXTENSIONS.lower(), "")
        if wanted and header_problem(_EXTENSIONS, wanted) is None:
            headers[_EXTENSIONS] = wanted
        left = max(exchange.deadline - self._host.clock.monotonic(), 0.001)
        return Context(headers, left)

    # --- whose it is -----------------------------------------------------------------------------------

    async def _check(self, exchange: Exchange, operation: Operation, request: Any) -> None:
        """Judge a request before the agent hears of it."""
        if operation.task:
            await self._check_task(exchange, getattr(request, operation.task))
        which = getattr(request, "id", "")
        if self._link.paths and which and not is_plain(which):
            raise TaskNotFoundError  # the SDK would make another URL of it; and no agent gives such ids
        if isinstance(request, SendMessageRequest):
            message, configuration = request.message, request.configuration
            for task in (message.task_id, *message.reference_task_ids):
                if task:
                    await self._check_task(exchange, task)
            if message.context_id:
                mine = await self._owners.owns(exchange.principal, "context", message.context_id)
                if mine is False:
                    raise TaskNotFoundError
            if configuration.HasField("task_push_notification_config"):
                await self._check_webhook(configuration.task_push_notification_config.url)
        elif isinstance(request, TaskPushNotificationConfig):
            await self._check_webhook(request.url)

    async def _check_task(self, exchange: Exchange, ident: str) -> None:
        mine = await self._owners.owns(exchange.principal, "task", ident)
        if not mine or (self._link.paths and not is_plain(ident)):
            raise TaskNotFoundError

    async def _check_webhook(self, url: str) -> None:
        why = await forbidden(url, self._config.push_urls)
        if why:
            raise InvalidParamsError(f"The URL for push notifications cannot be used: {why}")

    async def _claim(self, exchange: Exchange, answer: Json) -> None:
        """What an agent has told a client of is the client's from now on, if it was nobody's."""
        if not await self._owners.claim(exchange.principal, _ids_in(answer)):
            self._host.log.warning("a2a.task_of_another", request_id=exchange.id)
            raise InvalidAgentResponseError("The agent answered with a task of somebody else")

    async def _listed(
        self, exchange: Exchange, request: Json, transport: Transport, context: Context
    ) -> Json:
        """A page of the client's own tasks; pages that have none of them are passed over."""
        page: Json = {}
        kept: list[Json] = []
        whole = "pageToken" not in request
        for _ in range(_PAGES):
            page = await transport.call(LIST, request, context)
            tasks = page.get("tasks", [])
            mine = await self._owners.mine(exchange.principal, (task.get("id", "") for task in tasks))
            kept = [task for task in tasks if task.get("id") in mine]
            if kept or not page.get("nextPageToken"):
                break
            request = {**request, "pageToken": page["nextPageToken"]}
        # How many others there are is nobody's business.
        if whole and not page.get("nextPageToken"):
            total = len(kept)
        else:
            total = min(page.get("totalSize", 0), await self._owners.count(exchange.principal))
        return {**page, "tasks": kept, "totalSize": total}

    def _failed(self, error: Exception, exchange: Exchange) -> Refused:
        found = failure_of(error, self._host.name, exchange)
        return found if isinstance(found, Refused) else bad_response(self._host.name, "agent_error", exchange)


def _check_can(name: str, card: Json) -> None:
    """Whether an agent does such things at all, which comes before whose the task is (A2A 3.3.4)."""
    can = card.get("capabilities", {})
    if name in STREAMED and not can.get("streaming"):
        raise UnsupportedOperationError("Streaming is not supported by the agent")
    if "PushNotificationConfig" in name and not can.get("pushNotifications"):
        raise PushNotificationNotSupportedError("Push notifications are not supported by the agent")


def _ids_in(answer: Json) -> Iterator[Key]:
    """The tasks and contexts that an answer, or an event of a stream, is about."""
    for name, body in answer.items():
        if isinstance(body, dict) and name in ("task", "message", "statusUpdate", "artifactUpdate"):
            task = body.get("id" if name == "task" else "taskId")
            if task:
                yield "task", str(task)
            if body.get("contextId"):
                yield "context", str(body["contextId"])


def _refusal(error: A2AError) -> Refused | None:
    """An error of A2A's with everything that A2A says of it."""
    code = JSON_RPC_ERROR_CODE_MAP.get(type(error))
    if code is None:
        return None
    return Refused(code, error.message, {"a2a": build_error_details(error)})
