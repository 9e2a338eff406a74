"""What every act has to bring, whichever client does it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

Facts = Mapping[str, Any]

VERSIONS = {"modern": "2026-07-28", "legacy": "2025-11-25"}

EVERYTHING = frozenset(
    {"echo", "get-annotated-message", "get-env", "get-resource-links", "get-resource-reference"}
    | {"get-structured-content", "get-sum", "get-tiny-image", "gzip-file-as-resource"}
    | {"toggle-simulated-logging", "toggle-subscriber-updates", "trigger-long-running-operation"}
    # These server-everything offers only to a client that can elicit, sample and list roots.
    | {"get-roots-list", "trigger-elicitation-request", "trigger-url-elicitation", "trigger-sampling-request"}
)

OTHERS = frozenset(
    {
        "get_current_time",
        "convert_time",
        "git_status",
        "git_log",
        "git_commit",
        "read_text_file",
        "write_file",
    }
    | {"list_directory", "create_entities", "open_nodes", "read_graph"}
)


@attrs.frozen
class Doing:
    """What a client was to do.

    Attributes:
        era: The era it has to negotiate.
        server: The virtual server it talks to.
        token: The word that marks what it writes.
        memory: The memory server's file.
    """

    era: str
    server: str
    token: str
    memory: Path


Check = Callable[[Facts, Doing], str]
"""What is wrong with the facts of an act; empty when nothing is."""


def _wrong(expected: object, facts: object) -> str:
    return f"expected {expected}, got {json.dumps(facts, ensure_ascii=False)[:700]}"


def _connect(facts: Facts, doing: Doing) -> str:
    wanted = (doing.era, VERSIONS[doing.era])
    return "" if (facts["era"], facts["version"]) == wanted else _wrong(wanted, facts)


def _tools(facts: Facts, doing: Doing) -> str:
    wanted = EVERYTHING | OTHERS if doing.server == "default" else EVERYTHING
    missing = sorted(wanted - set(facts["names"]))
    return f"tools are missing: {missing}" if missing else _once(facts)


def _once(facts: Facts) -> str:
    names = facts["names"]
    return "" if len(names) == len(set(names)) else _wrong("each name once", names)


def _named(*needed: str) -> Check:
    def check(facts: Facts, doing: Doing) -> str:
        wanted = {name for name in needed if doing.server == "default" or not name.startswith("memory:")}
        return _once(facts) if wanted <= set(facts["names"]) else _wrong(sorted(wanted), facts["names"])

    return check


def _says(*needed: str, kinds: list[str] | None = None) -> Check:
    def check(facts: Facts, doing: Doing) -> str:
        for part in (text.format(token=doing.token) for text in needed):
            if part not in facts["text"]:
                return _wrong(f"text with {part!r}", facts["text"])
        if facts.get("error"):
            return _wrong("no tool error", facts)
        return "" if kinds is None or facts["kinds"] == kinds else _wrong(kinds, facts["kinds"])

    return check


def _asked(kind: str, *needed: str) -> Check:
    says = _says(*needed)

    def check(facts: Facts, doing: Doing) -> str:
        return says(facts, doing) if facts["asked"] == [kind] else _wrong(f"to be asked [{kind!r}]", facts)

    return check


def _task(facts: Facts, doing: Doing) -> str:
    if "working" not in facts["seen"] or facts["seen"][-1] not in ("input_required", "completed"):
        return _wrong("a task that was seen working", facts)
    return _asked("elicitation:form", "Stage 4: Generating report")(facts, doing)


def _structured(facts: Facts, _: Doing) -> str:
    wanted = {"temperature": 36, "conditions": "Light rain / drizzle", "humidity": 82}
    return "" if facts["structured"] == wanted else _wrong(wanted, facts)


def _files(facts: Facts, doing: Doing) -> str:
    wanted = f"written by {doing.token} €\n"
    on_disk = Path(facts["path"]).read_text() if Path(facts["path"]).exists() else None
    return "" if (facts["text"], on_disk) == (wanted, wanted) else _wrong(f"{wanted!r}, also on disk", facts)


def _own_roots(facts: Facts, _: Doing) -> str:
    wanted = f"Allowed directories:\n{facts['folder']}"
    return "" if facts["text"] == wanted else _wrong(repr(wanted), facts["text"])


def _memory(facts: Facts, doing: Doing) -> str:
    entities = json.loads(facts["text"])["entities"] if not facts["error"] else []
    names = [entity["name"] for entity in entities]
    kept = doing.memory.exists() and doing.token in doing.memory.read_text()
    return "" if names == [doing.token] and kept else _wrong(f"the entity {doing.token}, also on disk", facts)


def _complete(facts: Facts, _: Doing) -> str:
    return "" if facts["values"] == ["Engineering"] else _wrong(["Engineering"], facts["values"])


def _progress(facts: Facts, doing: Doing) -> str:
    if [float(value) for value in facts["progress"]] != [1, 2, 3, 4]:
        return _wrong("progress 1, 2, 3, 4", facts)
    return _says("Steps: 4.")(facts, doing)


def _arrived(facts: Facts, _: Doing) -> str:
    return "" if facts["arrived"] and not facts["error"] else _wrong("a notification within 12 s", facts)


def _cancel(facts: Facts, doing: Doing) -> str:
    if not facts["cancelled"]:
        return _wrong("the call to be given up", facts)
    return _says("Echo: still here")(facts, doing)


def _tool_error(facts: Facts, _: Doing) -> str:
    fine = facts["error"] and "outside allowed directories" in facts["text"]
    return "" if fine else _wrong("a tool error about allowed directories", facts)


def _refused(unknown: str) -> Check:
    def check(facts: Facts, _: Doing) -> str:
        # Not every client passes the code on; all of them pass on what is unknown.
        fine = facts["refused"] and facts["code"] in (None, -32602) and unknown in facts["message"]
        return "" if fine else _wrong(f"-32602 naming {unknown}", facts)

    return check


CHECKS: dict[str, Check] = {
    "connect": _connect,
    "tools": _tools,
    "resources": _named("demo://resource/static/document/features.md", "memory://knowledge-graph"),
    "templates": _named(
        "demo://resource/dynamic/text/{resourceId}", "demo://resource/dynamic/blob/{resourceId}"
    ),
    "prompts": _named("simple-prompt", "args-prompt", "completable-prompt", "resource-prompt"),
    "echo": _says("Echo: hello {token} ✓", kinds=["text"]),
    "sum": _says("42.5"),
    "structured": _structured,
    "image": _says("MCP logo", kinds=["text", "image", "text"]),
    "time": _says("Europe/Paris"),
    "git": _says("On branch trunk", "untracked.txt"),
    # Before any other call to that server, so that its first call is over sooner than its question.
    "own-roots": _own_roots,
    "files": _files,
    "memory": _memory,
    "read": _says("# Everything Server"),
    "read-template": _says("Resource 7: This is a plaintext resource"),
    "read-memory": _says("{token}"),
    "prompt": _says("What's weather in Oslo, Norway?"),
    "complete": _complete,
    "progress": _progress,
    "elicit": _asked("elicitation:form", "Name: Ada Lovelace", "Favorite Integer: 36"),
    "elicit-url": _asked("elicitation:url", "completed the URL elicitation flow"),
    "sample": _asked("sampling", "a sampled answer to: Resource trigger-sampling-request context: Say hi"),
    # The server asks once a session, often before this call: only the answer can be told.
    "roots": _says("Current MCP Roots (1 total)", "URI: file:///"),
    # A tool of 2025-11-25 that is a task or nothing, for who waits and for who knows tasks.
    "research": _asked("elicitation:form", "Stage 4: Generating report", "User accepted without selection"),
    "task": _task,
    "watch": _arrived,
    "logging": _arrived,
    "cancel": _cancel,
    "tool-error": _tool_error,
    "unknown-tool": _refused("no-such-tool"),
    "unknown-resource": _refused("demo://resource/nowhere"),
    "close": lambda facts, doing: "",
}

OF_OTHERS = frozenset(
    {"time", "git", "files", "own-roots", "memory", "read-memory", "tool-error", "research", "task"}
)
"""Acts on servers that only the default virtual server has, and long ones."""


def acts(server: str) -> list[str]:
    """The acts a virtual server can take part in, in the order to do them."""
    return [act for act in CHECKS if act != "close" and (server == "default" or act not in OF_OTHERS)]
