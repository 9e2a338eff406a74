"""Which operations become tools, and those that no document has."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from portico.api import Json

from .config import HandTool, Match, OperationSettings, RestConfig, Shape
from .document import Document
from .operations import Operation


def selected(operation: Operation, config: RestConfig) -> bool:
    """Whether an operation is wanted."""
    if any(_fits(operation, match) for match in config.exclude):
        return False
    return not config.include or any(_fits(operation, match) for match in config.include)


def shape_of(operation: Operation, own: OperationSettings, config: RestConfig) -> Shape | None:
    """How its answers are shaped, if they are."""
    if own.shape is not None:
        return own.shape
    fitting = (one.shape for one in config.shapes if one.match is None or _fits(operation, one.match))
    return next(fitting, None)


def _fits(operation: Operation, match: Match) -> bool:
    return (
        (not match.tags or any(_like(tag, match.tags) for tag in operation.tags))
        and (not match.operations or _like(operation.id, match.operations))
        and (not match.paths or _like(operation.path, match.paths))
        and (not match.methods or operation.method in {method.upper() for method in match.methods})
    )


def _like(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def by_hand(name: str, tool: HandTool) -> Document:
    """A tool written by hand as a document of one operation."""
    node: Json = {
        "operationId": name,
        "description": tool.description,
        "parameters": [
            {
                "name": one.name,
                "in": one.location,
                "required": one.required,
                "description": one.description,
                "schema": one.schema,
                "style": one.style,
                "explode": one.explode,
            }
            for one in tool.parameters
        ],
    }
    if tool.body is not None:
        node["requestBody"] = {
            "required": tool.body_required,
            "content": {tool.body_type: {"schema": tool.body}},
        }
    item = {"additionalOperations": {tool.method.upper(): node}}
    return Document({"openapi": "3.2.0", "info": {"title": name, "version": "1"}, "paths": {tool.path: item}})
