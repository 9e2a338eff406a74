"""The gRPC binding: virtual servers and agents behind on one port, and who may come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from a2a.types import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError, UnsupportedOperationError

from portico.api import ConfigError
from portico.testing import running_gateway
from portico_plugins.transports.a2a.grpc import address_of
from tests.plugins.transports.a2a.behind import ALICE, BOB, Behind, behind, saying, sent, task_of
from tests.plugins.transports.a2a.peers import data_of, order

VERSION = ("a2a-version", "1.0")


async def address(found: Behind) -> str:
    """Where the binding is."""
    ways = (await found.card(ALICE)).supported_interfaces
    return next(each.url for each in ways if each.protocol_binding == "GRPC")


def server_of(found: Behind) -> str:
    """Where the virtual server itself is."""
    return found.url.removesuffix("/agents/scripted")


async def refused(call: Any) -> grpc.aio.AioRpcError:
    """The status of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_tool_of_a_virtual_server_is_called(tmp_path: Path) -> None:
    async with behind(tmp_path) as found, found.client("GRPC", url=server_of(found)) as client:
        task = await task_of(client, order("echo", {"a": [1, "x"]}))
        assert data_of(task.artifacts[0].parts[0]) == {"a": [1.0, "x"]}
        got = await client.get_task(GetTaskRequest(id=task.id, history_length=0))
        assert (got.id, len(got.history)) == (task.id, 0)
        assert [each.id for each in (await client.list_tasks(ListTasksRequest())).tasks] == [task.id]
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=task.id))
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id="unknown"))
        with pytest.raises(UnsupportedOperationError):
            await sent(client, order("echo", {}, task_id=task.id))


async def test_what_a_tool_does_is_streamed_and_can_be_followed(tmp_path: Path) -> None:
    async with (
        behind(tmp_path) as found,
        found.client("GRPC", url=server_of(found), streaming=True) as client,
    ):
        events = await sent(client, order("progress", {"n": 2}))
        kinds = [event.WhichOneof("payload") for event in events]
        assert kinds == ["task", *["status_update"] * 3, "artifact_update", "status_update"]
        stream: Any = client.send_message(order("hang"))
        task = (await anext(stream)).task
        again: Any = client.subscribe(SubscribeToTaskRequest(id=task.id))
        assert (await anext(again)).task.id == task.id
        gone = await client.cancel_task(CancelTaskRequest(id=task.id))
        assert gone.status.state == TaskState.TASK_STATE_CANCELED
        last = [event async for event in again][-1]
        assert last.status_update.status.state == TaskState.TASK_STATE_CANCELED
        await stream.aclose()


async def test_each_agent_is_its_own_tenant(tmp_path: Path) -> None:
    async with behind(tmp_path) as found, grpc.aio.insecure_channel(await address(found)) as channel:
        stub: Any = A2AServiceStub(channel)
        for tenant, kind in (("", "task"), ("default", "task"), ("default/agents/scripted", "message")):
            request = saying("tck-message-response")
            request.tenant = tenant
            answer = await stub.SendMessage(request, metadata=[VERSION])
            assert answer.WhichOneof("payload") == kind
        for tenant in ("nobody", "other/agents/scripted", "default/agents/", "default/agents/nobody", "/"):
            request.tenant = tenant
            error = await refused(stub.SendMessage(request, metadata=[VERSION]))
            assert error.code() == grpc.StatusCode.NOT_FOUND
        request.tenant = "default/agents/tools"  # is there, and no agent
        error = await refused(stub.SendMessage(request, metadata=[VERSION]))
        assert error.code() != grpc.StatusCode.OK


async def test_one_agent_may_need_no_tenant(tmp_path: Path) -> None:
    more = '[transports.alone]\nuse = "a2a"\n[transports.alone.grpc]\nlisten = "127.0.0.1:0"\n'
    only = more + 'tenant = "default/agents/scripted"\n'
    async with behind(tmp_path, more=only) as found:
        transport: Any = found.running.gateway.transports["alone"]
        async with grpc.aio.insecure_channel(transport.grpc_address) as channel:
            stub: Any = A2AServiceStub(channel)
            answer = await stub.SendMessage(saying("tck-message-response"), metadata=[VERSION])
            assert answer.message.parts[0].text == "Direct message response"


@pytest.mark.parametrize("version", [None, "", "0.3", "2.0"])
async def test_another_version_is_refused(tmp_path: Path, version: str | None) -> None:
    said = [] if version is None else [("a2a-version", version)]
    async with behind(tmp_path) as found, grpc.aio.insecure_channel(await address(found)) as channel:
        stub: Any = A2AServiceStub(channel)
        error = await refused(stub.SendMessage(saying("x"), metadata=said))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.SendStreamingMessage(saying("x"), metadata=said):
                pass
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    "said",
    [
        [],
        [("authorization", "Bearer wrong-but-long-enough")],
        [("authorization", f"Bearer {ALICE}"), ("authorization", f"Bearer {BOB}")],
    ],
)
async def test_nobody_comes_in_without_credentials(tmp_path: Path, said: list[tuple[str, str]]) -> None:
    async with behind(tmp_path, people=True) as found:
        async with grpc.aio.insecure_channel(await address(found)) as channel:
            stub: Any = A2AServiceStub(channel)
            request = saying("tck-complete-task")
            for tenant in ("default", "default/agents/scripted"):
                request.tenant = tenant
                error = await refused(stub.SendMessage(request, metadata=[VERSION, *said]))
                wanted = "INVALID_ARGUMENT" if len(said) > 1 else "UNAUTHENTICATED"
                assert error.code().name == wanted
                with pytest.raises(grpc.aio.AioRpcError):
                    async for _ in stub.SendStreamingMessage(request, metadata=[VERSION, *said]):
                        pass
                error = await refused(stub.GetExtendedAgentCard(GetExtendedAgentCardRequest(), metadata=said))
                assert error.code().name == wanted
        assert found.agent.script.asked == []


async def test_the_people_of_a_virtual_server_have_their_own_tasks(tmp_path: Path) -> None:
    async with (
        behind(tmp_path, people=True) as found,
        found.client("GRPC", ALICE, url=server_of(found)) as alice,
        found.client("GRPC", BOB, url=server_of(found)) as bob,
    ):
        task = await task_of(alice, order("echo", {}))
        with pytest.raises(TaskNotFoundError):
            await bob.get_task(GetTaskRequest(id=task.id))
        assert not (await bob.list_tasks(ListTasksRequest())).tasks


async def test_a_message_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with behind(tmp_path) as found, grpc.aio.insecure_channel(await address(found)) as channel:
        stub: Any = A2AServiceStub(channel)
        request = saying("x", "y" * (5 * 1024 * 1024))
        error = await refused(stub.SendMessage(request, metadata=[VERSION]))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_how_large_a_message_may_be_is_configured(tmp_path: Path) -> None:
    config = '[servers.default]\n[transports.a2a.grpc]\nlisten = "127.0.0.1:0"\nmax_message_bytes = 2048'
    async with running_gateway(config, base=tmp_path) as running:
        target = running.gateway.transports["a2a"].grpc_address  # type: ignore[attr-defined]
        async with grpc.aio.insecure_channel(target) as channel:
            stub: Any = A2AServiceStub(channel)
            await stub.SendMessage(saying("x", "y" * 1024), metadata=[VERSION])
            error = await refused(stub.SendMessage(saying("x", "y" * 4096), metadata=[VERSION]))
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_certificate_makes_it_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in made.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    config = """
        [servers.default]
        [transports.a2a.grpc]
        listen = "localhost:0"
        certfile = "cert.pem"
        keyfile = "key.pem"
    """
    async with running_gateway(config, base=tmp_path) as running:
        target = running.gateway.transports["a2a"].grpc_address  # type: ignore[attr-defined]
        trust = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        async with grpc.aio.secure_channel(target, trust) as channel:
            stub: Any = A2AServiceStub(channel)
            answer = await stub.ListTasks(ListTasksRequest(), metadata=[VERSION])
            assert not answer.tasks
        async with grpc.aio.insecure_channel(target) as channel:
            error = await refused(A2AServiceStub(channel).ListTasks(ListTasksRequest(), timeout=5))  # type: ignore[no-untyped-call]
            assert error.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('listen = "nowhere"', "expected HOST:PORT"),
        ('listen = "127.0.0.1:70000"', "expected HOST:PORT"),
        ('listen = "127.0.0.1:0"\ncertfile = "x.pem"', "needs both"),
        ('listen = "127.0.0.1:0"\nca_certs = "x.pem"', "needs `certfile`"),
        ('listen = "127.0.0.1:0"\ncertfile = "no.pem"\nkeyfile = "no.pem"', "cannot be read"),
        ('listen = "192.0.2.1:1"', "cannot listen at 192.0.2.1:1"),
    ],
)
async def test_what_cannot_be_served_is_said_at_the_start(tmp_path: Path, keys: str, said: str) -> None:
    config = f"[servers.default]\n[transports.a2a.grpc]\n{keys}\n"
    with pytest.raises(ConfigError, match=said) as caught:
        async with running_gateway(config, base=tmp_path):
            pass
    assert caught.value.problems[0][0].startswith("transports.a2a.grpc")


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:5000", "127.0.0.1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:[2001:db8::1]:1", "2001:db8::1"),
        ("unix:/tmp/x", ""),
        ("ipv4:nonsense:1", ""),
        ("", ""),
    ],
)
def test_peers_have_addresses(peer: str, address: str) -> None:
    assert address_of(peer) == address
