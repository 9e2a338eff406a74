"""Wherever an address can come from, none that is not allowed is connected to: a port counts who comes.

References and redirects have tests of their own (`test_references.py`, `../test_failures.py`), and so have
URLs of upstreams that are managed at run time (`tests/kernel/test_reach.py`).
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from portico.api import INVALID_PARAMS, UPSTREAM_UNAVAILABLE, Json, Refused, State
from tests.plugins.upstreams.kit import call, serving
from tests.plugins.upstreams.rest.kit import echo, running

SPELT = [
    "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.01", "017700000001", "localhost", "[::1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]",
    "0.0.0.0", "0",
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
]  # fmt: skip
"""Spellings of this machine."""


@pytest.fixture
def trap() -> Iterator[int]:
    """A port that nobody may connect to, in either family."""
    with socket.socket(socket.AF_INET6) as listening:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(("::", 0))
        listening.listen()
        listening.setblocking(False)
        yield listening.getsockname()[1]
        with pytest.raises(BlockingIOError):
            listening.accept()


def document(**more: Any) -> Json:
    return {"openapi": "3.1.0", "paths": {"/x": {"get": {"operationId": "op"}}}, **more}


def at(place: str, url: str) -> Json:
    """A configuration whose operation is at a URL that stands somewhere."""
    host = url.removeprefix("http://")
    paths: Json = {"/x": {"get": {"operationId": "op"}}}
    if place == "the configuration":
        return {"openapi_inline": document(), "base_url": url}
    if place == "the document":
        return {"openapi_inline": document(servers=[{"url": url}])}
    if place == "its path":
        return {"openapi_inline": document(paths={"/x": {**paths["/x"], "servers": [{"url": url}]}})}
    if place == "its operation":
        paths["/x"]["get"]["servers"] = [{"url": url}]
        return {"openapi_inline": document(paths=paths)}
    if place == "the default of a variable":
        server = {"url": "http://{host}", "variables": {"host": {"default": host}}}
        return {"openapi_inline": document(servers=[server])}
    if place == "a variable":
        server = {"url": "http://{host}/v1", "variables": {"host": {"default": "api.test"}}}
        return {"openapi_inline": document(servers=[server]), "server_variables": {"host": host}}
    if place == "version 2.0":
        old = {"swagger": "2.0", "host": host, "schemes": ["http"], "paths": paths}
        return {"openapi_inline": old}
    return {"tools": {"op": {"path": "/x"}}, "base_url": url}


PLACES = (
    "the configuration", "the document", "its path", "its operation", "the default of a variable",
    "a variable", "version 2.0",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("host", SPELT)
async def test_an_address_that_is_not_allowed_is_not_connected_to(place: str, host: str, trap: int) -> None:
    async with running(**at(place, f"http://{host}:{trap}"), allow_private=False) as up:
        with pytest.raises(Refused) as refused:
            await up.send(call("op"))
    about = refused.value.data["gateway"]
    assert refused.value.code == UPSTREAM_UNAVAILABLE
    assert about["reason"].startswith("address_not_allowed")
    assert about["retryable"] is False


@pytest.mark.parametrize("host", SPELT)
async def test_a_document_at_such_an_address_is_not_asked_for(host: str, trap: int) -> None:
    async with running(openapi=f"http://{host}:{trap}/openapi.json", allow_private=False) as up:
        assert up.upstream.state is State.UNAVAILABLE
        assert up.upstream.reason.startswith("document: address_not_allowed")


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "168.63.129.16",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
    ],
)
@pytest.mark.parametrize("place", ["the configuration", "the document", "a variable"])
async def test_metadata_is_not_connected_to_whatever_is_allowed(place: str, host: str) -> None:
    async with running(**at(place, f"http://{host}"), allow_private=True, connect_timeout=5) as up:
        with pytest.raises(Refused) as refused:
            await up.send(call("op"))
    assert refused.value.data["gateway"]["reason"] == "address_not_allowed (metadata)"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "gopher://127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/", "unix:/run/x.sock",
        "http://user:pass@127.0.0.1:{port}", "http://api.test@127.0.0.1:{port}", "http://127.0.0.1:{port}\\@api.test",
        "http://127.0.0.1 :{port}", "http://127.0.0.1:{port}\t", "http:///x", "http://:{port}/", "http://[::1",
        "javascript:alert(1)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["the document", "its path", "its operation"])
async def test_a_url_that_is_not_sound_makes_no_tool(place: str, url: str, trap: int) -> None:
    async with running(**at(place, url.format(port=trap))) as up:
        assert up.upstream.offer.tools == ()
        assert "operation_left_out" in up.log.events()


@pytest.mark.parametrize(
    "value",
    [
        "evil@127.0.0.1:{port}",
        "127.0.0.1:{port}#",
        "127.0.0.1:{port}/?",
        "127.0.0.1:{port}\\",
        "a b",
        "x/../",
    ],
)
async def test_a_variable_does_not_move_what_stands_around_it(value: str, trap: int) -> None:
    server = {"url": "http://{tenant}.api.invalid/v1", "variables": {"tenant": {"default": "a"}}}
    variables = {"tenant": value.format(port=trap)}
    async with running(
        openapi_inline=document(servers=[server]), server_variables=variables, allow_private=False
    ) as up:
        for tool in up.upstream.offer.tools:
            with pytest.raises(Refused) as refused:
                await up.send(call(tool["name"]))
            assert refused.value.code == UPSTREAM_UNAVAILABLE


# --- arguments -----------------------------------------------------------------------------------


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    async with serving(echo) as found:
        yield found


ODD = [
    "http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "@127.0.0.1:{port}", "user:pass@127.0.0.1:{port}/x",
    "\\\\127.0.0.1:{port}\\", "x?y=1", "x#y", "x;y=1", "x&y=1", "a/b", "%2f%2f127.0.0.1", ":{port}", " ",
    "\uff0e\uff0e/admin", "\u2025/admin", "...", "a..b",
]  # fmt: skip
"""What could lead elsewhere if it were not encoded."""
REFUSED = [
    ".", "..", "../admin", "a/../../admin", "%2e%2e", "%2e%2e%2fadmin", "%252e%252e%252fadmin", "..;/admin",
    "..\\admin", "a\r\nHost: evil", "a\nX: y", "\x00", "..%00/x", "é/..", "",
]  # fmt: skip
"""What could lead elsewhere if a server were to decode it once too often."""


@pytest.mark.asyncio(loop_factories=["asyncio"])  # what is sent does not depend on it
@pytest.mark.parametrize("template", ["/api/{p}", "/api/{p}/rest", "/api/v{p}", "/{p}"])
async def test_an_argument_in_a_path_stays_one_part_of_it(origin: str, template: str, trap: int) -> None:
    one = {"name": "p", "in": "path", "required": True, "schema": {}}
    made = document(paths={template: {"get": {"operationId": "op", "parameters": [one]}}})
    before, _, after = f"/base{template}".partition("{p}")
    async with running(openapi_inline=made, base_url=f"{origin}/base") as up:
        for value in ODD:
            result = await up.send(call("op", {"p": value.format(port=trap)}))
            found = result.value["structuredContent"]
            assert found["headers"]["host"] == origin.removeprefix("http://")
            assert found["query"] == ""
            assert found["path"].startswith(before)
            assert found["path"].endswith(after)
            assert found["path"].count("/") == f"/base{template}".count("/")
        for value in REFUSED:
            with pytest.raises(Refused) as refused:
                await up.send(call("op", {"p": value}))
            assert refused.value.code == INVALID_PARAMS
