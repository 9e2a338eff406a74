"""A stdio server (2025-11-25) for what passes through: it says who it is, hangs, and tells of cancellation.

`python passing_server.py [EXTRA ...]`: every argument is the name of one more tool, which answers with it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

TOOLS = ["pid", "env", "hang", "cancelled", *sys.argv[1:]]
state: dict[str, Any] = {"cancelled": None, "waiting": None}


def send(**message: Any) -> None:
    """Write one message."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def text(ident: Any, said: str) -> None:
    """Answer a tool call."""
    send(id=ident, result={"content": [{"type": "text", "text": said}]})


def tell() -> None:
    """Answer `cancelled` once both it and a cancellation have come."""
    if state["waiting"] is not None and state["cancelled"] is not None:
        text(state["waiting"], state["cancelled"])
        state.update(waiting=None, cancelled=None)


def call(ident: Any, params: dict[str, Any]) -> None:
    """Carry out a tool call."""
    name = params["name"]
    if name == "hang":
        token = params.get("_meta", {}).get("progressToken")
        send(method="notifications/progress", params={"progressToken": token, "progress": 1})
    elif name == "cancelled":
        state["waiting"] = ident
        tell()
    else:
        said = {"pid": str(os.getpid()), "env": json.dumps(dict(os.environ))}
        text(ident, said.get(name, name))


def main() -> None:
    """Serve until stdin ends."""
    for line in sys.stdin:
        message = json.loads(line)
        ident, method, params = message.get("id"), message.get("method"), message.get("params") or {}
        if method == "initialize":
            capabilities = {"tools": {"listChanged": True}}
            info = {"name": "passing", "version": "1"}
            version = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}
            send(id=ident, result=version)
        elif method == "tools/list":
            send(id=ident, result={"tools": [{"name": n, "inputSchema": {"type": "object"}} for n in TOOLS]})
        elif method == "tools/call":
            call(ident, params)
        elif method == "ping":
            send(id=ident, result={})
        elif method == "notifications/cancelled":
            state["cancelled"] = "it was cancelled"
            tell()
        elif ident is not None:
            send(id=ident, error={"code": -32601, "message": "Method not found"})


if __name__ == "__main__":
    main()
