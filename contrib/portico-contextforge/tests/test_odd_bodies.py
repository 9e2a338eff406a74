"""Whatever a body holds, the answer is never a fault."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec
import pytest

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported

ODD: Final[tuple[Any, ...]] = (
    None, True, 0, -1.5, 10**30, "", "\x00", "x" * 3000, "é/../%2F", [], [None], [[]], [1, "a", {}], {},
    {"": ""}, {"id": {}, "label": []}, {"name": None}, {"a": {"b": [{"c": 1}]}},
)  # fmt: skip
MEMBERS: Final = {
    "gateways": (
        "name", "url", "description", "transport", "auth_type", "auth_headers", "auth_token", "tags",
        "visibility", "enabled", "team_id", "passthrough_headers", "oauth_config",
    ),
    "servers": (
        "id", "name", "description", "associated_tools", "associated_resources", "associated_prompts", "tags",
        "visibility", "server", "oauth_enabled",
    ),
    "tools": (
        "name", "custom_name", "title", "description", "tags", "annotations", "enabled", "tool", "url",
        "request_type", "input_schema", "headers", "auth", "auth_type", "timeout_ms", "integration_type",
    ),
    "prompts": ("name", "template", "arguments", "description", "tags", "title", "prompt"),
    "resources": ("name", "uri", "content", "mime_type", "description", "tags", "uri_template", "resource"),
}  # fmt: skip
PLAIN: Final = {
    "gateways": {"name": "odd", "url": "http://localhost:1/mcp", "enabled": False},
    "servers": {"name": "odd"},
    "tools": {"name": "odd", "url": "http://localhost:1/{id}?a={b}"},
    "prompts": {"name": "odd", "template": "Hi"},
    "resources": {"name": "odd", "uri": "memo://odd", "content": "x"},
}
IMPORTS: Final = ("gateways", "servers", "prompts", "resources", "tools", "roots", "others")


def is_answer(answer: Any) -> bool:
    """Whether it is one: no fault, and JSON."""
    msgspec.json.decode(answer.content)
    return answer.status_code < 500 or answer.status_code in (501, 502)


@pytest.mark.parametrize("kind", list(MEMBERS))
async def test_odd_members_of_entities_are_no_fault(forge: Forge, kind: str) -> None:
    await forge.register()
    known = (await forge.ask("GET", f"/{kind}"))[:1]
    paths = [("POST", f"/{kind}"), *(("PUT", f"/{kind}/{each['id']}") for each in known)]
    for method, path in paths:
        for member in MEMBERS[kind]:
            for odd in ODD:
                body = {**(PLAIN[kind] if method == "POST" else {}), member: odd}
                answer = await forge.http.request(method, path, json=body)
                assert is_answer(answer), (method, path, member, odd, answer.text)
                if answer.status_code in (200, 201) and method == "POST":
                    await forge.ask("DELETE", f"/{kind}/{answer.json()['id']}")


@pytest.mark.parametrize(
    "path",
    [
        "/rpc", "/protocol/initialize", "/protocol/ping", "/protocol/notifications",
        "/protocol/completion/complete", "/tools/invoke/whoami", "/prompts/greet",
        "/import", "/export/selective", "/admin/tools/import", "/gateways", "/servers",
    ],
)  # fmt: skip
async def test_odd_bodies_are_no_fault(forge: Forge, path: str) -> None:
    await forge.register()
    await forge.ask("POST", "/prompts", {"name": "greet", "template": "Hello {{ name }}!"})
    for odd in ODD:
        for body in (
            odd,
            *({member: odd} for member in ("params", "arguments", "args", "import_data", "tools")),
        ):
            answer = await forge.http.post(path, json=body)
            assert is_answer(answer), (path, body, answer.text)


async def test_odd_params_are_no_fault(forge: Forge) -> None:
    await forge.register()
    names = ("name", "uri", "arguments", "cursor", "server_id", "protocolVersion", "ref", "_meta")
    for odd in ODD:
        for method in ("initialize", "tools/call", "tools/list", "resources/read", "prompts/get", "whoami"):
            for given in (dict.fromkeys(names, odd), {"name": "whoami", "arguments": odd}, {"_meta": odd}):
                body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": given}
                answer = await forge.http.post("/rpc", json=body)
                assert is_answer(answer), (body, answer.text)


async def test_odd_imports_are_no_fault(forge: Forge) -> None:
    for kind in IMPORTS:
        for odd in ODD:
            items = [
                odd,
                [odd],
                [{"name": odd, "url": odd, "template": odd, "uri": odd, "content": odd}],
                [{"name": "a", "url": "http://localhost:1", "template": "x", "tags": odd, "auth_type": odd}],
                [{"name": "b", "template": "x", "arguments": odd, "input_schema": odd, "tool_ids": odd}],
            ]
            for each in items:
                for strategy in ("update", "rename"):
                    wanted = {"conflict_strategy": strategy, "dry_run": True}
                    body = {"import_data": {"entities": {kind: each}}, **wanted}
                    answer = await forge.http.post("/import", json=body)
                    assert is_answer(answer), (kind, each, answer.text)


@pytest.mark.parametrize(
    "query",
    [
        "limit=",
        "limit=-1",
        "limit=%00",
        "limit=99999999999",
        "cursor=a",
        "cursor=%ff",
        "tags=,,",
        "a=b&a=c",
        "%",
    ],
)
async def test_odd_queries_are_no_fault(forge: Forge, query: str) -> None:
    await forge.register()
    for path in ("/tools", "/gateways", "/servers", "/prompts", "/resources", "/tags", "/export"):
        answer = await forge.http.get(f"{path}?{query}")
        assert is_answer(answer), (path, query, answer.text)


@pytest.mark.parametrize(
    "path", ["/tools/%ff", "/tools/%00", "/tools//", "/v1", "/v1/", "/tags//entities", "/tools/%2F"]
)
async def test_odd_paths_are_no_fault(forge: Forge, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = await forge.http.request(method, path)
        assert is_answer(answer), (method, path, answer.text)
