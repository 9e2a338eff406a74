"""The catalog: servers found in it, and added as upstreams."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.kernel.small_registry import small_registry
from tests.plugins.transports.management.fake import Served, served

AT = "/api/v1/catalog"


@pytest.fixture
async def api() -> AsyncIterator[Served]:
    with small_registry() as url:
        async with served(catalog=url, catalog_allow_private=True) as opened:
            yield opened


async def test_servers_are_searched_page_by_page(api: Served) -> None:
    first = (await api.http.get(AT, params={"search": "weather", "limit": 2})).json()
    rest = (await api.http.get(AT, params={"search": "weather", "cursor": first["next_cursor"]})).json()
    names = [each["name"] for each in (*first["items"], *rest["items"])]
    assert names == ["io.example/weather", "io.example/weather-news", "io.example/weather-edit"]
    assert rest["next_cursor"] is None
    assert [each["ways"] for each in first["items"]] == [["remote"], ["npm"]]
    assert (await api.http.get(AT, params={"cursor": "eA"})).status_code == 400


async def test_a_server_becomes_an_upstream(api: Served) -> None:
    body = {"server": "io.example/weather"}
    tried = await api.http.post(f"{AT}?dry_run=true", json=body)
    assert (tried.status_code, api.management.records) == (200, {})
    added = await api.http.post(AT, json=body, headers={"idempotency-key": "k"})
    assert (added.status_code, added.headers["location"]) == (201, "/api/v1/upstreams/weather")
    item = added.json()["item"]
    assert (item["config"]["url"], item["via"]) == ("https://weather.example/mcp", "catalog")
    assert item["about"]["tags"] == ["mcp-registry"]
    assert (await api.http.post(AT, json=body)).status_code == 409
    assert (await api.http.post(AT, json=body, headers={"idempotency-key": "k"})).status_code == 201


async def test_what_has_to_be_done_still_is_told(api: Served) -> None:
    chosen = {"server": "io.example/weather-news", "name": "news", "version": "1.0.0"}
    notes = (await api.http.post(AT, json=chosen)).json()["notes"]
    assert any("managed_commands must allow" in each["message"] for each in notes)


async def test_what_cannot_be_added_is_named(api: Served) -> None:
    for server, version, status in (
        ("io.example/nobody", "latest", 404),
        ("io.example/weather", "9.9.9", 404),
        ("io.example/weather-edit", "latest", 422),
    ):
        answer = await api.http.post(AT, json={"server": server, "version": version})
        assert (answer.status_code, api.management.records) == (status, {})


async def test_a_catalog_that_is_away_or_not_there_is_said() -> None:
    async with served(catalog="https://127.0.0.1:1") as api:
        away = await api.http.get(AT)
        assert (away.status_code, "not allowed (loopback)" in away.json()["detail"]) == (502, True)
    async with served() as api:
        assert (await api.http.get(AT)).json()["type"] == "urn:portico:problem:no-catalog"
