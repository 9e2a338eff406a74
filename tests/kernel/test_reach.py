"""How far what is managed at run time may reach into the gateway's own network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from portico._config.discovery import discover
from portico._config.reach import may_be_private
from portico._config.tables import GatewaySettings
from portico.api import Change, ConfigError, Json
from tests.kernel.test_roster import ALICE, managed, server, until, upstream
from tests.plugins.upstreams.kit import serving

CONFINED = "[gateway]\nmanaged_private = false\n"


@pytest.fixture
def shelf(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A port that nobody may connect to."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        yield listening
        with pytest.raises(BlockingIOError):
            listening.accept()


LOOPBACK = [
    "127.0.0.1", "127.1", "2130706433", "0x7f.1", "017700000001", "[::1]", "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]", "localhost", "LOCALHOST.", "api.localhost",
]  # fmt: skip


def told(kind: str, url: str) -> Json:
    if kind == "rest":
        return {"use": "rest", "openapi": f"{url}/openapi.json"}
    if kind == "base":
        return {"use": "rest", "openapi_inline": {"openapi": "3.1.0"}, "base_url": url}
    if kind == "refs":
        return {"use": "rest", "openapi_inline": {"openapi": "3.1.0"}, "ref_origins": ["https://a.test", url]}
    if kind == "a2a":
        return {"use": "a2a", "url": url}
    if kind == "origins":
        return {"use": "a2a", "url": "http://agent.test", "origins": [url]}
    if kind == "keys":
        return {"use": "a2a", "url": "http://agent.test", "signers": {"url": f"{url}/jwks.json"}}
    if kind == "jku":
        signers = {"jku": ["https://keys.test/jwks.json", url.replace("http:", "https:")]}
        return {"use": "a2a", "url": "http://agent.test", "signers": signers}
    if kind == "grpc":
        return {"use": "grpc", "url": url.replace("http:", "grpc:")}
    return {"use": "mcp", "url": f"{url}/mcp"}


FIELD = {
    "rest": "openapi",
    "base": "base_url",
    "refs": "ref_origins",
    "grpc": "url",
    "a2a": "url",
    "mcp": "url",
    "origins": "origins",
    "keys": "signers.url",
    "jku": "signers.jku",
}


@pytest.mark.parametrize("kind", FIELD)
@pytest.mark.parametrize("host", LOOPBACK)
async def test_an_address_that_is_not_allowed_is_refused_before_anything_is_connected_to(
    shelf: str, trap: socket.socket, kind: str, host: str
) -> None:
    config = told(kind, f"http://{host}:{trap.getsockname()[1]}")
    async with managed(shelf, CONFINED) as (_, mgmt):
        for dry in (True, False):
            with pytest.raises(ConfigError) as caught:
                await mgmt.change([Change("upstreams", "x", config)], ALICE, dry_run=dry)
            assert caught.value.problems == [
                (f"upstreams.x.{FIELD[kind]}", "address_not_allowed (loopback)"),
            ]
        with pytest.raises(ConfigError):
            await mgmt.probe("x", config)
        assert mgmt.get("upstreams", "x") is None


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("10.0.0.1", "private"), ("192.168.1.1", "private"), ("172.16.0.1", "private"),
        ("169.254.1.1", "link_local"), ("100.64.0.1", "shared"), ("0.0.0.0", "unspecified"),
        ("[fd00::1]", "private"), ("[fe80::1]", "link_local"), ("224.0.0.1", "multicast"),
        ("169.254.169.254", "metadata"), ("168.63.129.16", "metadata"),
    ],
)  # fmt: skip
async def test_every_class_of_address_is_named_and_the_address_is_not(
    shelf: str, host: str, reason: str
) -> None:
    async with managed(shelf + host, CONFINED) as (_, mgmt):
        with pytest.raises(ConfigError) as caught:
            await mgmt.change([Change("upstreams", "x", told("mcp", f"http://{host}"))], ALICE)
        assert caught.value.problems == [("upstreams.x.url", f"address_not_allowed ({reason})")]


async def test_metadata_is_refused_whatever_is_allowed(shelf: str) -> None:
    async with managed(shelf, "[gateway]\nmanaged_private = true\n") as (_, mgmt):
        with pytest.raises(ConfigError, match="metadata"):
            await mgmt.change([Change("upstreams", "x", told("mcp", "http://[::ffff:a9fe:a9fe]"))], ALICE)


async def test_a_record_cannot_allow_it_to_itself(shelf: str) -> None:
    for more in ({"allow_private": True}, {"allow_private": "yes"}):
        config = told("mcp", "http://mcp.test") | more
        async with managed(shelf, CONFINED) as (_, mgmt):
            with pytest.raises(ConfigError) as caught:
                await mgmt.change([Change("upstreams", "x", config)], ALICE)
            assert [where for where, _ in caught.value.problems] == ["upstreams.x.allow_private"]
            assert "managed_private" in caught.value.problems[0][1]


async def test_what_is_the_operators_is_so_in_tables_within_tables(shelf: str) -> None:
    config = {"use": "a2a", "url": "https://a.test", "signers": {"file": "/etc/hostname"}}
    async with managed(shelf) as (_, mgmt):
        with pytest.raises(ConfigError) as caught:
            await mgmt.change([Change("upstreams", "x", config)], ALICE)
        assert caught.value.problems == [
            ("upstreams.x.signers.file", "only the configuration file may set this"),
        ]


async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(
    shelf: str, trap: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(host: str, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    config = told("mcp", f"http://inside.test:{trap.getsockname()[1]}")
    async with managed(shelf, CONFINED) as (_, mgmt):
        await mgmt.change([Change("upstreams", "x", config)], ALICE)
        async with asyncio.timeout(30):
            while "address_not_allowed" not in (found := mgmt.get("upstreams", "x")).reason:  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
        assert found is not None
        assert found.state == "unavailable"
        assert "allow_private" not in found.config  # it is as it was written


async def test_what_the_file_declares_reaches_as_far_as_it_says(shelf: str) -> None:
    async with serving(server("one")) as url:
        own = f'{CONFINED}[upstreams.own]\nuse = "mcp"\nurl = "{url}/mcp"\n'
        async with managed(shelf, own) as (gw, mgmt):
            await until(gw, ["one"])
            with pytest.raises(ConfigError):
                await mgmt.change([upstream("x", url)], ALICE)
            await until(gw, ["one"])


async def test_where_it_is_allowed_it_is_connected_to(shelf: str) -> None:
    async with serving(server("one")) as url:
        for number, more in enumerate(
            ("[gateway]\nmanaged_private = true\npublic_url = 'https://a.test'\n", "")
        ):
            async with managed(f"{shelf}{number}", more) as (gw, mgmt):
                await mgmt.change([upstream("x", url)], ALICE)
                await until(gw, ["one"])


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ({}, True),
        ({"listen": ("127.0.0.1:1", "[::1]:1", "localhost:1")}, True),
        ({"listen": ("127.0.0.1:1", "0.0.0.0:1")}, False),
        ({"listen": ("[::]:1",)}, False),
        ({"listen": ("gateway.test:1",)}, False),
        ({"public_url": "https://gateway.test"}, False),
        ({"public_url": "https://gateway.test", "managed_private": True}, True),
        ({"managed_private": False}, False),
    ],
)
def test_unless_it_is_said_only_a_gateway_of_ones_own_machine_allows_it(said: Any, allowed: bool) -> None:
    assert may_be_private(GatewaySettings(**said)) is allowed


async def test_a_file_in_a_table_below_is_the_operators_too(shelf: str) -> None:
    signers: Json = {"file": "/etc/passwd"}
    config = {"use": "a2a", "url": "http://agent.test", "signers": signers}
    async with managed(shelf, CONFINED) as (_, mgmt):
        with pytest.raises(ConfigError) as caught:
            await mgmt.change([Change("upstreams", "x", config)], ALICE, dry_run=True)
        assert [where for where, _ in caught.value.problems] == ["upstreams.x.signers.file"]
        config["signers"] = {"url": "https://keys.example/jwks.json"}
        await mgmt.change([Change("upstreams", "x", config)], ALICE, dry_run=True)


def test_every_kind_of_upstream_that_connects_to_addresses_is_confined() -> None:
    seen = set()
    for plugin in discover().records:
        for factory in plugin.factories.get("upstreams", ()):
            fields = attrs.fields_dict(factory.config)
            if "allow_private" in fields:
                seen.add(factory.name)
                assert fields["allow_private"].metadata["managed"] is False, factory.name
                assert any(field.metadata.get("outbound") for field in fields.values()), factory.name
    assert {"mcp", "rest", "grpc", "a2a"} <= seen
