"""What a configuration names that is not on this machine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from portico._config.components import Component
from portico._config.discovery import config_of, discover
from portico._config.present import absent
from portico._config.strict import structured
from portico._config.wording import Place, Wrong, hints_of
from portico.api import Factory, Host, absence, doc

WRITTEN_BY_THE_GATEWAY = {("registries", "file", "path")}
"""Paths that need not be there: they are made."""


@attrs.frozen
class Inner:
    certificate: Path | None = attrs.field(default=None, metadata=doc("A file.", exists="file"))


@attrs.frozen
class Config:
    out: Path | None = attrs.field(default=None, metadata=doc("Written."))
    folder: Path | None = attrs.field(default=None, metadata=doc("A folder.", exists="folder"))
    many: tuple[Path, ...] = attrs.field(default=(), metadata=doc("Either.", exists="either"))
    inner: dict[str, Inner] = attrs.field(factory=dict, metadata=doc("Below."))


@asynccontextmanager
async def create(config: Config, host: Host) -> AsyncIterator[object]:
    yield object()


def found(base: Path, table: dict[str, Any], check: Any = None) -> list[tuple[Place, str]]:
    factory: Factory[Config, object] = Factory("x", "X.", Config, create, check=check)
    component = Component("policies", "x", "x", structured(table, Config, base), factory, "test")
    return list(absent(component, base))


def test_a_file_that_is_there_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "a.pem").touch()
    assert absence(tmp_path / "a.pem") == ""
    assert (
        absence(tmp_path / "a.pem", "either")
        == absence(tmp_path, "either")
        == absence(tmp_path, "folder")
        == ""
    )


def test_the_nearest_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "petstore.json").touch()
    assert absence(tmp_path / "petstor.json") == (
        f"expected a file, but there is no {tmp_path}/petstor.json; did you mean 'petstore.json'?"
    )


def test_of_a_path_the_first_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    assert absence(tmp_path / "spec" / "v1" / "a.json") == (
        f"expected a file, but there is no {tmp_path}/spec (for spec/v1/a.json); did you mean 'specs'?"
    )


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert absence(tmp_path) == f"expected a file, but {tmp_path} is a folder"
    assert absence(tmp_path / "a", "folder") == f"expected a folder, but {tmp_path / 'a'} is a file"
    assert absence(tmp_path / "a" / "b").startswith("expected a file, but there is no ")


def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").touch(mode=0o000)
    if os.geteuid() == 0:  # who may read everything
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert absence(tmp_path / "a") == f"expected a file, but {tmp_path / 'a'} may not be read"


def test_a_path_that_no_file_can_have_is_a_problem_and_no_fault(tmp_path: Path) -> None:
    assert absence(tmp_path / "a\0b") == "expected a file, but this is no name that files have"
    assert "cannot be looked at: File name too long" in absence(tmp_path / ("a" * 5000))


def test_paths_are_found_wherever_they_are_in_a_config(tmp_path: Path) -> None:
    table = {
        "out": "new",
        "folder": "f",
        "many": [".", "b"],
        "inner": {"one": {"certificate": "c"}, "two": {}},
    }
    assert [place for place, _ in found(tmp_path, table)] == [
        ("folder",),
        ("many", 1),
        ("inner", "one", "certificate"),
    ]


def test_a_plugin_says_the_rest_but_nothing_twice(tmp_path: Path) -> None:
    def check(config: Config, base: Path) -> Iterable[tuple[Place, str]]:
        assert base == tmp_path
        yield ("folder",), "is not there either"
        yield ("many",), "needs a package"

    assert found(tmp_path, {"folder": "f"}, check) == [
        (("folder",), f"expected a folder, but there is no {tmp_path}/f"),
        (("many",), "needs a package"),
    ]


def test_a_check_that_refuses_or_fails_takes_no_other_down(tmp_path: Path) -> None:
    def refuses(config: Config, base: Path) -> Iterable[tuple[Place, str]]:
        raise Wrong([(("many",), "no")])

    def fails(config: Config, base: Path) -> Iterable[tuple[Place, str]]:
        yield ("many",), "lost"
        raise ZeroDivisionError("oh")

    assert found(tmp_path, {}, refuses) == [(("many",), "no")]
    assert found(tmp_path, {}, fails) == [((), "the plugin could not check it: ZeroDivisionError: oh")]


def _path_fields(cls: type, place: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], attrs.Attribute[Any]]]:
    for field in attrs.fields(cls):
        kinds = _within(hints_of(cls)[field.name])
        if Path in kinds:
            yield (*place, field.name), field
        for kind in kinds:
            if isinstance(kind, type) and attrs.has(kind):
                yield from _path_fields(kind, (*place, field.name))


def _within(hint: Any) -> set[Any]:
    return {hint}.union(*map(_within, get_args(hint)))


def test_every_path_of_every_plugin_says_whether_it_has_to_be_there() -> None:
    silent = {
        (kind, factory.name, *place)
        for plugin in discover().records
        for kind, factories in plugin.factories.items()
        for factory in factories
        for place, field in _path_fields(config_of(factory), ())
        if field.metadata.get("exists") not in ("file", "folder", "either")
    }
    assert silent == WRITTEN_BY_THE_GATEWAY
