"""The gateway as an MCP Registry: what is listed, what another gateway makes of it, and who may read it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx2
import jsonschema
import pytest
from click.testing import CliRunner, Result

from portico._config.exchange.server_json import from_server
from portico.api import ConfigError
from portico.cli.group import gateway as command
from portico.testing import check_plugin
from portico_plugins.transports import registry_v01
from tests.kernel.cli.running import MANAGED, gateway, settings
from tests.plugins.upstreams.kit import serving
from tests.plugins.upstreams.scripted import Scripted

NAMESPACE: Final = 'namespace = "com.example"\n'
REGISTRY: Final = f'[transports.registry]\nuse = "registry_v01"\n{NAMESPACE}'
OFFICIAL: Final = "io.modelcontextprotocol.registry/official"
AT: Final = "/v0.1/servers"

# What the MCP Registry's `server.json` schema (2025-12-11) and API (v0.1) ask of what we write.
INPUT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "description": {"type": "string"},
        "isRequired": {"type": "boolean"},
        "isSecret": {"type": "boolean"},
    },
    "additionalProperties": False,
}
SERVER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["name", "description", "version"],
    "properties": {
        "$schema": {"type": "string", "pattern": "^https://static.modelcontextprotocol.io/schemas/"},
        "name": {
            "type": "string",
            "minLength": 3,
            "maxLength": 200,
            "pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$",
        },
        "title": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": {"type": "string", "maxLength": 255, "pattern": r"^\d+\.\d+\.\d+$"},
        "remotes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "url"],
                "properties": {
                    "type": {"enum": ["streamable-http"]},
                    "url": {"type": "string", "pattern": r"^https?://[^\s{}]+$"},
                    "headers": {"type": "array", "items": INPUT},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
MOMENT: Final = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
ENTRY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["server", "_meta"],
    "properties": {
        "server": SERVER,
        "_meta": {
            "type": "object",
            "required": [OFFICIAL],
            "properties": {
                OFFICIAL: {
                    "type": "object",
                    "properties": {
                        "status": {"enum": ["active", "deprecated", "deleted"]},
                        "publishedAt": MOMENT,
                        "updatedAt": MOMENT,
                        "isLatest": {"type": "boolean"},
                    },
                    "additionalProperties": False,
                }
            },
        },
    },
    "additionalProperties": False,
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with gateway(MANAGED + REGISTRY) as url, httpx2.AsyncClient(base_url=url) as client:
        yield client


async def add(http: httpx2.AsyncClient, name: str, **about: Any) -> None:
    body = {"name": name, "config": {"upstreams": []}, "about": about}
    answer = await http.post("/api/v1/servers", json=body)
    assert answer.status_code == 201, answer.text


def names(answer: httpx2.Response) -> list[str]:
    page = answer.json()
    assert page["metadata"]["count"] == len(page["servers"])
    for each in page["servers"]:
        jsonschema.validate(each, ENTRY)
    return [each["server"]["name"].removeprefix("com.example/") for each in page["servers"]]


async def test_servers_that_are_public_and_in_use_are_listed(http: httpx2.AsyncClient) -> None:
    await add(http, "people", description="For\npeople " + "x" * 200)
    await add(http, "mine", visibility="private")
    await add(http, "ours", visibility="team", team="core")
    await add(http, "off", enabled=False)
    answer = await http.get(AT)
    assert names(answer) == ["default", "people"]
    people = answer.json()["servers"][1]["server"]
    assert people["description"] == ("For people " + "x" * 200)[:97] + "..."
    assert people["remotes"][0]["url"] == f"{http.base_url}/servers/people/mcp".replace(
        "//servers", "/servers"
    )
    await http.post("/api/v1/servers/people/disable")
    assert names(await http.get(AT)) == ["default"]


async def test_one_server_and_its_versions(http: httpx2.AsyncClient) -> None:
    await add(http, "people")
    first = (await http.get(f"{AT}/com.example%2Fpeople/versions/latest")).json()
    jsonschema.validate(first, ENTRY)
    assert (first["server"]["version"], first["_meta"][OFFICIAL]["isLatest"]) == ("1.0.1", True)
    await http.patch("/api/v1/servers/people", json={"about": {"description": "New"}})
    later = (await http.get(f"{AT}/com.example%2Fpeople/versions/1.0.2")).json()
    assert later["server"]["description"] == "New"
    assert later["_meta"][OFFICIAL]["publishedAt"] == first["_meta"][OFFICIAL]["publishedAt"]
    assert names(await http.get(f"{AT}/com.example%2Fpeople/versions")) == ["people"]
    for gone in (
        "com.example%2Fpeople/versions/1.0.1",
        "com.example%2Fnobody/versions",
        "people/versions/latest",
    ):
        answer = await http.get(f"{AT}/{gone}")
        assert (answer.status_code, "not found" in answer.json()["error"]) == (404, True)
    assert (await http.put(f"{AT}/com.example%2Fpeople/versions/1.0.2", json={})).status_code == 405


async def test_a_list_is_searched_and_comes_in_pages(http: httpx2.AsyncClient) -> None:
    for number in range(5):
        await add(http, f"s{number}")
    assert names(await http.get(AT, params={"search": "EXAMPLE/S"})) == [f"s{number}" for number in range(5)]
    assert names(await http.get(AT, params={"version": "latest", "search": "s3"})) == ["s3"]
    assert names(await http.get(AT, params={"version": "9.9.9"})) == []
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        answer = await http.get(AT, params=query)
        found += names(answer)
        if "nextCursor" not in answer.json()["metadata"]:
            break
        query["cursor"] = answer.json()["metadata"]["nextCursor"]
    assert found == ["default", *(f"s{number}" for number in range(5))]


async def test_what_changed_since_is_found(http: httpx2.AsyncClient) -> None:
    await add(http, "old")
    await add(http, "new")
    answer = await http.get(f"{AT}/com.example%2Fnew/versions/latest")
    moment = answer.json()["_meta"][OFFICIAL]["updatedAt"]
    assert "new" in names(await http.get(AT, params={"updated_since": moment}))
    assert names(await http.get(AT, params={"updated_since": "2999-01-01T00:00:00Z"})) == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "limit=-1", "cursor=%21", "updated_since=yesterday", "updated_since=2026-01-01"],
)
async def test_a_question_that_makes_no_sense_is_refused(http: httpx2.AsyncClient, query: str) -> None:
    answer = await http.get(f"{AT}?{query}")
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


TOKENS: Final = '[auth.people]\nuse = "token"\ntokens = { carol = "carol-0123456789abcdef" }\n'
CAROL: Final = {"authorization": "Bearer carol-0123456789abcdef"}
CLOSED: Final = MANAGED.replace('"management_api"', '"management_api"\nauth = ["people"]') + TOKENS
CLOSED_SERVER: Final = '[servers.closed]\nauth = ["people"]\nupstreams = []\n'


@pytest.mark.parametrize(
    ("more", "headers", "status"),
    [
        ("", {}, 200),
        ("", {"x-forwarded-for": "127.0.0.1"}, 403),
        ("", {"sec-fetch-site": "cross-site"}, 403),
        ('auth = ["people"]\n', {}, 401),
        ('auth = ["people"]\n', CAROL, 200),
        ('auth = ["people"]\nscope = "read"\n', CAROL, 403),
        ("public = true\n", {"x-forwarded-for": "127.0.0.1"}, 200),
    ],
)
async def test_it_is_read_by_whom_the_operator_says(more: str, headers: dict[str, str], status: int) -> None:
    async with gateway(CLOSED + REGISTRY + more) as url, httpx2.AsyncClient(base_url=url) as http:
        answer = await http.get(AT, headers=headers)
    assert answer.status_code == status
    assert ("error" in answer.json()) == (status != 200)


async def test_a_server_that_asks_for_credentials_says_so() -> None:
    config = CLOSED + CLOSED_SERVER + REGISTRY + 'url = "https://gateway.example.com/"\n'
    async with gateway(config) as url, httpx2.AsyncClient(base_url=url) as http:
        answer = await http.get(f"{AT}/com.example%2Fclosed/versions/latest")
    jsonschema.validate(answer.json(), ENTRY)
    (item,) = from_server(answer.json()["server"]).items
    assert item.config["url"] == "https://gateway.example.com/servers/closed/mcp"
    assert item.config["headers"] == {"Authorization": "${secret:closed-Authorization}"}


async def test_it_needs_no_registry_of_records() -> None:
    config = "[transports.streamable_http]\n[servers.one]\nupstreams = []\n" + REGISTRY
    async with gateway(config) as url, httpx2.AsyncClient(base_url=url) as http:
        assert names(await http.get(AT)) == ["one"]


async def test_another_gateway_adds_a_server_from_it() -> None:
    docs = Scripted()
    docs.tools = [{"name": "find", "inputSchema": {"type": "object"}}]

    async def run(*args: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, command, args)

    async with serving(docs) as upstream, gateway(MANAGED + REGISTRY) as one, gateway() as other:
        for kind, name, value in (
            ("upstreams", "docs", f'url="{upstream}/mcp"'),
            ("servers", "handbook", 'upstreams=["docs"]'),
        ):
            use = ("--use", "mcp") if kind == "upstreams" else ()
            made = await run(kind, "add", name, "--set", value, *use, "--gateway", one)
            assert made.exit_code == 0, made.output
        found = await run("catalog", "search", "handbook", "--registry", one, "--json")
        assert [each["name"] for each in json.loads(found.output)["servers"]] == ["com.example/handbook"]
        added = await run("catalog", "add", "com.example/handbook", "--registry", one, "--gateway", other)
        assert added.exit_code == 0, added.output
        async with asyncio.timeout(30):
            while "find" not in (await run("tools", "--url", f"{other}/mcp")).output:
                await asyncio.sleep(0)


@pytest.mark.parametrize(
    "wrong",
    ['namespace = "a/b"', 'url = "ftp://x"', 'url = "https://x/{y}"', 'public = true\nauth = ["people"]'],
)
async def test_a_config_that_makes_no_sense_is_refused(wrong: str) -> None:
    config = f"{TOKENS}[transports.streamable_http]\n{REGISTRY.replace(NAMESPACE, '')}{wrong}\n"
    with pytest.raises(ConfigError) as caught:
        settings(config)
    assert all(path.startswith("transports.registry") for path, _ in caught.value.problems)


async def test_it_keeps_the_contract_of_plugins() -> None:
    await check_plugin(registry_v01)
