"""Tags, metrics, health, and what the gateway says of itself."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from typing import Final

from portico.api import LATEST_LEGACY, Json
from portico_contextforge.catalog import Catalog, title_of
from portico_contextforge.errors import later
from portico_contextforge.metrics import Metrics
from portico_contextforge.naming import ident, slug
from portico_contextforge.shown import moment
from portico_contextforge.table import Answer, Call

_TYPES: Final = ("tools", "resources", "prompts", "servers", "gateways")
_NO_METRICS: Final = (
    'Calls are not counted: add [observers.counts] with use = "contextforge_metrics", and metrics = "counts" '
    "to this transport"
)


async def tags(call: Call) -> Answer:
    """Every tag, and how often it is used."""
    found: dict[str, list[Json]] = {}
    for tag, entity in _tagged(call):
        found.setdefault(tag, []).append(entity)
    whole = call.flag("include_entities")
    return Answer(
        [
            {
                "name": tag,
                "stats": {
                    **{kind: sum(each["type"] == kind[:-1] for each in entities) for kind in _TYPES},
                    "total": len(entities),
                },
                "entities": entities if whole else [],
            }
            for tag, entities in sorted(found.items())
        ]
    )


async def tagged(call: Call) -> Answer:
    """What has a tag."""
    return Answer([entity for tag, entity in _tagged(call) if call.ident in (tag, slug(tag))])


def _tagged(call: Call) -> Iterator[tuple[str, Json]]:
    wanted = [word.lower() for word in call.words("entity_types")] or _TYPES
    for kind, each_tags, entity in _entities(call.catalog):
        if kind in wanted:
            yield from ((tag, entity) for tag in each_tags)


def _entities(catalog: Catalog) -> Iterator[tuple[str, tuple[str, ...], Json]]:
    for kind in ("tools", "resources", "prompts"):
        for thing in catalog.things(kind):
            said = {"id": thing.id, "name": thing.name, "type": kind[:-1], "description": thing.description}
            yield kind, tuple(thing.tags), said
    for kind, all_ in (("servers", catalog.servers), ("gateways", catalog.gateways)):
        for each in all_:
            name = title_of(each) if kind == "servers" else each.name
            said = {"id": ident(kind, each.name), "name": name, "type": kind[:-1]}
            yield kind, tuple(each.about.tags), {**said, "description": each.about.description or None}


def _metrics(call: Call) -> Metrics:
    if call.serving.metrics is None:
        raise later(_NO_METRICS)
    return call.serving.metrics


async def metrics(call: Call) -> Answer:
    """What was counted in this process."""
    return Answer(_metrics(call).shown())


async def reset_metrics(call: Call) -> Answer:
    """Begin counting anew."""
    entity = call.query("entity")
    kinds = [f"{entity.rstrip('s')}s"] if entity else []
    _metrics(call).reset(*(kind for kind in kinds if kind in _TYPES))
    return Answer({"status": "success", "message": f"Metrics reset for {entity or 'all entities'}"})


async def health(call: Call) -> Answer:
    """Whether what is managed can be changed; calls go on either way."""
    down = call.host.management.down
    return Answer({"status": "unhealthy", "error": down} if down else {"status": "healthy"})


async def ready(call: Call) -> Answer:
    """Whether requests are welcome."""
    if call.host.wiring.draining:
        return Answer({"status": "unready", "error": "The gateway is shutting down"}, 503)
    return Answer({"status": "ready"})


async def version(call: Call) -> Answer:
    """What is running, as far as callers need to know."""
    now = call.host.clock.time()
    down = call.host.management.down
    return Answer(
        {
            "timestamp": moment(now),
            "uptime_seconds": int(now - call.serving.started),
            "app": {
                "name": "portico",
                "version": importlib.metadata.version("portico"),
                "dialect": f"portico-contextforge {importlib.metadata.version('portico-contextforge')}",
                "mcp_protocol_version": LATEST_LEGACY,
            },
            "platform": {"python": platform.python_version(), "os": platform.system()},
            "database": {"reachable": not down, "revision": call.host.management.revision},
        }
    )
