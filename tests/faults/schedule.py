"""The faults by name: what each may do to a connection, drawn from the dice of that connection.

`refuse` is the exception: there, the proxy stops listening, and what is open is reset.
"""

from __future__ import annotations

import random
from typing import Final

from tests.faults.proxy import CALM, Behaviour, End, Fault, Way


def _calm(dice: random.Random, way: Way) -> Behaviour:
    return CALM


def _latency(dice: random.Random, way: Way) -> Behaviour:
    return Behaviour(latency=dice.uniform(0.005, 0.04))


def _jitter(dice: random.Random, way: Way) -> Behaviour:
    return Behaviour(jitter=dice.uniform(0.01, 0.1))


def _rate(dice: random.Random, way: Way) -> Behaviour:
    return Behaviour(rate=dice.uniform(30_000, 120_000))


def _slicing(dice: random.Random, way: Way) -> Behaviour:
    return Behaviour(slices=dice.randint(1, 9))


def _ending(end: End, dice: random.Random, way: Way) -> Behaviour:
    """In one direction of three, somewhere in the first two or three messages."""
    if dice.random() < 0.67:
        return CALM
    return Behaviour(end=end, end_after=dice.randint(1, 2500))


def _reset(dice: random.Random, way: Way) -> Behaviour:
    return _ending("reset", dice, way)


def _half_close(dice: random.Random, way: Way) -> Behaviour:
    return _ending("half_close", dice, way)


def _blackhole(dice: random.Random, way: Way) -> Behaviour:
    return _ending("blackhole", dice, way)


def _die(dice: random.Random, way: Way) -> Behaviour:
    """n bytes, then the end: every answer is cut short somewhere."""
    return Behaviour(end="close", end_after=dice.randint(1, 1500)) if way == "down" else CALM


def _corruption(dice: random.Random, way: Way) -> Behaviour:
    return Behaviour(corrupt_every=dice.randint(150, 3000))


_MIXED: Final = (
    _calm,
    _latency,
    _jitter,
    _rate,
    _slicing,
    _reset,
    _half_close,
    _blackhole,
    _die,
    _corruption,
)


def _storm(dice: random.Random, way: Way) -> Behaviour:
    """Any of them, a different one for each connection and direction."""
    return dice.choice(_MIXED)(dice, way)


FAULTS: Final[dict[str, Fault]] = {
    "calm": _calm,
    "latency": _latency,
    "jitter": _jitter,
    "rate": _rate,
    "slicing": _slicing,
    "reset": _reset,
    "half-close": _half_close,
    "blackhole": _blackhole,
    "corruption": _corruption,
    "die-after-n": _die,
    "refuse": _calm,
    "storm": _storm,
}

LIES: Final = frozenset({"corruption", "storm"})
"""Faults after which the bytes that arrive are not those that were sent."""
