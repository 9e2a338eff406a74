"""Wrong tries, by where they come from and when."""

from __future__ import annotations

import pytest

from portico.testing import FakeClock
from portico_plugins.tunnel.tries import Tries, place_of


def test_after_so_many_in_a_row_one_is_allowed_every_ten_seconds() -> None:
    clock = FakeClock()
    tries = Tries(3, clock)
    for _ in range(3):
        assert tries.wait("192.0.2.1") == 0
        tries.wrong("192.0.2.1")
    assert tries.wait("192.0.2.1") == pytest.approx(10)
    clock.advance(9)
    assert tries.wait("192.0.2.1") == pytest.approx(1)
    clock.advance(1)
    assert tries.wait("192.0.2.1") == 0
    tries.wrong("192.0.2.1")
    assert tries.wait("192.0.2.1") == pytest.approx(10)


def test_other_addresses_are_not_concerned() -> None:
    tries = Tries(1, FakeClock())
    tries.wrong("192.0.2.1")
    assert tries.wait("192.0.2.1") > 0
    assert tries.wait("192.0.2.2") == 0


def test_what_is_forgiven_is_forgotten_and_a_flood_of_addresses_fills_nothing() -> None:
    clock = FakeClock()
    tries = Tries(1, clock)
    for number in range(10_000):
        tries.wrong(f"10.0.{number // 250}.{number % 250}")
    assert len(tries._seen) <= 4096
    clock.advance(1000)
    assert tries.wait("10.0.39.1") == 0


@pytest.mark.parametrize(
    ("peer", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_network_counts_as_one(peer: str, place: str) -> None:
    assert place_of(peer) == place
