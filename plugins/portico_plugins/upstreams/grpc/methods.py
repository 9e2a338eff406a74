"""The methods of services as tools: which ones, what they are called, and their definitions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

import attrs
import msgspec
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from portico.api import Json

from .base64s import has_bytes
from .schemas import Style, input_schema, is_object, list_schema, output_schema

_OWN: Final = ("grpc.reflection.", "grpc.health.", "grpc.channelz.", "grpc.binarylog.")
_LONGEST: Final = 64
_MAX_SCHEMA: Final = 64 * 1024
_MAX_DESCRIPTION: Final = 8000
_ODD: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_HTTP: Final[Any] = annotations_pb2.http
MESSAGES: Final = "messages"
ITEMS: Final = "items"
_ABOUT_STREAM: Final[Json] = {
    "truncated": {
        "type": "string",
        "description": "Why the list ends before the stream did; absent when it is whole.",
    }
}


@attrs.frozen(eq=False)
class Method:
    """One method.

    Attributes:
        path: What gRPC calls it: `/package.Service/Method`.
        definition: The tool's.
        pool: Where `Any` is looked up.
        input: The message it takes.
        output: The message it gives.
        takes_many: Whether the client streams.
        gives_many: Whether the server streams.
        wrapped_input: Whether the argument `value` is the message.
        wrapped_output: Whether the message is the property `value` of the result.
        bytes_in: Whether there are bytes in the message it takes.
    """

    path: str
    definition: Json
    pool: DescriptorPool
    input: type[Any]
    output: type[Any]
    takes_many: bool
    gives_many: bool
    wrapped_input: bool
    wrapped_output: bool
    bytes_in: bool


def chosen(services: Sequence[str], exclude: Sequence[str]) -> Callable[[str, str], bool]:
    """Whether a service and a method ("": any of it) are among those that the patterns choose."""

    def wanted(service: str, method: str) -> bool:
        whole = f"{service}/{method}"
        named = any(pattern in (service, whole) or pattern.startswith(service + "/") for pattern in services)
        if service.startswith(_OWN) and not named:
            return False
        if not method:
            return any(fnmatchcase(service, _service_part(pattern)) for pattern in services) and not any(
                fnmatchcase(service, pattern) for pattern in exclude
            )
        return _matches(service, whole, services) and not _matches(service, whole, exclude)

    return wanted


def _service_part(pattern: str) -> str:
    return pattern.partition("/")[0]


def _matches(service: str, whole: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(whole if "/" in pattern else service, pattern) for pattern in patterns)


def methods_of(
    pool: DescriptorPool,
    services: Iterable[str],
    wanted: Callable[[str, str], bool],
    names: Literal["service", "method", "full"],
    style: Style,
    *,
    output_schemas: bool,
    left_out: Callable[[str, str], object],
) -> dict[str, Method]:
    """Methods by the name of their tool.

    Args:
        pool: Has the services.
        services: Their full names.
        wanted: See `chosen`.
        names: See the config key.
        style: Of the schemas.
        output_schemas: Whether there are any.
        left_out: Told of each method that is left out, and why.
    """
    found: list[MethodDescriptor] = []
    for service in services:
        try:
            descriptor = pool.FindServiceByName(service)
        except KeyError:
            left_out(service, "it is not in the descriptors")
            continue
        found += [method for method in descriptor.methods if wanted(service, str(method.name))]
    called = _called(found, names)
    made: dict[str, Method] = {}
    for method in found:
        service, name = method.containing_service.full_name, str(method.name)
        if called[method.full_name] in made:
            left_out(f"{service}/{name}", "another method has the same name")
            continue
        definition = _definition(method, called[method.full_name], style, output_schemas)
        if len(msgspec.json.encode(definition["inputSchema"])) > _MAX_SCHEMA:
            left_out(f"{service}/{name}", f"its schema is larger than {_MAX_SCHEMA} bytes")
            continue
        made[called[method.full_name]] = Method(
            path=f"/{service}/{name}",
            definition=definition,
            pool=pool,
            input=GetMessageClass(method.input_type),
            output=GetMessageClass(method.output_type),
            takes_many=method.client_streaming,
            gives_many=method.server_streaming,
            wrapped_input=not is_object(method.input_type),
            wrapped_output=not is_object(method.output_type),
            bytes_in=has_bytes(method.input_type),
        )
    return made


def _called(methods: Sequence[MethodDescriptor], names: str) -> dict[str, str]:
    """The tool's name by the method's full name."""

    def short(method: MethodDescriptor) -> str:
        if names == "method":
            return str(method.name)
        return f"{method.containing_service.name}_{method.name}"

    counts: dict[str, int] = {}
    for method in methods:
        counts[short(method)] = counts.get(short(method), 0) + 1
    return {
        method.full_name: _fitting(
            method.full_name if names == "full" or counts[short(method)] > 1 else short(method)
        )
        for method in methods
    }


def _fitting(name: str) -> str:
    clean = _ODD.sub("_", name)
    if len(clean) <= _LONGEST:
        return clean
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{clean[: _LONGEST - 9]}_{digest}"


def _definition(method: MethodDescriptor, name: str, style: Style, output_schemas: bool) -> Json:
    definition: Json = {"name": name, "description": _description(method, style)}
    if method.client_streaming:
        definition["inputSchema"] = list_schema(method.input_type, style, "input", MESSAGES, {})
    else:
        definition["inputSchema"] = input_schema(method.input_type, style)
    if output_schemas:
        made = _output(method, style)
        if len(msgspec.json.encode(made)) <= _MAX_SCHEMA:
            definition["outputSchema"] = made
    annotations = _annotations(method)
    if annotations:
        definition["annotations"] = annotations
    return definition


def _output(method: MethodDescriptor, style: Style) -> Json:
    output: Descriptor = method.output_type
    if method.server_streaming:
        return list_schema(output, style, "output", ITEMS, _ABOUT_STREAM)
    return output_schema(output, style)


def _description(method: MethodDescriptor, style: Style) -> str:
    service = method.containing_service
    said = (
        style.comments.get(method.full_name, "") or f"{method.name} of the gRPC service {service.full_name}."
    )
    about = style.comments.get(service.full_name, "")
    parts = [said, about and f"{service.name}: {about}"]
    if method.GetOptions().deprecated:
        parts.append("Deprecated.")
    if method.client_streaming:
        parts.append(f"Takes a list of messages in `{MESSAGES}`, sent in this order.")
    if method.server_streaming:
        parts.append(f"Answers with a list of messages in `{ITEMS}`.")
    return "\n\n".join(part for part in parts if part)[:_MAX_DESCRIPTION]


def _annotations(method: MethodDescriptor) -> Json:
    """What is known of a method's effects: from its idempotency level, else from its HTTP mapping."""
    options = method.GetOptions()
    if not options.ByteSize():
        return {}
    known = descriptor_pb2.MethodOptions.FromString(options.SerializeToString())
    if known.idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS:
        return {"readOnlyHint": True}
    idempotent: Json = {"idempotentHint": True}
    if known.idempotency_level == descriptor_pb2.MethodOptions.IDEMPOTENT:
        return idempotent
    http = known.Extensions[_HTTP].WhichOneof("pattern")
    return {
        "get": {"readOnlyHint": True},
        "put": idempotent,
        "delete": {"destructiveHint": True, **idempotent},
    }.get(http or "", {})
