"""What every plugin is held to, whoever wrote it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import attrs

from portico._core.describe import Row, rows
from portico._core.discovery import GROUP, Plugin, discover
from portico._core.specs import KINDS
from portico._core.strict import structured
from portico._core.wording import Wrong, dotted
from portico.api import ConfigError, ConfigLoader, Factory, Host
from portico.testing.doubles import make_host

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,47}")
_POSTURES: Final = frozenset({"hardened", "trusted-upstream-only", "unknown"})
_SECONDS: Final = 30.0


class BrokenContract(AssertionError):
    """A plugin does not keep its contract; carries everything that is wrong with it.

    Attributes:
        problems: One sentence each, with the factory's name in front.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


async def check_plugin(
    plugin: Factory[Any, Any] | ModuleType | Plugin,
    config: Mapping[str, Any] | None = None,
    host: Host | None = None,
) -> None:
    """Check a plugin against what the gateway expects of it, starting each of its components twice.

    Names, summaries and documentation; a config that loads from its defaults or from the `example=` of its
    keys; a component that follows its kind's Protocol, starts and stops, and leaves no task behind.

    Args:
        plugin: A plugin's module, one factory, or what discovery made of an entry point.
        config: What the config table would hold; for factories that cannot start with defaults and examples.
        host: What components are created with; `make_host()` of the right kind by default.

    Raises:
        BrokenContract: With every problem found.
    """
    problems: list[str] = []
    if isinstance(plugin, Factory):
        problems += await _check_factory(plugin, None, config, host)
    else:
        record = plugin if isinstance(plugin, Plugin) else _loaded(plugin)
        if record.state != "loaded":
            raise BrokenContract([f"{record.name}: {record.state}: {record.reason}"])
        for kind, factories in record.factories.items():
            for factory in factories:
                problems += await _check_factory(factory, kind, config, host)
        for loader in record.loaders:
            problems += [f"loader {loader.name}: {problem}" for problem in _check_loader(loader)]
        for command in record.commands:
            problems += [f"command {command.name}: {p}" for p in _check_words(command.name, command.summary)]
    if problems:
        raise BrokenContract(problems)


def _loaded(module: ModuleType) -> Plugin:
    """The module as discovery would have it."""
    point = importlib.metadata.EntryPoint(module.__name__.rpartition(".")[2], module.__name__, GROUP)
    return discover(entry_points=[point]).records[0]


async def _check_factory(
    factory: Factory[Any, Any], kind: str | None, config: Mapping[str, Any] | None, host: Host | None
) -> list[str]:
    problems = [*_check_words(factory.name, factory.summary), *_check_config(factory.config)]
    if factory.posture not in _POSTURES:
        problems.append(f"posture {factory.posture!r} is none of {', '.join(sorted(_POSTURES))}")
    try:
        made = _configured(factory, config)
    except Wrong as wrong:
        said = "; ".join(f"{dotted(place) or 'config'}: {message}" for place, message in wrong.problems)
        problems.append(f"cannot be configured by defaults and examples ({said})")
    else:
        for again in (False, True):
            problems += await _check_component(
                factory, kind, made, host or make_host(kind=kind or "upstreams"), again=again
            )
    return [f"{factory.name}: {problem}" for problem in dict.fromkeys(problems)]


def _check_words(name: str, summary: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"the name {name!r} is not lower-case letters, digits, _ and -, beginning with a letter"
    if not summary.strip() or "\n" in summary or len(summary) > 120:
        yield "the summary is not one line of at most 120 characters"


def _check_config(config: type) -> Iterator[str]:
    if not attrs.has(config):
        yield f"config {config!r} is not an attrs class"
        return
    try:
        documented: list[Row] = rows(config)
    except Wrong as wrong:
        yield str(wrong)
        return
    for row in documented:
        if not row.doc.strip():
            yield f"the config key {row.key} has no doc(...)"


def _configured(factory: Factory[Any, Any], config: Mapping[str, Any] | None) -> Any:
    """The config to start with: what was given, else the defaults, else with what examples it takes.

    Raises:
        Wrong: None of them fits.
    """
    base = Path.cwd()
    if config is not None:
        return structured(config, factory.config, base)
    fields = [field for field in attrs.fields(factory.config) if field.init]
    examples = {f.name: f.metadata["example"] for f in fields if "example" in f.metadata}
    required = {f.name: examples[f.name] for f in fields if f.default is attrs.NOTHING and f.name in examples}
    first: Wrong | None = None
    for table in ({}, required, *({**required, name: example} for name, example in examples.items())):
        try:
            return structured(table, factory.config, base)
        except Wrong as wrong:
            first = first or wrong
    assert first is not None
    raise first


async def _check_component(
    factory: Factory[Any, Any], kind: str | None, config: Any, host: Host, *, again: bool
) -> list[str]:
    before = asyncio.all_tasks()
    time = "the second time" if again else "the first time"
    problems: list[str] = []
    try:
        manager: Any = factory.create(config, host)
        if not isinstance(manager, AbstractAsyncContextManager):
            if inspect.iscoroutine(manager):
                manager.close()
            return ["create(config, host) does not give an async context manager (@asynccontextmanager)"]
        async with asyncio.timeout(_SECONDS):
            async with manager as component:
                problems += _check_shape(component, kind)
    except TimeoutError:
        problems.append(f"takes more than {_SECONDS:g} s to start and stop {time}")
    except Exception as error:
        problems.append(f"fails to start or stop {time}: {type(error).__name__}: {error}")
    for _ in range(10):  # tasks that are ending get the turns it takes
        await asyncio.sleep(0)
    left = [task.get_name() for task in asyncio.all_tasks() - before]
    if left:
        problems.append(f"leaves tasks running when it has stopped: {', '.join(sorted(left))}")
    return problems


def _check_shape(component: Any, kind: str | None) -> Iterator[str]:
    """Whether a component follows its kind's Protocol, or (kind unknown) any."""
    if kind is None:
        if not any(isinstance(component, each.contract) for each in KINDS.values()):
            yield f"{type(component).__name__} follows the Protocol of no kind of component"
        return
    contract = KINDS[kind].contract
    members = [name for name in vars(contract) if name == "__call__" or not name.startswith("_")]
    for name in members:
        wanted = vars(contract)[name]
        has = getattr(component, name, None)
        if has is None:
            yield f"{type(component).__name__} has no {name} ({contract.__name__})"
        elif inspect.isfunction(wanted):
            function = component if inspect.isroutine(component) else has
            if inspect.iscoroutinefunction(wanted) != inspect.iscoroutinefunction(function):
                yield f"{name} must {'' if inspect.iscoroutinefunction(wanted) else 'not '}be async"
            yield from _check_parameters(name, wanted, function)


def _check_parameters(name: str, wanted: Any, function: Any) -> Iterator[str]:
    given = list(inspect.signature(wanted).parameters.values())[1:]
    try:
        inspect.signature(function).bind(*(parameter.name for parameter in given))
    except TypeError as error:
        yield f"{name} cannot be called with ({', '.join(p.name for p in given)}): {error}"


def _check_loader(loader: ConfigLoader) -> Iterator[str]:
    if not loader.suffixes or not all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in loader.suffixes):
        yield f"suffixes {loader.suffixes!r} are not like ('.toml',)"
    for text in (b"", b"\xff\xfe\x00", b"[" * 100_000, b"\x00", b"- : : {", b"1"):
        try:
            tables: Any = loader.load(text, "check")
        except ConfigError:
            continue
        except Exception as error:
            yield f"raises {type(error).__name__}, not ConfigError, for {text[:8]!r}"
        else:
            if not isinstance(tables, dict):
                yield f"gives {type(tables).__name__}, not a table, for {text[:8]!r}"
