"""Legacy sessions over streamable HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import Response

from portico.api import Era, Json, Refused, State
from tests.plugins.upstreams.kit import ALICE, BOB, Client, accept, call, exchange, running, serving, text
from tests.plugins.upstreams.scripted import Scripted, Seen, error, event, notice, result, stream
from tests.plugins.upstreams.test_mcp_modern import ODD

ELICIT: Json = {"mode": "form", "message": "?", "requestedSchema": {"type": "object"}}


async def never(method: str, params: Json) -> Json:
    """A client that does not come to answer."""
    await asyncio.Event().wait()
    return {}


def ids(app: Scripted) -> set[str]:
    """What the server asked and was answered."""
    return {seen.id for seen in app.seen if seen.http == "POST" and not seen.method}


def asking(method: str, params: Json, app: Scripted) -> None:
    """Have `tools/call` ask the client something on its stream and answer with what it said."""
    answers: dict[str, asyncio.Future[Json]] = {}

    async def answer(seen: Seen) -> Response:
        ident = f"ask-{seen.id}"
        answers[ident] = asyncio.get_running_loop().create_future()

        async def events() -> AsyncIterator[bytes]:
            yield event({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})
            said = await answers[ident]
            content = [{"type": "text", "text": json.dumps(said, sort_keys=True)}]
            yield event({"jsonrpc": "2.0", "id": seen.id, "result": {"content": content}})

        return stream(events())

    async def response(seen: Seen) -> Response:
        if seen.http == "POST" and not seen.method:
            answers[seen.id].set_result({k: seen.body[k] for k in ("result", "error") if k in seen.body})
            return Response(status_code=202)
        return await app.default(seen)

    app.on |= {"tools/call": answer, "POST": response}


async def test_a_session_is_opened_once_and_carries_every_call_of_its_principal() -> None:
    app = Scripted("legacy")
    async with serving(app) as origin, running(url=origin) as up:
        assert up.upstream.offer.eras == {Era.LEGACY}
        for era in (Era.LEGACY, Era.MODERN):
            for _ in range(3):
                assert text(await up.send(call("t", era=era))) == "called"
        await asyncio.gather(*(up.send(call("t", principal=BOB)) for _ in range(5)))
    sessions = [seen.headers["mcp-session-id"] for seen in app.of("tools/call")]
    assert len(app.of("initialize")) == 3  # the gateway's own, Alice's, Bob's
    assert sessions == ["s2"] * 6 + ["s3"] * 5
    assert len(app.of("notifications/initialized")) == 3
    assert len(app.of("DELETE")) == 3
    assert app.sessions == set()


async def test_the_handshake_and_later_requests_say_what_the_revision_asks_for() -> None:
    app = Scripted("legacy")
    offered = {"elicitation": {"form": {}}, "roots": {"listChanged": True}, "extensions": {"a/b": {}}}
    async with serving(app) as origin, running(url=origin) as up:
        request = call("t", era=Era.MODERN, capabilities={**offered, "tasks": {}}, progress_token="p")
        request.params |= {
            "requestState": "x",
            "inputResponses": {},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "traceparent": "00-1",
            },
        }
        got = await up.send(request)
        assert got.era is Era.LEGACY
    hello, seen = app.of("initialize")[1], app.of("tools/call")[0]
    assert hello.params == {
        "protocolVersion": "2025-11-25",
        "capabilities": offered,
        "clientInfo": {"name": "tester", "version": "1"},
    }
    assert "mcp-protocol-version" not in hello.headers
    assert seen.headers["mcp-protocol-version"] == "2025-11-25"
    assert seen.params == {
        "name": "t",
        "arguments": {},
        "_meta": {"traceparent": "00-1", "progressToken": seen.id},
    }


async def test_different_capabilities_have_different_sessions() -> None:
    app = Scripted("legacy")
    async with serving(app) as origin, running(url=origin) as up:
        kinds: list[Json] = [{}, {"roots": {}}, {"roots": {}}, {}]
        for capabilities in kinds:
            await up.send(call("t", capabilities=capabilities))
    assert [seen.params["capabilities"] for seen in app.of("initialize")][1:] == [{}, {"roots": {}}]


async def test_the_gateway_lists_as_a_client_that_can_do_everything_and_answers_for_nobody() -> None:
    app = Scripted("legacy")
    async with serving(app) as origin, running(url=origin) as up:
        up.wiring.answer = {"roots": [{"uri": "file:///somebodys"}]}
        await app.until(lambda: app.gets)
        for method in ("roots/list", "sampling/createMessage", "elicitation/create"):
            app.gets[0].put_nowait(event({"jsonrpc": "2.0", "id": method, "method": method}))
        await app.until(lambda: {"roots/list", "sampling/createMessage", "elicitation/create"} <= ids(app))
    assert set(app.of("initialize")[0].params["capabilities"]) == {"elicitation", "roots", "sampling"}
    said = {seen.id: seen.body for seen in app.seen if seen.http == "POST" and not seen.method}
    assert said["roots/list"]["result"] == {"roots": []}
    assert said["sampling/createMessage"]["error"]["code"] == -32601
    assert said["elicitation/create"]["error"]["code"] == -32601
    assert up.wiring.asked == []


def ending(question: str, app: Scripted, client: Client) -> None:
    """Its call is over when the client has heard the question, and has not answered it."""

    async def answer(seen: Seen) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield event({"jsonrpc": "2.0", "id": "q", "method": question, "params": {}})
            await asyncio.wait_for(client.news.wait(), 60)
            yield event({"jsonrpc": "2.0", "id": seen.id, "result": {"content": []}})

        return stream(events())

    app.on["tools/call"] = answer


async def test_a_question_of_a_call_that_has_ended_is_ended_and_the_server_told() -> None:
    app, client = Scripted("legacy"), Client(never)
    ending("elicitation/create", app, client)
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t", client=client, capabilities={"elicitation": {}}))
        await app.until(lambda: "q" in ids(app))
    assert next(seen for seen in app.seen if seen.id == "q").body["error"]["code"] == -32600


async def test_roots_asked_for_in_a_call_that_has_ended_are_told_all_the_same() -> None:
    over = asyncio.Event()

    async def late(method: str, params: Json) -> Json:
        await over.wait()
        return await accept(method, params)

    app, client = Scripted("legacy"), Client(late)
    ending("roots/list", app, client)
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t", client=client, capabilities={"roots": {}}))
        over.set()
        await app.until(lambda: "q" in ids(app))
    assert next(seen for seen in app.seen if seen.id == "q").body["result"] == {
        "roots": [{"uri": "file:///work"}]
    }


async def test_roots_are_asked_for_beside_a_call_that_was_over_before_its_client_could_be_asked() -> None:
    async def gone(method: str, params: Json) -> Json:
        raise Refused(-32601, "Nobody to ask")

    app, client = Scripted("legacy"), Client(gone)
    ending("roots/list", app, client)
    async with serving(app) as origin, running(url=origin) as up:
        up.wiring.answer = {"roots": [{"uri": "file:///beside"}]}
        await up.send(call("t", client=client, capabilities={"roots": {}}))
        await app.until(lambda: "q" in ids(app))
    assert next(seen for seen in app.seen if seen.id == "q").body["result"] == up.wiring.answer


async def test_what_a_server_is_not_to_know_of_is_neither_offered_nor_asked() -> None:
    app, client = Scripted("legacy"), Client(accept)
    asking("roots/list", {}, app)
    capabilities: Json = {"roots": {"listChanged": True}, "elicitation": {}}
    async with serving(app) as origin, running(url=origin, withhold=("roots",)) as up:
        said = json.loads(text(await up.send(call("t", client=client, capabilities=capabilities))))
        await up.upstream.tell(ALICE, "notifications/roots/list_changed", {})
    offered = [set(seen.params["capabilities"]) for seen in app.of("initialize")]
    assert offered == [{"elicitation", "sampling"}, {"elicitation"}]
    assert said["error"]["code"] == -32601
    assert client.questions == []
    assert not app.of("notifications/roots/list_changed")


async def test_resources_are_watched_in_the_session_used_last() -> None:
    app = Scripted("legacy", {"resources": {"subscribe": True}})

    async def fine(seen: Seen) -> Response:
        return result(seen, {"resources": []})

    app.on |= dict.fromkeys(("resources/list", "resources/subscribe"), fine)
    async with serving(app) as origin, running(url=origin) as up:
        kinds: list[Json] = [{}, {"roots": {}}, {"sampling": {}}, {"roots": {}}]
        for capabilities in kinds:
            await up.send(call("t", capabilities=capabilities))
        await up.upstream.watch(ALICE, frozenset({"a://1"}))
    used = app.of("tools/call")[-1].headers["mcp-session-id"]
    assert [seen.headers["mcp-session-id"] for seen in app.of("resources/subscribe")] == [used]


async def test_a_shared_upstream_has_one_session_for_all_principals() -> None:
    app = Scripted("legacy")
    async with serving(app) as origin, running(url=origin, shared=True) as up:
        await up.send(call("t"))
        await up.send(call("t", principal=BOB))
    assert len({seen.headers["mcp-session-id"] for seen in app.of("tools/call")}) == 1


@pytest.mark.parametrize("sse", [False, True])
async def test_a_result_passes_byte_for_byte(sse: bool) -> None:
    app = Scripted("legacy")

    async def answer(seen: Seen) -> Response:
        if not sse:
            return result(seen, ODD)

        async def events() -> AsyncIterator[bytes]:
            yield event(b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (seen.id, ODD))

        return stream(events())

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        assert (await up.send(call("t"))).raw == ODD


@pytest.mark.parametrize("era", list(Era))
async def test_what_the_server_asks_in_mid_call_reaches_the_client_and_its_answer_the_server(
    era: Era,
) -> None:
    app, client = Scripted("legacy"), Client(accept)
    asking("elicitation/create", ELICIT, app)
    async with serving(app) as origin, running(url=origin) as up:
        got = await up.send(call("t", era=era, client=client, capabilities={"elicitation": {}}))
    assert client.questions == [("elicitation/create", ELICIT)]
    assert json.loads(text(got)) == {"result": {"action": "accept", "content": {"answer": "yes"}}}


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("elicitation/create", ELICIT, {"error": {"code": -32601, "message": "This client answers nothing"}}),
        ("vendor/ask", {}, {"error": {"code": -32601, "message": "Method not found"}}),
        ("ping", {}, {"result": {}}),
        (
            "elicitation/create",
            {"mode": "url", "url": "javascript:alert(1)"},
            {"error": {"code": -32602, "message": "Only http and https URLs can be shown to a client"}},
        ),
    ],
)
async def test_a_question_a_client_cannot_take_is_answered_for_it(
    method: str, params: Json, said: Json
) -> None:
    app = Scripted("legacy")
    asking(method, params, app)
    async with serving(app) as origin, running(url=origin) as up:
        assert json.loads(text(await up.send(call("t")))) == said


async def test_the_time_a_client_takes_to_answer_does_not_count_as_the_upstreams() -> None:
    app = Scripted("legacy")
    asking("elicitation/create", ELICIT, app)

    async def slowly(method: str, params: Json) -> Json:
        await asyncio.sleep(1.2)
        return await accept(method, params)

    async with serving(app) as origin, running(url=origin, call_timeout=1.0) as up:
        request = call("t", client=Client(slowly), capabilities={"elicitation": {}})
        assert "accept" in text(await up.send(request))


async def test_cancelling_a_call_is_said_to_the_server() -> None:
    app, client = Scripted("legacy"), Client()

    async def answer(seen: Seen) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield notice("notifications/progress", progressToken=seen.id, progress=1)
            await asyncio.Event().wait()

        return stream(events())

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        task = asyncio.create_task(up.send(call("t", client=client, progress_token=1)))
        await asyncio.wait_for(client.news.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await app.until(lambda: app.of("notifications/cancelled"))
    assert app.of("notifications/cancelled")[0].params == {"requestId": app.of("tools/call")[0].id}


@pytest.mark.parametrize("status", [404, 400])
async def test_an_expired_session_is_opened_anew_and_the_call_sent_again(status: int) -> None:
    app = Scripted("legacy")

    async def answer(seen: Seen) -> Response:
        if seen.headers["mcp-session-id"] not in app.sessions:
            return error(seen, -32000, "Bad Request: No valid session ID provided", status=status)
        return await app.default(seen)

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t"))
        app.sessions.clear()
        assert text(await up.send(call("t"))) == "called"
        assert up.upstream.state is State.READY
    assert [seen.headers["mcp-session-id"] for seen in app.of("tools/call")][:2] == ["s2", "s2"]
    assert len(app.of("tools/call")) == 3


async def test_a_call_is_not_sent_a_third_time_when_sessions_keep_expiring() -> None:
    app = Scripted("legacy")

    async def answer(seen: Seen) -> Response:
        return error(seen, -32600, "Session not found", status=404)

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
    assert caught.value.data["gateway"]["reason"] == "session_expired"
    assert len(app.of("tools/call")) == 2


async def test_a_stream_closed_on_purpose_is_resumed_where_it_ended() -> None:
    app, client = Scripted("legacy"), Client()
    calls: list[Seen] = []

    async def answer(seen: Seen) -> Response:
        calls.append(seen)

        async def events() -> AsyncIterator[bytes]:
            yield b"id: e0\nretry: 20\ndata:\n\n"
            yield notice("notifications/message", level="info", data="one").replace(
                b"data", b"id: e1\ndata", 1
            )

        return stream(events())

    async def resume(seen: Seen) -> Response:
        if "last-event-id" not in seen.headers:
            return Response(status_code=405)

        async def events() -> AsyncIterator[bytes]:
            if seen.headers["last-event-id"] == "e2":
                yield event({"jsonrpc": "2.0", "id": calls[0].id, "result": {"content": []}}, id="e3")
            else:
                yield event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}, id="e2")

        return stream(events())

    app.on |= {"tools/call": answer, "GET": resume}
    async with serving(app) as origin, running(url=origin) as up:
        got = await up.send(call("t", client=client, log_level="debug"))
    assert got.value == {"content": []}
    resumed = [seen for seen in app.of("GET") if "last-event-id" in seen.headers]
    assert [seen.headers["last-event-id"] for seen in resumed] == ["e1", "e2"]
    assert client.polls == [20, 20]
    assert len(client.frames) == 2
    assert len(calls) == 1


async def test_a_stream_cut_without_event_ids_fails_the_call_and_is_not_sent_again() -> None:
    app = Scripted("legacy")

    async def answer(seen: Seen) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield notice("notifications/message", level="info", data="x")

        return stream(events())

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
    assert (caught.value.code, caught.value.data["gateway"]["reason"]) == (50200, "stream_cut")
    assert len(app.of("tools/call")) == 1


async def test_the_log_level_is_set_once_to_the_lowest_in_use() -> None:
    app = Scripted("legacy", {"tools": {}, "logging": {}})
    async with serving(app) as origin, running(url=origin) as up:
        for level in ("warning", None, "error", "debug", "info"):
            await up.send(call("t", log_level=level))
    assert [seen.params["level"] for seen in app.of("logging/setLevel")] == ["warning", "debug"]


async def test_a_server_without_logging_is_not_told_a_level() -> None:
    app = Scripted("legacy")
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t", log_level="debug"))
    assert not app.of("logging/setLevel")


async def test_what_belongs_to_no_call_is_announced_asked_elsewhere_or_noted() -> None:
    app = Scripted("legacy", {"tools": {}, "resources": {"subscribe": True}})

    async def fine(seen: Seen) -> Response:
        return result(seen, {"resources": []})

    app.on |= dict.fromkeys(("resources/list", "resources/subscribe", "resources/unsubscribe"), fine)
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t", capabilities={"roots": {}}))
        await up.upstream.watch(ALICE, frozenset({"a://1", "a://2"}))
        await app.until(lambda: len(app.gets) == 2)
        up.wiring.answer = {"roots": []}
        queue = app.gets[1]
        queue.put_nowait(notice("notifications/message", level="info", data="loose"))
        queue.put_nowait(event({"jsonrpc": "2.0", "id": "r1", "method": "roots/list"}))
        queue.put_nowait(notice("notifications/resources/updated", uri="a://2"))
        await up.wiring.until(lambda: bool(up.wiring.updates and up.wiring.announced and up.wiring.asked))
        await app.until(lambda: [seen for seen in app.seen if seen.body and seen.body.get("id") == "r1"])
        await up.upstream.watch(ALICE, frozenset({"a://2"}))
    assert up.wiring.announced == [(ALICE, "notifications/message", {"level": "info", "data": "loose"})]
    assert up.wiring.asked == [(ALICE, "roots/list", {})]
    assert up.wiring.updates == [(ALICE, {"uri": "a://2"})]
    assert next(s for s in app.seen if s.body and s.id == "r1").body["result"] == {"roots": []}
    assert [seen.params["uri"] for seen in app.of("resources/subscribe")] == ["a://1", "a://2"]
    assert [seen.params["uri"] for seen in app.of("resources/unsubscribe")] == ["a://1"]


async def test_a_question_on_the_get_stream_in_mid_call_goes_to_the_client_of_the_call() -> None:
    app, client, said = Scripted("legacy"), Client(accept), asyncio.Event()

    async def answer(seen: Seen) -> Response:
        app.gets[-1].put_nowait(event({"jsonrpc": "2.0", "id": "r1", "method": "roots/list"}))
        await said.wait()
        return result(seen, {"content": []})

    async def response(seen: Seen) -> Response:
        if seen.http == "POST" and not seen.method:
            said.set()
            return Response(status_code=202)
        return await app.default(seen)

    app.on["POST"] = response
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t", capabilities={"roots": {}}))
        await app.until(lambda: len(app.gets) == 2)
        app.on["tools/call"] = answer
        await up.send(call("t", era=Era.MODERN, client=client, capabilities={"roots": {}}))
    assert client.questions == [("roots/list", {})]
    assert up.wiring.asked == []


async def test_a_clients_notification_goes_to_its_own_sessions_that_declared_roots() -> None:
    app = Scripted("legacy")
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t", capabilities={"roots": {"listChanged": True}}))
        await up.send(call("t"))
        await up.send(call("t", principal=BOB, capabilities={"roots": {"listChanged": True}}))
        await up.upstream.tell(ALICE, "notifications/roots/list_changed", {})
        await app.until(lambda: app.of("notifications/roots/list_changed"))
    told = app.of("notifications/roots/list_changed")
    assert [seen.headers["mcp-session-id"] for seen in told] == ["s2"]


async def test_the_clients_error_codes_of_the_era_pass_as_they_are() -> None:
    app = Scripted("legacy")

    async def answer(seen: Seen) -> Response:
        return error(seen, -32042, "URL elicitation required", {"elicitations": [{"url": "https://x"}]})

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t", era=Era.MODERN))
    assert (caught.value.code, caught.value.data) == (-32042, {"elicitations": [{"url": "https://x"}]})


async def test_a_batch_of_the_2025_03_26_revision_is_taken_apart() -> None:
    app, client = Scripted("legacy"), Client()

    async def answer(seen: Seen) -> Response:
        progress = {"progressToken": seen.id, "progress": 1}
        batch = [
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress},
            {"jsonrpc": "2.0", "id": seen.id, "result": {"content": []}},
        ]
        return Response(json.dumps(batch), media_type="application/json")

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t", client=client, progress_token="p"))
    assert client.frames == [("notifications/progress", {"progressToken": "p", "progress": 1})]


async def test_idle_sessions_end_and_busy_ones_stay() -> None:
    app, release = Scripted("legacy"), asyncio.Event()

    async def answer(seen: Seen) -> Response:
        if seen.params["arguments"].get("wait"):
            await release.wait()
        return result(seen, {"content": []})

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin, idle_timeout=0.2) as up:
        busy = asyncio.create_task(up.send(call("t", {"wait": True}, principal=BOB)))
        await app.until(lambda: app.of("tools/call"))
        await up.send(call("t"))
        await app.until(lambda: app.of("DELETE"))
        assert [seen.headers["mcp-session-id"] for seen in app.of("DELETE")] == ["s3"]
        release.set()
        await busy


async def test_sessions_are_capped_and_the_least_used_makes_room() -> None:
    app, release = Scripted("legacy"), asyncio.Event()

    async def answer(seen: Seen) -> Response:
        if seen.params["arguments"].get("wait"):
            await release.wait()
        return result(seen, {"content": []})

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin, max_sessions=2) as up:
        await up.send(call("t"))
        busy = asyncio.create_task(up.send(call("t", {"wait": True}, principal=BOB)))
        await app.until(lambda: len(app.of("tools/call")) == 2)
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
        assert (caught.value.code, caught.value.data["gateway"]["reason"]) == (50302, "too_many_sessions")
        release.set()
        await busy


async def test_completion_and_prompts_pass_in_the_same_way() -> None:
    app = Scripted("legacy")

    async def echo(seen: Seen) -> Response:
        return result(seen, {"said": seen.params})

    app.on |= {"completion/complete": echo, "prompts/get": echo}
    async with serving(app) as origin, running(url=origin) as up:
        params = {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}}
        assert (await up.send(exchange("completion/complete", params))).value == {"said": params}
        assert (await up.send(exchange("prompts/get", {"name": "p"}))).value == {"said": {"name": "p"}}


async def test_calls_that_bring_their_own_authorization_do_not_share_a_session() -> None:
    app = Scripted("legacy")
    async with serving(app) as origin, running(url=origin, pass_upstream_authorization=True) as up:
        for token in ("a", "b", "a"):
            await up.send(call("t", headers={"x-upstream-authorization": f"Bearer {token}"}))
    calls = [(seen.headers["mcp-session-id"], seen.headers["authorization"]) for seen in app.of("tools/call")]
    assert calls == [("s2", "Bearer a"), ("s3", "Bearer b"), ("s2", "Bearer a")]
    assert {
        seen.headers.get("authorization") for seen in app.seen if seen.headers.get("mcp-session-id") == "s3"
    } == {"Bearer b"}


async def test_streams_give_their_connection_back() -> None:
    app = Scripted("legacy")
    ports: set[int] = set()

    async def answer(seen: Seen) -> Response:
        ports.add(int(seen.headers["x-test-port"]))

        async def events() -> AsyncIterator[bytes]:
            yield event({"jsonrpc": "2.0", "id": seen.id, "result": {"content": []}})

        return stream(events())

    async def with_port(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["headers"] = [*scope["headers"], (b"x-test-port", str(scope["client"][1]).encode())]
        await app(scope, receive, send)

    app.on["tools/call"] = answer
    async with serving(with_port) as origin, running(url=origin) as up:
        for _ in range(20):
            await up.send(call("t"))
    assert len(ports) <= 5


async def test_a_shared_session_watches_for_everybody_and_tells_each_what_it_wants() -> None:
    app = Scripted("legacy", {"resources": {"subscribe": True}})

    async def fine(seen: Seen) -> Response:
        return result(seen, {"resources": []})

    app.on |= dict.fromkeys(("resources/list", "resources/subscribe", "resources/unsubscribe"), fine)
    async with serving(app) as origin, running(url=origin, shared=True) as up:
        await app.until(lambda: app.gets)
        await up.upstream.watch(ALICE, frozenset({"a://1", "a://2"}))
        await up.upstream.watch(BOB, frozenset({"a://2"}))
        for uri in ("a://1", "a://2"):
            app.gets[0].put_nowait(notice("notifications/resources/updated", uri=uri))
        await up.wiring.until(lambda: len(up.wiring.updates) == 3)
        await up.upstream.watch(ALICE, frozenset())
    told = [(who.subject, params["uri"]) for who, params in up.wiring.updates]
    assert sorted(told) == [("alice", "a://1"), ("alice", "a://2"), ("bob", "a://2")]
    assert [seen.params["uri"] for seen in app.of("resources/subscribe")] == ["a://1", "a://2"]
    assert [seen.params["uri"] for seen in app.of("resources/unsubscribe")] == ["a://1"]


async def test_a_server_that_asks_for_roots_while_nobody_is_there_learns_of_none() -> None:
    app = Scripted("legacy")
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t", capabilities={"roots": {}}))
        await app.until(lambda: len(app.gets) == 2)
        app.gets[1].put_nowait(event({"jsonrpc": "2.0", "id": "r1", "method": "roots/list"}))
        await app.until(lambda: [seen for seen in app.seen if seen.id == "r1"])
    assert next(seen for seen in app.seen if seen.id == "r1").body["result"] == {"roots": []}
