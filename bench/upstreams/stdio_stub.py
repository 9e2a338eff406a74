"""An MCP server on stdin and stdout that echoes: the upstream of the bench's stdio row. Legacy era only."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

FILLER = (
    "The quick brown fox jumps over the lazy dog while the five boxing wizards jump quickly over the sphinx "
    "of black quartz and judge my vow again."
)
TOOL = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of a request, or the error."""
    if method == "tools/call":
        text = f"{params['arguments']['text']} {FILLER}"
        return {"result": {"content": [{"type": "text", "text": text}], "isError": False}}
    if method == "initialize":
        info = {"name": "bench-stub", "version": "1.0.0"}
        version = params["protocolVersion"]
        return {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}}
    if method == "tools/list":
        return {"result": {"tools": [TOOL]}}
    if method == "ping":
        return {"result": {}}
    return {"error": {"code": -32601, "message": "method not found"}}


def main() -> None:
    """Answer until stdin ends."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        asked = decode(line)
        if "id" not in asked or "method" not in asked:
            continue
        found = answer(asked["method"], asked.get("params") or {})
        out.write(encode({"jsonrpc": "2.0", "id": asked["id"], **found}) + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
