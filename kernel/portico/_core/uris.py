"""Resource URIs: matching templates (RFC 6570), and telling apart what two upstreams call the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from portico._core.contracts import Json

_EXPRESSION: Final = re.compile(r"\{([+#./;?&]?)([^{}]*)\}")
_CLASSES: Final = {
    "": r"[^/?#]*",
    "+": r".*",
    "#": r"(?:#.*)?",
    ".": r"(?:\.[^/?#]*)?",
    "/": r"(?:/[^?#]*)?",
    ";": r"(?:;[^/?#]*)?",
    "?": r"(?:\?[^#]*)?",
    "&": r"(?:&[^#]*)?",
}


def template_pattern(template: str) -> re.Pattern[str]:
    """A pattern for the URIs an RFC 6570 template can produce.

    Character classes only, no nested repetition: matching stays linear whatever an upstream sends.
    """
    out: list[str] = []
    at = 0
    for match in _EXPRESSION.finditer(template):
        out.append(re.escape(template[at : match.start()]))
        out.append(".*" if match[2].endswith("*") and not match[1] else _CLASSES[match[1]])
        at = match.end()
    out.append(re.escape(template[at:]))
    return re.compile("".join(out), re.DOTALL)


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
