"""Gateways: create, read, change, delete."""

from __future__ import annotations

import re
import uuid
from typing import Any, TypeAlias

import pytest

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported
HEX = re.compile(r"[0-9a-f]{32}")


async def test_a_gateway_is_connected_to_before_it_is_answered(forge: Forge) -> None:
    gateway = await forge.register()
    assert HEX.fullmatch(gateway["id"])
    assert (gateway["reachable"], gateway["toolCount"], gateway["slug"]) == (True, 3, "fast-time")
    assert len(await forge.ask("GET", f"/tools?gateway_id={gateway['id']}")) == 3


async def test_a_gateway_that_cannot_be_reached_is_not_kept(forge: Forge) -> None:
    answer = await forge.ask("POST", "/gateways", {"name": "down", "url": "http://localhost:1/mcp"}, 502)
    assert "http://localhost:1/mcp" in answer["detail"]
    assert answer["message"] == answer["detail"]
    assert await forge.ask("GET", "/gateways?include_inactive=true") == []


async def test_a_gateway_is_found_by_id_name_and_slug(forge: Forge) -> None:
    gateway = await forge.register("Fast Time!")
    dashed = str(uuid.UUID(gateway["id"]))
    for word in (gateway["id"], dashed, "Fast-Time", "Fast%20Time!", "fast-time"):
        assert (await forge.ask("GET", f"/gateways/{word}"))["id"] == gateway["id"]
    assert await forge.ask("GET", "/gateways/other", status=404)


async def test_a_name_is_given_once(forge: Forge) -> None:
    await forge.register()
    body = {"name": "fast_time", "url": forge.clock_url}
    assert (await forge.ask("POST", "/gateways", body, 409))["detail"] == "Gateway name already exists"


async def test_what_is_wrong_with_a_body_is_told_member_by_member(forge: Forge) -> None:
    answer = await forge.ask("POST", "/gateways", {"transport": "PIGEON", "tags": []}, 422)
    assert [each["loc"] for each in answer["detail"]] == [
        ["body", "name"],
        ["body", "url"],
        ["body", "transport"],
    ]
    assert {each["msg"] for each in answer["detail"][:2]} == {"Field required"}
    bad = await forge.ask("POST", "/gateways", {"name": "x", "url": "ftp://x"}, 422)
    assert bad["detail"][0]["loc"] == ["body", "upstreams", "x", "url"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"x"', b"\xff"])
async def test_a_body_that_is_no_object_is_refused(forge: Forge, content: bytes) -> None:
    answer = await forge.http.post("/gateways", content=content)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body"]


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({"auth_type": "bearer", "auth_token": "t0ken"}, "Bearer t0ken"),
        ({"authType": "basic", "authUsername": "ada", "authPassword": "x"}, "Basic YWRhOng="),
        (
            {"auth_type": "authheaders", "auth_headers": [{"key": "Authorization", "value": "Own s3cret"}]},
            "Own s3cret",
        ),
        (
            {
                "auth_type": "authheaders",
                "auth_header_key": "Authorization",
                "auth_header_value": "Own s4cret",
            },
            "Own s4cret",
        ),
    ],
)
async def test_credentials_reach_the_upstream_and_are_never_shown(
    forge: Forge, given: Any, header: str
) -> None:
    gateway = await forge.register(**given)
    said = await forge.ask(
        "POST", "/tools/invoke/whoami", {}, headers={"x-upstream-authorization": "Bearer client's"}
    )
    assert said["content"][0]["text"] == header
    shown = (await forge.http.get(f"/gateways/{gateway['id']}")).text
    assert header.split()[1] not in shown
    changed = await forge.ask("PUT", f"/gateways/{gateway['id']}", {"description": "The time"})
    assert changed["description"] == "The time"
    said = await forge.ask("POST", "/tools/invoke/whoami", {})
    assert said["content"][0]["text"] == header


async def test_what_is_not_there_is_refused_and_not_left_out(forge: Forge) -> None:
    body = {"name": "x", "url": forge.clock_url}
    for more in (
        {"auth_type": "oauth", "oauth_config": {"grant_type": "client_credentials"}},
        {"auth_type": "query_param", "auth_query_param_key": "key"},
        {"passthrough_headers": ["X-Tenant"]},
        {"ca_certificate": "-----BEGIN"},
    ):
        assert "detail" in await forge.ask("POST", "/gateways", {**body, **more}, 501)
    assert await forge.ask("GET", "/gateways") == []


async def test_a_gateway_is_taken_out_of_use_and_back_and_deleted(forge: Forge) -> None:
    gateway = await forge.register(tags=["clock"])
    path = f"/gateways/{gateway['id']}"
    answer = await forge.ask("POST", f"{path}/state?activate=false")
    assert (answer["status"], answer["gateway"]["enabled"]) == ("success", False)
    assert await forge.ask("GET", "/gateways") == []
    assert await forge.ask("GET", "/tools") == []
    answer = await forge.ask("POST", f"{path}/toggle?activate=true")
    assert (answer["gateway"]["enabled"], answer["gateway"]["toolCount"]) == (True, 3)
    assert (await forge.ask("DELETE", path))["status"] == "success"
    await forge.ask("GET", path, status=404)


async def test_a_gateway_gets_another_name_and_what_refers_to_it_goes_along(forge: Forge) -> None:
    gateway = await forge.register()
    path = f"/gateways/{gateway['id']}"
    await forge.ask("PUT", "/tools/fast-time-whoami", {"description": "Who"})
    body = {"name": "clock", "associated_tools": ["fast-time-whoami", "fast-time-convert-time"]}
    server = await forge.ask("POST", "/servers", body, 201)
    changed = await forge.ask("PUT", path, {"name": "slow_time", "description": "Slow"})
    assert (changed["name"], changed["description"], changed["toolCount"]) == ("slow_time", "Slow", 3)
    await forge.ask("GET", path, status=404)
    assert (await forge.tool("slow-time-whoami"))["description"] == "Who"
    shown = await forge.ask("GET", f"/servers/{server['id']}")
    assert shown["associatedTools"] == ["slow-time-convert-time", "slow-time-whoami"]
    listed = (await forge.rpc("tools/list", {"server_id": server["id"]}))["result"]["tools"]
    assert [each["name"] for each in listed] == shown["associatedTools"]
    await forge.register("fast_time")
    await forge.ask("PUT", f"/gateways/{changed['id']}", {"name": "fast_time"}, 409)


async def test_credentials_nobody_can_see_cannot_be_moved_to_another_name(forge: Forge) -> None:
    given = {"auth_type": "bearer", "auth_token": "t0ken"}
    gateway = await forge.register(**given)
    path = f"/gateways/{gateway['id']}"
    answer = await forge.ask("PUT", path, {"name": "other"}, 422)
    assert answer["detail"][0]["loc"] == ["body", "name"]
    assert (await forge.ask("PUT", path, {"name": "other", **given}))["name"] == "other"
    said = await forge.ask("POST", "/tools/invoke/whoami", {})
    assert said["content"][0]["text"] == "Bearer t0ken"


async def test_a_gateway_over_sse_is_found_out_or_said(forge: Forge, sse_url: str) -> None:
    for name, more in (("found", {}), ("said", {"transport": "SSE"})):
        gateway = await forge.ask("POST", "/gateways", {"name": name, "url": sse_url, **more})
        assert (gateway["reachable"], gateway["transport"]) == (True, "SSE")


async def test_the_lists_of_a_gateway_are_fetched_again(forge: Forge) -> None:
    gateway = await forge.register()
    answer = await forge.ask("POST", f"/gateways/{gateway['id']}/tools/refresh")
    assert (answer["success"], answer["toolsAdded"], answer["toolsRemoved"]) == (True, 0, 0)
