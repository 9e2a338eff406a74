"""The catalog: an immutable view per virtual server of what its upstreams offer, swapped whole on change."""

from __future__ import annotations

from collections.abc import Mapping

from portico._core.catalog.held import INSTRUCTIONS, HeldOf, withholding
from portico._core.catalog.overrides import Overrides, enabled_parts
from portico._core.catalog.resources import collisions, resources_of
from portico._core.catalog.shown import Shown
from portico._core.catalog.union import capabilities_of, has_tasks, info_of, instructions_of, supports_tasks
from portico._core.catalog.uris import Template
from portico._core.catalog.view import ServerSpec, View
from portico._core.contracts.upstreams import Offer
from portico._core.protocol.eras import LIST_KINDS
from portico._core.steps import Steps, finished


def build_view(
    spec: ServerSpec,
    offers: Mapping[str, Offer],
    overrides: Overrides | None = None,
    held: HeldOf | None = None,
) -> View:
    """Build a server's view of what its upstreams offer, in config order.

    Args:
        spec: The server.
        offers: By upstream; one that never answered has the empty offer.
        overrides: How definitions are to be shown that are not shown as they came.
        held: What is not to be shown until somebody approves of it.
    """
    return finished(view_steps(spec, offers, overrides or {}, Shown(), held))


def view_steps(
    spec: ServerSpec,
    offers: Mapping[str, Offer],
    overrides: Overrides,
    known: Shown,
    held: HeldOf | None = None,
) -> Steps[View]:
    """Build a view a little at a time; see `build_view`.

    Args:
        spec: The server.
        offers: By upstream; not to be changed meanwhile.
        overrides: Likewise.
        known: What its last view left; it is brought up to date.
        held: What is not to be shown until somebody approves of it.
    """
    chosen = [(name, offers[name]) for name in spec.upstreams if name in offers]
    enabled = enabled_parts(chosen, overrides)
    yield
    conflicts: list[tuple[str, str, str, str]] = []
    renamed_uris = yield from collisions(enabled, spec.resources, overrides)
    tools = yield from known.named("tools", spec, spec.tools, enabled, overrides, renamed_uris)
    prompts = yield from known.named("prompts", spec, spec.prompts, enabled, overrides, renamed_uris)
    for kind, each in (("tools", tools), ("prompts", prompts)):
        conflicts.extend((kind, name, kept.upstream, lost.upstream) for name, kept, lost in each.clashes)
    items: dict[str, list[tuple[str, bytes]]] = {method: [] for method in LIST_KINDS}
    items["tools/list"], items["prompts/list"] = tools.items, prompts.items
    fills = {"tools/call": tools.fills, "prompts/get": prompts.fills}
    resources, templates, template_names = yield from resources_of(
        enabled, spec.resources, spec.describe, renamed_uris, items, conflicts, overrides
    )
    closed = {
        (upstream, own)
        for (upstream, kind, own), each in overrides.items()
        if kind == "resources" and not each.enabled and upstream in spec.upstreams
    }
    narrowed = {
        upstream
        for (upstream, kind, _), each in overrides.items()
        if kind == "tools" and (each.hidden or not each.enabled)
    }
    narrowed |= {upstream for upstream in spec.upstreams if spec.tools.limits(upstream)}
    narrowed |= {name for name, things in (held or {}).items() if any(kind == "tools" for kind, _ in things)}
    schemes = yield from known.schemes(chosen)
    able = {name: offer for name, offer in chosen if has_tasks(offer.capabilities)}
    tasks: set[str] = set()
    if able:
        for name, target in tools.targets.items():
            if target.upstream in able and supports_tasks(able[target.upstream], target.definition):
                tasks.add(name)
        yield
    listed = [offer for _, offer in chosen if offer.eras]
    by_kind = {
        "tools": tools.targets,
        "prompts": prompts.targets,
        "resources": resources,
        "templates": template_names,
    }
    held_back = (yield from withholding(held, items, by_kind, templates)) if held else None
    unheard = [name for name, things in (held or {}).items() if INSTRUCTIONS in things]
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
        capabilities=capabilities_of(chosen, spec.growing or (spec.as_upstream and not listed)),
        instructions=instructions_of(chosen, unheard),
        ttl_ms=min((offer.ttl_ms for offer in listed), default=0),
        public=bool(listed) and all(offer.public for offer in listed),
        conflicts=conflicts,
        upstreams=spec.upstreams,
        tasks=frozenset(tasks),
        narrowed=frozenset(narrowed),
        held=held_back,
        info=info_of(chosen) if spec.as_upstream else None,
        stands_for=spec.upstreams[0] if spec.as_upstream and spec.upstreams and not listed else "",
    )
