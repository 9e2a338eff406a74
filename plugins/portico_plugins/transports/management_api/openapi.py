"""The OpenAPI 3.1 description, made from the route table and the plugins' config classes."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, get_args

import msgspec

from portico.api import Factory, Json, OnChange
from portico_plugins.transports.management_api import answers, bodies
from portico_plugins.transports.management_api.classes import schema_of
from portico_plugins.transports.management_api.pins import UpstreamPins
from portico_plugins.transports.management_api.problems import TITLES, URN
from portico_plugins.transports.management_api.table import ETAGS, JSON, PREFIX, Operation, Query

_ANY: Final = (400, 401, 403, 413, 500, 501)
_REF: Final = "#/components/schemas/{name}"
_ABOUT: Final = (
    "Manages what the gateway serves, at run time. What the configuration file declares is shown, and can "
    "only be changed there. Names with slashes in them are percent-encoded. A change is in effect in the "
    "process that answers, and within a second everywhere else; this API has it everywhere at once."
)


def describe(operations: Sequence[Operation]) -> Json:
    """The description.

    Args:
        operations: The route table.
    """
    structs: list[type[msgspec.Struct]] = [answers.Trouble]
    for operation in operations:
        structs += [each for each in (operation.body, *operation.answers.values()) if each is not None]
    _, schemas = msgspec.json.schema_components(list(dict.fromkeys(structs)), ref_template=_REF)
    configs = {factory.name: schema_of(factory.config, factory.summary) for factory in upstream_factories()}
    for name, schema in configs.items():
        common = {"use": {"const": name}, "on_change": {"enum": list(get_args(OnChange))}}
        schema["properties"] = {**common, **schema["properties"]}
        schemas[f"upstream.{name}"] = schema
    paths: Json = {}
    for operation in operations:
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = _operation(
            operation, list(configs), operations
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Portico management API",
            "version": importlib.metadata.version("portico"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": each} for each in dict.fromkeys(map(_tag, operations))],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def upstream_factories() -> Iterator[Factory[Any, Any]]:
    """Those of the plugins this process has loaded; what is not loaded is not in use."""
    for point in importlib.metadata.entry_points(group="portico.plugins"):
        hook = getattr(sys.modules.get(point.module), "gateway_upstreams", None)
        if hook is not None:
            yield from hook()


def _tag(operation: Operation) -> str:
    return operation.kind or "gateway"


def _operation(operation: Operation, uses: Sequence[str], operations: Sequence[Operation]) -> Json:
    parameters = [_query(each) for each in operation.query]
    if "{name}" in operation.path:
        schema = {"type": "string", "minLength": 1, "maxLength": 512, "pattern": bodies.NAME_PATTERN}
        parameters.insert(0, {"name": "name", "in": "path", "required": True, "schema": schema})
    parameters += [_header(each) for each in operation.conditional]
    if operation.idempotent:
        parameters.append(_header("idempotency-key"))
    out: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [_tag(operation)],
        "parameters": parameters,
        "responses": _responses(operation, operations),
    }
    if operation.body is not None:
        schema = {"$ref": _REF.format(name=operation.body.__name__)}
        if operation.kind == "upstreams" and uses:
            refs = [{"$ref": _REF.format(name=f"upstream.{use}")} for use in uses]
            # Anything goes besides: strings of a record may be references, whatever the key's type is.
            schema = {"allOf": [schema, {"properties": {"config": {"anyOf": [*refs, {"type": "object"}]}}}]}
        out["requestBody"] = {
            "required": True,
            "content": {media: {"schema": schema} for media in operation.media},
        }
    return out


def _responses(operation: Operation, operations: Sequence[Operation]) -> Json:
    out: Json = {}
    for status, struct in operation.answers.items():
        meaning = {200: "Done.", 201: "Created.", 304: "It is as it was."}[status]
        out[str(status)] = {"description": meaning}
        if struct is not None:
            schema = {"$ref": _REF.format(name=struct.__name__)}
            out[str(status)]["content"] = {JSON: {"schema": schema}}
        if struct in _NAMES and operation.kind:
            out[str(status)]["links"] = _links(operation.kind, _NAMES[struct], operations)
        if struct in (answers.Item, UpstreamPins):
            etag = {"description": "The record's version.", "schema": {"type": "string"}}
            out[str(status)]["headers"] = {"ETag": etag}
    for status in sorted({*_ANY, *operation.problems}):
        words = words_of(operation, status)
        types = {"properties": {"type": {"enum": [f"{URN}{word}" for word in words]}}}
        trouble = {"schema": {"allOf": [{"$ref": _REF.format(name="Trouble")}, types]}}
        out[str(status)] = {
            "description": f"{TITLES[status]}: {', '.join(words)}.",
            "content": {"application/problem+json": trouble},
        }
    for status in (414, 421, 431):
        out[str(status)] = {"description": "The gateway's guard refuses it."}
    return out


_NAMES: Final[dict[Any, str]] = {
    answers.Item: "$response.body#/name",
    answers.Items: "$response.body#/items/0/name",
}
"""Where an answer has the name of a record."""


def _links(kind: str, at: str, operations: Sequence[Operation]) -> Json:
    """What may be done next with the record of an answer."""
    found: Json = {}
    for each in operations:
        if each.kind == kind and "{name}" in each.path:
            found[each.id] = {"operationId": each.id, "parameters": {"path.name": at}}
            if at == _NAMES[answers.Item] and "if-match" in each.conditional:
                found[each.id]["parameters"]["header.If-Match"] = "$response.header.ETag"
    return found


def words_of(operation: Operation, status: int) -> list[str]:
    """The ends of the `type`s of the problems an operation answers with this status."""
    writes = 503 in operation.problems and operation.method != "GET"
    named, bodied = "{name}" in operation.path, operation.body is not None
    conditional, kept = bool(operation.conditional), operation.idempotent
    makes = kept or operation.method == "PUT"
    found = {
        400: {
            "bad-body": not bodied,
            "bad-header": True,
            "bad-json": bodied,
            "bad-name": named,
            "bad-query": True,
        },
        401: {"unauthenticated": True},
        403: {"foreign-page": True, "not-local": True, "scope": True, "unauthenticated": True},
        404: {"no-catalog": operation.path == "/catalog", "not-found": True},
        409: {
            "exists": kept,
            "from-file": operation.kind not in ("secrets", "pins"),
            "gone": kept,
            "in-progress": kept,
            "stale": writes or makes,
        },
        412: {"stale": conditional or operation.body in (bodies.Bulk, bodies.Import)},
        413: {"too-large": True},
        415: {"media-type": True},
        422: {"invalid": True, "key-reused": kept},
        500: {"fault": True},
        501: {"no-registry": True},
        502: {"catalog-down": True},
        503: {"registry-down": True, "draining": operation.path == "/secrets/rotate"},
    }[status]
    return [word for word, there in found.items() if there]


def _query(query: Query) -> Json:
    schema: Json = {"type": query.type}
    if query.type == "integer":
        schema |= {"minimum": query.least, "maximum": query.most}
    elif query.choices:
        schema["enum"] = list(query.choices)
    elif query.type == "string":
        schema["maxLength"] = query.most
    if query.many:
        schema = {"type": "array", "items": schema, "maxItems": 64}
    return {"name": query.name, "in": "query", "description": query.doc, "schema": schema}


_HEADERS: Final = {
    "if-match": ("If-Match", "The `ETag` the record must have; `*` for any."),
    "if-none-match": ("If-None-Match", "`*`: the record must not exist. With GET: the `ETag` that is known."),
    "idempotency-key": ("Idempotency-Key", "Sent again with the same body, the request is carried out once."),
}


def _header(name: str) -> Json:
    title, text = _HEADERS[name]
    schema: Json = {"type": "string", "pattern": ETAGS, "examples": ['"1"', "*"]}
    if name == "idempotency-key":
        schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return {"name": title, "in": "header", "description": text, "schema": schema}
