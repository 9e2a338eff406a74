"""What upstreams offered last: kept on disk, listed by a gateway that starts while they are away."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from starlette.responses import JSONResponse

from portico._config.components import Component
from portico._host.known import Known
from portico.api import Era, Factory, Offer, Refused, Secret, State
from portico.testing import RecordingLog, RunningGateway, running_gateway
from tests.kernel import kept
from tests.kernel.roundsmen import Timers, Up, Worker
from tests.kernel.roundsmen import component as named
from tests.plugins.upstreams.kit import serving
from tests.plugins.upstreams.scripted import Scripted

OFFER = Offer(
    tools=({"name": "t", "inputSchema": {"type": "object"}, "n": 2**70},),
    resources=({"uri": "a:b", "name": "r"},),
    templates=({"uriTemplate": "a:{b}"},),
    prompts=({"name": "p"},),
    capabilities={"tools": {"listChanged": True}},
    instructions="Be kind.",
    eras=frozenset({Era.MODERN, Era.LEGACY}),
    info={"name": "server"},
    ttl_ms=5,
    public=True,
)


@attrs.frozen
class Config:
    url: str = "http://x"
    key: Secret = attrs.field(factory=lambda: Secret(""))


@attrs.frozen
class Several:
    keys: tuple[Secret, ...] = ()


def component(name: str = "a", use: str = "mcp", config: Config | Several | None = None) -> Component:
    factory = Factory("mcp", "x", Config, None)  # type: ignore[arg-type]
    return Component("upstreams", name, use, config or Config(key=Secret("hidden")), factory, "p")


def known(folder: Path) -> Known:
    return Known(folder / "deep" / "offers", RecordingLog())


def test_what_was_offered_is_read_as_it_was_by_its_owner_only(tmp_path: Path) -> None:
    known(tmp_path).keep(component(), OFFER)
    assert known(tmp_path).read(component()) == OFFER
    (path,) = (tmp_path / "deep" / "offers").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"hidden" not in path.read_bytes()


def test_it_is_no_other_upstreams_that_has_its_name(tmp_path: Path) -> None:
    known(tmp_path).keep(component(), OFFER)
    for other in (
        component("b"),
        component(use="rest"),
        component(config=Config(url="http://y")),
    ):
        assert known(tmp_path).read(other) is None
    assert known(tmp_path).read(component(config=Config(key=Secret("rolled")))) == OFFER


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    known(tmp_path).keep(component(), OFFER)
    (path,) = (tmp_path / "deep" / "offers").iterdir()
    before = path.stat().st_ino
    known(tmp_path).keep(component(), OFFER)
    assert path.stat().st_ino == before
    changed = attrs.evolve(OFFER, tools=())
    known(tmp_path).keep(component(), changed)
    assert known(tmp_path).read(component()) == changed


def test_an_offer_too_large_to_keep_is_not_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(tmp_path).keep(component(), OFFER)
    monkeypatch.setattr("portico._host.known._MOST", 100)
    known(tmp_path).keep(component(), attrs.evolve(OFFER, instructions="x" * 200))
    assert known(tmp_path).read(component()) is None


@pytest.mark.parametrize("cut", [0, 10, 60, 200, 400])
def test_a_damaged_file_is_none(tmp_path: Path, cut: int) -> None:
    known(tmp_path).keep(component(), OFFER)
    (path,) = (tmp_path / "deep" / "offers").iterdir()
    path.write_bytes(path.read_bytes()[:cut])
    assert known(tmp_path).read(component()) is None


@pytest.mark.parametrize("tools", [b"3", b"[3]", b"null", b"[[]]"])
def test_a_file_of_something_else_is_none(tmp_path: Path, tools: bytes) -> None:
    known(tmp_path).keep(component(), Offer())
    (path,) = (tmp_path / "deep" / "offers").iterdir()
    path.write_bytes(path.read_bytes().replace(b'"tools":[]', b'"tools":' + tools))
    assert known(tmp_path).read(component()) is None


async def test_a_folder_that_cannot_be_written_is_reported_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = RecordingLog()
    it = Known(tmp_path / "file" / "offers", log)
    it.keep_soon(component(), OFFER)
    await it.close()
    assert log.events == ["upstream.not_kept"]


def test_the_next_secret_beside_the_current_one_makes_no_other_upstream(tmp_path: Path) -> None:
    before = component(config=Several(keys=(Secret("one"),)))
    known(tmp_path).keep(before, OFFER)
    assert known(tmp_path).read(component(config=Several(keys=(Secret("two"), Secret("one"))))) == OFFER
    assert known(tmp_path).read(component(config=Several(keys=()))) is None


def test_what_does_not_outlive_the_gateway_is_of_visitors_only(tmp_path: Path) -> None:
    class Visiting(Up):
        visits = True

    passing = Known(tmp_path / "offers", RecordingLog(), lasting=False)
    assert passing.keeps(Visiting())
    assert not passing.keeps(Up())
    assert known(tmp_path).keeps(Up())


async def test_a_worker_awaits_a_visitor_it_knows_of_for_a_while() -> None:
    class Visiting(Up):
        visits = True

    class Remembering:
        def keeps(self, upstream: object) -> bool:
            return True

        def read(self, component: Component) -> Offer:
            return OFFER

        def keep_soon(self, component: Component, offer: Offer) -> None:
            pass

    timers = Timers()
    worker = Worker(timers, known=Remembering())
    for name, upstream in (("here", Visiting()), ("other", Up()), ("a", Visiting())):
        upstream.state = State.READY if name == "here" else State.UNAVAILABLE
        worker.add(name, upstream)
        assert worker.rounds.awaiting() is (name == "a")
    await timers.on(31.0)
    assert not worker.rounds.awaiting()
    worker.rounds.take_up(named("a"))
    assert worker.rounds.awaiting()
    worker.says("a", State.READY)
    assert not worker.rounds.awaiting()


# --- in a gateway ----------------------------------------------------------------------------------


def config(url: str, state: Path, more: Sequence[str] = ()) -> str:
    lines = ["[gateway]", f"state = '{state}'", "[upstreams.a]", "use = 'mcp'", f"url = '{url}/mcp'"]
    return "\n".join([*lines, "start_grace = 1.0", *more])


async def boot(url: str, folder: Path) -> list[str]:
    async with running_gateway(config(url, folder / "state"), base=folder) as gw:
        return await gw.names()


async def refused(gw: RunningGateway) -> Refused:
    with pytest.raises(Refused) as caught:
        await gw.call("t")
    return caught.value


async def test_a_gateway_that_starts_while_an_upstream_is_away_lists_what_it_offered(
    tmp_path: Path,
) -> None:
    app = Scripted()
    async with serving(app) as url:
        port = int(url.rpartition(":")[2])
        assert await boot(url, tmp_path) == ["t"]
    async with running_gateway(config(url, tmp_path / "state"), base=tmp_path) as gw:
        assert await gw.names() == ["t"]
        status = gw.gateway.plane.status()["a"]
        assert (status["state"], status["reason"], status["tools"]) == (
            "unavailable",
            "connection_refused",
            1,
        )
        refusal = await refused(gw)
        assert (refusal.code, refusal.data["gateway"]["reason"]) == (50300, "connection_refused")
        # It comes back with something else, and what was known is no more.
        app.tools = [{"name": "other", "inputSchema": {"type": "object"}}]
        async with serving(app, port):
            async with asyncio.timeout(30):
                while await gw.names() == ["t"]:  # the list is made anew after the upstream is ready
                    await asyncio.sleep(0)
            assert await gw.names() == ["other"]
    assert "catalog.conflict" not in gw.log.events


async def test_what_a_rest_upstream_offered_is_listed_while_its_document_is_away(tmp_path: Path) -> None:
    async def document(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            answer = JSONResponse({"openapi": "3.1.0", "paths": {"/t": {"get": {"operationId": "t"}}}})
            await answer(scope, receive, send)

    def rest(url: str) -> str:
        lines = ["[gateway]", f"state = '{tmp_path}/state'", "[upstreams.a]", "use = 'rest'"]
        return "\n".join([*lines, f"openapi = '{url}/openapi.json'"])

    async with serving(document) as url, running_gateway(rest(url), base=tmp_path) as gw:
        assert await gw.names() == ["t"]
    async with running_gateway(rest(url), base=tmp_path) as gw:
        assert await gw.names() == ["t"]
        assert (await refused(gw)).data["gateway"]["reason"] == "no_document"


async def test_another_server_of_the_same_name_has_nothing_to_list(tmp_path: Path) -> None:
    async with serving(Scripted()) as url:
        assert await boot(url, tmp_path) == ["t"]
    assert await boot("http://127.0.0.1:9", tmp_path) == []


async def test_without_a_registry_or_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    async with serving(Scripted()) as url:
        text = f"[upstreams.a]\nuse = 'mcp'\nurl = '{url}/mcp'\n"
        async with running_gateway(text, base=tmp_path) as gw:
            assert await gw.names() == ["t"]
    assert list(tmp_path.iterdir()) == []


async def test_with_a_registry_it_is_kept_beside_the_records_until_the_upstream_is_deleted(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from portico.api import Author, Change

    text = f"[registries.main]\nuse = 'kept'\nshelf = '{request.node.name}'\n"
    offers = tmp_path / ".portico" / "offers"
    who = Author("alice", "api")
    async with serving(Scripted()) as url:
        async with running_gateway(text, plugins=[kept], base=tmp_path) as gw:
            management = gw.gateway.management
            assert management is not None
            change = Change("upstreams", "a", {"use": "mcp", "url": f"{url}/mcp"})
            await management.change([change], who)
            assert await gw.names() == ["t"]
        assert [path.name for path in offers.iterdir()] == ["a.json"]
    async with running_gateway(text, plugins=[kept], base=tmp_path) as gw:
        management = gw.gateway.management
        assert management is not None
        assert await gw.names() == ["t"]
        (found,) = management.all("upstreams")
        assert found.state == "unavailable"
        assert found.since > 0
        assert [tool["name"] for tool in management.offers()["a"].tools] == ["t"]
        await management.change([Change("upstreams", "a", None)], who)
        assert await gw.names() == []
    assert list(offers.iterdir()) == []
