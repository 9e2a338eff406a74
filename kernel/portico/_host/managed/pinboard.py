"""Pins as people see them, and what they decide about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from portico._config.wording import nearest
from portico._core.catalog.differences import differences
from portico._core.catalog.pins import Pins
from portico._core.contracts.definitions import Pinned, PinState, UpstreamPins
from portico._core.contracts.records import Author, Change, Stale
from portico._core.errors import ConfigError
from portico._host.managed.pinning import KIND, Known, Pinning, Write

if TYPE_CHECKING:
    from portico._core.contracts.definitions import Conflict

_NONE: Final = "no definition of this upstream has changed"


class Pinboard:
    """Implements `Definitions`.

    Args:
        pinning: Knows them.
        write: Has them written.
        conflicts: Gives the names that are disputed.
    """

    def __init__(self, pinning: Pinning, write: Write, conflicts: Callable[[], Sequence[Conflict]]) -> None:
        self._pinning = pinning
        self._write = write
        self.conflicts = conflicts

    def all(self, upstream: str | None = None) -> Sequence[Pinned]:
        """Of every upstream, or of one."""
        out: list[Pinned] = []
        for name in sorted(self._pinning.names()) if upstream is None else (upstream,):
            known = self._pinning.known(name)
            if known is not None:
                out += [self._one(name, key, known, known.pins) for key in sorted(known.pins.digests)]
        return out

    def get(self, upstream: str) -> UpstreamPins | None:
        """Of one upstream, with what changed."""
        known = self._pinning.known(upstream)
        return None if known is None else self._whole(upstream, known, known.pins)

    def _whole(self, upstream: str, known: Known, pins: Pins) -> UpstreamPins:
        before = pins.definitions() if pins.pending else {}
        items = []
        for key in sorted(pins.digests):
            one = self._one(upstream, key, known, pins)
            if key in pins.pending:
                old, new = before.get(key), pins.pending[key].definition
                one = attrs.evolve(one, before=old, after=new, differences=differences(old or {}, new))
            items.append(one)
        return UpstreamPins(upstream, self._pinning.policy(upstream) or "", known.version, items)

    def _one(self, upstream: str, key: str, known: Known, pins: Pins) -> Pinned:
        seen, pending = known.seen.get(key), pins.pending.get(key)
        odd = seen.odd if seen is not None else ()
        if pending is None:
            return Pinned(upstream, key, "pinned", pins.digests[key], odd=odd)
        state: PinState = "quarantined" if self._pinning.policy(upstream) == "quarantine" else "changed"
        return Pinned(upstream, key, state, pins.digests[key], pending.digest, pending.since, odd)

    async def approve(
        self,
        upstream: str,
        definitions: Mapping[str, str] | None,
        author: Author,
        *,
        expected: int | None = None,
        dry_run: bool = False,
    ) -> UpstreamPins:
        """Have what changed hold from now on."""
        made = Pins()

        def decide() -> list[Change]:
            nonlocal made
            known = self._pinning.known(upstream)
            if known is None:
                raise ConfigError([(f"{KIND}.{upstream}", "nothing is known of an upstream of this name")])
            if expected is not None and expected != known.version:
                raise Stale(KIND, upstream, known.version)
            pending = known.pins.pending
            wanted = dict.fromkeys(pending, "") if definitions is None else definitions
            if not wanted:
                raise ConfigError([(f"{KIND}.{upstream}", _NONE)])
            missing = [
                (
                    f"{KIND}.{upstream}",
                    f"{key[:128]!r} has not changed{nearest(key[:128], pending, 'changed')}",
                )
                for key in wanted
                if key not in pending
            ]
            if missing:
                raise ConfigError(missing)
            for key, digest in wanted.items():
                if digest and digest != pending[key].digest:
                    raise Stale(KIND, upstream, known.version)
            made = known.pins.approved(wanted)
            return [] if dry_run else [self._pinning.change(upstream, made)]

        await self._write(decide, author)
        known = self._pinning.known(upstream)
        if known is None:  # it was removed meanwhile
            raise Stale(KIND, upstream, 0)
        return self._whole(upstream, known, made if dry_run else known.pins)
