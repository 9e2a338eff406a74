"""Servers that answer as a test wants."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Respond = Callable[[dict[str, object]], bytes]


@contextmanager
def answering(respond: Respond, heads: list[bytes] | None = None) -> Iterator[int]:
    """A server for one connection at a time: its port.

    Each request gets the bytes `respond` makes of its body; the lines of its head go to `heads`.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            size = 0
            with connection, connection.makefile("rb") as lines:
                while line := lines.readline():
                    if heads is not None:
                        heads.append(line)
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                    elif line == b"\r\n":
                        answer = respond(json.loads(lines.read(size)))
                        connection.sendall(answer)
                        if b"Connection: close" in answer:
                            break

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def echoed(request: dict[str, object]) -> dict[str, object]:
    params = request["params"]
    assert isinstance(params, dict)
    content = [{"type": "text", "text": params["arguments"]["text"]}]
    return {"jsonrpc": "2.0", "id": request["id"], "result": {"resultType": "complete", "content": content}}


def sized(message: object, status: str = "200 OK", more: str = "") -> bytes:
    body = json.dumps(message)
    kind = "Content-Type: application/json"
    return f"HTTP/1.1 {status}\r\n{kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def progress(token: object, number: int) -> dict[str, object]:
    params = {"progressToken": token, "progress": number}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def streamed(messages: Sequence[object]) -> bytes:
    """An event stream of these messages in two chunks, with everything an event stream may have besides."""
    text = "id: 1\nretry: 10\ndata:\n\n: quiet\n\n"
    text += "".join(f"event: message\r\ndata: {json.dumps(one)}\r\n\r\n" for one in messages)
    chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (text[:90], text[90:]) if part) + "0\r\n\r\n"
    kind = "content-type: text/event-stream; charset=utf-8"
    return f"HTTP/1.1 200 OK\r\n{kind}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}".encode()
