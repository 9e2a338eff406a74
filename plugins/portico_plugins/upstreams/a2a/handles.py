"""Ids of tasks and contexts as clients know them: the agent's own, and a mark for whom they were given to.

An agent that knows the gateway only cannot tell its callers apart, so that one of them who learns another's
id could go on with that one's conversation. An id without its mark does not exist.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final, Literal

from portico.api import Principal

_SOUND: Final = re.compile(r"[\x21-\x7e]{1,256}")
_PLAIN: Final = re.compile(r"[0-9A-Za-z_=+@~:-][0-9A-Za-z_=+@~:.-]{0,255}")
_MARK: Final = 16
"""Characters of a mark: 96 bits."""

Of = Literal["task", "context"]


def is_sound(ident: str) -> bool:
    """Whether an id of an agent's is one at all: printable, without spaces, and of a reasonable length."""
    return _SOUND.fullmatch(ident) is not None


def is_plain(ident: str) -> bool:
    """Whether it can be a segment of a path, too, and no more than that."""
    return _PLAIN.fullmatch(ident) is not None


class Handles:
    """Makes handles of ids and ids of handles; keeps none.

    Args:
        key: What the marks are made with.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def given(self, principal: Principal, of: Of, ident: str) -> str:
        """The handle for an id, for this principal."""
        return f"{ident}.{self._mark(principal, of, ident)}"

    def taken(self, principal: Principal, of: Of, handle: str) -> str | None:
        """The id a handle stands for; None if it was not given out to this principal."""
        ident, _, mark = handle.rpartition(".")
        if not is_sound(ident) or not mark.isascii():
            return None
        return ident if hmac.compare_digest(mark, self._mark(principal, of, ident)) else None

    def _mark(self, principal: Principal, of: Of, ident: str) -> str:
        said = f"{of}\n{principal.key}\n{ident}".encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, said, hashlib.sha256)).decode()[:_MARK]
