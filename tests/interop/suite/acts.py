"""How an act becomes a row for every line: it can be done there, or it is shown what happens instead."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from tests.interop.speaking import Speaker
from tests.interop.suite.stage import Line


@attrs.define(eq=False)
class Part:
    """A client on a line, as an act has it.

    Attributes:
        line: The line.
        client: Connected, and the same for all acts on this line.
        another: Makes one more client of the same line, in any revision, not connected.
    """

    line: Line
    client: Speaker
    another: Callable[..., Speaker]

    def key(self, word: str) -> str:
        """A word that no other line uses."""
        return f"{word} {self.line}"


Act = Callable[..., Awaitable[None]]
"""Takes a `Part`, and what the test is parametrized with besides."""


@attrs.frozen
class Unless:
    """Where an act cannot be done.

    Attributes:
        reason: Why not.
        instead: Shows what happens there.
        carriers: The transports of which this is so; all when empty.
        client: The era of client of which this is so; both when empty.
        server: The era of server of which this is so; both when empty.
    """

    reason: str
    instead: Act
    carriers: tuple[str, ...] = ()
    client: str = ""
    server: str = ""

    def __call__(self, line: Line) -> bool:
        """Whether a line is meant."""
        return (
            (not self.carriers or line.carrier in self.carriers)
            and self.client in ("", line.client)
            and self.server in ("", line.server)
        )


ROWS: Final[dict[str, tuple[Unless, ...]]] = {}
"""Act -> where it cannot be done."""


def act(*exceptions: Unless) -> Callable[[Act], Act]:
    """A test of every line; on the exceptions, of what happens instead."""

    def decorate(does: Act) -> Act:
        ROWS[does.__name__] = exceptions

        @functools.wraps(does)
        async def run(part: Part, **more: object) -> None:
            for unless in exceptions:
                if unless(part.line):
                    await unless.instead(part)
                    return
            await does(part, **more)

        return run

    return decorate
