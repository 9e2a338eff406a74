"""Documents that are made records of, over the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugins.transports.management.fake import Served, served

AT = "/api/v1/import"
DESKTOP = {"mcpServers": {"docs": {"url": "https://a.example"}, "search": {"url": "https://b.example"}}}
TOML = """
#record {"kind": "prompts", "name": "hi", "config": {"template": "Hi"}, "about": {"enabled": false}}
#record {"kind": "upstreams", "name": "docs", "made": {"at": "2025-01-01T00:00:00Z", "by": "carol"}}
[upstreams.docs]
use = "mcp"
url = "https://a.example"
"""


async def imported(api: Served, document: Any, query: str = "", **more: Any) -> Any:
    return await api.http.post(f"{AT}{query}", json={"document": document, **more})


def told(answer: Any) -> list[tuple[str, str, str, int | None]]:
    assert answer.status_code == 200, answer.text
    return [(each["name"], each["was"], each["action"], each["status"]) for each in answer.json()["items"]]


async def test_a_document_becomes_records_each_with_a_report(api: Served) -> None:
    tried = await imported(api, DESKTOP, "?dry_run=true")
    assert (told(tried)[0], api.management.records) == (("docs", "", "create", 200), {})
    answer = await imported(api, DESKTOP)
    assert (answer.json()["format"], answer.json()["failed"]) == ("mcpServers JSON", 0)
    assert told(answer) == [("docs", "", "create", 201), ("search", "", "create", 201)]
    assert api.management.records["upstreams", "docs"].via == "import"


async def test_the_text_of_an_export_keeps_what_is_said_of_records(api: Served) -> None:
    assert told(await imported(api, TOML)) == [("docs", "", "create", 201), ("hi", "", "create", 201)]
    records = api.management.records
    assert records["upstreams", "docs"].created_by == "carol"
    assert records["prompts", "hi"].about.enabled is False


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("skip", [("docs", "", "skip", None), ("search", "", "create", 201)]),
        ("overwrite", [("docs", "", "overwrite", 200), ("search", "", "create", 201)]),
        ("rename", [("docs-2", "docs", "create", 201), ("search", "", "create", 201)]),
        ("fail", [("docs", "", "conflict", None), ("search", "", "create", None)]),
    ],
)
async def test_a_name_in_use_is_treated_as_was_asked(api: Served, strategy: str, expected: Any) -> None:
    await api.put("upstreams/docs", {})
    answer = await imported(api, DESKTOP, on_conflict=strategy)
    assert told(answer) == expected
    assert answer.json()["failed"] == (strategy == "fail")
    assert (("upstreams", "search") in api.management.records) == (strategy != "fail")


async def test_what_fails_is_reported_and_with_all_nothing_is_done(api: Served) -> None:
    document = {"upstreams": {"a": {"url": "https://a"}, "b": {"wrong": 1}}}
    refused = await imported(api, document, mode="all")
    assert (refused.status_code, api.management.records) == (422, {})
    answer = await imported(api, document)
    assert [each[3] for each in told(answer)] == [201, 422]
    assert answer.json()["items"][1]["problem"]["errors"][0]["path"] == "upstreams.b.wrong"


async def test_what_cannot_be_read_is_named(api: Served) -> None:
    for document in ({}, {"a": 1}, "", "no = [toml", '{"a": 1}'):
        assert (await imported(api, document)).status_code == 422
    async with served(max_changes=1) as few:
        assert (await imported(few, DESKTOP)).status_code == 422
        assert few.management.records == {}
