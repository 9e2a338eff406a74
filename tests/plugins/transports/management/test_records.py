"""Records over the API: created, seen, changed, deleted, and only when nobody else did meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugins.transports.management.fake import MASK, Served

UP = "/api/v1/upstreams"
NEW = {
    "name": "git",
    "config": {"url": "https://git.example/mcp"},
    "about": {"tags": ["vcs"], "owner": "ann"},
}

OLD = {"enabled": False, "team": "core", "visibility": "private"}


async def test_what_is_created_is_answered_with_its_place_and_version(api: Served) -> None:
    answer = await api.http.post(UP, json=NEW, headers={"portico-via": "cli"})
    assert answer.status_code == 201
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"{UP}/git"
    assert answer.headers["cache-control"] == "no-store"
    shown = (await api.http.get(f"{UP}/git")).json()
    assert shown == answer.json()
    assert (shown["config"], shown["origin"], shown["via"]) == (NEW["config"], "registry", "cli")
    assert (shown["about"]["owner"], shown["created_by"], shown["version"]) == ("ann", "alice", 1)


async def test_a_create_of_what_exists_is_a_conflict(api: Served) -> None:
    await api.http.post(UP, json=NEW)
    answer = await api.http.post(UP, json=NEW)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:portico:problem:exists"


async def test_what_was_made_elsewhere_keeps_when_and_by_whom(api: Served) -> None:
    made = {"at": "2025-03-01T12:00:00.250+01:00", "by": "carol"}
    shown = (await api.http.post(UP, json={**NEW, "made": made})).json()
    assert (shown["created"], shown["created_by"], shown["updated_by"]) == (
        "2025-03-01T11:00:00.250Z",
        "carol",
        "alice",
    )
    put = await api.http.put(f"{UP}/other", json={"config": {}, "made": made})
    assert put.json()["created_by"] == "carol"
    for wrong in (
        "2025-03-01T12:00:00",
        "yesterday",
        7,
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    ):
        answer = await api.http.post(UP, json={"name": "x", "config": {}, "made": {"at": wrong}})
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "made.at")


async def test_names_may_have_slashes(api: Served) -> None:
    path = "overrides/time%2Ftools%2Fnow"
    assert (await api.put(path, {"enabled": False})).status_code == 201
    assert ("overrides", "time/tools/now") in api.management.records
    assert (await api.http.get(f"/api/v1/{path}")).json()["name"] == "time/tools/now"
    assert (await api.http.post(f"/api/v1/{path}/disable")).json()["state"] == "disabled"


@pytest.mark.parametrize("name", ["a%0Ab", "%FF", "x" * 513])
async def test_a_name_that_is_none_is_refused(api: Served, name: str) -> None:
    assert (await api.http.get(f"{UP}/{name}")).status_code == 400


async def test_a_put_replaces_only_the_version_it_is_based_on(api: Served) -> None:
    assert (await api.put("upstreams/git", {"a": 1}, headers={"if-none-match": "*"})).status_code == 201
    assert (await api.put("upstreams/git", {"a": 2}, headers={"if-none-match": "*"})).status_code == 412
    assert (await api.put("upstreams/git", {"a": 2}, headers={"if-match": '"7"'})).status_code == 412
    answer = await api.put("upstreams/git", {"a": 2}, headers={"if-match": '"1"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert (await api.put("upstreams/nothing", {}, headers={"if-match": "*"})).status_code == 412


@pytest.mark.parametrize("tag", ["1", "", '"1', '"1" "2"'])
async def test_an_entity_tag_that_is_none_is_refused(api: Served, tag: str) -> None:
    await api.put("upstreams/git", {})
    assert (await api.put("upstreams/git", {"a": 1}, headers={"if-match": tag})).status_code == 400


async def test_of_several_entity_tags_one_must_be_its_own_and_strong(api: Served) -> None:
    await api.put("upstreams/git", {})
    assert (await api.put("upstreams/git", {}, headers={"if-match": 'W/"1"'})).status_code == 412
    both = [("if-match", '"7"'), ("if-match", '"1", "8"')]
    assert (await api.put("upstreams/git", {}, headers=both)).status_code == 200


async def test_a_precondition_that_would_be_overlooked_is_refused(api: Served) -> None:
    await api.put("upstreams/git", {})
    answer = await api.http.delete(f"{UP}/git", headers={"if-none-match": '"7"'})
    assert (answer.status_code, len(api.management.records)) == (400, 1)
    assert (await api.http.post("/api/v1/bulk", json={}, headers={"if-match": '"7"'})).status_code == 400


async def test_a_dry_run_checks_preconditions_too_and_changes_nothing(api: Served) -> None:
    assert (await api.put("upstreams/git?dry_run=true", {"a": 1})).status_code == 200
    stale = await api.put("upstreams/git?dry_run=true", {"a": 1}, headers={"if-match": '"1"'})
    assert stale.status_code == 412
    assert (await api.put("upstreams/git?dry_run=true", {"wrong": 1})).status_code == 422
    created = await api.http.post(f"{UP}?dry_run=true", json=NEW)
    assert (created.status_code, created.json()["config"]) == (200, NEW["config"])
    assert "etag" not in created.headers
    assert api.management.records == {}


async def test_a_patch_changes_parts_and_null_takes_away(api: Served) -> None:
    await api.http.post(
        UP, json={**NEW, "config": {"url": "https://a", "token": "s3cret", "headers": {"a": "1", "b": "2"}}}
    )
    patch = {
        "config": {"url": "https://b", "headers": {"a": None}},
        "about": {"description": "new", "tags": None},
    }
    answer = await api.http.patch(
        f"{UP}/git", json=patch, headers={"content-type": "application/merge-patch+json"}
    )
    assert answer.status_code == 200
    assert answer.json()["config"] == {"url": "https://b", "token": MASK, "headers": {"b": "2"}}
    assert api.management.records["upstreams", "git"].config["token"] == "s3cret"
    about = answer.json()["about"]
    assert (about["description"], about["tags"], about["owner"]) == ("new", [], "ann")


async def test_what_is_read_changed_and_written_back_keeps_its_secrets(api: Served) -> None:
    await api.put("upstreams/git", {"url": "https://a", "token": "s3cret"})
    shown = (await api.http.get(f"{UP}/git")).json()
    assert "s3cret" not in str(shown)
    await api.put("upstreams/git", {**shown["config"], "url": "https://b"})
    assert api.management.records["upstreams", "git"].config == {"url": "https://b", "token": "s3cret"}


async def test_a_secret_is_never_shown(api: Served) -> None:
    answers = [
        await api.put("secrets/key", {"sealed": "c2VhbGVk"}),
        await api.http.get("/api/v1/secrets/key"),
    ]
    answers += [await api.put("secrets/key", {"sealed": "b3RoZXI="}), await api.http.get("/api/v1/secrets")]
    answers.append(await api.http.get("/api/v1/history"))
    assert all(each.status_code in (200, 201) for each in answers)
    assert not any("c2VhbGVk" in each.text or "b3RoZXI=" in each.text for each in answers)
    assert answers[1].json()["config"] == {}


async def test_enable_disable_and_delete(api: Served) -> None:
    await api.http.post(UP, json=NEW)
    assert (await api.http.post(f"{UP}/git/disable")).json()["about"]["enabled"] is False
    enabled = await api.http.post(f"{UP}/git/enable", headers={"if-match": '"2"'})
    assert (enabled.json()["state"], enabled.json()["about"]["owner"]) == ("ready", "ann")
    assert (await api.http.delete(f"{UP}/git", headers={"if-match": '"2"'})).status_code == 412
    assert (await api.http.delete(f"{UP}/git?dry_run=true")).status_code == 200
    assert (await api.http.delete(f"{UP}/git", headers={"if-match": '"3"'})).json()["name"] == "git"
    gone = await api.http.delete(f"{UP}/git")
    assert gone.status_code == 404


async def test_what_comes_from_the_file_is_shown_and_not_changed(api: Served) -> None:
    shown = await api.http.get(f"{UP}/time")
    assert (shown.json()["origin"], shown.json()["version"]) == ("file", None)
    assert "etag" not in shown.headers
    for answer in (
        await api.put("upstreams/time", {}),
        await api.http.delete(f"{UP}/time"),
        await api.http.post(f"{UP}/time/disable"),
        await api.http.post(UP, json={"name": "time", "config": {}}),
    ):
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:portico:problem:from-file")


async def test_get_answers_304_to_who_knows_it(api: Served) -> None:
    await api.put("upstreams/git", {})
    known = await api.http.get(f"{UP}/git", headers={"if-none-match": '"1"'})
    assert (known.status_code, known.content) == (304, b"")
    assert (await api.http.get(f"{UP}/git", headers={"if-none-match": '"9"'})).status_code == 200
    head = await api.http.head(f"{UP}/git")
    assert (head.status_code, head.content) == (200, b"")


async def test_a_list_comes_in_pages_each_record_once(api: Served) -> None:
    for number in range(7):
        await api.put(f"prompts/p{number}", {})
    names: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    pages = 0
    while True:
        page = (await api.http.get("/api/v1/prompts", params=query)).json()
        assert page["total"] == 7
        pages += 1
        names += [each["name"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        await api.http.delete(f"/api/v1/prompts/{names[-1]}")  # what a cursor stands for may go
        await api.put(f"prompts/{names[-1]}", {})
    assert (names, pages) == ([f"p{number}" for number in range(7)], 3)
    other = await api.http.get("/api/v1/servers", params={"cursor": query["cursor"]})
    assert other.status_code == 400
    assert (await api.http.get("/api/v1/servers?cursor=x")).status_code == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=GIT", ["git"]),
        ("q=vcs", ["git"]),
        ("tag=vcs", ["git"]),
        ("tag=vcs&tag=other", []),
        ("q=ann", ["git"]),
        ("owner=ann", ["git"]),
        ("owner=", ["old", "time"]),
        ("team=core", ["old"]),
        ("visibility=private", ["old"]),
        ("visibility=public&owner=ann", ["git"]),
        ("origin=file", ["time"]),
        ("enabled=false", ["old"]),
        ("state=disabled", ["old"]),
        ("enabled=true&origin=registry", ["git"]),
        ("", ["git", "old", "time"]),
    ],
)
async def test_lists_are_filtered(api: Served, query: str, expected: list[str]) -> None:
    await api.http.post(UP, json=NEW)
    await api.http.post(UP, json={"name": "old", "config": {}, "about": OLD})
    found = (await api.http.get(f"{UP}?{query}")).json()
    assert [each["name"] for each in found["items"]] == expected
    assert found["total"] == len(expected)


async def test_a_value_that_is_none_of_those_there_are_is_told_which_are(api: Served) -> None:
    answer = await api.http.post(UP, json={**NEW, "about": {"visibility": "teem"}})
    assert answer.status_code == 422
    said = "expected one of 'private', 'team', 'public', got 'teem'; did you mean 'team'?"
    assert answer.json()["errors"] == [{"path": "about.visibility", "message": said}]
    answer = await api.http.post("/api/v1/bulk", json={"changes": [{"action": "put", "kind": "upstream"}]})
    assert answer.json()["errors"][0]["path"] == "changes[0].kind"
    assert "did you mean 'upstreams'?" in answer.json()["errors"][0]["message"]
