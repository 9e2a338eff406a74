"""Whose progress is whose on a connection that several calls share."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from portico.api import Host
from portico_plugins.upstreams.mcp.backchannel import Backchannel
from portico_plugins.upstreams.mcp.call import Call
from portico_plugins.upstreams.mcp.wire import Message, with_token
from tests.plugins.upstreams import kit


class Two:
    """A connection with two calls in flight, each of a client that wants progress."""

    def __init__(self) -> None:
        async def respond(frame: bytes) -> None:
            raise AssertionError(frame)

        host = cast("Host", None)  # nothing here reports or logs
        self.back = Backchannel(host, None, lambda kind: None, lambda principal, params: None, respond)
        self.heard: dict[str, list[Any]] = {"a": [], "b": []}
        self.a, self.b = self.call("a"), self.call("b")

    def call(self, name: str) -> Call:
        heard = self.heard[name]

        class Client(kit.Client):
            async def notify(self, method: str, params: Any) -> None:
                heard.append(params["progressToken"])

        call = Call("tools/call", kit.call("x", client=Client(), progress_token=name))
        self.back.calls[call.id] = call
        return call

    def progress(self, token: int) -> Message:
        return Message(
            method="notifications/progress",
            params=msgspec.Raw(msgspec.json.encode({"progressToken": token, "progress": 1})),
        )


@pytest.mark.parametrize("certain", [True, False])
async def test_progress_of_a_call_reaches_its_client_under_its_own_token(certain: bool) -> None:
    two = Two()
    await two.back.heard(two.progress(two.a.id), two.a, certain=certain)
    assert two.heard == {"a": ["a"], "b": []}


async def test_another_calls_token_on_a_calls_own_stream_reaches_nobody() -> None:
    two = Two()
    await two.back.heard(two.progress(two.a.id), two.b)
    assert two.heard == {"a": [], "b": []}


async def test_where_the_call_is_a_guess_the_token_decides() -> None:
    two = Two()
    await two.back.heard(two.progress(two.a.id), two.b, certain=False)
    await two.back.heard(two.progress(two.b.id), None)
    assert two.heard == {"a": ["a"], "b": ["b"]}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (b'{"progressToken":7,"progress":1}', b'{"progressToken":"t","progress":1}'),
        (b'{"progress":1.50,"progressToken":7}', b'{"progress":1.50,"progressToken":"t"}'),
        (b'{"message":"7 of 7","progressToken":7}', b'{"message":"7 of 7","progressToken":"t"}'),
        (b'{"progressToken":77,"progress":1}', None),
        (b'{"progressToken":"7","progress":1}', None),
        (b'{"progressToken":7.5}', None),
        (b'{"progressToken": 7}', None),
        (b'{"progress":1}', None),
        (b'{"progressToken":7,"progressToken":8}', None),
        (b'{"progressToken":7,"progressToken" :8}', None),
        (b'{"_meta":{"progressToken":7},"progress":1}', None),
        (b'{"x\\"progressToken":7,"progress":1}', None),
        (b'{"\\u0070rogressToken":8,"progressToken":7}', None),
        (b'{"progressToken":7,\n"progress":1}', None),
        (b'{"progressToken":7,\r"progress":1}', None),
        (b"", None),
    ],
)
def test_a_token_is_replaced_where_it_can_be_nothing_else(params: bytes, expected: bytes | None) -> None:
    assert with_token(params, 7, b'"t"') == expected


async def test_progress_passes_as_it_came_but_for_the_token() -> None:
    two = Two()
    params = b'{"progressToken":%d,"progress":1.0}' % two.a.id
    message = Message(method="notifications/progress", params=msgspec.Raw(params))
    assert two.back.passed(message, two.a)
    assert two.a.exchange is not None
    client = cast("kit.Client", two.a.exchange.client)
    assert client.frames == [("notifications/progress", {"progressToken": "a", "progress": 1.0})]


@pytest.mark.parametrize("token", [None, "a"])
async def test_only_progress_that_its_client_asked_for_passes(token: str | None) -> None:
    two = Two()
    assert two.a.exchange is not None
    two.a.exchange.progress_token = token
    ours = msgspec.Raw(b'{"progressToken":%d}' % two.a.id)
    theirs = msgspec.Raw(b'{"progressToken":%d}' % two.b.id)
    passed = two.back.passed(Message(method="notifications/progress", params=ours), two.a)
    assert passed is (token is not None)
    assert not two.back.passed(Message(method="notifications/progress", params=theirs), two.a)
    assert not two.back.passed(Message(method="notifications/message", params=ours), two.a)
    assert not two.back.passed(
        Message(id=msgspec.Raw(b"1"), method="notifications/progress", params=ours), two.a
    )
