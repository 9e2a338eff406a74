"""Push notifications (A2A 4.3): webhooks are told of tasks, in order, and beside the work."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from typing import Final

import attrs
import msgspec
from a2a.types import TaskPushNotificationConfig
from a2a.utils.errors import InvalidParamsError
from a2a.utils.proto_utils import to_stream_response

from portico.api import Log
from portico_plugins.a2a.protojson import to_json
from portico_plugins.transports.a2a.posting import Place, Unsent, addresses_of, place_of, post
from portico_plugins.transports.a2a.work import Event, Work

_WAITING: Final = 64
"""Notifications that wait for a slow webhook; beyond, the oldest are left out."""
_AT_ONCE: Final = 32
_TOO_OFTEN: Final = 3
"""Notifications in a row that could not be delivered; then it is tried no more."""
_WORD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,8190}[\x21-\x7e])?")


@attrs.frozen
class Delivery:
    """How notifications are delivered.

    Attributes:
        most: Webhooks of one task.
        allow_private: Whether they may be at loopback, private and similar addresses.
        timeout: Seconds that one attempt may take.
        attempts: How often one is tried.
        pause: Seconds before the second attempt; twice as many before each that follows.
    """

    most: int
    allow_private: bool
    timeout: float
    attempts: int
    pause: float


@attrs.define(eq=False)
class Hook:
    """One webhook of one task."""

    config: TaskPushNotificationConfig
    place: Place
    waiting: list[bytes] = attrs.field(factory=list)
    sender: asyncio.Task[None] | None = None
    failed: int = 0


class Webhooks:
    """The webhooks of the tasks of one virtual server.

    Args:
        delivery: How they are told.
        log: The plugin's.
    """

    def __init__(self, delivery: Delivery, log: Log) -> None:
        self._delivery = delivery
        self._log = log
        self._hooks: dict[str, dict[str, Hook]] = {}
        self._senders: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def judged(self, config: TaskPushNotificationConfig) -> Place:
        """Where a webhook is, if it may be told anything.

        A name that cannot be resolved now may be another time; addresses are judged for each notification.

        Raises:
            InvalidParamsError: Its URL is none, its address is forbidden, or it wants what cannot be sent.
        """
        try:
            place = place_of(config.url)
        except Unsent as problem:
            raise InvalidParamsError(f"The webhook's URL: {problem}") from None
        try:
            async with asyncio.timeout(self._delivery.timeout):
                await addresses_of(place, allow_private=self._delivery.allow_private)
        except TimeoutError:
            raise InvalidParamsError("The webhook's name takes too long to resolve") from None
        except Unsent as problem:
            if problem.forbidden:
                raise InvalidParamsError(f"The webhook's URL: {problem}") from None
        way = config.authentication
        if config.token and not _VALUE.fullmatch(config.token):
            raise InvalidParamsError("The webhook's token cannot be sent in a header")
        if way.scheme and not _WORD.fullmatch(way.scheme):
            raise InvalidParamsError("The webhook's authentication scheme is none")
        if way.credentials and not _VALUE.fullmatch(way.credentials):
            raise InvalidParamsError("The webhook's credentials cannot be sent in a header")
        if len(config.id) > 256:
            raise InvalidParamsError("The webhook's id is too long")
        return place

    def add(
        self, task_id: str, config: TaskPushNotificationConfig, place: Place
    ) -> TaskPushNotificationConfig:
        """Tell a webhook of a task from now on; one of the same id is replaced.

        Args:
            task_id: The task.
            config: The webhook.
            place: What `judged` gave.

        Raises:
            InvalidParamsError: The task has too many.
        """
        kept = TaskPushNotificationConfig()
        kept.CopyFrom(config)
        kept.ClearField("tenant")
        kept.task_id = task_id
        kept.id = config.id or secrets.token_hex(16)
        hooks = self._hooks.setdefault(task_id, {})
        if kept.id not in hooks and len(hooks) >= self._delivery.most:
            raise InvalidParamsError(f"A task may have {self._delivery.most} webhooks")
        self.remove(task_id, kept.id)
        self._hooks.setdefault(task_id, {})[kept.id] = Hook(kept, place)
        return kept

    def of(self, task_id: str) -> Sequence[TaskPushNotificationConfig]:
        """The webhooks of a task."""
        return [hook.config for hook in self._hooks.get(task_id, {}).values()]

    def find(self, task_id: str, ident: str) -> TaskPushNotificationConfig | None:
        """One webhook of a task."""
        hook = self._hooks.get(task_id, {}).get(ident)
        return hook.config if hook is not None else None

    def remove(self, task_id: str, ident: str) -> None:
        """Tell a webhook nothing more, not even what waits; there need not be such a one."""
        hooks = self._hooks.get(task_id, {})
        hook = hooks.pop(ident, None)
        if hook is not None and hook.sender is not None:
            hook.sender.cancel()
        if not hooks:
            self._hooks.pop(task_id, None)

    def forget(self, task_id: str) -> None:
        """A task is no more; what waits for its webhooks is still sent."""
        self._hooks.pop(task_id, None)

    def close(self) -> None:
        """Send nothing more."""
        self._hooks.clear()
        for sender in self._senders:
            sender.cancel()

    def told(self, work: Work, event: Event) -> None:
        """Tell the webhooks of a task of an event."""
        hooks = self._hooks.get(work.task.id)
        if not hooks:
            return
        body = msgspec.json.encode(to_json(to_stream_response(event)))
        for hook in hooks.values():
            if hook.failed >= _TOO_OFTEN:
                continue
            if len(hook.waiting) >= _WAITING:
                del hook.waiting[0]
            hook.waiting.append(body)
            if hook.sender is None:
                hook.sender = sender = asyncio.get_running_loop().create_task(self._send(hook))
                self._senders.add(sender)
                sender.add_done_callback(self._senders.discard)

    async def _send(self, hook: Hook) -> None:
        """Deliver what waits, one after the other."""
        try:
            while hook.waiting and hook.failed < _TOO_OFTEN:
                body = hook.waiting.pop(0)
                problem = await self._deliver(hook, body)
                if problem is None:
                    hook.failed = 0
                    continue
                hook.failed = _TOO_OFTEN if problem.forbidden else hook.failed + 1
                self._log.warning("a2a.webhook_failed", host=hook.place.host, reason=str(problem))
        finally:
            hook.sender = None

    async def _deliver(self, hook: Hook, body: bytes) -> Unsent | None:
        delivery = self._delivery
        pause = delivery.pause
        problem = Unsent("not tried")
        for attempt in range(delivery.attempts):
            if attempt:
                await asyncio.sleep(pause)
                pause *= 2
            try:
                async with self._places:
                    await post(
                        hook.place,
                        _headers(hook.config),
                        body,
                        allow_private=delivery.allow_private,
                        timeout=delivery.timeout,
                    )
            except Unsent as unsent:
                problem = unsent
                if unsent.forbidden:
                    break
            else:
                return None
        return problem


def _headers(config: TaskPushNotificationConfig) -> list[tuple[str, str]]:
    headers = []
    way = config.authentication
    if way.scheme and way.credentials:
        headers.append(("Authorization", f"{way.scheme} {way.credentials}"))
    if config.token:
        headers.append(("X-A2A-Notification-Token", config.token))
    return headers
