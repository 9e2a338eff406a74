"""Who a request says it is for, which web page sent it, and for whom a proxy speaks.

`Hosts` and `Origins` remember their verdicts: an honest client repeats the same few values for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Generic, TypeVar

from starlette.types import Scope

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
"""The hosts a gateway on loopback answers to, on any port."""

LOOPBACK_ORIGINS: Final = tuple(
    f"{scheme}://{host}:*" for host in LOOPBACK_HOSTS for scheme in ("http", "https")
)
"""The origins a gateway on loopback answers: pages of this machine, on any port."""

_HOST: Final = re.compile(rb"(\[[0-9a-f:.]+\]|[a-z0-9_][a-z0-9._-]*)(?::([0-9]{1,5}))?", re.IGNORECASE)
_REMEMBERED: Final = 1024
_LONGEST: Final = 320

V = TypeVar("V")


class _Memory(Generic[V]):
    """Verdicts by header value. Bounded in number and size, for the values are a stranger's."""

    def __init__(self) -> None:
        self._known: dict[bytes, V] = {}

    def get(self, value: bytes) -> V | None:
        return self._known.get(value)

    def keep(self, value: bytes, verdict: V) -> V:
        if len(value) <= _LONGEST:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[value] = verdict
        return verdict


class _Names:
    """Patterns for one host with an optional port: `name`, `name:port`, `name:*`, `*.domain`."""

    def __init__(self, patterns: Iterable[str], bare_means_any_port: bool) -> None:
        self._any_port: set[str] = set()
        self._exact: set[str] = set()
        self._suffixes: list[str] = []
        for pattern in patterns:
            text = pattern.strip().lower()
            if text.startswith("*."):
                self._suffixes.append(text[1:])
            elif text.endswith(":*"):
                self._any_port.add(text[:-2])
            elif bare_means_any_port and not re.search(r":[0-9]+$", text):
                self._any_port.add(text)
            else:
                self._exact.add(text)

    def matches(self, name: str, port: str) -> bool:
        whole = f"{name}:{port}" if port else name
        return name in self._any_port or whole in self._exact or any(map(name.endswith, self._suffixes))


class Hosts:
    """The `Host` values that are answered to.

    Args:
        allowed: `name` (any port), `name:port` or `*.domain`; `*`, or nothing, allows every well-formed one.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._names = None if not allowed or "*" in allowed else _Names(allowed, bare_means_any_port=True)
        self._memory: _Memory[str] = _Memory()

    def judge(self, host: bytes) -> str:
        """One of `allowed`, `foreign` (well-formed, but not ours) and `malformed`."""
        return self._memory.get(host) or self._memory.keep(host, self._judge(host))

    def _judge(self, host: bytes) -> str:
        match = _HOST.fullmatch(host)
        if match is None:
            return "malformed"
        name, port = match.group(1).decode().lower(), (match.group(2) or b"").decode()
        return "allowed" if self._names is None or self._names.matches(name, port) else "foreign"


def is_own(origin: bytes, host: bytes) -> bool:
    """Whether a page of this origin is one that the gateway served, going by the `Host` it is called with."""
    return origin.lower() in (b"http://" + host.lower(), b"https://" + host.lower())


class Origins:
    """The `Origin` values that are answered besides the gateway's own.

    Args:
        allowed: `scheme://host`, `scheme://host:port`, `scheme://host:*`, `scheme://*.domain`, `null`; `*`
            allows all.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._all = "*" in allowed
        self._null = "null" in allowed
        schemes: dict[str, list[str]] = {}
        for text in allowed:
            scheme, found, rest = text.strip().partition("://")
            if found:
                schemes.setdefault(scheme.lower(), []).append(rest)
        self._names = {scheme: _Names(rests, bare_means_any_port=False) for scheme, rests in schemes.items()}
        self._memory: _Memory[bool] = _Memory()

    def allows(self, origin: bytes, host: bytes) -> bool:
        """Whether a page of this origin may call.

        Args:
            origin: The `Origin` header.
            host: The `Host` header, already judged: a page the gateway itself served has the same.
        """
        verdict = self._memory.get(origin)
        if verdict is None:
            verdict = self._memory.keep(origin, self._judge(origin))
        return verdict or is_own(origin, host)

    def _judge(self, origin: bytes) -> bool:
        if self._all:
            return True
        if origin == b"null":
            return self._null
        scheme, _, rest = origin.partition(b"://")
        names = self._names.get(scheme.decode("latin-1").lower())
        match = _HOST.fullmatch(rest)
        if names is None or match is None:
            return False
        return names.matches(match.group(1).decode().lower(), (match.group(2) or b"").decode())


class Proxies:
    """The reverse proxies whose word about the client is taken.

    Args:
        networks: Addresses or networks in CIDR notation; `unix` stands for every Unix socket.

    Raises:
        ValueError: One of them is neither.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        texts = set(networks)
        self._unix = "unix" in texts
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(text, strict=False) for text in texts - {"unix"}
        )

    def apply(self, scope: Scope, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Set `client` and `scheme` of the scope from forwarded headers, if its peer is such a proxy."""
        peer = scope.get("client")
        if not (self._trusts(peer[0]) if peer else self._unix):
            return
        hops: list[str] = []
        proto = b""
        for name, value in headers:
            if name == b"x-forwarded-for":
                hops += [hop.strip() for hop in value.decode("latin-1").split(",")]
            elif name == b"x-forwarded-proto":
                proto = value.rpartition(b",")[2].strip().lower()
        # From the right: the first hop that is no proxy of ours is the client. What is left of it is hearsay.
        for hop in reversed(hops):
            try:
                address = str(ip_address(hop))
            except ValueError:
                break
            scope["client"] = (address, 0)
            if not self._trusts(address):
                break
        if proto in (b"http", b"https"):
            names = {b"http": "ws", b"https": "wss"} if scope["type"] == "websocket" else {}
            scope["scheme"] = names.get(proto, proto.decode())

    def _trusts(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
