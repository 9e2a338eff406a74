from __future__ import annotations

import ast
import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import portico
import portico_plugins
from portico._core.addresses import AddressNotAllowed, judge, resolve, resolve_now, spelled

METADATA = [
    "169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
]  # fmt: skip
PRIVATE = [
    ("127.0.0.1", "loopback"), ("127.255.255.254", "loopback"), ("::1", "loopback"),
    ("0.0.0.0", "unspecified"), ("::", "unspecified"),
    ("10.1.2.3", "private"), ("172.31.255.255", "private"), ("192.168.0.1", "private"),
    ("100.64.0.1", "shared"), ("169.254.1.1", "link_local"), ("fe80::1%eth0", "link_local"),
    ("fd12::1", "private"), ("fec0::1", "private"), ("198.18.0.1", "reserved"), ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("2001:db8::1", "reserved"), ("4000::1", "reserved"),
    # the forms that hide an IPv4 address
    ("::ffff:127.0.0.1", "loopback"), ("64:ff9b::7f00:1", "loopback"), ("2002:7f00:1::", "loopback"),
    ("::127.0.0.1", "loopback"), ("64:ff9b:1::7f00:1", "private"),
    ("2001:0:808:808:0:0:80ff:fffe", "loopback"),
]  # fmt: skip
GLOBAL = ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("ip", METADATA)
def test_a_metadata_service_is_refused_even_where_private_addresses_are_fine(ip: str) -> None:
    assert judge(ip, allow_private=True) == "metadata"
    assert judge(ip, allow_private=False) == "metadata"


@pytest.mark.parametrize(("ip", "reason"), PRIVATE)
def test_what_is_not_global_is_refused_unless_private_addresses_are_fine(ip: str, reason: str) -> None:
    assert judge(ip, allow_private=False) == reason
    assert judge(ip, allow_private=True) is None


@pytest.mark.parametrize("ip", GLOBAL)
def test_a_global_address_is_fine(ip: str) -> None:
    assert judge(ip, allow_private=False) is None


@pytest.mark.parametrize("ip", ["224.0.0.1", "ff02::1", "::ffff:224.0.0.1"])
def test_multicast_is_always_refused(ip: str) -> None:
    assert judge(ip, allow_private=True) == "multicast"


@pytest.mark.parametrize("ip", ["", "localhost", "127.1", "1.2.3.4.5", "::g"])
def test_what_is_no_address_is_refused(ip: str) -> None:
    assert judge(ip, allow_private=True) == "invalid"


def answering(*ips: str) -> Any:
    """A resolver for which every name stands for these addresses."""

    async def found(host: str, port: int, **_: Any) -> Any:
        families = [socket.AF_INET6 if ":" in ip else socket.AF_INET for ip in ips]
        return [
            (family, socket.SOCK_STREAM, 6, "", (ip, port)) for family, ip in zip(families, ips, strict=True)
        ]

    return found


async def test_the_addresses_of_a_name_come_once_each_and_both_families_by_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = answering("2606:4700::1", "2606:4700::2", "2606:4700::1", "1.1.1.1")
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver)
    found = await resolve("name.example", 80, allow_private=False)
    assert [address for _, address in found] == [("2606:4700::1", 80), ("1.1.1.1", 80), ("2606:4700::2", 80)]


async def test_one_address_that_is_not_allowed_spoils_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answering("1.1.1.1", "10.0.0.1"))
    with pytest.raises(AddressNotAllowed, match=r"^address not allowed \(private\)$"):
        await resolve("name.example", 80, allow_private=False)


async def test_a_name_that_cannot_be_one_has_no_address() -> None:
    with pytest.raises(socket.gaierror):
        await resolve("x" * 64 + ".example", 80, allow_private=True)


def test_code_that_blocks_is_told_of_addresses_that_are_not_allowed_too() -> None:
    with pytest.raises(AddressNotAllowed, match="loopback"):
        resolve_now("127.0.0.1", 80, allow_private=False)


@pytest.mark.parametrize(
    ("host", "ips"),
    [("127.1", ["127.0.0.1"]), ("0x7f.1", ["127.0.0.1"]), ("::1", ["::1"]), ("name", []), ("a\0b", [])],
)
def test_what_a_host_is_by_its_spelling_is_told_without_asking_anybody(host: str, ips: list[str]) -> None:
    assert spelled(host) == ips


def test_names_are_resolved_for_connections_in_one_place() -> None:
    """Whatever else resolved names could connect to addresses that nobody has judged."""
    resolving = {"getaddrinfo", "gethostbyname", "gethostbyname_ex", "sock_connect"}
    found: dict[str, set[str]] = {}
    for package in (portico, portico_plugins):
        root = Path(package.__path__[0])
        for file in root.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_bytes())):
                name = getattr(node, "attr", None) or getattr(node, "id", None)
                if name in resolving:
                    found.setdefault(f"{root.name}/{file.relative_to(root)}", set()).add(name)
    assert found == {
        "portico/_core/addresses.py": {"getaddrinfo"},
        "portico/_host/listening.py": {"getaddrinfo"},  # to listen on
        "portico_plugins/http1/dial.py": {"sock_connect"},  # to what `resolve` gave
    }


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_in_every_ipv6_disguise(address: object) -> None:
    reason = judge(str(address), allow_private=False)
    number = int(address)  # type: ignore[call-overload]
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    assert judge(f"::ffff:{high}:{low}", allow_private=False) == reason
    assert judge(f"64:ff9b::{high}:{low}", allow_private=False) == reason
    assert judge(f"2002:{high}:{low}::1", allow_private=False) == reason
