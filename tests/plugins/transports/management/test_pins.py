"""Pinned definitions over the API: what changed, approving of it, names in dispute."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugins.transports.management.fake import Served

APPROVE = "/api/v1/pins/time/approve"


async def got(api: Served, path: str) -> Any:
    answer = await api.http.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_definitions_are_listed_by_upstream_and_state_a_page_at_a_time(api: Served) -> None:
    page = await got(api, "pins?limit=2")
    assert [(each["upstream"], each["definition"], each["state"]) for each in page["items"]] == [
        ("git", "tools/log", "pinned"),
        ("time", "tools/now", "quarantined"),
    ]
    assert page["total"] == 3
    rest = await got(api, f"pins?limit=2&cursor={page['next_cursor']}")
    assert ([each["definition"] for each in rest["items"]], rest["next_cursor"]) == (["tools/zones"], None)
    assert rest["items"][0]["odd"] == ["name: U+200B"]
    (one,) = (await got(api, "pins?state=quarantined&upstream=time"))["items"]
    assert (one["digest"], one["offered"], one["since"]) == ("b" * 64, "c" * 64, "1970-01-01T00:00:01.500Z")
    assert (await got(api, "pins?upstream=nobody"))["items"] == []
    assert (await api.http.get("/api/v1/pins?state=odd")).status_code == 400


async def test_what_changed_is_shown_field_by_field(api: Served) -> None:
    answer = await api.http.get("/api/v1/pins/time")
    assert answer.headers["etag"] == '"3"'
    shown = answer.json()
    assert (shown["on_change"], shown["version"]) == ("quarantine", 3)
    assert shown["items"][0]["before"] == {"name": "now", "title": "Now"}
    assert shown["items"][0]["differences"] == [
        {"path": "title", "what": "removed", "before": "Now", "after": None}
    ]
    unknown = await api.http.get("/api/v1/pins/tim")
    assert (unknown.status_code, "'time'" in unknown.json()["detail"]) == (404, True)


@pytest.mark.parametrize("body", [{}, {"definitions": ["tools/now"]}, {"digests": {"tools/now": "c" * 64}}])
async def test_changes_are_approved_of(api: Served, body: Any) -> None:
    dry = await api.http.post(f"{APPROVE}?dry_run=true", json=body)
    assert (dry.status_code, api.management.definitions.approved) == (200, [])
    answer = await api.http.post(APPROVE, json=body, headers={"if-match": '"3"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"4"')
    assert answer.json()["items"][0]["state"] == "pinned"
    ((upstream, _, subject),) = api.management.definitions.approved
    assert (upstream, subject) == ("time", "alice")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({}, {"if-match": '"2"'}, 412),
        ({"digests": {"tools/now": "0" * 64}}, {}, 409),
        ({"definitions": ["tools/zones"]}, {}, 422),
        ({"definitions": []}, {}, 422),
        ({"digests": {"tools/now": "short"}}, {}, 422),
        ({"definition": ["tools/now"]}, {}, 422),
        ({}, {"if-none-match": "*"}, 400),
    ],
)
async def test_what_is_not_what_was_looked_at_is_not_approved(
    api: Served, body: Any, headers: dict[str, str], status: int
) -> None:
    answer = await api.http.post(APPROVE, json=body, headers=headers)
    assert (answer.status_code, api.management.definitions.approved) == (status, [])


async def test_an_upstream_nobody_knows_has_nothing_to_approve(api: Served) -> None:
    assert (await api.http.post("/api/v1/pins/nobody/approve", json={})).status_code == 404
    no_record = await api.http.post("/api/v1/pins/git/approve", json={}, headers={"if-match": "*"})
    assert no_record.status_code == 412


async def test_nothing_is_approved_while_the_registry_is_away(api: Served) -> None:
    api.management.definitions.down = True
    assert (await api.http.post(APPROVE, json={})).status_code == 503


async def test_names_in_dispute_are_listed(api: Served) -> None:
    found = await got(api, "conflicts")
    assert found["items"] == [
        {
            "server": "default",
            "kind": "tools",
            "name": "Log",
            "upstream": "time",
            "other": "git",
            "why": "similar",
        }
    ]
    assert (await got(api, "conflicts?server=other")) == {"items": [], "total": 0}
