"""Operations as tools: which, under what names, with which arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from portico.api import Json, Secret
from portico_plugins.upstreams.checks import header_problem

from . import naming
from .config import OperationSettings, RestConfig, Shape
from .document import Document, Unfit, mapping, text_of
from .inputs import Arguments, input_schema
from .mistakes import mistakes_in
from .operations import (
    Operation,
    answer_schema,
    item_schemas,
    operations,
    promised_schema,
    requirements,
)
from .parameters import parameters, path_names
from .payloads import EVENTS, Body
from .request_bodies import body, flattened
from .schemas import Schemas
from .selection import selected, shape_of
from .servers import base_of, sound_base
from .streams import result_schema

_LONGEST: Final = 2000
_COMPACT: Final = 8 * 1024


@attrs.frozen(eq=False)
class Tool:
    """A tool and the request it stands for.

    Attributes:
        definition: What clients see.
        method: The HTTP method.
        base: The URL the path is added to.
        path: The path template.
        arguments: What can be given, and where it goes.
        fixed: Arguments that are always these.
        defaults: Arguments that are these unless given.
        headers: Headers of its own.
        timeout: Seconds, or None.
        security: The security schemes it needs with the scopes of each, any of the lists.
        path_names: The names in its path.
        answers_json: Whether the document says that JSON comes back.
        shape: What to make of its answers; None for nothing.
        accept: The media types to ask for; "" for the usual.
    """

    definition: Json
    method: str
    base: str
    path: str
    arguments: Arguments
    fixed: Json
    defaults: Json
    headers: Mapping[str, Secret]
    timeout: float | None
    security: tuple[Mapping[str, tuple[str, ...]], ...]
    path_names: tuple[str, ...]
    answers_json: bool
    shape: Shape | None
    accept: str

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.definition["name"])

    @property
    def body(self) -> Body | None:
        """How the body is written; None for none."""
        return self.arguments.body


@attrs.frozen(eq=False)
class Tools:
    """What became of a document.

    Attributes:
        tools: Tools by name.
        schemes: The security schemes of the document, by name.
        skipped: What became no tool, and why: `(operation, reason)`; mistakes of the configuration first.
        lack: Why there is none, although the document has operations, or which name in the configuration it
            has nothing for; "" otherwise.
        idle: Patterns that fit nothing: `(where, pattern, the nearest name)`.
    """

    tools: Mapping[str, Tool]
    schemes: Mapping[str, Json]
    skipped: tuple[tuple[str, str], ...]
    lack: str = ""
    idle: tuple[tuple[str, str, str], ...] = ()


class Lot:
    """The operations of a document that are selected; each becomes a tool when it is asked for.

    Args:
        document: The document.
        config: What is wanted of it.
        at: Its own URL, "" if it has none.

    Attributes:
        operations: By the names that their tools have, in the order of the document.
        schemes: The security schemes of the document, by name.
        document: The document.
        config: What is wanted of it.
    """

    def __init__(self, document: Document, config: RestConfig, at: str = "") -> None:
        chosen = [
            one
            for one in operations(document)
            if selected(one, config) and one.method not in ("TRACE", "CONNECT")
        ]
        keys = [one.key for one in chosen]
        settings = [_settings(one, config) for one in chosen]
        wanted = [
            naming.cleaned(own.name) or naming.cleaned(one.id) or naming.from_path(one.method, one.path)
            for one, own in zip(chosen, settings, strict=True)
        ]
        names = naming.unique(wanted, keys)
        self._settings = dict(zip(names, settings, strict=True))
        self.config = config
        self.document = document
        self._maker = _Maker(document, config, at)
        self.operations = dict(zip(names, chosen, strict=True))
        self.schemes: Mapping[str, Json] = self._maker.schemes

    def tool(self, name: str) -> Tool:
        """One of the tools.

        Raises:
            Unfit: The operation cannot be one.
        """
        return self._maker.tool(self.operations[name], name, self._settings[name])

    def annotations(self, name: str) -> Json:
        """What a tool says of what it does."""
        return self._settings[name].annotations(self.operations[name].method)

    def lack(self, skipped: Sequence[tuple[str, str]], *, made: bool) -> str:
        """Why nothing came of the document, or not what the configuration says; "" if there is nothing in it.

        Args:
            skipped: What became no tool, and why; mistakes of the configuration first.
            made: Whether something came of it.
        """
        if made:
            wrong = mistakes_in(self)
            return ": ".join((".".join(wrong[0][0]), wrong[0][1])) if wrong else ""
        if self.operations:
            return f"none of its operations ({len(self.operations)}) can be a tool: {skipped[0][1]}"
        found = sum(1 for _ in operations(self.document))
        return f"`include` and `exclude` leave none of its operations ({found})" if found else ""


def tools_of(document: Document, config: RestConfig, at: str = "") -> Tools:
    """The tools of a document.

    Args:
        document: The document.
        config: What is wanted of it.
        at: Its own URL, "" if it has none.

    Raises:
        Unfit: There are too many, or the configuration does not fit the document.
    """
    lot = Lot(document, config, at)
    if len(lot.operations) > config.max_tools:
        raise Unfit(
            f"{len(lot.operations)} operations are more than `max_tools` ({config.max_tools}): "
            '`include` fewer, or set `mode = "search"`'
        )
    tools: dict[str, Tool] = {}
    skipped: list[tuple[str, str]] = []
    for name, one in lot.operations.items():
        try:
            tools[name] = lot.tool(name)
        except Unfit as reason:
            skipped.append((one.key, str(reason)))
    lack = lot.lack(skipped, made=bool(tools))
    wrong = ((".".join(place), reason) for place, reason in mistakes_in(lot))
    return Tools(dict(sorted(tools.items())), lot.schemes, (*wrong, *skipped), lack)


def _settings(operation: Operation, config: RestConfig) -> OperationSettings:
    found = config.operations.get(operation.id) if operation.id else None
    return found or config.operations.get(operation.key) or OperationSettings()


class _Maker:
    """Makes the tools of one document."""

    def __init__(self, document: Document, config: RestConfig, at: str) -> None:
        self._document = document
        self._config = config
        self._at = at
        self._schemas = Schemas(document)
        root = document.root
        said = root.get("securityDefinitions") or mapping(root.get("components")).get("securitySchemes")
        self.schemes: dict[str, Json] = {}
        for name, node in mapping(said).items():
            try:
                self.schemes[name] = document.resolved(node)
            except Unfit:
                continue
        self._keys = {
            (text_of(node.get("in")), text_of(node.get("name")).lower())
            for node in self.schemes.values()
            if node.get("type") == "apiKey"
        }
        for where, names in (("header", config.headers), ("query", config.query), ("cookie", config.cookies)):
            self._keys |= {(where, name.lower()) for name in names}

    def tool(self, operation: Operation, name: str, own: OperationSettings) -> Tool:
        """One tool.

        Raises:
            Unfit: The operation cannot be one.
        """
        config, document = self._config, self._document
        if config.base_url:
            base = sound_base(config.base_url)
        else:
            base = base_of(document, operation, self._at, config.server_variables)
        found = [
            one
            for one in parameters(document, operation)
            if one.location == "path" or (one.location, one.name.lower()) not in self._keys
        ]
        payload = body(document, operation)
        if operation.method in ("GET", "HEAD") and payload is not None:
            if payload.required:
                raise Unfit(f"a {operation.method} with a body is not sent")
            payload = None
        flat = (own.body or config.body) == "flat"
        arguments = Arguments.named(
            found, payload, flattened(document, payload) if flat and payload else None
        )
        return Tool(
            self._definition(operation, name, own, arguments, "" if config.base_url else base),
            operation.method,
            base,
            operation.path,
            arguments,
            own.fixed,
            own.defaults,
            own.headers,
            own.timeout if own.timeout is not None else config.call_timeout,
            tuple(requirements(document, operation)),
            tuple(path_names(operation.path)),
            answer_schema(document, operation) is not None,
            shape_of(operation, own, config),
            _accepted(document, operation),
        )

    def _definition(
        self,
        operation: Operation,
        name: str,
        own: OperationSettings,
        arguments: Arguments,
        base: str,
    ) -> Json:
        said = [
            operation.summary,
            operation.description if operation.description != operation.summary else "",
        ]
        description = own.description or "\n\n".join(text for text in said if text) or operation.key
        if operation.node.get("deprecated") is True:
            description = f"Deprecated. {description}"
        if len(description) > _LONGEST:
            description = description[: _LONGEST - 1].rstrip() + "…"
        definition: Json = {"name": name}
        if operation.summary and len(operation.summary) <= 100:
            definition["title"] = operation.summary
        definition["description"] = description
        definition["inputSchema"] = input_schema(
            self._document, self._schemas, arguments, own, self._config.max_schema_bytes
        )
        if self._config.output != "off" and shape_of(operation, own, self._config) is None:
            schema = self._output(operation)
            if schema is not None:
                definition["outputSchema"] = schema
        definition["annotations"] = own.annotations(operation.method)
        # Where it goes is in nothing above: a change of that must be one of the definition, for pins.
        definition["_meta"] = {"portico/operation": operation.digest(base)}
        return definition

    def _output(self, operation: Operation) -> Json | None:
        """What comes back; None where it is not said, or is no object: not all clients take others."""
        streams = item_schemas(self._document, operation)
        if streams:
            return self._streamed(operation, streams)
        node = promised_schema(self._document, operation)
        if node is None or mapping(self._document.resolved(node)).get("type") != "object":
            return None
        part = self._schemas.part(self._document.resolved(node), "out")
        most = _COMPACT if self._config.output == "compact" else self._config.max_schema_bytes
        whole = self._schemas.whole(part.schema, part.refs, "out", most)
        return whole if whole.get("type") == "object" else None

    def _streamed(self, operation: Operation, streams: Mapping[str, Any]) -> Json | None:
        if len(streams) > 1 or answer_schema(self._document, operation) is not None:
            return None  # it may be this or that
        ((media_type, node),) = streams.items()
        part = self._schemas.part({"type": "object"} if media_type.startswith(EVENTS) else node, "out")
        most = _COMPACT if self._config.output == "compact" else self._config.max_schema_bytes
        return self._schemas.whole(result_schema(part.schema), part.refs, "out", most)


def _accepted(document: Document, operation: Operation) -> str:
    """What to ask for, where the answer can be nothing but a stream; "" otherwise."""
    streams = item_schemas(document, operation)
    if not streams or answer_schema(document, operation) is not None:
        return ""
    sound = [name for name in streams if header_problem("X", name) is None]
    return ", ".join([*sound, "application/json;q=0.8", "*/*;q=0.5"])
