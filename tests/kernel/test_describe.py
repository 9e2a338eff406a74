from __future__ import annotations

import enum
from pathlib import Path
from typing import Literal

import attrs
import pytest

from portico._config.describe import Row, markdown, rows
from portico._config.tables import GatewaySettings, ServerSettings
from portico.api import Credential, Ref, Registry, Secret, doc


class Mode(enum.StrEnum):
    OPEN = "open"
    SHUT = "shut"


@attrs.frozen
class Bucket:
    rate: float = attrs.field(metadata=doc("Requests a second."))


@attrs.frozen
class Config:
    url: str = attrs.field(metadata=doc("Where | it is."))
    token: Secret | None = attrs.field(default=None, metadata=doc("The token."))
    planted: Secret = attrs.field(default=Secret("hunter2"))
    tags: tuple[str, ...] = ("a", "b")
    folder: Path = Path("x")
    mode: Mode = Mode.OPEN
    level: Literal["low", "high"] = "low"
    limit: int | None = None
    registry: Ref[Registry] = attrs.field(default=Ref("main"))
    credential: Ref[Credential] | None = None
    names: dict[str, str] = attrs.field(factory=lambda: {"a": "b"})
    bucket: Bucket | None = None
    buckets: dict[str, Bucket] = attrs.field(factory=dict)
    steps: tuple[Bucket, ...] = ()
    flag: bool = False


@attrs.frozen
class Empty:
    pass


def test_every_key_has_its_type_default_and_text() -> None:
    assert rows(Config) == [
        Row("url", "a string", "required", "Where | it is."),
        Row("token", "a secret", "", "The token."),
        Row("planted", "a secret", "(secret)", ""),
        Row("tags", "an array of strings", '["a", "b"]', ""),
        Row("folder", "a path", '"x"', ""),
        Row("mode", "one of 'open', 'shut'", '"open"', ""),
        Row("level", "one of 'low', 'high'", '"low"', ""),
        Row("limit", "an integer", "", ""),
        Row("registry", "the name of a configured registry", '"main"', ""),
        Row("credential", "the name of a configured credential", "", ""),
        Row("names", "a table of strings", '{a = "b"}', ""),
        Row("bucket", "a table", "", ""),
        Row("bucket.rate", "a number", "required", "Requests a second."),
        Row("buckets", "a table of tables", "", ""),
        Row("buckets.NAME.rate", "a number", "required", "Requests a second."),
        Row("steps", "an array of tables", "", ""),
        Row("steps[].rate", "a number", "required", "Requests a second."),
        Row("flag", "a boolean", "false", ""),
    ]


def test_the_table_is_markdown_with_bars_escaped() -> None:
    lines = markdown(Config).splitlines()
    assert lines[:3] == [
        "| key | type | default | |",
        "| --- | --- | --- | --- |",
        "| `url` | a string | required | Where \\| it is. |",
    ]
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    assert "hunter2" not in "\n".join(lines)


def test_a_class_without_keys_says_so() -> None:
    assert markdown(Empty) == "No configuration."


@pytest.mark.parametrize("config", [GatewaySettings, ServerSettings])
def test_every_key_of_the_kernels_own_tables_is_documented(config: type) -> None:
    assert [row.key for row in rows(config) if not row.doc] == []
