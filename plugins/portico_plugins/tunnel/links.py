"""The tunnels one upstream has in this process, and who may make them."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import attrs

from portico.api import Secret

from .frames import Code
from .link import Link
from .proof import Dialler, key_of


@attrs.frozen(eq=False)
class Held:
    """A tunnel.

    Attributes:
        link: It.
        key: What its dialler has proven to know.
        instance: Which process that is.
    """

    link: Link
    key: bytes = attrs.field(repr=False)
    instance: str


class Links:
    """The tunnels of one upstream.

    Args:
        secrets: Any of them lets in.
        most: How many processes may have tunnels at one time.
        longest: Bytes of a message that are taken.
        changed: Told when a tunnel has come or gone.
    """

    def __init__(
        self, secrets: Iterable[Secret], most: int, longest: int, changed: Callable[[], None]
    ) -> None:
        self.keys = tuple(key_of(secret) for secret in secrets)
        self.longest = longest
        self._most = most
        self._changed = changed
        self._held: list[Held] = []
        self._closed = False
        self._mine = True

    @property
    def usable(self) -> list[Link]:
        """Those that channels can be opened on, the oldest first."""
        return [each.link for each in self._held if not each.link.leaving and not each.link.ended]

    def choose(self) -> Link | None:
        """The one with the fewest channels; None when there is none."""
        return min(self.usable, key=lambda link: len(link.channels), default=None)

    def judge(self, said: Dialler, worker: str) -> str:
        """Whether a dialler that has proven itself may have a tunnel: a `Gateway.verdict`."""
        if self._closed:
            return "leaving"
        mine = [each for each in self._held if each.instance == said.instance]
        if mine:
            return "duplicate" if worker in said.held else "welcome"
        others = {each.instance for each in self._held if not each.link.leaving}
        return "busy" if len(others) >= self._most and not said.takeover else "welcome"

    def add(self, held: Held) -> None:
        """Take in a tunnel. The newest wins: of one process always, of several when there are too many."""
        before = list(self._held)
        others = list(dict.fromkeys(each.instance for each in before if each.instance != held.instance))
        surplus = others[: max(len(others) + 1 - self._most, 0)]
        self._keep(held)  # first, so that what ran on those that go finds another
        for each in before:
            if each.instance == held.instance:
                each.link.end("replaced", Code.DONE)
            elif each.instance in surplus:
                each.link.end("replaced", Code.REPLACED)
        self._changed()

    def _keep(self, held: Held) -> None:
        self._held.append(held)

        def look() -> None:
            if held.link.ended:
                self._held.remove(held)
                held.link.on_change.remove(look)
            self._changed()

        held.link.on_change.append(look)

    def share(self, before: Links) -> None:
        """Have the tunnels of the upstream this one is to replace, as far as their secret is good."""
        known = {each.link for each in self._held}
        for each in before._held:
            if each.link not in known and self.knows(each.key):
                self._keep(each)
        self._mine = False

    def succeed(self, before: Links) -> None:
        """Take the place of another: tunnels whose secret is good no more are cut."""
        self.share(before)
        self._mine = True
        before._mine = False
        before._closed = True
        for each in list(before._held):
            if not self.knows(each.key):
                each.link.end("secret_removed", Code.SECRET_REMOVED)
        self._changed()

    def knows(self, key: bytes) -> bool:
        """Whether a secret is good, by its key."""
        return any(hmac.compare_digest(key, each) for each in self.keys)

    def leave(self) -> None:
        """This process is about to end: have everybody dial anew. What is here goes on."""
        self._closed = True
        for each in self._held:
            each.link.leave()

    def retire(self) -> None:
        """Nothing new is to begin: end each tunnel when nothing runs on it any more."""
        for each in list(self._held):
            each.link.retire()

    def close(self) -> None:
        """The upstream is gone, and its tunnels with it, unless another has them now."""
        self._closed = True
        if self._mine:
            for each in list(self._held):
                each.link.end("upstream_removed", Code.UPSTREAM_REMOVED)


@runtime_checkable
class Dialled(Protocol):
    """An upstream that is dialled in from."""

    @property
    def tunnel_links(self) -> Links:
        """Its tunnels."""
        ...


def links_of(upstream: object) -> Links | None:
    """The tunnels of an upstream; None of one that is not dialled in from."""
    return upstream.tunnel_links if isinstance(upstream, Dialled) else None
