"""Resource URIs: matching templates (RFC 6570), and telling apart what two upstreams call the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from portico._core.contracts.json import Json

_EXPRESSION: Final = re.compile(r"\{([+#./;?&]?)([^{}]*)\}")
_ENDS: Final = {"": "/?#", "+": "", "#": "", ".": "/?#", "/": "?#", ";": "/?#", "?": "#", "&": "#"}
"""Operator of an expression -> the characters its expansion does not contain."""

_OPENED: Final = frozenset("#./;?&")
"""Operators that stand before their expansion; where there is no value, both are left out."""

MAX_MATCHED: Final = 16_384
"""A longer URI comes from no template."""


class Template:
    """Recognises the URIs an RFC 6570 template can produce.

    The places in the URI that the template can have come to are followed all at once, as the bits of one
    integer. So there is no backtracking: the work is the template's length, whatever an upstream sends.
    """

    def __init__(self, template: str) -> None:
        self._steps: list[tuple[str, str, str]] = []  # literal text, then an expression's opener and ends
        at = 0
        for match in _EXPRESSION.finditer(template):
            literal, operator = template[at : match.start()], match[1]
            ends = "" if match[2].endswith("*") and not operator else _ENDS[operator]
            self._steps.append((literal, operator if operator in _OPENED else "", ends))
            at = match.end()
        self._tail = template[at:]

    def matches(self, uri: str) -> bool:
        """Whether the whole URI can be an expansion."""
        size = len(uri)
        first = self._steps[0][0] if self._steps else self._tail
        if size > MAX_MATCHED or not uri.startswith(first):
            return False
        places: dict[str, int] = {}

        def places_of(char: str) -> int:
            found = places.get(char)
            if found is None:
                bits = "".join("1" if each == char else "0" for each in reversed(uri))
                found = places[char] = int(bits or "0", 2)
            return found

        def after(text: str, reached: int) -> int:
            for char in text:
                if not reached:
                    break
                reached = (reached & places_of(char)) << 1
            return reached

        reached = 1
        for literal, opener, ends in self._steps:
            reached = after(literal, reached)
            allowed = (1 << size) - 1
            for char in ends:
                allowed &= ~places_of(char)
            begun = after(opener, reached)
            # The carry of the addition runs through allowed characters, from each place to the run's end.
            run = (((begun & allowed) + allowed) ^ allowed) | begun
            reached = reached | run if opener else run
        return after(self._tail, reached) >> size == 1


def disambiguate(uri: str, upstream: str) -> str:
    """Another URI for the same resource, its scheme kept (`ui://` must stay `ui://`): `memo://b~notes`."""
    scheme, colon, rest = uri.partition(":")
    if not colon:
        return f"{upstream}~{uri}"
    slashes = "//" if rest.startswith("//") else ""
    return f"{scheme}:{slashes}{upstream}~{rest[len(slashes) :]}"


def scheme_of(uri: str) -> str:
    """The scheme in lower case; "" when there is none."""
    scheme, colon, _ = uri.partition(":")
    return scheme.lower() if colon else ""


def rewrite_uris(value: Any, changed: Mapping[str, str]) -> Any:
    """Replace URIs where MCP results hold them; everything else is left as it is.

    Places: `contents[].uri`, content blocks of type `resource_link` and `resource`, prompt messages, and
    `_meta.ui.resourceUri` / `_meta["ui/resourceUri"]`.

    Args:
        value: A decoded result, definition or notification params; not modified.
        changed: The upstream's URI -> the advertised one.
    """
    if isinstance(value, list):
        return [rewrite_uris(item, changed) for item in value]
    if not isinstance(value, dict):
        return value
    out: Json = dict(value)
    if isinstance(out.get("uri"), str):
        out["uri"] = changed.get(out["uri"], out["uri"])
    for key in ("content", "contents", "messages", "resource"):
        if key in out:
            out[key] = rewrite_uris(out[key], changed)
    meta = out.get("_meta")
    if isinstance(meta, dict):
        meta = out["_meta"] = dict(meta)
        if isinstance(meta.get("ui/resourceUri"), str):
            meta["ui/resourceUri"] = changed.get(meta["ui/resourceUri"], meta["ui/resourceUri"])
        ui = meta.get("ui")
        if isinstance(ui, dict) and isinstance(ui.get("resourceUri"), str):
            meta["ui"] = {**ui, "resourceUri": changed.get(ui["resourceUri"], ui["resourceUri"])}
    return out
