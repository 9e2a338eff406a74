"""How streams are served, whatever the era."""

from __future__ import annotations

import attrs

from portico.api import Unread


@attrs.frozen
class Manner:
    """How streams are served.

    Attributes:
        keep_alive: Seconds of silence on a stream before a comment.
        grace: Seconds to wait for an answer before an event stream is begun.
        retry: Milliseconds clients are told to wait before they come back.
        unread: How far behind a client may be.
        patience: Seconds it may then take nothing before it is cut off.
    """

    keep_alive: float
    grace: float
    retry: int
    unread: Unread
    patience: float
