"""Tools, prompts and resources: create, read, change, delete."""

from __future__ import annotations

from typing import Any, TypeAlias

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported


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
