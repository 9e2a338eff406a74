"""A call that an upstream has made an MCP task of (SEP-2663): looked at until it is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

import attrs

from portico.api import META_PREFIX, Endpoint, Json, Principal, Refused, answer_alone

TASKS: Final = META_PREFIX + "tasks"
"""The extension by which clients say that calls may become tasks."""

_USUAL_MS: Final = 1000
_RANGE_MS: Final = (50, 30_000)
_PATIENCE: Final = 20
"""Looks in a row that may fail for the moment."""
_CANCEL_SECONDS: Final = 5.0


@attrs.define(eq=False)
class LongCall:
    """One such task.

    Attributes:
        endpoint: The virtual server.
        owner: Whose it is.
        headers: Of the request that began it.
        meta: The `_meta` of requests about it.
        task: What was last seen of it.
        answered: The keys of its questions that were answered.
    """

    endpoint: Endpoint
    owner: Principal
    headers: Mapping[str, str]
    meta: Json
    task: Json
    answered: set[str] = attrs.field(factory=set)

    @property
    def status(self) -> str:
        """How it is: `working`, `input_required`, `completed`, `failed` or `cancelled`."""
        return str(self.task.get("status"))

    @property
    def said(self) -> str:
        """What its server says about that."""
        return str(self.task.get("statusMessage") or "")

    @property
    def asked(self) -> Json:
        """What it has asked and was not answered: its server may go on showing what was."""
        asked = self.task.get("inputRequests")
        known = asked if self.status == "input_required" and isinstance(asked, dict) else {}
        return {key: request for key, request in known.items() if key not in self.answered}

    async def look(self) -> None:
        """See how it is, after the pause its server wants.

        Raises:
            Refused: It cannot be seen, for too long or for good.
        """
        failed = 0
        while True:
            await asyncio.sleep(_pause(self.task.get("pollIntervalMs")))
            try:
                self.task = {"taskId": self.task["taskId"], **await self._send("tasks/get")}
            except Refused as refusal:
                failed += 1
                if failed >= _PATIENCE or not _passing(refusal):
                    raise
            else:
                return

    async def answer(self, answers: Json) -> None:
        """Answer what it has asked.

        Raises:
            Refused: It cannot be.
        """
        await self._send("tasks/update", inputResponses=answers)
        self.answered.update(answers)

    async def cancel(self) -> None:
        """Have it end; whatever becomes of that."""
        with contextlib.suppress(Refused, TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                await self._send("tasks/cancel")

    async def _send(self, method: str, **more: Any) -> Json:
        params = {"taskId": self.task["taskId"], **more, "_meta": self.meta}
        return (await answer_alone(self.endpoint, method, params, self.owner, headers=self.headers)).value


def _pause(said: Any) -> float:
    ms = said if isinstance(said, int | float) and not isinstance(said, bool) else _USUAL_MS
    return min(max(ms, _RANGE_MS[0]), _RANGE_MS[1]) / 1000


def _passing(refusal: Refused) -> bool:
    """Whether the next look may do better."""
    gateway = refusal.data.get("gateway") if isinstance(refusal.data, dict) else None
    return isinstance(gateway, dict) and gateway.get("retryable") is True
