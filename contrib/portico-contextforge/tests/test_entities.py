"""Gateways, tools, prompts, resources and virtual servers: create, read, change, delete."""

from __future__ import annotations

import re
import uuid
from typing import Any, TypeAlias

import pytest

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported
OWN = {"key": "Authorization", "value": "Own s3cret"}
HEX = re.compile(r"[0-9a-f]{32}")


# --- gateways ------------------------------------------------------------------------------------------


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


# --- tools -----------------------------------------------------------------------------------------------


async def test_a_tool_has_both_its_names(forge: Forge) -> None:
    gateway = await forge.register()
    tool = await forge.tool()
    assert (tool["originalName"], tool["gatewayId"], tool["integrationType"]) == (
        "get_system_time",
        gateway["id"],
        "MCP",
    )
    for word in (tool["id"], tool["name"], "get_system_time"):
        assert (await forge.ask("GET", f"/tools/{word}"))["id"] == tool["id"]


async def test_a_tool_is_described_anew_and_hidden(forge: Forge) -> None:
    await forge.register()
    path = f"/tools/{(await forge.tool())['id']}"
    body = {"description": "When", "displayName": "Clock", "tags": ["time"], "name": "now"}
    tool = await forge.ask("PUT", path, body)
    assert (tool["name"], tool["description"], tool["displayName"]) == ("fast-time-now", "When", "Clock")
    assert tool["tags"] == [{"id": "time", "label": "time"}]
    listed = (await forge.rpc("tools/list"))["result"]["tools"]
    assert "fast-time-now" in [each["name"] for each in listed]
    answer = await forge.ask("POST", f"{path}/state?activate=false")
    assert answer["tool"]["enabled"] is False
    assert len(await forge.ask("GET", "/tools")) == 2
    listed = (await forge.rpc("tools/list"))["result"]["tools"]
    assert "fast-time-now" not in [each["name"] for each in listed]
    answer = await forge.ask("POST", f"{path}/state?activate=true")
    assert (answer["tool"]["enabled"], answer["tool"]["description"]) == (True, "When")


async def test_what_is_the_gateways_cannot_be_changed_at_the_tool(forge: Forge) -> None:
    await forge.register()
    tool = await forge.tool()
    path = f"/tools/{tool['id']}"
    answer = await forge.ask("PUT", path, {"url": "http://elsewhere"}, 422)
    assert answer["detail"][0]["loc"] == ["body", "url"]
    assert (await forge.ask("PUT", path, {**tool, "description": "x"}))["description"] == "x"
    assert "deactivate" in (await forge.ask("DELETE", path, status=409))["detail"]


# --- prompts and resources ---------------------------------------------------------------------------------


async def test_a_prompt_is_created_rendered_changed_and_deleted(forge: Forge) -> None:
    body = {"prompt": {"name": "greet", "template": "Hello {{ name }}!", "description": "Be kind"}}
    prompt = await forge.ask("POST", "/prompts", body)
    assert prompt["arguments"] == [{"name": "name", "description": None, "required": True}]
    path = f"/prompts/{prompt['id']}"
    said = await forge.ask("POST", path, {"name": "Ada"})
    assert said["messages"][0]["content"]["text"] == "Hello Ada!"
    assert "name" in (await forge.ask("GET", path, status=422))["detail"]
    await forge.ask("PUT", path, {"template": "Bye {{ name }}!"})
    said = await forge.ask("POST", "/prompts/greet", {"args": {"name": "Ada"}})
    assert said["messages"][0]["content"]["text"] == "Bye Ada!"
    await forge.ask("POST", f"{path}/state?activate=false")
    await forge.ask("POST", path, {"name": "Ada"}, 404)
    assert len(await forge.ask("GET", "/prompts?include_inactive=true")) == 1
    await forge.ask("POST", f"{path}/toggle?activate=true")
    await forge.ask("POST", "/prompts", body, 409)
    await forge.ask("DELETE", path)
    assert await forge.ask("GET", "/prompts?include_inactive=true") == []


async def test_a_prompt_of_a_gateway_is_rendered(forge: Forge) -> None:
    await forge.register()
    (prompt,) = await forge.ask("GET", "/prompts")
    assert (prompt["name"], prompt["originalName"]) == ("fast-time-compare-zones", "compare_zones")
    said = await forge.ask("POST", f"/prompts/{prompt['name']}", {"first": "UTC", "second": "CET"})
    assert "UTC or CET" in said["messages"][0]["content"]["text"]
    assert "first" in (await forge.ask("GET", f"/prompts/{prompt['id']}", status=422))["detail"]


async def test_a_resource_is_created_read_changed_and_deleted(forge: Forge) -> None:
    resource = {"uri": "memo://one", "name": "one", "content": "First", "mimeType": "text/plain"}
    created = await forge.ask("POST", "/resources", {"resource": resource, "visibility": "team"})
    assert (created["visibility"], created["mimeType"]) == ("team", "text/plain")
    path = f"/resources/{created['id']}"
    read = await forge.ask("GET", path)
    assert (read["uri"], read["text"], read["mime_type"]) == ("memo://one", "First", "text/plain")
    assert (await forge.ask("GET", f"{path}/info"))["name"] == "one"
    await forge.ask("PUT", path, {"content": "Second"})
    assert (await forge.ask("GET", "/resources/memo://one"))["text"] == "Second"
    assert (await forge.ask("GET", "/resources/test/memo://one"))["content"]["text"] == "Second"
    await forge.ask("POST", "/resources", {**resource, "name": "two"}, 409)
    await forge.ask("DELETE", path)
    await forge.ask("GET", path, status=404)


async def test_templates_of_resources_are_listed(forge: Forge) -> None:
    assert await forge.ask("GET", "/resources/templates/list") == {"resourceTemplates": []}
    await forge.register()
    (template,) = (await forge.ask("GET", "/resources/templates/list"))["resourceTemplates"]
    assert template["uriTemplate"] == "time://zones/{name}"
    for path in ("time://zones/UTC", "time:%2F%2Fzones%2FUTC"):
        assert (await forge.ask("GET", f"/resources/{path}"))["text"] == "zone UTC"
    await forge.ask("GET", "/resources/memo://none", status=404)


# --- virtual servers ---------------------------------------------------------------------------------------


async def test_a_virtual_server_shows_what_it_is_given_and_nothing_else(forge: Forge) -> None:
    await forge.register()
    tool = await forge.tool()
    (prompt,) = await forge.ask("GET", "/prompts")
    formats = next(each for each in await forge.ask("GET", "/resources") if each["name"] == "formats")
    body = {
        "name": "clock",
        "associatedTools": [tool["id"], "fast-time-convert-time"],
        "associatedPrompts": [prompt["id"]],
        "associatedResources": [formats["uri"]],
        "tags": ["time"],
    }
    server = await forge.ask("POST", "/servers", body, 201)
    assert server["associatedTools"] == ["fast-time-get-system-time", "fast-time-convert-time"]
    assert server["associatedPrompts"] == [prompt["id"]]
    assert server["associatedResources"] == [formats["id"]]
    path = f"/servers/{server['id']}"
    for kind, names in (
        ("tools", ["fast-time-get-system-time", "fast-time-convert-time"]),
        ("prompts", ["fast-time-compare-zones"]),
        ("resources", ["formats"]),
    ):
        assert [each["name"] for each in await forge.ask("GET", f"{path}/{kind}")] == names
    answer = await forge.rpc("prompts/list", {"server_id": server["id"]})
    assert [each["name"] for each in answer["result"]["prompts"]] == ["fast-time-compare-zones"]
    changed = await forge.ask("PUT", path, {"associated_tools": [tool["id"]], "name": "Wall clock"})
    assert (changed["associatedTools"], changed["name"]) == (["fast-time-get-system-time"], "Wall clock")
    assert changed["associatedPrompts"] == [prompt["id"]]
    assert changed["id"] == server["id"]
    await forge.ask("PUT", path, {"associated_resources": [], "associated_prompts": []})
    assert await forge.ask("GET", f"{path}/prompts") == []


async def test_a_virtual_server_of_nothing_known_is_refused(forge: Forge) -> None:
    answer = await forge.ask("POST", "/servers", {"name": "x", "associated_tools": ["f" * 32, "no"]}, 400)
    assert answer["detail"] == f"Tool not found: {'f' * 32}; Tool not found: no"
    await forge.ask("POST", "/servers", {"name": "x", "associated_a2a_agents": ["a"]}, 501)
    await forge.ask("POST", "/servers", {"server": {"description": "x"}}, 422)


async def test_a_virtual_server_may_bring_its_id(forge: Forge) -> None:
    await forge.register()
    given = "6F9619FF-8B86-D011-B42D-00CF4FC964FF"
    body = {"server": {"id": given, "name": "moved", "associated_tools": [(await forge.tool())["id"]]}}
    server = await forge.ask("POST", "/servers", body, 201)
    assert server["id"] == given.replace("-", "").lower()
    assert server["name"] == "moved"
    for word in (given, server["id"], "moved"):
        assert (await forge.ask("GET", f"/servers/{word}"))["id"] == server["id"]
    names = [
        each["name"] for each in (await forge.rpc("tools/list", {"server_id": given}))["result"]["tools"]
    ]
    assert names == ["fast-time-get-system-time"]
    await forge.ask("POST", "/servers", {"id": "not-a-uuid", "name": "x"}, 422)


async def test_a_virtual_server_is_taken_down_and_put_up_again(forge: Forge) -> None:
    await forge.register()
    body = {"name": "clock", "associated_tools": [(await forge.tool())["id"]]}
    server = await forge.ask("POST", "/servers", body, 201)
    path = f"/servers/{server['id']}"
    down = await forge.ask("POST", f"{path}/state?activate=false")
    assert (down["enabled"], down["associatedTools"]) == (False, ["fast-time-get-system-time"])
    await forge.rpc("tools/list", {"server_id": server["id"]}, status=404)
    assert (await forge.ask("POST", f"{path}/toggle?activate=true"))["enabled"]
    await forge.ask("POST", "/servers", body, 409)
    assert "deleted" in (await forge.ask("DELETE", path))["message"]
    await forge.ask("GET", path, status=404)


async def test_mcp_is_served_by_id_without_the_fast_lane(forge: Forge) -> None:
    await forge.register()
    server = await forge.ask("POST", "/servers", {"name": "c", "associated_tools": ["whoami"]}, 201)
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    accept = {"accept": "application/json, text/event-stream"}
    for path in (f"/servers/{server['id']}/mcp", "/servers/c/mcp/", "/v1/servers/c/mcp", "/mcp/", "/v1/mcp"):
        answer = await forge.ask("POST", path, body, headers=accept)
        name = "portico" if "servers" not in path else "portico/c"
        assert answer["result"]["serverInfo"]["name"] == name
    for path in (f"/servers/{'f' * 32}/mcp", "/servers/none/mcp/"):
        await forge.ask("POST", path, body, 404, headers=accept)


async def test_what_the_file_declares_stays_as_it_is(forge: Forge) -> None:
    server = await forge.ask("GET", "/servers/default")
    answer = await forge.ask("PUT", f"/servers/{server['id']}", {"name": "x"}, 409)
    assert "configuration file" in answer["detail"]


# --- lists -------------------------------------------------------------------------------------------------


async def test_a_list_comes_in_pages_if_that_is_asked_for(forge: Forge) -> None:
    await forge.register()
    whole = [each["id"] for each in await forge.ask("GET", "/tools")]
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        page = await forge.ask("GET", f"/tools?include_pagination=true&limit=2&cursor={cursor}")
        found += [each["id"] for each in page["tools"]]
        cursor = page["nextCursor"]
    assert found == whole
    assert len(whole) == 3
    assert len(await forge.ask("GET", "/tools/?limit=1")) == 1
    assert len(await forge.ask("GET", "/v1/tools?limit=0")) == 3
    await forge.ask("GET", "/tools?limit=many", status=422)
    await forge.ask("GET", "/tools?cursor=%21", status=422)
    await forge.ask("GET", "/tools?apijsonpath={}", status=501)


async def test_a_list_is_filtered(forge: Forge) -> None:
    await forge.register(tags=["clock", {"label": "fast"}], visibility="team", team_id="t1")
    for query, number in (
        ("tags=fast", 1), ("tags=slow", 0), ("visibility=team", 1), ("visibility=public", 0),
        ("team_id=t1", 1), ("team_id=t2", 0),
    ):  # fmt: skip
        assert len(await forge.ask("GET", f"/gateways?{query}")) == number
    assert await forge.ask("GET", "/tools?gateway_id=null") == []
    assert await forge.ask("GET", "/tools?gateway_id=unknown") == []
