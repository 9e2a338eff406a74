"""Schemas without `$ref`: for clients that do not follow them."""

from __future__ import annotations

from typing import Any, Final

from portico.api import Json

_REF: Final = "#/$defs/"
_DEEPEST: Final = 12
_MOST: Final = 5000
"""Values in a schema; the next message is then said to be an object, and no more."""


def inlined(schema: Json, root: str) -> Json:
    """The same with definitions where they are used.

    Where a message would be in itself, or far too much has been said already, it is an object with a note.

    Args:
        schema: With `$defs`, or without any.
        root: What the schema itself is the definition of; "" for none.
    """
    defs = schema.get("$defs", {})
    if not defs:
        return schema
    left = _MOST

    def put(node: Any, path: tuple[str, ...]) -> Any:
        nonlocal left
        left -= 1
        if isinstance(node, list):
            return [put(each, path) for each in node]
        if not isinstance(node, dict):
            return node
        ref = node.get("$ref")
        if not isinstance(ref, str):
            return {key: put(value, path) for key, value in node.items()}
        beside = {key: value for key, value in node.items() if key != "$ref"}
        name = ref.removeprefix(_REF)
        if name in path or len(path) >= _DEEPEST or left <= 0:
            why = f"As {name} above." if name in path else f"A message {name}."
            said = f"{beside.get('description', '')}\n{why}".strip()
            return {**beside, "type": "object", "description": said}
        made = {**put(defs[name], (*path, name)), **put(beside, path)}
        texts = [each["description"] for each in (beside, defs[name]) if "description" in each]
        return {**made, "description": "\n".join(texts)} if texts else made

    body = {key: value for key, value in schema.items() if key != "$defs"}
    return dict(put(body, (root,) if root else ()))
