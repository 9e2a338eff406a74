"""An agent behind a gateway is the same agent, for real clients over all three bindings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from a2a.client import AgentCardResolutionError, ClientConfig, create_client
from a2a.client.client import ClientCallContext
from a2a.types import (
    AgentCard,
    AgentProvider,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import (
    A2AError,
    ContentTypeNotSupportedError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from jwt.algorithms import ECAlgorithm

from portico.testing import running_gateway
from portico_plugins.transports.a2a.cards import without_odd_links
from tests.plugins.transports.a2a.behind import (
    BINDINGS,
    Behind,
    behind,
    listening,
    saying,
    sent,
    task_of,
)
from tests.plugins.upstreams.a2a.agent_server import agent as older

each_binding = pytest.mark.parametrize("binding", BINDINGS)
each_way = pytest.mark.parametrize("way", BINDINGS)
each_once = pytest.mark.parametrize(
    ("binding", "way"), [("JSONRPC", "GRPC"), ("HTTP+JSON", "JSONRPC"), ("GRPC", "HTTP+JSON")]
)
TENANT = "acme"


def kinds(events: list[Any]) -> list[str]:
    return [event.WhichOneof("payload") for event in events]


async def raw_stream(found: Behind, binding: str) -> None:
    """Ask for the stream of a task that is not there, whatever the card says."""
    async with found.client(binding) as client:
        events: Any = client._transport.subscribe(SubscribeToTaskRequest(id="unknown"))  # type: ignore[attr-defined]
        async for _ in events:
            pass


async def seen(found: Behind, binding: str, **service: str) -> Any:
    """What the agent sees of a request."""
    metadata = Struct()
    metadata.update({"trace": {"n": 1.5}})
    request = saying("echo", "as it is", extensions=["urn:x"], metadata=metadata)
    request.metadata.update({"whole": True})
    context = ClientCallContext(service_parameters=service)
    async with found.client(binding) as client:
        (event,) = [each async for each in client.send_message(request, context=context)]
    return MessageToDict(event.message.parts[0].data)


@each_binding
@each_way
async def test_a_message_is_answered_over_every_pair_of_bindings(
    tmp_path: Path, binding: str, way: str
) -> None:
    async with behind(tmp_path, ways=[way]) as found, found.client(binding) as client:
        task = await task_of(client, saying("tck-artifact-data", metadata=None))
        (answer,) = await sent(client, saying("tck-message-response"))
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert MessageToDict(task.artifacts[0].parts[0].data) == {"key": "value", "count": 42.0}
    assert [message.message_id for message in task.history] == ["tck-artifact-data"]
    assert answer.message.parts[0].text == "Direct message response"


@each_binding
@each_way
async def test_a_stream_is_passed_on_event_by_event(tmp_path: Path, binding: str, way: str) -> None:
    async with behind(tmp_path, ways=[way]) as found, found.client(binding, streaming=True) as client:
        events = client.send_message(saying("wait"))
        first = [await anext(events) for _ in range(3)]  # type: ignore[arg-type]
        assert kinds(first) == ["task", "status_update", "artifact_update"]
        assert first[2].artifact_update.artifact.parts[0].text == "so far"
        found.agent.script.go.set()  # only now does the agent go on: nothing was held back
        rest = [event async for event in events]
    assert kinds(rest) == ["status_update"]
    assert rest[0].status_update.status.state == TaskState.TASK_STATE_COMPLETED


@each_binding
async def test_a_task_is_got_listed_and_cancelled(tmp_path: Path, binding: str) -> None:
    async with behind(tmp_path) as found, found.client(binding) as client:
        first = await task_of(client, saying("tck-input-required"))
        second = await task_of(client, saying("tck-complete-task"))
        got = await client.get_task(GetTaskRequest(id=first.id, history_length=0))
        assert (got.status.state, len(got.history)) == (TaskState.TASK_STATE_INPUT_REQUIRED, 0)
        page = await client.list_tasks(ListTasksRequest(page_size=1))
        assert ([each.id for each in page.tasks], page.total_size) == ([second.id], 2)
        rest = await client.list_tasks(ListTasksRequest(page_size=1, page_token=page.next_page_token))
        assert ([each.id for each in rest.tasks], rest.next_page_token) == ([first.id], "")
        only = await client.list_tasks(ListTasksRequest(context_id=first.context_id))
        assert [each.id for each in only.tasks] == [first.id]
        gone = await client.cancel_task(CancelTaskRequest(id=first.id))
        assert gone.status.state == TaskState.TASK_STATE_CANCELED


@each_binding
async def test_a_task_that_asks_is_answered(tmp_path: Path, binding: str) -> None:
    async with behind(tmp_path) as found, found.client(binding) as client:
        task = await task_of(client, saying("tck-input-required"))
        assert task.status.message.parts[0].text == "Which one?"
        follow = saying("tck-complete-task", task_id=task.id, context_id=task.context_id)
        done = await task_of(client, follow)
    assert (done.id, done.context_id) == (task.id, task.context_id)
    assert done.status.state == TaskState.TASK_STATE_COMPLETED


@each_binding
async def test_a_client_that_left_can_subscribe_again_and_the_task_goes_on(
    tmp_path: Path, binding: str
) -> None:
    async with behind(tmp_path) as found, found.client(binding, streaming=True) as client:
        events: Any = client.send_message(saying("wait"))
        task = (await anext(events)).task
        await anext(events)
        await events.aclose()
        again: Any = client.subscribe(SubscribeToTaskRequest(id=task.id))
        first = await anext(again)
        assert first.task.id == task.id
        assert first.task.status.state in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)
        found.agent.script.go.set()
        rest = [event async for event in again]
    assert rest[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


async def test_a_stream_lasts_no_longer_than_configured_and_the_task_goes_on(tmp_path: Path) -> None:
    async with (
        behind(tmp_path, transport="stream_seconds = 0.2") as found,
        found.client(streaming=True) as client,
    ):
        events: Any = client.send_message(saying("wait"))
        task = (await anext(events)).task
        with pytest.raises(A2AError):
            async for _ in events:
                pass
        found.agent.script.go.set()
        assert (await client.get_task(GetTaskRequest(id=task.id))).id == task.id


@each_binding
@each_way
async def test_errors_are_the_agents_own(tmp_path: Path, binding: str, way: str) -> None:
    any_place = 'push_urls = "any"'
    async with behind(tmp_path, ways=[way], upstream=any_place) as found, found.client(binding) as client:
        task = await task_of(client, saying("tck-complete-task"))
        with pytest.raises(TaskNotCancelableError, match="Task cannot be canceled"):
            await client.cancel_task(CancelTaskRequest(id=task.id))
        with pytest.raises(UnsupportedOperationError):
            await sent(client, saying("tck-complete-task", task_id=task.id, context_id=task.context_id))
        with pytest.raises(InvalidParamsError, match="does not match"):
            await sent(client, saying("x", task_id=task.id, context_id="another"))
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id="unknown"))
        with pytest.raises(PushNotificationNotSupportedError):
            await client.create_task_push_notification_config(
                TaskPushNotificationConfig(task_id=task.id, url="https://example.com/hook")
            )
        wrong = saying("x")
        wrong.message.parts[0].media_type = "application/x-unknown"
        with pytest.raises(ContentTypeNotSupportedError, match="application/x-unknown"):
            await sent(client, wrong)


@each_binding
async def test_what_an_agent_cannot_do_is_said_whatever_the_task(tmp_path: Path, binding: str) -> None:
    async with behind(tmp_path, streams=False) as found, found.client(binding) as client:
        config = TaskPushNotificationConfig(task_id="unknown", url="https://example.com/hook")
        with pytest.raises(PushNotificationNotSupportedError):
            await client.create_task_push_notification_config(config)
        with pytest.raises(UnsupportedOperationError):
            await raw_stream(found, binding)


@each_binding
async def test_what_is_missing_is_named(tmp_path: Path, binding: str) -> None:
    async with behind(tmp_path) as found, found.client(binding) as client:
        request = saying("x")
        request.message.ClearField("message_id")
        with pytest.raises(InvalidParamsError) as caught:
            await sent(client, request)
    assert "message_id" in str(caught.value.data)


@each_once
async def test_headers_metadata_and_extensions_arrive_as_they_are(
    tmp_path: Path, binding: str, way: str
) -> None:
    async with behind(tmp_path, ways=[way]) as found:
        told = await seen(found, binding, **{"A2A-Extensions": "urn:a, urn:b", "X-Other": "not passed on"})
    assert told["extensions"] == ["urn:a", "urn:b"]
    assert told["headers"].keys() == {"a2a-version", "a2a-extensions"}
    assert told["headers"]["a2a-version"] == "1.0"
    assert told["metadata"] == {"whole": True}
    assert told["message"]["metadata"] == {"trace": {"n": 1.5}}
    assert told["message"]["extensions"] == ["urn:x"]


@each_binding
async def test_the_rate_limit_of_a_virtual_server_holds_for_messages_to_agents_behind_it(
    tmp_path: Path, binding: str
) -> None:
    more = """
        [servers.limited]
        upstreams = ["scripted"]
        policies = ["limit"]
        [policies.limit]
        use = "rate_limit"
        rate = 0.001
        burst = 1
        per = ["upstream"]
    """
    async with behind(tmp_path, more=more) as found:
        url = found.url.replace("/default/", "/limited/")
        async with found.client(binding, url=url) as client:
            await sent(client, saying("tck-complete-task"))
            with pytest.raises(A2AError, match="Too many requests"):
                await sent(client, saying("tck-complete-task"))


@each_way
async def test_the_agent_is_given_its_own_tenant_and_not_the_clients(tmp_path: Path, way: str) -> None:
    async with behind(tmp_path, ways=[way], tenant=TENANT) as found:
        told = await seen(found, "GRPC")
    assert told["tenant"] == TENANT


async def test_the_card_has_our_urls_and_is_otherwise_the_agents(tmp_path: Path) -> None:
    async with behind(tmp_path, tenant=TENANT) as found:
        card = await found.card()
    own = found.agent.card
    assert (card.name, card.description, card.version) == (own.name, own.description, own.version)
    assert [skill.id for skill in card.skills] == [skill.id for skill in own.skills]
    assert card.capabilities == own.capabilities
    assert {each.protocol_binding: each.url for each in card.supported_interfaces[:2]} == {
        "JSONRPC": found.url,
        "HTTP+JSON": f"{found.url}/rest",
    }
    assert card.supported_interfaces[2].tenant == "default/agents/scripted"
    assert all(found.agent.url not in each.url for each in card.supported_interfaces)


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,<script>1</script>", "//other.test"])
def test_links_of_a_card_that_no_page_should_have_are_left_out(link: str) -> None:
    us = AgentProvider(organization="Us", url="https://us.test")
    for field in ("icon_url", "documentation_url"):
        card = AgentCard(provider=us, icon_url="https://us.test/i.png", documentation_url="http://us.test/")
        setattr(card, field, link)
        without_odd_links(card)
        kept = {"provider": {"organization": "Us", "url": "https://us.test"}} | {
            "iconUrl": "https://us.test/i.png",
            "documentationUrl": "http://us.test/",
        }
        kept.pop("iconUrl" if field == "icon_url" else "documentationUrl")
        assert MessageToDict(card) == kept
    card = AgentCard(provider=AgentProvider(organization="Us", url=link))
    without_odd_links(card)
    assert MessageToDict(card) == {}


async def test_an_agent_behind_is_shown_without_such_links(tmp_path: Path) -> None:
    async with behind(tmp_path, icon="javascript:alert(1)") as found:
        assert found.agent.card.icon_url
        assert not (await found.card()).icon_url


async def test_the_card_is_signed_by_the_gateway_and_verifies(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    async with behind(tmp_path, transport='signing_key = "key.pem"') as found:
        card = await found.card()
    assert card.name == found.agent.card.name
    own = create_signature_verifier(lambda kid, jku: jwt.PyJWK.from_dict(_public(key)), ["ES256"])
    own(card)
    card.name = "Another"
    with pytest.raises(InvalidSignaturesError):
        own(card)


def _public(key: ec.EllipticCurvePrivateKey) -> Any:
    found = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**found, "alg": "ES256"}


@each_binding
async def test_whether_there_is_an_extended_card_the_agent_says(tmp_path: Path, binding: str) -> None:
    async with behind(tmp_path, extended=True) as found, found.client(binding) as client:
        card = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
    assert card.description == "For those who are known"
    urls = {each.protocol_binding: each.url for each in card.supported_interfaces}
    if binding == "GRPC":  # whose clients do not say how they reach the rest
        assert urls.keys() == {"GRPC"}
    else:
        assert urls["JSONRPC"] == found.url
    assert found.agent.grpc not in urls.values()


@each_binding
async def test_push_configurations_are_the_agents(tmp_path: Path, binding: str) -> None:
    async with (
        behind(tmp_path, upstream='push_urls = "any"', push=True) as found,
        found.client(binding) as client,
    ):
        task = await task_of(client, saying("tck-input-required"))
        hook = TaskPushNotificationConfig(task_id=task.id, id="h", url="http://127.0.0.1:9/x", token="t")
        assert (await client.create_task_push_notification_config(hook)).url == hook.url
        which = GetTaskPushNotificationConfigRequest(task_id=task.id, id="h")
        assert (await client.get_task_push_notification_config(which)).token == "t"
        every = ListTaskPushNotificationConfigsRequest(task_id=task.id)
        assert len((await client.list_task_push_notification_configs(every)).configs) == 1
        await client.delete_task_push_notification_config(
            DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="h")
        )
        assert not (await client.list_task_push_notification_configs(every)).configs


FORBIDDEN = (
    "http://127.0.0.1/x",
    "http://localhost/x",
    "http://[::1]/x",
    "http://169.254.169.254/latest",
    "http://10.0.0.1/x",
    "http://0x7f.1/x",
    "file:///etc/passwd",
    "http://user@example.com/",
    "http://no-such-name.invalid/",
)
UNSOUND = ("../../../secret", "a/b", "a?b", "a#b", "%2e%2e/x", "..", ".", "a b", "a\nb")


async def test_a_webhook_at_a_forbidden_address_never_reaches_the_agent(tmp_path: Path) -> None:
    async with behind(tmp_path, push=True) as found, found.client() as client:
        task = await task_of(client, saying("tck-input-required"))
        asked = len(found.agent.paths)
        for url in FORBIDDEN:
            config = TaskPushNotificationConfig(task_id=task.id, url=url)
            with pytest.raises(InvalidParamsError, match="cannot be used"):
                await client.create_task_push_notification_config(config)
            request = saying("tck-complete-task")
            request.configuration.task_push_notification_config.url = url
            with pytest.raises(InvalidParamsError, match="cannot be used"):
                await sent(client, request)
        assert len(found.agent.paths) == asked


async def test_no_id_makes_another_url_of_an_agents(tmp_path: Path) -> None:
    async with behind(tmp_path, ways=["HTTP+JSON"], push=True) as found, found.client() as client:
        task = await task_of(client, saying("tck-input-required"))
        asked = len(found.agent.paths)
        for ident in UNSOUND:
            for which in ({"task_id": task.id, "id": ident}, {"task_id": ident, "id": "h"}):
                get = GetTaskPushNotificationConfigRequest(**which)
                with pytest.raises(TaskNotFoundError):
                    await client.get_task_push_notification_config(get)
                delete = DeleteTaskPushNotificationConfigRequest(**which)
                with pytest.raises(TaskNotFoundError):
                    await client.delete_task_push_notification_config(delete)
        assert len(found.agent.paths) == asked


@pytest.mark.parametrize("allowed", ["any", "public", "none"])
async def test_metadata_services_are_no_webhooks_whatever_is_allowed(tmp_path: Path, allowed: str) -> None:
    async with (
        behind(tmp_path, upstream=f'push_urls = "{allowed}"', push=True) as found,
        found.client() as client,
    ):
        task = await task_of(client, saying("tck-input-required"))
        with pytest.raises(InvalidParamsError):
            await client.create_task_push_notification_config(
                TaskPushNotificationConfig(task_id=task.id, url="http://169.254.169.254/latest")
            )


@each_once
async def test_an_agent_that_dies_in_mid_stream_is_an_error_and_says_nothing_of_where_it_was(
    tmp_path: Path, binding: str, way: str
) -> None:
    async with behind(tmp_path, ways=[way]) as found, found.client(binding, streaming=True) as client:
        events: Any = client.send_message(saying("wait"))
        assert kinds([await anext(events)]) == ["task"]
        await found.agent.die()
        with pytest.raises(A2AError) as caught:
            async with asyncio.timeout(30):
                [event async for event in events]
        assert "127.0.0.1" not in str(caught.value)
        with pytest.raises(A2AError):
            await sent(client, saying("tck-complete-task"))


async def test_only_agents_of_the_virtual_server_are_there(tmp_path: Path) -> None:
    async with behind(tmp_path) as found:
        base = found.url.removesuffix("default/agents/scripted")
        for path in ("other/agents/scripted", "default/agents/tools", "default/agents/nobody", "nobody"):
            with pytest.raises(AgentCardResolutionError) as caught:
                await found.card(url=base + path)
            assert caught.value.status_code == 404


async def test_the_card_of_an_agent_that_is_away_is_not_there_for_now(tmp_path: Path) -> None:
    async with behind(tmp_path) as found:
        upstream: Any = found.running.gateway.plane.upstreams["scripted"]
        upstream._card = None
        with pytest.raises(AgentCardResolutionError) as caught:
            await found.card()
        assert caught.value.status_code == 503


@each_way
async def test_an_agent_of_version_0_3_is_one_of_1_0_behind_the_gateway(tmp_path: Path, way: str) -> None:
    async with older([way], "0.3.0") as agent:
        config = f"""
            [upstreams.old]
            use = "a2a"
            url = "{agent.url}"
            origins = ["{agent.grpc}"]
            [servers.default]
            upstreams = ["old"]
            [transports.a2a]
        """
        async with (
            running_gateway(config, base=tmp_path) as running,
            listening(running) as url,
            httpx.AsyncClient(timeout=10, trust_env=False) as http,
        ):
            how = ClientConfig(httpx_client=http, streaming=True)
            client = await create_client(f"{url}/a2a/default/agents/old", client_config=how)
            events = await sent(client, saying("m1", "steps 1"))
            task = events[0].task
            assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
            got = await client.get_task(GetTaskRequest(id=task.id))
            assert "".join(part.text for part in got.artifacts[0].parts) == "one, two, three"
            with pytest.raises(TaskNotFoundError):
                await client.get_task(GetTaskRequest(id="unknown"))


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_clients_of_version_0_3_are_served_too_where_that_is_wanted(
    tmp_path: Path, binding: str
) -> None:
    async with (
        behind(tmp_path, transport="v0_3 = true") as found,
        httpx.AsyncClient(timeout=10, trust_env=False) as http,
    ):
        card = await found.card()
        old = [each for each in card.supported_interfaces if each.protocol_version == "0.3"]
        del card.supported_interfaces[:]
        card.supported_interfaces.extend(old)
        how = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding], streaming=True)
        client = await create_client(card, client_config=how)
        events = await sent(client, saying("tck-stream-001"))
        assert events[0].task.id
        assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        got = await client.get_task(GetTaskRequest(id=events[0].task.id))
        assert got.artifacts[0].parts[0].text == "Stream hello from TCK"


@pytest.mark.parametrize(
    ("upstream", "transport"),
    [
        ("relay = false", ""),
        ('exclude = ["tag:internal"]', ""),
        ('skills = ["script"]', ""),
        ("", "agents = false"),
    ],
)
async def test_an_agent_that_is_not_to_be_reached_itself_is_not(
    tmp_path: Path, upstream: str, transport: str
) -> None:
    async with behind(tmp_path, upstream=upstream, transport=transport) as found:
        with pytest.raises(AgentCardResolutionError) as caught:
            await found.card()
        assert caught.value.status_code == 404
        card = await found.card(url=found.url.removesuffix("/agents/scripted"))
        assert card.skills


@pytest.mark.parametrize("more", ['include = ["echo"]', 'exclude = ["scripted/*"]', 'exclude = ["not_yet"]'])
async def test_an_agent_some_of_whose_tools_a_server_hides_is_not_reached_itself(
    tmp_path: Path, more: str
) -> None:
    extra = f"""
        [servers.narrow]
        upstreams = ["scripted"]
        tools = {{ {more} }}
    """
    async with behind(tmp_path, more=extra) as found:
        narrow = found.url.replace("/default/", "/narrow/")
        with pytest.raises(AgentCardResolutionError) as caught:
            await found.card(url=narrow)
        assert caught.value.status_code == 404
        async with found.client() as client:
            assert await sent(client, saying("complete"))  # where nothing is hidden
        asked = list(found.agent.script.asked)
        async with httpx.AsyncClient(trust_env=False, headers={"a2a-version": "1.0"}) as http:
            params = MessageToDict(saying("complete"))
            answer = await http.post(f"{narrow}/rest/message:send", json=params)
            asking = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
            said = (await http.post(narrow, json=asking)).json()
        assert (answer.status_code, said["error"]["code"]) == (404, -32601)  # no fault of the gateway's
        assert found.agent.script.asked == asked


async def test_an_agent_some_of_whose_tools_are_hidden_may_be_reached_itself_if_that_is_said(
    tmp_path: Path,
) -> None:
    extra = """
        [servers.narrow]
        upstreams = ["scripted"]
        tools = { include = ["echo"] }
    """
    async with behind(tmp_path, upstream="relay = true", more=extra) as found:
        assert (await found.card(url=found.url.replace("/default/", "/narrow/"))).name == "Scripted"


async def test_an_agent_with_fewer_skills_may_be_reached_itself_if_that_is_said(tmp_path: Path) -> None:
    async with behind(tmp_path, upstream='skills = ["script"]\nrelay = true') as found:
        assert (await found.card()).name == "Scripted"
