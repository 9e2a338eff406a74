"""A virtual server's view of the catalog: what its clients see, and where what they ask for leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from portico._core.catalog.held import Held
from portico._core.catalog.naming import Claim, Prefix, Selection
from portico._core.catalog.overrides import Override
from portico._core.catalog.uris import Template, disambiguate, scheme_of
from portico._core.contracts.exchange import Target
from portico._core.contracts.json import Json
from portico._core.errors import INVALID_PARAMS, METHOD_NOT_FOUND, Refused
from portico._core.protocol.param_headers import HeaderMap

Targets = Mapping[str, Target]

_CAPABILITY_OF: Final = {
    "tools/list": "tools",
    "tools/call": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resources",
    "resources/read": "resources",
    "resources/subscribe": "resources",
    "resources/unsubscribe": "resources",
    "prompts/list": "prompts",
    "prompts/get": "prompts",
    "completion/complete": "completions",
    "logging/setLevel": "logging",
}


@attrs.frozen
class ServerSpec:
    """What the configuration says of a virtual server's view.

    `growing` ones may get other upstreams at run time. Clients hear once what a server can do, when they
    begin; so it says from the start that it can do whatever upstreams bring. One `as_upstream` stands for its
    only upstream: it calls itself what that does, and says the same while nothing is known of that.
    """

    name: str
    upstreams: tuple[str, ...]
    prefix: Prefix = "conflict"
    separator: str = "__"
    tools: Selection = attrs.field(factory=Selection)
    resources: Selection = attrs.field(factory=Selection)
    prompts: Selection = attrs.field(factory=Selection)
    describe: Mapping[str, str] = attrs.field(factory=dict)
    growing: bool = False
    as_upstream: bool = False


@attrs.frozen
class View:
    """One virtual server's catalog. Built by `build_view`, never changed.

    Attributes:
        items: List method -> the definitions as advertised, encoded, with the key cursors hold on to.
        tools: Advertised name -> target.
        prompts: Likewise.
        resources: Advertised URI -> target.
        templates: Each template with its target, in order.
        template_names: Advertised template -> target (completion refers to templates by their text).
        selection: Which resources are shown.
        schemes: URI scheme -> the one upstream that uses it; "" where several do.
        closed: `(upstream, URI or template)` of the resources that an override disables.
        closed_templates: The templates among them.
        headers: Advertised tool -> its `x-mcp-header` map, where it has one.
        fills: Method -> advertised name -> the override that adds to the arguments of its calls.
        renamed_uris: Upstream -> its URI -> the advertised one, where they differ.
        capabilities: The union the gateway can honour.
        instructions: The upstreams' instructions, each under its name.
        ttl_ms: The least of the upstreams'.
        public: Whether every upstream said its lists are the same for everybody.
        conflicts: `(kind, name, kept, left out)`, upstream names.
        upstreams: All it may show things of.
        tasks: Advertised names of the tools whose calls may become tasks.
        narrowed: Those that clients are not to have all tools of, or not all arguments of a tool.
        held: What it would show, had an upstream not changed it; None for nothing.
        info: The `serverInfo` of the upstream that it stands for; None for its own.
        stands_for: That upstream, as long as nothing has been heard of it; "" otherwise.
    """

    items: Mapping[str, Sequence[tuple[str, bytes]]]
    tools: Targets
    prompts: Targets
    resources: Targets
    templates: Sequence[tuple[Template, Target]]
    template_names: Targets
    selection: Selection
    schemes: Mapping[str, str]
    closed: frozenset[tuple[str, str]]
    closed_templates: Sequence[tuple[str, Template]]
    headers: Mapping[str, HeaderMap]
    fills: Mapping[str, Mapping[str, Override]]
    renamed_uris: Mapping[str, Mapping[str, str]]
    capabilities: Json
    instructions: str
    ttl_ms: int
    public: bool
    conflicts: Sequence[tuple[str, str, str, str]]
    upstreams: tuple[str, ...]
    tasks: frozenset[str] = frozenset()
    narrowed: frozenset[str] = frozenset()
    held: Held | None = None
    info: Json | None = None
    stands_for: str = ""

    def lacks(self, method: str) -> bool:
        """Whether a method belongs to a capability this server does not advertise."""
        capability = _CAPABILITY_OF.get(method)
        return capability is not None and capability not in self.capabilities

    def route(self, method: str, params: Json, request_id: str | None = None) -> Target:
        """Where a request goes.

        Raises:
            Refused: -32602 for an unknown tool, prompt, URI or reference; -32601 for a method nobody serves;
                40900 for what is held back.
        """
        if self.lacks(method):
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        if method == "tools/call":
            name = params.get("name")
            target = self.tools.get(name) if isinstance(name, str) else None
            if target is None:
                raise self._unknown("tools", name, request_id)
            return target
        if method == "prompts/get":
            return self._prompt(params.get("name"), request_id)
        if method == "resources/read":
            return self.route_uri(params.get("uri"), request_id)
        if method == "completion/complete":
            ref = params.get("ref")
            kind = ref.get("type") if isinstance(ref, dict) else None
            if isinstance(ref, dict) and kind == "ref/prompt":
                return self._prompt(ref.get("name"), request_id)
            if isinstance(ref, dict) and kind == "ref/resource":
                uri = ref.get("uri")
                known = self.template_names.get(uri) if isinstance(uri, str) else None
                if known is None and self.held and isinstance(uri, str):
                    self.held.check_name("templates", uri, request_id)
                return known or self.route_uri(uri, request_id)
            raise Refused(INVALID_PARAMS, "Invalid params: ref must be a ref/prompt or a ref/resource")
        raise Refused(METHOD_NOT_FOUND, "Method not found")

    def _prompt(self, name: Any, request_id: str | None) -> Target:
        target = self.prompts.get(name) if isinstance(name, str) else None
        if target is None:
            raise self._unknown("prompts", name, request_id)
        return target

    def _unknown(self, kind: str, name: Any, request_id: str | None) -> Refused:
        if self.held and isinstance(name, str):
            self.held.check_name(kind, name, request_id)
        shown = f" {name!r}" if isinstance(name, str) and len(name) <= 128 else ""
        return Refused(INVALID_PARAMS, f"Unknown {kind[:-1]}{shown}")

    def route_uri(self, uri: Any, request_id: str | None = None) -> Target:
        """Where a URI is read: listed, else by template, else the one upstream that can have it.

        Resources need not be listed to be read (links in results, `ui://` pages), so a scheme that only one
        upstream uses is enough.

        Raises:
            Refused: -32602 with `data.uri`; 40900 for what is held back.
        """
        if not isinstance(uri, str) or not uri:
            raise Refused(INVALID_PARAMS, "Invalid params: uri must be a string")
        target = self.resources.get(uri)
        if target is not None:
            return target
        if self.held:
            self.held.check_uri(uri, request_id)
        target = self._unlisted(uri)
        if target is None:
            raise Refused(INVALID_PARAMS, "Resource not found", {"uri": uri})
        if self.held:
            self.held.check_own_uri(target.upstream, target.name, request_id)
        return target

    def _unlisted(self, uri: str) -> Target | None:
        for template, owner in self.templates:
            if template.matches(uri):
                mark = f"{owner.upstream}~" if owner.name in self.renamed_uris.get(owner.upstream, {}) else ""
                own = uri.replace(mark, "", 1)
                if not self.selection.hides(Claim(owner.upstream, own)) and self._open(owner.upstream, own):
                    return Target(owner.upstream, own, owner.definition)
        owner_name = self.schemes.get(scheme_of(uri)) or (self.schemes.get("*") or "")
        if owner_name and self.selection.shows(Claim(owner_name, uri)) and self._open(owner_name, uri):
            return Target(owner_name, uri)
        return None

    def _open(self, upstream: str, uri: str) -> bool:
        """Whether no override disables the resource; one that is listed and enabled is not asked about."""
        return (upstream, uri) not in self.closed and not any(
            owner == upstream and template.matches(uri) for owner, template in self.closed_templates
        )

    def advertised_uri(self, upstream: str, uri: str) -> str:
        """What clients of this server know an upstream's URI as."""
        renamed = self.renamed_uris.get(upstream, {})
        if uri in renamed or not renamed:
            return renamed.get(uri, uri)
        other = disambiguate(uri, upstream)
        expanded = any(
            owner.upstream == upstream and owner.name in renamed and template.matches(other)
            for template, owner in self.templates
        )
        return other if expanded else uri
