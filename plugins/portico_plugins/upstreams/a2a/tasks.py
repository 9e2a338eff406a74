"""Tasks of an agent as tasks of MCP (the extension `io.modelcontextprotocol/tasks`, SEP-2663)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from portico.api import INVALID_PARAMS, META_PREFIX, Exchange, Json, Refused, Result
from portico_plugins.a2a.states import AUTH_REQUIRED, INPUT_REQUIRED, MCP_STATUS

from .agent import Agent
from .handles import Handles, is_sound
from .messages import user_message
from .operations import Context
from .outcome import Outcome
from .questions import answered, question, visit

EXTENSION: Final = META_PREFIX + "tasks"
METHODS: Final = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
_OWN: Final = re.compile(r"([0-9a-f]{1,16})\.(.+)")
_POLL_MS: Final = 1000


def known(exchange: Exchange) -> bool:
    """Whether the client has said that it knows tasks."""
    declared = exchange.capabilities.get("extensions")
    return isinstance(declared, dict) and EXTENSION in declared


def begun(outcome: Outcome, created: float, now: float) -> Result:
    """The result of a call that has become a task.

    Args:
        outcome: What has become of it so far.
        created: When it began, seconds since the epoch.
        now: When it was last heard of.
    """
    own = f"{int(created * 1000):x}.{outcome.task}"
    task = {"resultType": "task", "taskId": own, "status": "working", **_times(created, now)}
    words = outcome.words()
    return Result(value={**task, **({"statusMessage": words[:2000]} if words else {})})


def _times(created: float, now: float) -> Json:
    return {
        "createdAt": _iso(created),
        "lastUpdatedAt": _iso(now),
        "ttlMs": None,
        "pollIntervalMs": _POLL_MS,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Tasks:
    """The tasks of one upstream; keeps none, since the kernel's ids say whose they are.

    Args:
        agent: Who has them.
        handles: Of the upstream.
        upstream: Its name.
        most_inline: The most bytes of a file that is in a result itself.
    """

    def __init__(self, agent: Agent, handles: Handles, upstream: str, most_inline: int) -> None:
        self._agent = agent
        self._handles = handles
        self._upstream = upstream
        self._most_inline = most_inline

    async def send(self, exchange: Exchange, own: str, context: Context, now: float) -> Result:
        """Carry out `tasks/get`, `tasks/update` or `tasks/cancel`.

        Args:
            exchange: The request.
            own: The id as `begun` gave it.
            context: Of the requests.
            now: Seconds since the epoch.

        Raises:
            Refused: -32602: there is no such task.
            Exception: What the SDK, or what is below it, raises.
        """
        found = _OWN.fullmatch(own)
        if found is None or not is_sound(found[2]):
            raise Refused(INVALID_PARAMS, "Unknown task")
        created, ident = int(found[1], 16) / 1000, found[2]
        if exchange.method == "tasks/cancel":
            await self._agent.cancel(ident, context)
            return Result(value={})
        outcome = Outcome(paths=self._agent.paths)
        outcome.take_task(await self._agent.task(ident, context))
        if exchange.method == "tasks/get":
            return self._shown(exchange, own, outcome, created, now)
        answers = exchange.params.get("inputResponses")
        params = self._asked(outcome).get(_key(outcome))
        answer = answers.get(_key(outcome)) if isinstance(answers, dict) else None
        if params is not None and isinstance(answer, dict) and outcome.state == INPUT_REQUIRED:
            if answer.get("action") == "accept":
                parts = answered(params["params"], answer)
                await self._agent.send(user_message(parts, ident, outcome.context), context)
            else:
                await self._agent.cancel(ident, context)  # nobody else could answer it
        return Result(value={})

    def _shown(self, exchange: Exchange, own: str, outcome: Outcome, created: float, now: float) -> Result:
        status = MCP_STATUS.get(outcome.state, "working")
        task: Json = {"taskId": own, "status": status, **_times(created, _updated(outcome, now))}
        words = outcome.words()
        if words:
            task["statusMessage"] = words[:2000]
        if status == "completed":
            most = self._most_inline
            task["result"] = outcome.result(exchange.principal, self._handles, self._upstream, most).value
        elif status == "input_required":
            asked = self._asked(outcome)
            if asked:
                task["inputRequests"] = asked
            else:
                task["status"] = "working"
        return Result(value=task)

    def _asked(self, outcome: Outcome) -> dict[str, Json]:
        """What is asked of the client, by a key of its own."""
        if outcome.state == INPUT_REQUIRED:
            return {_key(outcome): {"method": "elicitation/create", "params": question(outcome)}}
        url = outcome.authorization() if outcome.state == AUTH_REQUIRED else ""
        if not url:
            return {}
        return {_key(outcome): {"method": "elicitation/create", "params": visit(outcome, url)}}


def _key(outcome: Outcome) -> str:
    """What a question goes by: the same as long as it is the same."""
    message: Any = outcome.status.get("message", {})
    said = str(message.get("messageId") or outcome.status.get("timestamp") or "")
    return re.sub(r"[^0-9A-Za-z-]+", "_", said)[:64] or "question"


def _updated(outcome: Outcome, now: float) -> float:
    try:
        return datetime.fromisoformat(str(outcome.status["timestamp"])).timestamp()
    except (KeyError, ValueError):
        return now
