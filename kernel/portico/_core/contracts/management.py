"""What may be done at run time: the face of the gateway that management APIs and commands use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import attrs

from portico._core.contracts.definitions import Definitions
from portico._core.contracts.json import Json
from portico._core.contracts.records import About, Author, Change, Entry, Record
from portico._core.contracts.upstreams import Offer
from portico._core.errors import PorticoError


@attrs.frozen
class Managed:
    """A record, or a table of the configuration file, and how what it stands for is now.

    Attributes:
        kind: See `records.KINDS_MANAGED`.
        name: Its name.
        config: What it holds; secrets in it are masked.
        about: What people say of it.
        origin: Where it comes from; what comes from the file can only be changed there.
        record: As the registry has it; None for one of the file.
        state: Of an upstream: `ready`, `starting`, `degraded`, `unavailable`, `quarantined`, `stopped` (see
            `upstreams.State`); else `ready`. `disabled` when it is not in use, `invalid` when it cannot be
            used.
        reason: Why it is not ready.
        problems: What is wrong with an invalid one: `(path, message)`.
        since: When it came into this state, in seconds since 1970; 0 where nobody keeps that.
    """

    kind: str
    name: str
    config: Json
    about: About
    origin: Literal["file", "registry"]
    record: Record | None = None
    state: str = "ready"
    reason: str = ""
    problems: Sequence[tuple[str, str]] = ()
    since: float = 0.0


@attrs.frozen
class Outcome:
    """What a change did, or would do.

    Attributes:
        revision: Of the registry, after it; as it is, for a dry run.
        items: The records changed, as they are then; deleted ones are not among them.
    """

    revision: int
    items: Sequence[Managed]


class FromFile(PorticoError):
    """The thing to be changed is declared in the configuration file.

    Attributes:
        kind: Its kind.
        name: Its name.
    """

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        super().__init__(f"{kind} {name!r} comes from the configuration file, and is to be changed there")


class NoRegistry(PorticoError):
    """No registry is configured, so nothing can be managed at run time."""


class Management(Protocol):
    """What is managed at run time.

    Every method may raise `NoRegistry`; those that write, and `history`, also `records.RegistryDown`.
    """

    @property
    def revision(self) -> int:
        """The revision that is in effect."""
        ...

    @property
    def down(self) -> str:
        """Why the registry cannot be written to now; "" when it can."""
        ...

    @property
    def definitions(self) -> Definitions:
        """Pinned definitions, and what changed about them."""
        ...

    def all(self, kind: str) -> Sequence[Managed]:
        """Everything of a kind, by name: of the file, and of the registry."""
        ...

    def get(self, kind: str, name: str) -> Managed | None:
        """One of them, or None."""
        ...

    async def change(
        self, changes: Sequence[Change], author: Author, *, expected: int | None = None, dry_run: bool = False
    ) -> Outcome:
        """Check changes, write them, and have this process act on them.

        It returns when the change is in effect here: an upstream has been created, though it may still be
        connecting. Other workers and replicas follow within a second. Without any changes it only brings
        this process up to date.

        Args:
            changes: All are made, or none.
            author: Who makes them.
            expected: The revision they are based on.
            dry_run: Only check.

        Raises:
            ConfigError: With every problem there is; paths begin with the kind and the name.
            FromFile: One of them is the file's.
            Stale: Something is not what was expected.
        """
        ...

    async def catch_up(self) -> None:
        """Have in effect here what any worker or replica was told is written.

        Whoever is told by one worker that a change is made may ask another next, and a change is checked
        against what others are. While the registry is away this does nothing.
        """
        ...

    async def history(
        self, kind: str | None = None, name: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> Sequence[Entry]:
        """See `Registry.history`."""
        ...

    async def probe(self, name: str, config: Json) -> Json:
        """Connect to a candidate upstream, and tell what it offers; nothing is kept of it.

        Returns:
            `{"state", "reason", "info", "instructions", "capabilities", "eras", "tools", "resources",
            "templates", "prompts"}`, definitions as the upstream sent them.

        Raises:
            ConfigError: It cannot be an upstream, or would start a command that the operator did not allow.
        """
        ...

    async def render(self, name: str, arguments: Json, config: Json | None = None) -> Json:
        """Fill in one of the gateway's own prompts apart from everything else; nothing is kept of it.

        Args:
            name: Of its record.
            arguments: As a client would give them.
            config: What the record would hold; None for what it holds.

        Returns:
            The result of `prompts/get`.

        Raises:
            ConfigError: It cannot be such a prompt.
            KeyError: There is no such record, and no config is given.
            Refused: It cannot be filled in with these arguments.
        """
        ...

    async def refresh(self, upstream: str) -> Managed | None:
        """Have an upstream's lists fetched again; None when there is none of that name."""
        ...

    async def rotate(self, author: Author, *, dry_run: bool = False) -> int:
        """Put every secret under the operator's current key; gives how many records that changes.

        Args:
            author: Who has it done.
            dry_run: Only tell.

        Raises:
            ConfigError: Secrets cannot be opened, each of which it names; nothing has changed.
        """
        ...

    def offers(self) -> Mapping[str, Offer]:
        """What each upstream offers, by name."""
        ...


class Unmanaged:
    """The `Management` of a gateway without a registry."""

    revision = 0
    down = "no registry is configured"

    @property
    def definitions(self) -> Definitions:
        """Refuse."""
        raise NoRegistry(_NONE)

    def all(self, kind: str) -> Sequence[Managed]:
        """Refuse."""
        raise NoRegistry(_NONE)

    def get(self, kind: str, name: str) -> Managed | None:
        """Refuse."""
        raise NoRegistry(_NONE)

    async def change(
        self, changes: Sequence[Change], author: Author, *, expected: int | None = None, dry_run: bool = False
    ) -> Outcome:
        """Refuse."""
        raise NoRegistry(_NONE)

    async def catch_up(self) -> None:
        """Do nothing: there is nothing to be behind."""

    async def history(
        self, kind: str | None = None, name: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> Sequence[Entry]:
        """Refuse."""
        raise NoRegistry(_NONE)

    async def probe(self, name: str, config: Json) -> Json:
        """Refuse."""
        raise NoRegistry(_NONE)

    async def render(self, name: str, arguments: Json, config: Json | None = None) -> Json:
        """Refuse."""
        raise NoRegistry(_NONE)

    async def refresh(self, upstream: str) -> Managed | None:
        """Refuse."""
        raise NoRegistry(_NONE)

    async def rotate(self, author: Author, *, dry_run: bool = False) -> int:
        """Refuse."""
        raise NoRegistry(_NONE)

    def offers(self) -> Mapping[str, Offer]:
        """Refuse."""
        raise NoRegistry(_NONE)


_NONE: Final = 'no registry is configured: add [registries.main] with use = "sql", "file" or "memory"'
