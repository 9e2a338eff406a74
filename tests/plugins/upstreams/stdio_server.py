"""A small stdio server with bad habits that its flags choose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

FLAGS = set(sys.argv[1:])
MODERN = "--modern" in FLAGS
LOCK = threading.Lock()
ANSWERS: dict[str, Any] = {}
ANSWERED = threading.Condition()


def write(message: Any) -> None:
    """Write one line."""
    with LOCK:
        text = message if isinstance(message, str) else json.dumps(message)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def log(data: Any) -> None:
    """Send a log message."""
    params = {"level": "info", "data": data}
    write({"jsonrpc": "2.0", "method": "notifications/message", "params": params})


def answer(ident: Any, result: Any) -> None:
    """Answer a request."""
    write({"jsonrpc": "2.0", "id": ident, "result": result})


def text(ident: Any, said: str) -> None:
    """Answer a tool call."""
    answer(ident, {"content": [{"type": "text", "text": said}]})


def ask(method: str, params: Any) -> Any:
    """Ask the client, from a thread of its own."""
    ident = f"ask{len(ANSWERS)}-{os.getpid()}"
    ANSWERS[ident] = None
    write({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})
    with ANSWERED:
        ANSWERED.wait_for(lambda: ANSWERS[ident] is not None)
    return ANSWERS[ident]


def said_to(response: Any) -> Any:
    """What a response says."""
    return {key: response[key] for key in ("result", "error") if key in response}


def tool(ident: Any, name: str, arguments: dict[str, Any], meta: dict[str, Any]) -> None:
    """Run a tool."""
    if name == "pid":
        text(ident, str(os.getpid()))
    elif name == "echo":
        text(ident, arguments["text"])
    elif name == "env":
        text(ident, json.dumps(dict(os.environ)))
    elif name == "raw":
        write(f'{{"jsonrpc":"2.0","id":{json.dumps(ident)},"result":{arguments["json"]}}}')
    elif name == "crash":
        os._exit(3)
    elif name == "garbage":
        write("this is no JSON")
    elif name == "long":
        sys.stdout.write("x" * arguments["size"])
        sys.stdout.flush()
    elif name == "mute":
        os.close(1)
    elif name == "child":
        with subprocess.Popen(["sleep", "1000"]) as child:
            text(ident, str(child.pid))
            child.wait()
    elif name == "ask":
        said = ask(arguments.get("method", "elicitation/create"), {"message": "?", "mode": "form"})
        text(ident, json.dumps(said_to(said), sort_keys=True))
    elif name == "ask-and-go":
        threading.Thread(target=lambda: log(said_to(ask("roots/list", {}))), daemon=True).start()
        text(ident, "gone")
    elif name == "progress":
        for i in range(arguments["to"]):
            params = {"progressToken": meta.get("progressToken"), "progress": i + 1}
            write({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        text(ident, "done")
    elif name == "stderr":
        sys.stderr.write(arguments["text"])
        sys.stderr.flush()
        text(ident, "said")
    elif name == "hang":
        write(
            {
                "jsonrpc": "2.0",
                "method": "notifications/message",
                "params": {"level": "info", "data": "on it"},
            }
        )


def handle(message: Any) -> None:
    """Answer one message."""
    ident, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if method is None:
        with ANSWERED:
            ANSWERS[ident] = message
            ANSWERED.notify_all()
    elif method == "server/discover":
        if "--die-of-probe" in FLAGS:
            os._exit(1)
        if "--deaf-to-probe" in FLAGS:
            return
        if MODERN:
            answer(ident, {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
        else:
            write({"jsonrpc": "2.0", "id": ident, "error": {"code": -32602, "message": "what?"}})
    elif method == "initialize" and not MODERN:
        info = {"name": "stdio", "version": "1"}
        version = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": True}}}
        answer(ident, {**version, "serverInfo": info, "instructions": json.dumps(params["capabilities"])})
    elif method == "tools/list":
        names = ["pid", "echo", "env", "raw", "crash", "garbage", "long", "mute", "child", "ask", "progress"]
        names += ["stderr", "hang"]
        answer(ident, {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]})
    elif method == "tools/call":
        arguments, meta = params.get("arguments") or {}, params.get("_meta") or {}
        work = threading.Thread(target=tool, args=(ident, params["name"], arguments, meta), daemon=True)
        work.start()
    elif method == "notifications/cancelled":
        write(
            {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": params, "level": "info"}}
        )
    elif ident is not None:
        write({"jsonrpc": "2.0", "id": ident, "error": {"code": -32601, "message": "Method not found"}})


def main() -> None:
    """Serve until stdin ends."""
    if "--stubborn" in FLAGS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "--noisy" in FLAGS:
        print("Welcome! Server running on stdio\n", flush=True)
    if "--exit-at-once" in FLAGS:
        sys.exit(7)
    for line in sys.stdin:
        handle(json.loads(line))
    while "--stubborn" in FLAGS:
        time.sleep(1)


if __name__ == "__main__":
    main()
