"""Calls of gRPC methods: arguments, results, errors, deadlines, metadata, streams."""

from __future__ import annotations

import asyncio
import json
import resource
from typing import Any

import grpc
import jsonschema
import pytest

from portico.api import OVERLOADED, Refused, Secret
from portico_plugins.upstreams.grpc.config import GrpcConfig
from tests.plugins.upstreams.grpc_kit import (
    SERVICES,
    Shop,
    grpc_server,
    reflection,
    shop_handlers,
    shop_upstream,
    tool,
    upstream,
)
from tests.plugins.upstreams.grpc_kit import (
    shop as shop_pool,
)
from tests.plugins.upstreams.kit import Client, call, exchange, text
from tests.plugins.upstreams.test_grpc_schemas import GOOD


def content(result: Any) -> Any:
    return result.value["structuredContent"]


async def test_every_kind_of_field_comes_back_as_it_was_sent() -> None:
    async with shop_upstream() as running:
        schema = tool(running, "Orders_Create")["outputSchema"]
        for given in GOOD:
            result = await running.send(call("Orders_Create", {"customerId": "c", **given}))
            made = content(result)
            jsonschema.Draft202012Validator(schema).validate(made)
            assert json.loads(text(result)) == made
            for name, value in given.items():
                back = made["order"].get(name)
                if value is None:
                    assert back is None
                elif name == "tree":
                    assert back["children"][0]["name"] == "c"
                elif isinstance(value, int) and name == "amountCents":
                    assert back == str(value)
                else:
                    assert back == value


async def test_zero_values_are_there() -> None:
    async with shop_upstream() as running:
        made = content(await running.send(call("Orders_Create", {"customerId": "c"})))
        assert (made["order"]["qty"], made["order"]["tags"], made["order"]["status"]) == (
            0,
            [],
            "STATUS_UNSPECIFIED",
        )
        assert "optQty" not in made["order"]


async def test_messages_that_are_no_objects_go_both_ways() -> None:
    async with shop_upstream() as running:
        assert content(await running.send(call("Orders_Shout", {"value": "hey"}))) == {"value": "HEY"}
        assert content(await running.send(call("Orders_Ping"))) == {"value": "1970-01-01T00:00:00Z"}
        assert content(await running.send(call("Orders_Free", {"a": [1]}))) == {"value": {"a": [1.0]}}
        assert content(await running.send(call("Orders_Cancel", {"id": "x"}))) == {}


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("Orders_Create", {"nope": 1}, "nope"),
        ("Orders_Create", {"qty": "many"}, "qty"),
        ("Orders_Create", {"pickupPoint": "a", "lockerId": 1}, "oneof"),
        ("Orders_Shout", {"text": "a"}, "`value`"),
        ("Orders_Total", {"texts": []}, "`messages`"),
        ("Orders_Total", {"messages": [{"text": "a"}, {"text": 1}]}, "messages[1]"),
        ("Orders_Total", {"messages": ["a"]}, "messages[0]"),
        ("Orders_Total", {"messages": [None]}, "messages[0]: expected an object"),
        ("Orders_Create", {"blob": "hello world!"}, "blob stands for bytes: expected base64"),
        ("Orders_Create", {"byFloor": {"1": None}}, 'byFloor["1"]: null is no value of a map'),
        ("Orders_Create", {"by_floor": {"1": {}, "2": 5}}, 'by_floor["2"]: expected an object, got a number'),
        ("Orders_Create", {"byFloor": [1]}, "byFloor: expected an object, got an array"),
        ("Orders_Create", {"counts": {"a": None}}, 'counts["a"]: null is no value of a map'),
        (
            "Orders_Create",
            {"flags": {"true": "x", "false": None}},
            'flags["false"]: null is no value of a map',
        ),
        ("Orders_Create", {"address": "x"}, "address: expected an object, got a string"),
        (
            "Orders_Create",
            {"tree": {"children": [{}, {"children": [True]}]}},
            "tree.children[1].children[0]: expected an",
        ),
        ("Orders_Create", {"tree": {"children": [None]}}, "tree.children[0]: expected an object, got null"),
    ],
)
async def test_arguments_that_do_not_fit_are_said_to_the_model(name: str, arguments: Any, said: str) -> None:
    async with shop_upstream() as running:
        result = await running.send(call(name, arguments))
        assert result.value["isError"] is True
        assert said in text(result)


async def test_null_is_a_value_where_protojson_has_it() -> None:
    async with shop_upstream() as running:
        given = {"address": None, "counts": None, "anyJson": None, "meta": {"a": None}, "lst": [None]}
        order = content(await running.send(call("Orders_Create", given)))["order"]
        assert (order["meta"], order["lst"], order["anyJson"]) == ({"a": None}, [None], None)


async def test_arguments_nested_without_end_are_refused() -> None:
    tree: dict[str, Any] = {}
    for _ in range(500):
        tree = {"children": [tree]}
    async with shop_upstream() as running:
        result = await running.send(call("Orders_Create", {"tree": tree}))
        assert result.value["isError"] is True


async def test_a_refusal_of_the_method_comes_with_its_details_and_no_stack_trace() -> None:
    async with shop_upstream() as running:
        result = await running.send(call("Orders_Fail", {}))
        assert result.value["isError"] is True
        said = json.loads(text(result))
        assert (said["code"], said["message"]) == ("INVALID_ARGUMENT", "no good")
        assert said["details"][0]["fieldViolations"] == [{"field": "id", "description": "too short"}]
        assert said["details"][1]["text"] == "own"
        assert said["details"][3] == {"@type": "type.googleapis.com/nobody.Knows", "value": "AAE="}
        assert "secret.py" not in text(result)


@pytest.mark.parametrize(
    ("status", "code", "reason", "retryable"),
    [
        ("UNAVAILABLE", 50300, "upstream_unavailable", True),
        ("RESOURCE_EXHAUSTED", OVERLOADED, "upstream_exhausted", True),
        ("UNAUTHENTICATED", 50300, "upstream_unauthorized", False),
        ("DEADLINE_EXCEEDED", 50400, "call_timeout", False),
    ],
)
async def test_a_status_that_is_not_the_methods_own_is_one_of_our_codes(
    status: str, code: int, reason: str, retryable: bool
) -> None:
    async with shop_upstream() as running:
        with pytest.raises(Refused) as caught:
            await running.send(call("Orders_Fail", {"id": status}))
        gateway = caught.value.data["gateway"]
        assert (caught.value.code, gateway["reason"], gateway["retryable"]) == (code, reason, retryable)
        assert gateway["retry_after"] == 2 if status != "DEADLINE_EXCEEDED" else True
        assert "no good" not in caught.value.message


@pytest.mark.parametrize("status", ["NOT_FOUND", "PERMISSION_DENIED", "INTERNAL", "UNKNOWN", "ABORTED"])
async def test_other_statuses_are_errors_of_the_tool(status: str) -> None:
    async with shop_upstream() as running:
        assert json.loads(text(await running.send(call("Orders_Fail", {"id": status}))))["code"] == status


async def test_a_call_beyond_its_deadline_ends_on_the_server_too() -> None:
    shop = Shop()
    async with shop_upstream(shop) as running:
        with pytest.raises(Refused) as caught:
            await running.send(call("Orders_Slow", {}, seconds=1.0))
        assert caught.value.code == 50400
        await asyncio.wait_for(shop.ended.wait(), 30)


async def test_the_nearer_deadline_counts() -> None:
    async with shop_upstream(call_timeout=3.0) as running:
        assert content(await running.send(call("Orders_Mirror", {})))["seconds"] < 3.5
        assert content(await running.send(call("Orders_Mirror", {}, seconds=2)))["seconds"] < 2.5


@pytest.mark.parametrize("name", ["Orders_Slow", "Orders_Watch"])
async def test_a_cancelled_call_is_cancelled_on_the_server(name: str) -> None:
    shop = Shop()
    async with shop_upstream(shop) as running:
        task = asyncio.create_task(running.send(call(name, {"id": "stalls"})))
        await asyncio.wait_for(shop.begun.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(shop.ended.wait(), 30)


class Token:
    async def headers(self, principal: Any, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {principal.subject}"}


async def test_metadata_is_what_is_configured_passed_on_and_vouched_for() -> None:
    config: dict[str, Any] = {
        "metadata": {"x-fixed": Secret("one"), "x-raw-bin": Secret("AQL+")},
        "pass_headers": ("x-tenant", "x-blob-bin"),
        "credential": "token",
    }
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {
        "x-tenant": "acme",
        "x-blob-bin": "AP8",
        "authorization": "Bearer client's own",
        "x-other": "no",
        "traceparent": trace,
    }
    async with shop_upstream() as running:
        url = running.upstream._config.url
        async with upstream(url, Token(), **config) as other:
            seen = content(await other.send(call("Orders_Mirror", {}, headers=headers)))["metadata"]
    assert seen["x-fixed"] == "one"
    assert (seen["x-raw-bin"], seen["x-blob-bin"]) == ("0102fe", "00ff")
    assert (seen["x-tenant"], seen["traceparent"]) == ("acme", trace)
    assert seen["authorization"] == "Bearer alice"
    assert "x-other" not in seen


@pytest.mark.parametrize(
    "config",
    [
        {"pass_headers": ("authorization",)},
        {"pass_headers": ("X-Upper",)},
        {"metadata": {"grpc-timeout": Secret("1S")}},
        {"metadata": {"x-a": Secret("a\nb")}},
        {"metadata": {"x-a-bin": Secret("not base64!")}},
        {"url": "http://a:1"},
        {"url": "grpc://a"},
        {"url": "grpc://user@a:1"},
        {"url": "grpc://a:1/path"},
        {"server_name": "x"},
        {"url": "grpcs://a:1", "client_cert": "x"},
    ],
    ids=str,
)
def test_a_config_that_makes_no_sense_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        GrpcConfig(**{"url": "grpc://a:1", **config})


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_compressed_answers_are_taken_and_a_bomb_is_not(compression: Any) -> None:
    handlers = [*shop_handlers(Shop()), *reflection(SERVICES, shop_pool())]
    async with (
        grpc_server(handlers, compression=grpc.Compression.Gzip) as port,
        upstream(port, compression=compression, max_message_bytes=200_000) as running,
    ):
        assert content(await running.send(call("Orders_Large", {"n": 100_000})))["id"] == "x" * 100_000
        with pytest.raises(Refused) as caught:
            await running.send(call("Orders_Large", {"n": 20_000_000}))  # 20 kB on the wire
        assert caught.value.data["gateway"]["reason"] == "message_too_large"


async def test_a_message_beyond_the_limit_is_not_taken_or_sent() -> None:
    async with shop_upstream(max_message_bytes=100_000) as running:
        with pytest.raises(Refused) as caught:
            await running.send(call("Orders_Large", {"n": 200_000}))
        assert (caught.value.code, caught.value.data["gateway"]["reason"]) == (50200, "message_too_large")
        result = await running.send(call("Orders_Shout", {"value": "x" * 200_000}))
        assert "larger than 100000 bytes" in text(result)


@pytest.mark.parametrize("kind", ["", "any"])
async def test_an_answer_that_cannot_be_read_is_a_bad_response(kind: str) -> None:
    async with shop_upstream() as running:
        with pytest.raises(Refused) as caught:
            await running.send(call("Orders_Garbled", {"id": kind}))
        assert (caught.value.code, caught.value.data["gateway"]["reason"]) == (50200, "malformed_message")
        assert content(await running.send(call("Orders_Get", {"id": "1"})))["id"] == "1"


# --- streams -----------------------------------------------------------------------------------------


async def test_a_stream_is_progress_and_a_list() -> None:
    client = Client()
    async with shop_upstream() as running:
        request = call("Orders_Watch", {"id": "a", "n": 3}, client=client, progress_token="p")
        made = content(await running.send(request))
    assert made == {"items": [{"number": n, "text": "a"} for n in range(3)]}
    assert [method for method, _ in client.frames] == ["notifications/progress"] * 3
    assert [params["progress"] for _, params in client.frames] == [1, 2, 3]
    assert json.loads(client.frames[1][1]["message"]) == {"number": 1, "text": "a"}
    assert {params["progressToken"] for _, params in client.frames} == {"p"}


async def test_a_client_without_a_token_gets_no_progress() -> None:
    client = Client()
    async with shop_upstream() as running:
        await running.send(call("Orders_Watch", {"n": 3}, client=client))
    assert client.frames == []


async def test_ten_thousand_messages_arrive_in_order_with_little_memory() -> None:
    class Counting(Client):
        count = 0

        async def notify(self, method: str, params: Any) -> None:
            self.count += 1
            assert params["progress"] == self.count

    client = Counting()
    async with shop_upstream(max_stream_messages=10_000) as running:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        request = call(
            "Orders_Watch", {"id": "x" * 100, "n": 10_000}, client=client, progress_token=1, seconds=60
        )
        made = content(await running.send(request))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert client.count == 10_000
    assert [each["number"] for each in made["items"]] == list(range(10_000))
    assert "truncated" not in made
    assert grown < 64 * 1024  # KB; server, gRPC's buffers and the decoded list included


async def test_a_stream_without_end_ends_at_the_limit_and_on_the_server() -> None:
    shop = Shop()
    async with shop_upstream(shop, max_stream_messages=50) as running:
        made = content(await running.send(call("Orders_Watch", {"id": "x" * 1000})))
        assert (len(made["items"]), made["truncated"]) == (50, "max_stream_messages")
        await asyncio.wait_for(shop.ended.wait(), 30)


async def test_a_stream_is_limited_in_bytes() -> None:
    async with shop_upstream(max_stream_bytes=5000) as running:
        made = content(await running.send(call("Orders_Watch", {"id": "x" * 1000})))
        assert (len(made["items"]), made["truncated"]) == (4, "max_stream_bytes")


async def test_a_slow_client_holds_the_server_back() -> None:
    shop, gate = Shop(), asyncio.Event()

    class Slow(Client):
        async def notify(self, method: str, params: Any) -> None:
            await gate.wait()

    async with shop_upstream(shop) as running:
        request = call("Orders_Watch", {"id": "x" * 20_000}, client=Slow(), progress_token=1)
        task = asyncio.create_task(running.send(request))
        sent = -1
        while sent != shop.sent or not sent:  # until flow control has stopped it
            sent = shop.sent
            await asyncio.sleep(0.2)
        assert sent * 20_000 < 16 * 1024 * 1024
        gate.set()
        assert content(await task)["truncated"] == "max_stream_bytes"


async def test_a_stream_that_stalls_gives_what_came_before_the_deadline() -> None:
    async with shop_upstream() as running:
        made = content(await running.send(call("Orders_Watch", {"id": "stalls"}, seconds=2)))
        assert (len(made["items"]), made["truncated"]) == (3, "deadline")


async def test_a_stream_that_breaks_gives_what_came_and_why() -> None:
    async with shop_upstream() as running:
        result = await running.send(call("Orders_Watch", {"id": "fails"}))
        said = json.loads(text(result))
        assert result.value["isError"] is True
        assert (said["code"], said["message"], len(said["items"])) == ("DATA_LOSS", "the rest is gone", 3)


async def test_a_list_is_sent_as_a_stream_and_answered_by_one_or_many() -> None:
    lines = {"messages": [{"text": "ab", "amount": 1}, {"text": "cd", "amount": "2"}]}
    async with shop_upstream() as running:
        assert content(await running.send(call("Orders_Total", lines))) == {
            "amount": "3",
            "texts": ["ab", "cd"],
        }
        made = content(await running.send(call("Orders_Chat", lines)))
        assert made == {"items": [{"text": "ba", "amount": "-1"}, {"text": "dc", "amount": "-2"}]}
        assert content(await running.send(call("Orders_Total", {"messages": []})))["amount"] == "0"


async def test_an_unknown_tool_and_another_method_are_refused() -> None:
    async with shop_upstream() as running:
        for request, code in ((call("Nope"), -32602), (exchange("prompts/get", {"name": "x"}), -32601)):
            with pytest.raises(Refused) as caught:
                await running.send(request)
            assert caught.value.code == code
