"""What is managed at run time: records, the changes made to them, and the registry that keeps them.

A record is what a table of the configuration file would be. Registries know nothing of what records mean:
they keep them, count their revisions, and remember who changed what.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol, runtime_checkable

import attrs

from portico._core.contracts.json import Json
from portico._core.errors import PorticoError

KINDS_MANAGED: Final = ("upstreams", "servers", "overrides", "prompts", "resources", "secrets", "pins")
"""The kinds of record.

`upstreams` and `servers` are the tables of the configuration file. `overrides` change how a definition of an
upstream is shown (the record's name is `UPSTREAM/tools/NAME`, `.../prompts/...` or `.../resources/...`).
`prompts` and `resources` are the gateway's own, `secrets` are encrypted values, `pins` are definitions as
they were first seen or last approved.
"""

Visibility = Literal["private", "team", "public"]


@attrs.frozen
class About:
    """What people say of a record, whatever its kind.

    Attributes:
        enabled: Whether it is in use.
        description: For people.
        tags: For finding it.
        owner: The subject it belongs to, "" for nobody.
        team: The team it belongs to, "" for none.
        visibility: Who may see it.
    """

    enabled: bool = True
    description: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""
    team: str = ""
    visibility: Visibility = "public"


@attrs.frozen
class Author:
    """Who makes a change.

    Attributes:
        subject: The principal's.
        via: How: `api`, `cli`, `import`, `catalog`, `gateway` (the gateway by itself), `file` (where
            the registry keeps files, and somebody changed one).
        peer: The address it came from, "" for none.
        request: Tells the request from all others (at most 64 characters), so that one that is sent again
            is known, by whatever process gets it; "" for none. Kept with the audit trail as the rest is.
    """

    subject: str
    via: str = "api"
    peer: str = ""
    request: str = ""


@attrs.frozen
class Record:
    """One thing that is managed.

    Attributes:
        kind: One of `KINDS_MANAGED`.
        name: Unique within its kind; compared byte by byte.
        config: What a table of the configuration file would hold.
        about: What people say of it.
        version: Counts its own changes, from 1.
        revision: The registry's, when it was last changed.
        created: When, in seconds since 1970.
        created_by: By whom.
        updated: When it was last changed.
        updated_by: By whom.
        via: How it was last changed; see `Author.via`.
    """

    kind: str
    name: str
    config: Json
    about: About = About()
    version: int = 1
    revision: int = 0
    created: float = 0.0
    created_by: str = ""
    updated: float = 0.0
    updated_by: str = ""
    via: str = ""


@attrs.frozen
class Made:
    """When something was first made, and by whom: what a record that comes from elsewhere brings along.

    Attributes:
        at: When, in seconds since 1970.
        by: The subject.
    """

    at: float
    by: str = ""


@attrs.frozen
class Change:
    """A wish to create, replace or delete one record.

    Attributes:
        kind: Of the record.
        name: Of the record.
        config: What it is to hold; None deletes it.
        about: What is to be said of it.
        expected: The version it must have now for the change to be made; 0: it must not exist; None: whatever
            there is.
        made: Of a record that is created by it, and was made elsewhere before: when, and by whom. It becomes
            `created` and `created_by`; who creates it here, and when, is in the audit trail and in `updated`.
            Without meaning for a record there is.
    """

    kind: str
    name: str
    config: Json | None
    about: About = About()
    expected: int | None = None
    made: Made | None = None


@attrs.frozen
class Entry:
    """One line of the audit trail: one record changed by one write.

    Attributes:
        revision: What the registry's became by the write.
        at: When, in seconds since 1970.
        author: By whom.
        kind: Of the record.
        name: Of the record.
        version: Of the record, after the change; that of the last one when it was deleted.
        before: What it was; None when it was created.
        after: What it became; None when it was deleted.
    """

    revision: int
    at: float
    author: Author
    kind: str
    name: str
    version: int
    before: Record | None
    after: Record | None


class Stale(PorticoError):
    """A write was not made: what it was based on has changed meanwhile.

    Attributes:
        kind: Of the record that differs; "" when it was the revision of the whole.
        name: Of that record.
        found: Its version now, 0 when there is none; or the registry's revision.
    """

    def __init__(self, kind: str, name: str, found: int) -> None:
        self.kind, self.name, self.found = kind, name, found
        what = f"{kind} {name!r} has version {found}" if kind else f"the registry has revision {found}"
        super().__init__(f"{what}, which is not what was expected")


class RegistryDown(PorticoError):
    """The registry cannot be reached. Nothing was written, as far as anybody can tell."""


@runtime_checkable
class Registry(Protocol):
    """Where records are kept. Never on the hot path, and never held on to across anything but its own I/O."""

    async def load(self) -> tuple[int, Sequence[Record]]:
        """The revision, and every record at it, ordered by kind and name.

        Raises:
            RegistryDown: It cannot be reached.
        """
        ...

    async def write(self, changes: Sequence[Change], author: Author, *, expected: int | None = None) -> int:
        """Make all changes and their audit entries, or none of them; gives the new revision.

        A write of several changes is one revision. Deleting what does not exist is no change, unless its
        `expected` version says that it should exist. A write that changes nothing has no revision of its own.

        Args:
            changes: At most one for each record.
            author: Who makes them.
            expected: The revision the registry must have.

        Raises:
            Stale: A record, or the registry, is not what was expected.
            RegistryDown: It cannot be reached.
        """
        ...

    async def history(
        self, kind: str | None = None, name: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> Sequence[Entry]:
        """The audit trail, the newest first.

        Args:
            kind: Only of records of this kind.
            name: Only of this record.
            before: Only from before this revision.
            limit: No more than so many.

        Raises:
            RegistryDown: It cannot be reached.
        """
        ...

    def watch(self) -> AbstractAsyncContextManager[Callable[[], Awaitable[int]]]:
        """While entered: an awaitable function giving the next revision that is not the one known.

        Whoever wrote hears of it, too. Revisions may be skipped, never repeated. The function raises
        `RegistryDown` when the registry is away, and may be called again.
        """
        ...


class Schema(Protocol):
    """The schema of what a registry keeps records in, where it has one: what `gateway db` shows and changes.

    Every method may raise `RegistryDown`.
    """

    async def current(self) -> tuple[str, str]:
        """The revision of the schema that is there, "" for none, and the one that is needed."""
        ...

    async def upgrade(self, revision: str | None = None) -> None:
        """Bring it up to a revision, by default to the one that is needed; nothing is lost.

        Raises:
            ConfigError: There is no such revision, or it is none above the one that is there.
        """
        ...

    async def downgrade(self, revision: str | None = None) -> None:
        """Bring it down to a revision, by default by one; "" takes everything away.

        Raises:
            ConfigError: There is no such revision, or it is none below the one that is there.
        """
        ...
