"""Idempotency keys: a create that is sent twice is carried out once, and answered the same.

Here are those whose request this process has answered itself; `again` knows of those of others.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import attrs

from portico.api import Clock
from portico_plugins.transports.management_api.again import reused
from portico_plugins.transports.management_api.problems import Problem
from portico_plugins.transports.management_api.table import REPLAYED, Answer

LONGEST = 255


@attrs.define
class _Kept:
    digest: bytes
    until: float
    answer: Answer | None = None


class Keys:
    """Remembers the answers of successful requests by their key, in this process.

    Args:
        most: How many; the oldest are forgotten first.
        seconds: For how long.
        clock: Time.
    """

    def __init__(self, most: int, seconds: float, clock: Clock) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()

    async def once(
        self, place: tuple[str, ...], body: bytes, carry_out: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The answer of the first request of this kind.

        Args:
            place: Who asks for what, and the key.
            body: What stands in it.
            carry_out: Makes the answer; what raises is not remembered.

        Raises:
            Problem: 422, another body had the key; 409, the first request is not answered yet.
        """
        if not 0 < len(place[-1]) <= LONGEST:
            raise Problem(400, "bad-header", f"Idempotency-Key has 1 to {LONGEST} characters")
        now, digest = self._clock.monotonic(), hashlib.sha256(body).digest()
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._kept.popitem(last=False)
        kept = self._kept.get(place)
        if kept is not None:
            if kept.digest != digest:
                raise reused()
            if kept.answer is None:
                raise Problem(
                    409,
                    "in-progress",
                    "The first request with this Idempotency-Key is not answered yet",
                    headers={"retry-after": "1"},
                )
            return attrs.evolve(kept.answer, headers={**kept.answer.headers, **REPLAYED})
        kept = self._kept[place] = _Kept(digest, now + self._seconds)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        try:
            answer = kept.answer = await carry_out()
        finally:
            if kept.answer is None and self._kept.get(place) is kept:
                del self._kept[place]
        return answer
