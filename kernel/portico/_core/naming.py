"""Advertised names: a pure function of the configuration and of what the upstreams offer, in config order."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import attrs

Prefix = Literal["never", "conflict", "always"]

MAX_NAME: Final = 64
"""The length and alphabet model hosts accept: `^[a-zA-Z0-9_-]{1,64}$`."""

_ILLEGAL: Final = re.compile(r"[^a-zA-Z0-9_-]")


@attrs.frozen
class Claim:
    """One upstream's thing that wants a name: its upstream, and its own name there."""

    upstream: str
    own: str


@attrs.frozen
class Selection:
    """Which things of a kind a virtual server shows, and as what.

    Attributes:
        include: Patterns (`*`, `?`, `[...]`) over `name` or `upstream/name`.
        exclude: Likewise; wins over `include`.
        rename: `name` or `upstream/name` -> the name to advertise.
    """

    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()
    rename: dict[str, str] = attrs.field(factory=dict)

    def shows(self, claim: Claim) -> bool:
        """Whether the thing is to be seen at all."""
        return _matches(claim, self.include) and not self.hides(claim)

    def hides(self, claim: Claim) -> bool:
        """Whether the thing is excluded, whatever is included."""
        return _matches(claim, self.exclude)

    def alias(self, claim: Claim) -> str | None:
        """The explicit name, if one is configured."""
        return self.rename.get(f"{claim.upstream}/{claim.own}") or self.rename.get(claim.own)


def _matches(claim: Claim, patterns: Iterable[str]) -> bool:
    full = f"{claim.upstream}/{claim.own}"
    return any(fnmatch.fnmatchcase(claim.own, p) or fnmatch.fnmatchcase(full, p) for p in patterns)


def prefixed(claim: Claim, separator: str) -> str:
    """`upstream` + separator + name, made to fit alphabet and length; a digest keeps cut names apart."""
    plain = f"{claim.upstream}{separator}{claim.own}"
    name = _ILLEGAL.sub("_", plain)
    if name == plain and len(name) <= MAX_NAME:
        return name
    tail = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: MAX_NAME - 9]}_{tail}"


def advertise(
    claims: Sequence[Claim],
    selection: Selection,
    prefix: Prefix,
    separator: str,
    renames: Mapping[Claim, str] | None = None,
) -> tuple[list[tuple[str, Claim]], list[tuple[str, Claim, Claim]]]:
    """Give every shown claim its name.

    With `prefix = "conflict"` all claimants of a disputed name are prefixed, so that no name changes its
    meaning when the order of arrival does. A name still claimed twice goes to the claim that comes first in
    config order.

    Args:
        claims: In config order of the upstreams, each upstream's in its own order.
        selection: What is shown and renamed.
        prefix: The mode.
        separator: Between prefix and name.
        renames: Other names that overrides give; the selection's own come before them.

    Returns:
        `(name, claim)` in the order of the claims, and the conflicts as `(name, kept, left out)`.
    """
    shown = list(dict.fromkeys(claim for claim in claims if selection.shows(claim)))
    explicit = {claim: alias for claim in shown if (alias := selection.alias(claim))}
    aliases = {**(renames or {}), **explicit}
    disputed = {
        name for name, count in Counter(c.own for c in shown if c not in aliases).items() if count > 1
    }
    named: dict[str, Claim] = {}
    conflicts: list[tuple[str, Claim, Claim]] = []
    # Explicit aliases are the operator's word: they take their names before any other rule does.
    for claim in sorted(shown, key=lambda c: (c not in explicit, c not in aliases)):
        alias = aliases.get(claim)
        if alias is not None:
            name = alias
        elif prefix == "always" or (prefix == "conflict" and (claim.own in disputed or claim.own in named)):
            name = prefixed(claim, separator)
        else:
            name = claim.own
        if name in named:
            conflicts.append((name, named[name], claim))
        else:
            named[name] = claim
    order = {claim: index for index, claim in enumerate(shown)}
    return sorted(named.items(), key=lambda item: order[item[1]]), conflicts
