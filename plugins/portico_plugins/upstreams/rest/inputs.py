"""What a tool takes: its arguments, where each goes, and their schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from portico.api import Json

from . import naming
from .document import Document, Unfit, mapping
from .options import OperationSettings
from .parameters import Parameter
from .payloads import Body
from .schemas import Schemas

FILE: Final[Json] = {
    "type": "object",
    "description": "A file: its content as `text` or as `base64`.",
    "properties": {
        "text": {"type": "string"},
        "base64": {"type": "string", "contentEncoding": "base64"},
        "filename": {"type": "string"},
        "mediaType": {"type": "string"},
    },
    "anyOf": [{"required": ["text"]}, {"required": ["base64"]}],
    "additionalProperties": False,
}


@attrs.frozen(eq=False)
class Arguments:
    """The arguments of a tool.

    Attributes:
        parameters: Argument -> what it is outside the body.
        body: How the body is written; None for none.
        body_name: The argument that is the body; "" if its members are arguments themselves.
        members: Argument -> member of the body, where they are.
        schema: What the document says of the body; of a flat one, all its members in one place.
    """

    parameters: Mapping[str, Parameter]
    body: Body | None
    body_name: str
    members: Mapping[str, str]
    schema: Any

    @classmethod
    def named(cls, found: Sequence[Parameter], body: Body | None, flat: dict[str, Any] | None) -> Arguments:
        """Give each a name; where two would have one, both get an end that says where they go.

        Args:
            found: The parameters.
            body: The body, if there is one.
            flat: Its schema, if its members are to be arguments.
        """
        pairs = [(one.name, str(one.location)) for one in found]
        members = list(flat["properties"]) if flat is not None else []
        last = [(name, "body") for name in members] if flat is not None else [("body", "body")]
        names = naming.arguments([*pairs, *last])
        parameters = dict(zip(names, found, strict=False))
        if flat is not None:
            own = dict(zip(names[len(pairs) :], members, strict=True))
            return cls(parameters, body, "", own, flat)
        return cls(parameters, body, names[-1], {}, body.schema if body is not None else None)

    def of_body(self, given: Mapping[str, Any]) -> tuple[bool, Any]:
        """Whether there is a body, and its value."""
        if self.body is None:
            return False, None
        if self.body_name:
            return self.body_name in given, given.get(self.body_name)
        value = {member: given[name] for name, member in self.members.items() if name in given}
        return bool(value) or self.body.required, value


def input_schema(
    document: Document, schemas: Schemas, arguments: Arguments, own: OperationSettings, most: int
) -> Json:
    """The input schema of a tool.

    Args:
        document: Where it is from.
        schemas: Its schemas.
        arguments: What the tool takes.
        own: What is configured of it.
        most: The most bytes the schema may have.

    Raises:
        Unfit: An argument is configured that there is not.
    """
    properties: Json = {}
    required: list[str] = []
    refs: set[str] = set()
    for name, parameter in arguments.parameters.items():
        part = schemas.part(parameter.schema, "in")
        schema = part.schema if isinstance(part.schema, dict) else {}
        if parameter.description and "description" not in schema:
            schema = {"description": parameter.description[:400], **schema}
        if name not in own.fixed:
            refs |= part.refs
        properties[name] = schema
        if parameter.required:
            required.append(name)
    together: Json = {}
    if arguments.body is not None:
        schema, used = _body(document, schemas, arguments.body, arguments.schema)
        if arguments.body_name not in own.fixed:
            refs |= used
        if arguments.body_name:
            properties[arguments.body_name] = schema
            if arguments.body.required:
                required.append(arguments.body_name)
        else:
            together = _members(arguments, schema, properties, required, own)
    unknown = [name for name in (*own.fixed, *own.defaults) if name not in properties]
    if unknown:
        raise Unfit(f"`fixed` or `defaults` name an argument that there is not: {unknown[0]!r}")
    root: Json = {
        "type": "object",
        "properties": {
            name: {**schema, "default": own.defaults[name]} if name in own.defaults else schema
            for name, schema in properties.items()
            if name not in own.fixed
        },
    }
    required = [name for name in required if name not in own.defaults and name not in own.fixed]
    if required:
        root["required"] = required
    if together:
        root["dependentRequired"] = together
    root["additionalProperties"] = False
    return schemas.whole(root, refs, "in", most)


def _members(
    arguments: Arguments, schema: Json, properties: Json, required: list[str], own: OperationSettings
) -> Json:
    """Add the members of a flat body; gives which need which, where there need not be a body at all."""
    said = mapping(schema.get("properties"))
    names = {member: name for name, member in arguments.members.items()}
    for member, name in names.items():
        if member in said:  # what is read-only is not
            properties[name] = said[member] if isinstance(said[member], dict) else {}
    needed = [names[member] for member in schema.get("required", ()) if member in said]
    if arguments.body is not None and arguments.body.required:
        required += needed
        return {}
    left = [name for name in needed if name not in own.defaults and name not in own.fixed]
    there = [names[member] for member in said if names[member] not in own.fixed]
    return {name: rest for name in there if (rest := [one for one in left if one != name])}


def _file(said: Mapping[str, Any], many: bool) -> Json:
    """The schema of a file or a list of files, with what the document says of it."""
    about = {"description": said["description"]} if "description" in said else {}
    if not many:
        return {**FILE, "description": f"{about['description']}\n{FILE['description']}"} if about else FILE
    counts = {key: said[key] for key in ("minItems", "maxItems") if key in said}
    return {**about, "type": "array", "items": FILE, **counts}


def _body(document: Document, schemas: Schemas, body: Body, node: Any) -> tuple[Json, set[str]]:
    if body.kind == "text":
        return {"type": "string", "description": f"The body, {body.media_type}."}, set()
    if body.kind == "binary":
        return FILE, set()
    if body.kind not in ("json", "items"):
        node = document.resolved(node)  # so that its files can be seen
    part = schemas.part(node, "in")
    schema = part.schema if isinstance(part.schema, dict) else {}
    if body.kind in ("json", "items"):
        return schema, part.refs
    if body.kind == "parts":
        return _listed(body, schema), part.refs
    own = dict(mapping(schema.get("properties")))
    for name, field in body.fields.items():
        if field.file and name in own:
            own[name] = _file(mapping(own[name]), field.many)
    schema = {**schema, "type": "object"}
    if own:
        schema["properties"] = own
    return schema, part.refs


def _listed(body: Body, schema: Json) -> Json:
    """The schema of a list of parts, some of which are files."""
    rest = mapping(schema.get("items"))
    first = list(schema.get("prefixItems", ()))
    first += [rest] * (len(body.first) - len(first))
    for at, field in enumerate(body.first):
        if field.file:
            first[at] = _file(mapping(first[at]), False)
    more: Json = {"prefixItems": first} if first else {}
    if body.rest.file and schema.get("items") is not False:
        more["items"] = _file(rest, False)
    return {**schema, **more}
