"""Limits how often principals may call: a token bucket each.

A bucket is kept as the generic cell rate algorithm does (ITU-T I.371): as the point in time when it will be
full again. A call moves that by `1 / rate` seconds; one that would move it more than `burst / rate` seconds
into the future is refused. There is nothing to refill, and a full bucket need not be kept at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import attrs

from portico.api import (
    RATE_LIMITED,
    Clock,
    Endpoint,
    Exchange,
    Factory,
    Host,
    Log,
    Next,
    Policy,
    Refused,
    Result,
    doc,
    failure,
    hookimpl,
    positive,
)
from portico_plugins.fields import number

gateway_api = (1, 0)

Dimension = Literal["principal", "tenant", "client", "server", "upstream", "name"]
Key = Callable[[Exchange], Hashable]

_SWEEP_SECONDS: Final = 1.0
_NEWCOMERS: Final = object()
_SLACK: Final = 1e-6
"""Seconds that sums of fractions may be off without costing the last request of a burst."""


def _some(_: Any, __: Any, value: Sequence[str]) -> None:
    if not value:
        raise ValueError('expected at least one method, or "*" for every one')


@attrs.frozen
class RateLimitConfig:
    """Config of the `rate_limit` policy."""

    rate: float = attrs.field(
        validator=positive, metadata=doc("Requests a second, in the long run.", example=10)
    )
    burst: int = number(10, "The size of a bucket: how many requests may come at once.")
    per: tuple[Dimension, ...] = attrs.field(
        default=("principal",),
        metadata=doc(
            "What has a bucket of its own: each combination of these. `name` is the tool, prompt or listed "
            "resource. Empty: one bucket for all."
        ),
    )
    methods: tuple[str, ...] = attrs.field(
        default=("tools/call", "a2a/SendMessage", "a2a/SendStreamingMessage"),
        validator=_some,
        metadata=doc(
            'Methods to count; `"*"` is every one. By default calls of tools, and messages that A2A clients '
            "send to agents behind the gateway."
        ),
    )
    buckets: int = number(10_000, "The most buckets to keep; those beyond share one.")


class RateLimit:
    """Refuses what comes too fast.

    Args:
        config: How much is too fast.
        key: What an exchange's bucket is called.
        clock: Time.
        log: Told when buckets are short.
    """

    def __init__(self, config: RateLimitConfig, key: Key, clock: Clock, log: Log) -> None:
        if "*" not in config.methods:
            self.methods = frozenset(config.methods)
        self._key = key
        self._now = clock.monotonic
        self._log = log
        self._each = 1 / config.rate
        self._most = config.burst / config.rate + _SLACK
        self._buckets: dict[Hashable, float] = {}
        self._size = config.buckets
        self._swept = self._now() - _SWEEP_SECONDS

    async def __call__(self, exchange: Exchange, call_next: Next) -> Result:
        """As `admit`, then on."""
        self.admit(exchange)
        return await call_next(exchange)

    def admit(self, exchange: Exchange) -> None:
        """Take one from the exchange's bucket.

        Raises:
            Refused: 42900: it is empty.
        """
        now = self._now()
        key = self._key(exchange)
        buckets = self._buckets
        full_at = buckets.get(key)
        if full_at is None:
            key, full_at = self._bucket(key, now)
        after = (full_at if full_at > now else now) + self._each  # noqa: FURB136 - max() costs twice as much
        if after - now > self._most:
            raise self._refusal(exchange, after - now - self._most)
        buckets[key] = after

    def _bucket(self, key: Hashable, now: float) -> tuple[Hashable, float]:
        """The bucket of a key that has none: a full one, or where too many are in use, the newcomers'."""
        buckets = self._buckets
        if len(buckets) < self._size:
            return key, now
        if now - self._swept >= _SWEEP_SECONDS:
            self._swept = now
            for each in [each for each, full_at in buckets.items() if full_at <= now]:
                del buckets[each]
            if len(buckets) < self._size:
                return key, now
            self._log.warning("rate_limit.buckets_used_up", buckets=self._size)
        return _NEWCOMERS, buckets.get(_NEWCOMERS, now)

    @staticmethod
    def _refusal(exchange: Exchange, seconds: float) -> Refused:
        return failure(
            RATE_LIMITED,
            "Too many requests; try again later",
            reason="rate_limited",
            request_id=exchange.id,
            retry_after=seconds,
        )


def _principal(exchange: Exchange) -> Hashable:
    who = exchange.principal
    return who.subject, who.source, who.client, who.tenant


def _parts(endpoints: Callable[[], Mapping[str, Endpoint]]) -> Mapping[Dimension, Key]:
    def upstream(exchange: Exchange) -> Hashable:
        if exchange.foreign and exchange.target is not None:
            return exchange.target.upstream
        try:
            return endpoints()[exchange.server].view.route(exchange.method, exchange.params).upstream
        except Refused:
            return None

    def name(exchange: Exchange) -> Hashable:
        # Only what there is has a bucket, or made-up names would be as many.
        view, params = endpoints()[exchange.server].view, exchange.params
        wanted = params.get("uri" if exchange.method.startswith("resources/") else "name")
        known: Mapping[str, object] = {
            "tools/call": view.tools,
            "prompts/get": view.prompts,
            "resources/read": view.resources,
        }.get(exchange.method, {})
        return (exchange.method, wanted) if isinstance(wanted, str) and wanted in known else None

    return {
        "principal": _principal,
        "tenant": lambda exchange: exchange.principal.tenant,
        "client": lambda exchange: (exchange.principal.source, exchange.principal.client),
        "server": lambda exchange: exchange.server,
        "upstream": upstream,
        "name": name,
    }


def bucket_key(per: Sequence[Dimension], endpoints: Callable[[], Mapping[str, Endpoint]]) -> Key:
    """The function that tells what bucket an exchange belongs to.

    Args:
        per: What has a bucket of its own.
        endpoints: The virtual servers, asked when an upstream or a name matters.
    """
    parts = _parts(endpoints)
    keys = [parts[dimension] for dimension in dict.fromkeys(per)]
    if len(keys) == 1:
        return keys[0]
    return lambda exchange: tuple([key(exchange) for key in keys])


@asynccontextmanager
async def rate_limit(config: RateLimitConfig, host: Host) -> AsyncIterator[Policy]:
    """Create the policy; it has nothing to start or stop."""
    key = bucket_key(config.per, lambda: host.wiring.endpoints)
    yield RateLimit(config, key, host.clock, host.log)


RATE_LIMIT = Factory(
    name="rate_limit",
    summary="Token bucket per principal.",
    config=RateLimitConfig,
    create=rate_limit,
    posture="hardened",
)


@hookimpl
def gateway_policies() -> Sequence[Factory[RateLimitConfig, Policy]]:
    """Offer the policy."""
    return (RATE_LIMIT,)
