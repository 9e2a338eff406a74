"""The catalog: an immutable view per virtual server of what its upstreams offer, swapped whole on change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from portico._core.contracts import Json, Offer, Target
from portico._core.errors import INVALID_PARAMS, METHOD_NOT_FOUND, Refused
from portico._core.naming import Claim, Prefix, Selection, advertise
from portico._core.overrides import Override, Overrides, enabled_parts, shown_as
from portico._core.protocol.eras import LIST_KINDS
from portico._core.protocol.headers import HeaderMap, header_map
from portico._core.protocol.jsonrpc import encode
from portico._core.union import as_object, capabilities_of, instructions_of
from portico._core.uris import Template, disambiguate, rewrite_uris, scheme_of

Targets = Mapping[str, Target]

_CAPABILITY_OF: Final = {
    "tools/list": "tools",
    "tools/call": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resources",
    "resources/read": "resources",
    "resources/subscribe": "resources",
    "resources/unsubscribe": "resources",
    "prompts/list": "prompts",
    "prompts/get": "prompts",
    "completion/complete": "completions",
    "logging/setLevel": "logging",
}


@attrs.frozen
class ServerSpec:
    """What the configuration says of a virtual server's view.

    `growing` ones may get other upstreams at run time. Clients hear once what a server can do, when they
    begin; so it says from the start that it can do whatever upstreams bring.
    """

    name: str
    upstreams: tuple[str, ...]
    prefix: Prefix = "conflict"
    separator: str = "__"
    tools: Selection = attrs.field(factory=Selection)
    resources: Selection = attrs.field(factory=Selection)
    prompts: Selection = attrs.field(factory=Selection)
    describe: Mapping[str, str] = attrs.field(factory=dict)
    growing: bool = False


@attrs.frozen
class View:
    """One virtual server's catalog. Built by `build_view`, never changed.

    Attributes:
        items: List method -> the definitions as advertised, encoded, with the key cursors hold on to.
        tools: Advertised name -> target.
        prompts: Likewise.
        resources: Advertised URI -> target.
        templates: Each template with its target, in order.
        template_names: Advertised template -> target (completion refers to templates by their text).
        selection: Which resources are shown.
        schemes: URI scheme -> the one upstream that uses it; "" where several do.
        closed: `(upstream, URI or template)` of the resources that an override disables.
        closed_templates: The templates among them.
        headers: Advertised tool -> its `x-mcp-header` map, where it has one.
        fills: Method -> advertised name -> the override that adds to the arguments of its calls.
        renamed_uris: Upstream -> its URI -> the advertised one, where they differ.
        capabilities: The union the gateway can honour.
        instructions: The upstreams' instructions, each under its name.
        ttl_ms: The least of the upstreams'.
        public: Whether every upstream said its lists are the same for everybody.
        conflicts: `(kind, name, kept, left out)`, upstream names.
    """

    items: Mapping[str, Sequence[tuple[str, bytes]]]
    tools: Targets
    prompts: Targets
    resources: Targets
    templates: Sequence[tuple[Template, Target]]
    template_names: Targets
    selection: Selection
    schemes: Mapping[str, str]
    closed: frozenset[tuple[str, str]]
    closed_templates: Sequence[tuple[str, Template]]
    headers: Mapping[str, HeaderMap]
    fills: Mapping[str, Mapping[str, Override]]
    renamed_uris: Mapping[str, Mapping[str, str]]
    capabilities: Json
    instructions: str
    ttl_ms: int
    public: bool
    conflicts: Sequence[tuple[str, str, str, str]]
    upstreams: tuple[str, ...]

    def lacks(self, method: str) -> bool:
        """Whether a method belongs to a capability this server does not advertise."""
        capability = _CAPABILITY_OF.get(method)
        return capability is not None and capability not in self.capabilities

    def route(self, method: str, params: Json) -> Target:
        """Where a request goes.

        Raises:
            Refused: -32602 for an unknown tool, prompt, URI or reference; -32601 for a method nobody serves.
        """
        if self.lacks(method):
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        if method == "tools/call":
            return _known(self.tools, params.get("name"), "tool")
        if method == "prompts/get":
            return _known(self.prompts, params.get("name"), "prompt")
        if method == "resources/read":
            return self.route_uri(params.get("uri"))
        if method == "completion/complete":
            ref = params.get("ref")
            kind = ref.get("type") if isinstance(ref, dict) else None
            if isinstance(ref, dict) and kind == "ref/prompt":
                return _known(self.prompts, ref.get("name"), "prompt")
            if isinstance(ref, dict) and kind == "ref/resource":
                uri = ref.get("uri")
                known = self.template_names.get(uri) if isinstance(uri, str) else None
                return known or self.route_uri(uri)
            raise Refused(INVALID_PARAMS, "Invalid params: ref must be a ref/prompt or a ref/resource")
        raise Refused(METHOD_NOT_FOUND, "Method not found")

    def route_uri(self, uri: Any) -> Target:
        """Where a URI is read: listed, else by template, else the one upstream that can have it.

        Resources need not be listed to be read (links in results, `ui://` pages), so a scheme that only one
        upstream uses is enough.

        Raises:
            Refused: -32602 with `data.uri`.
        """
        if not isinstance(uri, str) or not uri:
            raise Refused(INVALID_PARAMS, "Invalid params: uri must be a string")
        target = self.resources.get(uri)
        if target is not None:
            return target
        for template, owner in self.templates:
            if template.matches(uri):
                mark = f"{owner.upstream}~" if owner.name in self.renamed_uris.get(owner.upstream, {}) else ""
                own = uri.replace(mark, "", 1)
                if not self.selection.hides(Claim(owner.upstream, own)) and self._open(owner.upstream, own):
                    return Target(owner.upstream, own, owner.definition)
        owner_name = self.schemes.get(scheme_of(uri)) or (self.schemes.get("*") or "")
        if owner_name and self.selection.shows(Claim(owner_name, uri)) and self._open(owner_name, uri):
            return Target(owner_name, uri)
        raise Refused(INVALID_PARAMS, "Resource not found", {"uri": uri})

    def _open(self, upstream: str, uri: str) -> bool:
        """Whether no override disables the resource; one that is listed and enabled is not asked about."""
        return (upstream, uri) not in self.closed and not any(
            owner == upstream and template.matches(uri) for owner, template in self.closed_templates
        )

    def advertised_uri(self, upstream: str, uri: str) -> str:
        """What clients of this server know an upstream's URI as."""
        renamed = self.renamed_uris.get(upstream, {})
        if uri in renamed or not renamed:
            return renamed.get(uri, uri)
        other = disambiguate(uri, upstream)
        expanded = any(
            owner.upstream == upstream and owner.name in renamed and template.matches(other)
            for template, owner in self.templates
        )
        return other if expanded else uri


def _known(names: Targets, name: Any, kind: str) -> Target:
    target = names.get(name) if isinstance(name, str) else None
    if target is None:
        shown = f" {name!r}" if isinstance(name, str) and len(name) <= 128 else ""
        raise Refused(INVALID_PARAMS, f"Unknown {kind}{shown}")
    return target


def build_view(spec: ServerSpec, offers: Mapping[str, Offer], overrides: Overrides | None = None) -> View:
    """Build a server's view of what its upstreams offer, in config order.

    Args:
        spec: The server.
        offers: By upstream; one that never answered has the empty offer.
        overrides: How definitions are to be shown that are not shown as they came.
    """
    overrides = overrides or {}
    chosen = [(name, offers[name]) for name in spec.upstreams if name in offers]
    enabled = enabled_parts(chosen, overrides)
    conflicts: list[tuple[str, str, str, str]] = []
    renamed_uris = _collisions(enabled, spec, overrides)
    fills: dict[str, dict[str, Override]] = {}
    headers: dict[str, HeaderMap] = {}
    items: dict[str, list[tuple[str, bytes]]] = {method: [] for method in LIST_KINDS}

    def named(kind: str, method: str, selection: Selection, call: str) -> dict[str, Target]:
        definitions: dict[Claim, Json] = {}
        for upstream, offer in enabled:
            for definition in getattr(offer, kind):
                definitions.setdefault(Claim(upstream, str(definition.get("name"))), definition)
        found = {
            claim: override
            for claim in (definitions if overrides else ())
            if (override := overrides.get((claim.upstream, kind, claim.own)))
        }
        renames = {claim: override.name for claim, override in found.items() if override.name}
        given, clashes = advertise(list(definitions), selection, spec.prefix, spec.separator, renames)
        conflicts.extend((kind, name, kept.upstream, lost.upstream) for name, kept, lost in clashes)
        out: dict[str, Target] = {}
        for name, claim in given:
            own = shown = definitions[claim]
            override = found.get(claim)
            if override:
                shown = shown_as(own, kind, override)
                if override.fills:
                    fills.setdefault(call, {})[name] = override
            shown = rewrite_uris({**shown, "name": name}, renamed_uris.get(claim.upstream, {}))
            if kind == "tools" and (mirrored := header_map(shown.get("inputSchema"))):
                headers[name] = mirrored
            _describe(shown, spec.describe, claim, name)
            items[method].append((name, encode(shown)))
            out[name] = Target(claim.upstream, claim.own, own)
        return out

    tools = named("tools", "tools/list", spec.tools, "tools/call")
    prompts = named("prompts", "prompts/list", spec.prompts, "prompts/get")
    resources, templates, template_names = _resources(
        enabled, spec, renamed_uris, items, conflicts, overrides
    )
    closed = {
        (upstream, own)
        for (upstream, kind, own), each in overrides.items()
        if kind == "resources" and not each.enabled and upstream in spec.upstreams
    }
    listed = [offer for _, offer in chosen if offer.eras]
    return View(
        items=items,
        tools=tools,
        prompts=prompts,
        resources=resources,
        templates=templates,
        template_names=template_names,
        selection=spec.resources,
        schemes=_schemes(chosen),
        closed=frozenset(closed),
        closed_templates=[(upstream, Template(own)) for upstream, own in closed if "{" in own],
        headers=headers,
        fills=fills,
        renamed_uris=renamed_uris,
        capabilities=capabilities_of(chosen, spec.growing),
        instructions=instructions_of(chosen),
        ttl_ms=min((offer.ttl_ms for offer in listed), default=0),
        public=bool(listed) and all(offer.public for offer in listed),
        conflicts=conflicts,
        upstreams=spec.upstreams,
    )


def _describe(shown: Json, describe: Mapping[str, str], claim: Claim, name: str) -> None:
    for key in (name, f"{claim.upstream}/{claim.own}", claim.own):
        if key in describe:
            shown["description"] = describe[key]
            return


def _uris(offer: Offer) -> list[str]:
    return [str(item.get("uri")) for item in offer.resources] + [
        str(item.get("uriTemplate")) for item in offer.templates
    ]


def _collisions(
    chosen: Sequence[tuple[str, Offer]], spec: ServerSpec, overrides: Overrides
) -> dict[str, dict[str, str]]:
    """The URIs shown as something else: by alias, or because an earlier upstream in the config has them."""
    owner: dict[str, str] = {}
    out: dict[str, dict[str, str]] = {}
    for upstream, offer in chosen:
        for uri in _uris(offer):
            claim = Claim(upstream, uri)
            override = overrides.get((upstream, "resources", uri)) if overrides else None
            shown = spec.resources.alias(claim) or (override.name if override else None) or uri
            if spec.resources.shows(claim) and owner.setdefault(shown, upstream) != upstream:
                shown = disambiguate(uri, upstream)
            if shown != uri:
                out.setdefault(upstream, {})[uri] = shown
    return out


def _resources(
    chosen: Sequence[tuple[str, Offer]],
    spec: ServerSpec,
    renamed: Mapping[str, Mapping[str, str]],
    items: dict[str, list[tuple[str, bytes]]],
    conflicts: list[tuple[str, str, str, str]],
    overrides: Overrides,
) -> tuple[dict[str, Target], list[tuple[Template, Target]], dict[str, Target]]:
    resources: dict[str, Target] = {}
    templates: list[tuple[Template, Target]] = []
    template_names: dict[str, Target] = {}
    for upstream, offer in chosen:
        changed = renamed.get(upstream, {})
        for field, key, method in (
            ("resources", "uri", "resources/list"),
            ("templates", "uriTemplate", "resources/templates/list"),
        ):
            for own in getattr(offer, field):
                uri = str(own.get(key))
                shown_uri = changed.get(uri, uri)
                if not spec.resources.shows(Claim(upstream, uri)):
                    continue
                kept = (resources if key == "uri" else template_names).get(shown_uri)
                if kept is not None:
                    if (kept.upstream, kept.name) != (upstream, uri):
                        conflicts.append(("resources", shown_uri, kept.upstream, upstream))
                    continue
                override = overrides.get((upstream, "resources", uri)) if overrides else None
                definition = shown_as(own, "resources", override) if override else own
                shown = {**rewrite_uris(definition, changed), key: shown_uri}
                _describe(shown, spec.describe, Claim(upstream, uri), shown_uri)
                target = Target(upstream, uri, own)
                if key == "uri":
                    resources[shown_uri] = target
                else:
                    template_names[shown_uri] = target
                    templates.append((Template(shown_uri), target))
                items[method].append((shown_uri, encode(shown)))
    # Those shown as something else come first: what they were told apart from would take their URIs, too.
    templates.sort(key=lambda each: each[1].name not in renamed.get(each[1].upstream, {}))
    return resources, templates, template_names


def _schemes(chosen: Sequence[tuple[str, Offer]]) -> dict[str, str]:
    """Scheme -> its only user; `*` -> the only upstream with resources at all."""
    users: dict[str, set[str]] = {}
    for upstream, offer in chosen:
        uris = _uris(offer)
        for tool in offer.tools:
            shown_by = as_object(as_object(tool.get("_meta")).get("ui")).get("resourceUri")
            if isinstance(shown_by, str):
                uris.append(shown_by)
        for uri in uris:
            users.setdefault(scheme_of(uri), set()).add(upstream)
        if "resources" in offer.capabilities:
            users.setdefault("*", set()).add(upstream)
    return {scheme: next(iter(names)) if len(names) == 1 else "" for scheme, names in users.items()}
