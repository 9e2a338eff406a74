"""Finding operations by words: a plain ranking over names, paths, tags and descriptions."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final

from .operations import Operation

_WORDS: Final = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|[0-9]+")
_LONGEST_QUERY: Final = 32
"""Words of a question that are looked at."""
_LONGEST: Final = 400
"""Characters of a description that are."""
_MOST: Final = 8.0
"""What one word can count in one operation."""
_BEGINNING: Final = 0.5
"""What the beginning of a word counts beside the word."""


def words(text: str) -> Iterator[str]:
    """The words of a text, as they are compared: `listPets` is `list` and `pet`."""
    for found in _WORDS.findall(text):
        word = found.lower()
        if len(word) > 4 and word.endswith("ies"):
            word = f"{word[:-3]}y"
        elif len(word) > 2 and word.endswith("s") and not word.endswith("ss"):
            word = word[:-1]
        yield word


class Index:
    """The words of operations.

    Args:
        operations: By name.
    """

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self._names = sorted(operations)
        self._places: dict[str, dict[int, float]] = {}
        self._sizes: list[int] = []
        for at, name in enumerate(self._names):
            one = operations[name]
            self._sizes.append(len(set(words(f"{name} {one.summary}"))))
            self._add(at, f"{name} {one.id}", 4.0)
            self._add(at, one.path, 3.0)
            self._add(at, " ".join(one.tags), 3.0)
            self._add(at, one.summary, 2.0)
            self._add(at, f"{one.method} {one.description[:_LONGEST]}", 1.0)
        self._words = sorted(self._places)

    def _add(self, at: int, text: str, weight: float) -> None:
        for word in set(words(text)):
            places = self._places.setdefault(word, {})
            places[at] = min(_MOST, places.get(at, 0.0) + weight)

    def ranked(self, query: str) -> list[str]:
        """The names of the operations that have any of the words, best first; of no words, all of them.

        A word counts the more the fewer operations have it, and where it stands: in the name most, in the
        description least. An operation that has all the words goes before one that has half of them, and one
        that is about nothing else before one that is about more.
        """
        asked = list(dict.fromkeys(words(query)))[:_LONGEST_QUERY]
        if not asked:
            return list(self._names)
        scores: dict[int, float] = {}
        hits: dict[int, int] = {}
        for word in asked:
            places = self._of(word)
            rarity = math.log(1 + len(self._names) / max(1, len(places)))
            for at, weight in places.items():
                scores[at] = scores.get(at, 0.0) + weight * rarity
                hits[at] = hits.get(at, 0) + 1
        total = {
            at: score * hits[at] / len(asked) * (1 + hits[at] / max(self._sizes[at], hits[at]))
            for at, score in scores.items()
        }
        return [self._names[at] for at in sorted(total, key=lambda at: (-total[at], self._names[at]))]

    def _of(self, word: str) -> Mapping[int, float]:
        """Where a word is, and what it counts there; words that begin with it count less."""
        if len(word) < 3:
            return self._places.get(word, {})
        out = dict(self._places.get(word, {}))
        for other in self._words[bisect_left(self._words, word) :]:
            if not other.startswith(word):
                break
            for at, weight in self._places[other].items():
                out[at] = max(out.get(at, 0.0), weight * _BEGINNING)
        return out
