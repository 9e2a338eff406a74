"""Finding out what a server speaks, keeping its offer current, losing it and getting it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.responses import Response

from portico.api import Era, Refused, State
from portico_plugins.upstreams.mcp.config import McpConfig
from tests.plugins.upstreams.kit import ALICE, Client, Running, accept, call, exchange, running, serving, text
from tests.plugins.upstreams.scripted import Scripted, Seen, error, notice, result, stream
from tests.ports import free_port


def names(up: Running) -> list[str]:
    return [tool["name"] for tool in up.upstream.offer.tools]


@pytest.mark.parametrize("kind", ["sdk_http", "sdk_sse"])
async def test_a_server_of_the_sdk_offers_what_it_has(kind: str, request: pytest.FixtureRequest) -> None:
    async with running(url=request.getfixturevalue(kind)) as up:
        offer = up.upstream.offer
        assert names(up)[:4] == ["add", "count", "ask", "roots"]
        assert [resource["uri"] for resource in offer.resources] == ["notes://one"]
        assert [template["uriTemplate"] for template in offer.templates] == ["notes://by/{name}"]
        assert [prompt["name"] for prompt in offer.prompts] == ["greet"]
        assert offer.info["name"] == "sdk"
        assert offer.instructions == "Be brief."
        assert offer.eras == {Era.MODERN if kind == "sdk_http" else Era.LEGACY}
        assert (await up.send(exchange("resources/read", {"uri": "notes://by/x"}))).value["contents"]
        assert (await up.send(exchange("prompts/get", {"name": "greet", "arguments": {"name": "y"}}))).value


@pytest.mark.parametrize("era", list(Era))
@pytest.mark.parametrize("kind", ["sdk_http", "sdk_sse"])
async def test_progress_and_log_messages_come_back(
    kind: str, era: Era, request: pytest.FixtureRequest
) -> None:
    client = Client()
    async with running(url=request.getfixturevalue(kind)) as up:
        await up.send(call("count", {"to": 2}, era, client=client, progress_token="p", log_level="debug"))
    assert [frame[1].get("progress", frame[1].get("data")) for frame in client.frames] == [
        1,
        "at 1",
        2,
        "at 2",
    ]
    assert client.frames[0][1]["progressToken"] == "p"


@pytest.mark.parametrize("kind", ["sdk_http", "sdk_sse"])
async def test_a_legacy_client_is_asked_on_a_legacy_leg(kind: str, request: pytest.FixtureRequest) -> None:
    client = Client(accept)
    async with running(url=request.getfixturevalue(kind)) as up:
        asking = call("ask", {"question": "?"}, Era.LEGACY, client=client, capabilities={"elicitation": {}})
        assert text(await up.send(asking)) == "accept yes"


async def test_a_server_of_both_eras_is_spoken_to_in_the_clients(sdk_http: str) -> None:
    async with running(url=sdk_http) as up:
        assert (await up.send(call("add", {"a": 1, "b": 2}, Era.MODERN))).era is Era.MODERN
        assert up.upstream.offer.eras == {Era.MODERN}
        assert (await up.send(call("add", {"a": 1, "b": 2}, Era.LEGACY))).era is Era.LEGACY
        assert up.upstream.offer.eras == {Era.MODERN, Era.LEGACY}
        assert (await up.send(call("add", {"a": 1, "b": 2}, Era.MODERN))).era is Era.MODERN


@pytest.mark.parametrize(("protocol", "era"), [("legacy", Era.LEGACY), ("modern", Era.MODERN)])
async def test_a_configured_protocol_is_the_only_one_spoken(sdk_http: str, protocol: str, era: Era) -> None:
    async with running(url=sdk_http, protocol=protocol) as up:
        for client_era in Era:
            assert (await up.send(call("add", {"a": 1, "b": 2}, client_era))).era is era


async def test_a_modern_only_server_is_asked_for_a_legacy_leg_once() -> None:
    app = Scripted()
    async with serving(app) as origin, running(url=origin) as up:
        for _ in range(3):
            assert (await up.send(call("t", era=Era.LEGACY))).era is Era.MODERN
    assert len(app.of("initialize")) == 1


async def test_a_legacy_leg_that_failed_in_passing_is_tried_again() -> None:
    app = Scripted()

    async def busy(_: Seen) -> Response:
        return Response(status_code=503)

    app.on["initialize"] = busy
    async with serving(app) as origin, running(url=origin) as up:
        for _ in range(2):
            assert (await up.send(call("t", era=Era.LEGACY))).era is Era.MODERN
    assert len(app.of("initialize")) == 2


def _supported(seen: Seen) -> Response:
    return error(seen, -32022, data={"supported": ["2025-11-25"], "requested": "2026-07-28"}, status=400)


def _legacy_versions(seen: Seen) -> Response:
    return result(seen, {"supportedVersions": ["2025-11-25"], "capabilities": {}})


@pytest.mark.parametrize(
    "answer",
    [
        _supported,
        _legacy_versions,
        lambda s: error(s, -32601),
        lambda s: error(s, -32602, status=400),
        lambda _: Response("<html>", 403 + 3),
        lambda _: Response("<html>", 500),
        lambda _: Response(status_code=202),
        lambda s: result(s, {"odd": 1}),
    ],
)
async def test_whatever_is_no_sign_of_a_modern_server_leads_to_the_handshake(
    answer: Callable[[Seen], Response],
) -> None:
    app = Scripted("legacy")

    async def discover(seen: Seen) -> Response:
        return answer(seen)

    app.on["server/discover"] = discover
    async with serving(app) as origin, running(url=origin) as up:
        assert up.upstream.offer.eras == {Era.LEGACY}
        assert names(up) == ["t"]


async def test_a_modern_server_without_discovery_is_still_a_modern_one() -> None:
    app = Scripted()

    async def unknown(seen: Seen) -> Response:
        return error(seen, -32601, status=404)

    app.on["server/discover"] = unknown
    async with serving(app) as origin, running(url=origin) as up:
        assert up.upstream.offer.eras == {Era.MODERN}
        assert names(up) == ["t"]


async def test_a_server_of_unknown_revisions_is_degraded_and_says_so() -> None:
    app = Scripted()

    async def discover(seen: Seen) -> Response:
        return error(seen, -32022, data={"supported": ["2031-01-01"]}, status=400)

    app.on["server/discover"] = discover
    async with serving(app) as origin, running(url=origin) as up:
        assert (up.upstream.state, up.upstream.reason) == (State.DEGRADED, "unsupported_protocol_version")
    assert not app.of("initialize")


async def test_an_error_page_in_passing_does_not_decide_the_era_for_good() -> None:
    app = Scripted()

    async def blocked(_: Seen) -> Response:
        return Response("<html>blocked</html>", 406)

    app.on |= {"server/discover": blocked, "initialize": blocked, "GET": blocked}
    async with serving(app) as origin, running(url=origin) as up:
        assert up.upstream.state is State.DEGRADED
        app.on.clear()
        await up.until_state(State.READY)
        assert up.upstream.offer.eras == {Era.MODERN}
        assert (await up.send(call("t", era=Era.MODERN))).era is Era.MODERN


async def test_a_server_replaced_by_one_of_the_other_era_is_found_out() -> None:
    app = Scripted()
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t", era=Era.MODERN))
        app.era = "legacy"
        with pytest.raises(Refused):
            await up.send(call("t", era=Era.MODERN))
        await up.wiring.until(lambda: up.upstream.offer.eras == {Era.LEGACY})
        assert (await up.send(call("t", era=Era.MODERN))).era is Era.LEGACY


async def test_an_unreachable_server_is_unavailable_answers_fast_and_comes_back_alone() -> None:
    port = free_port()
    async with running(url=f"http://127.0.0.1:{port}") as up:
        assert (up.upstream.state, up.upstream.reason) == (State.UNAVAILABLE, "connection_refused")
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
        assert caught.value.code == 50300
        assert caught.value.data["gateway"]["retryable"] is True
        async with serving(Scripted(), port):
            await up.until_state(State.READY)
            assert text(await up.send(call("t"))) == "called"


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_server_that_goes_away_keeps_its_offer(era: str) -> None:
    app = Scripted(era)
    async with serving(app) as origin:
        port = int(origin.rpartition(":")[2])
        up_context = running(url=origin)
        up = await up_context.__aenter__()
    try:
        with pytest.raises(Refused):
            await up.send(call("t"))
        await up.until_state(State.UNAVAILABLE)
        assert names(up) == ["t"]
        app.sessions.clear()
        async with serving(app, port):
            await up.until_state(State.READY)
            assert text(await up.send(call("t"))) == "called"
    finally:
        await up_context.__aexit__(None, None, None)


async def test_a_gateway_that_is_not_let_in_says_so_and_answers_its_callers() -> None:
    app = Scripted()

    async def no(_: Seen) -> Response:
        return Response(status_code=401)

    app.on["POST"] = no
    async with serving(app) as origin, running(url=origin) as up:
        assert (up.upstream.state, up.upstream.reason) == (State.DEGRADED, "upstream_unauthorized")
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
        assert caught.value.code == 50300


async def test_every_page_of_every_list_is_asked_for() -> None:
    app = Scripted(capabilities={"tools": {}, "prompts": {}, "resources": {}})
    pages = {None: ("a", ""), "": ("b", "x"), "x": ("c", None)}

    async def listed(seen: Seen) -> Response:
        member = seen.method.partition("/")[0]
        name, cursor = pages[seen.params.get("cursor")]
        page: dict[str, Any] = {member: [{"name": name, "uri": name, "inputSchema": {}, "extra": None}]}
        hints = {"ttlMs": 3000 if name == "b" else 5000, "cacheScope": "public"}
        return result(seen, page | hints | ({"nextCursor": cursor} if cursor is not None else {}))

    app.on |= dict.fromkeys(("tools/list", "prompts/list", "resources/list"), listed)
    async with serving(app) as origin, running(url=origin) as up:
        offer = up.upstream.offer
    for items in (offer.tools, offer.prompts, offer.resources):
        assert [item["name"] for item in items] == ["a", "b", "c"]
        assert "extra" in items[0]
    assert offer.templates == ()  # the server has no such list
    assert (offer.ttl_ms, offer.public) == (0, False)


async def test_a_list_without_end_is_refused() -> None:
    app = Scripted()

    async def listed(seen: Seen) -> Response:
        return result(seen, {"tools": [], "nextCursor": "again"})

    app.on["tools/list"] = listed
    async with serving(app) as origin, running(url=origin) as up:
        assert (up.upstream.state, up.upstream.reason) == (State.DEGRADED, "endless_list")


async def test_a_tool_with_a_bad_header_annotation_or_schema_is_left_out_and_the_others_stay() -> None:
    app = Scripted()

    def tool(name: str, schema: Any) -> dict[str, Any]:
        return {"name": name, "inputSchema": schema}

    bad_header = {"type": "object", "properties": {"x": {"type": "number", "x-mcp-header": "X"}}}
    app.tools = [tool("a", {}), tool("b", bad_header), tool("c", None), {"inputSchema": {}}, tool("d", {})]
    async with serving(app) as origin, running(url=origin) as up:
        assert names(up) == ["a", "d"]
    excluded = [facts["tool"] for _, event, facts in up.log.lines if event == "upstream_tool_excluded"]
    assert excluded == ["b", "c", "None"]


async def test_announced_changes_are_fetched_and_reported_in_the_modern_era() -> None:
    app = Scripted(capabilities={"tools": {"listChanged": True}, "prompts": {"listChanged": False}})
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen(seen: Seen) -> Response:
        async def events() -> AsyncIterator[bytes]:
            meta = {"io.modelcontextprotocol/subscriptionId": seen.id}
            yield notice("notifications/subscriptions/acknowledged", _meta=meta)
            while chunk := await queue.get():
                yield chunk

        return stream(events())

    app.on["subscriptions/listen"] = listen
    async with serving(app) as origin, running(url=origin) as up:
        await app.until(lambda: app.of("subscriptions/listen"))
        app.tools.append({"name": "new", "inputSchema": {}})
        queue.put_nowait(notice("notifications/tools/list_changed"))
        await up.wiring.until(lambda: frozenset({"tools"}) in up.wiring.offers)
        assert names(up) == ["t", "new"]
        queue.put_nowait(notice("notifications/tools/list_changed"))  # even where nothing differs
        await up.wiring.until(lambda: up.wiring.offers.count(frozenset({"tools"})) == 2)
        app.tools.append({"name": "unheard", "inputSchema": {}})
        queue.put_nowait(b"")
        await up.wiring.until(lambda: names(up)[-1] == "unheard")
    assert app.of("subscriptions/listen")[0].params["notifications"] == {"toolsListChanged": True}


async def test_announced_changes_are_fetched_and_reported_in_the_legacy_era() -> None:
    app = Scripted("legacy", {"tools": {"listChanged": True}})
    async with serving(app) as origin, running(url=origin) as up:
        await app.until(lambda: app.gets)
        app.tools.append({"name": "new", "inputSchema": {}})
        app.gets[0].put_nowait(notice("notifications/tools/list_changed"))
        await up.wiring.until(lambda: frozenset({"tools"}) in up.wiring.offers)
        assert names(up) == ["t", "new"]
    assert len(app.of("tools/list")) == 2


async def test_a_server_that_announces_nothing_is_asked_again_and_only_differences_are_reported() -> None:
    app = Scripted()
    async with serving(app) as origin, running(url=origin, refresh_seconds=0.05) as up:
        await app.until(lambda: len(app.of("tools/list")) >= 4)
        assert up.wiring.offers == [frozenset()]
        app.tools.append({"name": "new", "inputSchema": {}})
        await up.wiring.until(lambda: frozenset({"tools"}) in up.wiring.offers)
        assert names(up) == ["t", "new"]


async def test_an_expired_session_of_the_gateways_own_is_renewed_without_a_word() -> None:
    app = Scripted("legacy", {"tools": {"listChanged": True}})
    async with serving(app) as origin, running(url=origin) as up:
        await app.until(lambda: app.gets)
        app.sessions.clear()
        app.gets[0].put_nowait(b"")  # the GET that follows finds the session gone
        await app.until(lambda: len(app.of("initialize")) == 2)
        await app.until(lambda: len(app.gets) == 2)
    assert "upstream_degraded" not in up.log.events()


async def test_http_and_sse_servers_are_found_behind_their_first_refusal(sdk_sse: str) -> None:
    async with running(url=sdk_sse, protocol="legacy") as up:
        assert text(await up.send(call("add", {"a": 1, "b": 2}))) == "3"
    async with running(url=sdk_sse, protocol="sse") as up:
        results = await asyncio.gather(*(up.send(call("add", {"a": n, "b": 0})) for n in range(20)))
        assert [text(got) for got in results] == [str(n) for n in range(20)]


async def test_an_sse_endpoint_of_another_origin_is_refused() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return

        async def events() -> AsyncIterator[bytes]:
            yield b"event: endpoint\ndata: http://evil.example/messages\n\n"
            await asyncio.Event().wait()

        answer = stream(events()) if scope["method"] == "GET" else Response(status_code=405)
        await answer(scope, receive, send)

    async with serving(app) as origin, running(url=origin, protocol="sse") as up:
        assert (up.upstream.state, up.upstream.reason) == (State.DEGRADED, "malformed_message")


async def test_many_callers_with_many_payloads_each_get_their_own_answer(sdk_http: str) -> None:
    async with running(url=sdk_http) as up:
        requests = [
            call("add", {"a": n, "b": 0}, era, principal=ALICE, progress_token=1)
            for n in range(50)
            for era in Era
        ]
        got = await asyncio.gather(*(up.send(request) for request in requests))
    assert [text(one) for one in got] == [str(n) for n in range(50) for _ in Era]


async def test_a_list_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico_plugins.upstreams.mcp.listing._PATIENCE", 0.1)
    app = Scripted()

    async def never(_: Seen) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    app.on["tools/list"] = never
    async with serving(app) as origin, running(url=origin) as up:
        assert (up.upstream.state, up.upstream.reason) == (State.DEGRADED, "list_timeout")
        app.on.clear()
        await up.until_state(State.READY)


async def test_a_promise_of_announcements_that_is_not_kept_does_no_harm() -> None:
    app = Scripted(capabilities={"tools": {"listChanged": True}})
    async with serving(app) as origin, running(url=origin) as up:
        await app.until(lambda: app.of("subscriptions/listen"))
        assert text(await up.send(call("t", era=Era.MODERN))) == "called"
        assert up.upstream.state is State.READY


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "exactly one"),
        ({"url": "http://a", "command": ("b",)}, "exactly one"),
        ({"url": "ftp://a/"}, "http"),
        ({"url": "http://user:pw@a/"}, "credentials"),
        ({"url": "http://127.0.0.1\\@evil/"}, "backslash"),
        ({"url": "http://a/#x"}, "fragment"),
        ({"command": ("a",), "protocol": "sse"}, "needs a `url`"),
        ({"command": ("a",), "pass_upstream_authorization": True}, "means nothing"),
        ({"url": "http://a", "shared": True, "pass_upstream_authorization": True}, "exclude each other"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        McpConfig(**config)
