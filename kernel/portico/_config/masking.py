"""Configs as people may see them: every `Secret` is covered, references to secrets are not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from portico._config.wording import Place
from portico._core.contracts.config import Ref, Secret
from portico._core.contracts.json import Json

MASK: Final = "**********"

SEALED: Final = re.compile(r"\$\{sealed:([^}]*)\}")
"""How a sealed secret stands in a record."""

_ABSENT: Final = object()


def plain(value: Any) -> Any:
    """A structured config as the plain data of a document, secrets covered; defaults are left out."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Ref):
        return value.name
    if attrs.has(type(value)):
        out: Json = {}
        for field in attrs.fields(type(value)):
            each = getattr(value, field.name)
            default = field.default
            if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
                default = default.factory() if not default.takes_self else _ABSENT
            if each != default:
                out[field.name] = plain(each)
        return out
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


Cover = Callable[[str, Place], str]
"""What is to stand in place of a secret."""


def covered(said: Any, config: Any, cover: Cover = lambda text, place: MASK, place: Place = ()) -> Any:
    """What a record says, with something else in place of each secret.

    Args:
        said: Plain data; `${secret:...}` in a string is a reference, and no secret.
        config: What was made of it, which tells what is a `Secret`; None where nothing was.
        cover: Gives what is to stand there instead.
        place: Where `said` is.
    """
    if isinstance(said, Mapping):
        return {key: covered(each, _below(config, key), cover, (*place, key)) for key, each in said.items()}
    if isinstance(said, list):
        below = list(config) if isinstance(config, list | tuple) and len(config) == len(said) else None
        return [
            covered(each, below[at] if below else None, cover, (*place, at)) for at, each in enumerate(said)
        ]
    if not isinstance(said, str) or "${secret:" in said:
        return said
    return cover(said, place) if isinstance(config, Secret) or SEALED.fullmatch(said) else said


def uncovered(said: Any, before: Any) -> Any:
    """What a record says, with the mask replaced by what stood there before."""
    if isinstance(said, Mapping):
        old = before if isinstance(before, Mapping) else {}
        return {key: uncovered(each, old.get(key)) for key, each in said.items()}
    if isinstance(said, list):
        old_items = before if isinstance(before, list) and len(before) == len(said) else [None] * len(said)
        return [uncovered(each, old) for each, old in zip(said, old_items, strict=True)]
    return before if said == MASK and isinstance(before, str) else said


def _below(config: Any, key: str) -> Any:
    return config.get(key) if isinstance(config, Mapping) else getattr(config, key, None)
