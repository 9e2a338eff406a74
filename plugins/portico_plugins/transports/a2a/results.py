"""What a tool has given, as parts of an artifact."""

from __future__ import annotations

from a2a.types import Part

from portico.api import Json
from portico_plugins.a2a.parts import part_of
from portico_plugins.a2a.protojson import BadJson, from_json
from portico_plugins.transports.a2a.values import data_part


def parts_of(result: Json) -> list[Part]:
    """The parts for a tool's result: structured content first, then the content blocks.

    Text that repeats the structured content stays: its numbers are exact.
    """
    parts: list[Part] = []
    structured = result.get("structuredContent")
    if structured is not None:
        parts.append(data_part(structured))
    content = result.get("content")
    for block in content if isinstance(content, list) else []:
        if isinstance(block, dict):
            try:
                parts.append(from_json(part_of(block), Part))
            except BadJson:  # it is not what its type says: nothing of it is lost
                parts.append(data_part(block))
    return parts
