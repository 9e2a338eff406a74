"""What is shown of the tools and prompts of many upstreams, made anew only where something is different.

A change to one upstream of a thousand leaves what the others show as it was: it is kept in blocks, one for
each upstream, and a block is made anew when what it was made of is not the same any more.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Final

import attrs

from portico._core.catalog.naming import Claim, Selection, advertising
from portico._core.catalog.overrides import Override, Overrides, shown_as
from portico._core.catalog.resources import describe_as, schemes_of
from portico._core.catalog.uris import rewrite_uris
from portico._core.catalog.view import ServerSpec
from portico._core.contracts.exchange import Target
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Offer
from portico._core.protocol.jsonrpc import encode
from portico._core.protocol.param_headers import HeaderMap, header_map
from portico._core.steps import Steps

Renamed = Mapping[str, Mapping[str, str]]
"""Upstream -> its URI -> the advertised one, where they differ."""

_Part = dict[Claim, Json]
_Group = tuple[str, list[tuple[str, Claim]]]

_SEVERAL: Final = 10
"""As many definitions are encoded between two pauses."""


@attrs.frozen
class _Block:
    """What one upstream shows, and what that was made of."""

    part: _Part
    given: list[tuple[str, Claim]]
    overrides: Mapping[Claim, Override]
    items: list[tuple[str, bytes]]
    targets: dict[str, Target]
    headers: dict[str, HeaderMap]
    fills: dict[str, Override]


@attrs.define
class _Known:
    """What is known of one kind."""

    parts: dict[str, tuple[Sequence[Json], _Part]] = attrs.field(factory=dict)
    asked: tuple[object, ...] | None = None
    clashes: list[tuple[str, Claim, Claim]] = attrs.field(factory=list)
    groups: list[_Group] = attrs.field(factory=list)
    blocks: dict[str, _Block] = attrs.field(factory=dict)


@attrs.frozen
class Named:
    """What is shown of one kind.

    Attributes:
        items: As in a list.
        targets: By name.
        headers: By name, where there are some.
        fills: Overrides that add to arguments, by name.
        clashes: `(name, kept, left out)`.
    """

    items: list[tuple[str, bytes]] = attrs.field(factory=list)
    targets: dict[str, Target] = attrs.field(factory=dict)
    headers: dict[str, HeaderMap] = attrs.field(factory=dict)
    fills: dict[str, Override] = attrs.field(factory=dict)
    clashes: list[tuple[str, Claim, Claim]] = attrs.field(factory=list)


class Shown:
    """What one view of a server leaves for the next."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Known] = {}
        self._describe: Mapping[str, str] = {}
        self._schemes: dict[str, tuple[Offer, frozenset[str]]] = {}

    def named(
        self,
        kind: str,
        spec: ServerSpec,
        selection: Selection,
        chosen: Sequence[tuple[str, Offer]],
        overrides: Overrides,
        renamed: Renamed,
    ) -> Steps[Named]:
        """What is shown of a kind of things that have names.

        Args:
            kind: `tools` or `prompts`.
            spec: The server.
            selection: The server's, of this kind.
            chosen: Upstreams and their offers, in config order.
            overrides: How definitions are to be shown that are not shown as they came.
            renamed: URIs in definitions that are advertised as others.
        """
        if self._describe != spec.describe:
            self._kinds.clear()
            self._describe = spec.describe
        known = self._kinds.setdefault(kind, _Known())
        parts = yield from _parts(kind, known, chosen)
        found = _overriding(kind, parts, overrides)
        yield
        yield from _name(known, parts, spec, selection, found)
        blocks: dict[str, _Block] = {}
        out = Named(clashes=known.clashes)
        for upstream, given in known.groups:
            part, over = parts[upstream], found.get(upstream, {})
            block = known.blocks.get(upstream)
            if (
                block is None
                or block.part is not part
                or block.given != given
                or block.overrides.keys() != over.keys()
                or any(block.overrides[claim] is not each for claim, each in over.items())
                or upstream in renamed
            ):
                block = yield from _block(kind, part, given, over, spec, renamed.get(upstream, {}))
            if upstream not in renamed:  # its URIs may be others the next time
                blocks[upstream] = block
            out.items.extend(block.items)
            out.targets.update(block.targets)
            out.headers.update(block.headers)
            out.fills.update(block.fills)
            yield
        known.blocks = blocks
        return out

    def schemes(self, chosen: Sequence[tuple[str, Offer]]) -> Steps[dict[str, str]]:
        """Scheme -> its only user; `*` -> the only upstream with resources at all."""
        users: dict[str, set[str]] = {}
        fresh: dict[str, tuple[Offer, frozenset[str]]] = {}
        for upstream, offer in chosen:
            known = self._schemes.get(upstream)
            if known is None or known[0] is not offer:
                known = offer, schemes_of(offer)
            fresh[upstream] = known
            for scheme in known[1]:
                users.setdefault(scheme, set()).add(upstream)
            yield
        self._schemes = fresh
        return {scheme: next(iter(names)) if len(names) == 1 else "" for scheme, names in users.items()}


def _parts(kind: str, known: _Known, chosen: Sequence[tuple[str, Offer]]) -> Steps[dict[str, _Part]]:
    """Each upstream's claims and what they are for; of two of the same name the first."""
    fresh: dict[str, tuple[Sequence[Json], _Part]] = {}
    for upstream, offer in chosen:
        definitions: Sequence[Json] = getattr(offer, kind)
        if not definitions:
            continue
        found = known.parts.get(upstream)
        if found is None or not _the_same(found[0], definitions):
            part: _Part = {}
            for each in definitions:
                part.setdefault(Claim(upstream, str(each.get("name"))), each)
            found = definitions, part
            yield
        fresh[upstream] = found
    known.parts = fresh
    return {upstream: part for upstream, (_, part) in fresh.items()}


def _the_same(some: Collection[object], others: Collection[object]) -> bool:
    """Whether these are the very same things: what is equal may still differ, as `1` and `True` do."""
    return some is others or (len(some) == len(others) and all(map(operator.is_, some, others)))


def _overriding(
    kind: str, parts: Mapping[str, _Part], overrides: Overrides
) -> dict[str, dict[Claim, Override]]:
    """The overrides of what there is, by upstream."""
    found: dict[str, dict[Claim, Override]] = {}
    for (upstream, of, own), override in overrides.items():
        claim = Claim(upstream, own)
        if of == kind and claim in parts.get(upstream, ()):
            found.setdefault(upstream, {})[claim] = override
    return found


def _name(
    known: _Known,
    parts: Mapping[str, _Part],
    spec: ServerSpec,
    selection: Selection,
    found: Mapping[str, Mapping[Claim, Override]],
) -> Steps[None]:
    """Have the names given, unless the same claims were made on the same terms before."""
    claims: list[Claim] = []
    for part in parts.values():
        claims += part
    yield
    renames = {
        claim: override.name for over in found.values() for claim, override in over.items() if override.name
    }
    asked = claims, selection, spec.prefix, spec.separator, renames
    if known.asked == asked:
        return
    given, known.clashes = yield from advertising(*asked)
    groups: list[_Group] = []
    for upstream, several in groupby(given, lambda each: each[1].upstream):
        groups.append((upstream, list(several)))
        yield
    known.groups, known.asked = groups, asked


def _block(
    kind: str,
    part: _Part,
    given: list[tuple[str, Claim]],
    overrides: Mapping[Claim, Override],
    spec: ServerSpec,
    renamed: Mapping[str, str],
) -> Steps[_Block]:
    block = _Block(part, given, overrides, [], {}, {}, {})
    for number, (name, claim) in enumerate(given):
        own = shown = part[claim]
        override = overrides.get(claim)
        if override:
            shown = shown_as(own, kind, override)
            if override.fills:
                block.fills[name] = override
        shown = rewrite_uris({**shown, "name": name}, renamed)
        if kind == "tools":
            shown.pop("execution", None)  # of 2025-11-25; what holds here is for clients of that to hear
            if mirrored := header_map(shown.get("inputSchema")):
                block.headers[name] = mirrored
        describe_as(shown, spec.describe, claim, name)
        block.items.append((name, encode(shown)))
        block.targets[name] = Target(claim.upstream, claim.own, own)
        if number % _SEVERAL == 0:
            yield
    return block
