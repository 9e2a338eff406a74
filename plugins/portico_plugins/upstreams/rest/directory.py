"""Three tools in place of thousands: one finds operations, one describes them, one calls them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict
from typing import Any, Final

import jsonschema_rs
import msgspec

from portico.api import INVALID_PARAMS, Exchange, Json, Log, Refused, Result
from portico_plugins.failures import error_text

from .calls import Calls, faults, unfit
from .document import Document, Unfit, mapping, text_of
from .search import Index
from .tools import Lot, Tool

SEARCH: Final = "search_operations"
DESCRIBE: Final = "describe_operation"
CALL: Final = "call_operation"
_NAME: Final[Json] = {"type": "string", "maxLength": 64, "description": f"As `{SEARCH}` gives it."}
_MOST_KEPT: Final = 256
_MOST_TAGS: Final = 100
_LONGEST: Final = 200
_encode = msgspec.json.Encoder().encode


class Directory:
    """The operations of a document behind three tools.

    Args:
        document: The document.
        lot: The operations.
        calls: Makes the calls.
        log: Gets a line for each call, with the operation.

    Attributes:
        definitions: Of the tools.
        names: Of the tools.
    """

    def __init__(self, document: Document, lot: Lot, calls: Calls, log: Log) -> None:
        self._lot = lot
        self._calls = calls
        self._log = log
        self._index = Index(lot.operations)
        self._tools: OrderedDict[str, Tool] = OrderedDict()
        self._lock = asyncio.Lock()
        self.definitions = _definitions(document, lot)
        self.names = frozenset(str(one["name"]) for one in self.definitions)
        self._checks = {
            str(one["name"]): jsonschema_rs.Draft202012Validator(one["inputSchema"], offline=True)
            for one in self.definitions
        }

    async def send(self, exchange: Exchange, name: str) -> Result:
        """Carry out a call of one of the tools.

        Raises:
            Refused: -32602, or what the call of an operation raises.
        """
        arguments = exchange.params.get("arguments")
        arguments = {} if arguments is None else arguments
        if not isinstance(arguments, dict):
            raise Refused(INVALID_PARAMS, "Invalid params: arguments must be an object")
        wrong = faults(self._checks[name], arguments)
        if wrong:
            return unfit(wrong)
        if name == SEARCH:
            return _answer(self._found(arguments))
        wanted = str(arguments["name"])
        if wanted not in self._lot.operations:
            near = ", ".join(self._index.ranked(wanted)[:3])
            return error_text(f"There is no operation {wanted!r}." + (f" There are: {near}" if near else ""))
        try:
            tool = await self._tool(wanted)
        except Unfit as reason:
            return error_text(f"The operation {wanted!r} cannot be called: {reason}")
        if name == DESCRIBE:
            one = self._lot.operations[wanted]
            return _answer({**tool.definition, "method": one.method, "path": one.path})
        self._log.info("operation_called", operation=wanted, request=exchange.id)
        return await self._calls.send(exchange, tool, arguments.get("arguments", {}))

    def _found(self, arguments: Json) -> Json:
        tag, method = arguments.get("tag"), str(arguments.get("method", "")).upper()
        every = self._lot.operations
        names = [
            name
            for name in self._index.ranked(str(arguments.get("query", "")))
            if (tag is None or tag in every[name].tags) and (not method or every[name].method == method)
        ]
        out: Json = {
            "operations": [self._line(name) for name in names[: int(arguments.get("limit", 10))]],
            "total": len(names),
        }
        if not arguments.get("query") and tag is None:
            tags = Counter(tag for name in names for tag in every[name].tags)
            out["tags"] = dict(tags.most_common(_MOST_TAGS))
        return out

    def _line(self, name: str) -> Json:
        one = self._lot.operations[name]
        said = one.summary or one.description.partition("\n")[0]
        line: Json = {"name": name, "method": one.method, "path": one.path}
        if said:
            line["summary"] = said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"
        return line

    async def _tool(self, name: str) -> Tool:
        """The tool of an operation, made when it is first asked for.

        Raises:
            Unfit: It cannot be one.
        """
        async with self._lock:
            tool = self._tools.get(name)
            if tool is None:
                tool = self._tools[name] = await asyncio.to_thread(self._lot.tool, name)
                if len(self._tools) > _MOST_KEPT:
                    self._tools.popitem(last=False)
            else:
                self._tools.move_to_end(name)
            return tool


def _definitions(document: Document, lot: Lot) -> list[Json]:
    title = text_of(mapping(document.root.get("info")).get("title")).strip()[:100]
    api = f"the API {title!r}" if title else "an API"
    kinds = [lot.annotations(name) for name in lot.operations]
    read_only = all(one["readOnlyHint"] for one in kinds)
    acts: Json = {"readOnlyHint": read_only}
    if not read_only:
        acts["destructiveHint"] = any(one.get("destructiveHint") for one in kinds)
        acts["idempotentHint"] = all(one["readOnlyHint"] or one.get("idempotentHint") for one in kinds)
    looks = {"readOnlyHint": True, "openWorldHint": False}
    # What an operation is, is not in these definitions: a change of it must be a change of theirs, for pins.
    meta = {"portico/document": _digest(document.root)}
    return [
        {
            "name": SEARCH,
            "description": f"Finds operations of {api}, which has {len(lot.operations)}, by words of what "
            f"they are about. `{DESCRIBE}` then tells what one takes, `{CALL}` calls it.",
            "inputSchema": _object(
                {
                    "query": {
                        "type": "string",
                        "maxLength": 500,
                        "description": "Words, such as `list pets`.",
                    },
                    "tag": {"type": "string", "description": "Only operations with this tag."},
                    "method": {"type": "string", "description": "Only operations of this HTTP method."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 50, "default": 10},
                }
            ),
            "annotations": looks,
        },
        {
            "name": DESCRIBE,
            "description": f"Tells what an operation of {api} does, and the schema of its arguments.",
            "inputSchema": _object({"name": _NAME}, "name"),
            "annotations": looks,
            "_meta": meta,
        },
        {
            "name": CALL,
            "description": f"Calls an operation of {api}.",
            "inputSchema": _object(
                {
                    "name": _NAME,
                    "arguments": {"type": "object", "description": f"As `{DESCRIBE}` tells."},
                },
                "name",
            ),
            "annotations": {**acts, "openWorldHint": True},
            "_meta": meta,
        },
    ]


def _digest(root: Json) -> str:
    try:
        text = _encode(root)
    except (TypeError, ValueError):
        text = repr(root).encode("utf-8", "backslashreplace")  # a key that JSON has not
    return hashlib.sha256(text).hexdigest()[:32]


def _object(properties: Json, *required: str) -> Json:
    out: Json = {"type": "object", "properties": properties}
    if required:
        out["required"] = list(required)
    return {**out, "additionalProperties": False}


def _answer(value: Any) -> Result:
    text = _encode(value).decode()
    return Result(value={"content": [{"type": "text", "text": text}], "structuredContent": value})
