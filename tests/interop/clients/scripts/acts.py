"""The acts of a Python client, written once; a script per client library says how it does each.

Runs in the client's own environment, so it imports nothing of the project.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import anyio

ACT_SECONDS = 25.0
ELICITED = {"name": "Ada Lovelace", "check": True, "integer": 36}
SAMPLED = "a sampled answer"
AMBIGUOUS = {"topic": "python", "ambiguous": True}


class Unsupported(Exception):
    """The client cannot do an act; the text says why."""


@dataclass
class Answer:
    """A tool's result, whatever the library calls its parts."""

    text: str
    error: bool = False
    kinds: Sequence[str] = ()
    structured: Any = None


@dataclass
class Plan:
    """What the runner wants done, at a URL (by `http`, `sse` or `websocket`) or at a stdio server."""

    url: str
    way: str
    command: list[str]
    era: str
    acts: list[str]
    folder: str
    repository: str
    token: str

    @property
    def root(self) -> str:
        """The one root the client has."""
        return Path(self.folder).as_uri()


@dataclass
class Peer:
    """A connected client. A subclass overrides what its library can do.

    Attributes:
        plan: What is wanted.
        asked: Every elicitation, sampling and roots request that arrived.
        progress: Every progress value that arrived.
        updated: Set when a watched resource changed.
        logged: Set when a log message arrived.
    """

    plan: Plan
    asked: list[str] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    updated: anyio.Event = field(default_factory=anyio.Event)
    logged: anyio.Event = field(default_factory=anyio.Event)

    unsupported: ClassVar[dict[str, str]] = {}

    def connection(self) -> dict[str, Any]:
        """`era`, `version` and `server` as negotiated."""
        raise NotImplementedError

    async def names(self, kind: str) -> list[str]:
        """Names (URIs, templates) of `tools`, `resources`, `templates` or `prompts`."""
        raise NotImplementedError

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        """Call a tool; progress goes to `progress`."""
        raise NotImplementedError

    async def task(self, name: str, arguments: dict[str, Any]) -> tuple[list[str], Answer]:
        """Call a tool as a task of one's own: how it was when it was looked at, and its result."""
        raise Unsupported("its library has no tasks")

    async def read(self, uri: str) -> str:
        """The text of a resource."""
        raise NotImplementedError

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        """The text of a prompt's messages."""
        raise NotImplementedError

    async def complete(self, prompt: str, argument: str, value: str) -> list[str]:
        """Completions of a prompt's argument."""
        raise NotImplementedError

    def watching(self, uri: str) -> AbstractAsyncContextManager[None]:
        """While entered, a change of the resource sets `updated`."""
        raise NotImplementedError

    async def log_level(self, level: str) -> None:
        """Ask for log messages from a level up."""
        raise NotImplementedError

    def elicited(self, mode: str) -> dict[str, Any] | None:
        """Note an elicitation; the content to accept it with."""
        self.asked.append(f"elicitation:{mode}")
        return None if mode == "url" else ELICITED

    def sampled(self, prompt: str) -> str:
        """Note a sampling request; the text to answer with."""
        self.asked.append("sampling")
        return f"{SAMPLED} to: {prompt}"

    def rooted(self) -> str:
        """Note a roots request; the root's URI."""
        self.asked.append("roots")
        return self.plan.root


def _facts(answer: Answer, **more: Any) -> dict[str, Any]:
    return {
        "text": answer.text,
        "error": answer.error,
        "kinds": list(answer.kinds),
        "structured": answer.structured,
    } | more


async def _asking(peer: Peer, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    peer.asked.clear()
    return _facts(await peer.call(tool, arguments), asked=list(peer.asked))


async def _task(peer: Peer) -> dict[str, Any]:
    peer.asked.clear()
    seen, answer = await peer.task("simulate-research-query", AMBIGUOUS)
    return _facts(answer, asked=list(peer.asked), seen=seen)


async def _files(peer: Peer) -> dict[str, Any]:
    path = str(Path(peer.plan.folder) / f"{peer.plan.token}.txt")
    wrote = await peer.call("write_file", {"path": path, "content": f"written by {peer.plan.token} €\n"})
    return _facts(await peer.call("read_text_file", {"path": path}), wrote=wrote.text, path=path)


async def _own_roots(peer: Peer) -> dict[str, Any]:
    """server-filesystem asks for the roots when its session begins; until it has them it serves its own."""
    if peer.connection()["era"] == "modern":
        raise Unsupported(
            "a modern client can be asked in the course of a call only, not at a session's start"
        )
    for _ in range(20):
        answer = await peer.call("list_allowed_directories", {})
        if peer.plan.folder in answer.text.splitlines():
            break
        await anyio.sleep(0.25)
    return _facts(answer, folder=peer.plan.folder)


async def _memory(peer: Peer) -> dict[str, Any]:
    entity = {"name": peer.plan.token, "entityType": "client", "observations": ["was here"]}
    await peer.call("create_entities", {"entities": [entity]})
    return _facts(await peer.call("open_nodes", {"names": [peer.plan.token]}))


async def _progress(peer: Peer) -> dict[str, Any]:
    peer.progress.clear()
    answer = await peer.call("trigger-long-running-operation", {"duration": 0.8, "steps": 4})
    return _facts(answer, progress=list(peer.progress))


async def _watch(peer: Peer) -> dict[str, Any]:
    uri = "demo://resource/dynamic/text/1"
    async with peer.watching(uri):
        return await _while_toggled(peer, "toggle-subscriber-updates", peer.updated)


async def _logging(peer: Peer) -> dict[str, Any]:
    await peer.log_level("debug")
    return await _while_toggled(peer, "toggle-simulated-logging", peer.logged)


async def _while_toggled(peer: Peer, tool: str, arrived: anyio.Event) -> dict[str, Any]:
    """Something the server sends every five seconds while it is switched on."""
    answer = await peer.call(tool, {})
    if answer.text.startswith("Stopped"):  # an earlier client of the same server left it on
        answer = await peer.call(tool, {})
    try:
        with anyio.move_on_after(12):
            await arrived.wait()
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await peer.call(tool, {})
    return _facts(answer, arrived=arrived.is_set())


async def _cancel(peer: Peer) -> dict[str, Any]:
    with anyio.move_on_after(0.7) as scope:
        await peer.call("trigger-long-running-operation", {"duration": 20, "steps": 40})
    return _facts(await peer.call("echo", {"message": "still here"}), cancelled=scope.cancelled_caught)


async def _refused(request: Awaitable[Any]) -> dict[str, Any]:
    try:
        answer = await request
    except Exception as raised:
        error = _innermost(raised)
        code = getattr(getattr(error, "error", error), "code", None)
        return {"refused": True, "code": code, "message": str(error)}
    return {"refused": getattr(answer, "error", False), "code": None, "message": getattr(answer, "text", "")}


def _innermost(error: BaseException) -> BaseException:
    """What lies beneath the groups and wrappers libraries put around an error."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            return error


async def _say(**facts: Any) -> dict[str, Any]:
    return facts


async def _named(peer: Peer, kind: str) -> dict[str, Any]:
    return {"names": await peer.names(kind)}


async def _text(request: Awaitable[str]) -> dict[str, Any]:
    return {"text": await request}


async def _call(peer: Peer, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return _facts(await peer.call(name, arguments))


async def _complete(peer: Peer) -> dict[str, Any]:
    return {"values": await peer.complete("completable-prompt", "department", "E")}


ACTS: dict[str, Callable[[Peer], Awaitable[dict[str, Any]]]] = {
    "connect": lambda p: _say(**p.connection()),
    "tools": lambda p: _named(p, "tools"),
    "resources": lambda p: _named(p, "resources"),
    "templates": lambda p: _named(p, "templates"),
    "prompts": lambda p: _named(p, "prompts"),
    "echo": lambda p: _call(p, "echo", {"message": f"hello {p.plan.token} ✓"}),
    "sum": lambda p: _call(p, "get-sum", {"a": 2, "b": 40.5}),
    "structured": lambda p: _call(p, "get-structured-content", {"location": "Chicago"}),
    "image": lambda p: _call(p, "get-tiny-image", {}),
    "time": lambda p: _call(p, "get_current_time", {"timezone": "Europe/Paris"}),
    "git": lambda p: _call(p, "git_status", {"repo_path": p.plan.repository}),
    "files": _files,
    "own-roots": _own_roots,
    "memory": _memory,
    "read": lambda p: _text(p.read("demo://resource/static/document/features.md")),
    "read-template": lambda p: _text(p.read("demo://resource/dynamic/text/7")),
    "read-memory": lambda p: _text(p.read("memory://knowledge-graph")),
    "prompt": lambda p: _text(p.prompt("args-prompt", {"city": "Oslo", "state": "Norway"})),
    "complete": _complete,
    "progress": _progress,
    "elicit": lambda p: _asking(p, "trigger-elicitation-request", {}),
    "elicit-url": lambda p: _asking(p, "trigger-url-elicitation", {"url": "https://example.com/sign-in"}),
    "sample": lambda p: _asking(p, "trigger-sampling-request", {"prompt": "Say hi", "maxTokens": 20}),
    "roots": lambda p: _asking(p, "get-roots-list", {}),
    "research": lambda p: _asking(p, "simulate-research-query", AMBIGUOUS),
    "task": _task,
    "watch": _watch,
    "logging": _logging,
    "cancel": _cancel,
    "tool-error": lambda p: _call(p, "read_text_file", {"path": "/etc/hostname"}),
    "unknown-tool": lambda p: _refused(p.call("no-such-tool", {})),
    "unknown-resource": lambda p: _refused(p.read("demo://resource/nowhere")),
}


def _print(act: str, **outcome: Any) -> None:
    print(json.dumps({"act": act} | outcome), flush=True)


def _reason(error: BaseException) -> str:
    error = _innermost(error)
    traceback.print_exception(error, file=sys.stderr)
    return f"{type(error).__name__}: {error}"


async def _perform(plan: Plan, connect: Callable[[Plan], AbstractAsyncContextManager[Peer]]) -> None:
    done: set[str] = set()
    try:
        async with connect(plan) as peer:
            for act in plan.acts:
                if act in peer.unsupported:
                    _print(act, unsupported=peer.unsupported[act])
                else:
                    try:
                        with anyio.fail_after(ACT_SECONDS):
                            _print(act, facts=await ACTS[act](peer))
                    except Unsupported as error:
                        _print(act, unsupported=str(error))
                    except Exception as error:
                        _print(act, failed=_reason(error))
                done.add(act)
        _print("close", facts={})
    except Exception as error:
        reason = _reason(error)
        for act in [act for act in plan.acts if act not in done] + ["close"]:
            _print(act, failed=reason)


def main(connect: Callable[[Plan], AbstractAsyncContextManager[Peer]]) -> None:
    """Perform the plan in `argv[1]`, one JSON line an act on stdout."""
    plan = Plan(**json.loads(sys.argv[1]))
    anyio.run(_perform, plan, connect)
