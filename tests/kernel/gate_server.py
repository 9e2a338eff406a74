"""An MCP server on stdin and stdout (2025-11-25) whose tool `wait` answers when it is let go."""

import json
import os
import socket
import sys
import threading

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "wait", "ask")]
LOCK = threading.Lock()
ASKED = {}


def send(message):
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def answer(ident, text):
    send({"id": ident, "result": {"content": [{"type": "text", "text": text}]}})


def wait(ident, port):
    """Connect to the test, which sees that by; answer when it closes the connection."""
    with socket.create_connection(("127.0.0.1", port)) as gate:
        gate.recv(1)
    answer(ident, f"waited in {os.getppid()}")


def call(ident, params):
    arguments = params.get("arguments", {})
    if params["name"] == "wait":
        threading.Thread(target=wait, args=(ident, arguments["port"]), daemon=True).start()
    elif params["name"] == "ask":
        ASKED[f"q{ident}"] = ident
        form = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {}}}
        send({"id": f"q{ident}", "method": "elicitation/create", "params": form})
    else:
        answer(ident, json.dumps(arguments))


for line in sys.stdin:
    message = json.loads(line)
    ident, method = message.get("id"), message.get("method")
    if method == "initialize":
        info = {"name": "gate", "version": "1"}
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        send({"id": ident, "result": result})
    elif method == "tools/list":
        send({"id": ident, "result": {"tools": TOOLS}})
    elif method == "tools/call":
        call(ident, message["params"])
    elif method is None and ident in ASKED:
        answer(ASKED.pop(ident), json.dumps(message.get("result")))
    elif ident is not None and method is not None:
        send({"id": ident, "error": {"code": -32601, "message": "Method not found"}})
