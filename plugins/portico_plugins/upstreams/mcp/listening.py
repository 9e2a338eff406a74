"""Keeping a modern server's announcements of changed lists coming."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from portico.api import METHOD_NOT_FOUND, UPSTREAM_UNAVAILABLE, Host, Json, Refused
from portico_plugins.upstreams.backoff import Backoff

from .call import Call

if TYPE_CHECKING:
    from .connect import Link

_LISTEN: Final = {
    "tools": "toolsListChanged",
    "resources": "resourcesListChanged",
    "prompts": "promptsListChanged",
}


def announced(capabilities: Json) -> dict[str, bool]:
    """The lists a server says it announces changes of, as a subscription filter."""
    out: dict[str, bool] = {}
    for kind, name in _LISTEN.items():
        declared = capabilities.get(kind)
        if isinstance(declared, dict) and declared.get("listChanged"):
            out[name] = True
    return out


class Listening:
    """A subscription to a server's announcements.

    Args:
        host: The upstream's host.
        patience: Seconds a stream may take to begin.
        ended: Told when a stream has ended, and whether the server seems to be away.
        missed: Told when a later stream has begun: announcements may have gone unheard.

    Attributes:
        hears: Whether announcements would be heard now.
    """

    def __init__(
        self, host: Host, patience: float, ended: Callable[[bool], None], missed: Callable[[], None]
    ) -> None:
        self.hears = False
        self._host = host
        self._patience = patience
        self._ended = ended
        self._missed = missed

    async def keep(self, link: Link, wanted: dict[str, bool]) -> None:
        """Keep it open, until the server turns out not to have it."""
        backoff = Backoff()
        for attempt in itertools.count():
            away = False
            call = Call("subscriptions/listen")
            call.acknowledged = asyncio.Event()
            asking = asyncio.ensure_future(link.ask("subscriptions/listen", {"notifications": wanted}, call))
            listening = asyncio.create_task(
                self._acknowledged(call.acknowledged, asking, backoff, attempt > 0)
            )
            try:
                await asyncio.wait([asking])
                if not asking.cancelled():
                    asking.result()
            except Refused as refusal:
                self._host.log.debug("upstream_listen_ended", reason=refusal.message)
                if refusal.code == METHOD_NOT_FOUND:
                    return  # it promised what it has not; it is asked now and then instead
                away = refusal.code == UPSTREAM_UNAVAILABLE
            finally:
                listening.cancel()
                asking.cancel()
                self.hears = False
            self._ended(away)
            await asyncio.sleep(backoff.next())

    async def _acknowledged(
        self, event: asyncio.Event, asking: asyncio.Future[bytes], backoff: Backoff, again: bool
    ) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await event.wait()
        except TimeoutError:
            asking.cancel()  # a stream that never began would be waited on for ever
            return
        self.hears = True
        backoff.reset()
        if again:
            self._missed()
