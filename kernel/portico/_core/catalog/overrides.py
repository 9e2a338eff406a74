"""Overrides: how a definition of an upstream is shown to clients, where it is not shown as it came."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from portico._core.catalog.naming import MAX_NAME
from portico._core.contracts.config import doc
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Offer
from portico._core.errors import INVALID_PARAMS, Refused

KINDS_OVERRIDDEN: Final = ("tools", "prompts", "resources")
"""Resource templates are overridden as resources, by their `uriTemplate`."""

TAGS_META: Final = "portico/tags"
"""The `_meta` key that tags are shown under; MCP has no member of its own for them."""

Key = tuple[str, str, str]
"""Upstream, kind, and the upstream's own name (of resources: its URI or URI template)."""

_NAME: Final = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_NAME}}}")
_URI: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:[^\s{}\x00-\x1f\x7f]+")


@attrs.frozen
class Override:
    """How one definition is shown, and what the gateway adds to calls of it."""

    enabled: bool = attrs.field(
        default=True, metadata=doc("Whether it is there at all; a disabled one answers as an unknown one.")
    )
    name: str | None = attrs.field(
        default=None,
        metadata=doc("The name clients know it by; of a resource, the URI. Templates keep theirs."),
    )
    title: str | None = attrs.field(default=None, metadata=doc("The title to show."))
    description: str | None = attrs.field(default=None, metadata=doc("The description to show."))
    tags: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("Tags to show, under `portico/tags` in its `_meta`.")
    )
    annotations: dict[str, Any] = attrs.field(
        factory=dict, metadata=doc("Annotations to show; those it has and this does not name stay.")
    )
    defaults: dict[str, Any] = attrs.field(
        factory=dict, metadata=doc("Arguments of a tool or prompt -> the value for calls that give none.")
    )
    hidden: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("Arguments clients neither see nor may give; `defaults` says their values.")
    )

    @property
    def fills(self) -> bool:
        """Whether calls have to be looked at."""
        return bool(self.defaults or self.hidden)


Overrides = Mapping[Key, Override]


def key_of(name: str) -> Key | None:
    """What a record's name (`UPSTREAM/tools/NAME`) stands for; None when it is no such name."""
    upstream, _, rest = name.partition("/")
    kind, _, own = rest.partition("/")
    return (upstream, kind, own) if upstream and own and kind in KINDS_OVERRIDDEN else None


def problems(key: Key, override: Override) -> list[tuple[str, str]]:
    """What is wrong with an override of this thing, as `(path, message)`; empty when nothing is."""
    _, kind, own = key
    found: list[tuple[str, str]] = []
    if kind == "resources":
        given = [field for field in ("defaults", "hidden") if getattr(override, field)]
        found += [(field, "resources have no arguments") for field in given]
        if override.name is not None and "{" in own:
            found.append(("name", "URI templates cannot be renamed"))
        elif override.name is not None and not _URI.fullmatch(override.name):
            found.append(("name", f"expected a URI, got {override.name[:128]!r}"))
    elif override.name is not None and not _NAME.fullmatch(override.name):
        expected = f"1 to {MAX_NAME} letters, digits, `_` or `-`"
        found.append(("name", f"expected {expected}, got {override.name[:128]!r}"))
    if kind == "prompts":
        for name, value in override.defaults.items():
            if not isinstance(value, str):
                found.append((f"defaults.{name}", "expected a string: arguments of prompts are strings"))
    return found


def enabled_parts(chosen: Sequence[tuple[str, Offer]], overrides: Overrides) -> list[tuple[str, Offer]]:
    """Offers without what is disabled."""
    disabled: dict[str, set[tuple[str, str]]] = {}
    for (upstream, kind, own), each in overrides.items():
        if not each.enabled:
            disabled.setdefault(upstream, set()).add((kind, own))
    return [(name, _less(offer, disabled[name]) if name in disabled else offer) for name, offer in chosen]


def _less(offer: Offer, disabled: set[tuple[str, str]]) -> Offer:
    def left(items: tuple[Json, ...], kind: str, key: str) -> tuple[Json, ...]:
        return tuple(each for each in items if (kind, str(each.get(key))) not in disabled)

    return attrs.evolve(
        offer,
        tools=left(offer.tools, "tools", "name"),
        prompts=left(offer.prompts, "prompts", "name"),
        resources=left(offer.resources, "resources", "uri"),
        templates=left(offer.templates, "resources", "uriTemplate"),
    )


def shown_as(definition: Json, kind: str, override: Override) -> Json:
    """A definition as the override wants it shown; its name is not looked at.

    Args:
        definition: The upstream's; not modified.
        kind: One of `KINDS_OVERRIDDEN`.
        override: Of this definition.
    """
    out: Json = dict(definition)
    if override.title is not None:
        out["title"] = override.title
    if override.description is not None:
        out["description"] = override.description
    if override.annotations:
        out["annotations"] = {**_object(out.get("annotations")), **override.annotations}
    if override.tags:
        out["_meta"] = {**_object(out.get("_meta")), TAGS_META: list(override.tags)}
    if override.fills and kind == "tools":
        out["inputSchema"] = _schema(_object(out.get("inputSchema")), override)
    elif override.fills and kind == "prompts" and isinstance(out.get("arguments"), list):
        out["arguments"] = [
            {**each, "required": False} if each.get("name") in override.defaults else each
            for each in map(_object, out["arguments"])
            if each.get("name") not in override.hidden
        ]
    return out


def _schema(schema: Json, override: Override) -> Json:
    out: Json = dict(schema)
    if isinstance(schema.get("properties"), dict):
        out["properties"] = {
            name: {**each, "default": override.defaults[name]}
            if name in override.defaults and isinstance(each, dict)
            else each
            for name, each in schema["properties"].items()
            if name not in override.hidden
        }
    if isinstance(schema.get("required"), list):
        given_here = {*override.defaults, *override.hidden}
        out["required"] = [name for name in schema["required"] if name not in given_here]
        if not out["required"]:
            del out["required"]
    return out


def filled(params: Json, override: Override) -> Json:
    """The params of a call with what the gateway adds to its arguments.

    Raises:
        Refused: -32602: the client gave an argument that is not its to give.
    """
    arguments = params.get("arguments")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        return params  # no object: the upstream says so better than we could
    for name in override.hidden:
        if name in arguments:
            raise unknown_argument(name)
    return {**params, "arguments": {**override.defaults, **arguments}}


def unknown_argument(name: str) -> Refused:
    """What a client is told that names an argument it does not see."""
    return Refused(INVALID_PARAMS, f"Invalid params: unknown argument {name!r}")


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
