"""A gateway somewhere else, over streamable HTTP (2026-07-28): one POST a request, JSON or SSE back."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from portico._core.contracts.json import Json
from portico.cli.failures import Failure, Misuse
from portico.cli.session import OnFrame, RpcError

_CHUNK: Final = 65536
_MOST: Final = 256 * 1024 * 1024


def web_address(url: str, example: str) -> tuple[SplitResult, str, int | None]:
    """A URL in parts, its host and its port.

    Args:
        url: As the user gave it.
        example: What one looks like.

    Raises:
        Misuse: It is none.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise Misuse(f"expected a URL like {example}, got {url!r}")
    return parts, parts.hostname, port


class Remote:
    """Talks to one MCP endpoint.

    Args:
        url: Of the endpoint.
        headers: To add to each request, `Authorization` among others.
        timeout: Seconds of silence after which to give up.

    Raises:
        Misuse: The URL is none.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float) -> None:
        parts, host, port = web_address(url, "http://127.0.0.1:4444/mcp")
        self._url = url
        self._secure = parts.scheme == "https"
        self._host, self._port = host, port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = dict(headers)
        self._timeout = timeout
        self._count = 0

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def send(self, method: str, params: Json, headers: dict[str, str], on_frame: OnFrame) -> Json:
        """See `Sender.send`."""
        import msgspec

        self._count += 1
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": self._count, "method": method, "params": params})
        every = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **headers,
            **self._headers,
        }
        connection = self._connection()
        try:
            connection.request("POST", self._path, body, every)
            with connection.getresponse() as response:
                frame = self._answer(response, on_frame)
        except TimeoutError:
            raise Failure(f"{self._url} said nothing for {self._timeout:g} s") from None
        except ValueError as error:  # http.client on header values that are not Latin-1
            raise Misuse(f"a header cannot be sent: {error}") from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Failure(
                f"no answer from {self._url}: {why}. Is `gateway serve` running there? "
                "(--url names another gateway, --config FILE needs none running)"
            ) from None
        finally:
            connection.close()
        if "error" in frame:
            raise RpcError(frame["error"])
        result: Json = frame["result"]
        return result

    def _answer(self, response: http.client.HTTPResponse, on_frame: OnFrame) -> Json:
        kind = response.headers.get_content_type()
        if kind == "text/event-stream" and response.status == 200:
            return self._from_stream(response, on_frame)
        body = response.read(_MOST)
        frame = _object(body)
        if isinstance(frame.get("error"), dict) or "result" in frame:
            return frame
        raise Failure(self._refused(response, frame))

    def _from_stream(self, response: http.client.HTTPResponse, on_frame: OnFrame) -> Json:
        from portico._core.protocol.sse import SseParser

        parser = SseParser(_MOST)
        while chunk := response.read1(_CHUNK):
            for event in parser.feed(chunk):
                if not event.data:
                    continue
                frame = _object(event.data.encode())
                if "result" in frame or "error" in frame:
                    return frame
                on_frame(frame)
        raise Failure(f"{self._url} ended the stream without an answer")

    def _refused(self, response: http.client.HTTPResponse, said: Json) -> str:
        reason = f" ({said['error']})" if isinstance(said.get("error"), str) else ""
        status = f"{self._url} answers {response.status} {response.reason}{reason}"
        if response.status == 401:
            return f"{status}: it wants a token; give one with --token or PORTICO_TOKEN"
        if response.status == 404 and isinstance(said.get("expected"), list):
            paths = ", ".join(map(str, said["expected"]))
            return f"{status}; it serves {paths or 'nobody over streamable HTTP without a token'}"
        if 200 <= response.status < 300:
            return f"{status}, but no JSON-RPC message: is this an MCP endpoint?"
        return status


def _object(body: bytes) -> dict[str, Any]:
    import msgspec

    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}
