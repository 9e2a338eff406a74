"""Calls of an agent's skills, over every binding, against an agent made with the SDK."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from portico.api import Json, Principal, Ref, Refused, Secret, State
from tests.plugins.upstreams.a2a.agent_server import agent, certified
from tests.plugins.upstreams.a2a.kit import running, structured
from tests.plugins.upstreams.kit import BOB, call, exchange, text

PNG = base64.b64encode(b"\x89PNG").decode()
BINDINGS = ("JSONRPC", "HTTP+JSON", "GRPC")
WAYS = [
    (binding, version, streaming)
    for binding in BINDINGS
    for version in ("1.0", "0.3.0")
    for streaming in (True, False)
]


async def test_a_skill_is_a_tool_that_says_what_the_agent_says() -> None:
    async with agent() as served, running(served.url) as up:
        assert up.upstream.state is State.READY
        assert [tool["name"] for tool in up.upstream.offer.tools] == ["greet", "count_up"]
        result = await up.send(call("greet", {"message": "world"}))
    assert text(result) == "Hello, world!"
    assert structured(result)["state"] == "completed"
    assert served.script.heard[0]["metadata"] == {"skillId": "greet"}


@pytest.mark.parametrize(("binding", "version", "streaming"), WAYS)
async def test_every_binding_of_both_versions_gives_the_same(
    binding: str, version: str, streaming: bool
) -> None:
    async with (
        agent([binding], version=version, streaming=streaming) as served,
        running(served.url, origins=[served.grpc]) as up,
    ):
        result = await up.send(call("greet", {"message": "you"}))
        message = await up.send(call("greet", {"message": "say it"}))
    assert text(result) == "Hello, you!"
    shown: Any = structured(result)["artifacts"][0]
    assert (shown["artifactId"], shown["name"]) == ("a1", "greeting")
    assert structured(message)["message"] == "it"


async def test_what_a_tool_is_called_with_is_a_message() -> None:
    files = [
        {"name": "a.png", "mediaType": "image/png", "base64": PNG},
        {"name": "b.csv", "url": "https://93.184.216.34/b.csv"},
    ]
    async with agent() as served, running(served.url) as up:
        await up.send(call("greet", {"message": "one", "data": {"n": 5, "x": 1.5}, "files": files}))
    heard = served.script.heard[0]
    assert heard["role"] == "ROLE_USER"
    assert heard["parts"] == [
        {"text": "one"},
        {"data": {"n": 5, "x": 1.5}, "mediaType": "application/json"},
        {"raw": PNG, "mediaType": "image/png", "filename": "a.png"},
        {"url": "https://93.184.216.34/b.csv", "filename": "b.csv"},
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "neither a message nor data"),
        ({"message": ""}, "neither a message nor data"),
        ({"message": 5}, "message: expected a string"),
        ({"message": "a", "more": 1}, "no argument 'more'"),
        ({"data": []}, "data: expected an object"),
        ({"files": [{}]}, "files/0: expected either"),
        ({"files": [{"base64": "###"}]}, "files/0/base64: expected base64"),
        ({"files": ["a"]}, "files/0: expected an object"),
        ({"files": [{"url": "http://127.0.0.1/"}]}, "files/0/url: address_not_allowed"),
        ({"files": [{"url": "http://169.254.169.254/x"}]}, "files/0/url: address_not_allowed"),
        ({"files": [{"url": "http://0x7f.1/"}]}, "files/0/url: address_not_allowed"),
        ({"files": [{"url": "file:///etc/passwd"}]}, "files/0/url: expected http"),
        ({"files": [{"base64": "eA=="}] * 65}, "more than 64 files"),
        ({"message": "a", "taskId": "made-up"}, "taskId: there is no such thing"),
        ({"message": "a", "contextId": "made-up.AAAA"}, "contextId: there is no such thing"),
        ({"message": "a", "referenceTaskIds": [5]}, "referenceTaskIds: there is no such thing"),
    ],
)
async def test_arguments_that_do_not_fit_are_not_sent(arguments: Json, said: str) -> None:
    async with agent() as served, running(served.url) as up:
        result = await up.send(call("greet", arguments))
    assert result.value["isError"]
    assert said in text(result)
    assert not served.script.heard


async def test_files_by_url_can_be_switched_off() -> None:
    async with agent() as served, running(served.url, file_urls="none") as up:
        each = up.upstream.offer.tools[0]["inputSchema"]["properties"]["files"]["items"]
        result = await up.send(call("greet", {"files": [{"url": "https://93.184.216.34/"}]}))
    assert "url" not in each["properties"]
    assert "not taken here" in text(result)


async def test_a_conversation_goes_on_with_the_ids_of_the_answer() -> None:
    async with agent() as served, running(served.url) as up:
        first = await up.send(call("greet", {"message": "ask How are you"}))
        asked = structured(first)
        second = await up.send(call("greet", {"message": "fine", "taskId": asked["taskId"]}))
        context = {"contextId": structured(second)["contextId"], "referenceTaskIds": [asked["taskId"]]}
        await up.send(call("greet", {"message": "on", **context}))
    assert asked["state"] == "input_required"
    assert text(first) == "How are you?"
    assert asked["taskId"] in first.value["content"][-1]["text"]
    assert structured(second)["state"] == "completed"
    assert text(second) == "fine"
    heard = served.script.heard
    assert heard[1]["taskId"] == heard[0]["taskId"] == heard[2]["referenceTaskIds"][0]
    assert heard[2]["contextId"] == heard[0]["contextId"]
    assert heard[2]["taskId"] != heard[0]["taskId"]


async def test_ids_are_good_for_whom_they_were_given_to_only() -> None:
    async with agent() as served, running(served.url) as up:
        first = structured(await up.send(call("greet", {"message": "ask Who"})))
        for wrong in ({"taskId": first["taskId"]}, {"contextId": first["contextId"]}):
            stolen = await up.send(call("greet", {"message": "me", **wrong}, principal=BOB))
            unknown = await up.send(
                call("greet", {"message": "me", **dict.fromkeys(wrong, "x.y")}, principal=BOB)
            )
            assert text(stolen) == text(unknown)
        swapped = await up.send(call("greet", {"message": "me", "taskId": first["contextId"]}))
    assert swapped.value["isError"]
    assert len(served.script.heard) == 1


async def test_what_fails_at_the_agents_is_the_tools_error() -> None:
    async with agent() as served, running(served.url) as up:
        failed = await up.send(call("greet", {"message": "fail no seats left"}))
        rejected = await up.send(call("greet", {"message": "reject"}))
        raised = await up.send(call("greet", {"message": "raise"}))
    assert failed.value["isError"]
    assert text(failed) == "no seats left"
    assert structured(failed)["state"] == "failed"
    assert rejected.value["isError"]
    assert structured(rejected)["state"] == "rejected"
    assert raised.value["isError"]
    assert "The agent failed" in text(raised)
    assert "secret" not in str(raised.value)


async def test_artifacts_are_content_and_structured() -> None:
    async with agent() as served, running(served.url, max_inline_bytes=1000) as up:
        result = await up.send(call("greet", {"message": "parts"}))
        done, see, data, image, big, link = result.value["content"]
        read = await up.send(exchange("resources/read", {"uri": big["uri"]}))
        with pytest.raises(Refused, match="not found") as stolen:
            await up.send(exchange("resources/read", {"uri": big["uri"]}, principal=BOB))
        with pytest.raises(Refused, match="not found"):
            await up.send(exchange("resources/read", {"uri": big["uri"][:-1] + "9"}))
    assert stolen.value.code == -32602
    assert (done["text"], see["text"]) == ("done", "see")
    assert json.loads(data["text"]) == {"n": 5, "list": [1.5, None]}
    assert image == {"type": "image", "data": PNG, "mimeType": "image/png"}
    assert big.items() >= {"type": "resource_link", "name": "b.pdf", "size": 5000}.items()
    assert link == {
        "type": "resource_link",
        "uri": "https://files.example/c.csv",
        "name": "c.csv",
        "mimeType": "text/csv",
    }
    assert base64.b64decode(read.value["contents"][0]["blob"]) == b"x" * 5000
    report, files = structured(result)["artifacts"]
    assert report["parts"][1]["data"] == {"n": 5, "list": [1.5, None]}
    assert files["parts"][0] == {"filename": "a.png", "mediaType": "image/png", "bytes": 4}


async def test_small_files_are_in_the_result() -> None:
    async with agent() as served, running(served.url) as up:
        result = await up.send(call("greet", {"message": "parts"}))
        schema = up.upstream.offer.tools[0]["outputSchema"]
    resource = result.value["content"][4]["resource"]
    assert base64.b64decode(resource["blob"]) == b"x" * 5000
    assert resource["mimeType"] == "application/pdf"
    jsonschema_rs.Draft202012Validator(schema).validate(structured(result))


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON", "GRPC"])
async def test_a_stream_is_told_as_progress_to_who_wants_it(binding: str) -> None:
    async with agent([binding]) as served, running(served.url, origins=[served.grpc]) as up:
        wanting = call("greet", {"message": "steps 3"}, progress_token="t")
        result = await up.send(wanting)
        silent = call("greet", {"message": "steps 3"})
        await up.send(silent)
    frames = [params for method, params in wanting.client.frames]  # type: ignore[attr-defined]
    assert [each.get("message") for each in frames][-6:] == [
        "step 0",
        "step 1",
        "step 2",
        "one, ",
        "two, ",
        "three",
    ]
    assert [each["progress"] for each in frames] == list(range(1, len(frames) + 1))
    assert {each["progressToken"] for each in frames} == {"t"}
    assert text(result) == "one, two, three"
    assert silent.client.frames == []  # type: ignore[attr-defined]


async def test_a_stream_with_too_many_events_is_left_and_the_outcome_asked_for() -> None:
    async with agent() as served, running(served.url, max_stream_events=3) as up:
        result = await up.send(call("greet", {"message": "steps 10"}, progress_token=1))
    assert text(result) == "one, two, three"


@pytest.mark.parametrize(("binding", "streaming"), [(b, s) for b in BINDINGS for s in (True, False)])
async def test_cancelling_a_call_cancels_the_task(binding: str, streaming: bool) -> None:
    async with (
        agent([binding], streaming=streaming) as served,
        running(served.url, origins=[served.grpc]) as up,
    ):
        calling = asyncio.create_task(up.send(call("greet", {"message": "wait"})))
        await served.script.began.wait()
        await asyncio.sleep(0)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        async with asyncio.timeout(30):
            await served.script.gone.wait()
    assert served.script.cancelled == [served.script.heard[0]["taskId"]]


async def test_a_call_that_is_cancelled_before_its_task_has_a_name_cancels_it_as_well() -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    def held(app: ASGIApp) -> ASGIApp:
        async def hold(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] == "/rpc" and not arrived.is_set():
                arrived.set()
                await go_on.wait()
            await app(scope, receive, send)

        return hold

    async with agent(wrap=held) as served, running(served.url) as up:
        calling = asyncio.create_task(up.send(call("greet", {"message": "wait"})))
        await arrived.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        go_on.set()
        async with asyncio.timeout(30):
            await served.script.gone.wait()
    assert len(served.script.cancelled) == 1


async def test_a_call_that_takes_too_long_is_given_up_and_its_task_cancelled() -> None:
    async with agent() as served, running(served.url, call_timeout=1.0) as up:
        with pytest.raises(Refused) as refused:
            await up.send(call("greet", {"message": "wait"}))
        async with asyncio.timeout(30):
            await served.script.gone.wait()
    assert refused.value.code == 50400
    assert refused.value.data["gateway"]["reason"] == "call_timeout"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_request_names_the_tenant_of_the_interface(binding: str) -> None:
    async with (
        agent([binding], tenant="acme") as served,
        running(served.url, origins=[served.grpc]) as up,
    ):
        result = await up.send(call("greet", {"message": "you"}))
    assert text(result) == "Hello, you!"
    assert served.script.tenants == ["acme"]


async def test_the_agent_gets_the_headers_that_are_its_own_and_no_others() -> None:
    class Own:
        async def headers(self, principal: Principal, upstream: str) -> dict[str, str]:
            return {"Authorization": f"Bearer of-{principal.subject}"}

    inbound = {"authorization": "Bearer inbound", "x-trace": "7", "cookie": "c", "x-other": "8"}
    settings: Json = {"headers": {"X-Key": Secret("k")}, "pass_headers": {"X-Trace": "X-Id"}}
    async with agent() as served, running(served.url, Own(), credential=Ref("own"), **settings) as up:
        await up.send(call("greet", {"message": "you"}, headers=inbound))
    got = served.script.headers[0]
    assert got["authorization"] == "Bearer of-alice"
    assert (got["x-key"], got["x-id"], got["a2a-version"]) == ("k", "7", "1.0")
    assert "inbound" not in str(got)
    assert "cookie" not in got
    assert "x-other" not in got


async def test_a_tool_there_is_not_is_refused() -> None:
    async with agent() as served, running(served.url) as up:
        with pytest.raises(Refused, match="Unknown tool") as refused:
            await up.send(call("nothing", {"message": "x"}))
        with pytest.raises(Refused, match="Method not found"):
            await up.send(exchange("prompts/get", {"name": "x"}))
    assert refused.value.code == -32602
    assert not served.script.heard


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_agent_is_spoken_to_by_tls_and_has_to_be_who_it_is(binding: str, tmp_path: Path) -> None:
    tls = certified(tmp_path)
    (tmp_path / "other").mkdir()
    other = certified(tmp_path / "other")
    async with agent([binding], tls=tls) as served:
        async with running(served.url, origins=[served.grpc], ca_file=tls.authority) as up:
            assert text(await up.send(call("greet", {"message": "you"}))) == "Hello, you!"
        async with running(served.url, ca_file=other.authority) as up:
            assert (up.upstream.state, up.upstream.reason) == (State.UNAVAILABLE, "tls_failed")
    assert len(served.script.heard) == 1
