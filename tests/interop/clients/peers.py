"""Which client runs how."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import attrs

from tests.interop.clients import expect
from tests.interop.clients.install import Installed
from tests.interop.clients.stage import Stage

SCRIPTS = Path(__file__).with_name("scripts")
GATEWAY = str(Path(sys.executable).with_name("gateway"))
RUN_SECONDS = 240
COMMANDS = {
    "wrapper": (GATEWAY, "wrapper", "--url", "{url}"),
    "connect": (GATEWAY, "bridge", "--connect", "{url}", "--stdio"),
    "mcp-remote": ("{node}", "{mcp_remote}", "{url}", "--allow-http", "--transport", "http-only"),
    "mcp-remote-sse": ("{node}", "{mcp_remote}", "{sse}", "--allow-http", "--transport", "sse-only"),
}
"""Ways in that are a command for the client to start."""


@attrs.frozen
class Client:
    """A client and how it is to connect.

    Attributes:
        name: What `--only` calls it.
        script: Its script.
        mode: What it is told about eras: `legacy`, `auto` or `modern`.
        era: The era it has to end up in.
        servers: The virtual servers it talks to.
        way: How it comes in: a transport of the gateway (`http`, `sse`, `websocket`), or a command before
            it (`wrapper`; `connect`, which is `gateway bridge --connect URL --stdio`; and mcp-remote, a
            client of its own that desktop applications start).
    """

    name: str
    script: str
    mode: str
    era: str
    servers: tuple[str, ...] = ("default",)
    way: str = "http"

    @property
    def label(self) -> str:
        """Its column's head."""
        mode = "" if self.mode == self.era == "legacy" else f"/{self.mode}"
        return f"{self.name}{mode}{'' if self.way == 'http' else '/' + self.way}"


ALL = ("default", "http", "sse", "bridge")
"""Virtual servers of one gateway, and `gateway bridge` in front of a process."""

CLIENTS = (
    Client("inspector", "inspector.py", "legacy", "legacy", ("default", "bridge")),
    Client("inspector", "inspector.py", "modern", "modern", ("default", "bridge")),
    Client("ts-v1", "ts_v1.mjs", "legacy", "legacy", ALL),
    Client("ts-v2", "ts_v2.mjs", "legacy", "legacy"),
    Client("ts-v2", "ts_v2.mjs", "auto", "modern", ALL),
    Client("py-v1", "py_v1.py", "legacy", "legacy", ALL),
    Client("py-v2", "py_v2.py", "legacy", "legacy"),
    Client("py-v2", "py_v2.py", "auto", "modern", ALL),
    Client("py-v2", "py_v2.py", "modern", "modern"),
    Client("fastmcp", "fastmcp_client.py", "legacy", "legacy"),
    Client("fastmcp", "fastmcp_client.py", "auto", "modern"),
    Client("langchain", "langchain_client.py", "legacy", "legacy"),
    Client("inspector", "inspector.py", "legacy", "legacy", ("default", "bridge"), "sse"),
    Client("ts-v1", "ts_v1.mjs", "legacy", "legacy", ("default", "bridge"), "sse"),
    Client("ts-v2", "ts_v2.mjs", "legacy", "legacy", ("default", "bridge"), "sse"),
    Client("py-v1", "py_v1.py", "legacy", "legacy", ("default", "bridge"), "sse"),
    Client("py-v2", "py_v2.py", "legacy", "legacy", ("default", "bridge"), "sse"),
    Client("fastmcp", "fastmcp_client.py", "legacy", "legacy", ("default",), "sse"),
    Client("ts-v1", "ts_v1.mjs", "legacy", "legacy", ("default", "bridge"), "websocket"),
    Client("py-v1", "py_v1.py", "legacy", "legacy", ("default", "bridge"), "websocket"),
    Client("inspector", "inspector.py", "legacy", "legacy", way="wrapper"),
    Client("inspector", "inspector.py", "modern", "modern", way="wrapper"),
    Client("ts-v1", "ts_v1.mjs", "legacy", "legacy", way="wrapper"),
    Client("ts-v2", "ts_v2.mjs", "legacy", "legacy", way="wrapper"),
    Client("ts-v2", "ts_v2.mjs", "auto", "modern", way="wrapper"),
    Client("py-v1", "py_v1.py", "legacy", "legacy", way="wrapper"),
    Client("py-v2", "py_v2.py", "legacy", "legacy", way="wrapper"),
    Client("py-v2", "py_v2.py", "auto", "modern", way="wrapper"),
    Client("fastmcp", "fastmcp_client.py", "auto", "modern", way="wrapper"),
    Client("inspector", "inspector.py", "modern", "modern", way="connect"),
    Client("py-v1", "py_v1.py", "legacy", "legacy", way="connect"),
    Client("py-v2", "py_v2.py", "auto", "modern", way="connect"),
    Client("ts-v1", "ts_v1.mjs", "legacy", "legacy", way="mcp-remote"),
    Client("py-v2", "py_v2.py", "legacy", "legacy", way="mcp-remote"),
    Client("py-v2", "py_v2.py", "legacy", "legacy", way="mcp-remote-sse"),
)


@attrs.frozen
class Outcome:
    """What came of one act.

    Attributes:
        client: The client's label.
        server: The virtual server.
        act: The act.
        verdict: `ok`, `FAILED` or `n/a`.
        note: What is wrong, or why it does not apply.
    """

    client: str
    server: str
    act: str
    verdict: str
    note: str = ""


def run(client: Client, server: str, stage: Stage, installed: Installed, scratch: Path) -> list[Outcome]:
    """Let a client do everything it can at a virtual server, and judge it."""
    token = f"{client.label}-{server}".replace("/", "-")
    acts = expect.acts(server)
    places = {
        "url": stage.url(server),
        "sse": stage.url(server, "sse"),
        "node": str(installed.node),
        "mcp_remote": str(installed.script("mcp-remote")),
    }
    plan = {
        "url": stage.url(server, client.way),
        "way": "stdio" if client.way in COMMANDS else client.way,
        "command": [word.format_map(places) for word in COMMANDS.get(client.way, ())],
        "era": client.mode,
        "acts": acts,
        "folder": str(stage.folder),
        "repository": str(stage.repository),
        "token": token,
    }
    stderr = scratch / f"{token}.log"
    with stderr.open("wb") as log:
        try:
            done = subprocess.run(
                [*_command(client, installed), json.dumps(plan)],
                cwd=scratch,
                env=_environment(installed, scratch),
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=RUN_SECONDS,
                check=False,
            )
            lines, end = done.stdout, f"the client ended with {done.returncode}"
        except subprocess.TimeoutExpired as error:
            lines, end = error.stdout or b"", f"the client ran longer than {RUN_SECONDS} s"
    told = {line["act"]: line for line in map(_line, lines.splitlines()) if "act" in line}
    doing = expect.Doing(client.era, server, token, stage.memory)
    missing = {"failed": f"{end} before this: {stderr.read_text()[-500:]}"}
    return [_judge(client, doing, act, told.get(act, missing)) for act in [*acts, "close"]]


def _line(text: bytes) -> dict[str, object]:
    """One line of what a client reports; libraries may print lines of their own between."""
    try:
        found = json.loads(text)
    except ValueError:
        print(f"not a report: {text[:200]!r}", file=sys.stderr)
        return {}
    return found if isinstance(found, dict) else {}


def _judge(client: Client, doing: expect.Doing, act: str, told: dict[str, object]) -> Outcome:
    if "unsupported" in told:
        return Outcome(client.label, doing.server, act, "n/a", str(told["unsupported"]))
    facts = told.get("facts")
    if not isinstance(facts, dict):
        return Outcome(client.label, doing.server, act, "FAILED", str(told["failed"]))
    try:
        problem = expect.CHECKS[act](facts, doing)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"unusable answer ({error!r}): {json.dumps(facts)[:700]}"
    return Outcome(client.label, doing.server, act, "FAILED" if problem else "ok", problem)


def _command(client: Client, installed: Installed) -> list[str]:
    script = SCRIPTS / client.script
    if script.suffix == ".mjs":  # Node looks for packages beside the script
        for source in SCRIPTS.glob("*.mjs"):
            shutil.copy(source, installed.npm)
        return [str(installed.node), str(installed.npm / script.name)]
    python = sys.executable if client.name == "inspector" else str(installed.python(client.name))
    return [python, "-W", "ignore", str(script)]


def _environment(installed: Installed, scratch: Path) -> dict[str, str]:
    """The client's environment: a home of its own, because the Inspector keeps a catalog in it."""
    return os.environ | {
        "HOME": str(scratch),
        "INSPECTOR_NODE": str(installed.node),
        "INSPECTOR": str(installed.script("mcp-inspector")),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
