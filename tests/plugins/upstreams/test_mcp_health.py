"""Probing a server: what it is asked, what its answers mean, and that nothing else is disturbed."""

from __future__ import annotations

import asyncio

import pytest
from starlette.responses import Response

from portico.api import Json, Principal, Probed, Refused, State
from tests.plugins.upstreams.kit import call, running, serving, text
from tests.plugins.upstreams.scripted import Scripted, Seen, error, result


@pytest.mark.parametrize(("era", "method"), [("modern", "server/discover"), ("legacy", "ping")])
async def test_a_probe_is_its_eras_handshake_or_a_ping_in_an_open_session(era: str, method: str) -> None:
    app = Scripted(era)
    async with serving(app) as origin, running(url=origin) as up:
        assert isinstance(up.upstream, Probed)
        before = len(app.of(method))
        for _ in range(3):
            await up.upstream.probe()
        asked = app.of(method)[before:]
        assert len(asked) == 3
        sessions = {seen.headers.get("mcp-session-id") for seen in asked}
        assert sessions == ({None} if era == "modern" else {"s1"})
    assert len(app.of("initialize")) == (era == "legacy")


class Whose:
    """A credential that says whom it was asked for."""

    def __init__(self) -> None:
        self.principals: list[Principal] = []

    async def headers(self, principal: Principal, upstream: str) -> dict[str, str]:
        self.principals.append(principal)
        return {"Authorization": f"Bearer {principal.subject}"}


async def test_a_probe_is_the_gateways_own_and_never_a_clients() -> None:
    app, whose = Scripted(), Whose()
    async with (
        serving(app) as origin,
        running(whose, url=origin, credential="whose", pass_upstream_authorization=True) as up,
    ):
        await up.send(call("t", headers={"x-upstream-authorization": "Bearer alices"}))
        await up.upstream.probe()
        shown = app.seen[-1].headers["authorization"]
    assert shown == f"Bearer {whose.principals[0].subject}"
    assert "alice" not in shown


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_server_that_refuses_the_probe_is_there(era: str) -> None:
    app = Scripted(era)

    async def strict(seen: Seen) -> Response:
        return error(seen, -32600, "not in this way", status=400)

    async with serving(app) as origin, running(url=origin, protocol=era) as up:
        app.on["ping"] = strict
        await up.upstream.probe()
        assert up.upstream.state is State.READY


async def test_a_server_without_discovery_is_not_taken_for_another_at_every_probe() -> None:
    app = Scripted()

    async def unknown(seen: Seen) -> Response:
        return error(seen, -32600, "what?", status=400)

    app.on["server/discover"] = unknown
    async with serving(app) as origin, running(url=origin) as up:
        for _ in range(3):
            await up.upstream.probe()
        assert (len(app.of("tools/list")), up.upstream.state) == (1, State.READY)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, 50200, "upstream_unauthorized"),
        (403, 50200, "upstream_unauthorized"),
        (500, 50200, "http_500"),
        (503, 50300, "http_503"),
    ],
)
async def test_what_answers_badly_is_there_and_what_says_it_is_not_is_not(
    status: int, code: int, reason: str
) -> None:
    app = Scripted()
    async with serving(app) as origin, running(url=origin) as up:

        async def no(_: Seen) -> Response:
            return Response(status_code=status)

        app.on["server/discover"] = no
        with pytest.raises(Refused) as caught:
            await up.upstream.probe()
        assert (caught.value.code, caught.value.data["gateway"]["reason"]) == (code, reason)
        assert up.upstream.state is State.READY  # one probe decides nothing


async def test_a_server_that_has_gone_is_not_reached() -> None:
    async with serving(Scripted()) as origin:
        context = running(url=origin)
        up = await context.__aenter__()
    try:
        with pytest.raises(Refused) as caught:
            await up.upstream.probe()
        assert caught.value.code == 50300
    finally:
        await context.__aexit__(None, None, None)


async def test_a_server_that_does_not_answer_is_slow_and_keeps_its_calls() -> None:
    app = Scripted("legacy")
    begun, held = asyncio.Event(), asyncio.Event()

    async def never(_: Seen) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def slow(seen: Seen) -> Response:
        begun.set()
        await held.wait()
        return result(seen, {"content": [{"type": "text", "text": "at last"}]})

    app.on["tools/call"] = slow
    async with serving(app) as origin, running(url=origin, connect_timeout=1.0) as up:
        app.on["ping"] = never
        calling = asyncio.create_task(up.send(call("t")))
        await begun.wait()
        with pytest.raises(Refused) as caught:
            await up.upstream.probe()
        assert (caught.value.code, caught.value.data["gateway"]["reason"]) == (50400, "probe_timeout")
        held.set()
        assert text(await calling) == "at last"


async def test_a_server_that_is_busy_with_a_call_in_the_same_session_is_not_slow() -> None:
    app = Scripted("legacy")
    begun, held = asyncio.Event(), asyncio.Event()

    async def never(_: Seen) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def slow(seen: Seen) -> Response:
        begun.set()
        await held.wait()
        return result(seen, {"content": [{"type": "text", "text": "at last"}]})

    app.on["tools/call"] = slow
    config: Json = {"connect_timeout": 1.0, "shared": True}
    async with serving(app) as origin, running(url=origin, **config) as up:
        app.on["ping"] = never
        everything = app.of("initialize")[0].params["capabilities"]
        calling = asyncio.create_task(up.send(call("t", capabilities=everything)))
        await begun.wait()
        await up.upstream.probe()
        held.set()
        assert text(await calling) == "at last"
    assert len(app.of("initialize")) == 1


async def test_a_session_that_the_server_has_forgotten_is_renewed_and_counts_as_an_answer() -> None:
    app = Scripted("legacy")
    async with serving(app) as origin, running(url=origin) as up:
        app.sessions.clear()
        await up.upstream.probe()
        await app.until(lambda: len(app.of("initialize")) == 2)
    assert "upstream_degraded" not in up.log.events()


async def test_the_probe_finds_that_a_server_of_the_other_era_has_taken_the_place() -> None:
    app = Scripted()
    async with serving(app) as origin, running(url=origin) as up:
        app.era = "legacy"
        await up.upstream.probe()
        await app.until(lambda: app.of("initialize"))
        await up.wiring.until(lambda: "legacy" in up.upstream.offer.eras)


async def test_lists_are_asked_for_in_time_by_one_worker_only() -> None:
    app = Scripted()
    async with serving(app) as origin, running(url=origin, refresh_seconds=0.02) as up:
        await app.until(lambda: len(app.of("tools/list")) >= 3)
        up.wiring.mine = False
        seen = len(app.of("tools/list"))
        with pytest.raises(TimeoutError):
            await app.until(lambda: len(app.of("tools/list")) > seen + 1, 0.3)
        await up.upstream.refresh()  # as it is told that they have changed
        before = len(app.of("tools/list"))
        await app.until(lambda: len(app.of("tools/list")) >= before)
