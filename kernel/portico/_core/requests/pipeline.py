"""Policies compiled into one function per method, once, when a virtual server is composed."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import attrs

from portico._core.contracts.exchange import Client, Exchange
from portico._core.contracts.json import Json
from portico._core.contracts.policies import Next, Policy
from portico._core.contracts.result import Result
from portico._core.errors import Refused

Tap = Callable[[Exchange, str, Json], Json | None]
Check = Callable[[Exchange], object]


class _Blame(str):
    """A note that says whose error it is; the first one put on an exception stays the only one."""

    __slots__ = ()


@attrs.frozen
class _Layer:
    name: str
    call: Policy
    methods: frozenset[str] | None
    tap: Tap | None
    check: Check | None

    def claims(self, method: str | None) -> bool:
        return self.methods is None or method in self.methods


class Pipeline:
    """The policies of a virtual server around its router.

    Args:
        policies: `(configured name, policy)`, outermost first.
        terminal: What is inside the innermost policy.
    """

    def __init__(self, policies: Sequence[tuple[str, Policy]], terminal: Next) -> None:
        self._layers = tuple(_layer(name, policy) for name, policy in policies)
        self._terminal = terminal
        # Compiled for the methods policies name and once for all others: clients choose methods, so nothing
        # may grow with them.
        named = {method for layer in self._layers for method in layer.methods or ()}
        self._chains = {method: self._compile(method) for method in named}
        self._other = self._compile(None)

    def chain(self, method: str) -> Next:
        """What to call with an exchange of this method: the router itself where no policy claims it."""
        return self._chains.get(method, self._other)

    def _compile(self, method: str | None) -> Next:
        layers = [layer for layer in self._layers if layer.claims(method)]
        if not layers:
            return self._terminal
        # Outermost checks need no frame: they are done when the chain is called. Further in they are policies
        # like all others, whose refusal comes out where what they return is awaited.
        first = next((at for at, layer in enumerate(layers) if layer.check is None), len(layers))
        chain = self._terminal
        if layers[first:]:
            chain = _bind_terminal(chain)
        for layer in reversed(layers[first:]):
            chain = _bind(layer, chain)
        for layer in reversed(layers[:first]):
            chain = _bind_check(layer.name, layer.check, chain) if layer.check else chain
        # A frame travels outwards: the innermost policy sees it first.
        taps = tuple((layer.name, layer.tap) for layer in reversed(layers) if layer.tap is not None)
        return _bind_taps(taps, chain) if taps else chain


def _layer(name: str, policy: Policy) -> _Layer:
    methods: Any = getattr(policy, "methods", None)
    if methods is not None and (isinstance(methods, str) or not isinstance(methods, Collection)):
        raise TypeError(f"policy {name!r}: methods must be a frozenset of method names, not {methods!r}")
    check: Check | None = getattr(policy, "admit", None)
    if inspect.iscoroutinefunction(check):  # not awaited, it would let everything pass
        raise TypeError(f"policy {name!r}: admit must not be async")
    claimed = None if methods is None else frozenset(methods)
    return _Layer(name, policy, claimed, getattr(policy, "tap", None), check)


def _blame(exc: Exception, note: str) -> None:
    if not any(isinstance(one, _Blame) for one in getattr(exc, "__notes__", ())):
        exc.add_note(_Blame(note))


def _bind(layer: _Layer, call_next: Next) -> Next:
    call, note = layer.call, f"in policy {layer.name!r}"

    async def policed(exchange: Exchange) -> Result:
        try:
            return await call(exchange, call_next)
        except Refused:
            raise
        except Exception as exc:
            _blame(exc, note)
            raise

    return policed


def _bind_check(name: str, check: Check, call_next: Next) -> Next:
    note = f"in policy {name!r}"

    def checked(exchange: Exchange) -> Awaitable[Result]:
        try:
            check(exchange)
        except Refused:
            raise
        except Exception as exc:
            _blame(exc, note)
            raise
        return call_next(exchange)

    return checked


def _bind_terminal(terminal: Next) -> Next:
    """Keep the errors of what is behind the policies from being blamed on the innermost of them."""

    async def behind(exchange: Exchange) -> Result:
        try:
            return await terminal(exchange)
        except Refused:
            raise
        except Exception as exc:
            _blame(exc, "behind the policies")
            raise

    return behind


def _bind_taps(taps: Sequence[tuple[str, Tap]], chain: Next) -> Next:
    async def tapped(exchange: Exchange) -> Result:
        client = exchange.client
        exchange.client = _Tapped(client, exchange, taps)
        try:
            return await chain(exchange)
        finally:
            exchange.client = client

    return tapped


class _Tapped:
    """The client of one exchange, with every notification shown to the taps first."""

    __slots__ = ("_client", "_exchange", "_taps", "ask", "poll")

    def __init__(self, client: Client, exchange: Exchange, taps: Sequence[tuple[str, Tap]]) -> None:
        self._client, self._exchange, self._taps = client, exchange, taps
        self.ask = client.ask
        self.poll = client.poll

    def progress(self, params: bytes) -> bool:
        return False  # it is for the taps to see

    async def notify(self, method: str, params: Json) -> None:
        for name, tap in self._taps:
            try:
                seen = tap(self._exchange, method, params)
            except Refused:
                raise
            except Exception as exc:
                _blame(exc, f"in the tap of policy {name!r}")
                raise
            if seen is None:
                return
            params = seen
        await self._client.notify(method, params)
