"""Tags, metrics, health, who may come in, and what is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import portico_contextforge
import pytest
from portico_contextforge.naming import chosen, federated, ident, pattern, plain_id, record_name

from portico.api import ConfigError
from portico.testing import check_plugin, running_gateway

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported
BASE = '[registries.main]\nuse = "memory"\n[transports.streamable_http]\n[transports.contextforge]\n'
OFF = "[transports.streamable_http]\nenabled = false\n"


async def test_tags_are_counted_over_everything_that_has_them(forge: Forge) -> None:
    await forge.register(tags=["clock"])
    tool = await forge.tool()
    await forge.ask("PUT", f"/tools/{tool['id']}", {"tags": ["clock", "now"]})
    tags = await forge.ask("GET", "/tags?include_entities=true")
    assert [(each["name"], each["stats"]["total"]) for each in tags] == [("clock", 2), ("now", 1)]
    assert tags[0]["stats"]["gateways"] == 1
    assert {each["type"] for each in tags[0]["entities"]} == {"tool", "gateway"}
    (only,) = await forge.ask("GET", "/tags?entity_types=gateways")
    assert only["entities"] == []
    (found,) = await forge.ask("GET", "/tags/now/entities")
    assert found["id"] == tool["id"]


async def test_calls_are_counted_and_counting_begins_anew(forge: Forge) -> None:
    await forge.register()
    await forge.rpc("tools/call", {"name": "get_system_time", "arguments": {}})
    await forge.rpc("tools/call", {"name": "nothing"})
    counted = (await forge.ask("GET", "/metrics"))["tools"]
    assert (counted["totalExecutions"], counted["failedExecutions"], counted["failureRate"]) == (2, 1, 0.5)
    assert counted["minResponseTime"] <= counted["avgResponseTime"] <= counted["maxResponseTime"]
    await forge.ask("POST", "/metrics/reset?entity=tool")
    counted = await forge.ask("GET", "/metrics")
    assert (counted["tools"]["totalExecutions"], counted["servers"]["totalExecutions"]) == (0, 2)


async def test_without_the_observer_nothing_is_said_to_be_counted(
    forge_of: Callable[[str], AsyncIterator[Any]], config: str
) -> None:
    async for forge in forge_of(config.replace('metrics = "counts"', "")):
        assert "contextforge_metrics" in (await forge.ask("GET", "/metrics", status=501))["detail"]


async def test_health_is_for_everybody_and_the_version_is_not(forge: Forge) -> None:
    nobody = {"authorization": ""}
    assert await forge.ask("GET", "/health", headers=nobody) == {"status": "healthy"}
    assert await forge.ask("GET", "/ready", headers=nobody) == {"status": "ready"}
    assert "authenticate" not in (await forge.ask("GET", "/version"))
    await forge.ask("GET", "/version", status=401, headers=nobody)


@pytest.mark.parametrize(
    "path",
    [
        "/tokens", "/teams/", "/rbac/roles", "/auth/login", "/auth/email/login", "/a2a", "/llm/providers",
        "/roots", "/admin/users", "/sse", "/import/status", "/metrics/prometheus",
        "/v1/tokens", "/resources/subscribe",
    ],
)  # fmt: skip
async def test_what_is_not_there_says_why(forge: Forge, path: str) -> None:
    assert len((await forge.ask("GET", path, status=501))["detail"]) > 20


async def test_unknown_paths_and_methods_are_told_apart(forge: Forge) -> None:
    assert (await forge.ask("GET", "/tools/a/b/c", status=404))["detail"] == "Not Found"
    answer = await forge.http.patch("/gateways")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert (await forge.http.head("/gateways")).status_code == 200


async def test_a_body_may_not_be_too_large(
    forge_of: Callable[[str], AsyncIterator[Any]], config: str
) -> None:
    async for forge in forge_of(f"{config}max_body = 2048\n"):
        assert (await forge.http.post("/gateways", content=b" " * 2049)).status_code == 413

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b" " * 1024

        assert (await forge.http.post("/gateways", content=pieces())).status_code == 413


async def test_a_scope_may_be_asked_for(forge_of: Callable[[str], AsyncIterator[Any]], config: str) -> None:
    async for forge in forge_of(f'{config}scope = "admin"\n'):
        answer = await forge.http.get("/gateways")
        assert answer.status_code == 403
        assert 'scope="admin"' in answer.headers["www-authenticate"]


async def test_without_auth_only_this_machine_may_manage_and_no_web_page(tmp_path: Path) -> None:
    async with running_gateway(BASE, base=tmp_path) as gateway:

        async def status(peer: str, **headers: str) -> int:
            transport = httpx2.ASGITransport(app=gateway.gateway.app, client=(peer, 1))
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return (await http.get("/gateways", headers=headers)).status_code

        assert await status("127.0.0.1") == 200
        assert await status("192.0.2.1") == 403
        assert await status("127.0.0.1", **{"sec-fetch-site": "cross-site"}) == 403
        assert await status("127.0.0.1", origin="https://evil.example") == 403


async def test_a_foreign_web_page_calls_no_tool(tmp_path: Path) -> None:
    async with running_gateway(BASE, base=tmp_path) as gateway:
        transport = httpx2.ASGITransport(app=gateway.gateway.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for path in ("/rpc", "/tools/invoke/x"):
                origin = {"origin": "https://evil.example", "content-type": "text/plain"}
                answer = await http.post(
                    path, content=b'{"jsonrpc":"2.0","id":1,"method":"ping"}', headers=origin
                )
                assert answer.status_code == 403


async def test_a_gateway_without_a_registry_manages_nothing() -> None:
    config = "[transports.streamable_http]\n[transports.contextforge]\n"
    async with running_gateway(config) as gateway:
        transport = httpx2.ASGITransport(app=gateway.gateway.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.get("/gateways")
            assert answer.status_code == 501
            assert "registry" in answer.json()["detail"]
            ping = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            assert (await http.post("/rpc", json=ping)).status_code == 200


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (BASE + 'server = "none"\n', "transports.contextforge.server"),
        (BASE.replace("[transports.streamable_http]\n", OFF), "transports.contextforge.mcp"),
        (
            BASE + '[auth.people]\nuse = "token"\ntokens = { a = "a-0123456789abcdef" }\n',
            "transports.contextforge.auth",
        ),
    ],
)
async def test_a_wrong_configuration_is_refused(config: str, path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        async with running_gateway(config, base=tmp_path):
            pass
    assert caught.value.problems[0][0] == path


# --- ids and names -----------------------------------------------------------------------------------------


def test_ids_follow_from_names_and_differ_between_kinds() -> None:
    assert ident("gateways", "a") == ident("gateways", "a") != ident("servers", "a")
    assert ident("tools", "a", "b/c") != ident("tools", "a/b", "c")
    own = "0123456789abcdef0123456789abcdef"
    assert ident("servers", own) == own
    assert plain_id("01234567-89AB-CDEF-0123-456789abcdef") == own
    assert plain_id("some-name-of-thirty-six-characters-x") == "some-name-of-thirty-six-characters-x"


@pytest.mark.parametrize(
    ("upstream", "own", "name"),
    [
        ("fast_time", "get_system_time", "fast-time-get-system-time"),
        ("Git", "Café.Log", "git-cafe-log"),
        ("local", "greet_me", "greet_me"),
    ],
)
def test_a_tool_is_called_what_contextforge_calls_it(upstream: str, own: str, name: str) -> None:
    assert federated(upstream, own) == name


def test_long_names_are_cut_and_kept_apart() -> None:
    first, second = federated("gateway", "x" * 80), federated("gateway", "x" * 81)
    assert (len(first), len(second)) == (64, 64)
    assert first != second


@pytest.mark.parametrize("own", ["a", "a*", "[a]", "time://zones/{name}?x=[1]", "a/b"])
def test_a_pattern_matches_what_it_was_made_of(own: str) -> None:
    assert chosen(pattern("up", own)) == ("up", own)


def test_names_are_made_to_fit_records() -> None:
    assert record_name("  My Server! ") == "My-Server"
    assert record_name("é") == ""
    assert len(record_name("x" * 60)) == 48


async def test_the_plugin_keeps_its_contract() -> None:
    await check_plugin(portico_contextforge)


async def test_without_auth_a_request_through_a_proxy_is_not_taken_for_one_of_this_machine(
    forge_of: Callable[[str], AsyncIterator[Any]], config: str
) -> None:
    anybody = config.replace('auth = ["people"]\n', "") + '[servers.default]\nauth = ["anonymous"]\n'
    async for forge in forge_of(anybody):
        assert await forge.ask("GET", "/tools") == []
        for name in ("x-forwarded-for", "forwarded", "via"):
            await forge.ask("GET", "/tools", status=403, headers={name: "127.0.0.1"})
