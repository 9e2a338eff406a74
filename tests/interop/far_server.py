"""A stdio server (2025-11-25) at the far end of a tunnel: `bulk` answers with as much as it is asked for.

`echo` answers at once with how long its text is, `touch` says that the resource `test://watched` has changed.
"""

from __future__ import annotations

import json
import sys
from typing import Any

WATCHED = "test://watched"
CAPABILITIES = {"tools": {}, "resources": {"subscribe": True}}


def send(**message: Any) -> None:
    """Write one message."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def call(ident: Any, name: str, given: dict[str, Any]) -> None:
    """Carry out a tool call."""
    if name == "touch":
        send(method="notifications/resources/updated", params={"uri": WATCHED})
    text = "x" * given["size"] if name == "bulk" else str(len(given.get("text", "")))
    send(id=ident, result={"content": [{"type": "text", "text": text}]})


def main() -> None:
    """Serve until stdin ends."""
    for line in sys.stdin:
        message = json.loads(line)
        ident, method, params = message.get("id"), message.get("method"), message.get("params") or {}
        if method == "initialize":
            info = {"name": "far", "version": "1"}
            send(
                id=ident,
                result={"protocolVersion": "2025-11-25", "capabilities": CAPABILITIES, "serverInfo": info},
            )
        elif method == "tools/list":
            names = ("bulk", "echo", "touch")
            send(id=ident, result={"tools": [{"name": n, "inputSchema": {"type": "object"}} for n in names]})
        elif method == "resources/list":
            send(id=ident, result={"resources": [{"uri": WATCHED, "name": "watched"}]})
        elif method == "resources/templates/list":
            send(id=ident, result={"resourceTemplates": []})
        elif method == "tools/call":
            call(ident, params["name"], params.get("arguments") or {})
        elif ident is not None:
            send(id=ident, result={})


if __name__ == "__main__":
    main()
