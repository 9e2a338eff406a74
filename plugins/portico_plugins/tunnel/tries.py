"""Wrong tries, counted by where they come from."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

from portico.api import Clock

_AGAIN: Final = 10.0
"""Seconds after which one more try is allowed."""

_REMEMBERED: Final = 4096


def place_of(peer: str) -> str:
    """Who counts as one: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.version == 6:
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


class Tries:
    """A leaky bucket of wrong tries for each place; the one longest unseen is forgotten when there are many.

    Args:
        most: Wrong tries in a row.
        clock: Time.
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def _level(self, place: str) -> float:
        level, when = self._seen.get(place, (0.0, 0.0))
        return max(0.0, level - (self._clock.monotonic() - when) / _AGAIN)

    def wait(self, peer: str) -> float:
        """Seconds until this address may try again; 0 for now."""
        over = self._level(place_of(peer)) - (self._most - 1)
        return max(0.0, over) * _AGAIN

    def wrong(self, peer: str) -> None:
        """It was wrong."""
        place = place_of(peer)
        self._seen[place] = (self._level(place) + 1, self._clock.monotonic())
        self._seen.move_to_end(place)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
