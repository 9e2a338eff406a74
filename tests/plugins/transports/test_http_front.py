"""What is decided before the era is: media types, size, paths, and who is asking."""

from __future__ import annotations

import pytest

from portico.api import LATEST_MODERN, PROXIED, Json
from portico_plugins.transports.over_http.fields import fields_of
from tests.plugins.transports.kit import META, TOKENS
from tests.plugins.transports.web import BASE, Web, frame, gateway

MODERN = {**BASE, "mcp-protocol-version": LATEST_MODERN, "mcp-method": "tools/list"}
LIST = frame(1, "tools/list", {"_meta": META})


@pytest.mark.parametrize(
    "changed",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/jsonp"},
        {"content-type": "text/json"},
        {"content-type": ""},
        {"content-type": None},
        {"content-encoding": "gzip"},
        {"content-encoding": "br"},
    ],
)
async def test_a_body_that_is_not_plain_json_is_not_read(web: Web, changed: Json) -> None:
    headers = {k: v for k, v in {**MODERN, **changed}.items() if v is not None}
    answer = web.open("POST", headers, LIST)
    assert await answer.head() == 415


@pytest.mark.parametrize(
    "changed", [{"content-type": "Application/JSON; charset=utf-8"}, {"content-encoding": "identity"}]
)
async def test_json_has_several_spellings(web: Web, changed: Json) -> None:
    assert "result" in await web.open("POST", {**MODERN, **changed}, LIST).json()


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "text/html", ""])
async def test_a_client_must_take_both_forms_of_answer(web: Web, accept: str) -> None:
    answer = web.open("POST", {**MODERN, "accept": accept}, LIST)
    assert await answer.head() == 406


@pytest.mark.parametrize(
    "accept",
    [
        "text/event-stream, application/json",
        "application/json;q=0.9,text/event-stream;q=0.8",
        "Application/JSON, Text/Event-Stream",
        "*/*",
        "application/*, text/*",
    ],
)
async def test_a_client_may_say_so_in_several_ways(web: Web, accept: str) -> None:
    assert "result" in await web.open("POST", {**MODERN, "accept": accept}, LIST).json()


async def test_a_client_may_say_so_in_two_lines(web: Web) -> None:
    lines = [(name, value) for name, value in MODERN.items() if name != "accept"]
    lines += [("accept", "application/json"), ("accept", "text/event-stream")]
    assert "result" in await web.open("POST", lines, LIST).json()


async def test_a_client_that_says_nothing_is_served(web: Web) -> None:
    headers = {name: value for name, value in MODERN.items() if name != "accept"}
    assert "result" in await web.open("POST", headers, LIST).json()


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    async with gateway(auth="[gateway]\nbody_limit = 2048") as web:
        answer = web.open("POST", MODERN, b" " * 2049)
        assert await answer.head() == 413
        assert "result" in await web.open("POST", MODERN, LIST + b" " * (2048 - len(LIST))).json()


async def test_a_body_that_becomes_too_large_is_dropped() -> None:
    async with gateway(auth="[gateway]\nbody_limit = 2048") as web:
        headers = [(k.encode(), v.encode()) for k, v in {**MODERN, "transfer-encoding": "chunked"}.items()]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/mcp",
            "query_string": b"",
            "headers": headers,
            "client": None,
        }
        sent: list[Json] = []

        async def receive() -> Json:
            return {"type": "http.request", "body": b" " * 1024, "more_body": True}

        async def send(message: Json) -> None:
            sent.append(message)

        await web.gateway.app(scope, receive, send)
        assert [m["status"] for m in sent if m["type"] == "http.response.start"] == [413]


async def test_every_virtual_server_has_its_path(web: Web) -> None:
    answer = web.open("POST", MODERN, LIST, path="/servers/default/mcp")
    assert "result" in await answer.json()


@pytest.mark.parametrize("path", ["/", "/mcp/x", "/servers/nope/mcp", "/servers/../mcp", "/MCP"])
async def test_no_other_path_is_served(web: Web, path: str) -> None:
    answer = web.open("POST", MODERN, LIST, path=path)
    assert await answer.head() == 404


async def test_a_virtual_server_sees_only_its_upstreams() -> None:
    servers = """
        [upstreams.two]
        use = "scripted"
        [servers.default]
        upstreams = ["one"]
        [servers.other]
        upstreams = ["two"]
        [gateway]
    """
    async with gateway(auth=servers) as web:
        session = await web.session()
        assert "result" in await session.call("echo").json()
        elsewhere = web.open("POST", session.headers, frame(1, "ping", {}), path="/servers/other/mcp")
        assert await elsewhere.head() == 404
        assert len(web.upstream.calls) == 1


# --- who is asking --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer ", "Basic YTpi", "Bearer nope", "Bearer alice", "", "x" * 3000]
)
async def test_without_a_good_token_nothing_is_served(method: str, authorization: str | None) -> None:
    async with gateway(auth=TOKENS) as web:
        headers = {**MODERN, "mcp-session-id": "x"}
        if authorization is not None:
            headers["authorization"] = authorization
        answer = web.open(method, headers, LIST if method == "POST" else b"")
        assert await answer.head() == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert b"alice" not in await answer.body()


async def test_every_wrong_token_gets_the_same_answer() -> None:
    async with gateway(auth=TOKENS) as web:
        seen = set()
        for token in ("nope", "alice-0123456789abcdee", "alice-0123456789abcdef0", "ALICE-0123456789ABCDEF"):
            answer = web.open("POST", {**MODERN, "authorization": f"Bearer {token}"}, LIST)
            seen.add((await answer.head(), answer.headers["www-authenticate"], await answer.body()))
        assert len(seen) == 1
        assert seen.pop()[1] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_good_token_says_who_is_calling(scheme: str) -> None:
    async with gateway(auth=TOKENS) as web:
        answer = web.call("echo", headers={"authorization": f"{scheme} bob-0123456789abcdef"})
        assert "result" in await answer.json()
        ((_, principal),) = web.upstream.calls
        assert (principal.subject, principal.source) == ("bob", "people")


async def test_the_token_is_asked_for_before_the_body_is_read() -> None:
    async with gateway(auth=TOKENS) as web:
        answer = web.open("POST", {**BASE, "content-type": "text/plain"}, b"{")
        assert await answer.head() == 401


async def test_an_auth_scheme_that_raises_lets_nobody_in() -> None:
    async with gateway(auth='[auth.people]\nuse = "broken"') as web:
        answer = web.open("POST", {**MODERN, "authorization": "Bearer x"}, LIST)
        assert await answer.head() == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert b"passwords" not in await answer.body()
        assert "auth.failed" in web.log.events


async def test_a_scheme_that_raises_is_not_saved_by_the_next() -> None:
    auth = TOKENS + '[auth.sick]\nuse = "broken"\n[servers.default]\nauth = ["sick", "people"]'
    async with gateway(auth=auth) as web:
        answer = web.call("echo", headers={"authorization": "Bearer bob-0123456789abcdef"})
        assert await answer.head() == 401
        assert not web.upstream.calls


async def test_of_two_schemes_either_will_do() -> None:
    more = """
        [auth.machines]
        use = "token"
        tokens = { robot = "robot-0123456789abcdef" }
        [servers.default]
        auth = ["people", "machines"]
    """
    async with gateway(auth=TOKENS + more) as web:
        for token in ("alice-0123456789abcdef", "robot-0123456789abcdef"):
            assert "result" in await web.call("echo", headers={"authorization": f"Bearer {token}"}).json()
        assert [(p.subject, p.source) for _, p in web.upstream.calls] == [
            ("alice", "people"),
            ("robot", "machines"),
        ]


@pytest.mark.parametrize("marks", [{}, {PROXIED: True}])
def test_an_auth_scheme_is_told_whether_the_request_came_through_a_proxy(marks: dict[str, bool]) -> None:
    scope = {"type": "http", "scheme": "http", "headers": [], "client": ("127.0.0.1", 1), **marks}
    assert fields_of(scope, "default").credentials.proxied is bool(marks)
