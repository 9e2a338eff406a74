"""What a virtual server shows of resources and their templates, and which URIs they go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from portico._core.catalog.naming import Claim, Selection
from portico._core.catalog.overrides import Overrides, shown_as
from portico._core.catalog.union import as_object
from portico._core.catalog.uris import Template, disambiguate, rewrite_uris, scheme_of
from portico._core.contracts.exchange import Target
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Offer
from portico._core.protocol.jsonrpc import encode
from portico._core.steps import Steps


def describe_as(shown: Json, describe: Mapping[str, str], claim: Claim, name: str) -> None:
    """Describe a definition as the server's configuration says, if it says anything of it."""
    if not describe:
        return
    for key in (name, f"{claim.upstream}/{claim.own}", claim.own):
        if key in describe:
            shown["description"] = describe[key]
            return


def _uris(offer: Offer) -> list[str]:
    return [str(item.get("uri")) for item in offer.resources] + [
        str(item.get("uriTemplate")) for item in offer.templates
    ]


def collisions(
    chosen: Sequence[tuple[str, Offer]], selection: Selection, overrides: Overrides
) -> Steps[dict[str, dict[str, str]]]:
    """The URIs shown as something else: by alias, or because an earlier upstream in the config has them."""
    owner: dict[str, str] = {}
    out: dict[str, dict[str, str]] = {}
    for upstream, offer in chosen:
        for uri in _uris(offer):
            claim = Claim(upstream, uri)
            override = overrides.get((upstream, "resources", uri)) if overrides else None
            shown = selection.alias(claim) or (override.name if override else None) or uri
            if selection.shows(claim) and owner.setdefault(shown, upstream) != upstream:
                shown = disambiguate(uri, upstream)
            if shown != uri:
                out.setdefault(upstream, {})[uri] = shown
        yield
    return out


def resources_of(
    chosen: Sequence[tuple[str, Offer]],
    selection: Selection,
    describe: Mapping[str, str],
    renamed: Mapping[str, Mapping[str, str]],
    items: dict[str, list[tuple[str, bytes]]],
    conflicts: list[tuple[str, str, str, str]],
    overrides: Overrides,
) -> Steps[tuple[dict[str, Target], list[tuple[Template, Target]], dict[str, Target]]]:
    """What is shown of resources, of templates in order, and of templates by their text.

    Args:
        chosen: Upstreams and their offers, in config order.
        selection: What is shown.
        describe: Descriptions to show instead.
        renamed: Upstream -> its URI -> the advertised one, where they differ.
        items: Gets the definitions as advertised.
        conflicts: Gets those that are left out.
        overrides: How definitions are to be shown that are not shown as they came.
    """
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
                if not selection.shows(Claim(upstream, uri)):
                    continue
                kept = (resources if key == "uri" else template_names).get(shown_uri)
                if kept is not None:
                    if (kept.upstream, kept.name) != (upstream, uri):
                        conflicts.append(("resources", shown_uri, kept.upstream, upstream))
                    continue
                override = overrides.get((upstream, "resources", uri)) if overrides else None
                definition = shown_as(own, "resources", override) if override else own
                shown = {**rewrite_uris(definition, changed), key: shown_uri}
                describe_as(shown, describe, Claim(upstream, uri), shown_uri)
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


def schemes_of(offer: Offer) -> frozenset[str]:
    """The URI schemes an upstream uses; `*` when it has resources at all."""
    uris = _uris(offer)
    for tool in offer.tools:
        shown_by = as_object(as_object(tool.get("_meta")).get("ui")).get("resourceUri")
        if isinstance(shown_by, str):
            uris.append(shown_by)
    return frozenset(map(scheme_of, uris)) | ({"*"} if "resources" in offer.capabilities else set())
