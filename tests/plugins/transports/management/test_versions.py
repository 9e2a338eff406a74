"""Versions of records, going back to one, and trying prompts out."""

from __future__ import annotations

from typing import Any

import pytest

from portico.api import ConfigError, Json, Refused
from tests.plugins.transports.management.fake import Served, served


async def versions(api: Served, path: str, **query: Any) -> Json:
    answer = await api.http.get(f"/api/v1/{path}/versions", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def rollback(api: Served, path: str, version: Any, status: int = 200, **more: Any) -> Json:
    answer = await api.http.post(f"/api/v1/{path}/rollback", json={"version": version}, **more)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def three(api: Served) -> None:
    for text in ("one", "two", "three"):
        await api.put("prompts/greet", {"template": text})


async def test_every_change_is_a_version_the_newest_first(api: Served) -> None:
    await three(api)
    found = await versions(api, "prompts/greet")
    assert found["next_before"] is None
    assert [(each["version"], each["config"], each["current"]) for each in found["items"]] == [
        (3, {"template": "three"}, True),
        (2, {"template": "two"}, False),
        (1, {"template": "one"}, False),
    ]
    assert [each["changed"] for each in found["items"]] == [["config.template"], ["config.template"], []]
    assert {(each["subject"], each["via"]) for each in found["items"]} == {("alice", "api")}


async def test_versions_come_in_pages(api: Served) -> None:
    await three(api)
    first = await versions(api, "prompts/greet", limit=2)
    rest = await versions(api, "prompts/greet", limit=2, before=first["next_before"])
    assert [each["version"] for each in first["items"] + rest["items"]] == [3, 2, 1]
    assert rest["next_before"] is None
    assert (await versions(api, "prompts/greet", before=1))["items"] == []


async def test_an_old_version_is_written_as_the_newest(api: Served) -> None:
    await three(api)
    await api.http.patch("/api/v1/prompts/greet", json={"about": {"description": "Greets", "enabled": False}})
    made = await rollback(api, "prompts/greet", 1)
    assert (made["version"], made["config"]) == (5, {"template": "one"})
    assert made["about"]["description"] == "Greets"
    assert made["state"] == "disabled"
    assert [each["version"] for each in (await versions(api, "prompts/greet"))["items"]] == [5, 4, 3, 2, 1]


async def test_going_back_can_be_tried_and_made_to_depend_on_the_version_there_is(api: Served) -> None:
    await three(api)
    dry = await rollback(api, "prompts/greet", 1, params={"dry_run": "true"})
    assert dry["config"] == {"template": "one"}
    await rollback(api, "prompts/greet", 1, 412, headers={"if-match": '"2"'})
    assert len((await versions(api, "prompts/greet"))["items"]) == 3
    await rollback(api, "prompts/greet", 1, 200, headers={"if-match": '"3"'})


async def test_what_was_deleted_is_there_again(api: Served) -> None:
    await three(api)
    await api.http.delete("/api/v1/prompts/greet")
    assert [each["current"] for each in (await versions(api, "prompts/greet"))["items"]] == [False] * 3
    made = await rollback(api, "prompts/greet", 2, 201)
    assert made["config"] == {"template": "two"}
    # What it was before it was created anew is another life.
    assert [each["version"] for each in (await versions(api, "prompts/greet"))["items"]] == [1]


async def test_secrets_in_old_versions_are_not_shown_and_not_lost(api: Served) -> None:
    for url in ("http://one/", "http://two/"):
        await api.put("upstreams/docs", {"url": url, "token": "hush"})
    answer = await api.http.get("/api/v1/upstreams/docs/versions")
    assert "hush" not in answer.text
    assert [each["config"] for each in answer.json()["items"]] == [None, None]
    made = await rollback(api, "upstreams/docs", 1)
    assert made["config"] == {"url": "http://one/", "token": "**********"}
    assert api.management.records["upstreams", "docs"].config["token"] == "hush"


@pytest.mark.parametrize(
    ("path", "version", "status"),
    [
        ("prompts/greet", 9, 422),
        ("prompts/greet", 0, 422),
        ("prompts/greet", "1", 422),
        ("prompts/nobody", 1, 404),
        ("upstreams/time", 1, 409),
        ("secrets/key", 1, 404),
    ],
)
async def test_what_cannot_be_gone_back_to_is_refused(
    api: Served, path: str, version: Any, status: int
) -> None:
    await three(api)
    said = await rollback(api, path, version, status)
    assert said["status"] == status
    if version == 9:
        assert said["errors"] == [{"path": "version", "message": "there is no version 9; the newest is 3"}]


async def test_there_are_no_versions_of_what_there_never_was(api: Served) -> None:
    for path, status in (("prompts/nobody", 404), ("upstreams/time", 409), ("secrets/key", 404)):
        assert (await api.http.get(f"/api/v1/{path}/versions")).status_code == status


class Renders:
    """What `render` was asked for, and its answer."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def __call__(self, name: str, arguments: Json, config: Json | None = None) -> Json:
        self.asked.append((name, arguments, config))
        if "wrong" in arguments:
            raise Refused(-32602, "Invalid params: no")
        if config == {}:
            raise ConfigError([("prompts.greet", "expected either `template` or `messages`")])
        return {"messages": [{"role": "user", "content": {"type": "text", "text": "Hello"}}]}


async def test_a_prompt_is_tried_out() -> None:
    async with served() as api:
        renders = Renders()
        api.management.render = renders  # type: ignore[attr-defined]

        async def tried(name: str, status: int = 200, **body: Any) -> Json:
            answer = await api.http.post(f"/api/v1/prompts/{name}/render", json=body)
            assert answer.status_code == status, answer.text
            return dict(answer.json())

        await tried("greet", 404)
        await api.put("prompts/greet", {"template": "Hello"})
        assert (await tried("greet", arguments={"who": "Ada"}))["messages"][0]["content"]["text"] == "Hello"
        assert (await tried("new", config={"template": "x"}))["description"] == ""
        assert renders.asked == [("greet", {"who": "Ada"}, None), ("new", {}, {"template": "x"})]
        said = await tried("greet", 422, arguments={"wrong": ""})
        assert said["errors"] == [{"path": "arguments", "message": "Invalid params: no"}]
        assert (await tried("greet", 422, config={}))["errors"][0]["path"] == "prompts.greet"
        await tried("greet", 422, arguments={"who": 1})
        await tried("greet", 422, argumens={})
