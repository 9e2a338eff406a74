"""Handles name their owner: a request with another worker's handle is answered by that worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from portico._core.contracts.auth import Principal
from portico._core.contracts.direct import Reply, Scope
from portico._core.contracts.log import Log
from portico._core.contracts.observers import Event
from portico._core.seal import Seal, Unsealable

FORWARDED = "portico.forwarded"
"""Marks the scope of a request that came from another worker. It is never forwarded again."""

PROXIED = "portico.proxied"
"""Marks the scope of a request that says it came through a proxy: its peer's address is not its client's.

The headers that say so never reach an application.
"""

Lost = Callable[[bool], None]
"""Told that there will be no (more) answer from the owner; `True` if some of the answer has been written."""


class Forward(Protocol):
    """Has a request answered by another worker."""

    def __call__(self, node: str, scope: Scope, body: bytes, reply: Reply, lost: Lost) -> None: ...


class Owners:
    """Which worker handles belong to, for one virtual server.

    Args:
        server: The virtual server's name.
        seal: Opens handles.
        forward: The way to the other workers.
        observe: Told of each request that is forwarded, if there are observers.
        log: The kernel's.
        nodes: Gives the names of the other workers.
    """

    def __init__(
        self,
        server: str,
        seal: Seal,
        forward: Forward,
        observe: Callable[[Event], None] | None,
        log: Log,
        nodes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._server = server
        self._seal = seal
        self._forward = forward
        self._observe = observe
        self._log = log
        self._nodes = nodes

    def others(self) -> Sequence[str]:
        """The other workers that are there, by the names of their nodes."""
        return [node for node in self._nodes() if node != self._seal.node]

    def ask(self, node: str, scope: Scope, body: bytes, reply: Reply, lost: Lost) -> None:
        """Have another worker answer a request, whatever is in it; that one passes it on to nobody.

        Args:
            node: The worker.
            scope: The request.
            body: Its body.
            reply: Where the answer goes.
            lost: Called when the worker does not exist any more, or ends before its answer has.
        """
        self._forward(node, scope, body, reply, lost)

    def elsewhere(
        self,
        kind: Literal["session", "parked", "task", "a2a"],
        handle: Any,
        principal: Principal,
        scope: Scope,
        body: bytes,
        reply: Reply,
        lost: Lost,
    ) -> bool:
        """Forward a request whose handle is another worker's; False if it has to be answered here.

        Args:
            kind: What the handle stands for.
            handle: As the client sent it.
            principal: Who the client is; nobody else's handles open.
            scope: The request.
            body: Its body.
            reply: Where the answer goes.
            lost: Called when the owner does not exist any more, or ends before its answer has.
        """
        if FORWARDED in scope:
            return False
        try:
            node, _ = self._seal.open(kind, principal, handle)
        except Unsealable:
            return False
        if node == self._seal.node:
            return False
        facts = {"server": self._server, "kind": kind, "http_method": scope["method"], "node": node}
        self._log.debug("session.forwarded", **facts)
        if self._observe is not None:
            self._observe(Event("session.forwarded", facts))
        self._forward(node, scope, body, reply, lost)
        return True
