"""Legacy sessions over HTTP: the handshake, the session header, DELETE, expiry, and whose session it is."""

from __future__ import annotations

import pytest

from portico.api import LATEST_LEGACY, LEGACY_VERSIONS, Json
from tests.plugins.transports.kit import ALICE, BOB, TOKENS, error_of, happened
from tests.plugins.transports.web import BASE, Legacy, Web, frame, gateway

# --- the handshake --------------------------------------------------------------------------------


@pytest.mark.parametrize("version", LEGACY_VERSIONS)
async def test_each_legacy_revision_is_spoken(web: Web, version: str) -> None:
    session = await web.session(version)
    assert session.result["protocolVersion"] == version
    assert session.result["serverInfo"]["name"] == "portico"
    assert (await session.call("echo", {"a": 1}).json())["result"]["structuredContent"] == {"a": 1}


@pytest.mark.parametrize("asked", ["1999-01-01", "2099-01-01", "2026-07-28", ""])
async def test_another_revision_is_answered_with_our_latest_legacy_one(web: Web, asked: str) -> None:
    assert (await web.session(asked)).result["protocolVersion"] == LATEST_LEGACY


async def test_session_ids_are_long_unguessable_and_visible_ascii(web: Web) -> None:
    ids = {(await web.session()).id for _ in range(10)}
    assert len(ids) == 10
    for ident in ids:
        assert len(ident) >= 32
        assert all(0x21 <= ord(c) <= 0x7E for c in ident)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"protocolVersion": LATEST_LEGACY},
        {"protocolVersion": 20251125, "capabilities": {}},
        {"protocolVersion": LATEST_LEGACY, "capabilities": []},
    ],
)
async def test_a_handshake_without_the_essentials_opens_no_session(web: Web, params: Json) -> None:
    answer = web.open("POST", BASE, frame(1, "initialize", params))
    assert (await answer.json())["error"]["code"] == -32602
    assert "mcp-session-id" not in answer.headers
    assert len(web.sessions) == 0


async def test_a_client_cannot_choose_its_session_id(web: Web) -> None:
    params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}}
    answer = web.open("POST", {**BASE, "mcp-session-id": "chosen"}, frame(1, "initialize", params))
    assert (await error_of(answer))[0] == 404
    assert len(web.sessions) == 0


async def test_a_session_is_initialized_once(web: Web) -> None:
    session = await web.session()
    again = session.request("initialize", {"protocolVersion": "2025-03-26", "capabilities": {}})
    assert (await again.json())["error"]["code"] == -32600
    assert "mcp-session-id" not in again.headers
    assert "result" in await session.request("ping").json()


# --- the session header ---------------------------------------------------------------------------


async def test_a_request_without_a_session_is_a_bad_request(web: Web) -> None:
    answer = web.open("POST", BASE, frame(1, "tools/list", {}))
    assert (await error_of(answer))[0] == 400


@pytest.mark.parametrize("ident", ["", "nope", "A" * 200])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_an_unknown_session_is_not_found(web: Web, method: str, ident: str) -> None:
    headers = {**BASE, "mcp-session-id": ident}
    answer = web.open(method, headers, frame(1, "ping", {}) if method == "POST" else b"")
    assert await answer.head() == 404


async def test_after_delete_the_session_is_not_found(web: Web) -> None:
    session = await web.session()
    ended = session.delete()
    assert (await ended.head(), await ended.body()) == (204, b"")
    for answer in (session.request("ping"), session.get(), session.delete()):
        assert await answer.head() == 404
    assert len(web.sessions) == 0


async def test_delete_ends_what_is_under_way(web: Web) -> None:
    session = await web.session()
    listening, calling = session.get(), session.call("hang")
    await happened(web.upstream.begun)
    assert await listening.head() == 200
    assert await session.delete().head() == 204
    await listening.over()
    await calling.over()
    await happened(web.upstream.cancelled)
    assert not web.gateway.plane.load.calls


@pytest.mark.parametrize("version", ["1.0", "garbage", "2024-13-01"])
async def test_a_version_header_that_is_none_is_a_bad_request(web: Web, version: str) -> None:
    session = await web.session()
    session.headers["mcp-protocol-version"] = version
    for answer in (session.request("ping"), session.get(), session.delete()):
        assert await answer.head() in (400, 405)
    session.headers["mcp-protocol-version"] = LATEST_LEGACY
    assert "result" in await session.request("ping").json()


async def test_a_session_belongs_to_its_principal_and_looks_unknown_to_others() -> None:
    async with gateway(auth=TOKENS) as web:
        alice = await web.session(headers=ALICE)
        stolen = Legacy(web, alice.id, LATEST_LEGACY, BOB, {})
        unknown = Legacy(web, "unknown", LATEST_LEGACY, BOB, {})
        for steal, guess in (
            (stolen.request("tools/list"), unknown.request("tools/list")),
            (stolen.call("echo"), unknown.call("echo")),
            (stolen.post([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]), unknown.post([])),
            (stolen.get(), unknown.get()),
            (stolen.get("1-1"), unknown.get("1-1")),
            (stolen.delete(), unknown.delete()),
        ):
            assert (await steal.head(), await steal.body()) == (404, await guess.body())
            assert steal.headers == guess.headers
        assert not web.upstream.calls
        assert "result" in await alice.request("ping").json()


async def test_a_session_needs_its_token_on_every_request() -> None:
    async with gateway(auth=TOKENS) as web:
        alice = await web.session(headers=ALICE)
        for token in (None, "Bearer wrong-0123456789abcdef"):
            headers = {k: v for k, v in alice.headers.items() if k != "authorization"}
            if token:
                headers["authorization"] = token
            answer = web.open("POST", headers, frame(1, "ping", {}))
            assert await answer.head() == 401


# --- how many, how long ---------------------------------------------------------------------------


async def test_sessions_beyond_the_cap_are_told_to_come_back() -> None:
    async with gateway("max_sessions = 2") as web:
        first, _ = await web.session(), await web.session()
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}}
        third = web.open("POST", BASE, frame(1, "initialize", params))
        assert await error_of(third) == (503, 50302)
        assert third.headers["retry-after"] == "1"
        assert await first.delete().head() == 204
        await web.session()


async def test_an_idle_session_ends_and_a_busy_one_stays(web: Web) -> None:
    idle, listens, calls, posts = [await web.session() for _ in range(4)]
    listening = listens.get()
    assert await listening.head() == 200
    calling = calls.call("gate")
    await happened(web.upstream.begun)
    for each in web.sessions._sessions.values():
        each.session.last_seen -= 3600
    assert "result" in await posts.request("ping").json()
    web.sessions.sweep()
    assert await idle.request("ping").head() == 404
    for session in (listens, calls, posts):
        assert "result" in await session.request("ping").json()
    web.upstream.gate.set()
    await calling.over()


async def test_a_session_is_not_idle_the_moment_its_stream_has_ended(web: Web) -> None:
    session = await web.session()
    stream = session.get()
    assert await stream.head() == 200
    for each in web.sessions._sessions.values():
        each.session.last_seen -= 3600
    await stream.gone()
    web.sessions.sweep()
    assert "result" in await session.request("ping").json()


async def test_an_ended_session_leaves_nothing_behind(web: Web) -> None:
    session = await web.session()
    assert "result" in await session.request("resources/subscribe", {"uri": "test://one"}).json()
    assert await session.delete().head() == 204
    endpoint = web.gateway.plane.endpoints["default"]
    assert not list(endpoint.sessions)
    assert not endpoint.hub._subscriptions["default"]
