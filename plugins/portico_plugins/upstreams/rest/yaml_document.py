"""YAML documents: read without tags, dates or `yes` for true, as what JSON could have said."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from .document import plain


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Knows the scalars of JSON only (YAML 1.2, core schema)."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("merge", r"^(?:<<)$", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def _int(loader: Any, node: Any) -> Any:
    """A decimal number, zeros in front or not; text where it has more digits than a number may."""
    said = loader.construct_scalar(node)
    try:
        return int(said)
    except ValueError:
        return said


def _float(loader: Any, node: Any) -> Any:
    said = loader.construct_scalar(node)
    value = float(said)
    return value if math.isfinite(value) else said


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def load(text: bytes) -> Any:
    """Read a YAML document.

    Raises:
        Unfit: It is too large, or has something in it that JSON has not.
        yaml.YAMLError: It is no YAML.
    """
    return plain(yaml.load(text, Loader=_Loader))  # noqa: S506  (a safe loader)
