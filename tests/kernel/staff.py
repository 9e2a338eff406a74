"""A gateway with worker processes, and clients of it that keep their connections."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import msgspec

from portico._host import control, rundir
from portico.api import LATEST_LEGACY, LATEST_MODERN, META_CAPABILITIES, META_VERSION, Json
from tests.kernel.cli.conftest import Served, serving

PATIENCE = 30.0
GATE = [sys.executable, str(Path(__file__).with_name("gate_server.py"))]
PLAIN = {
    "host": "localhost",
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
}


def config(workers: int = 1, extra: str = "", listen: str = '"127.0.0.1:0"') -> str:
    return (
        f"[gateway]\nworkers = {workers}\nlisten = [{listen}]\nlog_format = 'json'\n{extra}\n"
        f"[upstreams.gate]\nuse = 'mcp'\ncommand = {json.dumps(GATE)}\n"
        "[transports.streamable_http]\nstream_after = 60.0\n"
    )


@attrs.define(eq=False)
class Staff:
    """A gateway that runs, its file, and its control socket."""

    served: Served
    folder: Path
    runtime: Path

    @property
    def file(self) -> Path:
        return self.folder / "gateway.toml"

    @property
    def socket(self) -> Path:
        (folder,) = (self.runtime / "portico").iterdir()
        return folder / control.FILE

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.served.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    @property
    def log(self) -> list[Json]:
        """What has been logged, lines that are no JSON left out."""
        lines = self.served.errors.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def status(self) -> Json:
        return control.ask(self.socket, {"do": "status"}, PATIENCE)

    def reload(self) -> Json:
        return control.ask(self.socket, {"do": "reload"}, PATIENCE)

    def pids(self, state: str = "ready") -> list[int]:
        return [each["pid"] for each in self.status()["workers"] if each["state"] == state]

    async def until(self, condition: Callable[[Json], bool]) -> Json:
        """The status, once it is as wanted."""
        async with asyncio.timeout(PATIENCE):
            while not condition(status := await asyncio.to_thread(self.status)):
                pass
        return status


@contextmanager
def staff(folder: Path, text: str, *args: str, **env: str) -> Iterator[Staff]:
    """A gateway from its banner on until the end of the block."""
    (folder / "gateway.toml").write_text(text)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="p") as runtime:
        env = {"XDG_RUNTIME_DIR": runtime, **env}
        with serving(folder, *args, listen=None, **env) as served:
            yield Staff(served, folder, Path(runtime))


class Gate:
    """Where calls of the tool `wait` wait."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    async def begun(self) -> socket.socket:
        """Return when a call has begun to wait; closing this lets it go."""
        async with asyncio.timeout(PATIENCE):
            connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        return connection

    def close(self) -> None:
        self._listener.close()


class Failed(Exception):
    """A connection broke while an answer was wanted."""


class Client:
    """One connection at a time, kept as long as the gateway keeps it. Nothing is tried twice."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._count = 0
        self.connections = 0
        self.session = ""

    async def send(self, method: str, headers: Json, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Make a request; gives status, headers and body.

        Raises:
            Failed: There was no answer.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._send(method, headers, body)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Failed(repr(error)) from error

    async def _send(self, method: str, headers: Json, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
            self.connections += 1
        reader, writer = self._streams
        lines = [f"{method} /mcp HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        lines.append(f"content-length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        got = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:])}
        data = await reader.readexactly(int(got.get("content-length", "0")))
        if got.get("connection") == "close":
            self.close()
        return int(head[0].split(" ")[1]), got, data

    async def modern(self, name: str, arguments: Json | None = None, **more: Any) -> Json:
        """Call a tool (2026-07-28); gives the JSON-RPC answer."""
        meta = {META_VERSION: LATEST_MODERN, META_CAPABILITIES: {"elicitation": {}}}
        params = {"name": name, "arguments": arguments or {}, "_meta": meta, **more}
        headers = {
            **PLAIN,
            "mcp-protocol-version": LATEST_MODERN,
            "mcp-method": "tools/call",
            "mcp-name": name,
        }
        status, got, body = await self.send("POST", headers, self._frame("tools/call", params))
        assert got.get("content-type") == "application/json", (status, got, body)
        answer: Json = msgspec.json.decode(body)
        return answer

    async def legacy(self, name: str, arguments: Json | None = None) -> tuple[int, Json]:
        """Call a tool (2025-11-25), in a session that is opened first if there is none."""
        if not self.session:
            hello = {
                "protocolVersion": LATEST_LEGACY,
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            }
            status, headers, body = await self.send("POST", PLAIN, self._frame("initialize", hello))
            assert status == 200, body
            self.session = headers["mcp-session-id"]
        status, _, body = await self.send(
            "POST",
            {**PLAIN, "mcp-session-id": self.session, "mcp-protocol-version": LATEST_LEGACY},
            self._frame("tools/call", {"name": name, "arguments": arguments or {}}),
        )
        return status, msgspec.json.decode(body)

    def _frame(self, method: str, params: Json) -> bytes:
        self._count += 1
        return msgspec.json.encode({"jsonrpc": "2.0", "id": self._count, "method": method, "params": params})

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Load:
    """Clients that call one after the other until they are told to stop.

    Attributes:
        done: Calls that were answered with their result.
        failed: What the others got.
        again: How often a legacy client was told that its session is gone, and opened another.
    """

    def __init__(self, address: tuple[str, int], modern: int, legacy: int = 0) -> None:
        self.done = 0
        self.again = 0
        self.failed: list[str] = []
        self._stopped = False
        self._news = asyncio.Event()
        self.clients = [Client(address) for _ in range(modern + legacy)]
        calls = [self._modern] * modern + [self._legacy] * legacy
        self._tasks = [
            asyncio.create_task(self._loop(client, call))
            for client, call in zip(self.clients, calls, strict=True)
        ]

    async def _loop(self, client: Client, call: Any) -> None:
        number = 0
        while not self._stopped:
            number += 1
            try:
                answer = await call(client, {"n": number})
            except Failed as error:
                self.failed.append(str(error))
                client.close()
            else:
                text = answer.get("result", {}).get("content", [{}])[0].get("text")
                if text == json.dumps({"n": number}):
                    self.done += 1
                else:
                    self.failed.append(str(answer))
            self._news.set()

    async def _modern(self, client: Client, arguments: Json) -> Json:
        return await client.modern("echo", arguments)

    async def _legacy(self, client: Client, arguments: Json) -> Json:
        status, answer = await client.legacy("echo", arguments)
        while status == 404:  # as the specification has it: initialize again
            self.again += 1
            client.session = ""
            status, answer = await client.legacy("echo", arguments)
        return answer

    async def more(self, calls: int) -> None:
        """Wait until so many more have been answered."""
        wanted = self.done + calls
        async with asyncio.timeout(PATIENCE):
            while self.done < wanted:
                self._news.clear()
                await self._news.wait()

    async def stop(self) -> None:
        """Let the last calls end."""
        self._stopped = True
        await asyncio.gather(*self._tasks)
        for client in self.clients:
            client.close()


def alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def kill(pid: int) -> None:
    """`kill -9`."""
    os.kill(pid, signal.SIGKILL)


__all__ = ["GATE", "Client", "Failed", "Gate", "Load", "Staff", "alive", "config", "kill", "rundir", "staff"]
