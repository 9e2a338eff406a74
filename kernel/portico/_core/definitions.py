"""What people are shown of pins, and may do about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import attrs

from portico._core.contracts import Json
from portico._core.differences import Difference
from portico._core.pins import OnChange
from portico._core.records import Author
from portico._core.shadows import Conflict

PinState = Literal["pinned", "changed", "quarantined"]


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
