"""Entities the way ContextForge shows them: camelCase, with every member it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from portico.api import About, Json, Managed, Record
from portico_contextforge.catalog import Catalog, Thing, title_of
from portico_contextforge.naming import LOCAL, federated, ident, slug
from portico_contextforge.rest_tools import schema_of, tool_in, url_of

MASK: Final = "*****"
_EPOCH: Final = 0.0
_THERE: Final = ("ready", "degraded", "quarantined")
"""States of an upstream that can be reached."""


def moment(seconds: float) -> str:
    """A time as ContextForge writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def tags_of(tags: Sequence[str]) -> list[Json]:
    """Tags as ContextForge shows them."""
    return [{"id": slug(tag) or tag, "label": tag} for tag in tags]


def words_of(given: Any) -> tuple[str, ...]:
    """Tags as they may be given: words, or objects with a label."""
    found = [
        str(each.get("label") or each.get("name") or each.get("id"))
        if isinstance(each, Mapping)
        else str(each)
        for each in (given if isinstance(given, list) else ())
    ]
    return tuple(dict.fromkeys(word.strip() for word in found if word.strip()))


def _trail(record: Record | None, about: About) -> Json:
    """Who made it and when; what no record tells of was there from the beginning."""
    return {
        "createdAt": moment(record.created if record else _EPOCH),
        "updatedAt": moment(record.updated if record else _EPOCH),
        "createdBy": (record.created_by or None) if record else None,
        "createdFromIp": None,
        "createdVia": (record.via or None) if record else "config",
        "createdUserAgent": None,
        "modifiedBy": (record.updated_by or None) if record else None,
        "modifiedFromIp": None,
        "modifiedVia": (record.via or None) if record else None,
        "modifiedUserAgent": None,
        "importBatchId": None,
        "federationSource": None,
        "version": record.version if record else 1,
        "teamId": about.team or None,
        "team": about.team or None,
        "ownerEmail": about.owner or None,
        "visibility": about.visibility,
    }


def gateway_of(managed: Managed, catalog: Catalog) -> Json:
    """An upstream as a gateway."""
    config, about = managed.config, managed.about
    offer = catalog.offers.get(managed.name)
    headers = config.get("headers") or {}
    url = str(config.get("url") or "")
    sse = config.get("protocol") == "sse" or url.endswith("/sse")
    count = {kind: len(getattr(offer, kind)) if offer else 0 for kind in ("tools", "prompts", "resources")}
    return {
        "id": ident("gateways", managed.name),
        "name": managed.name,
        "slug": slug(managed.name),
        "url": url,
        "description": about.description or None,
        "transport": "SSE" if sse else "STREAMABLEHTTP" if url else "STDIO",
        "capabilities": offer.capabilities if offer else {},
        "status": "active" if managed.state in (*_THERE, "disabled") else "failed",
        "statusMessage": managed.reason or None,
        "registrationAttempts": 0,
        "nextRetryAt": None,
        "lastError": managed.reason or None,
        "enabled": about.enabled,
        "reachable": managed.state in _THERE,
        "lastSeen": None,
        "passthroughHeaders": (
            ["X-Upstream-Authorization"] if config.get("pass_upstream_authorization") else None
        ),
        "authType": "authheaders" if headers else None,  # whatever it was given as: headers are what is kept
        "authValue": MASK if headers else None,
        "authHeaders": [{"key": key, "value": MASK} for key in headers] if headers else None,
        "authUsername": None,
        "authPassword": None,
        "authToken": None,
        "authHeaderKey": None,
        "authHeaderValue": None,
        "oauthConfig": None,
        "authQueryParamKey": None,
        "caCertificate": None,
        "tags": tags_of(about.tags),
        "refreshIntervalSeconds": None,
        "lastRefreshAt": None,
        "gatewayMode": "cache",
        "identityPropagation": None,
        "toolCount": count["tools"],
        "promptCount": count["prompts"],
        "resourceCount": count["resources"],
        "skippedTools": [],
        **_trail(managed.record, about),
    }


def _common(thing: Thing, catalog: Catalog) -> Json:
    managed = thing.rest or thing.managed or catalog.gateway_by_name.get(thing.upstream)
    record = managed.record if managed else None
    none = thing.upstream == LOCAL or thing.rest is not None
    gateway = None if none else ident("gateways", thing.upstream)
    return {
        "id": thing.id,
        "name": thing.name,
        "description": thing.description,
        "enabled": thing.enabled,
        "gatewayId": gateway,
        "tags": tags_of(thing.tags),
        "metrics": None,
        "title": thing.override.get("title") or thing.definition.get("title"),
        "_meta": thing.definition.get("_meta"),
        **_trail(record, thing.about),
    }


def tool_of(thing: Thing, catalog: Catalog) -> Json:
    """A tool."""
    definition = thing.definition
    gateway = catalog.gateway_by_name.get(thing.upstream)
    return {
        **_common(thing, catalog),
        "originalName": thing.own,
        "customName": thing.override.get("name") or thing.own,
        "customNameSlug": slug(str(thing.override.get("name") or thing.own)),
        "displayName": thing.title,
        "gatewaySlug": slug(thing.upstream),
        "url": str(gateway.config.get("url") or "") if gateway else "",
        "originalDescription": definition.get("description"),
        "requestType": "SSE" if gateway and gateway.config.get("protocol") == "sse" else "STREAMABLEHTTP",
        "integrationType": "MCP",
        "headers": {},
        "inputSchema": definition.get("inputSchema") or {"type": "object"},
        "outputSchema": definition.get("outputSchema"),
        "annotations": {**(definition.get("annotations") or {}), **thing.override.get("annotations", {})},
        "extensionMetadata": None,
        "jsonpathFilter": "",
        "auth": None,
        "deprecated": False,
        "reachable": gateway.state in _THERE if gateway else True,
        "executionCount": None,
        **(_rest(thing.rest) if thing.rest is not None else {}),
    }


def _rest(managed: Managed) -> Json:
    """What a REST tool has that is different."""
    return {
        "url": url_of(managed),
        "requestType": tool_in(managed)[1].get("method", "GET"),
        "integrationType": "REST",
        "gatewaySlug": "",
        "headers": dict.fromkeys(managed.config.get("headers") or {}, MASK),
        "inputSchema": schema_of(managed),
        "reachable": managed.state in _THERE,
    }


def resource_of(thing: Thing, catalog: Catalog) -> Json:
    """A resource, or a template of some."""
    template = thing.definition.get("uriTemplate")
    return {
        **_common(thing, catalog),
        "uri": str(thing.override.get("name") or thing.own),
        "mimeType": thing.definition.get("mimeType"),
        "uriTemplate": template,
        "size": thing.definition.get("size"),
        "annotations": thing.definition.get("annotations"),
        "extensionMetadata": None,
    }


def prompt_of(thing: Thing, catalog: Catalog) -> Json:
    """A prompt."""
    config = thing.managed.config if thing.local and thing.managed else {}
    return {
        **_common(thing, catalog),
        "originalName": thing.own,
        "customName": thing.override.get("name") or thing.own,
        "customNameSlug": slug(str(thing.override.get("name") or thing.own)),
        "displayName": thing.title,
        "gatewaySlug": None if thing.upstream == LOCAL else slug(thing.upstream),
        "template": str(config.get("template") or ""),
        "arguments": [
            {
                "name": str(each.get("name")),
                "description": each.get("description"),
                "required": bool(each.get("required", False)),
            }
            for each in thing.definition.get("arguments") or []
        ],
    }


def server_of(managed: Managed, catalog: Catalog) -> Json:
    """A virtual server."""
    tools = catalog.shown_by(managed, "tools")
    return {
        "id": ident("servers", managed.name),
        "name": title_of(managed),
        "description": managed.about.description or None,
        "icon": None,
        "enabled": managed.about.enabled,
        "associatedTools": [thing.name for thing in tools],
        "associatedToolIds": [thing.id for thing in tools],
        "associatedResources": [thing.id for thing in catalog.shown_by(managed, "resources")],
        "associatedPrompts": [thing.id for thing in catalog.shown_by(managed, "prompts")],
        "associatedA2aAgents": [],
        "metrics": None,
        "tags": tags_of(managed.about.tags),
        "oauthEnabled": False,
        "oauthConfig": None,
        **_trail(managed.record, managed.about),
    }


def names_for(thing: Thing) -> dict[str, str]:
    """The rename that a virtual server shows it under, if ContextForge would call it otherwise."""
    wanted = federated(thing.upstream, str(thing.override.get("name") or thing.own))
    plain = thing.kind != "resources" and thing.names == "slug" and wanted != thing.own
    return {f"{thing.upstream}/{thing.own}": wanted} if plain else {}
