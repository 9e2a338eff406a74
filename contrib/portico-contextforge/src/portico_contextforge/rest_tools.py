"""REST tools: each is an upstream of kind `rest` with one tool written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portico.api import Json, Managed
from portico_contextforge.naming import REST


def is_rest(managed: Managed) -> bool:
    """Whether an upstream is a REST tool."""
    config = managed.config
    tools = config.get("tools")
    mine = managed.name.startswith(REST) and config.get("use") == "rest" and managed.record is not None
    return mine and isinstance(tools, Mapping) and len(tools) == 1


def tool_in(managed: Managed) -> tuple[str, Json]:
    """The name of a record's tool, and what the record says of it."""
    tools: Mapping[str, Json] = managed.config["tools"]
    return next(iter(tools.items()))


def url_of(managed: Managed) -> str:
    """Where it goes."""
    return f"{managed.config.get('base_url', '')}{tool_in(managed)[1].get('path', '')}"


def schema_of(managed: Managed) -> Json:
    """The arguments as ContextForge has them."""
    return side_by_side(tool_in(managed)[1])


def side_by_side(tool: Json) -> Json:
    """The schema of a tool's arguments, those of address and body side by side."""
    parameters = tool.get("parameters") or ()
    body: Json = dict(tool.get("body") or {"type": "object"})
    properties = {each["name"]: each.get("schema", {}) for each in parameters} | body.get("properties", {})
    required = [each["name"] for each in parameters if each.get("required")] + body.get("required", [])
    return {**body, "properties": properties, **({"required": required} if required else {})}


def nested(managed: Managed, arguments: Any) -> Any:
    """Arguments side by side as the upstream has them: with a body apart."""
    _, tool = tool_in(managed)
    if tool.get("body") is None or not isinstance(arguments, dict):
        return arguments
    apart = {each["name"] for each in tool.get("parameters") or ()}
    out = {name: value for name, value in arguments.items() if name in apart}
    return {**out, "body": {name: value for name, value in arguments.items() if name not in apart}}
