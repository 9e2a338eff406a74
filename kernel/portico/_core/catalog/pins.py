"""Pins: definitions as they were first seen or last approved, and what becomes of one that changes."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

import attrs
import msgspec

from portico._core.catalog.held import INSTRUCTIONS
from portico._core.catalog.odd_text import odd_text
from portico._core.catalog.union import as_object
from portico._core.contracts.definitions import OnChange
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Offer
from portico._core.steps import Steps

MOST_ABSENT: Final = 4096
"""How many definitions of an upstream are remembered that it does not offer at present."""

MOST_RESOURCES: Final = 5000
"""How many resources of an upstream are pinned, the first it lists: some list a whole file system."""

_FIELDS: Final = {"tools": "name", "prompts": "name", "resources": "uri", "templates": "uriTemplate"}
_UNFIT: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_MOST_KEY: Final = 400
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@attrs.frozen
class Seen:
    """A definition as its upstream offers it.

    Attributes:
        kind: The attribute of `Offer` it is in.
        own: The upstream's name for it.
        digest: Of the whole definition.
        definition: The upstream's.
        odd: Where it has characters that people do not see; see `odd_text`.
    """

    kind: str
    own: str
    digest: str
    definition: Json
    odd: tuple[str, ...] = ()


@attrs.frozen
class Pending:
    """A change that nobody has approved of.

    Attributes:
        digest: Of what it would become.
        since: When it was seen first, in seconds since 1970.
        packed: What it would become.
    """

    digest: str
    since: float
    packed: str

    @property
    def definition(self) -> Json:
        """What it would become."""
        return _unpacked(self.packed)


@attrs.frozen
class Pins:
    """What is known of one upstream's definitions, by keys like `tools/NAME`.

    Attributes:
        digests: Of the definitions that hold.
        pending: Of those that changed.
        packed: The definitions that hold: compressed, so that a thousand upstreams are no weight.
        loose: Those of them that are not in `packed`, or are others there.
    """

    digests: Mapping[str, str] = attrs.field(factory=dict)
    pending: Mapping[str, Pending] = attrs.field(factory=dict)
    packed: str = ""
    loose: Mapping[str, Json] = attrs.field(factory=dict)

    def definitions(self) -> Json:
        """The definitions that hold."""
        return {**(_unpacked(self.packed) if self.packed else {}), **self.loose}

    def same_as(self, other: Pins) -> bool:
        """Whether both say the same, apart from when."""
        return self.digests == other.digests and {k: p.digest for k, p in self.pending.items()} == {
            k: p.digest for k, p in other.pending.items()
        }

    def above(self, other: Pins) -> Pins:
        """These, and what `other` has besides: what was seen while nobody could be told."""
        more = [key for key in other.digests if key not in self.digests]
        if not more:
            return self
        known = other.definitions()
        return attrs.evolve(
            self,
            digests={**self.digests, **{key: other.digests[key] for key in more}},
            pending={**{k: p for k, p in other.pending.items() if k in more}, **self.pending},
            loose={**self.loose, **{key: known[key] for key in more if key in known}},
        )

    def approved(self, keys: Iterable[str]) -> Pins:
        """With these changes approved of."""
        now = {key: self.pending[key] for key in keys}
        return attrs.evolve(
            self,
            digests={**self.digests, **{key: each.digest for key, each in now.items()}},
            pending={key: each for key, each in self.pending.items() if key not in now},
            loose={**self.loose, **{key: each.definition for key, each in now.items()}},
        )

    def tight(self) -> Pins:
        """The same with every definition in `packed`."""
        if self.packed and not self.loose:
            return self
        packed = _packed({key: each for key, each in self.definitions().items() if key in self.digests})
        return attrs.evolve(self, packed=packed, loose={})

    def as_config(self) -> Json:
        """As their record holds them: nothing an upstream says stands in it as it is, but names."""
        pending = {key: attrs.asdict(each) for key, each in self.pending.items()}
        return {"digests": dict(self.digests), "definitions": self.tight().packed, "pending": pending}

    @classmethod
    def of(cls, config: Json) -> Pins:
        """Of what their record holds.

        Raises:
            ValueError: It holds something else.
        """
        digests, pending, packed = (config.get(name) for name in ("digests", "pending", "definitions"))
        if not (isinstance(digests, dict) and isinstance(pending, dict) and isinstance(packed, str)):
            raise ValueError("these are no pins")
        if not all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in digests.values()):
            raise ValueError("these are no digests")
        try:
            return cls(digests, {key: Pending(**each) for key, each in pending.items()}, packed)
        except TypeError:
            raise ValueError("these are no changes") from None


@attrs.frozen
class Verdict:
    """What becomes of what an upstream offers.

    Attributes:
        pins: As they are from now on.
        held: `(kind, own)` of what is held back.
        new: Keys seen for the first time.
        changed: Keys whose definition is another than before.
    """

    pins: Pins
    held: frozenset[tuple[str, str]]
    new: tuple[str, ...]
    changed: tuple[str, ...]


def settle(
    pins: Pins,
    seen: Mapping[str, Seen],
    fresh: AbstractSet[str],
    former: Mapping[str, str],
    on_change: OnChange,
    now: float,
) -> Verdict:
    """Compare what an upstream offers with its pins.

    Several processes see the same upstream, not at the same time, and one that always offers something else
    may show each of them another thing. So what has been known for a while is not said twice (`fresh`): the
    processes would correct each other for ever. And one that has not looked again since a change was approved
    of elsewhere must not take what it knows (`former`) for the next change.

    Args:
        pins: As they were.
        seen: What it offers.
        fresh: The keys of what it has not offered here before; the pins follow these only.
        former: Digests of what was pinned before, where something else was approved of since.
        on_change: What becomes of changes.
        now: In seconds since 1970.
    """
    digests, pending, loose = dict(pins.digests), dict(pins.pending), dict(pins.loose)
    held, new, changed = [], [], []
    for key, each in seen.items():
        pinned, waiting = digests.get(key), pending.get(key)
        if pinned is None:
            digests[key], loose[key] = each.digest, each.definition
            new.append(key)
        elif pinned == each.digest or (key not in fresh and former.get(key) == each.digest):
            if key in fresh:
                pending.pop(key, None)
            elif waiting is not None and on_change == "quarantine":
                held.append((each.kind, each.own))  # another process knows more
        elif on_change == "accept":
            if key in fresh:
                digests[key], loose[key] = each.digest, each.definition
                pending.pop(key, None)
                changed.append(key)
        else:
            if waiting is None or (key in fresh and waiting.digest != each.digest):
                pending[key] = Pending(each.digest, now, _packed(each.definition))
                changed.append(key)
            if on_change == "quarantine":
                held.append((each.kind, each.own))
    absent = [key for key in digests if key not in seen]
    # Tools that went are remembered longest: one that comes back is compared with what it was.
    absent.sort(key=lambda key: not key.startswith("resources/"))
    for key in absent[: max(0, len(absent) - MOST_ABSENT)]:
        del digests[key]
        pending.pop(key, None)
        loose.pop(key, None)
    after = Pins(digests, pending, pins.packed, loose)
    return Verdict(pins if after == pins else after, frozenset(held), tuple(new), tuple(changed))


def look(offer: Offer, before: Mapping[str, Seen]) -> Steps[dict[str, Seen]]:
    """What an offer has, by key; what was looked at before is not looked at again."""
    out: dict[str, Seen] = {}
    looked = 0
    for kind, field in _FIELDS.items():
        for definition in getattr(offer, kind)[: MOST_RESOURCES if kind == "resources" else None]:
            own = str(definition.get(field))
            key = key_of(kind, own)
            if key not in out:  # of two of one name, the first is shown
                known = before.get(key)
                if known is None or known.definition is not definition:
                    known = _seen(kind, own, definition)
                    looked += 1
                    if looked % 10 == 0:
                        yield
                out[key] = known
    if text := offer.instructions.strip():
        out[INSTRUCTIONS[0]] = _seen(*INSTRUCTIONS, {"instructions": text})
    return out


def _seen(kind: str, own: str, definition: Json) -> Seen:
    text = canonical(kind, definition)
    return Seen(kind, own, hashlib.sha256(text).hexdigest(), definition, odd_text(definition, text))


def key_of(kind: str, own: str) -> str:
    """The key of a definition: any registry can keep it, and people can read it."""
    name = _UNFIT.sub(lambda match: f"\\u{ord(match[0]):04x}", own)
    if len(name) > _MOST_KEY:
        name = f"{name[:_MOST_KEY]}...{hashlib.sha256(own.encode('utf-8', 'replace')).hexdigest()}"
    return f"{kind}/{name}"


def canonical(kind: str, definition: Json) -> bytes:
    """What a digest is made of: the definition as JSON without spaces, the members of objects sorted.

    What a resource's definition says of its content as it is now (`size`, `lastModified`) is left out: it
    changes whenever the content does.
    """
    if kind == "resources" and ("size" in definition or "annotations" in definition):
        notes = as_object(definition.get("annotations"))
        definition = {key: each for key, each in definition.items() if key != "size"}
        if "lastModified" in notes:
            definition["annotations"] = {k: each for k, each in notes.items() if k != "lastModified"}
    return msgspec.json.encode(definition, order="deterministic")


def _packed(value: Json) -> str:
    return base64.b64encode(zlib.compress(msgspec.json.encode(value), 6)).decode()


def _unpacked(text: str) -> Json:
    try:
        value: Any = msgspec.json.decode(zlib.decompress(base64.b64decode(text)))
    except (ValueError, zlib.error, msgspec.DecodeError):
        return {}
    return as_object(value)
