"""Requests that are wrong, callers who may not, keys sent twice, and a registry that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from portico.api import ConfigError, Outcome
from portico.testing import check_plugin, running_gateway
from portico_plugins.transports import management_api
from tests.plugins.transports.management.fake import ALICE, FakeManagement, Served, served

UP = "/api/v1/upstreams"
NEW = {"name": "git", "config": {"url": "https://git.example/mcp"}}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("upstreams?limt=3", "did you mean 'limit'?"),
        ("upstreams?limit=0", "from 1 to 1000"),
        ("upstreams?limit=%D9%A3", "from 1 to 1000"),
        ("upstreams?enabled=yes", "true or false"),
        ("upstreams?origin=disk", "one of file, registry"),
        ("upstreams?limit=1&limit=2", "stands more than once"),
        ("upstreams?q=%FF", "well-formed"),
        ("status?dry_run=true", "unknown query parameter 'dry_run'"),
    ],
)
async def test_a_wrong_query_is_named(api: Served, path: str, expected: str) -> None:
    answer = await api.http.get(f"/api/v1/{path}")
    assert answer.status_code == 400
    assert expected in answer.text


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({**NEW, "confg": {}}, "confg", "did you mean 'config'?"),
        ({**NEW, "about": {"tag": []}}, "about.tag", "did you mean 'tags'?"),
        ({**NEW, "about": {"tags": "a"}}, "about.tags", "expected `array`, got `str`"),
        ({"name": "git"}, "", "missing required field `config`"),
        ({**NEW, "name": ""}, "name", "length >= 1"),
        ({**NEW, "config": {"wrong": 1}}, "upstreams.git.wrong", "expected it to be right"),
        ([], "", "expected `object`"),
    ],
)
async def test_a_wrong_body_is_named(api: Served, body: Any, path: str, message: str) -> None:
    answer = await api.http.post(UP, json=body)
    assert answer.status_code == 422
    ((wrong),) = answer.json()["errors"]
    assert wrong["path"] == path
    assert message in wrong["message"]
    assert api.management.records == {}


async def test_a_record_is_not_renamed(api: Served) -> None:
    await api.put("upstreams/git", {})
    put = await api.http.put(f"{UP}/git", json={"name": "other", "config": {}})
    patch = await api.http.patch(f"{UP}/git", json={"name": "other"})
    assert (put.status_code, patch.status_code) == (422, 422)


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"name":"\\ud800","config":{}}', "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "application/json; charset=latin-1", 415),
        (b"{}", "", 415),
        (b" " * 5000, "application/json", 413),
    ],
)
async def test_a_body_is_json_and_not_too_large(content: bytes, media: str, status: int) -> None:
    async with served(max_body=4096 if status == 413 else 1 << 20) as api:
        answer = await api.http.post(UP, content=content, headers={"content-type": media} if media else {})
    assert answer.status_code == status


async def test_what_is_not_there_and_what_is_not_allowed(api: Served) -> None:
    gone = await api.http.get("/api/v1/upstrems")
    assert (gone.status_code, "did you mean 'upstreams'?" in gone.json()["detail"]) == (404, True)
    near = await api.http.get(f"{UP}/tim")
    assert "did you mean 'time'?" in near.json()["detail"]
    wrong = await api.http.delete(UP)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, POST")
    assert (await api.http.get("/api/v1/upstreams/")).status_code == 404


async def test_an_error_that_nobody_expected_is_a_problem_without_details() -> None:
    class Broken(FakeManagement):
        def get(self, kind: str, name: str) -> Any:
            raise KeyError("postgresql://me:pw@db")

    async with served(management=Broken()) as api:
        answer = await api.http.get(f"{UP}/time")
    assert (answer.status_code, "pw@db" in answer.text) == (500, False)
    assert "api.fault" in api.log.events


# --- who may ------------------------------------------------------------------------------------------


async def test_without_a_credential_nothing_is_told(api: Served) -> None:
    for headers in ({"authorization": ""}, {"authorization": "Bearer wrong-0123456789abcdef"}):
        for path in (UP, "/api/v1/nothing"):
            answer = await api.http.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_scope_is_asked_for() -> None:
    async with served(auth=("scoped",), scope="manage") as api:
        without = await api.http.get(UP, headers={"authorization": "Bearer read"})
        having = await api.http.get(UP, headers={"authorization": "Bearer read,manage"})
    assert (without.status_code, having.status_code) == (403, 200)
    assert 'scope="manage"' in without.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {"origin": "http://localhost"}, 200),
        ("192.0.2.1", {}, 403),
        ("", {}, 403),
        ("127.0.0.1", {"origin": "http://localhost:3000"}, 403),
        ("127.0.0.1", {"origin": "null"}, 403),
        ("127.0.0.1", {"sec-fetch-site": "cross-site"}, 403),
    ],
)
async def test_without_schemes_only_this_machine_is_served(
    peer: str, headers: dict[str, str], status: int
) -> None:
    async with served(auth=(), peer=peer) as api:
        assert (await api.http.get(UP, headers=headers)).status_code == status


TOKENS = '[auth.people]\nuse = "token"\ntokens = { alice = "alice-0123456789abcdef" }\n'
API = "[transports.streamable_http]\n[transports.api]\nuse = 'management_api'\n"


async def test_it_is_not_left_open_beside_servers_that_are_closed() -> None:
    with pytest.raises(ConfigError) as caught:
        async with running_gateway(TOKENS + API, plugins=(management_api,)):
            pass
    assert [path for path, _ in caught.value.problems] == ["transports.api.auth"]
    async with running_gateway(TOKENS + API + 'auth = ["people"]\n', plugins=(management_api,)) as running:
        import httpx2

        transport = httpx2.ASGITransport(app=running.gateway.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            refused = await http.get(UP)
            await http.get("/docs")
            unmanaged = await http.put(f"{UP}/a%2Fb", json={"config": {}}, headers=ALICE)
    assert refused.status_code == 401
    assert unmanaged.status_code == 501
    assert "[registries.main]" in unmanaged.json()["detail"]


async def test_a_via_that_is_none_is_refused(api: Served) -> None:
    assert (await api.http.get(UP, headers={"portico-via": "gateway"})).status_code == 400


# --- a registry that is away, others who write ---------------------------------------------------------


async def test_while_the_registry_is_away_reading_goes_on(api: Served) -> None:
    await api.put("upstreams/git", {})
    api.management.down = "no route to postgresql://db"
    answer = await api.put("upstreams/git", {})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "postgresql" not in answer.text
    assert (await api.http.get(f"{UP}/git")).status_code == 200


async def test_who_lost_a_race_without_naming_a_version_is_told_to_try_again(api: Served) -> None:
    await api.put("upstreams/git", {})
    before = api.management.get("upstreams", "git")
    await api.put("upstreams/git", {"a": 1})
    api.management.get = lambda kind, name: before  # type: ignore[method-assign] # what this process knows is old
    answer = await api.http.patch(f"{UP}/git", json={"config": {"b": 1}})
    assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
    assert api.management.records["upstreams", "git"].config == {"a": 1}


# --- idempotency keys ------------------------------------------------------------------------------------


async def test_a_create_sent_twice_with_a_key_is_carried_out_once(api: Served) -> None:
    headers = {"idempotency-key": "k1"}
    first = await api.http.post(UP, json=NEW, headers=headers)
    again = await api.http.post(UP, json=NEW, headers=headers)
    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    assert again.headers["idempotency-replayed"] == "true"
    other = await api.http.post(UP, json={**NEW, "name": "other"}, headers=headers)
    assert (other.status_code, len(api.management.records)) == (422, 1)


async def test_a_key_is_forgotten_after_its_time(api: Served) -> None:
    await api.http.post(UP, json=NEW, headers={"idempotency-key": "k1"})
    api.clock.advance(3601)
    assert (await api.http.post(UP, json=NEW, headers={"idempotency-key": "k1"})).status_code == 409


@pytest.fixture
async def two() -> AsyncIterator[tuple[Served, Served]]:
    """Two workers over one registry."""
    management = FakeManagement()
    async with served(management=management) as one, served(management=management) as other:
        yield one, other


KEY = {"idempotency-key": "k1"}


async def test_a_create_sent_again_to_another_worker_is_carried_out_once(two: tuple[Served, Served]) -> None:
    one, other = two
    first = await one.http.post(UP, json=NEW, headers=KEY)
    again = await other.http.post(UP, json=NEW, headers=KEY)
    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.headers["etag"], again.headers["location"]) == ('"1"', f"{UP}/git")
    assert one.management.revision == 1
    changed = {**NEW, "config": {"url": "https://other"}}
    assert (await other.http.post(UP, json=changed, headers=KEY)).status_code == 422
    assert (await other.http.post(UP, json=NEW, headers={"idempotency-key": "k2"})).status_code == 409
    assert (await other.http.post(UP, json=NEW)).status_code == 409


async def test_a_create_that_lost_a_race_against_itself_is_answered_as_the_winner(
    two: tuple[Served, Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    change = FakeManagement.change

    async def late(self: Any, *args: Any, **options: Any) -> Outcome:
        monkeypatch.setattr(FakeManagement, "change", change)
        assert (await one.http.post(UP, json=NEW, headers=KEY)).status_code == 201
        return await change(self, *args, **options)

    monkeypatch.setattr(FakeManagement, "change", late)
    answer = await other.http.post(UP, json=NEW, headers=KEY)
    assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (201, "true")


async def test_a_create_whose_record_is_deleted_since_makes_none_again(two: tuple[Served, Served]) -> None:
    one, other = two
    await one.http.post(UP, json=NEW, headers=KEY)
    await one.http.delete(f"{UP}/git")
    answer = await other.http.post(UP, json=NEW, headers=KEY)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:portico:problem:gone")


async def test_many_changes_sent_again_to_another_worker_are_made_once(two: tuple[Served, Served]) -> None:
    one, other = two
    await one.put("upstreams/b", {})
    steps = [
        {"action": "create", "kind": "upstreams", "name": "a", "config": {}},
        {"action": "put", "kind": "upstreams", "name": "b", "config": {"x": 1}},
    ]
    for mode in ("all", "each"):
        body = {"changes": steps, "mode": mode}
        key = {"idempotency-key": mode}
        first = await one.http.post("/api/v1/bulk", json=body, headers=key)
        await one.put("upstreams/b", {"x": 2})  # what somebody made of it since stays
        again = await other.http.post("/api/v1/bulk", json=body, headers=key)
        assert [each["status"] for each in again.json()["results"]] == [201, 200]
        assert (first.json()["failed"], again.json()["failed"]) == (0, 0)
        assert again.headers["idempotency-replayed"] == "true"
        assert one.management.records["upstreams", "b"].config == {"x": 2}
        await one.http.delete(f"{UP}/a")
        await one.put("upstreams/b", {})


async def test_a_key_is_not_kept_by_what_failed_and_not_shared_with_others(api: Served) -> None:
    headers = {"idempotency-key": "k1"}
    assert (await api.http.post(UP, json={**NEW, "config": {"wrong": 1}}, headers=headers)).status_code == 422
    assert (await api.http.post(UP, json=NEW, headers=headers)).status_code == 201
    assert (await api.http.post("/api/v1/servers", json=NEW, headers=headers)).status_code == 201


async def test_a_key_whose_request_is_under_way_is_a_conflict() -> None:
    class Slow(FakeManagement):
        begun, go = asyncio.Event(), asyncio.Event()

        async def change(self, *args: Any, **options: Any) -> Outcome:
            self.begun.set()
            await self.go.wait()
            return await super().change(*args, **options)

    slow = Slow()
    async with served(management=slow) as api:
        headers = {"idempotency-key": "k1"}
        first = asyncio.create_task(api.http.post(UP, json=NEW, headers=headers))
        await asyncio.wait_for(slow.begun.wait(), 30)
        assert (await api.http.post(UP, json=NEW, headers=headers)).status_code == 409
        slow.go.set()
        assert (await first).status_code == 201


async def test_it_keeps_the_contract_of_plugins() -> None:
    await check_plugin(management_api)
