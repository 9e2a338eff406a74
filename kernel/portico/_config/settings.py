"""The settings of a gateway: documents, environment and flags in, typed tables or every problem at once out.

What wins: a flag (`--set` and its short forms), then the environment (`PORTICO_...`), the file, the default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from portico._config import graph
from portico._config.components import Component, Key, Look
from portico._config.discovery import Plugins
from portico._config.mcp_json import from_mcp_json, is_mcp_json
from portico._config.memo import Memo
from portico._config.reach import confined, forbidden, may_be_private
from portico._config.sources import (
    Document,
    LookUp,
    Problems,
    expand,
    merge,
    overlay,
    overlay_environment,
    parse_override,
    read,
)
from portico._config.strict import structured
from portico._config.tables import SHARED, GatewaySettings, Selection, ServerSettings
from portico._config.wording import Place, Wrong, dotted, nearest
from portico._core.contracts.json import Json
from portico._core.errors import ConfigError
from portico._core.specs import KINDS

__all__ = [
    "Document",
    "GatewaySettings",
    "Selection",
    "ServerSettings",
    "Settings",
    "component",
    "from_mcp_json",
    "is_mcp_json",
    "load",
    "parse_override",
    "read",
]

T = TypeVar("T")

DEFAULTS: Final[dict[str, Json]] = {"listeners": {"http": {"use": "hypercorn"}}}
"""What a kind consists of when the configuration has nothing of it."""

STREAMABLE_HTTP: Final = "streamable_http"
"""The transport that is there beside all others, unless the configuration says something else of it."""

ANONYMOUS: Final = "anonymous"
"""The auth scheme of servers when none is configured; may be named without a table of its own."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
_NAMED: Final = ("upstreams", "auth", "policies")
_BAD_NAME: Final = "expected a name of at most 48 letters, digits, - and _ that begins with a letter or digit"


class Reach(Enum):
    """How far a component may reach, by who has written it."""

    OPERATOR = "operator"
    """It is in the configuration file: as far as it says."""
    MANAGED = "managed"
    """It is managed at run time: to where it says, if that can be connected to at all."""
    CONFINED = "confined"
    """Likewise, and to no private address."""


@attrs.frozen
class Managed:
    """What is managed at run time, as tables.

    Attributes:
        tables: Upstreams and servers.
        secrets: What `${...}` in them stands for.
    """

    tables: Json
    secrets: LookUp = attrs.field(repr=False)


@attrs.frozen
class Settings:
    """Everything a gateway is composed from. `servers` name their upstreams and auth schemes explicitly."""

    gateway: GatewaySettings
    servers: Mapping[str, ServerSettings]
    components: Mapping[Key, Component]
    source: str
    base: Path
    registry: str | None = None
    """The registry that is used."""
    implied: frozenset[str] = frozenset()
    """Servers that nobody has declared."""
    extend: Callable[[Managed], Settings] | None = attrs.field(default=None, eq=False, repr=False)
    """The same configuration with what is managed at run time beneath it: what the file declares, holds."""

    @property
    def state(self) -> Path:
        """The folder for what outlives the process."""
        return self.gateway.state or self.base / ".portico"


def component(
    kind: str, name: str, table: Any, plugins: Plugins, base: Path, reach: Reach = Reach.OPERATOR
) -> Component:
    """One component from its table, wherever that comes from (a file, a registry).

    Args:
        kind: Its config table.
        name: Its name there.
        table: What it says.
        plugins: What is installed.
        base: The folder relative paths are relative to.
        reach: How far it may reach.

    Raises:
        Wrong: With every problem there is.
    """
    if not _NAME.fullmatch(name):
        raise Wrong([((), _BAD_NAME)])
    if not isinstance(table, Mapping):
        raise Wrong([((), "expected a table")])
    use = table.get("use", name)
    if not isinstance(use, str):
        raise Wrong([(("use",), "expected a string")])
    use = str(use)
    try:
        factory, plugin = plugins.factory(kind, use)
    except LookupError as exc:
        raise Wrong([(("use",) if "use" in table else (), str(exc))]) from None
    shared = SHARED.get(kind)
    common = {field.name for field in attrs.fields(shared)} if shared is not None else set()
    own = {field.name for field in attrs.fields(factory.config) if field.init}
    known = own | common | {"use"}
    wrong: list[tuple[Place, str]] = [
        ((key,), f"unknown key{nearest(key, known, 'known keys')}") for key in table if key not in known
    ]
    if reach is Reach.CONFINED:
        table, found = confined(table, factory.config)
        wrong += found
    made: dict[type, Any] = {}
    for cls, keys in ((shared, common), (factory.config, own)):
        if cls is None:
            continue
        try:
            made[cls] = structured({key: value for key, value in table.items() if key in keys}, cls, base)
        except Wrong as exc:
            wrong += exc.problems
    if not wrong and reach is not Reach.OPERATOR:
        wrong += forbidden(made[factory.config])
    if wrong:
        raise Wrong(wrong)
    said = attrs.asdict(made[shared], recurse=False) if shared is not None else {}
    return Component(kind, name, use, made[factory.config], factory, plugin.name, **said)


def load(
    documents: Document | Sequence[Document],
    plugins: Plugins,
    environ: Mapping[str, str] | None = None,
    overrides: Iterable[tuple[Sequence[str], Any]] = (),
    managed: Managed | None = None,
    known: Memo[Key, Component] | None = None,
    look: Look | None = None,
) -> Settings:
    """Read the configuration of a gateway.

    Args:
        documents: One or more; of two that say something about the same key, the later one holds.
        plugins: What is installed.
        environ: For `${env:...}` and `PORTICO_...`.
        overrides: `(path, value)` of flags, as `parse_override` gives them.
        managed: What is managed at run time.
        known: Components as they were made last.
        look: Says what is wrong with a component whose table is right.

    Raises:
        ConfigError: With every problem there is.
    """
    documents = [documents] if isinstance(documents, Document) else list(documents) or [Document({})]
    environ = environ or {}
    made_before: Memo[Key, Component] = Memo() if known is None else known
    problems: Problems = []
    base = documents[0].base
    overrides = list(overrides)
    tables: Json = {}
    if managed is not None:
        tables = expand(managed.tables, {}, base, problems, secrets=managed.secrets)
    for document in documents:
        tables = merge(tables, expand(document.tables, environ, document.base, problems))
    sections = ("gateway", "servers", *KINDS)
    tables = overlay_environment(tables, environ, sections, problems)
    for path, value in overrides:
        tables = overlay(tables, path, value)
    for table in tables:
        if table not in sections:
            problems.append((dotted((table,)), f"unknown table{nearest(table, sections, 'tables')}"))
    gateway = _read(
        ("gateway",), problems, lambda: structured(tables.get("gateway", {}), GatewaySettings, base)
    )
    raw = {kind: _tables(tables, kind, problems) or dict(DEFAULTS.get(kind, {})) for kind in KINDS}
    if _lacks_streamable_http(raw["transports"], plugins):
        raw["transports"][STREAMABLE_HTTP] = {}
    servers: dict[str, ServerSettings] = {}
    named = _tables(tables, "servers", problems)
    run_time = managed.tables if managed is not None else {}
    declared = [name for name in named if name not in run_time.get("servers", {})]
    implied = frozenset({"default"} - set(named) if not declared else ())
    named |= {name: {} for name in implied}
    for name, table in named.items():
        server = _read(("servers", name), problems, partial(structured, table, ServerSettings, base))
        if server is None:  # the names it gives are still worth checking
            names = {key: table[key] for key in _NAMED if key in table} if isinstance(table, Mapping) else {}
            server = _read((), [], partial(structured, names, ServerSettings, base))
        if server is not None:
            servers[name] = _resolved(name, server, raw, problems)
    if any(ANONYMOUS in server.auth for server in servers.values()):
        raw["auth"].setdefault(ANONYMOUS, {})
    components: dict[Key, Component] = {}
    off: list[Key] = []
    reach = Reach.MANAGED if gateway is not None and may_be_private(gateway) else Reach.CONFINED
    for kind, instances in raw.items():
        for name, table in instances.items():
            own = Reach.OPERATOR if name not in run_time.get(kind, {}) else reach
            make = partial(component, kind, name, table, plugins, base, own)
            made = _read((kind, name), problems, partial(made_before.made, (kind, name), table, make))
            if made is not None and not made.enabled:
                off.append(made.key)
            elif made is not None:
                components[made.key] = made
                if look is not None:
                    problems += [(dotted((kind, name, *below)), text) for below, text in look(made, base)]
    for kind, name in off:
        del raw[kind][name]
    made_before.forget_all_but(components)
    problems += graph.dangling(components, raw) + graph.lacking(components)
    if not problems:
        problems += graph.cycle(components)
    if gateway is not None:
        problems += _registry_problem(gateway.registry, raw["registries"])
    source = ", ".join(document.source for document in documents)
    if problems or gateway is None:
        raise ConfigError(list(dict.fromkeys(problems)), source)
    registry = gateway.registry or next(iter(raw["registries"]), None)

    def extend(run_time: Managed) -> Settings:
        return load(documents, plugins, environ, overrides, run_time, made_before)

    return Settings(gateway, servers, components, source, base, registry, implied, extend)


def _read(place: Place, problems: Problems, make: Callable[[], T]) -> T | None:
    try:
        return make()
    except Wrong as exc:
        problems += [(dotted((*place, *below)), message) for below, message in exc.problems]
        return None


def _registry_problem(wanted: str | None, configured: Mapping[str, Any]) -> Problems:
    if wanted is None and len(configured) > 1:
        return [("gateway.registry", f"say which is used: {', '.join(configured)}")]
    if wanted is not None and wanted not in configured:
        hint = nearest(wanted, configured, "configured")
        return [("gateway.registry", f"no registry {wanted!r} is configured{hint}")]
    return []


def _tables(tables: Mapping[str, Any], kind: str, problems: Problems) -> dict[str, Any]:
    instances = tables.get(kind, {})
    if not isinstance(instances, Mapping):
        problems.append((kind, f"expected named tables, [{kind}.NAME]"))
        return {}
    for name in instances:
        if not _NAME.fullmatch(name):
            problems.append((dotted((kind, name)), _BAD_NAME))
    return dict(instances)


def _lacks_streamable_http(transports: Mapping[str, Any], plugins: Plugins) -> bool:
    """Whether the transport that is there by default has to be added.

    Not where a table says how, or that, it is to be; nor where its plugin has been left out for others.
    """
    uses = [table.get("use") for table in transports.values() if isinstance(table, Mapping)]
    if STREAMABLE_HTTP in transports or STREAMABLE_HTTP in uses:
        return False
    return not transports or STREAMABLE_HTTP in plugins.names("transports")


def _resolved(
    name: str, server: ServerSettings, raw: Mapping[str, Json], problems: Problems
) -> ServerSettings:
    """The server with its upstreams and auth schemes named; reports references to what is not configured."""
    place = ("servers", name)
    every = tuple(raw["upstreams"])
    chosen = [one for upstream in server.upstreams for one in (every if upstream == "*" else (upstream,))]
    auth = server.auth or tuple(raw["auth"]) or (ANONYMOUS,)
    if not server.auth and len(auth) > 1:
        message = (
            f"several auth schemes are configured ({', '.join(auth)}); say which of them this server takes"
        )
        problems.append((dotted((*place, "auth")), message))
    named = {"upstreams": server.upstreams, "auth": auth, "policies": server.policies}
    implied = {"upstreams": ("*",), "auth": (ANONYMOUS,), "policies": ()}
    for kind, names in named.items():
        for index, wanted in enumerate(names):
            if wanted not in raw[kind] and wanted not in implied[kind]:
                hint = nearest(wanted, raw[kind], "configured")
                problems.append(
                    (dotted((*place, kind, index)), f"no {KINDS[kind].noun} {wanted!r} is configured{hint}")
                )
    return attrs.evolve(server, upstreams=tuple(dict.fromkeys(chosen)), auth=auth)
