"""Whose progress is whose on a connection that several calls share."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from portico.api import Host
from portico_plugins.upstreams.mcp.call import Backchannel, Call
from portico_plugins.upstreams.mcp.wire import Message
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
