"""Calls that wait for what their client answers, in either era."""

from __future__ import annotations

import asyncio
import itertools

from tests.faults.client import Asked, Era, FaultyClient
from tests.faults.http1 import BROKEN, Json

CAN: Json = {"elicitation": {"form": {}}}
YES: Json = {"action": "accept", "content": {"answer": "yes"}}
_keys = (f"wait-{number}" for number in itertools.count(1))
_PATIENCE = 20.0


class Waiting:
    """A call of a legacy upstream's `ask` whose question has come, and not been answered.

    Attributes:
        key: What it was called with.

    Args:
        client: Who called.
        asked: The call.
        reading: Reads a legacy client's answer, which goes on.
    """

    def __init__(self, client: FaultyClient, asked: Asked, reading: asyncio.Future[None] | None) -> None:
        self.key: str = asked.arguments["key"]
        self._client = client
        self._asked = asked
        self._reading = reading

    async def _answer(self) -> Asked:
        if self._reading is None:
            result = self._asked.answers[0]["result"]
            responses = dict.fromkeys(result["inputRequests"], YES)
            more = {"inputResponses": responses, "requestState": result["requestState"]}
            return await self._client.call("legacy__ask", {"key": self.key}, **more)
        # The call's own connection has its stream; the answer to its question goes over another.
        question = next(each for each in self._asked.frames if each.get("method") == "elicitation/create")
        other = FaultyClient("legacy", self._client.port)
        other.session = self._client.session
        try:
            await other.tell({"jsonrpc": "2.0", "id": question["id"], "result": YES})
        except BROKEN as error:
            self._asked.why = f"its client's answer was lost: {error!r} "
        other.hang_up()
        await self._reading
        return self._asked

    async def _end(self) -> Asked:
        answer = await self._answer()
        await self._client.end(self._client.port)
        return answer

    async def resumed(self) -> str | None:
        """Answer its question; what is wrong with what comes of it."""
        answer = await self._end()
        own = answer.end == "whole" and len(answer.answers) == 1 and answer.text == f"{self.key}:accept"
        return None if own else f"{self.key} was not resumed: {answer}"

    async def left(self) -> None:
        """Its client goes, and never comes back to it."""
        self._client.hang_up()
        if self._reading is not None:
            await self._reading
        await self._client.end(self._client.port)

    async def refused(self) -> str | None:
        """Answer its question too late; what is wrong with what is said to that."""
        answer = await self._end()
        clean = answer.end == "whole" and len(answer.answers) == 1 and answer.code == -32602
        return None if clean else f"{self.key} was not refused cleanly: {answer}"


async def waiting(era: Era, port: int) -> Waiting:
    """Call the legacy upstream's `ask`, and come to its question.

    Args:
        era: The client's.
        port: The gateway's.

    Raises:
        TimeoutError: No question came.
    """
    key = next(_keys)
    client = FaultyClient(era, port, capabilities=CAN)
    await client.__aenter__()
    params: Json = {"name": "legacy__ask", "arguments": {"key": key}}
    asked = await client.begin("tools/call", params, "legacy__ask", {"key": key})
    reading = asyncio.ensure_future(client.finish(asked))
    async with asyncio.timeout(_PATIENCE):
        while not reading.done() and not _asked_something(asked):
            await asyncio.sleep(0.01)
    if era == "modern":
        await reading
    result = asked.answers[0].get("result", {}) if asked.answers else {}
    if result.get("resultType") == "input_required":
        return Waiting(client, asked, None)
    if _asked_something(asked) and not asked.answers:
        return Waiting(client, asked, reading)
    await reading
    await client.end(port)
    raise TimeoutError(f"was not asked: {asked}")


def _asked_something(asked: Asked) -> bool:
    return any(each.get("method") == "elicitation/create" for each in asked.frames)
