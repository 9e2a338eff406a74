"""Installed plugins: found through entry points, loaded one by one, none able to take the rest down."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs
import pluggy

from portico._config.wording import nearest
from portico._core import specs
from portico._core.contracts.config import ConfigLoader
from portico._core.contracts.factory import Factory
from portico._core.contracts.ui import Command, Page
from portico._core.errors import ConfigError
from portico._core.specs import API_VERSION, KINDS, PROJECT

GROUP: Final = "portico.plugins"

_HOOKS: Final = {kind.hook: kind.table for kind in KINDS.values()}
_EXTRAS: Final = {
    "gateway_config_loaders": "loaders",
    "gateway_pages": "pages",
    "gateway_commands": "commands",
}


@attrs.frozen
class Plugin:
    """One installed plugin, whatever became of it.

    Attributes:
        name: The name of its entry point.
        distribution: The package that brings it, "" when unknown.
        version: That package's version.
        module: What the entry point names.
        state: `disabled` by the selection, `refused` for its API version, `failed` for anything else.
        reason: Why it is not `loaded`; one line.
        factories: Config table -> its factories of that kind.
    """

    name: str
    distribution: str = ""
    version: str = ""
    module: str = ""
    state: Literal["loaded", "failed", "disabled", "refused"] = "loaded"
    reason: str = ""
    factories: Mapping[str, tuple[Factory[Any, Any], ...]] = attrs.field(factory=dict)
    loaders: tuple[ConfigLoader, ...] = ()
    pages: tuple[Page, ...] = ()
    commands: tuple[Command, ...] = ()

    @property
    def label(self) -> str:
        """`'name' (distribution version)`, for messages."""
        return f"{self.name!r} ({self.distribution} {self.version})" if self.distribution else repr(self.name)


@attrs.frozen
class Plugins:
    """Every installed plugin, by name."""

    records: tuple[Plugin, ...] = ()

    @property
    def collisions(self) -> Mapping[tuple[str, str], tuple[Plugin, ...]]:
        """`(kind, factory name)` or `("loaders", suffix)` -> the plugins that all claim it."""
        claims: dict[tuple[str, str], list[Plugin]] = {}
        for plugin in self.records:
            for kind, factories in plugin.factories.items():
                for factory in factories:
                    claims.setdefault((kind, factory.name), []).append(plugin)
            for loader in plugin.loaders:
                for suffix in loader.suffixes:
                    claims.setdefault(("loaders", suffix), []).append(plugin)
        return {key: tuple(plugins) for key, plugins in claims.items() if len(plugins) > 1}

    def names(self, kind: str) -> list[str]:
        """What `use` may say in a config table."""
        return sorted({factory.name for p in self.records for factory in p.factories.get(kind, ())})

    def factory(self, kind: str, name: str) -> tuple[Factory[Any, Any], Plugin]:
        """The factory `use = "name"` means in the table `kind`, and whose it is.

        Raises:
            LookupError: None, or more than one; the message is for the user.
        """
        found = [(f, p) for p in self.records for f in p.factories.get(kind, ()) if f.name == name]
        if len(found) == 1:
            try:
                config_of(found[0][0])
            except LookupError as exc:
                raise LookupError(f"the plugin {found[0][1].label} failed to load: {exc}") from None
            return found[0]
        if found:
            owners = " and ".join(plugin.label for _, plugin in found)
            raise LookupError(f"{name!r} is offered by the plugins {owners}; disable all but one (--plugins)")
        for plugin in self.records:
            if plugin.name == name and plugin.state != "loaded":
                raise LookupError(f"the plugin {_state(plugin)}")
        hint = nearest(name, self.names(kind))
        if not hint:
            broken = [_state(plugin) for plugin in self.records if plugin.state in ("failed", "refused")]
            hint = "; ".join([nearest(name, self.names(kind), "installed"), *broken])
        raise LookupError(f"no {KINDS[kind].noun} plugin offers {name!r}{hint}")

    def loader(self, suffix: str) -> ConfigLoader:
        """The loader for files with this suffix (`.toml`).

        Raises:
            LookupError: None, or more than one; the message is for the user.
        """
        found = [(loader, p) for p in self.records for loader in p.loaders if suffix in loader.suffixes]
        if len(found) == 1:
            return found[0][0]
        if found:
            raise LookupError(
                f"{suffix} files are read by the plugins {' and '.join(p.label for _, p in found)}"
            )
        known = ", ".join(sorted({s for p in self.records for loader in p.loaders for s in loader.suffixes}))
        off = "; ".join(_state(p) for p in self.records if p.name == suffix[1:] and p.state != "loaded")
        hint = f"; {off}" if off else f" (installed: {known or 'none'})"
        raise LookupError(f"no plugin reads {suffix or 'files without a suffix'}{hint}")


def config_of(factory: Factory[Any, Any]) -> type[Any]:
    """The config class of a factory, which may not have been imported yet.

    Raises:
        LookupError: It cannot be; the message says why, in one line.
    """
    try:
        return factory.config
    except (Exception, SystemExit) as exc:
        raise LookupError(_line(exc)) from None


_WORDS: Final = {
    "failed": "failed to load",
    "refused": "was refused",
    "disabled": "is disabled",
    "loaded": "works",
}


def _state(plugin: Plugin) -> str:
    return f"{plugin.label} {_WORDS[plugin.state]}: {plugin.reason}"


@attrs.frozen
class Choice:
    """Which plugins to load: all but `without`, or `only` some."""

    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    def takes(self, name: str) -> bool:
        """Whether a plugin of this name is to be loaded."""
        return name not in self.without and (self.only is None or name in self.only)


def parse_selection(text: str) -> Choice:
    """Read the value of `--plugins`: "" for all, `a,b` for only these, `no:x,no:y` for all but these.

    Raises:
        ConfigError: It mixes both forms.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    without = frozenset(word[3:].strip() for word in words if word.startswith("no:"))
    only = frozenset(word for word in words if not word.startswith("no:"))
    if without and only:
        raise ConfigError(
            [("--plugins", f"expected a,b or no:x,no:y, not both; got {text!r}")], "command line"
        )
    return Choice(only or None, without)


def discover(
    choice: Choice | None = None, entry_points: Iterable[importlib.metadata.EntryPoint] | None = None
) -> Plugins:
    """Find and load the installed plugins.

    Args:
        choice: Which to load; the others are recorded as disabled and not imported. None: all.
        entry_points: In place of the installed ones.

    Raises:
        ConfigError: The choice names a plugin that is not installed.
    """
    choice = choice or Choice()
    found = importlib.metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    points = sorted(found, key=lambda point: (point.name, point.value))
    names = {point.name for point in points}
    unknown = sorted(((choice.only or frozenset()) | choice.without) - names)
    if unknown:
        raise ConfigError(
            [
                ("--plugins", f"no plugin {name!r} is installed{nearest(name, names, 'installed')}")
                for name in unknown
            ],
            "command line",
        )
    pm = pluggy.PluginManager(PROJECT)
    pm.add_hookspecs(specs)

    @functools.cache
    def package(dist: importlib.metadata.Distribution) -> tuple[str, str]:
        return dist.name, dist.version  # each access parses the package's metadata

    records = []
    for point in points:
        distribution, version = package(point.dist) if point.dist else ("", "")
        record = Plugin(point.name, distribution, version, point.value)
        if choice.takes(point.name):
            record = _load(pm, point, record)
        else:
            record = attrs.evolve(record, state="disabled", reason="left out by --plugins")
        records.append(record)
    return Plugins(tuple(records))


def _load(pm: pluggy.PluginManager, point: importlib.metadata.EntryPoint, record: Plugin) -> Plugin:
    # SystemExit: a module that ends the process at import is just another broken plugin.
    try:
        module = point.load()
        refusal = _refusal(getattr(module, "gateway_api", API_VERSION))
        if refusal:
            return attrs.evolve(record, state="refused", reason=refusal)
        pm.register(module, f"{record.name}@{record.distribution}")
        return attrs.evolve(record, **_offered(pm, module))
    except (Exception, SystemExit) as exc:
        return attrs.evolve(record, state="failed", reason=_line(exc))


def _line(exc: BaseException) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())


def _refusal(version: Any) -> str:
    if not (isinstance(version, tuple) and len(version) == 2 and all(type(part) is int for part in version)):
        raise TypeError(f"gateway_api must be (major, minor), not {version!r}")
    ours = ".".join(map(str, API_VERSION))
    theirs = ".".join(map(str, version))
    if version > API_VERSION:
        return f"needs plugin API {theirs}, this Portico has {ours}: upgrade portico"
    if version[0] != API_VERSION[0]:
        return f"is written for plugin API {theirs}, this Portico has {ours}: upgrade the plugin"
    return ""


def _offered(pm: pluggy.PluginManager, module: object) -> dict[str, Any]:
    """What the hooks of one plugin return, called by themselves so that it fails alone."""
    factories: dict[str, tuple[Any, ...]] = {}
    offered: dict[str, Any] = {"factories": factories}
    for caller in pm.get_hookcallers(module) or ():
        if not caller.has_spec():
            known = (*_HOOKS, *_EXTRAS)
            raise TypeError(f"there is no hook {caller.name!r}{nearest(caller.name, known)}")
        for impl in caller.get_hookimpls():
            if impl.plugin is not module:
                continue
            items = _checked(caller.name, impl.function())
            if caller.name in _HOOKS:
                factories[_HOOKS[caller.name]] = items
            else:
                offered[_EXTRAS[caller.name]] = items
    return offered


def _checked(hook: str, items: Any) -> tuple[Any, ...]:
    expected = {
        "gateway_config_loaders": ConfigLoader,
        "gateway_pages": Page,
        "gateway_commands": Command,
    }.get(hook, Factory)
    if not isinstance(items, Sequence) or not all(isinstance(item, expected) for item in items):
        raise TypeError(f"{hook} must return a sequence of {expected.__name__}, got {items!r:.200}")
    return tuple(items)
