"""Every document through the converter: what loads, what is refused and why, what is wrong with the tools."""

from __future__ import annotations

import collections
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import jsonschema_rs
import msgspec

from portico_plugins.upstreams.rest.config import RestConfig
from portico_plugins.upstreams.rest.document import Document, Unfit, parse
from portico_plugins.upstreams.rest.tools import Tools, tools_of

NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ARGUMENT: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
MOST: Final = 64 * 1024
FAIR: Final = 0.99
"""The part of the documents that must load or be refused with a reason."""


@attrs.define
class Swept:
    """What became of the documents.

    Attributes:
        documents: How many there are.
        loaded: How many became tools.
        refused: How many were refused, by reason.
        crashed: Those that raised anything else, with it.
        tools: How many tools there are.
        schemas: How many schemas they have.
        left_out: How many operations became no tool, by reason.
        wrong: What is wrong with tools.
        seconds: CPU time of all that, compiling each schema included.
    """

    documents: int = 0
    loaded: int = 0
    refused: collections.Counter[str] = attrs.field(factory=collections.Counter)
    crashed: list[str] = attrs.field(factory=list)
    tools: int = 0
    schemas: int = 0
    left_out: collections.Counter[str] = attrs.field(factory=collections.Counter)
    wrong: list[str] = attrs.field(factory=list)
    seconds: float = 0.0

    @property
    def fine(self) -> bool:
        """Whether that is as it must be."""
        known = self.loaded + sum(self.refused.values())
        return bool(self.documents) and known / self.documents >= FAIR and not self.wrong


def swept(paths: Iterable[Path]) -> Swept:
    """Convert every document, with output schemas, and look at each tool."""
    out = Swept()
    began = time.process_time()
    for path in paths:
        out.documents += 1
        name = "/".join(path.parts[-3:])
        try:
            found = converted(path, output="compact")
        except Unfit as reason:
            out.refused[_kind(str(reason))] += 1
            continue
        except Exception as error:
            out.crashed.append(f"{name}: {error!r}"[:300])
            continue
        out.loaded += 1
        out.tools += len(found.tools)
        out.schemas += sum(_KINDS[0] in one.definition for one in found.tools.values())
        out.schemas += sum(_KINDS[1] in one.definition for one in found.tools.values())
        out.left_out.update(_kind(reason) for _, reason in found.skipped)
        out.wrong += [f"{name}: {problem}" for problem in problems(found)]
    out.seconds = time.process_time() - began
    return out


_KINDS: Final = ("inputSchema", "outputSchema")


def _kind(reason: str) -> str:
    return re.sub(r"[\d:].*", "", reason).strip()


def converted(path: Path, **changes: Any) -> Tools:
    """The tools of a document, all of them, at an address of ours where it has none."""
    at = "http://corpus.test/openapi.json"
    return tools_of(
        Document(parse(path.read_bytes())), RestConfig(openapi=at, max_tools=100_000, **changes), at
    )


def problems(tools: Tools) -> Iterator[str]:
    """What is wrong with tools."""
    if len({name.lower() for name in tools.tools}) != len(tools.tools):
        yield "a name is there twice"
    for name, tool in tools.tools.items():
        if not NAME.fullmatch(name):
            yield f"{name!r} is no name"
        schema = tool.definition["inputSchema"]
        for argument in schema["properties"]:
            if not ARGUMENT.fullmatch(argument):
                yield f"{name}: {argument!r} is no name"
        size = len(msgspec.json.encode(schema))
        if size > MOST:
            yield f"{name}: {size} bytes"
        for kind in _KINDS:
            if kind in tool.definition:
                try:
                    jsonschema_rs.Draft202012Validator(tool.definition[kind], offline=True)
                except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
                    yield f"{name}: {kind}: {str(error)[:200]}"
