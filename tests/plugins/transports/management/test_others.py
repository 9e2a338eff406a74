"""Bulk changes, candidates, tools, history, status, and the description of it all."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from typing import Any

import pytest

from portico.api import About, Managed
from portico_plugins.transports.management_api.classes import schema_of
from portico_plugins.transports.management_api.others import operations
from portico_plugins.transports.management_api.shown import item_of
from portico_plugins.upstreams.mcp.config import McpConfig
from tests.plugins.transports.management.fake import ALICE, Served, served


def step(action: str, name: str, **more: Any) -> dict[str, Any]:
    config = {} if action == "delete" else {"config": {}}
    return {"action": action, "kind": "upstreams", "name": name, **config, **more}


async def bulk(api: Served, *changes: Any, query: str = "", **more: Any) -> Any:
    return await api.http.post(f"/api/v1/bulk{query}", json={"changes": changes, **more})


async def test_all_changes_are_made_or_none(api: Served) -> None:
    answer = await bulk(api, step("create", "a"), step("put", "b"), step("put", "c", config={"wrong": 1}))
    assert (answer.status_code, api.management.records) == (422, {})
    assert answer.json()["errors"][0]["path"] == "upstreams.c.wrong"
    answer = await bulk(api, step("create", "a"), step("put", "b"))
    assert [each["status"] for each in answer.json()["results"]] == [201, 201]
    assert (answer.json()["revision"], len(api.management.records)) == (1, 2)
    stale = await bulk(api, step("put", "a", version=1), step("delete", "b", version=7))
    assert (stale.status_code, api.management.revision) == (409, 1)


async def test_each_change_by_itself_has_a_report(api: Served) -> None:
    await bulk(api, step("create", "a"))
    changes = [
        step("create", "a"),
        step("put", "b"),
        step("put", "c", config={"wrong": 1}),
        step("put", "time"),
        step("delete", "d"),
        step("put", "e", version=3),
    ]
    answer = await bulk(api, *changes, mode="each")
    report = answer.json()
    assert [each["status"] for each in report["results"]] == [409, 201, 422, 409, 404, 412]
    assert (report["failed"], answer.status_code) == (5, 200)
    assert report["results"][2]["problem"]["errors"][0]["path"] == "upstreams.c.wrong"
    assert report["results"][1]["item"]["name"] == "b"
    dry = await bulk(api, step("put", "z"), mode="each", query="?dry_run=true")
    assert (dry.json()["dry_run"], ("upstreams", "z") in api.management.records) == (True, False)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ([step("put", "a"), step("delete", "a")], "changes[1]"),
        ([{"action": "put", "kind": "upstreams", "name": "a"}], "changes[0].config"),
        ([step("delete", "a", config={})], "changes[0].config"),
        ([step("create", "a", version=2)], "changes[0].version"),
        ([step("put", "a", verson=2)], "changes[0].verson"),
        ([step("put", "a", about={"tag": []})], "changes[0].about.tag"),
        ([step("put", str(number)) for number in range(4)], "changes"),
    ],
)
async def test_changes_that_make_no_sense_are_named(changes: Any, path: str) -> None:
    async with served(max_changes=3) as api:
        answer = await bulk(api, *changes)
        assert (answer.status_code, [each["path"] for each in answer.json()["errors"]]) == (422, [path])
        assert api.management.revision == 0


async def test_a_candidate_is_tried_and_not_kept(api: Served) -> None:
    path = "/api/v1/upstreams/test"
    seen = await api.http.post(path, json={"config": {"url": "https://a"}})
    assert (seen.status_code, seen.json()["tools"]) == (200, [{"name": "now"}])
    refused = await api.http.post(path, json={"name": "x", "config": {"command": ["rm"]}})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "upstreams.x.command")
    assert api.management.records == {}
    assert (await api.put("upstreams/test", {})).status_code == 201  # a name like any other


async def test_an_upstream_is_fetched_again(api: Served) -> None:
    assert (await api.http.post("/api/v1/upstreams/time/refresh")).json()["name"] == "time"
    assert (await api.http.post("/api/v1/upstreams/none/refresh")).status_code == 404
    await api.put("upstreams/idle", {})
    await api.http.post("/api/v1/upstreams/idle/disable")
    idle = await api.http.post("/api/v1/upstreams/idle/refresh")
    assert (idle.status_code, idle.json()["state"]) == (200, "disabled")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["log", "now", "zones"]),
        ("upstream=time", ["now", "zones"]),
        ("q=histor", ["log"]),
        ("q=TIME", ["now"]),
    ],
)
async def test_tools_are_listed_and_searched(api: Served, query: str, names: list[str]) -> None:
    found = (await api.http.get(f"/api/v1/tools?{query}")).json()
    assert ([each["name"] for each in found["items"]], found["total"]) == (names, len(names))


async def test_tools_come_in_pages(api: Served) -> None:
    first = (await api.http.get("/api/v1/tools?limit=2")).json()
    rest = (await api.http.get("/api/v1/tools", params={"cursor": first["next_cursor"]})).json()
    assert [each["name"] for each in (*first["items"], *rest["items"])] == ["log", "now", "zones"]
    assert rest["next_cursor"] is None


async def test_history_tells_who_changed_what_and_no_secret(api: Served) -> None:
    await api.put("upstreams/git", {"url": "https://a", "token": "s3cret-1"})
    await api.put("upstreams/git", {"url": "https://b", "token": "s3cret-2"})
    await api.put("prompts/hello", {"text": "Hi"})
    await api.http.delete("/api/v1/upstreams/git")
    answer = await api.http.get("/api/v1/history")
    assert "s3cret" not in answer.text
    assert [(each["action"], each["name"], each["changed"]) for each in answer.json()["items"]] == [
        ("deleted", "git", []),
        ("created", "hello", []),
        ("changed", "git", ["config.token", "config.url"]),
        ("created", "git", []),
    ]
    assert answer.json()["items"][1]["after"]["config"] == {"text": "Hi"}
    rest = (await api.http.get("/api/v1/history?kind=upstreams&name=git&before=2")).json()
    assert ([each["revision"] for each in rest["items"]], rest["next_cursor"]) == ([1], None)


async def test_history_comes_in_pages_that_may_end_within_a_write(api: Served) -> None:
    await bulk(api, *(step("create", f"a{number}") for number in range(5)))
    await bulk(api, *(step("create", f"b{number}") for number in range(2)))
    whole = [each["name"] for each in (await api.http.get("/api/v1/history")).json()["items"]]
    for size in (1, 2, 3, 4, 7):
        names: list[str] = []
        query: dict[str, Any] = {"limit": size}
        while query.get("cursor") is not None or not names:
            page = (await api.http.get("/api/v1/history", params=query)).json()
            assert len(page["items"]) <= size
            names += [each["name"] for each in page["items"]]
            query["cursor"] = page["next_cursor"]
        assert names == whole
    made_up = base64.urlsafe_b64encode(b"[1,-1]").decode()
    assert (await api.http.get("/api/v1/history", params={"cursor": made_up})).status_code == 400


async def test_secrets_are_put_under_the_current_key(api: Served) -> None:
    await api.put("secrets/a", {"value": "x"})
    tried = await api.http.post("/api/v1/secrets/rotate?dry_run=true")
    assert (tried.status_code, tried.json()) == (200, {"changed": 1, "revision": 1})
    assert (await api.http.post("/api/v1/secrets/rotate")).json() == {"changed": 1, "revision": 2}
    assert api.management.entries[0].author.subject == "alice"
    api.wiring.draining = True
    old = await api.http.post("/api/v1/secrets/rotate")
    api.wiring.draining = False
    assert (old.status_code, old.json()["type"]) == (503, "urn:portico:problem:draining")
    assert old.headers["retry-after"] == "1"
    api.management.lost = "a"
    refused = await api.http.post("/api/v1/secrets/rotate")
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "secrets.a")
    assert (await api.http.get("/api/v1/secrets/rotate")).status_code == 404  # a name like any other


async def test_status(api: Served) -> None:
    await api.put("secrets/a", {})
    status = (await api.http.get("/api/v1/status")).json()
    assert (status["revision"], status["registry"], status["draining"]) == (1, "", False)
    assert status["counts"]["secrets"] == 1
    assert status["upstreams"] == {"time": {"state": "ready", "reason": "", "since": None, "origin": "file"}}


def test_since_when_a_state_holds_is_a_moment_where_it_is_known() -> None:
    known = Managed("upstreams", "a", {}, About(), "file", None, "unavailable", "gone", since=1.5)
    item = item_of(known)
    assert (item.state, item.reason, item.since) == ("unavailable", "gone", "1970-01-01T00:00:01.500Z")
    assert item_of(Managed("servers", "a", {}, About(), "file")).since is None


async def test_the_description_has_every_operation_and_the_plugins_keys(api: Served) -> None:
    described = (await api.http.get("/api/openapi.json", headers={"authorization": ""})).json()
    assert described["openapi"] == "3.1.0"
    ids = [operation["operationId"] for item in described["paths"].values() for operation in item.values()]
    assert sorted(ids) == sorted({each.id for each in operations(1, "")})
    schemas = described["components"]["schemas"]
    assert "command" in schemas["upstream.mcp"]["properties"]
    assert schemas["New"]["additionalProperties"] is False
    refs = {
        part.split('"')[0] for part in str(described).replace("'", '"').split("#/components/schemas/")[1:]
    }
    assert refs <= schemas.keys()


async def test_every_answer_of_an_operation_is_described_with_its_problems_and_what_may_be_done_next(
    api: Served,
) -> None:
    paths = (await api.http.get("/api/openapi.json")).json()["paths"]
    create, delete = paths["/api/v1/upstreams"]["post"], paths["/api/v1/upstreams/{name}"]["delete"]
    assert (
        create["responses"]["409"]["description"] == "Conflict: exists, from-file, gone, in-progress, stale."
    )
    assert delete["responses"]["409"]["description"] == "Conflict: from-file, stale."
    assert "415" not in delete["responses"]
    links = create["responses"]["201"]["links"]
    assert {"getUpstream", "patchUpstream", "deleteUpstream", "refreshUpstream"} <= links.keys()
    assert links["patchUpstream"]["parameters"] == {
        "path.name": "$response.body#/name",
        "header.If-Match": "$response.header.ETag",
    }
    for item in paths.values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and "content" in answer:
                    (_, types) = answer["content"]["application/problem+json"]["schema"]["allOf"]
                    assert types["properties"]["type"]["enum"], (operation["operationId"], status)


async def test_a_config_class_is_described_with_its_documentation() -> None:
    schema = schema_of(McpConfig)
    assert schema["type"] == "object"
    assert all("description" in each for each in schema["properties"].values())


async def test_the_page_loads_nothing_from_elsewhere(api: Served) -> None:
    page = await api.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
    assert "unsafe" not in policy
    for name in ("page.js", "page.css"):
        assert f"/docs/{name}" in page.text
        asset = await api.http.get(f"/docs/{name}")
        assert asset.status_code == 200
        assert "//" not in asset.text.replace("// ", "")
    assert "<script>" not in page.text
    assert "style=" not in page.text


class Page(HTMLParser):
    """What a reader without JavaScript sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "details":
            self.ids.append(str(dict(attrs)["id"]))

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_lists_every_operation_of_the_description(api: Served) -> None:
    page = Page((await api.http.get("/docs")).text)
    paths = (await api.http.get("/api/openapi.json")).json()["paths"]
    every = [operation for item in paths.values() for operation in item.values()]
    assert sorted(page.ids) == sorted(each["operationId"] for each in every)
    assert all(path in page.text for path in paths)
    assert all(each["summary"] in page.text for each in every)


async def test_documentation_can_be_left_out() -> None:
    async with served(docs=False) as api:
        for path in ("/docs", "/api/openapi.json"):
            assert (await api.http.get(path, headers=ALICE)).status_code == 404
