"""Outbound addresses: names resolved, and which IP addresses a connection may go to, decided after that.

The judgement is over addresses, never over the spelling of a host: `127.1`, `0x7f.1` and a name that
rebinds all end as the same resolved address. `ipaddress.is_global` is not enough: it calls NAT64 and 6to4
forms of loopback, and two clouds' metadata addresses, global.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

Address = tuple[int, tuple[Any, ...]]
"""The family of a socket and what it connects to."""

_METADATA: Final = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, GCP, OpenStack and most others
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod identity
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure wire server
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",  # GCP
    )
)

_NETS4: Final = tuple(
    (IPv4Network(net), reason)
    for net, reason in (
        ("0.0.0.0/8", "unspecified"),  # Linux connects 0.0.0.0 to itself
        ("127.0.0.0/8", "loopback"),
        ("10.0.0.0/8", "private"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("100.64.0.0/10", "shared"),
        ("169.254.0.0/16", "link_local"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

_NETS6: Final = tuple(
    (IPv6Network(net), reason)
    for net, reason in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("64:ff9b:1::/48", "private"),  # NAT64 of local use: the IPv4 address's place is unknown
        ("fe80::/10", "link_local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "reserved"),
        ("3fff::/20", "reserved"),
    )
)
_GLOBAL6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_NEVER: Final = frozenset({"metadata", "multicast"})


def judge(ip: str, *, allow_private: bool) -> str | None:
    """Whether a connection to a resolved address may be made.

    Args:
        ip: An IPv4 or IPv6 address in text form; a zone (`%eth0`) is ignored.
        allow_private: Whether loopback, private, link-local and other non-global addresses are fine. Cloud
            metadata services and multicast never are.

    Returns:
        None when it may; else the reason class: `metadata`, `loopback`, `private`, `shared`, `link_local`,
        `unspecified`, `multicast`, `reserved` or `invalid`.
    """
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return "invalid"
    for inner in _unwrap(address):
        reason = _reason(inner)
        if reason is not None and (reason in _NEVER or not allow_private):
            return reason
    return None


class AddressNotAllowed(OSError):
    """A host has an address that no connection may be made to.

    Attributes:
        reason: The class of the address, as `judge` gives it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"address not allowed ({reason})")
        self.reason = reason


async def resolve(host: str, port: int, *, allow_private: bool) -> list[Address]:
    """The addresses of a host, each of them judged. Connections are made to these, not to the name.

    Args:
        host: A name or an address.
        port: The port.
        allow_private: As for `judge`.

    Returns:
        At least one; the preferred one first, both families by turns.

    Raises:
        AddressNotAllowed: One of them may not be connected to; then none of the answer is to be trusted.
        OSError: The host has no address (`socket.gaierror`).
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "name not found") from None
    return _judged(found, allow_private)


def resolve_now(host: str, port: int, *, allow_private: bool) -> list[Address]:
    """The same for code that may block."""
    return _judged(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), allow_private)


def spelled(host: str) -> list[str]:
    """The addresses that a host is by its spelling, in whatever way resolvers take; none for a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return []
    return [str(address[0]) for *_, address in found]


def _judged(
    found: Iterable[tuple[int, int, int, str, tuple[Any, ...]]], allow_private: bool
) -> list[Address]:
    all_ = [(family, address) for family, _, _, _, address in found]
    for _, address in all_:
        reason = judge(str(address[0]), allow_private=allow_private)
        if reason is not None:
            raise AddressNotAllowed(reason)
    first = [each for each in all_ if each[0] == all_[0][0]]
    other = [each for each in all_ if each[0] != all_[0][0]]
    turns = itertools.chain.from_iterable(itertools.zip_longest(first, other))
    return list(dict.fromkeys(each for each in turns if each is not None))


def _unwrap(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, or the IPv4 addresses an IPv6 transition form stands for."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    embedded = IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return [embedded]
    return [address]


def _reason(address: IPv4Address | IPv6Address) -> str | None:
    if address in _METADATA:
        return "metadata"
    if isinstance(address, IPv4Address):
        return next((reason for net, reason in _NETS4 if address in net), None)
    known = next((reason for net, reason in _NETS6 if address in net), None)
    return known or (None if address in _GLOBAL6 else "reserved")
