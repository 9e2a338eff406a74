"""Requests to a gateway over a connection that is kept, so that they come to one worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from bench.processes import CannotRun

MODERN = "2026-07-28"
NO_HEADERS: Mapping[str, str] = {}
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1.0.0"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Line:
    """One keep-alive connection.

    Args:
        port: On 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def open(self) -> None:
        """Connect.

        Raises:
            OSError: Nobody is there.
        """
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 24)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> tuple[int, bytes]:
        """A request and its answer: status and body.

        Raises:
            CannotRun: There was no answer, or none that is understood.
        """
        self._send(method, path, body, headers)
        try:
            status, fields = await self._head()
            return status, await self._reader.readexactly(int(fields["content-length"]))
        except (OSError, EOFError, KeyError) as error:
            raise CannotRun(f"{method} {path}: no answer ({error!r})") from None

    def _send(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}", f"Content-Length: {len(data)}"]
        if body is not None:
            lines.append("Content-Type: application/json")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    async def _head(self) -> tuple[int, dict[str, str]]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        return int(head[0].split()[1]), dict(line.split(": ", 1) for line in head[1:] if ": " in line)

    async def rpc(self, method: str, path: str = "/mcp", **params: Any) -> bytes:
        """The answer to a modern MCP request, whatever it is."""
        return (await self.ask("POST", path, *_request(method, params)))[1]

    async def stream(self, method: str, path: str = "/mcp", **params: Any) -> AsyncIterator[bytes]:
        """The messages of an event stream that answers a modern MCP request."""
        self._send("POST", path, *_request(method, params))
        await self._head()
        while size := int(await self._reader.readline(), 16):
            chunk = (await self._reader.readexactly(size + 2))[:-2]
            for line in chunk.splitlines():
                if line.startswith(b"data: "):
                    yield line.removeprefix(b"data: ")

    async def manage(self, method: str, path: str, body: object = None) -> Any:
        """An answer of the management API.

        Raises:
            CannotRun: It refused.
        """
        status, answer = await self.ask(method, f"/api/v1{path}", body)
        if status >= 300:
            raise CannotRun(f"{method} {path}: {status} {answer[:500]!r}")
        return json.loads(answer) if answer else None

    def owner(self, pids: list[int]) -> int | None:
        """Which of these processes has the other end."""
        own = self._writer.get_extra_info("sockname")[1]
        for pid in pids:
            inode = _inode(pid, self._port, own)
            if inode is not None and _holds(pid, inode):
                return pid
        return None


def _request(method: str, params: Mapping[str, Any]) -> tuple[object, dict[str, str]]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": _META, **params}}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": MODERN}
    headers["Mcp-Method"] = method
    return body, {**headers, **({"Mcp-Name": params["name"]} if "name" in params else {})}


def _inode(pid: int, local: int, remote: int) -> str | None:
    wanted = (f"0100007F:{local:04X}", f"0100007F:{remote:04X}")
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1], fields[2]) == wanted:
            return fields[9]
    return None


def _holds(pid: int, inode: str) -> bool:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if str(entry.readlink()) == f"socket:[{inode}]":
                return True
        except OSError:
            continue  # closed meanwhile
    return False


async def one_to_each(port: int, pids: list[int]) -> list[Line]:
    """A connection to each worker that listens on a port.

    Raises:
        CannotRun: One of them takes none.
    """
    found: dict[int, Line] = {}
    others: list[Line] = []
    for _ in range(200):
        line = Line(port)
        await line.open()
        await line.ask("GET", "/healthz")
        pid = line.owner(pids)
        if pid is None or pid in found:
            others.append(line)
        else:
            found[pid] = line
        if len(found) == len(pids):
            break
    for line in others:
        line.close()
    if len(found) < len(pids):
        raise CannotRun(f"only {len(found)} of {len(pids)} workers took connections")
    return list(found.values())
