"""REST tools created, changed and deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from portico.api import Change, Json, Managed, Management
from portico_contextforge.errors import Trouble, invalid, later
from portico_contextforge.gateways import AUTH, headers_of, settled
from portico_contextforge.naming import rest_record, slug
from portico_contextforge.reading import Fields
from portico_contextforge.rest_tools import side_by_side, tool_in
from portico_contextforge.shown import MASK
from portico_contextforge.table import Call

NO_MCP: Final = "MCP tools come from gateways: register their server under /gateways"
_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH")
_IN_QUERY: Final = ("GET", "DELETE")
_BODIES: Final = ("application/json", "application/x-www-form-urlencoded")
_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LONGEST: Final = 64
_OF_AUTH: Final = {"username": "auth_username", "password": "auth_password", "token": "auth_token"}
_NOT_HERE: Final = {
    "jsonpath_filter": "answers are not filtered",
    "output_schema": "answers are not checked",
    "gateway_id": "a REST tool has no gateway",
    "extension_metadata": "it is not kept",
    "deprecated": "deactivate the tool instead",
    "base_url": "give the whole address as url",
    "path_template": "give the whole address as url",
    "query_mapping": "arguments keep their names",
    "header_mapping": "arguments do not become headers",
    "allowlist": "addresses are judged by the upstream kind `rest`",
    "plugin_chain_pre": "policies are for the operator to configure",
    "plugin_chain_post": "policies are for the operator to configure",
}
CONFIGURED: Final = frozenset(
    {
        "url", "request_type", "input_schema", "headers", "auth", "timeout_ms", "integration_type",
        "expose_passthrough", "visibility", "team_id", "owner_email", *AUTH, *_NOT_HERE,
    }
)  # fmt: skip
"""What an update may change besides how the tool is shown."""


async def create(call: Call, fields: Fields) -> tuple[str, str]:
    """Keep a new tool; gives its upstream and its name there.

    Raises:
        Trouble: 409, 422, 501.
        ConfigError: It cannot be such an upstream.
    """
    given = fields.required("name")
    own = re.sub(r"[^A-Za-z0-9_-]+", "_", given).strip("_")
    if given and not 0 < len(own) <= _LONGEST:
        fields.problems.append(
            ("name", f"A name has at most {_LONGEST} letters and digits, and one at least")
        )
    config = config_of(fields, own, {})
    about = fields.about()
    override: Json = {}
    if title := fields.text("title") or fields.text("display_name"):
        override["title"] = title
    if isinstance(fields.body.get("annotations"), dict) and fields.body["annotations"]:
        override["annotations"] = fields.body["annotations"]
    fields.check()
    management = call.host.management
    record = rest_record(own)
    if management.get("upstreams", record) is not None or any(
        slug(own) == thing.name or own == thing.name for thing in call.catalog.things("tools")
    ):
        raise Trouble(409, f"Tool already exists with name: {given}")
    seen = await management.probe(record, config)
    if not seen.get("tools"):
        raise invalid([("url", f"No tool can be made of it: {seen.get('reason') or 'it is not sound'}")])
    changes = [Change("upstreams", record, config, about, 0)]
    if override:
        changes.append(Change("overrides", f"{record}/tools/{own}", override, about, 0))
    await management.change(changes, call.author)
    await settled(call, record)
    return record, own


def update(fields: Fields, managed: Managed) -> Change:
    """What a body makes of a tool's record."""
    own, _ = tool_in(managed)
    config = config_of(fields, own, managed.config)
    version = managed.record.version if managed.record is not None else 0
    return Change("upstreams", managed.name, config, fields.about(managed.about), version)


def state(managed: Managed, activate: bool) -> Change:
    """Have one in use, or not."""
    version = managed.record.version if managed.record is not None else 0
    about = attrs.evolve(managed.about, enabled=activate)
    return Change("upstreams", managed.name, managed.config, about, version)


def delete(management: Management, managed: Managed, override: Managed | None) -> list[Change]:
    """Forget one, and how it was shown; virtual servers go on without it."""
    changes = [Change("upstreams", managed.name, None)]
    if override is not None and override.record is not None:
        changes.append(Change("overrides", override.name, None))
    for each in management.all("servers"):
        upstreams = each.config.get("upstreams", ())
        if each.record is None or managed.name not in upstreams:
            continue
        config = {**each.config, "upstreams": [name for name in upstreams if name != managed.name]}
        if isinstance(config.get("tools"), dict):
            config["tools"] = _without(config["tools"], f"{managed.name}/")
        changes.append(Change("servers", each.name, config, each.about, each.record.version))
    return changes


def _without(selection: Json, start: str) -> Json:
    """A selection of tools without those that begin so."""
    out = dict(selection)
    for member in ("include", "exclude"):
        if member in out:
            out[member] = [text for text in out[member] if not text.startswith(start)]
    if "rename" in out:
        out["rename"] = {key: name for key, name in out["rename"].items() if not key.startswith(start)}
    return out


# --- what is written ---------------------------------------------------------------------------------------


def config_of(fields: Fields, own: str, before: Json) -> Json:
    """The config of a tool's upstream; what the body does not have stays.

    Raises:
        Trouble: 422, 501.
    """
    _kind(fields)
    fields.refuse(_NOT_HERE)
    config: Json = {**before, "use": "rest"}
    tool: Json = dict(next(iter((before.get("tools") or {}).values()), {}))
    schema = side_by_side(tool)
    if "description" in fields and not before:
        tool["description"] = fields.text("description")
    if "url" in fields or not before:
        config["base_url"], tool["path"] = _address(fields)
    if "request_type" in fields or not before:
        tool["method"] = fields.text("request_type", "POST").upper()
        if tool["method"] not in _METHODS:
            fields.problems.append(("request_type", f"Input should be one of {', '.join(_METHODS)}"))
    if "input_schema" in fields:
        schema = _schema(fields)
    config["headers"] = _headers(fields, tool, before.get("headers") or {})
    # Credentials of its own are never to be replaced by a client's.
    config["pass_headers"] = {} if config["headers"] else {"x-upstream-authorization": "Authorization"}
    if "timeout_ms" in fields:
        timeout = fields.body["timeout_ms"]
        if isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 < timeout < 10**9:
            fields.problems.append(("timeout_ms", "Input should be a positive number of milliseconds"))
        else:
            config["call_timeout"] = timeout / 1000
    _arguments(fields, tool, schema)
    config["tools"] = {own: tool}
    return config


def _kind(fields: Fields) -> None:
    kind = fields.text("integration_type", "REST").upper()
    if kind == "MCP":
        raise Trouble(422, NO_MCP)
    if kind != "REST":
        raise later(f"Tools of integration_type {kind} are not there yet")


def _address(fields: Fields) -> tuple[str, str]:
    url = fields.required("url")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if url and (parts.scheme not in ("http", "https") or not parts.netloc or set("{}@") & set(parts.netloc)):
        problem = "Input should be http://host/... or https://host/..., with {arguments} after the host only"
        fields.problems.append(("url", problem))
    if parts.fragment or set("{}") & set(_PLACE.sub("", parts.path + parts.query)):
        fields.problems.append(("url", "Input should be a sound address without a fragment"))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return f"{parts.scheme}://{parts.netloc}", path


def _schema(fields: Fields) -> Json:
    given: Any = fields.body["input_schema"]
    sound = isinstance(given, dict) and given.get("type", "object") == "object"
    properties = given.get("properties") or {} if sound else {}
    required = given.get("required") or [] if sound else []
    sound = sound and isinstance(properties, dict) and isinstance(required, list)
    if not sound or not all(isinstance(each, dict | bool) for each in properties.values()):
        fields.problems.append(("input_schema", "Input should be a JSON Schema of an object"))
        return {}
    if not all(isinstance(each, str) for each in required):
        fields.problems.append(("input_schema.required", "Input should be a list of names"))
        return {}
    if _refers(given):
        raise later("input_schema: references ($ref) are not there; write out what they stand for")
    return {key: value for key, value in given.items() if key not in ("$schema", "$id", "$defs")}


def _refers(value: Any) -> bool:
    places = [value]
    while places:
        each = places.pop()
        if isinstance(each, dict):
            if isinstance(each.get("$ref"), str) or isinstance(each.get("$dynamicRef"), str):
                return True
            places += each.values()
        elif isinstance(each, list):
            places += each
    return False


def _arguments(fields: Fields, tool: Json, schema: Json) -> None:
    """Have each argument where ContextForge puts it: in the address, and else in query or body."""
    properties: Json = {
        name: each if isinstance(each, dict) else {}
        for name, each in (schema.get("properties") or {}).items()
    }
    required = list(schema.get("required") or ())
    places = list(dict.fromkeys(_PLACE.findall(str(tool.get("path", "")))))
    in_query = tool.get("method") in _IN_QUERY
    parameters: list[Json] = [
        {
            "name": name,
            "location": "path",
            "required": True,
            "schema": properties.get(name, {"type": "string"}),
        }
        for name in places
    ]
    left = {name: each for name, each in properties.items() if name not in places}
    if in_query:
        tool.pop("body", None)
        parameters += [
            {"name": name, "location": "query", "required": name in required, "schema": each}
            for name, each in left.items()
        ]
    else:
        still = [name for name in required if name not in places]
        more = {key: each for key, each in schema.items() if key not in ("properties", "required")}
        tool["body"] = {
            **more,
            "type": "object",
            "properties": left,
            **({"required": still} if still else {}),
        }
    tool["parameters"] = parameters
    for name in (each["name"] for each in parameters):
        if not _ARGUMENT.fullmatch(name) or (name == "body" and not in_query):
            fields.problems.append(("input_schema", f"An argument in an address cannot be {name[:64]!r}"))


def _headers(fields: Fields, tool: Json, before: Mapping[str, str]) -> dict[str, str]:
    headers = dict(before)
    if "headers" in fields:
        given: Any = fields.body["headers"]
        if not isinstance(given, dict) or not all(isinstance(each, str) for each in given.values()):
            fields.problems.append(("headers", "Input should be an object of strings"))
            given = {}
        headers = {name: each for name, each in before.items() if name.lower() == "authorization"}
        for name, each in given.items():
            if name.lower() == "content-type":
                _content_type(fields, tool, each)
            elif name.lower() != "accept" or each.strip() not in ("*/*", "application/json"):
                headers[name] = before.get(name, each) if each == MASK else each
    auth = fields.body.get("auth")
    if isinstance(auth, dict):
        fields.body.update({_OF_AUTH.get(str(name), str(name)): value for name, value in auth.items()})
    elif auth:
        fields.problems.append(("auth", "Input should be an object"))
    found = headers_of(fields)
    if any(name in fields for name in AUTH):
        headers = {name: each for name, each in headers.items() if name.lower() != "authorization"}
        headers |= {key: before.get(key, each) if each == MASK else each for key, each in found.items()}
    return headers


def _content_type(fields: Fields, tool: Json, given: str) -> None:
    media_type = given.partition(";")[0].strip().lower()
    if media_type not in _BODIES:
        fields.problems.append(("headers.Content-Type", f"Input should be one of {', '.join(_BODIES)}"))
    tool["body_type"] = media_type
