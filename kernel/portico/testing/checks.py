"""What every plugin is held to, whoever wrote it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import attrs

from portico._config.describe import Row, rows
from portico._config.discovery import GROUP, Plugin, discover
from portico._config.strict import structured
from portico._config.tables import SHARED
from portico._config.wording import Wrong, dotted, hints_of
from portico._core.specs import KINDS
from portico.api import ConfigError, ConfigLoader, Factory, Host, Secret
from portico.testing.doubles import RecordingWiring, make_host
from portico.testing.running import running_gateway

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,47}")
_POSTURES: Final = frozenset({"hardened", "trusted-upstream-only", "unknown"})
_SECONDS: Final = 30.0
_PLACEHOLDER: Final = "example-0123456789abcdef"


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
    *,
    kind: str | None = None,
) -> None:
    """Check a plugin against what the gateway expects of it, starting each of its components twice.

    Names, summaries and documentation; a config that loads from its defaults or from the `example=` of its
    keys; a component that follows its kind's Protocol, starts and stops, and leaves no task behind.

    Args:
        plugin: A plugin's module, one factory, or what discovery made of an entry point.
        config: What the config table would hold; for factories that cannot start with defaults and examples.
        host: What components are created with; `make_host()` of the right kind by default.
        kind: The config table of a single factory (`policies`); without it, any kind's Protocol will do.

    Raises:
        BrokenContract: With every problem found.
    """
    problems: list[str] = []
    if isinstance(plugin, Factory):
        problems += await _check_factory(plugin, kind, config, host)
    else:
        record = plugin if isinstance(plugin, Plugin) else _loaded(plugin)
        if record.state != "loaded":
            raise BrokenContract([f"{record.name}: {record.state}: {record.reason}"])
        for table, factories in record.factories.items():
            for factory in factories:
                problems += await _check_factory(factory, table, config, host)
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
    if kind is not None and kind in SHARED:
        theirs = {field.name for field in attrs.fields(factory.config)}
        reserved = sorted({"use", *(field.name for field in attrs.fields(SHARED[kind]))} & theirs)
        problems += [
            f"config key {name!r} never reaches it: the gateway has one of that name" for name in reserved
        ]
    if factory.posture not in _POSTURES:
        problems.append(f"posture {factory.posture!r} is none of {', '.join(sorted(_POSTURES))}")
    async with AsyncExitStack() as stack:
        if host is None:
            host = await stack.enter_async_context(_host(kind))
        problems += await _check_starts(factory, kind, config, host)
    return [f"{factory.name}: {problem}" for problem in dict.fromkeys(problems)]


@asynccontextmanager
async def _host(kind: str | None) -> AsyncIterator[Host]:
    """What a component is created with.

    Transports need virtual servers, which only a gateway has; its own transports are there to be named.
    """
    if kind != "transports":
        yield make_host(kind=kind or "upstreams", wiring=RecordingWiring())
        return
    async with running_gateway() as running:
        gateway = running.gateway
        yield make_host(kind=kind, wiring=gateway.plane, components=gateway.transports)


async def _check_starts(
    factory: Factory[Any, Any], kind: str | None, config: Mapping[str, Any] | None, host: Host
) -> list[str]:
    """Start the component with the first config it takes."""
    refusals: list[str] = []
    for table in [config] if config is not None else _candidates(factory.config):
        try:
            made = structured(table, factory.config, host.base)
            problems: list[str] = [*_check_check(factory, made, host.base)]
            for again in (False, True):
                problems += await _check_component(factory, kind, made, host, again=again)
        except Wrong as wrong:
            refusals += [f"{dotted(place) or 'config'}: {message}" for place, message in wrong.problems]
        except ConfigError as error:
            refusals += [f"{place}: {message}" for place, message in error.problems]
        else:
            return problems
    return [f"cannot be configured by defaults and examples ({'; '.join(dict.fromkeys(refusals))})"]


def _check_check(factory: Factory[Any, Any], config: Any, base: Path) -> Iterator[str]:
    """Whether what it says for `gateway check` is of the right shape."""
    if factory.check is None:
        return
    try:
        found: list[Any] = [*factory.check(config, base)]
    except Exception as error:
        yield f"check(config, base) raises {type(error).__name__}: {error}"
        return
    for each in found:
        match each:
            case (tuple() as place, str()) if all(isinstance(step, str | int) for step in place):
                pass
            case _:
                yield f"check(config, base) gives {each!r}, not (place, message)"


def _candidates(config: type) -> Iterator[dict[str, Any]]:
    """The defaults, then the examples of the required keys, then each other example besides.

    `${...}` in an example is filled in, as a deployment would do; so is a required text without an example.
    """
    hints = hints_of(config)
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for field in attrs.fields(config):
        needed = field.default is attrs.NOTHING
        if field.init and "example" in field.metadata:
            (required if needed else optional)[field.name] = _filled(field.metadata["example"])
        elif field.init and needed and hints[field.name] in (str, Secret):
            required[field.name] = _PLACEHOLDER
    yield {}
    yield required
    for name, example in optional.items():
        yield {**required, name: example}


def _filled(example: Any) -> Any:
    if isinstance(example, str):
        return re.sub(r"\$\{[^}]*\}", _PLACEHOLDER, example)
    if isinstance(example, Mapping):
        return {key: _filled(value) for key, value in example.items()}
    return [_filled(value) for value in example] if isinstance(example, list | tuple) else example


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


async def _check_component(
    factory: Factory[Any, Any], kind: str | None, config: Any, host: Host, *, again: bool
) -> list[str]:
    """Start and stop it once.

    Raises:
        ConfigError: It wants another config.
    """
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
    except ConfigError:
        raise
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
    named = {each.name: each.name for each in given if each.kind is inspect.Parameter.KEYWORD_ONLY}
    try:
        inspect.signature(function).bind(*(each.name for each in given if each.name not in named), **named)
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
