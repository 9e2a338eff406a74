"""The Tasks extension (SEP-2663): passed through with sealed ids, or polled for clients that lack it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import attrs

from portico._core.contracts.exchange import Exchange, Target
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.errors import INVALID_PARAMS, UPSTREAM_BAD_RESPONSE, Refused, failure
from portico._core.seal import Seal, Unsealable

TASK_METHODS: Final = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
HANDLE_TTL: Final = 30 * 86_400.0
_POLL_MS: Final = 1000
_CANCEL_SECONDS: Final = 5.0
_POLL_RANGE_MS: Final = (50, 30_000)


class Forward(Protocol):
    """Sends an exchange with other params to its target."""

    async def __call__(
        self, exchange: Exchange, target: Target, params: Json, *, capabilities: Json | None = None
    ) -> Result: ...


class Tasks:
    """Tasks of one virtual server. Holds none: the sealed id says which upstream has it.

    Args:
        seal: For ids; they are bound to the principal and outlive a restart when `gateway.secret` is set.
        forward: How to reach upstreams.
        ask: Puts the questions of a result to the client; gives the answers by their keys.
    """

    def __init__(
        self, seal: Seal, forward: Forward, ask: Callable[[Exchange, Result], Awaitable[Json]]
    ) -> None:
        self._seal = seal
        self._forward = forward
        self._ask = ask

    def seal_result(self, exchange: Exchange, target: Target, result: Result) -> Result:
        """A `task` result under the id the client shall know."""
        own = result.value.get("taskId")
        if not isinstance(own, str):
            raise self._bad(exchange, target, "a task without an id")
        handle = self._seal.close("task", exchange.principal, [target.upstream, own], HANDLE_TTL)
        result.value = {**result.value, "taskId": handle}
        return result

    async def answer(self, exchange: Exchange) -> Result:
        """Carry out `tasks/get`, `tasks/update` or `tasks/cancel`.

        Raises:
            Refused: -32602 for an id that is not this principal's; foreign and unknown ones look the same.
        """
        handle = exchange.params.get("taskId")
        try:
            _, (upstream, own) = self._seal.open("task", exchange.principal, handle)
        except Unsealable:
            raise Refused(INVALID_PARAMS, "Unknown task") from None
        target = exchange.target = Target(upstream, own)
        result = await self._forward(exchange, target, {**exchange.params, "taskId": own})
        if "taskId" in result.value:
            result.value = {**result.value, "taskId": handle}
        return result

    async def finish(self, exchange: Exchange, target: Target, result: Result) -> Result:
        """Poll a task to its end on behalf of a client that knows no tasks; cancels it with the exchange."""
        task = result.value
        own = task.get("taskId")
        if not isinstance(own, str):
            raise self._bad(exchange, target, "a task without an id")
        answered: set[str] = set()
        try:
            while True:
                status = task.get("status")
                if status == "completed":
                    return Result(value=task["result"]) if isinstance(task.get("result"), dict) else result
                if status == "failed":
                    raise _error_of(task.get("error"))
                if status == "cancelled":
                    raise self._bad(exchange, target, "a cancelled task")
                if status != "input_required" or not await self._give_input(
                    exchange, target, own, task, answered
                ):
                    await asyncio.sleep(_interval(task.get("pollIntervalMs")))
                task = (await self._send("tasks/get", exchange, target, own)).value
        except asyncio.CancelledError:
            await self._give_up(exchange, target, own)
            raise

    async def _send(self, method: str, exchange: Exchange, target: Target, own: str, **more: Any) -> Result:
        derived = attrs.evolve(exchange, method=method, progress_token=None)
        return await self._forward(derived, Target(target.upstream, own), {"taskId": own, **more})

    async def _give_up(self, exchange: Exchange, target: Target, own: str) -> None:
        """Cancel the task upstream. Whatever becomes of this, the exchange ends, and soon."""
        with contextlib.suppress(Refused, TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                await self._send("tasks/cancel", exchange, target, own)

    async def _give_input(
        self, exchange: Exchange, target: Target, own: str, task: Json, answered: set[str]
    ) -> bool:
        """Answer what was not answered before; whether there was such a thing.

        An upstream goes on showing a question until it has taken note of the answer; keys are never used for
        another (SEP-2663).
        """
        asked = task.get("inputRequests") or {}
        if isinstance(asked, dict):
            asked = {key: request for key, request in asked.items() if key not in answered}
            if not asked:
                return False
        try:
            answers = await self._ask(exchange, Result(value={"inputRequests": asked}))
        except Refused:
            await self._give_up(exchange, target, own)
            raise
        answered.update(answers)
        await self._send("tasks/update", exchange, target, own, inputResponses=answers)
        return True

    def _bad(self, exchange: Exchange, target: Target, what: str) -> Refused:
        return failure(
            UPSTREAM_BAD_RESPONSE,
            f"The upstream answered with {what}",
            reason="upstream_bad_response",
            upstream=target.upstream,
            request_id=exchange.id,
        )


def _interval(said: Any) -> float:
    ms = said if isinstance(said, int | float) and not isinstance(said, bool) else _POLL_MS
    return min(max(ms, _POLL_RANGE_MS[0]), _POLL_RANGE_MS[1]) / 1000


def _error_of(error: Any) -> Refused:
    if isinstance(error, dict) and isinstance(error.get("code"), int):
        return Refused(error["code"], str(error.get("message")), error.get("data"))
    return failure(UPSTREAM_BAD_RESPONSE, "The upstream's task failed", reason="task_failed")
