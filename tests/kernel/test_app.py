from __future__ import annotations

from typing import Any

import msgspec
import pytest
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from portico._host.http.app import build_app
from portico._host.http.limits import Limits
from portico.api import Json, State, upgrade_required
from tests.kernel.doubles import StubUpstream, World, jumping, offer


class Said:
    """An ASGI endpoint that says its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.name == "broken":
            raise RuntimeError("secret")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.name.encode()})


class Site:
    def __init__(self, *routes: BaseRoute) -> None:
        self.up = StubUpstream(offer("t"))
        self.world = World({"a": self.up})
        self.app, self.admit = build_app(routes, {}, self.world.plane, Limits(), self.world.log)

    async def get(
        self, path: str, method: str = "GET", host: str = "localhost", version: str = "1.1"
    ) -> tuple[int, bytes, dict[str, str]]:
        sent: list[Any] = []
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": version, "method": method,
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(b"host", host.encode())], "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80), "state": {},
        }  # fmt: skip

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:]), headers

    async def json(self, path: str, **options: Any) -> tuple[int, Json]:
        status, body, _ = await self.get(path, **options)
        return status, msgspec.json.decode(body)


@jumping
async def test_health_is_about_the_process_alone() -> None:
    site = Site()
    site.up.state = State.DEGRADED
    site.world.plane.notice = True
    assert await site.json("/healthz") == (200, {"status": "ok"})


@jumping
async def test_readiness_shows_each_upstream_and_a_degraded_one_does_not_fail_it() -> None:
    site = Site()
    assert await site.json("/readyz") == (200, {"status": "ready", "upstreams": {"a": {"state": "ready"}}})
    site.up.state, site.up.reason = State.DEGRADED, "refused"
    assert await site.json("/readyz") == (
        200,
        {"status": "degraded", "upstreams": {"a": {"state": "degraded", "reason": "refused"}}},
    )


@jumping
async def test_a_gateway_that_is_draining_is_not_ready() -> None:
    site = Site()
    site.world.plane.notice = True
    assert await site.json("/readyz") == (503, {"status": "draining"})
    site.world.plane.notice, site.world.load.draining = False, True
    assert (await site.json("/readyz"))[0] == 503


@jumping
async def test_the_version_names_the_revisions_that_are_served() -> None:
    status, body = await Site().json("/version")
    assert status == 200
    assert body["name"] == "portico"
    assert body["mcp"] == ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/version"])
@jumping
async def test_nobody_keeps_these_answers(path: str) -> None:
    assert (await Site().get(path))[2]["cache-control"] == "no-store"


@jumping
async def test_a_wrong_path_is_told_the_right_ones_where_there_are_any() -> None:
    assert await Site().json("/mpc") == (404, {"error": "not found", "expected": []})
    site = Site(Route("/mcp", Said("exact")))
    site.world.add("tools", ("a",))
    assert await site.json("/mpc") == (
        404, {"error": "not found", "expected": ["/servers/default/mcp", "/servers/tools/mcp", "/mcp"]},
    )  # fmt: skip
    assert (await site.json("/healthz", method="POST"))[0] == 405


@jumping
async def test_routes_are_found_by_their_exact_path_and_by_pattern() -> None:
    site = Site(Route("/mcp", Said("exact")), Route("/x/{name}", Said("pattern")))
    assert (await site.get("/mcp", "POST"))[1] == b"exact"
    assert (await site.get("/x/y"))[1] == b"pattern"
    assert (await site.get("/mcp/"))[0] != 200


@jumping
async def test_the_guard_stands_in_front_of_every_route() -> None:
    site = Site(Route("/mcp", Said("exact")))
    for path in ("/mcp", "/healthz", "/nowhere"):
        assert (await site.get(path, host="evil.example"))[0] == 421


@jumping
async def test_a_fault_is_logged_and_its_words_are_not_sent() -> None:
    site = Site(Route("/x/{name}", Said("broken")))
    with pytest.raises(RuntimeError):  # Starlette answers first, then lets the server know, too
        await site.get("/x/y")
    assert site.world.log.events == ["http.fault"]


async def test_a_path_of_websockets_alone_asks_for_an_upgrade_where_there_is_one() -> None:
    site = Site(WebSocketRoute("/talk/{name}", Said("talk")), Route("/both", Said("both")))
    status, body, headers = await site.get("/talk/a")
    assert (status, headers["upgrade"], headers["connection"]) == (426, "websocket", "upgrade")
    assert msgspec.json.decode(body)["expected"] == "a WebSocket handshake, over HTTP/1.1"
    status, _, headers = await site.get("/talk/a", version="1.0")
    assert (status, "upgrade" in headers, "connection" in headers) == (400, False, False)
    status, _, headers = await site.get("/talk/a", "DELETE")
    assert (status, headers["allow"]) == (405, "GET")
    assert (await site.get("/talk"))[0] == 404
    assert (await site.get("/both"))[1] == b"both"


def test_http_2_has_no_field_to_ask_for_an_upgrade_with() -> None:
    status, fields, _ = upgrade_required({"method": "GET", "http_version": "2"})
    assert (status, [name for name, _ in fields]) == (400, [b"content-type"])
