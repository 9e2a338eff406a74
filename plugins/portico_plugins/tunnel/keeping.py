"""Staying connected: to each worker of the gateway, over restarts, reloads and bad networks."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Final
from urllib.parse import urlsplit

import attrs

from portico.api import Host
from portico_plugins.upstreams.backoff import Backoff

from . import proof
from .config import DialConfig
from .dial import ClientSocket, Later, Turned, Unreachable, dial
from .frames import Code
from .link import Link, Pace
from .serving import Conversations

_FIRST: Final = 0.25
_SOON: Final = 0.05
"""Seconds before the next attempt where another worker is looked for."""

_STABLE: Final = 5.0
"""Seconds a connection has to last to count as well."""

_UNWELCOME: Final = 5.0

_FIRST_TRIES: Final = 3
"""How often a gateway is asked again that has refused us from the start."""

_FLUSH: Final = 1.0

_UNWANTED: Final = {
    Code.REFUSED: "the gateway does not know this name, or not with this secret",
    Code.SECRET_REMOVED: "the gateway does not take this secret any more",
    Code.UPSTREAM_REMOVED: "the gateway has no such upstream any more",
}


@attrs.define(eq=False)
class _Held:
    worker: str
    link: Link
    socket: ClientSocket
    conversations: Conversations
    task: asyncio.Task[None] | None = None


class Keeper:
    """Keeps a connection to every worker of a gateway.

    A gateway's workers share their listening sockets: which of them a connection reaches is not ours to
    choose. So it dials until it has reached each, and the gateway says which one that is.

    Args:
        config: The transport's configuration.
        host: Its host.
        name: The upstream's name at the gateway.
    """

    def __init__(self, config: DialConfig, host: Host, name: str) -> None:
        self._config = config
        self._host = host
        self._name = name
        self._instance = secrets.token_hex(16)
        self._held: dict[str, _Held] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._workers = 1
        self._takeover = True
        self._known = False
        self._turned: tuple[float, Turned] | None = None
        self._had = False
        self._lost = False
        self._complete = False
        self._unwanted = ""
        self._hasty = False
        self._news = asyncio.Event()
        self._backoff = Backoff(_FIRST, config.longest_pause)
        parts = urlsplit(config.url)
        self._shown = f"{parts.scheme}://{parts.netloc}"

    @property
    def _missing(self) -> bool:
        return len([each for each in self._held.values() if not each.link.leaving]) < self._workers

    async def run(self) -> None:
        """Stay connected; with `once`, until the last connection has ended.

        Raises:
            Turned: The gateway does not want us, and never has.
            Unreachable: With `once`: there is no gateway, or its connection was lost.
        """
        log = self._host.log
        log.info("tunnel_connecting", gateway=self._shown, name=self._name)
        searching = Backoff(_SOON, 0.5)
        while True:
            self._news.clear()
            if self._config.once and self._had and not self._held:
                if self._lost:
                    raise Unreachable("the connection to the gateway was lost")
                return
            self._complete = self._complete or not self._missing
            if not self._missing or (self._config.once and (self._complete or self._lost)):
                await self._news.wait()
                continue
            if self._unwanted:
                why, self._unwanted = self._unwanted, ""
                await self._wait(self._patience(), why)
            elif self._hasty:
                self._hasty = False
                await asyncio.sleep(self._backoff.next())
            try:
                verdict = await self._dial()
            except (Unreachable, Turned) as error:
                if self._config.once:
                    raise
                await self._wait(self._pause_after(error), str(error))
                continue
            if verdict == "welcome":
                self._takeover = self._had = True
                searching.reset()
            elif verdict == "busy":
                await self._wait(self._backoff.next(), "another process has the place")
            else:
                await asyncio.sleep(searching.next())

    def _pause_after(self, error: Unreachable | Turned) -> float:
        """Seconds before the next attempt after one that has failed.

        Raises:
            Turned: The gateway has not wanted us for `refused_seconds`, and never has.
        """
        if isinstance(error, Unreachable) and not isinstance(error, Later):
            return self._backoff.next()
        if self._known:
            return self._patience() if isinstance(error, Turned) else self._backoff.next()
        # Our name may be about to be made known there. With so few attempts we are not taken for a guesser.
        seconds, now = self._config.refused_seconds, asyncio.get_running_loop().time()
        if isinstance(error, Turned):
            self._turned = (self._turned[0] if self._turned else now + seconds, error)
        if self._turned is None:
            return self._backoff.next()
        until, turned = self._turned
        if now >= until:
            raise turned
        return min(seconds / _FIRST_TRIES, self._config.longest_pause)

    def _patience(self) -> float:
        """Seconds before the next attempt where the gateway does not want us: it counts wrong ones."""
        return max(self._backoff.next(), min(_UNWELCOME, self._config.longest_pause))

    async def _wait(self, seconds: float, why: str) -> None:
        self._host.log.warning("tunnel_retry", seconds=round(seconds, 1), reason=why)
        await asyncio.sleep(seconds)

    async def _dial(self) -> str:
        """Connect once; gives the gateway's verdict."""
        held = [worker for worker, each in self._held.items() if not each.link.ended]
        mine = proof.Dialler(proof.nonce(), self._instance, held, self._takeover, self._config.max_message)
        socket, said = await dial(self._config, self._host, self._name, mine)
        self._workers = max(1, min(said.workers, 1024))
        self._known = True
        if said.verdict != "welcome":
            with contextlib.suppress(OSError):
                await socket.close(Code.DONE, said.verdict)
            return said.verdict
        conversations = Conversations(self._host, self._config.server, self._config.max_sessions)
        pace = Pace(self._config.ping, self._config.ping_timeout)
        link = Link(
            socket, self._host.clock, pace, self._config.max_message, said.longest, conversations.begin
        )
        link.on_change.append(self._news.set)
        now = _Held(said.worker, link, socket, conversations)
        before = self._held.get(said.worker)
        if before is not None:
            before.link.end("replaced")
        self._held[said.worker] = now
        now.task = asyncio.create_task(self._carry(now))
        self._ending.add(now.task)
        now.task.add_done_callback(self._ending.discard)
        reached = len([each for each in self._held.values() if not each.link.leaving])
        self._host.log.info("tunnel_connected", gateway=self._shown, worker=said.worker[:6],
                            connections=f"{reached}/{self._workers}")  # fmt: skip
        return said.verdict

    async def _carry(self, held: _Held) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        why = "failed"
        try:
            why = await held.link.run()
        except Exception as error:  # whatever it is, the connection can be made again
            self._host.log.error("tunnel_failed", exc_info=error)
        finally:
            await held.conversations.close()
            if self._held.get(held.worker) is held:
                del self._held[held.worker]
        code = held.socket.code
        if loop.time() - began >= _STABLE:
            self._backoff.reset()
        if why in ("replaced", "done"):
            self._news.set()
            return
        if code == Code.REPLACED:
            self._takeover = False
            why = "another process has taken its place"
        elif code in _UNWANTED:
            self._unwanted = why = _UNWANTED[Code(code)]
        orderly = held.link.leaving or code in (Code.DONE, Code.AWAY)
        self._lost = self._lost or not orderly
        self._hasty = self._hasty or not held.link.leaving
        log = self._host.log
        (log.info if orderly else log.warning)("tunnel_ended", gateway=self._shown, reason=why)
        self._news.set()

    async def close(self) -> None:
        """Go: say so, let what is written be sent, and end."""
        for held in list(self._held.values()):
            held.link.leave()
            await held.conversations.finish(_FLUSH)
            await held.link.flush(_FLUSH)
            held.link.end("done")
        if self._ending:
            await asyncio.wait(self._ending, timeout=5)
        self._host.log.info("tunnel_closed", gateway=self._shown)
