"""Advertised names: a pure function of the configuration and of what the upstreams offer, in config order."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import attrs

from portico._core.steps import Steps, finished

Prefix = Literal["never", "conflict", "always"]

MAX_NAME: Final = 64
"""The length and alphabet model hosts accept: `^[a-zA-Z0-9_-]{1,64}$`."""

_FITS: Final = re.compile(rf"[a-zA-Z0-9_-]{{0,{MAX_NAME}}}")
_ILLEGAL: Final = re.compile(r"[^a-zA-Z0-9_-]")


_SEVERAL: Final = 200
"""As many claims are looked at between two pauses."""


class Claim(NamedTuple):
    """One upstream's thing that wants a name: its upstream, and its own name there."""

    upstream: str
    own: str


Advertised = tuple[list[tuple[str, Claim]], list[tuple[str, Claim, Claim]]]
"""What is advertised, and the conflicts; see `advertising`."""


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

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return "*" in self.include and not self.exclude

    def shows(self, claim: Claim) -> bool:
        """Whether the thing is to be seen at all."""
        if self.everything:
            return True
        return _matches(claim, self.include) and not self.hides(claim)

    def hides(self, claim: Claim) -> bool:
        """Whether the thing is excluded, whatever is included."""
        return _matches(claim, self.exclude)

    def limits(self, upstream: str) -> bool:
        """Whether anything an upstream has, or might yet have, is left out."""
        whole = "*" in self.include or f"{upstream}/*" in self.include
        return not whole or any(_of_any(pattern, upstream) for pattern in self.exclude)

    def alias(self, claim: Claim) -> str | None:
        """The explicit name, if one is configured."""
        if not self.rename:
            return None
        return self.rename.get(f"{claim.upstream}/{claim.own}") or self.rename.get(claim.own)


def _matches(claim: Claim, patterns: Iterable[str]) -> bool:
    full = f"{claim.upstream}/{claim.own}"
    return any(fnmatch.fnmatchcase(claim.own, p) or fnmatch.fnmatchcase(full, p) for p in patterns)


def _of_any(pattern: str, upstream: str) -> bool:
    """Whether a pattern may fit things of an upstream: not one that begins with another's name."""
    owner, slash, _ = pattern.partition("/")
    return not slash or owner == upstream or any(each in owner for each in "*?[")


def prefixed(claim: Claim, separator: str) -> str:
    """`upstream` + separator + name, made to fit alphabet and length; a digest keeps cut names apart."""
    plain = f"{claim.upstream}{separator}{claim.own}"
    if _FITS.fullmatch(plain):
        return plain
    name = _ILLEGAL.sub("_", plain)
    tail = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: MAX_NAME - 9]}_{tail}"


def advertise(
    claims: Sequence[Claim],
    selection: Selection,
    prefix: Prefix,
    separator: str,
    renames: Mapping[Claim, str] | None = None,
) -> Advertised:
    """Give every shown claim its name, all at once; see `advertising`."""
    return finished(advertising(claims, selection, prefix, separator, renames))


def advertising(
    claims: Sequence[Claim],
    selection: Selection,
    prefix: Prefix,
    separator: str,
    renames: Mapping[Claim, str] | None = None,
) -> Steps[Advertised]:
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
    shown = list(dict.fromkeys(claims))
    if not selection.everything:
        shown = [claim for claim in shown if selection.shows(claim)]
    yield
    explicit: dict[Claim, str] = {}
    if selection.rename:
        explicit = {claim: alias for claim in shown if (alias := selection.alias(claim))}
    aliases = {**(renames or {}), **explicit}
    disputed = {
        name for name, count in Counter(c.own for c in shown if c not in aliases).items() if count > 1
    }
    yield
    named: dict[str, Claim] = {}
    conflicts: list[tuple[str, Claim, Claim]] = []
    # Explicit aliases are the operator's word: they take their names before any other rule does.
    ranked = sorted(shown, key=lambda c: (c not in explicit, c not in aliases)) if aliases else shown
    for number, claim in enumerate(ranked):
        if number % _SEVERAL == 0:
            yield
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
    if ranked is shown:
        return list(named.items()), conflicts
    order = {claim: index for index, claim in enumerate(shown)}
    return sorted(named.items(), key=lambda item: order[item[1]]), conflicts
