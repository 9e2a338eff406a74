"""Where a gateway is: the addresses it listens on, and a worker's place among others."""

from __future__ import annotations

import hashlib
import ipaddress
from pathlib import Path
from typing import Final

import attrs

from portico._host.board import Slot

OFFERS: Final = "offers."
"""What the names of such folders begin with; see `offers_of`."""


def host_of(address: str) -> str:
    """The host of `HOST:PORT`, an IPv6 one without its brackets."""
    return address.rpartition(":")[0].strip("[]")


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def offers_of(folder: Path, key: bytes) -> Path:
    """Where the workers of one gateway tell those that come after them what upstreams have offered."""
    return folder / f"{OFFERS}{hashlib.sha256(b'offers' + key).hexdigest()[:12]}"


@attrs.frozen
class Place:
    """One worker's place among others.

    Attributes:
        node: Its name; handles carry it.
        folder: Where the workers' sockets are.
        key: What seals handles when no secret is configured; the workers have it in common.
        slot: Its place on the board.
    """

    node: str
    folder: Path
    key: bytes = attrs.field(repr=False)
    slot: Slot
