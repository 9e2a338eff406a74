"""A request that is sent again, to whatever process: what the audit trail says it has done already."""

from __future__ import annotations

import hashlib
from typing import Final

from portico.api import Entry, Principal
from portico_plugins.transports.management_api.problems import Problem
from portico_plugins.transports.management_api.table import Call

Key = tuple[str, str]

_HALF: Final = 32
_LEAST: Final = 500


def request_of(principal: Principal, operation: str, key: str, body: bytes) -> str:
    """What a request with an idempotency key is known by: its key in one half, its body in the other."""
    place = "\0".join((principal.key, operation, key)).encode()
    return hashlib.sha256(place).hexdigest()[:_HALF] + hashlib.sha256(body).hexdigest()[:_HALF]


def reused() -> Problem:
    """A key came with a body that is not the one it came with first."""
    return Problem(422, "key-reused", "This Idempotency-Key was sent with another body")


async def done(
    call: Call, kind: str | None = None, name: str | None = None, many: int = 0
) -> dict[Key, Entry]:
    """The changes this very request has made before, by kind and name.

    Also brings this process up to date when there are any: another one may have made them just now.

    Args:
        call: The request.
        kind: Of the record it is about, None for several.
        name: Of that record.
        many: How many changes it may have made.

    Raises:
        Problem: 422; its key came with another body.
        RegistryDown: The audit trail cannot be read.
    """
    mine = call.author.request
    if not mine or call.dry_run:
        return {}
    management = call.host.management
    found: dict[Key, Entry] = {}
    for entry in await management.history(kind, name, limit=max(_LEAST, 2 * many)):
        theirs = entry.author.request
        if theirs[:_HALF] == mine[:_HALF] and entry.at >= call.since:
            if theirs != mine:
                raise reused()
            found[entry.kind, entry.name] = entry
    if found:
        await management.change([], call.author)
    return found
