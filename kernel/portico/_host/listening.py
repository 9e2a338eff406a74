"""Listening sockets: bound once, handed to workers, kept over reloads."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence

from portico._core.errors import ConfigError
from portico._host.places import host_of


def bind(
    addresses: Sequence[str], backlog: int = 1024, kept: Mapping[str, socket.socket] | None = None
) -> list[socket.socket]:
    """Bind and listen.

    Args:
        addresses: `HOST:PORT`.
        backlog: Connections that may wait to be accepted.
        kept: Sockets that listen already, by address.

    Raises:
        ConfigError: An address is taken, not ours, or names no host; says which.
    """
    sockets: list[socket.socket] = []
    made: list[socket.socket] = []
    problems: list[tuple[str, str]] = []
    for index, address in enumerate(addresses):
        if kept and address in kept:
            sockets.append(kept[address])
            continue
        host, port = host_of(address), int(address.rpartition(":")[2])
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, proto, _, where = found[0]
            sock = socket.socket(family, kind, proto)
            sockets.append(sock)
            made.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(where)
            sock.listen(backlog)
            sock.setblocking(False)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            problems.append((f"gateway.listen[{index}]", f"cannot listen on {address}: {why}"))
    if problems:
        for sock in made:
            sock.close()
        raise ConfigError(problems, "listening")
    return sockets


def shown(sock: socket.socket) -> str:
    """The address a socket is bound to, as `HOST:PORT`."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Listening:
    """The sockets a gateway listens on, by configured address."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}

    @property
    def shown(self) -> list[str]:
        """Where clients can connect."""
        return [shown(each) for each in self._sockets.values()]

    @property
    def addresses(self) -> list[str]:
        """As they are configured."""
        return list(self._sockets)

    def on(self, addresses: Sequence[str]) -> list[socket.socket]:
        """The sockets for these addresses; those that are new are bound now.

        Raises:
            ConfigError: As `bind`.
        """
        sockets = bind(addresses, kept=self._sockets)
        self._sockets |= dict(zip(addresses, sockets, strict=True))
        return sockets

    def only(self, addresses: Iterable[str]) -> None:
        """Close all others."""
        wanted = set(addresses)
        for address in [each for each in self._sockets if each not in wanted]:
            self._sockets.pop(address).close()
