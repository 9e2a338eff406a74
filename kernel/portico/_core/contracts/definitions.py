"""What people are shown of pins, and may do about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import attrs

from portico._core.contracts.json import Json
from portico._core.contracts.records import Author

OnChange = Literal["accept", "warn", "quarantine"]
"""What becomes of a definition that its upstream changes: taken over; shown, and reported; held back."""

PinState = Literal["pinned", "changed", "quarantined"]


@attrs.frozen
class Difference:
    """One place where they differ.

    Attributes:
        path: `inputSchema.properties.query.type`, `arguments[0].name`; "" for the whole.
        what: Whether it came, went, or is another.
        before: What was there; None where nothing was.
        after: What is there now.
    """

    path: str
    what: Literal["added", "removed", "changed"]
    before: Any
    after: Any


@attrs.frozen
class Pinned:
    """One definition of an upstream.

    Attributes:
        upstream: The upstream.
        definition: `tools/NAME`, `prompts/NAME`, `resources/URI`, `templates/TEMPLATE` or `instructions`.
        state: `changed` when it is another than was pinned, and is shown all the same.
        digest: SHA-256 over the canonical JSON of what was pinned.
        offered: Likewise of what it became; "" when it has not changed.
        since: When it was seen to have changed, in seconds since 1970; 0 when it has not.
        odd: Where what is offered has characters that people do not see.
        before: What was pinned, where it has changed.
        after: What it became.
        differences: Between the two.
    """

    upstream: str
    definition: str
    state: PinState
    digest: str
    offered: str = ""
    since: float = 0.0
    odd: Sequence[str] = ()
    before: Json | None = None
    after: Json | None = None
    differences: Sequence[Difference] = ()


@attrs.frozen
class UpstreamPins:
    """All of an upstream.

    Attributes:
        upstream: The upstream.
        on_change: What becomes of its changes; "" when it is not in use.
        version: Of the record they are kept in; 0 before they are written.
        items: By their names.
    """

    upstream: str
    on_change: OnChange | Literal[""]
    version: int
    items: Sequence[Pinned]


@attrs.frozen
class Conflict:
    """A name of an upstream that another upstream has, or that looks as if it had.

    Attributes:
        server: The virtual server where both are shown.
        kind: `tools`, `prompts` or `resources`.
        name: The newcomer's own name.
        upstream: The newcomer: the one that comes later in the configuration.
        other: The one whose name it is, or looks like.
        why: `same`: both have it, and both are shown under other names; `left_out`: it is not shown;
            `similar`: it is written with other letters; `mimics`: it begins like the prefix of the other
            one's names.
    """

    server: str
    kind: str
    name: str
    upstream: str
    other: str
    why: Literal["same", "left_out", "similar", "mimics"]


class Definitions(Protocol):
    """Pins, as management APIs have them."""

    def all(self, upstream: str | None = None) -> Sequence[Pinned]:
        """Of every upstream or of one, by name; without what changed ones were and became."""
        ...

    def get(self, upstream: str) -> UpstreamPins | None:
        """Of one upstream, with what changed; None when nothing is known of it."""
        ...

    async def approve(
        self,
        upstream: str,
        definitions: Mapping[str, str] | None,
        author: Author,
        *,
        expected: int | None = None,
        dry_run: bool = False,
    ) -> UpstreamPins:
        """Have what changed hold from now on.

        Args:
            upstream: Whose.
            definitions: Which, each with the digest that it must have become (`Pinned.offered`), or "" for
                whatever it is; None for all that changed.
            author: Who approves.
            expected: The version that the record must have.
            dry_run: Only check.

        Raises:
            ConfigError: One of them has not changed, or there is no such upstream.
            Stale: One of them has become something else meanwhile, or the record has another version.
            RegistryDown: The registry cannot be reached.
        """
        ...

    def conflicts(self) -> Sequence[Conflict]:
        """Names of upstreams that others have, too, or that look like them."""
        ...
