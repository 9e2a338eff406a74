"""The catalog: an immutable view per virtual server of what its upstreams offer, swapped whole on change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from portico._core.contracts import Offer, Target
from portico._core.naming import Claim
from portico._core.overrides import Overrides, enabled_parts, shown_as
from portico._core.protocol.eras import LIST_KINDS
from portico._core.protocol.jsonrpc import encode
from portico._core.shown import Shown, describe, uris_of
from portico._core.steps import Steps, finished
from portico._core.union import capabilities_of, instructions_of
from portico._core.uris import Template, disambiguate, rewrite_uris
from portico._core.view import ServerSpec, View

__all__ = ["ServerSpec", "Shown", "View", "build_view", "view_steps"]


def build_view(spec: ServerSpec, offers: Mapping[str, Offer], overrides: Overrides | None = None) -> View:
    """Build a server's view of what its upstreams offer, in config order.

    Args:
        spec: The server.
        offers: By upstream; one that never answered has the empty offer.
        overrides: How definitions are to be shown that are not shown as they came.
    """
    return finished(view_steps(spec, offers, overrides or {}, Shown()))


def view_steps(
    spec: ServerSpec, offers: Mapping[str, Offer], overrides: Overrides, known: Shown
) -> Steps[View]:
    """Build a view a little at a time; see `build_view`.

    Args:
        spec: The server.
        offers: By upstream; not to be changed meanwhile.
        overrides: Likewise.
        known: What its last view left; it is brought up to date.
    """
    chosen = [(name, offers[name]) for name in spec.upstreams if name in offers]
    enabled = enabled_parts(chosen, overrides)
    yield
    conflicts: list[tuple[str, str, str, str]] = []
    renamed_uris = yield from _collisions(enabled, spec, overrides)
    tools = yield from known.named("tools", spec, spec.tools, enabled, overrides, renamed_uris)
    prompts = yield from known.named("prompts", spec, spec.prompts, enabled, overrides, renamed_uris)
    for kind, each in (("tools", tools), ("prompts", prompts)):
        conflicts.extend((kind, name, kept.upstream, lost.upstream) for name, kept, lost in each.clashes)
    items: dict[str, list[tuple[str, bytes]]] = {method: [] for method in LIST_KINDS}
    items["tools/list"], items["prompts/list"] = tools.items, prompts.items
    fills = {"tools/call": tools.fills, "prompts/get": prompts.fills}
    resources, templates, template_names = yield from _resources(
        enabled, spec, renamed_uris, items, conflicts, overrides
    )
    closed = {
        (upstream, own)
        for (upstream, kind, own), each in overrides.items()
        if kind == "resources" and not each.enabled and upstream in spec.upstreams
    }
    schemes = yield from known.schemes(chosen)
    listed = [offer for _, offer in chosen if offer.eras]
    return View(
        items=items,
        tools=tools.targets,
        prompts=prompts.targets,
        resources=resources,
        templates=templates,
        template_names=template_names,
        selection=spec.resources,
        schemes=schemes,
        closed=frozenset(closed),
        closed_templates=[(upstream, Template(own)) for upstream, own in closed if "{" in own],
        headers=tools.headers,
        fills={method: overriding for method, overriding in fills.items() if overriding},
        renamed_uris=renamed_uris,
        capabilities=capabilities_of(chosen, spec.growing),
        instructions=instructions_of(chosen),
        ttl_ms=min((offer.ttl_ms for offer in listed), default=0),
        public=bool(listed) and all(offer.public for offer in listed),
        conflicts=conflicts,
        upstreams=spec.upstreams,
    )


def _collisions(
    chosen: Sequence[tuple[str, Offer]], spec: ServerSpec, overrides: Overrides
) -> Steps[dict[str, dict[str, str]]]:
    """The URIs shown as something else: by alias, or because an earlier upstream in the config has them."""
    owner: dict[str, str] = {}
    out: dict[str, dict[str, str]] = {}
    for upstream, offer in chosen:
        for uri in uris_of(offer):
            claim = Claim(upstream, uri)
            override = overrides.get((upstream, "resources", uri)) if overrides else None
            shown = spec.resources.alias(claim) or (override.name if override else None) or uri
            if spec.resources.shows(claim) and owner.setdefault(shown, upstream) != upstream:
                shown = disambiguate(uri, upstream)
            if shown != uri:
                out.setdefault(upstream, {})[uri] = shown
        yield
    return out


def _resources(
    chosen: Sequence[tuple[str, Offer]],
    spec: ServerSpec,
    renamed: Mapping[str, Mapping[str, str]],
    items: dict[str, list[tuple[str, bytes]]],
    conflicts: list[tuple[str, str, str, str]],
    overrides: Overrides,
) -> Steps[tuple[dict[str, Target], list[tuple[Template, Target]], dict[str, Target]]]:
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
                describe(shown, spec.describe, Claim(upstream, uri), shown_uri)
                target = Target(upstream, uri, own)
                if key == "uri":
                    resources[shown_uri] = target
                else:
                    template_names[shown_uri] = target
                    templates.append((Template(shown_uri), target))
                items[method].append((shown_uri, encode(shown)))
        yield
    # Those shown as something else come first: what they were told apart from would take their URIs, too.
    templates.sort(key=lambda each: each[1].name not in renamed.get(each[1].upstream, {}))
    return resources, templates, template_names
