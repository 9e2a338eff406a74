"""A tool call as the work of a task: what the call tells becomes events, what it asks waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec
from a2a.types import Artifact, TaskState

from portico.api import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    LATEST_MODERN,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_VERSION,
    METHOD_NOT_FOUND,
    OVERLOADED,
    POLICY_DENIED,
    RATE_LIMITED,
    Asking,
    Endpoint,
    Frames,
    Json,
    Log,
    ModernCall,
    Refused,
    Result,
    failure,
)
from portico_plugins.transports.a2a.asking import Questions
from portico_plugins.transports.a2a.long import TASKS, LongCall
from portico_plugins.transports.a2a.results import parts_of
from portico_plugins.transports.a2a.values import about, data_part, text_part
from portico_plugins.transports.a2a.wanted import Wanted
from portico_plugins.transports.a2a.work import Work

_NOT_BEGUN: Final = frozenset(
    {
        INVALID_PARAMS,
        METHOD_NOT_FOUND,
        OVERLOADED,
        POLICY_DENIED,
        RATE_LIMITED,
    }
)
"""Refusals that say that nothing was carried out."""

_CLIENT: Final = {"name": "portico-a2a", "version": "1.0"}
_CAPABILITIES: Final[Json] = {"elicitation": {"form": {}, "url": {}}, "extensions": {TASKS: {}}}
_HOW: Final = 'Which tool? Send a data part {"tool": name, "arguments": {...}} with the id of this task.'
_SHOWN: Final = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")

_MOST_ROUNDS: Final = 10
"""How often an upstream may want a call again without having asked anything."""

MESSAGE: Final = "portico/a2a"
"""In the `_meta` of a call: which A2A message it is for."""

_under_way: set[asyncio.Task[None]] = set()
"""What runs may outlive who wanted it, and the event loop would let go of it."""

_Frame = dict[str, Any]
_decode = msgspec.json.Decoder(_Frame).decode


class Run:
    """Carries out the work of one task.

    Args:
        endpoint: The virtual server.
        work: The task.
        log_level: The least severe log messages to pass on; "" for none.
        log: The plugin's, for faults.
        may_wait: Says whether one more task of its owner's may wait for an answer.
    """

    def __init__(
        self, endpoint: Endpoint, work: Work, log_level: str, log: Log, may_wait: Callable[[], bool]
    ) -> None:
        self._endpoint = endpoint
        self._work = work
        self._log_level = log_level
        self._log = log
        self._may_wait = may_wait
        self._call: ModernCall | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted: Wanted | None = None
        self._state: str | None = None  # what an upstream that keeps no place wants back
        self._long: LongCall | None = None
        self._headers: Mapping[str, str] = {}
        self._rounds = 0
        self.questions: Questions | None = None

    def offer(self, tools: Mapping[str, Json]) -> None:
        """The client has not said which tool: tell it what there is, and wait for its choice, if it may."""
        if not self._work.waits and not self._may_wait():
            raise _too_many()
        shown = [{key: tool[key] for key in _SHOWN if key in tool} for tool in tools.values()]
        how = [text_part(_HOW), data_part({"tools": shown})]
        self._work.say(TaskState.TASK_STATE_INPUT_REQUIRED, how)

    def begin(self, wanted: Wanted, headers: Mapping[str, str]) -> None:
        """Call a tool.

        Raises:
            Refused: The gateway takes no more work on.
        """
        self._wanted = wanted
        self._start({}, headers)

    def go_on(self, answers: Json, headers: Mapping[str, str]) -> None:
        """The client has answered; the call goes on.

        Args:
            answers: By the keys of the questions.
            headers: Of the request that brought them.

        Raises:
            Refused: As `begin`.
        """
        self._headers = headers
        if self._long is not None:
            self.questions = None
            self._work.say(TaskState.TASK_STATE_WORKING)
            self._let(self._answer(self._long, answers))
            return
        if self._state is None and self._call is not None:
            retry = self._endpoint.modern_exchange("tools/call", self._params({}), self._work.owner, headers)
            self.questions = None
            self._work.say(TaskState.TASK_STATE_WORKING)
            self._call.resume(retry, answers)
            return
        more = {"inputResponses": answers, **({"requestState": self._state} if self._state else {})}
        self._start(more, headers)
        self.questions = self._state = None

    def stop(self) -> None:
        """Nobody wants it any more."""
        if self._call is not None and self._call.outcome is None:
            self._call.cancel()
        if self._task is not None:
            self._task.cancel()
        if self._long is not None:
            self._let(self._long.cancel())
            self._long = None

    @property
    def calling(self) -> bool:
        """Whether a call is under way that waits for nobody."""
        return self._call is not None and self._call.outcome is None and self.questions is None

    def give_up(self, why: str = "Nobody has answered in time.") -> None:
        """End it, if it is not over."""
        self._work.say(TaskState.TASK_STATE_FAILED, [text_part(why)])
        self.stop()

    def cancel(self) -> None:
        """Its client wants it no more."""
        self._work.say(TaskState.TASK_STATE_CANCELED)
        self.stop()

    def _params(self, more: Json) -> Json:
        assert self._wanted is not None
        meta: Json = {
            META_VERSION: LATEST_MODERN,
            META_CAPABILITIES: _CAPABILITIES,
            META_CLIENT_INFO: _CLIENT,
            "progressToken": 1,
        }
        if self._log_level:
            meta[META_LOG_LEVEL] = self._log_level
        if self._work.task.history:
            meta[MESSAGE] = about(self._work.task.history[-1])
        return {"name": self._wanted.tool, "arguments": self._wanted.arguments, **more, "_meta": meta}

    def _start(self, more: Json, headers: Mapping[str, str]) -> None:
        self._headers = headers
        exchange = self._endpoint.modern_exchange("tools/call", self._params(more), self._work.owner, headers)
        call = self._endpoint.begin(exchange)
        self._work.say(TaskState.TASK_STATE_WORKING)
        self._follow(call)

    def _follow(self, call: ModernCall) -> None:
        self._call = call
        self._let(self._carry_out(call))

    def _let(self, steps: Coroutine[Any, Any, None]) -> None:
        """Have something done beside the request that wants it."""
        self._task = task = asyncio.get_running_loop().create_task(self._guarded(steps))
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)

    async def _guarded(self, steps: Coroutine[Any, Any, None]) -> None:
        """Whatever happens, a task does not stay at work with nobody working."""
        try:
            await steps
        except Exception as error:
            self._log.error("a2a.fault", exc_info=error)
            self._work.say(TaskState.TASK_STATE_FAILED, [text_part("Internal error")])
            self.stop()

    async def _carry_out(self, call: ModernCall) -> None:
        try:
            while True:
                turn = await call.turn(60.0)
                if isinstance(turn, Frames):
                    for frame in turn.frames:
                        self._tell(_decode(frame))
                elif isinstance(turn, Asking):
                    call.disarm()  # nobody waits for the upstream now
                    self._ask(turn.requests)
                else:
                    self._finish(turn)
                    return
        except asyncio.CancelledError:
            if call.outcome is None:
                call.cancel()
            raise

    def _tell(self, frame: _Frame) -> None:
        """Pass progress or a log message on."""
        params = frame.get("params") or {}
        facts = {key: value for key, value in params.items() if key not in ("progressToken", "_meta")}
        if frame["method"] == "notifications/progress":
            text = facts.pop("message", "")
            parts = [text_part(text)] if isinstance(text, str) and text else []
            self._work.say(TaskState.TASK_STATE_WORKING, parts, {"progress": facts}, passing=True)
        else:
            data = facts.pop("data", "")
            part = text_part(data) if isinstance(data, str) else data_part(data)
            self._work.say(TaskState.TASK_STATE_WORKING, [part], {"log": facts}, passing=True)

    def _ask(self, requests: Json) -> None:
        self.questions = Questions(requests)
        unfit = self.questions.unfit
        if unfit:
            self._refuse(TaskState.TASK_STATE_FAILED, Refused(INTERNAL_ERROR, unfit))
            self.stop()
        elif not self._may_wait():  # what waits holds a call
            self._refuse(TaskState.TASK_STATE_FAILED, _too_many())
            self.stop()
        else:
            self._work.say(self.questions.state, self.questions.parts)

    def _finish(self, outcome: Result | Refused) -> None:
        if isinstance(outcome, Refused):
            begun = outcome.code not in _NOT_BEGUN
            self._refuse(TaskState.TASK_STATE_FAILED if begun else TaskState.TASK_STATE_REJECTED, outcome)
            return
        value = outcome.value
        if outcome.kind == "input_required":
            state = value.get("requestState")
            self._state = state if isinstance(state, str) else ""
            self._call = None
            if value.get("inputRequests") or self._rounds >= _MOST_ROUNDS:
                self._ask(value.get("inputRequests") or {})
            else:
                self._let(self._again())
            return
        if outcome.kind == "task":
            meta = self._params({})["_meta"]
            del meta["progressToken"]
            self._long = LongCall(self._endpoint, self._work.owner, self._headers, meta, value)
            self._let(self._watch(self._long))
            return
        parts = parts_of(value)
        assert self._wanted is not None
        if value.get("isError"):
            self._work.say(TaskState.TASK_STATE_FAILED, parts or [text_part("The tool failed.")])
            return
        artifact = Artifact(artifact_id="result", name=self._wanted.tool, parts=parts or [text_part("")])
        self._work.give(artifact)
        self._work.say(TaskState.TASK_STATE_COMPLETED)

    async def _again(self) -> None:
        """State and no question: the upstream wants the call again, in a moment (2026-07-28, MRTR)."""
        self._rounds += 1
        await asyncio.sleep(0.05 * self._rounds)
        more = {"requestState": self._state} if self._state else {}
        self._state = None
        try:
            self._start(more, self._headers)
        except Refused as refusal:
            self._finish(refusal)

    # --- calls that have become tasks upstream -----------------------------------------------------

    async def _answer(self, long: LongCall, answers: Json) -> None:
        try:
            await long.answer(answers)
        except Refused as refusal:
            self._finish(refusal)
        else:
            await self._watch(long)

    async def _watch(self, long: LongCall) -> None:
        """Tell of a task until it is over or asks something."""
        said = ""
        try:
            while True:
                if long.status == "completed":
                    self._long = None
                    self._finish(Result(value=long.task.get("result") or {}))
                    return
                if long.status in ("failed", "cancelled"):
                    self._long = None
                    self._end(long)
                    return
                if long.asked:
                    self._ask(long.asked)
                    return
                if long.said and long.said != said:
                    said = long.said
                    self._work.say(TaskState.TASK_STATE_WORKING, [text_part(said)], passing=True)
                await long.look()
        except Refused as refusal:
            self._long = None
            self._finish(refusal)

    def _end(self, long: LongCall) -> None:
        """A task has come to nothing."""
        if long.status == "cancelled":
            self._work.say(TaskState.TASK_STATE_CANCELED, [text_part(long.said)] if long.said else [])
            return
        error = long.task.get("error")
        code, why = INTERNAL_ERROR, long.said or "The task failed"
        if isinstance(error, dict) and isinstance(error.get("code"), int):
            code, why = error["code"], str(error.get("message"))
        self._refuse(TaskState.TASK_STATE_FAILED, Refused(code, why))

    def _refuse(self, state: TaskState, refusal: Refused) -> None:
        self._work.say(state, [text_part(refusal.message), data_part({"error": refusal.body()})])


def _too_many() -> Refused:
    return failure(OVERLOADED, "Too many tasks wait for your answers", reason="waiting_limit")
