"""Whether a change of records may be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portico._config.masking import MASK
from portico._config.wording import nearest
from portico._core.catalog.pins import Pins
from portico._core.contracts.records import KINDS_MANAGED, Change
from portico._core.errors import ConfigError
from portico._host.managed.composed import Composed


def check(changes: Sequence[Change], composed: Composed, before: Composed) -> None:
    """Whether any record that is changed would be wrong, or one that was right no longer.

    Args:
        changes: What is to be written.
        composed: What would come of it.
        before: What is in effect.

    Raises:
        ConfigError: It would; paths begin with the kind and the name.
    """
    wrong = [problem for change in changes for problem in _form(change)]
    touched = {(change.kind, change.name) for change in changes if change.config is not None}
    for key, problems in composed.problems.items():
        if key in touched or key not in before.problems:
            wrong += [(".".join((*key, *([path] if path else []))), text) for path, text in problems]
    for change in changes:
        if MASK in _strings(change.config):
            wrong.append((f"{change.kind}.{change.name}", f"{MASK} stands for a secret that there is not"))
    if wrong:
        raise ConfigError(wrong, "the change")


def _form(change: Change) -> list[tuple[str, str]]:
    """What is wrong with a change whatever else there is."""
    place = f"{change.kind}.{change.name}"
    if change.kind not in KINDS_MANAGED:
        return [(change.kind, f"unknown kind{nearest(change.kind, KINDS_MANAGED, 'kinds')}")]
    if change.kind == "secrets" and change.config is not None:
        unknown = [name for name in change.config if name != "value"]
        if unknown:
            return [(f"{place}.{unknown[0]}", "unknown key; a secret has a `value`, and nothing else")]
        if not isinstance(change.config.get("value"), str) or not change.config["value"]:
            return [(f"{place}.value", "expected a string that is not empty")]
    if change.kind == "pins" and change.config is not None:
        try:
            Pins.of(change.config)
        except ValueError as error:
            return [(place, str(error))]
    return []


def _strings(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return set().union(*map(_strings, value.values()))
    if isinstance(value, list):
        return set().union(*map(_strings, value))
    return {value} if isinstance(value, str) else set()
