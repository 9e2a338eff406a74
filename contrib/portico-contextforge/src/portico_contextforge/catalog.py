"""What there is, as ContextForge sees it: gateways, their tools, resources and prompts, virtual servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Final, Literal

import attrs

from portico.api import About, Endpoint, Json, Managed, Management, Offer
from portico_contextforge.errors import missing
from portico_contextforge.naming import LOCAL, federated, ident, plain_id, record_name, slug
from portico_contextforge.rest_tools import is_rest, tool_in

Kind = Literal["tools", "resources", "prompts"]
NOUNS: Final = {
    "tools": "Tool",
    "resources": "Resource",
    "prompts": "Prompt",
    "servers": "Server",
    "gateways": "Gateway",
}


@attrs.frozen(eq=False)
class Thing:
    """A tool, resource or prompt.

    Attributes:
        kind: Which of them.
        upstream: Whose it is.
        own: Its name there, or its URI.
        definition: As the upstream sent it; of a record, made of that.
        names: See `ContextForgeConfig.names`.
        managed: Its override, or the record it is itself.
        rest: Of a REST tool, the upstream that it is.
    """

    kind: Kind
    upstream: str
    own: str
    definition: Json
    names: str
    managed: Managed | None = None
    rest: Managed | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return ident(self.kind, self.upstream, self.own)

    @property
    def local(self) -> bool:
        """Whether it is a record of its own, and no upstream's."""
        return self.managed is not None and self.managed.kind != "overrides"

    @property
    def override(self) -> Json:
        """How it is shown differently."""
        return self.managed.config if self.managed is not None and not self.local else {}

    @property
    def about(self) -> About:
        """What people say of it."""
        record = self.rest or self.managed
        return record.about if record is not None else About()

    @property
    def tags(self) -> Sequence[str]:
        """Its tags."""
        own = self.about.tags if self.local or self.rest is not None else ()
        return own if "tags" not in self.override else tuple(self.override["tags"])

    @property
    def enabled(self) -> bool:
        """Whether it is shown."""
        own = self.about.enabled if self.local or self.rest is not None else True
        return own and self.override.get("enabled", True) is not False

    @property
    def title(self) -> str:
        """What people know it by."""
        said = self.override.get("title") or self.definition.get("title")
        return str(said or self.definition.get("name") or self.own)

    @property
    def description(self) -> str | None:
        """What it is."""
        return self.override.get("description") or self.definition.get("description")

    @property
    def name(self) -> str:
        """What it is called here."""
        if self.kind == "resources":
            return str(self.definition.get("name") or self.own)
        shown = str(self.override.get("name") or self.own)
        return federated(self.upstream, shown) if self.names == "slug" else shown

    @property
    def aliases(self) -> set[str]:
        """Everything it may be called."""
        own = {self.own, federated(self.upstream, self.own), f"{self.upstream}/{self.own}"}
        return {self.name, str(self.override.get("name") or self.own)} | own


class Catalog:
    """What there is now. Made for one request; nothing in it changes.

    Args:
        management: Where it comes from.
        endpoints: The virtual servers that are up.
        names: See `ContextForgeConfig.names`.
    """

    def __init__(self, management: Management, endpoints: Mapping[str, Endpoint], names: str) -> None:
        self._management = management
        self._endpoints = endpoints
        self._names = names

    @cached_property
    def gateways(self) -> Sequence[Managed]:
        """Upstreams, but for the one that has the gateway's own things, and REST tools."""
        others = (each for each in self._management.all("upstreams") if each.name != LOCAL)
        return [each for each in others if each.name not in self.rest_tools]

    @cached_property
    def rest_tools(self) -> Mapping[str, Managed]:
        """REST tools by the names of their upstreams."""
        return {each.name: each for each in self._management.all("upstreams") if is_rest(each)}

    @cached_property
    def gateway_by_name(self) -> Mapping[str, Managed]:
        """The same by name."""
        return {each.name: each for each in self.gateways}

    @cached_property
    def servers(self) -> Sequence[Managed]:
        """Virtual servers."""
        return self._management.all("servers")

    @cached_property
    def offers(self) -> Mapping[str, Offer]:
        """What each upstream offers."""
        return self._management.offers()

    @cached_property
    def _overrides(self) -> Mapping[str, Managed]:
        return {each.name: each for each in self._management.all("overrides")}

    def things(self, kind: Kind) -> Sequence[Thing]:
        """All of a kind, by upstream, in the upstream's order; disabled ones among them."""
        return self._things[kind]

    @cached_property
    def _things(self) -> Mapping[Kind, Sequence[Thing]]:
        kinds: tuple[Kind, ...] = ("tools", "resources", "prompts")
        return {kind: list(self._of(kind)) for kind in kinds}

    def _of(self, kind: Kind) -> Iterator[Thing]:
        records = {} if kind == "tools" else {each.name: each for each in self._management.all(kind)}
        for record in records.values():
            own = str(record.config.get("uri")) if kind == "resources" else record.name
            yield Thing(kind, LOCAL, own, _definition(kind, record), self._names, record)
        for upstream, offer in sorted(self.offers.items()):
            for definition, key in _definitions(kind, offer):
                name = str(definition.get("name"))
                if upstream == LOCAL and name in records:
                    continue
                own = str(definition.get(key))
                override = self._overrides.get(f"{upstream}/{kind}/{own}")
                rest = self.rest_tools.get(upstream)
                yield Thing(kind, upstream, own, definition, self._names, override, rest)
        for name, rest in self.rest_tools.items() if kind == "tools" else ():
            if name not in self.offers or not self.offers[name].tools:  # not in use
                own, tool = tool_in(rest)
                definition = {"name": own, "description": tool.get("description")}
                override = self._overrides.get(f"{name}/{kind}/{own}")
                yield Thing(kind, name, own, definition, self._names, override, rest)

    def find(self, kind: Kind, text: str) -> Thing:
        """One of them, by id, or by anything it may be called; ids come first.

        Raises:
            Trouble: 404.
        """
        wanted = plain_id(text)
        found = next((thing for thing in self.things(kind) if thing.id == wanted), None)
        found = found or self._index(kind).get(text)
        if found is None:
            raise missing(NOUNS[kind], text)
        return found

    def _index(self, kind: Kind) -> Mapping[str, Thing]:
        if kind not in self._indices:
            index: dict[str, Thing] = {}
            for thing in self.things(kind):
                for alias in thing.aliases:
                    index.setdefault(alias, thing)
            self._indices[kind] = index
        return self._indices[kind]

    @cached_property
    def _indices(self) -> dict[Kind, Mapping[str, Thing]]:
        return {}

    def gateway(self, text: str) -> Managed:
        """A gateway by id, name or slug.

        Raises:
            Trouble: 404.
        """
        return _one(self.gateways, "gateways", text)

    def server(self, text: str) -> Managed:
        """A virtual server by id, name or title.

        Raises:
            Trouble: 404.
        """
        return _one(self.servers, "servers", text)

    def shown_by(self, server: Managed, kind: Kind) -> list[Thing]:
        """What a virtual server shows of a kind; if it is not up, what its selection says."""
        endpoint = self._endpoints.get(server.name)
        if endpoint is not None:
            view = endpoint.view
            targets = [*getattr(view, kind).values()]
            if kind == "resources":
                targets += view.template_names.values()
            seen = {(target.upstream, target.name) for target in targets}
            return [thing for thing in self.things(kind) if (thing.upstream, thing.own) in seen]
        config = server.config
        upstreams = config.get("upstreams", ["*"])
        selection = config.get(kind) or {}
        include, exclude = selection.get("include", ["*"]), selection.get("exclude", ())
        return [
            thing
            for thing in self.things(kind)
            if (thing.upstream in upstreams or "*" in upstreams)
            and thing.enabled
            and _matches(thing, include)
            and not _matches(thing, exclude)
        ]


def title_of(server: Managed) -> str:
    """What a virtual server is called by people."""
    return str(server.config.get("title") or server.name)


def _matches(thing: Thing, patterns: Iterable[str]) -> bool:
    full = f"{thing.upstream}/{thing.own}"
    return any(fnmatchcase(thing.own, each) or fnmatchcase(full, each) for each in patterns)


def _one(all_: Sequence[Managed], kind: str, text: str) -> Managed:
    wanted, fitted = plain_id(text), record_name(text)
    tests: tuple[Callable[[Managed], bool], ...] = (
        lambda each: ident(kind, each.name) == wanted,
        lambda each: each.name in (text, wanted),
        lambda each: kind == "servers" and title_of(each) == text,
        lambda each: each.name == fitted or slug(each.name) == text,
    )
    for test in tests:
        for each in all_:
            if test(each):
                return each
    raise missing(NOUNS[kind], text)


def _definitions(kind: Kind, offer: Offer) -> Iterator[tuple[Json, str]]:
    if kind == "resources":
        yield from ((each, "uri") for each in offer.resources)
        yield from ((each, "uriTemplate") for each in offer.templates)
    else:
        yield from ((each, "name") for each in getattr(offer, kind))


def _definition(kind: Kind, record: Managed) -> Json:
    """What the definition of a local record looks like."""
    config: Mapping[str, Any] = record.config
    words = {key: config[key] for key in ("title", "description") if config.get(key)}
    if kind == "prompts":
        return {"name": record.name, **words, "arguments": list(config.get("arguments", ()))}
    mime = {"mimeType": config["mime_type"]} if config.get("mime_type") else {}
    return {"uri": str(config.get("uri")), "name": record.name, **words, **mime}
