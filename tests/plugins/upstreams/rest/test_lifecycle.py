"""A `rest` upstream's life: where its document comes from, how it is kept current, what is said of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from portico.api import INVALID_PARAMS, METHOD_NOT_FOUND, UPSTREAM_UNAVAILABLE, Json, Refused, Secret, State
from portico_plugins.upstreams.rest.config import (
    HandTool,
    Match,
    OperationSettings,
    SchemeSettings,
    Shape,
    ShapeRule,
)
from tests.plugins.upstreams.kit import Running, call, exchange, serving
from tests.plugins.upstreams.rest.kit import echo, http, raw, running, simple


def named(*names: str) -> Json:
    return {"openapi": "3.1.0", "paths": {f"/{name}": {"get": {"operationId": name}} for name in names}}


class Documents:
    """An ASGI app with a document that can be changed, and taken away."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.status = 200
        self.asked: list[dict[bytes, bytes]] = []
        self._news = asyncio.Condition()

    async def until_asked(self, times: int) -> None:
        """Wait until it was asked so many times."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: len(self.asked) >= times)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        self.asked.append(headers)
        async with self._news:
            self._news.notify_all()
        body = self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()
        tag = b'"%d"' % hash(body)
        status = 304 if self.status == 200 and headers.get(b"if-none-match") == tag else self.status
        head = [(b"content-type", b"application/json"), (b"etag", tag)]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": b"" if status == 304 else body})


def tools(up: Running) -> list[str]:
    return [tool["name"] for tool in up.upstream.offer.tools]


async def test_a_document_in_the_configuration_or_a_file_is_there_at_once(tmp_path: Path) -> None:
    async with running(openapi_inline=named("a"), base_url="http://127.0.0.1:9") as up:
        assert (up.upstream.state, tools(up)) == (State.READY, ["a"])
    path = tmp_path / "api.yaml"
    path.write_text("openapi: 3.0.0\npaths:\n  /a:\n    get: {operationId: a}\n")
    async with running(openapi_file=path, base_url="http://127.0.0.1:9") as up:
        assert (up.upstream.state, tools(up)) == (State.READY, ["a"])
        path.write_text("openapi: 3.0.0\npaths:\n  /a:\n    get: {operationId: b}\n")
        await up.upstream.refresh()
        assert tools(up) == ["b"]
        assert up.wiring.offers[-1] == {"tools"}


async def test_tools_by_hand_stand_beside_those_of_a_document_and_do_not_replace_them() -> None:
    own = {"a": HandTool(path="/mine"), "z": HandTool(path="/mine")}
    async with running(openapi_inline=named("a"), tools=own, base_url="http://127.0.0.1:9") as up:
        assert tools(up) == ["a", "z"]
        assert up.upstream.offer.tools[0]["description"] == "GET /a"
        assert "operation_left_out" in up.log.events()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"<html>", "no object"),
        ({"openapi": "9.0"}, "not supported"),
        ({"openapi": "3.0.0", "paths": {f"/{each}": {"get": {}} for each in range(3)}}, "max_tools"),
    ],
)
async def test_a_document_of_no_use_degrades_with_a_precise_reason(document: Any, reason: str) -> None:
    async with serving(Documents(document)) as origin, running(openapi=origin, max_tools=2) as up:
        assert up.upstream.state is State.DEGRADED
        assert reason in up.upstream.reason
        with pytest.raises(Refused) as refused:
            await up.send(call("a"))
        assert (refused.value.code, refused.value.data["gateway"]["reason"]) == (
            UPSTREAM_UNAVAILABLE,
            "no_document",
        )


async def test_a_file_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    async with running(openapi_file=tmp_path / "nothing.json") as up:
        assert up.upstream.state is State.DEGRADED
        assert "No such file" in up.upstream.reason
        assert str(tmp_path) not in up.upstream.reason


@pytest.mark.parametrize("mode", ["tools", "search"])
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (
            {"security": {"kye": SchemeSettings(value=Secret("s"))}},
            "security.kye: the document has no such security scheme; did you mean 'key'?",
        ),
        (
            {"operations": {"GET /y": OperationSettings()}},
            "operations.GET /y: no such operation is selected; did you mean 'GET /x'?",
        ),
        (
            {"base_url": "", "server_variables": {"stgae": "a"}},
            "server_variables.stgae: no server has such a variable; did you mean 'stage'?",
        ),
    ],
)
async def test_a_name_that_the_document_has_nothing_for_degrades_and_the_tools_are_there(
    mode: str, more: Any, reason: str, tmp_path: Path
) -> None:
    path, root = tmp_path / "api.json", simple()
    root["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}
    async with serving(echo) as origin:
        root["servers"] = [{"url": f"{origin}/{{stage}}", "variables": {"stage": {"default": "b"}}}]
        path.write_text(json.dumps(root))
        config = {"openapi_file": path, "base_url": origin, "mode": mode, **more}
        async with running(**config) as up:
            assert (up.upstream.state, up.upstream.reason) == (State.DEGRADED, f"document: {reason}")
            assert up.log.events().count("operation_left_out") == 1
            asked = call("op") if mode == "tools" else call("call_operation", {"name": "op"})
            assert (await up.send(asked)).value["structuredContent"]["method"] == "GET"
            path.write_text(json.dumps(root | {"paths": {"/y": root["paths"]["/x"]}}))
            await up.upstream.refresh()
            assert (up.upstream.state is State.READY) is ("operations" in more)


async def test_tools_by_hand_work_while_the_document_has_never_come() -> None:
    own = {"mine": HandTool(path="/mine")}
    async with serving(Documents(named("a"))) as gone:
        port = int(gone.rpartition(":")[2])
    async with serving(echo) as api:
        config: Json = {"openapi": f"{gone}/o.json", "tools": own, "base_url": api, "refresh_seconds": 0.02}
        async with running(**config) as up:
            assert (up.upstream.state, tools(up)) == (State.DEGRADED, ["mine"])
            assert up.upstream.reason == "document: connection_refused"
            assert (await up.send(call("mine"))).value["structuredContent"]["path"] == "/mine"
            with pytest.raises(Refused) as refused:
                await up.send(call("a"))
            gateway = refused.value.data["gateway"]
            assert (refused.value.code, gateway["reason"]) == (UPSTREAM_UNAVAILABLE, "no_document")
            async with serving(Documents(named("a")), port):
                await up.until_state(State.READY)
            assert tools(up) == ["a", "mine"]
            assert {"tools"} in up.wiring.offers
            assert (await up.send(call("a"))).value["structuredContent"]["path"] == "/a"


async def test_tools_by_hand_wait_for_no_document() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(head: bytes, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await go_on.wait()

    own = {"mine": HandTool(path="/mine")}
    async with raw(slow) as server, serving(echo) as api:
        config: Json = {"openapi": server.origin, "tools": own, "base_url": api, "start_grace": 0.0}
        async with running(**config) as up:
            await begun.wait()
            assert (up.upstream.state, up.upstream.reason, tools(up)) == (State.STARTING, "loading", ["mine"])
            assert (await up.send(call("mine"))).value["structuredContent"]["path"] == "/mine"
            go_on.set()


async def test_tools_by_hand_work_beside_a_file_that_is_not_there(tmp_path: Path) -> None:
    own = {"mine": HandTool(path="/mine")}
    async with serving(echo) as api:
        config: Json = {"openapi_file": tmp_path / "nothing.json", "tools": own, "base_url": api}
        async with running(**config) as up:
            assert up.upstream.state is State.DEGRADED
            assert (await up.send(call("mine"))).value["structuredContent"]["path"] == "/mine"


async def test_a_changed_document_is_taken_in_and_an_unchanged_one_not_sent_again() -> None:
    app = Documents(named("a"))
    async with serving(app) as origin, running(openapi=f"{origin}/o.json", refresh_seconds=0.02) as up:
        assert tools(up) == ["a"]
        announced = len(up.wiring.offers)
        await up.upstream.refresh()
        await app.until_asked(3)
        assert b"if-none-match" in app.asked[1]
        assert len(up.wiring.offers) == announced
        app.document = named("a", "b")
        await up.wiring.until(lambda: tools(up) == ["a", "b"])
        assert up.wiring.offers[-1] == {"tools"}


async def test_tools_stay_while_the_document_is_away_and_it_recovers_alone() -> None:
    app = Documents(named("a"))
    async with serving(app) as origin, running(openapi=f"{origin}/o.json", refresh_seconds=0.02) as up:
        app.status = 500
        await up.until_state(State.DEGRADED)
        assert (tools(up), up.upstream.reason) == (["a"], "document: HTTP 500")
        app.status = 200
        await up.until_state(State.READY)
        app.document = b"{"
        await up.until_state(State.DEGRADED)
        assert tools(up) == ["a"]
        app.document = named("b")
        await up.until_state(State.READY)
        assert tools(up) == ["b"]


async def test_a_document_that_comes_late_is_taken_when_it_is_there() -> None:
    async with serving(Documents(named("a"))) as origin:
        port = int(origin.rpartition(":")[2])
    async with running(openapi=f"{origin}/o.json", refresh_seconds=0.02) as up:
        assert (up.upstream.state, up.upstream.reason) == (State.UNAVAILABLE, "document: connection_refused")
        async with serving(Documents(named("a")), port):
            await up.until_state(State.READY)
        assert tools(up) == ["a"]


async def test_a_document_that_is_too_large_is_refused() -> None:
    async with (
        serving(Documents(b" " * 5000)) as origin,
        running(openapi=origin, max_document_bytes=1024) as up,
    ):
        assert up.upstream.state is State.DEGRADED
        assert up.upstream.reason == "document: message_too_large"


async def test_relative_servers_begin_where_the_document_is() -> None:
    document = named("a") | {"servers": [{"url": "../v2"}]}
    async with serving(Documents(document)) as origin, running(openapi=f"{origin}/v1/docs/o.json") as up:
        assert up.upstream._tools["a"].base == f"{origin}/v1/v2"


async def test_unknown_tools_and_other_methods_are_refused() -> None:
    async with running(openapi_inline=named("a"), base_url="http://127.0.0.1:9") as up:
        with pytest.raises(Refused) as refused:
            await up.send(call("nothing"))
        assert refused.value.code == INVALID_PARAMS
        with pytest.raises(Refused) as refused:
            await up.send(exchange("prompts/get", {"name": "a"}))
        assert refused.value.code == METHOD_NOT_FOUND


async def test_a_probe_is_content_with_any_answer() -> None:
    async with raw(http(b"", "", "404 Not Found")) as server:
        async with running(openapi_inline=named("a"), base_url=server.origin) as up:
            await up.upstream.probe()
        assert server.heads[0].startswith(b"HEAD / HTTP/1.1\r\n")


async def test_nothing_secret_is_logged_or_printed() -> None:
    async with raw(http(b"{}")) as server:
        config: Json = {"headers": {"X-Key": Secret("canary-1")}, "query": {"k": Secret("canary-2")}}
        async with running(openapi_inline=named("a"), base_url=server.origin, **config) as up:
            result = await up.send(call("a"))
            assert b"canary-1" in server.heads[0]
            said = json.dumps([up.log.lines, json.loads(result.raw), up.upstream.offer.tools], default=repr)
            assert "canary" not in said + repr(up.upstream._config)


@pytest.mark.parametrize("mode", ["tools", "search"])
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"include": (Match(tags=("none",)),)}, "`include` and `exclude` leave none of its operations (2)"),
        ({"exclude": (Match(paths=("*",)),)}, "`include` and `exclude` leave none of its operations (2)"),
    ],
)
async def test_a_selection_that_selects_nothing_is_told(mode: str, more: Any, reason: str) -> None:
    root = {"openapi": "3.0.0", "paths": {"/a": {"get": {}, "put": {}}}}
    async with running(openapi_inline=root, base_url="http://127.0.0.1:9", mode=mode, **more) as up:
        assert (up.upstream.state, up.upstream.reason) == (State.DEGRADED, f"document: {reason}")
        await up.upstream.refresh()
        assert up.upstream.reason == f"document: {reason}"


@pytest.mark.parametrize("mode", ["tools", "search"])
async def test_patterns_that_fit_no_operation_are_told_with_the_nearest_name(mode: str) -> None:
    paths = {"/pets": {"get": {"operationId": "listPets", "tags": ["pets"]}}, "/x": {"lock": {}}}
    root = {"openapi": "3.2.0", "paths": paths}
    config: Json = {
        "include": (Match(tags=("pest", "pets")), Match(methods=("GTE", "get", "HEAD"))),
        "exclude": (Match(operations=("lisPets", "delete*")), Match(paths=("/pet",))),
        "shapes": (ShapeRule(match=Match(operations=("list*", "add")), shape=Shape(jsonpath="$.a")),),
    }
    async with running(openapi_inline=root, base_url="http://127.0.0.1:9", mode=mode, **config) as up:
        assert up.upstream.state is State.READY
        told = [facts for _, event, facts in up.log.lines if event == "pattern_fits_nothing"]
        assert told == [
            {"key": "include[0].tags", "pattern": "pest", "hint": "did you mean 'pets'?"},
            {"key": "include[1].methods", "pattern": "GTE", "hint": "did you mean 'GET'?"},
            {"key": "exclude[0].operations", "pattern": "lisPets", "hint": "did you mean 'listPets'?"},
            {"key": "exclude[0].operations", "pattern": "delete*", "hint": ""},
            {"key": "exclude[1].paths", "pattern": "/pet", "hint": "did you mean '/pets'?"},
            {"key": "shapes[0].match.operations", "pattern": "add", "hint": ""},
        ]


async def test_a_document_that_gives_no_tool_says_why() -> None:
    root = {"openapi": "3.0.0", "paths": {"/a": {"get": {}, "put": {}}}}
    async with running(openapi_inline=root) as up:
        assert up.upstream.state is State.DEGRADED
        assert up.upstream.reason == (
            "document: none of its operations (2) can be a tool: "
            "the document does not say where the API is: set `base_url`"
        )
        assert up.log.events().count("operation_left_out") == 2


async def test_a_document_that_has_an_operation_again_is_ready_again() -> None:
    app = Documents({"openapi": "3.0.0", "paths": {"/a": {"get": {"servers": [{"url": "gopher://a"}]}}}})
    async with serving(app) as origin, running(openapi=f"{origin}/o.json") as up:
        assert up.upstream.state is State.DEGRADED
        app.document = {"openapi": "3.0.0", "paths": {"/a": {"get": {}}}}
        await up.upstream.refresh()
        await up.wiring.until(lambda: up.upstream.state is State.READY)
        assert tools(up) == ["get_a"]
