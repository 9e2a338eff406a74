"""The HTTP guard: the outermost ASGI layer. It refuses what no honest client sends, before anything reads it.

It holds whatever server is underneath: request framing, `Host` and `Origin`, header volume, duplicate and
forged headers, body size and body time. Refusals are short constant JSON; they echo nothing of the request.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from portico._core.contracts.direct import Admission, Direct
from portico._core.requests.owners import PROXIED
from portico._host.http.bodies import Body
from portico._host.http.limits import Limits
from portico._host.http.refusals import TOO_LARGE, Refusal, answer, refusal
from portico._host.http.sites import Hosts, Origins, Proxies, is_own

_PASS: Final = 0
_DROP: Final = 1
_SINGLE: Final = 2
_SPECIAL: Final = {
    b"host": _SINGLE,
    b"origin": _SINGLE,
    b"authorization": _SINGLE,
    b"x-upstream-authorization": _SINGLE,
    b"content-type": _SINGLE,
    b"content-length": _SINGLE,
    b"content-encoding": _SINGLE,
    b"transfer-encoding": _SINGLE,
    b"last-event-id": _SINGLE,
    b"mcp-session-id": _SINGLE,
    b"forwarded": _DROP,
    b"via": _DROP,
    b"proxy": _DROP,
    b"remote-user": _DROP,
    b"mcp-init-host": _DROP,
    b"x-http-method-override": _DROP,
    b"x-method-override": _DROP,
    b"x-real-ip": _DROP,
    b"x-client-ip": _DROP,
    b"x-rewrite-url": _DROP,
    b"true-client-ip": _DROP,
    b"cf-connecting-ip": _DROP,
}
# A repeated `mcp-method`, `mcp-name` or `mcp-protocol-version` passes: the protocol has its own answer.
_DROPPED: Final = (
    b"x-forwarded-",
    b"x-user",
    b"x-tenant",
    b"x-authenticated-",
    b"x-auth-request-",
    b"x-remote-",
    b"x-original-",
    b"x-envoy-",
    b"x-portico-",
)
_PROXIES: Final = (b"forwarded", b"via", b"x-real-ip")
"""What proxies say besides `x-forwarded-...`."""
_DROPPED_ANY: Final = b""  # no header has this name
_REMEMBERED: Final = 4096


_FRAMING: Final = refusal(400, "ambiguous body length", "Content-Length or Transfer-Encoding, not both")
_LENGTH: Final = refusal(400, "malformed Content-Length", "decimal digits")
_CODING: Final = refusal(501, "unknown transfer coding", "Transfer-Encoding: chunked")
_TWICE: Final = refusal(400, "repeated header", "each single-valued header at most once")
_HOST: Final = refusal(400, "missing or malformed Host", "exactly one Host header with a name or address")
_MISDIRECTED: Final = refusal(421, "Host is not served here", "a Host among the configured allowed hosts")
_H2C: Final = refusal(421, "HTTP/2 without TLS is not served here", "HTTP/1.1, or HTTP/2 over TLS")
_ORIGIN: Final = refusal(403, "Origin is not allowed", "no Origin, the gateway's own, or a configured one")
_HEADERS: Final = refusal(431, "too many or too large headers", "fewer or shorter header fields")
_TARGET: Final = refusal(414, "request target too long", "a shorter path and query")


_READABLE: Final = (
    *("A2A-Extensions", "A2A-Version", "ETag", "Link", "Location", "MCP-Protocol-Version", "Mcp-Session-Id"),
    *("Retry-After", "WWW-Authenticate"),
)
"""Headers of answers that pages of other origins may read, besides those that all may."""


class Guard:
    """Pure ASGI middleware around the whole application.

    Args:
        app: The application. It sees only requests that passed, without the headers clients may not set.
        limits: What passes.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._hosts = Hosts(limits.allowed_hosts)
        self._origins = Origins(limits.allowed_origins)
        self._proxies = Proxies(limits.trusted_proxies) if limits.trusted_proxies else None
        self._kinds: dict[bytes, int] = dict(_SPECIAL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            await self._app(scope, receive, send)
            return
        seen: dict[bytes, bytes] = {}
        refusal = self._judge(scope, seen)
        if refusal is not None:
            await (answer(scope, send, refusal) if kind == "http" else _reject(receive, send))
            return
        app = self._for_pages if kind == "http" and _is_elsewhere(seen) else self._app
        length = seen.get(b"content-length")
        if kind == "websocket" or length == b"0":
            await app(self._trimmed(scope, seen), receive, send)
        elif length is None and b"transfer-encoding" not in seen and scope["http_version"] in ("1.1", "1.0"):
            await app(self._trimmed(scope, seen), receive, send)  # no body can come
        elif length is not None and (len(length) > 18 or int(length) > self._limits.body_bytes):
            await answer(scope, send, TOO_LARGE)
        else:
            body = Body(scope, receive, send, self._limits.body_bytes, self._limits.body_seconds)
            await body.run(app, self._trimmed(scope, seen))

    @cached_property
    def _for_pages(self) -> ASGIApp:
        """The application for pages of other origins, whose browsers ask first and want to be told (CORS)."""
        from starlette.middleware.cors import CORSMiddleware  # few gateways have such clients

        # Every origin that gets here was judged. Nothing goes by cookies, so none are let along.
        return CORSMiddleware(
            self._app,
            allow_origin_regex=".*",
            allow_methods=("*",),
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=_READABLE,
        )

    def admit(self, scope: Scope, handle: Direct) -> Admission | None:
        """Judge the head of a request that `handle` could answer without ASGI; the rules are the same.

        Those of pages of other origins, whose browsers want more headers, are ASGI's: None.
        """
        seen: dict[bytes, bytes] = {}
        refusal = self._judge(scope, seen)
        if refusal is None:
            length = seen.get(b"content-length")
            if length is not None and (len(length) > 18 or int(length) > self._limits.body_bytes):
                refusal = TOO_LARGE
        if refusal is not None:
            return Admission(scope, None, refusal.status, refusal.body)
        if _is_elsewhere(seen):
            return None
        return Admission(
            self._trimmed(scope, seen),
            handle,
            body_bytes=self._limits.body_bytes,
            body_seconds=self._limits.body_seconds,
        )

    def _judge(self, scope: Scope, seen: dict[bytes, bytes]) -> Refusal | None:
        """Look once at every header; fill `seen` with the single-valued ones (and `_DROPPED_ANY`)."""
        limits, kinds = self._limits, self._kinds
        headers = scope["headers"]
        if len(headers) > limits.header_count:
            return _HEADERS
        if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > limits.header_line:
            return _TARGET
        total = 0
        longest = limits.header_line
        twice = False
        for name, value in headers:
            size = len(name) + len(value)
            total += size
            if size > longest:
                return _HEADERS
            kind = kinds.get(name)
            if kind is None:
                kind = self._classify(name)
            if kind:
                if kind == _DROP:
                    seen[_DROPPED_ANY] = value
                elif name in seen:
                    twice = True
                else:
                    seen[name] = value
        if total > limits.header_bytes:
            return _HEADERS
        return self._judge_fields(scope, seen, twice)

    def _judge_fields(self, scope: Scope, seen: dict[bytes, bytes], twice: bool) -> Refusal | None:
        if scope["scheme"] in ("http", "ws") and scope["http_version"] == "2" and not self._limits.allow_h2c:
            return _H2C
        coding = seen.get(b"transfer-encoding")
        length = seen.get(b"content-length")
        if coding is not None:
            if length is not None:
                return _FRAMING
            if coding.lower() != b"chunked":
                return _CODING
        if twice:
            return _TWICE
        if length is not None and not length.isdigit():
            return _LENGTH
        host = seen.get(b"host")
        verdict = "malformed" if host is None else self._hosts.judge(host)
        if host is None or verdict == "malformed":
            return _HOST
        if verdict == "foreign":
            return _MISDIRECTED
        origin = seen.get(b"origin")
        if origin is not None and not self._origins.allows(origin, host):
            return _ORIGIN
        return None

    def _classify(self, name: bytes) -> int:
        """What becomes of a header of this name, remembered for the next time (within bounds)."""
        kind = _DROP if b"_" in name or name.startswith(_DROPPED) else _PASS
        if len(name) <= 64:
            if len(self._kinds) >= _REMEMBERED:
                self._kinds = dict(_SPECIAL)
            self._kinds[name] = kind
        return kind

    def _trimmed(self, scope: Scope, seen: dict[bytes, bytes]) -> Scope:
        """The scope without the headers clients may not set, and with what a trusted proxy says."""
        if _DROPPED_ANY not in seen:
            return scope
        kinds = self._kinds
        kept = [pair for pair in scope["headers"] if (kinds.get(pair[0]) or self._classify(pair[0])) != _DROP]
        trimmed = {**scope, "headers": kept}
        if any(name in _PROXIES or name.startswith(b"x-forwarded-") for name, _ in scope["headers"]):
            trimmed[PROXIED] = True
        if self._proxies is not None:
            self._proxies.apply(trimmed, scope["headers"])
        return trimmed


def _is_elsewhere(seen: dict[bytes, bytes]) -> bool:
    """Whether it is a page of another origin that calls; it may."""
    origin = seen.get(b"origin")
    return origin is not None and not is_own(origin, seen[b"host"])


async def _reject(receive: Receive, send: Send) -> None:
    """Refuse a WebSocket before it is accepted: the server answers 403."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})
