"""Calls of tools: a message is sent, what comes of it followed to its end, and told as progress meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Final

import grpc
from a2a.client.errors import A2AClientError
from a2a.utils.errors import MethodNotFoundError, UnsupportedOperationError

from portico.api import Exchange, Host, Json, Refused, Result
from portico_plugins.a2a.states import AUTH_REQUIRED, INPUT_REQUIRED
from portico_plugins.http1 import Broken, HttpError
from portico_plugins.upstreams.limit import Limit

from . import tasks
from .agent import Agent
from .config import A2aConfig
from .handles import Handles
from .messages import user_message
from .operations import Context
from .outcome import BadEvent, Outcome
from .questions import answered, question, visit

_SHOWN: Final = 2000
"""Characters of what an agent says that are shown in a notification of progress."""
_PATIENT: Final = 5
"""How often in a row an agent may fail to say how a task is, before that is taken for an answer."""
_ASKING: Final = 30.0
"""Seconds an agent may take to say how a task is."""
_PAUSE: Final = (0.02, 2.0)
"""Seconds between two questions how a task is: a quarter of what it has taken, within these."""
_NAMING: Final = 2.0
"""Seconds an agent has to name a task that nobody waits for any more."""
_ROUNDS: Final = 10
"""How often a client is asked in one call."""


class Call:
    """One call of a tool.

    Args:
        agent: Who is asked.
        exchange: The call.
        headers: Of its requests.
        config: The upstream's configuration.
        host: Its host.
    """

    def __init__(
        self, agent: Agent, exchange: Exchange, headers: dict[str, str], config: A2aConfig, host: Host
    ) -> None:
        self.outcome = Outcome(paths=agent.paths)
        self._agent = agent
        self._exchange = exchange
        self._headers = headers
        self._config = config
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._created = host.clock.time()
        self._told = 0
        self._patience: asyncio.Timeout | None = None
        self._events: AsyncGenerator[Json] | None = None
        self._first: asyncio.Future[Json | None] | None = None

    async def run(self, message: Json, handles: Handles, limit: Limit | None) -> Result:
        """Carry it out, questions to the client included; gives its result, or the task it has become.

        Args:
            message: What to send.
            handles: Of the upstream.
            limit: Of the call; it stands still while the client is asked.

        Raises:
            Exception: What the SDK, or what is below it, raises.
        """
        knows_tasks = tasks.known(self._exchange)
        if "taskId" in message and "contextId" not in message:
            # The SDK's agents take a message without it for the beginning of another conversation.
            task = await self._agent.task(message["taskId"], self._context())
            message["contextId"] = task.get("contextId", "")
        for _ in range(_ROUNDS):
            if not knows_tasks:
                await self._deliver(message)
            elif not await self._delivered_soon(message):
                return tasks.begun(self.outcome, self._created, self._host.clock.time())
            if self.outcome.state == AUTH_REQUIRED:
                await self._authorized(limit)
            if self.outcome.state != INPUT_REQUIRED:
                break
            params = question(self.outcome)
            answer = await self._asked(params, limit)
            if answer is None:
                break
            message = user_message(answered(params, answer), self.outcome.task, self.outcome.context)
        most = self._config.max_inline_bytes
        return self.outcome.result(self._exchange.principal, handles, self._host.name, most)

    def give_up(self) -> None:
        """Nobody waits for it any more: have the agent's task cancelled, once it is known if need be."""
        if self.outcome.running:
            self._agent.give_up(self.outcome.task, self._headers)
        elif self._first is not None and not self._first.done():
            self._agent.give_up(self._known(self._first), self._headers)

    async def _known(self, first: asyncio.Future[Json | None]) -> str:
        """The id of the task that was asked for, "" if it is none."""
        try:
            async with asyncio.timeout(_NAMING):
                event = await first
            if event is not None:
                self.outcome.take(event)
            return self.outcome.task if self.outcome.running else ""
        finally:
            if not first.done():
                first.cancel()
                await asyncio.wait([first])
            if self._events is not None:
                await self._events.aclose()

    # --- sending, and following what comes of it ----------------------------------------------------

    async def _delivered_soon(self, message: Json) -> bool:
        """Send a message; False when its task takes longer than clients wait that know tasks."""
        patience = self._patience = asyncio.timeout(None)
        try:
            async with patience:
                await self._deliver(message)
        except TimeoutError:
            if not patience.expired():
                raise
            return False
        return True

    async def _deliver(self, message: Json) -> None:
        """Send a message; returns when it is answered, or its task is over or waits for somebody."""
        self.outcome.resumed()
        context = self._context()
        if self._agent.streams and self._config.streaming:
            events = self._events = self._agent.stream(message, context)
            try:
                event = await self._begun(anext(events, None))
            except (MethodNotFoundError, UnsupportedOperationError):
                self._host.log.warning("a2a_streaming_unsupported")
                self._agent.streams = False  # whatever its card says, until that is another
                await self._sent(message, context)
            else:
                async with aclosing(events):
                    await self._streamed(event, events)
        else:
            await self._sent(message, context)
        await self._follow()

    async def _sent(self, message: Json, context: Context) -> None:
        event = await self._begun(self._agent.send(message, context))
        if event is not None:
            await self._take(event)

    async def _begun(self, work: Awaitable[Json | None]) -> Json | None:
        """The first that comes of a message: before that its task has no name to cancel it by."""
        self._first = asyncio.ensure_future(work)
        return await asyncio.shield(self._first)

    async def _streamed(self, event: Json | None, events: AsyncGenerator[Json]) -> None:
        if event is None:
            raise BadEvent("empty_stream")
        try:
            for _ in range(self._config.max_stream_events):
                if event is None:
                    return
                await self._take(event)
                if self.outcome.settled:
                    return
                event = await anext(events, None)
        except (Broken, A2AClientError) as error:
            broken = isinstance(error, Broken) or isinstance(error.__cause__, grpc.aio.AioRpcError)
            if not broken or not self.outcome.task:
                raise  # else the task is there, and can be asked for

    async def _follow(self, stay: Json | None = None) -> None:
        """Ask how the task is until it is over or waits for somebody.

        Args:
            stay: A status that it has, and is to leave.
        """
        failed = 0
        while not self.outcome.settled or self.outcome.status == stay:
            elapsed = self._loop.time() - self._began
            await asyncio.sleep(min(max(elapsed / 4, _PAUSE[0]), _PAUSE[1]))
            patience = asyncio.timeout(_ASKING)
            try:
                async with patience:
                    task = await self._agent.task(self.outcome.task, self._context())
            except (HttpError, A2AClientError, TimeoutError) as error:
                failed += 1
                if failed >= _PATIENT or (isinstance(error, TimeoutError) and not patience.expired()):
                    raise
                continue
            failed = 0
            before = self.outcome.status
            await self._take({"task": task}, tell=before != task.get("status"))

    async def _take(self, event: Json, *, tell: bool = True) -> None:
        self.outcome.take(event)
        if self._patience is not None and self._patience.when() is None and self.outcome.running:
            self._patience.reschedule(max(self._loop.time(), self._began + self._config.task_after))
        if tell and self._exchange.progress_token is not None:
            await self._tell(event)

    async def _tell(self, event: Json) -> None:
        """Tell the client how far it is: in words, since A2A has no numbers for that."""
        if self.outcome.settled:
            return
        self._told += 1
        params: Json = {"progressToken": self._exchange.progress_token, "progress": self._told}
        words = self.outcome.words() if "artifactUpdate" not in event else _of(event["artifactUpdate"])
        if words:
            params["message"] = words[:_SHOWN]
        await self._exchange.client.notify("notifications/progress", params)

    def _context(self) -> Context:
        seconds = max(0.001, self._exchange.deadline - self._host.clock.monotonic())
        if self._config.call_timeout is not None:
            seconds = min(seconds, self._config.call_timeout)
        return Context(self._headers, seconds)

    # --- asking the client ------------------------------------------------------------------------

    async def _asked(self, params: Json, limit: Limit | None) -> Json | None:
        """What the client says; None when it cannot be asked, or does not want to say.

        Then the call ends with the agent's question, which another call can answer.
        """
        if limit is not None:
            limit.pause()
        try:
            answer = await self._exchange.client.ask("elicitation/create", params)
        except Refused as refusal:
            self._host.log.debug("a2a_question_unasked", code=refusal.code)
            return None
        finally:
            if limit is not None:
                limit.resume()
        return answer if answer.get("action") == "accept" else None

    async def _authorized(self, limit: Limit | None) -> None:
        """Have the user authorize the agent where it says, and wait until it has taken note of that."""
        for _ in range(_ROUNDS):
            url = self.outcome.authorization()
            if not url or await self._asked(visit(self.outcome, url), limit) is None:
                return
            await self._follow(stay=self.outcome.status)
            if self.outcome.state != AUTH_REQUIRED:
                return


def _of(update: Json) -> str:
    parts = update.get("artifact", {}).get("parts", [])
    return "\n".join(str(part["text"]) for part in parts if "text" in part)
