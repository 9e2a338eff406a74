"""Whatever comes in: the right code, no 5xx, nothing of our insides, and the next valid call works."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio

from portico.api import LATEST_MODERN, META_CAPABILITIES, META_LOG_LEVEL, META_VERSION, NAME_PARAM, Json
from portico.api import encode_header_value as header_value
from tests.badinput.bodies import BODIES, leaks
from tests.plugins.transports.web import BASE, Answer, Legacy, Web, gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

META: Final = {META_VERSION: LATEST_MODERN, META_CAPABILITIES: {}}
BOTH: Final[dict[str, Json]] = {
    "tools/list": {},
    "tools/call": {"name": "echo", "arguments": {}},
    "resources/list": {},
    "resources/templates/list": {},
    "resources/read": {"uri": "test://one"},
    "prompts/list": {},
    "prompts/get": {"name": "greet"},
    "completion/complete": {
        "ref": {"type": "ref/prompt", "name": "greet"},
        "argument": {"name": "a", "value": "b"},
    },
    "tasks/get": {"taskId": "t"},
    "tasks/update": {"taskId": "t", "inputResponses": {}},
    "tasks/cancel": {"taskId": "t"},
    "no/such": {},
}
MODERN: Final = {**BOTH, "server/discover": {}, "subscriptions/listen": {"notifications": {}}}
LEGACY: Final = {
    **BOTH,
    "initialize": {"protocolVersion": "2025-11-25", "capabilities": {}},
    "ping": {},
    "logging/setLevel": {"level": "info"},
    "resources/subscribe": {"uri": "test://one"},
    "resources/unsubscribe": {"uri": "test://one"},
}
WRONG: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1.5, 2**70, "", "x", "ä\n\x00"),
    *([], [1], {}, {"a": {}}, [[]]),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web() -> AsyncIterator[Web]:
    async with gateway() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(web: Web) -> Legacy:
    return await web.session()


def message(method: str, params: Json) -> Json:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def modern(method: str, params: Json) -> tuple[Json, Json]:
    """The headers and the message of a modern request."""
    headers = {**BASE, "mcp-protocol-version": LATEST_MODERN, "mcp-method": method}
    if method in NAME_PARAM:
        headers["mcp-name"] = header_value(str(params.get(NAME_PARAM[method])))
    return headers, message(method, {**params, "_meta": META})


async def judged(answer: Answer) -> tuple[int, Any]:
    """The status and the error code (None for a result) of an answer that shows nothing of our insides."""
    status = await answer.head()
    if answer.headers.get("content-type") == "text/event-stream":
        answer.leave()
        await answer.over()
        return status, None
    body = await answer.body()
    assert leaks(body) is None, body
    if not body:
        return status, None
    decoded = msgspec.json.decode(body)
    error = decoded["error"] if isinstance(decoded, dict) and "error" in decoded else None
    return status, error.get("code") if isinstance(error, dict) else error


async def alive(web: Web, session: Legacy) -> None:
    """Both eras are still served."""
    assert "result" in await web.modern("tools/list").json()
    assert "result" in await session.request("ping").json()


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("name", BODIES)
async def test_a_malformed_body_has_its_code(web: Web, session: Legacy, era: str, name: str) -> None:
    make, code = BODIES[name]
    before = len(web.upstream.calls)
    for method, params in (MODERN if era == "modern" else LEGACY).items():
        if era == "modern":
            headers, valid = modern(method, params)
        else:
            headers, valid = session.headers, message(method, params)
        body = make(valid)
        started = time.process_time()
        verdict = await judged(web.open("POST", headers, body))
        # What begins like a batch is refused as one, whatever else is wrong with it.
        expected = -32600 if era == "legacy" and body[:1] == b"[" else code
        assert verdict == (400, expected), (method, verdict)
        assert time.process_time() - started < 0.5, method
    assert len(web.upstream.calls) == before
    await alive(web, session)


@pytest.mark.parametrize("name", BODIES)
async def test_a_malformed_body_opens_no_session(web: Web, session: Legacy, name: str) -> None:
    make, code = BODIES[name]
    sessions = len(web.sessions)
    verdict = await judged(web.open("POST", BASE, make(message("initialize", LEGACY["initialize"]))))
    assert verdict == (400, code)
    assert len(web.sessions) == sessions
    await alive(web, session)


def params_of(method: str, valid: Json) -> list[Json]:
    """The params of a request, each of its members (and some that it may have) wrong in turn."""
    names = {
        *valid,
        *("cursor", "name", "uri", "arguments", "requestState", "inputResponses"),
        *("ref", "argument", "context", "task", "level", "notifications"),
    }
    changed = [{**valid, name: wrong} for name in sorted(names) for wrong in WRONG]
    missing = [{k: v for k, v in valid.items() if k != name} for name in valid]
    inner = [
        {**valid, outer: {**value, name: wrong}}
        for outer, value in valid.items()
        if isinstance(value, dict)
        for name in (*value, "toolsListChanged", "resourceSubscriptions")
        for wrong in WRONG
    ]
    resources = [
        {**valid, "ref": {"type": "ref/resource", "uri": wrong}} for wrong in WRONG if "ref" in valid
    ]
    return [*changed, *missing, *inner, *resources]


METAS: Final[list[Json]] = [
    {name: wrong}
    for name in ("progressToken", META_LOG_LEVEL, META_CAPABILITIES, META_VERSION, "traceparent")
    for wrong in WRONG
] + [
    {META_CAPABILITIES: {name: wrong}}
    for name in ("elicitation", "extensions", "sampling")
    for wrong in WRONG
]


@pytest.mark.parametrize("method", MODERN)
async def test_wrong_params_are_an_error_and_no_fault_modern(web: Web, session: Legacy, method: str) -> None:
    for params in params_of(method, MODERN[method]):
        headers, body = modern(method, params)
        field = NAME_PARAM.get(method)
        if field is not None and not isinstance(params.get(field), str):
            headers["mcp-name"] = "x"
        status, code = await judged(web.open("POST", headers, msgspec.json.encode(body)))
        assert status < 500, (params, status)
        assert code in (None, -32602, -32601, -32020), (params, code)
    await alive(web, session)
    assert "call.fault" not in web.log.events
    assert "http.fault" not in web.log.events


@pytest.mark.parametrize("method", LEGACY)
async def test_wrong_params_are_an_error_and_no_fault_legacy(web: Web, session: Legacy, method: str) -> None:
    for params in params_of(method, LEGACY[method]):
        body = msgspec.json.encode(message(method, params))
        headers = BASE if method == "initialize" else session.headers
        answer = web.open("POST", headers, body)
        status, code = await judged(answer)
        if ident := answer.headers.get("mcp-session-id"):
            await web.open("DELETE", {**BASE, "mcp-session-id": ident}).head()
        assert status == 200, (params, status)
        assert code in (None, -32602, -32601, -32600, -32002), (params, code)
    await alive(web, session)
    assert "call.fault" not in web.log.events
    assert "http.fault" not in web.log.events


@pytest.mark.parametrize("method", ["tools/call", "tools/list", "server/discover", "subscriptions/listen"])
async def test_wrong_meta_is_an_error_and_no_fault(web: Web, session: Legacy, method: str) -> None:
    for meta in METAS:
        headers, body = modern(method, MODERN[method])
        body["params"]["_meta"] = {**META, **meta}
        status, code = await judged(web.open("POST", headers, msgspec.json.encode(body)))
        assert status in (200, 400), (meta, status)
        assert code in (None, -32602, -32020, -32022), (meta, code)
        legacy = msgspec.json.encode(message("tools/call", {**BOTH["tools/call"], "_meta": meta}))
        status, code = await judged(web.open("POST", session.headers, legacy))
        assert status in (200, 400), (meta, status)
        assert code in (None, -32602, -32020, -32022), (meta, code)
    await alive(web, session)
    assert "call.fault" not in web.log.events


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
async def test_a_notification_is_never_answered_with_a_fault(web: Web, session: Legacy, wrong: Any) -> None:
    for method in ("cancelled", "initialized", "progress", "roots/list_changed", "message", "unheard-of"):
        for name in ("requestId", "progressToken", "reason", "_meta"):
            note = {"jsonrpc": "2.0", "method": f"notifications/{method}", "params": {name: wrong}}
            for headers in (session.headers, {**BASE, "mcp-protocol-version": LATEST_MODERN}):
                status, code = await judged(web.open("POST", headers, msgspec.json.encode(note)))
                assert (status, code) in ((202, None), (400, -32602)), note
    await alive(web, session)


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
async def test_an_answer_to_nothing_is_never_a_fault(web: Web, session: Legacy, wrong: Any) -> None:
    for ident in (1, "1", 2**70):
        for member in ("result", "error"):
            for value in (wrong, {"code": wrong, "message": wrong, "data": wrong}):
                answer = msgspec.json.encode({"jsonrpc": "2.0", "id": ident, member: value})
                status, code = await judged(web.open("POST", session.headers, answer))
                assert (status, code) in ((202, None), (400, -32600)), answer
    await alive(web, session)


LINES: Final[list[tuple[str, list[tuple[str, str]], int]]] = [
    ("two hosts", [("host", "localhost")], 400),
    ("two content types", [("content-type", "application/json")], 400),
    ("two lengths", [("content-length", "1")], 400),
    ("a coding and a length", [("transfer-encoding", "chunked")], 400),
    ("two tokens", [("authorization", "Bearer a"), ("authorization", "Bearer b")], 400),
    ("two sessions", [("mcp-session-id", "a"), ("mcp-session-id", "b")], 400),
    ("two event ids", [("last-event-id", "a"), ("last-event-id", "b")], 400),
    ("two versions", [("mcp-protocol-version", LATEST_MODERN)], 400),
    ("two methods", [("mcp-method", "tools/call")], 400),
    ("two names", [("mcp-name", "echo")], 400),
    ("another site", [("origin", "https://evil.example")], 403),
    ("a null origin", [("origin", "null")], 403),
    ("a look-alike origin", [("origin", "http://localhost.evil.example")], 403),
    ("too many", [(f"x-{n}", "1") for n in range(200)], 431),
    ("too long", [("x-long", "y" * 20_000)], 431),
    ("an endless parameter", [("mcp-param-region", "y" * 9_000)], 431),
]


@pytest.mark.parametrize(("name", "lines", "status"), LINES, ids=[name for name, _, _ in LINES])
async def test_headers_no_honest_client_sends_are_refused(
    web: Web, session: Legacy, name: str, lines: list[tuple[str, str]], status: int
) -> None:
    headers, body = modern("tools/call", MODERN["tools/call"])
    before = len(web.upstream.calls)
    got, _ = await judged(web.open("POST", [*headers.items(), *lines], msgspec.json.encode(body)))
    assert got == status
    assert len(web.upstream.calls) == before
    await alive(web, session)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost:80@evil.example", 400),
        ("a/x?", 400),
        ("", 400),
    ],
)
async def test_a_host_that_is_not_ours_is_refused(web: Web, session: Legacy, host: str, status: int) -> None:
    headers, body = modern("tools/list", {})
    got, _ = await judged(web.open("POST", {**headers, "host": host}, msgspec.json.encode(body)))
    assert got == status
    await alive(web, session)


@pytest.mark.parametrize(
    "name", ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "accept"]
)
@pytest.mark.parametrize(
    "value", ["", " ", "\t", "ÿ", "é", ",", ";", "=?base64?", "=?base64?=?=", "null", "x" * 5000]
)
async def test_a_header_value_that_is_none_is_no_fault(
    web: Web, session: Legacy, name: str, value: str
) -> None:
    headers, body = modern("tools/call", MODERN["tools/call"])
    for method, lines in (("POST", headers), ("POST", session.headers), ("GET", session.headers)):
        sent = msgspec.json.encode(body if lines is headers else message("ping", {}))
        status, _ = await judged(web.open(method, {**lines, name: value}, sent if method == "POST" else b""))
        assert status < 500
        if name.startswith("mcp-p") or (lines is headers and name in ("mcp-method", "mcp-name")):
            assert status in (400, 405)
    await alive(web, session)
