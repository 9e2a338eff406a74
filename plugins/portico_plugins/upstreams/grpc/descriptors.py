"""Files of descriptors, from wherever, to a pool of their own; what cannot be trusted about them is refused.

Each upstream has its own pool: two servers may define the same name differently. The well-known types are
always Portico's own, as the JSON mapping is wired to them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from google.api import (
    annotations_pb2,
    client_pb2,
    field_behavior_pb2,
    http_pb2,
    httpbody_pb2,
    launch_stage_pb2,
    resource_pb2,
)
from google.protobuf import (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

Files = dict[str, descriptor_pb2.FileDescriptorProto]
"""File descriptors by the name that other files import them by."""

MAX_FILES: Final = 2000
MAX_DEPTH: Final = 32
"""How deep messages may be nested in messages."""
_MAX_TYPES: Final = 20_000

_KNOWN: Final = {
    module.DESCRIPTOR.name: module.DESCRIPTOR
    for module in (
        *(any_pb2, api_pb2, descriptor_pb2, duration_pb2, empty_pb2, field_mask_pb2, source_context_pb2),
        *(struct_pb2, timestamp_pb2, type_pb2, wrappers_pb2),
        *(annotations_pb2, client_pb2, field_behavior_pb2, http_pb2, httpbody_pb2, launch_stage_pb2),
        resource_pb2,
    )
}
_PACKAGE: Final = "google.protobuf"
_SETTLED: Final = ("google/", "buf/", "validate/", "gogoproto/")
"""Files whose messages are for options: nobody sends extensions of those."""


class Unusable(Exception):
    """What a server or a file says of itself cannot be made use of; says why in one sentence."""


def known_file(name: str) -> descriptor_pb2.FileDescriptorProto | None:
    """Portico's own copy of a file everybody has; None for others."""
    found = _KNOWN.get(name)
    if found is None:
        return None
    file = descriptor_pb2.FileDescriptorProto()
    found.CopyToProto(file)
    return file


def from_set(raw: bytes, most: int) -> Files:
    """The files of a descriptor set.

    Raises:
        Unusable: It is none, or too large.
    """
    if len(raw) > most:
        raise Unusable(f"the descriptor set is larger than {most} bytes")
    try:
        found = descriptor_pb2.FileDescriptorSet.FromString(raw)
    except DecodeError:
        raise Unusable("the file is no descriptor set") from None
    files = {file.name: known_file(file.name) or file for file in found.file}
    missing = {name for file in found.file for name in file.dependency if name not in files}
    while missing:
        name = missing.pop()
        known = known_file(name)
        if known is None:
            raise Unusable(f"the descriptor set lacks {name!r}: make it with --include_imports")
        files[name] = known
        missing |= {each for each in known.dependency if each not in files}
    return files


def services_of(files: Files) -> list[str]:
    """The full names of all services."""
    return [
        f"{file.package}.{service.name}" if file.package else service.name
        for file in files.values()
        for service in file.service
    ]


def extendable(files: Files) -> list[str]:
    """The full names of messages that others may extend, but for those that everybody has."""
    found: list[str] = []
    for file in files.values():
        foreign = file.name not in _KNOWN and not file.name.startswith(_SETTLED)
        level = [(file.package, each) for each in file.message_type] if foreign else []
        while level:
            inner = []
            for prefix, message in level:
                name = f"{prefix}.{message.name}" if prefix else message.name
                if message.extension_range:
                    found.append(name)
                inner += [(name, each) for each in message.nested_type]
            level = inner
    return found


def extensions_of(files: Files, message: str) -> set[int]:
    """The numbers of a message's extensions that files define."""
    found: set[int] = set()
    for file in files.values():
        found |= {each.number for each in file.extension if each.extendee == f".{message}"}
        level = list(file.message_type)
        while level:
            found |= {e.number for each in level for e in each.extension if e.extendee == f".{message}"}
            level = [inner for each in level for inner in each.nested_type]
    return found


def pool_of(files: Files) -> DescriptorPool:
    """A pool of these files.

    Raises:
        Unusable: They make no sense together, or exceed a limit.
    """
    pool = DescriptorPool()
    add(pool, files)
    return pool


def add(pool: DescriptorPool, files: Files, have: Callable[[str], bool] = lambda _: False) -> None:
    """Add files to a pool.

    Args:
        pool: Where to.
        files: The files.
        have: Says of a file whether the pool has it already.

    Raises:
        Unusable: They make no sense together, or exceed a limit.
    """
    _judge(files)
    for name in _in_order(files, have):
        try:
            # Comments are read from the files, and would be kept twice.
            pool.AddSerializedFile(files[name].SerializeToString())
            pool.FindFileByName(name)
        except (TypeError, ValueError, KeyError) as error:
            raise Unusable(f"the descriptors make no sense: {str(error)[:300]}") from None


def _judge(files: Files) -> None:
    if len(files) > MAX_FILES:
        raise Unusable(f"there are more than {MAX_FILES} files")
    types = 0
    for file in files.values():
        foreign = file.name not in _KNOWN
        if foreign and file.package == _PACKAGE:
            raise Unusable(f"{file.name[:200]!r} claims the package {_PACKAGE}")
        level = list(file.message_type)
        depth = 0
        while level:
            depth, types = depth + 1, types + len(level)
            if depth > MAX_DEPTH or types > _MAX_TYPES:
                raise Unusable(f"messages are nested deeper than {MAX_DEPTH}, or are more than {_MAX_TYPES}")
            level = [inner for message in level for inner in message.nested_type]


def _in_order(files: Files, have: Callable[[str], bool]) -> Iterator[str]:
    """Names of files, each after those it imports; not recursive, for chains of imports are long at will."""
    done: set[str] = set()
    for root in files:
        path = [(root, iter(files[root].dependency))] if root not in done else []
        on_path = {root}
        while path:
            name, rest = path[-1]
            for each in rest:
                if each in on_path:
                    raise Unusable(f"{each[:200]!r} imports itself")
                if each not in files and have(each):
                    continue
                if each not in files:
                    raise Unusable(f"{name[:200]!r} imports {each[:200]!r}, which is missing")
                if each not in done:
                    path.append((each, iter(files[each].dependency)))
                    on_path.add(each)
                    break
            else:
                path.pop()
                on_path.discard(name)
                done.add(name)
                yield name


def comments_of(files: Files) -> dict[str, str]:
    """The comments of services, methods, messages, fields, enums and their values, by full name."""
    found: dict[str, str] = {}
    for file in files.values():
        for location in file.source_code_info.location:
            text = (location.leading_comments or location.trailing_comments).strip()
            if text:
                name = _at(file, list(location.path))
                if name:
                    found[name] = "\n".join(line.strip() for line in text.splitlines())
    return found


_PARTS: Final = {
    "file": {4: "message_type", 5: "enum_type", 6: "service"},
    "message_type": {2: "field", 3: "nested_type", 4: "enum_type"},
    "nested_type": {2: "field", 3: "nested_type", 4: "enum_type"},
    "enum_type": {2: "value"},
    "service": {2: "method"},
}
"""Field numbers in `descriptor.proto` of what can have a comment, by what it is in."""


def _at(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str:
    """The full name of what is at a path of `SourceCodeInfo`, "" for what is of no interest."""
    names = [file.package] if file.package else []
    here: object = file
    kind = "file"
    for number, index in zip(path[::2], path[1::2], strict=False):
        part = _PARTS.get(kind, {}).get(number, "")
        inside = getattr(here, part, ()) if part else ()
        if index >= len(inside) or index < 0:
            return ""
        here, kind = inside[index], part
        names.append(inside[index].name)
    return ".".join(names) if path and len(path) % 2 == 0 else ""
