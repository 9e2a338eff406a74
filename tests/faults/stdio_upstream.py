"""The same tools on stdin and stdout, both eras, and ways to misbehave in the middle of a call.

`misbehave` with `how`: `exit`, `kill` (SIGKILL itself), `garbage` (no JSON on stdout), `mute` (never another
word), `close` (stdout), `flood` (16 MB without a line's end), `partial` (half an answer, then SIGKILL).
Side effects are lines of the file named by the first argument, so that they outlive the process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tests.faults.http1 import Json, decoded
from tests.faults.tools import Journal, Tools, respond


class _Pipe:
    """Where answers go; also the channel of every call."""

    def __init__(self) -> None:
        self.mute = False

    def write(self, message: Json) -> None:
        if not self.mute:
            _out(msgspec.json.encode(message) + b"\n")

    async def notify(self, method: str, params: Json) -> None:
        self.write({"jsonrpc": "2.0", "method": method, "params": params})
        await asyncio.sleep(0)

    async def ask(self, method: str, params: Json) -> Json:
        raise ValueError("asks nothing")


class _Progress:
    """The channel of one call."""

    def __init__(self, pipe: _Pipe, token: Any) -> None:
        self._pipe = pipe
        self._token = token

    async def notify(self, method: str, params: Json) -> None:
        await self._pipe.notify(method, {**params, "progressToken": self._token})

    async def ask(self, method: str, params: Json) -> Json:
        return await self._pipe.ask(method, params)


def _out(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _harm(pipe: _Pipe, how: str) -> None:
    if how == "exit":
        os._exit(3)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "garbage":
        _out(b"Segmentation fault (core dumped)\n\x00\xff{]\n")
    elif how == "mute":
        pipe.mute = True
    elif how == "close":
        os.close(1)
    elif how == "flood":
        _out(b"x" * (17 << 20))
    elif how == "partial":
        _out(b'{"jsonrpc":"2.0","id":1,"res')
        os.kill(os.getpid(), signal.SIGKILL)


def _forget(calls: dict[str, asyncio.Task[None]], key: str, _: asyncio.Task[None]) -> None:
    calls.pop(key, None)


async def _main(ledger: Path) -> None:
    def keep(entry: Json) -> None:
        with ledger.open("a") as file:
            file.write(f"{entry['what']} {entry['key']}\n")

    pipe = _Pipe()
    tools = Tools(Journal(keep), lambda how: _harm(pipe, how))
    calls: dict[str, asyncio.Task[None]] = {}
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()

    async def serve(message: Json, modern: bool, meta: Json) -> None:
        channel = _Progress(pipe, meta.get("progressToken"))
        pipe.write(await respond(message, tools, channel, modern))

    while True:
        message = decoded(await lines.get())
        if message.get("method") == "notifications/cancelled":
            task = calls.get(repr(message["params"].get("requestId")))
            if task is not None:
                task.cancel()
        elif "method" in message and "id" in message:
            meta = (message.get("params") or {}).get("_meta") or {}
            modern = any("protocolVersion" in name for name in meta)
            key = repr(message["id"])
            calls[key] = asyncio.ensure_future(serve(message, modern, meta))
            calls[key].add_done_callback(partial(_forget, calls, key))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
