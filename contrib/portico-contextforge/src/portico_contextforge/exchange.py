"""`/export`, `/import` and `/admin/tools/import`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import attrs
import msgspec

from portico.api import (
    LATEST_LEGACY,
    About,
    Change,
    Item,
    Json,
    Managed,
    OnConflict,
    Planned,
    PorticoError,
    plan_import,
    read_import,
)
from portico_contextforge import rest_writing
from portico_contextforge.catalog import title_of
from portico_contextforge.errors import Trouble, invalid, trouble_of
from portico_contextforge.naming import federated, ident, slug
from portico_contextforge.reading import Fields
from portico_contextforge.rest_tools import is_rest, schema_of, tool_in, url_of
from portico_contextforge.shown import moment
from portico_contextforge.table import Answer, Call, snake

_TYPES: Final = ("tools", "gateways", "servers", "prompts", "resources", "roots")
_KINDS: Final = {
    "gateways": "upstreams",
    "servers": "servers",
    "prompts": "prompts",
    "resources": "resources",
}
_STRATEGIES: Final[Mapping[str, OnConflict]] = {
    "skip": "skip", "update": "overwrite", "rename": "rename", "fail": "fail",
}  # fmt: skip
_MOST_TOOLS: Final = 200


async def export(call: Call) -> Answer:
    """Everything that is managed, as ContextForge exports it; no credentials, and nothing of the file."""
    wanted = [word for word in call.words("types") or _TYPES if word not in call.words("exclude_types")]
    tags = set(call.words("tags"))

    def taken(kind: str, managed: Managed) -> bool:
        if managed.record is None or (tags and not tags & set(managed.about.tags)):
            return False
        return managed.about.enabled or call.flag("include_inactive")

    return Answer(_document(call, [each for each in _TYPES if each in wanted], taken))


async def export_selected(call: Call) -> Answer:
    """What is named: kind -> ids or names."""
    wanted = call.json
    if not isinstance(wanted, dict) or not all(isinstance(each, list) for each in wanted.values()):
        raise invalid([("", "expected an object of lists")])

    def taken(kind: str, managed: Managed) -> bool:
        names = {managed.name, ident(kind, managed.name), title_of(managed)}
        if kind == "tools":
            own, _ = tool_in(managed)
            names = {own, slug(own), ident(kind, managed.name, own)}
        return managed.record is not None and bool(names & set(map(str, wanted[kind])))

    return Answer(_document(call, [each for each in _TYPES if each in wanted], taken))


def _document(call: Call, types: Sequence[str], taken: Any) -> Json:
    management = call.host.management
    entities: Json = {
        kind: [
            _exported(call, kind, each)
            for each in management.all(_KINDS[kind])
            if taken(kind, each) and not is_rest(each)
        ]
        if kind in _KINDS
        else [
            _rest(each) for each in call.catalog.rest_tools.values() if kind == "tools" and taken(kind, each)
        ]
        for kind in types
    }
    return {
        "version": LATEST_LEGACY,
        "exported_at": moment(call.host.clock.time()),
        "exported_by": call.principal.subject,
        "source_gateway": f"{call.scope['scheme']}://{call.headers.get('host', '')}",
        "encryption_method": "none",
        "entities": entities,
        "metadata": {
            "entity_counts": {kind: len(each) for kind, each in entities.items()},
            "dependencies": {},
            "export_options": {},
        },
    }


def _rest(managed: Managed) -> Json:
    own, tool = tool_in(managed)
    return {
        "name": own,
        "integration_type": "REST",
        "url": url_of(managed),
        "request_type": tool.get("method", "GET"),
        "description": tool.get("description"),
        "input_schema": schema_of(managed),
        **_about(managed),
    }


def _about(managed: Managed) -> Json:
    about = managed.about
    return {
        "tags": list(about.tags),
        "is_active": about.enabled,
        "visibility": about.visibility,
        "team_id": about.team or None,
        "owner_email": about.owner or None,
    }


def _exported(call: Call, kind: str, managed: Managed) -> Json:
    config, about = managed.config, managed.about
    said: Json = {
        "name": managed.name,
        "description": about.description or config.get("description"),
        **_about(managed),
    }
    if kind == "gateways":
        sse = config.get("protocol") == "sse"
        said |= {
            "url": config.get("url", ""),
            "transport": "SSE" if sse else "STREAMABLEHTTP",
            "auth_type": "authheaders" if config.get("headers") else None,
            "passthrough_headers": [],
        }
    elif kind == "servers":
        tools = call.catalog.shown_by(managed, "tools")
        said |= {
            "name": title_of(managed),
            "tool_ids": [federated(each.upstream, each.own) for each in tools],
        }
    elif kind == "prompts":
        said |= {"template": config.get("template", ""), "arguments": list(config.get("arguments", ()))}
    else:
        content = {"content": config["text"]} if "text" in config else {}
        said |= {"uri": config.get("uri"), "mime_type": config.get("mime_type"), **content}
    return said


# --- import ------------------------------------------------------------------------------------------------


@attrs.define
class _Progress:
    total: int = 0
    processed: int = 0
    created: int = 0
    updated: int = 0
    skipped: int = 0
    failed: int = 0


async def import_(call: Call) -> Answer:
    """Take up an export; what cannot be taken over is told, item by item."""
    fields = Fields(call.fields())
    document = fields.body.get("import_data")
    if not isinstance(document, dict) or not document:
        raise Trouble(400, "Missing 'import_data' in request body")
    if not isinstance(document.get("entities"), dict):
        raise invalid([("import_data.entities", "Field required")])
    document = {"version": LATEST_LEGACY, **document}
    strategy = fields.text("conflict_strategy", "update").lower()
    if strategy not in _STRATEGIES:
        raise Trouble(400, f"Invalid conflict strategy. Must be one of: {sorted(_STRATEGIES)}")
    dry_run = fields.flag("dry_run", False)
    fields.check()
    began = call.host.clock.time()
    _, taken = read_import(document, "import_data")
    items = [each for each in taken.items if _selected(each, fields.body.get("selected_entities"))]
    management = call.host.management
    existing = [(kind, each.name) for kind in _KINDS.values() for each in management.all(kind) if each.record]
    planned = plan_import(items, existing, _STRATEGIES[strategy])
    conflicts = [
        f"{each.item.kind} {each.item.name!r} exists" for each in planned if each.action == "conflict"
    ]
    if conflicts:
        raise Trouble(409, f"Import conflict detected: {'; '.join(conflicts)}")
    warnings = [f"{place}: {text}" for place, text in taken.notes]
    if "rekey_secret" in fields:
        warnings.append("rekey_secret: credentials of another gateway are not taken over")
    errors: list[str] = []
    progress = _Progress(len(planned))
    for each in planned:
        await _take_up(call, each, dry_run, progress, errors)
    return Answer(
        {
            "import_id": str(uuid.uuid4()),
            "status": "completed" if not errors else "failed" if len(errors) == len(planned) else "partial",
            "dry_run": dry_run,
            "progress": attrs.asdict(progress),
            "errors": errors,
            "warnings": warnings,
            "started_at": moment(began),
            "completed_at": moment(call.host.clock.time()),
        }
    )


async def _take_up(
    call: Call, planned: Planned, dry_run: bool, progress: _Progress, errors: list[str]
) -> None:
    item = planned.item
    progress.processed += 1
    if planned.action == "skip":
        progress.skipped += 1
        return
    change = Change(item.kind, item.name, item.config, about_of(item.about))
    author = attrs.evolve(call.author, via="import")
    try:
        await call.host.management.change([change], author, dry_run=dry_run)
    except PorticoError as error:
        trouble = trouble_of(error)
        if trouble is None or trouble.status == 503:
            raise
        progress.failed += 1
        errors.append(f"{item.kind} {item.name}: {trouble.body['message']}")
    else:
        progress.created += planned.action == "create"
        progress.updated += planned.action == "overwrite"


def _selected(item: Item, wanted: Any) -> bool:
    if not isinstance(wanted, dict) or not wanted:
        return True
    kind = next((theirs for theirs, ours in _KINDS.items() if ours == item.kind), "")
    names = {str(each) for each in wanted.get(kind) or ()}
    return bool({item.name, slug(item.name), str(item.config.get("uri", ""))} & names)


def about_of(said: Mapping[str, Any]) -> About:
    """What people say of an item."""
    return About(
        bool(said.get("enabled", True)),
        str(said.get("description", "")),
        tuple(said.get("tags", ())),
        str(said.get("owner", "")),
        str(said.get("team", "")),
        said.get("visibility", "public"),
    )


async def import_tools(call: Call) -> Answer:
    """Many tools at once: 200, and a report of each."""
    tools = _tools(call)
    if len(tools) > _MOST_TOOLS:
        raise Trouble(413, f"Too many tools ({len(tools)}). Max {_MOST_TOOLS}.")
    created: list[Json] = []
    errors: list[Json] = []
    for index, tool in enumerate(tools):
        name = tool.get("name") if isinstance(tool, dict) else None
        fields = Fields({snake(key): value for key, value in tool.items()} if isinstance(tool, dict) else {})
        call.changed()
        try:
            await rest_writing.create(call, fields)
        except PorticoError as error:
            trouble = trouble_of(error)
            if trouble is None or trouble.status == 503:
                raise
            errors.append({"index": index, "name": name, "error": {"message": trouble.body["message"]}})
        else:
            created.append({"index": index, "name": name})
    failed = [{"name": each["name"], "error": each["error"]["message"]} for each in errors]
    return Answer(
        {
            "success": not errors,
            "message": f"{len(created)} tools imported, {len(errors)} failed",
            "imported": len(created),
            "failed": len(errors),
            "total": len(tools),
            "created_count": len(created),
            "failed_count": len(errors),
            "created": created,
            "errors": errors,
            "details": {"success": [each["name"] for each in created], "failed": failed},
        }
    )


def _tools(call: Call) -> list[Any]:
    """The list in the body: JSON, or a form with one.

    Raises:
        Trouble: 422.
    """
    raw = call.raw
    if call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = parse_qs(raw.decode("latin-1"))
        found = next((form[key] for key in ("tools", "tools_json", "json", "payload") if key in form), None)
        raw = found[-1].encode("latin-1") if found else raw  # curl calls a JSON body a form, too
    try:
        tools = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Trouble(422, f"Invalid JSON: {error}") from None
    if isinstance(tools, dict) and isinstance(tools.get("tools"), list):
        tools = tools["tools"]
    if not isinstance(tools, list):
        raise Trouble(422, "Payload must be a JSON array of tools.")
    return tools
