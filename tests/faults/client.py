"""A client that hides nothing: it keeps every message an answer had, and how the connection ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from typing import Any, Literal, Self

import attrs
import msgspec

from tests.faults import http1
from tests.faults.http1 import BROKEN, Json
from tests.faults.tools import LEGACY, META, MODERN

Era = Literal["legacy", "modern"]
_names = itertools.count(1)


@attrs.define
class Asked:
    """One request and what came of it.

    Attributes:
        id: Its JSON-RPC id, which no other request of the whole run has.
        tool: Which tool.
        arguments: With what.
        status: The HTTP status, 0 for none.
        answers: Messages with an id and a result or an error, all of them.
        frames: The other messages.
        end: `whole`, `broken` (the connection ended first), or `gave up` (nothing came for too long).
        why: How it broke.
    """

    id: str
    tool: str
    arguments: Json
    status: int = 0
    answers: list[Json] = attrs.field(factory=list)
    frames: list[Json] = attrs.field(factory=list)
    end: str = ""
    why: str = ""

    @property
    def text(self) -> str | None:
        """The text of the result, where there is one."""
        try:
            return str(self.answers[0]["result"]["content"][0]["text"])
        except (LookupError, TypeError):
            return None

    @property
    def code(self) -> int | None:
        """The code of the error, where there is one."""
        try:
            return int(self.answers[0]["error"]["code"])
        except (LookupError, TypeError, ValueError):
            return None

    def __str__(self) -> str:
        what = "; ".join(msgspec.json.encode(each).decode()[:200] for each in self.answers)
        return f"{self.id} {self.tool} {self.status} {self.end} {self.why}[{what}]"


class FaultyClient:
    """A client of one era. One request at a time on one connection, opened anew when it was lost.

    Args:
        era: Its era.
        port: The gateway's, or a proxy's in front of it.
        patience: Seconds without anything before it gives up.
        capabilities: What it declares.
        receive_buffer: Bytes of its socket's receive buffer; None for the system's own size.
    """

    def __init__(
        self,
        era: Era,
        port: int,
        patience: float = 20.0,
        capabilities: Json | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.era = era
        self.port = port
        self.name = f"c{next(_names)}"
        self.asked: list[Asked] = []
        self.session: str | None = None
        self._patience = patience
        self._capabilities = capabilities or {}
        self._buffer = receive_buffer
        self._count = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        """Shake hands, in the era that does.

        Raises:
            OSError, EOFError: It did not work.
        """
        if self.era == "legacy":
            info = {"name": self.name, "version": "1"}
            params = {"protocolVersion": LEGACY, "capabilities": self._capabilities, "clientInfo": info}
            asked = await self.request("initialize", params)
            if self.session is None:
                raise EOFError(f"no session: {asked}")
            self.asked.clear()
            await self.tell({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()

    async def end(self, port: int) -> None:
        """End the session, at the gateway itself."""
        self.hang_up()
        if self.session is not None:
            self.port = port
            with contextlib.suppress(*BROKEN):
                await self._send("DELETE", None)
                await self._head(Asked("", "", {}))
            self.hang_up()

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection, with RST if so asked."""
        if self._streams is not None:
            writer = self._streams[1]
            if reset:
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            writer.close()
            self._streams = None

    @property
    def local_port(self) -> int:
        """Its end of the connection; 0 for none."""
        return int(self._streams[1].get_extra_info("sockname")[1]) if self._streams is not None else 0

    async def tell(self, message: Json) -> int:
        """Post a notification or a response; the HTTP status.

        Raises:
            OSError, EOFError, ValueError: It did not work.
        """
        said = Asked("", "", {})
        await self._send("POST", message)
        head = await self._head(said)
        if head.headers.get("connection", "").lower() == "close":
            self.hang_up()
        return said.status

    async def listen(self, seconds: float) -> bool:
        """Hold an event stream open for what is not about one call; whether there was one.

        Raises:
            OSError, EOFError, ValueError: There was no answer.
        """
        asked = Asked("", "", {})
        if self.era == "legacy":
            await self._send("GET", None)
        else:
            wanted = {"notifications": {"toolsListChanged": True}}
            asked = await self.begin("subscriptions/listen", wanted)
        head = await http1.read_head(self._reader())
        try:
            async with asyncio.timeout(seconds):
                async for message in http1.events(self._reader(), head.headers):
                    asked.frames.append(message)
        except (TimeoutError, *BROKEN):
            pass  # it was long enough, or the gateway has ended it
        self.hang_up()
        return head.is_events

    async def call(self, tool: str, arguments: Json, **more: Any) -> Asked:
        """Call a tool."""
        params = {"name": tool, "arguments": arguments, **more}
        return await self.request("tools/call", params, tool, arguments)

    async def request(
        self, method: str, params: Json, tool: str = "", arguments: Json | None = None
    ) -> Asked:
        """Make a request; what came of it, whatever that is."""
        asked = await self.begin(method, params, tool, arguments)
        if not asked.end:
            await self.finish(asked)
        return asked

    async def begin(self, method: str, params: Json, tool: str = "", arguments: Json | None = None) -> Asked:
        """Send a request, and read nothing yet."""
        self._count += 1
        asked = Asked(f"{self.name}-{self._count}", tool or method, arguments or {})
        self.asked.append(asked)
        meta: Json = {"progressToken": asked.id}
        if self.era == "modern":
            info = {"name": self.name, "version": "1"}
            meta |= {META + "protocolVersion": MODERN, META + "clientInfo": info}
            meta[META + "clientCapabilities"] = self._capabilities
        params = {**params, "_meta": meta}
        try:
            async with asyncio.timeout(self._patience):
                await self._send(
                    "POST", {"jsonrpc": "2.0", "id": asked.id, "method": method, "params": params}
                )
        except TimeoutError:
            self._over(asked, "gave up")
        except BROKEN as error:
            asked.why = f"{type(error).__name__} "
            self._over(asked, "broken")
        return asked

    async def finish(self, asked: Asked) -> None:
        """Read what comes."""
        try:
            async with asyncio.timeout(self._patience):
                await self._read(asked)
            asked.end = "whole"
        except TimeoutError:
            self._over(asked, "gave up")
        except BROKEN as error:
            asked.why = f"{type(error).__name__} "
            self._over(asked, "broken")
        except asyncio.CancelledError:
            self._over(asked, "gave up")
            raise

    def _over(self, asked: Asked, end: str) -> None:
        asked.end = end
        self.hang_up()

    async def _read(self, asked: Asked) -> None:
        head = await self._head(asked)
        reader = self._reader()
        if head.is_events:
            async for message in http1.events(reader, head.headers):
                answered = "id" in message and ("result" in message or "error" in message)
                (asked.answers if answered else asked.frames).append(message)
        else:
            body = await http1.read_body(reader, head.headers)
            if body:
                asked.answers.append(http1.decoded(body))
        if head.headers.get("connection", "").lower() == "close":
            self.hang_up()

    async def _head(self, asked: Asked) -> http1.Head:
        head = await http1.read_head(self._reader())
        asked.status = int(head.start[1])
        self.session = head.headers.get("mcp-session-id", self.session)
        if asked.id == "":
            await http1.read_body(self._reader(), head.headers)
        return head

    def _reader(self) -> asyncio.StreamReader:
        if self._streams is None:
            raise EOFError
        return self._streams[0]

    @property
    def unread(self) -> bool:
        """Whether there is more on the connection than anybody asked for."""
        return self._streams is not None and bool(getattr(self._streams[0], "_buffer", b""))

    async def _send(self, verb: str, message: Json | None) -> None:
        if self._streams is not None and (self._streams[0].at_eof() or self._streams[1].is_closing()):
            self.hang_up()  # closed between requests, as HTTP allows: nothing was asked on it
        if self._streams is None:
            self._streams = await self._connect()
        body = msgspec.json.encode(message) if message is not None else b""
        headers = {"host": f"127.0.0.1:{self.port}", "accept": "application/json, text/event-stream"}
        if message is not None:
            headers |= {"content-type": "application/json", "content-length": str(len(body))}
        if self.session is not None:
            headers["mcp-session-id"] = self.session
        version = MODERN if self.era == "modern" else LEGACY if self.session else None
        if version is not None:
            headers["mcp-protocol-version"] = version
        if self.era == "modern" and message is not None:
            headers["mcp-method"] = message["method"]
            if "name" in message["params"]:
                headers["mcp-name"] = message["params"]["name"]
        self._streams[1].write(http1.head(f"{verb} /mcp HTTP/1.1", headers) + body)
        await self._streams[1].drain()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._buffer is None:
            return await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=raw, limit=self._buffer)
