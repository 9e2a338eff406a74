"""A scripted server with the tasks of 2025-11-25."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
from starlette.responses import Response

from portico.api import Json
from tests.plugins.upstreams.scripted import Answer, Scripted, Seen, error, event, result, stream

CAPABILITIES: Json = {"tools": {}, "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}}
RELATED = "io.modelcontextprotocol/related-task"
WHEN = "2025-11-25T10:30:00Z"


def tool(name: str, support: str) -> Json:
    return {"name": name, "inputSchema": {"type": "object"}, "execution": {"taskSupport": support}}


def said(text: str, **more: Any) -> Json:
    return {"content": [{"type": "text", "text": text}], **more}


@attrs.define(eq=False)
class Task:
    """One task, and what it is waiting for."""

    ident: str
    seen: Seen
    status: str = "working"
    message: str = ""
    outcome: Json | None = None
    failure: tuple[int, str] | None = None
    over: asyncio.Event = attrs.field(factory=asyncio.Event)
    questions: asyncio.Queue[Json] = attrs.field(factory=asyncio.Queue)
    answers: asyncio.Queue[Json] = attrs.field(factory=asyncio.Queue)

    def state(self) -> Json:
        times = {"createdAt": WHEN, "lastUpdatedAt": WHEN, "ttl": 60_000, "pollInterval": 50}
        words = {"statusMessage": self.message} if self.message else {}
        return {"taskId": self.ident, "status": self.status, **times, **words}

    def end(self, outcome: Json | None = None, status: str = "completed", message: str = "") -> None:
        self.status, self.outcome, self.message = status, outcome, message
        self.over.set()

    async def ask(self, method: str, params: Json) -> Json:
        """Ask the client on the stream of `tasks/result`."""
        self.status = "input_required"
        related = {"_meta": {RELATED: {"taskId": self.ident}}}
        self.questions.put_nowait({"method": method, "params": {**params, **related}})
        answer = await self.answers.get()
        self.status = "working"
        return answer


Work = Callable[[Task], Awaitable[None]]


class TaskServer(Scripted):
    """Makes tasks of the calls that want it; `work` is what becomes of each."""

    def __init__(self, work: Work, *tools: Json) -> None:
        super().__init__("legacy", CAPABILITIES)
        self.tools = list(tools) or [tool("t", "required")]
        self.tasks: dict[str, Task] = {}
        self.work = work
        self._working: set[asyncio.Task[None]] = set()
        self._asked: dict[str, Task] = {}
        self.on |= {
            "tools/call": self._in_session(self._call),
            "tasks/get": self._in_session(self._get_task),
            "tasks/result": self._in_session(self._result),
            "tasks/cancel": self._in_session(self._cancel),
            "POST": self._response,
        }

    def _in_session(self, does: Answer) -> Answer:
        async def answer(seen: Seen) -> Response:
            if seen.headers.get("mcp-session-id") not in self.sessions:
                return error(seen, -32600, "Session not found", status=404)
            return await does(seen)

        return answer

    async def _call(self, seen: Seen) -> Response:
        support = next(t for t in self.tools if t["name"] == seen.params["name"]).get("execution", {})
        if support.get("taskSupport") == "required" and "task" not in seen.params:
            return error(seen, -32601, "This tool is a task, or nothing")
        if "task" not in seen.params:
            return result(seen, said("called"))
        task = Task(f"own-{len(self.tasks) + 1}", seen)
        self.tasks[task.ident] = task
        working = asyncio.create_task(self._run(task))
        self._working.add(working)
        working.add_done_callback(self._working.discard)
        return result(seen, {"task": task.state() | {"status": "working"}})

    async def _run(self, task: Task) -> None:
        await self.work(task)

    def _known(self, seen: Seen) -> Task | None:
        return self.tasks.get(str(seen.params.get("taskId")))

    async def _get_task(self, seen: Seen) -> Response:
        task = self._known(seen)
        return result(seen, task.state()) if task else error(seen, -32602, "Task not found")

    async def _cancel(self, seen: Seen) -> Response:
        task = self._known(seen)
        if task is None or task.over.is_set():
            return error(seen, -32602, "Cannot cancel")
        task.end(status="cancelled")
        return result(seen, task.state())

    async def _result(self, seen: Seen) -> Response:
        task = self._known(seen)
        if task is None:
            return error(seen, -32602, "Task not found")

        async def events() -> AsyncIterator[bytes]:
            over = asyncio.create_task(task.over.wait())
            try:
                while not over.done():
                    asking = asyncio.create_task(task.questions.get())
                    await asyncio.wait({over, asking}, return_when=asyncio.FIRST_COMPLETED)
                    if not asking.done():
                        asking.cancel()
                        break
                    ident = f"ask-{seen.id}-{len(self._asked)}"
                    self._asked[ident] = task
                    yield event({"jsonrpc": "2.0", "id": ident, **asking.result()})
            finally:
                over.cancel()
            answer: Json = {"jsonrpc": "2.0", "id": seen.id}
            if task.failure is not None:
                answer["error"] = {"code": task.failure[0], "message": task.failure[1]}
            else:
                answer["result"] = {**(task.outcome or {}), "_meta": {RELATED: {"taskId": task.ident}}}
            yield event(answer)

        return stream(events())

    async def _response(self, seen: Seen) -> Response:
        if not seen.method and seen.id in self._asked:
            told = {key: seen.body[key] for key in ("result", "error") if key in seen.body}
            self._asked[seen.id].answers.put_nowait(told)
            return Response(status_code=202)
        return await self.default(seen)

    async def notify(self, task: Task) -> None:
        """Say how a task is on every open stream that belongs to no request."""
        for queue in self.gets:
            queue.put_nowait(
                event({"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": task.state()})
            )
