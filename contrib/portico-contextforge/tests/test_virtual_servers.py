"""Virtual servers: create, read, change, delete."""

from __future__ import annotations

from typing import Any, TypeAlias

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported


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
