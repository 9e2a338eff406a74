"""An export of ContextForge (`mcpgateway export`, `GET /export`), read as records.

Gateways become upstreams, virtual servers servers, prompts prompts. What has no counterpart is noted, never
dropped without a word: REST tools, roots, credentials (they are encrypted with a key of the other gateway).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from portico._config.exchange.items import Item, Taken, fitting, unused
from portico._core.contracts.json import Json

_KNOWN: Final = ("tools", "gateways", "servers", "prompts", "resources", "roots")
_VISIBILITIES: Final = ("private", "team", "public")
_SLUG: Final = "-"

Notes = list[tuple[str, str]]


def is_contextforge(document: Mapping[str, Any]) -> bool:
    """Whether a document is such an export."""
    return isinstance(document.get("entities"), Mapping) and ("version" in document or "metadata" in document)


def from_contextforge(document: Mapping[str, Any]) -> Taken:
    """Read an export."""
    entities = document["entities"]
    notes: Notes = []
    upstreams = _Upstreams()
    items = [*upstreams.read(entities, notes)]
    items += _servers(entities, upstreams, notes)
    items += _prompts(entities, notes)
    for place, each in _each(entities, "tools"):
        kind = each.get("integration_type") or each.get("integrationType") or "REST"
        notes.append((place, f"not taken over: {kind} tools are not supported yet ({each.get('url')})"))
    for place, each in _each(entities, "resources"):
        if isinstance(each.get("content"), str) and each.get("uri"):
            items.append(_resource(each, {item.name for item in items if item.kind == "resources"}))
        else:
            notes.append((place, "not taken over: the export has no content of it"))
    for place, _ in _each(entities, "roots"):
        notes.append((place, "not taken over: roots are the clients' here"))
    for name in entities:
        if name not in _KNOWN and entities[name]:
            notes.append((f"entities.{name}", "not taken over: unknown here"))
    return Taken(items, notes)


class _Upstreams:
    """The gateways of an export, and what their tools are called."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def read(self, entities: Mapping[str, Any], notes: Notes) -> Iterator[Item]:
        for place, each in _each(entities, "gateways"):
            given, url = str(each.get("name") or ""), str(each.get("url") or "")
            if urlsplit(url).scheme not in ("http", "https"):
                notes.append((place, f"left out: its URL is {url!r}"))
                continue
            name = unused(fitting(given, "gateway"), self.names.values())
            self.names[given] = name
            if name != given:
                notes.append((place, f"{given!r} is called {name!r} here"))
            config: Json = {"use": "mcp", "url": url}
            if str(each.get("transport") or "SSE").upper() == "SSE":
                config["protocol"] = "sse"
            elif str(each["transport"]).upper() not in ("STREAMABLEHTTP", "STREAMABLE_HTTP", "HTTP"):
                notes.append((place, f"its transport {each['transport']!r} is taken as streamable HTTP"))
            _credentials(name, each, config, place, notes)
            for key in ("passthrough_headers", "ca_certificate", "client_cert", "oauth_config"):
                if each.get(key):
                    notes.append((place, f"ignored: {key}"))
            yield Item("upstreams", name, config, _about(each))

    def of(self, tool: str) -> tuple[str, str] | None:
        """The upstream that a slugged tool name begins with, and the rest of it."""
        for given, name in sorted(self.names.items(), key=lambda pair: -len(pair[0])):
            for stem in (_slug(given), name):
                if tool.startswith(f"{stem}{_SLUG}"):
                    return name, tool[len(stem) + len(_SLUG) :]
        return None


def _credentials(name: str, each: Json, config: Json, place: str, notes: Notes) -> None:
    kind = each.get("auth_type") or each.get("authType")
    if not kind:
        return
    if kind in ("bearer", "basic"):
        word = "Bearer" if kind == "bearer" else "Basic"
        config["headers"] = {"Authorization": f"{word} ${{secret:{name}}}"}
        what = "the token" if kind == "bearer" else "base64 of USER:PASSWORD"
        notes.append((place, f"its credentials are encrypted there: set the secret {name!r} to {what}"))
    else:
        notes.append((place, f"its credentials ({kind}) are not taken over: set `headers` or `credential`"))


def _servers(entities: Mapping[str, Any], upstreams: _Upstreams, notes: Notes) -> Iterator[Item]:
    taken: list[str] = []
    for place, each in _each(entities, "servers"):
        given = str(each.get("name") or "")
        name = unused(fitting(given), taken)
        taken.append(name)
        if name != given:
            notes.append((place, f"{given!r} is called {name!r} here"))
        chosen: dict[str, None] = {}
        tools: list[str] = []
        ids = each.get("tool_ids") or each.get("associated_tools") or each.get("associatedTools") or []
        for tool in map(str, _list(ids)):
            found = upstreams.of(tool)
            if found is None:
                notes.append((place, f"its tool {tool!r} belongs to no gateway of this export"))
                continue
            chosen[found[0]] = None
            # What was a space, dot or underscore is a dash there: any one character will do.
            tools.append(f"{found[0]}/{found[1].replace(_SLUG, '?')}")
        config: Json = {"upstreams": list(chosen)}
        if tools:
            config["tools"] = {"include": tools}
            notes.append((place, "its tools are chosen by the names they have there; look whether they fit"))
        for key in ("associated_resources", "associated_prompts", "associated_a2a_agents", "oauth_config"):
            if each.get(key):
                notes.append((place, f"ignored: {key}"))
        yield Item("servers", name, config, _about(each))


def _prompts(entities: Mapping[str, Any], notes: Notes) -> Iterator[Item]:
    taken: list[str] = []
    for place, each in _each(entities, "prompts"):
        given = str(each.get("name") or "")
        if not isinstance(each.get("template"), str):
            notes.append((place, "left out: it has no template"))
            continue
        name = unused(fitting(given, "prompt"), taken)
        taken.append(name)
        if name != given:
            notes.append((place, f"{given!r} is called {name!r} here"))
        config: Json = {"template": each["template"]}
        if each.get("description"):
            config["description"] = each["description"]
        arguments = list(_arguments(each))
        if arguments:
            config["arguments"] = arguments
        yield Item("prompts", name, config, _about(each))


def _arguments(each: Json) -> Iterator[Json]:
    schema = each.get("input_schema")
    found: Mapping[Any, Any]
    if isinstance(each.get("arguments"), list):
        found = {str(one.get("name")): one for one in each["arguments"] if isinstance(one, Mapping)}
        required = [name for name, one in found.items() if one.get("required")]
    else:
        schema = schema if isinstance(schema, Mapping) else {}
        properties = schema.get("properties")
        found = properties if isinstance(properties, Mapping) else {}
        required = _list(schema.get("required"))
    for name, said in found.items():
        argument: Json = {"name": name}
        if isinstance(said, Mapping) and said.get("description"):
            argument["description"] = said["description"]
        if name in required:
            argument["required"] = True
        yield argument


def _resource(each: Json, taken: set[str]) -> Item:
    name = unused(fitting(str(each.get("name") or each["uri"]), "resource"), taken)
    config: Json = {"uri": each["uri"], "text": each["content"]}
    mime = each.get("mime_type") or each.get("mimeType")
    if mime:
        config["mime_type"] = mime
    return Item("resources", name, config, _about(each))


def _about(each: Json) -> Json:
    about: Json = {}
    if each.get("is_active") is False or each.get("enabled") is False:
        about["enabled"] = False
    if each.get("description"):
        about["description"] = str(each["description"])
    tags = [
        str(tag.get("label") or tag.get("id")) if isinstance(tag, Mapping) else str(tag)
        for tag in _list(each.get("tags"))
    ]
    if tags:
        about["tags"] = tags
    if each.get("visibility") in _VISIBILITIES:
        about["visibility"] = each["visibility"]
    for key, others in (("owner", "owner_email"), ("team", "team_id")):
        if each.get(others):
            about[key] = str(each[others])
    return about


def _each(entities: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Json]]:
    for index, each in enumerate(_list(entities.get(kind))):
        if isinstance(each, dict):
            yield f"{kind}.{each.get('name') or each.get('uri') or index}", each


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _slug(name: str) -> str:
    return fitting(name.lower().replace("_", "-"), "")
