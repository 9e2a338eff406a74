"""The least MCP client that can tell whether a server calls tools, and by which name it calls the stub's."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from bench.load import Endpoint

LEGACY, MODERN = "2025-11-25", "2026-07-28"
TEXT = "first light"
CLIENT = {"name": "bench", "version": "1.0.0"}
ANSWER_SECONDS = 20.0


class WrongAnswer(Exception):
    """The server answered, and not as it should; the message has the beginning of what it said."""


def first_call(port: int, endpoint: Endpoint, era: str) -> str:
    """Find the stub's tool `echo` in `tools/list` and call it.

    Args:
        port: The port on 127.0.0.1.
        endpoint: Path and headers; the tool's name is not used.
        era: `legacy` (with its handshake) or `modern`.

    Returns:
        The name the server gives the tool.

    Raises:
        WrongAnswer: It does not speak the era, or has no such tool, or calls it wrongly.
        OSError: Nobody there, or no HTTP answer in time.
    """
    session = _Session(port, endpoint, era)
    try:
        if era == "legacy":
            session.shake_hands()
        name = _echo(session.ask("tools/list", {}))
        result = session.ask("tools/call", {"name": name, "arguments": {"text": TEXT}}, name)
        if TEXT not in json.dumps(result.get("content")):
            raise WrongAnswer(f"tools/call: {str(result)[:200]}")
        return name
    finally:
        session.connection.close()


def _echo(result: Mapping[str, Any]) -> str:
    names = [str(tool["name"]) for tool in result.get("tools", ())]
    for name in names:
        if name == "echo" or (name.endswith("echo") and not name[-5].isalnum()):
            return name
    raise WrongAnswer(f"no tool echo among {names[:3]}")


@attrs.define
class _Session:
    port: int
    endpoint: Endpoint
    era: str
    connection: http.client.HTTPConnection = attrs.field(init=False)
    headers: dict[str, str] = attrs.field(init=False)
    last_id: int = 0

    def __attrs_post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        self.headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **dict(self.endpoint.headers),
        }

    def shake_hands(self) -> None:
        hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}
        result = self.ask("initialize", hello)
        self.headers["MCP-Protocol-Version"] = str(result.get("protocolVersion", LEGACY))
        status, _, body = self._post({"jsonrpc": "2.0", "method": "notifications/initialized"}, {})
        if status not in (200, 202, 204):
            raise WrongAnswer(f"notifications/initialized: {status} {body[:200]!r}")

    def ask(self, method: str, params: Mapping[str, Any], name: str = "") -> dict[str, Any]:
        """The result of a request.

        Raises:
            WrongAnswer: There is none.
        """
        self.last_id += 1
        more: dict[str, str] = {}
        if self.era == "modern":
            more = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
            if name:
                more["Mcp-Name"] = name
            own = "io.modelcontextprotocol/"
            meta = {
                f"{own}protocolVersion": MODERN,
                f"{own}clientInfo": CLIENT,
                f"{own}clientCapabilities": {},
            }
            params = {**params, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}
        status, kind, body = self._post(message, more)
        if status == 200:
            for one in _messages(kind, body):
                if one.get("id") == self.last_id and isinstance(one.get("result"), dict):
                    result: dict[str, Any] = one["result"]
                    return result
        raise WrongAnswer(f"{method}: {status} {body[:200]!r}")

    def _post(self, message: Mapping[str, Any], more: Mapping[str, str]) -> tuple[int, str, bytes]:
        try:
            self.connection.request("POST", self.endpoint.path, json.dumps(message), {**self.headers, **more})
            response = self.connection.getresponse()
            body = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"not an HTTP answer: {error!r}") from error
        if session := response.headers.get("Mcp-Session-Id"):
            self.headers["Mcp-Session-Id"] = session
        return response.status, response.headers.get_content_type(), body


def _messages(kind: str, body: bytes) -> Iterator[dict[str, Any]]:
    texts = [body] if kind != "text/event-stream" else _events(body)
    for text in texts:
        try:
            message = json.loads(text)
        except ValueError:
            continue
        if isinstance(message, dict):
            yield message


def _events(body: bytes) -> Iterator[bytes]:
    for event in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        if lines:
            yield b"\n".join(lines)
