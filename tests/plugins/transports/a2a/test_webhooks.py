"""Push notifications: what webhooks are told, and which may not be told anything."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from a2a.client import Client
from a2a.types import (
    AuthenticationInfo,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    SendMessageRequest,
    TaskPushNotificationConfig,
)
from a2a.utils.errors import InvalidParamsError, PushNotificationNotSupportedError, TaskNotFoundError

from tests.plugins.transports.a2a.peers import BINDINGS, order, sdk_client, task_of
from tests.plugins.transports.a2a.receiver import Receiver, receiver
from tests.plugins.transports.web import Web, gateway

QUICK = "[transports.a2a]\nwebhook_pause = 0.001\nwebhook_attempts = 3\nwebhook_timeout = 5.0\n"
MOVED = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Web]:
    async with gateway("", QUICK + "webhooks_private = true\nwebhooks = 2") as made:
        yield made


@pytest_asyncio.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


def started(request: SendMessageRequest) -> SendMessageRequest:
    request.configuration.return_immediately = True
    return request


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_webhook_given_with_a_message_is_told_everything_in_order(
    web: Web, hook: Receiver, binding: str
) -> None:
    request = order("progress", {"n": 3})
    config = request.configuration.task_push_notification_config
    config.url, config.token = hook.url + "/a?b=1", "t0ken"
    config.authentication.CopyFrom(AuthenticationInfo(scheme="Bearer", credentials="s3cret"))
    async with sdk_client(web, binding=binding, streaming=False) as client:
        task = await task_of(client, request)
    notices = [await hook.next() for _ in range(3)]
    assert [next(iter(each.body)) for each in notices] == ["statusUpdate", "artifactUpdate", "statusUpdate"]
    assert notices[0].body["statusUpdate"]["status"]["state"] == "TASK_STATE_WORKING"
    assert notices[1].body["artifactUpdate"]["artifact"]["parts"][0]["data"] == {"n": 3}
    assert notices[2].body["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    for each in notices:
        assert each.target == "/a?b=1"
        assert each.headers["authorization"] == "Bearer s3cret"
        assert each.headers["x-a2a-notification-token"] == "t0ken"
        assert each.headers["content-type"] == "application/a2a+json"
        assert next(iter(each.body.values()))["taskId"] == task.id


@pytest.mark.parametrize("binding", BINDINGS)
async def test_webhooks_of_a_task_are_made_shown_and_removed(web: Web, hook: Receiver, binding: str) -> None:
    async with sdk_client(web, binding=binding, streaming=False) as client:
        task = await task_of(client, started(order("hang")))
        made = await client.create_task_push_notification_config(
            TaskPushNotificationConfig(task_id=task.id, url=hook.url)
        )
        assert made.id
        ask = GetTaskPushNotificationConfigRequest(task_id=task.id, id=made.id)
        assert await client.get_task_push_notification_config(ask) == made
        own = TaskPushNotificationConfig(task_id=task.id, url=hook.url, id="mine")
        assert (await client.create_task_push_notification_config(own)).id == "mine"
        with pytest.raises(InvalidParamsError, match="2 webhooks"):
            await client.create_task_push_notification_config(
                TaskPushNotificationConfig(task_id=task.id, url=hook.url)
            )
        listed = await client.list_task_push_notification_configs(
            ListTaskPushNotificationConfigsRequest(task_id=task.id)
        )
        assert [each.id for each in listed.configs] == [made.id, "mine"]
        for _ in range(2):  # it is the same to do it twice
            await client.delete_task_push_notification_config(
                DeleteTaskPushNotificationConfigRequest(task_id=task.id, id=made.id)
            )
        with pytest.raises(TaskNotFoundError):
            await client.get_task_push_notification_config(ask)
        await client.cancel_task(CancelTaskRequest(id=task.id))
    notice = await hook.next()
    assert notice.body["statusUpdate"]["status"]["state"] == "TASK_STATE_CANCELED"
    assert hook.connections == 1


async def _registered(client: Client, url: str) -> str:
    task = await task_of(client, started(order("hang")))
    await client.create_task_push_notification_config(TaskPushNotificationConfig(task_id=task.id, url=url))
    return task.id


async def test_what_fails_is_tried_again_and_a_redirect_is_a_failure(web: Web, hook: Receiver) -> None:
    hook.answers = [BUSY, MOVED]
    async with sdk_client(web, streaming=False) as client:
        task = await _registered(client, hook.url)
        await client.cancel_task(CancelTaskRequest(id=task))
    notices = [await hook.next() for _ in range(3)]
    assert len({str(each.body) for each in notices}) == 1
    assert hook.connections == 3


async def test_a_webhook_that_is_away_holds_up_nothing(web: Web, hook: Receiver) -> None:
    hook.answers = [b"SSH-2.0\r\n"] * 3
    async with sdk_client(web, streaming=False) as client:
        task = await _registered(client, hook.url)
        await client.cancel_task(CancelTaskRequest(id=task))
        for _ in range(3):
            await hook.next()
        request = order("echo")
        request.configuration.task_push_notification_config.url = hook.url
        assert (await task_of(client, request)).artifacts
        for _ in range(3):
            await hook.next()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://0x7f000001:{port}/",
        "http://localhost:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://0.0.0.0:{port}/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "ftp://127.0.0.1:{port}/",
        "file:///etc/passwd",
        "http://user@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/\r\nx: y",
        "http://",
        "nonsense",
        "http://127.0.0.1:99999/",
        "http://exa mple/",
        "http://127.0.0.1\\@example.com/",
    ],
)
async def test_a_webhook_at_a_forbidden_place_is_refused_and_not_connected_to(
    hook: Receiver, url: str
) -> None:
    url = url.replace("{port}", hook.url.rpartition(":")[2])
    async with gateway("", QUICK) as web, sdk_client(web, streaming=False) as client:
        task = await task_of(client, started(order("hang")))
        with pytest.raises(InvalidParamsError):
            await client.create_task_push_notification_config(
                TaskPushNotificationConfig(task_id=task.id, url=url)
            )
        request = order("echo")
        request.configuration.task_push_notification_config.url = url
        with pytest.raises(InvalidParamsError):
            await task_of(client, request)
        assert [name for name, _ in web.upstream.calls] == ["hang"]
        await client.cancel_task(CancelTaskRequest(id=task.id))
    assert hook.connections == 0


async def test_metadata_addresses_are_refused_even_where_private_ones_are_not(web: Web) -> None:
    async with sdk_client(web, streaming=False) as client:
        with pytest.raises(InvalidParamsError, match="metadata"):
            await _registered(client, "http://169.254.169.254/")


async def test_a_name_that_turns_to_a_forbidden_address_later_is_not_connected_to(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(hook.url.rpartition(":")[2])
    asked: list[str] = []
    judged = asyncio.Event()

    async def rebinding(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        ip = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        if len(asked) > 1:
            judged.set()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding)
    async with gateway("", QUICK) as web, sdk_client(web, streaming=False) as client:
        task = await _registered(client, f"http://rebind.example:{port}/")
        await client.cancel_task(CancelTaskRequest(id=task))
        async with asyncio.timeout(30):
            await judged.wait()
    assert hook.connections == 0
    assert asked == ["rebind.example"] * 2


@pytest.mark.parametrize(
    ("token", "scheme", "credentials"),
    [("a\r\nx: y", "", ""), ("", "Bea rer", "x"), ("", "Bearer", "x\r\ny: z"), ("ö", "", "")],
)
async def test_what_cannot_be_sent_in_a_header_is_refused(
    web: Web, hook: Receiver, token: str, scheme: str, credentials: str
) -> None:
    async with sdk_client(web, streaming=False) as client:
        task = await task_of(client, started(order("hang")))
        way = AuthenticationInfo(scheme=scheme, credentials=credentials) if scheme else None
        with pytest.raises(InvalidParamsError, match="webhook's"):
            await client.create_task_push_notification_config(
                TaskPushNotificationConfig(task_id=task.id, url=hook.url, token=token, authentication=way)
            )


async def test_no_webhooks_are_an_error_of_their_own_and_the_card_says_so() -> None:
    async with gateway("", "[transports.a2a]\nwebhooks = 0") as web:
        async with sdk_client(web, streaming=False) as client:
            task = await task_of(client, started(order("echo")))
            with pytest.raises(PushNotificationNotSupportedError):
                await client.create_task_push_notification_config(
                    TaskPushNotificationConfig(task_id=task.id, url="http://example.com/")
                )
        card = await web.open("GET", {"host": "localhost"}, path="/.well-known/agent-card.json").json()
        assert not card["capabilities"].get("pushNotifications")
