"""That the contract check finds what it is there to find."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

from portico.api import ConfigError, Exchange, Factory, Host, Json, Next, Policy, Result, doc, hookimpl
from portico.testing import BrokenContract, check_plugin


@attrs.frozen
class Config:
    size: int = attrs.field(default=1, metadata=doc("How large."))


@attrs.frozen
class Undocumented:
    size: int = 1


@attrs.frozen
class Needy:
    token: bytes = attrs.field(metadata=doc("No example says what this may be."))


@attrs.frozen
class Reserved:
    on_change: str = attrs.field(default="", metadata=doc("What to do about changes."))


class Fine:
    async def __call__(self, exchange: Exchange, call_next: Next) -> Result:
        return await call_next(exchange)


class NotAsync:
    def __call__(self, exchange: Exchange, call_next: Next) -> Result:
        raise NotImplementedError


class OtherParameters:
    async def __call__(self, exchange: Exchange) -> Result:
        raise NotImplementedError


def factory(make: Any = Fine, **changes: Any) -> Factory[Any, Policy]:
    @asynccontextmanager
    async def create(config: Any, host: Host) -> AsyncIterator[Policy]:
        yield make()

    fields = {"name": "fine", "summary": "Does nothing.", "config": Config, "create": create, **changes}
    return Factory(**fields)


async def problems(wrong: Factory[Any, Any]) -> list[str]:
    with pytest.raises(BrokenContract) as error:
        await check_plugin(wrong, kind="policies")
    return error.value.problems


async def test_a_plugin_that_keeps_the_contract_passes() -> None:
    await check_plugin(factory(), kind="policies")


async def test_a_name_that_is_no_word_is_found() -> None:
    assert "the name 'Rate Limit' is not" in (await problems(factory(name="Rate Limit")))[0]


@pytest.mark.parametrize("summary", ["", "Two\nlines.", "x" * 121])
async def test_a_summary_that_is_no_line_is_found(summary: str) -> None:
    assert "the summary is not one line" in (await problems(factory(summary=summary)))[0]


async def test_an_undocumented_key_is_found() -> None:
    assert await problems(factory(config=Undocumented)) == ["fine: the config key size has no doc(...)"]


async def test_a_config_that_nothing_says_how_to_fill_is_found() -> None:
    assert "cannot be configured by defaults and examples" in (await problems(factory(config=Needy)))[0]


async def test_a_key_of_an_upstream_that_is_the_gateways_own_is_found() -> None:
    with pytest.raises(BrokenContract) as error:
        await check_plugin(factory(config=Reserved), kind="upstreams")
    assert "fine: config key 'on_change' never reaches it: the gateway has one of that name" in (
        error.value.problems
    )


async def test_a_create_that_is_no_context_manager_is_found() -> None:
    async def create(config: Config, host: Host) -> Policy:
        return Fine()

    assert "does not give an async context manager" in (await problems(factory(create=create)))[0]


async def test_a_method_that_should_be_async_is_found() -> None:
    assert await problems(factory(NotAsync)) == ["fine: __call__ must be async"]


async def test_a_method_with_other_parameters_is_found() -> None:
    assert (
        "__call__ cannot be called with (exchange, call_next)"
        in (await problems(factory(OtherParameters)))[0]
    )


async def test_a_component_of_another_kind_is_found() -> None:
    assert await problems(factory(object)) == ["fine: object has no __call__ (Policy)"]


async def test_a_task_that_is_left_running_is_found() -> None:
    left = []

    @asynccontextmanager
    async def create(config: Config, host: Host) -> AsyncIterator[Policy]:
        left.append(asyncio.create_task(asyncio.Event().wait(), name="forgotten"))
        yield Fine()

    found = await problems(factory(create=create))
    for task in left:
        task.cancel()
    assert found == ["fine: leaves tasks running when it has stopped: forgotten"]


async def test_a_component_that_starts_only_once_is_found() -> None:
    started = []

    @asynccontextmanager
    async def create(config: Config, host: Host) -> AsyncIterator[Policy]:
        if started:
            raise OSError("the port is taken")
        started.append(True)
        yield Fine()

    assert await problems(factory(create=create)) == [
        "fine: fails to start or stop the second time: OSError: the port is taken"
    ]


async def test_every_problem_is_reported_at_once() -> None:
    assert len(await problems(factory(NotAsync, name="A", summary="", config=Undocumented))) == 4


async def test_a_module_that_does_not_load_is_found() -> None:
    with pytest.raises(BrokenContract, match="failed: ModuleNotFoundError"):
        await check_plugin(ModuleType("not_there"))


async def test_a_loader_that_raises_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loader:
        name = "careless"
        suffixes: tuple[str, ...] = (".careless",)

        def load(self, text: bytes, source: str) -> Json:
            if text == b"":
                raise ConfigError([("", "empty")], source)
            return {"text": text.decode()}

    def gateway_config_loaders() -> list[Loader]:
        return [Loader()]

    module = ModuleType("careless_loader")
    module.gateway_config_loaders = hookimpl(gateway_config_loaders)  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
    with pytest.raises(BrokenContract) as error:
        await check_plugin(module)
    assert error.value.problems == [
        r"loader careless: raises UnicodeDecodeError, not ConfigError, for b'\xff\xfe\x00'"
    ]


def _shapeless(config: Config, base: Path) -> Iterator[Any]:
    yield "size", "is missing"
    yield ("size", 0), "is missing"


def _faulty(config: Config, base: Path) -> Iterator[Any]:
    raise ZeroDivisionError("oh")


async def test_a_check_of_another_shape_is_found() -> None:
    assert await problems(factory(check=_shapeless)) == [
        "fine: check(config, base) gives ('size', 'is missing'), not (place, message)"
    ]
    assert await problems(factory(check=_faulty)) == [
        "fine: check(config, base) raises ZeroDivisionError: oh"
    ]
