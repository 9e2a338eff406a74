from __future__ import annotations

import textwrap
from pathlib import Path

import portico_yaml
import pytest
from portico_yaml import reading

from portico._config.discovery import discover
from portico._config.settings import read
from portico.api import ConfigError, Json
from portico.testing import check_plugin


def load(text: str) -> Json:
    return portico_yaml.Yaml().load(textwrap.dedent(text).encode(), "gateway.yaml")


def problems(text: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as error:
        load(text)
    return error.value.problems


async def test_the_plugin_keeps_its_contract() -> None:
    await check_plugin(portico_yaml)


def test_a_document_becomes_tables() -> None:
    text = """
        gateway:
          listen: ["127.0.0.1:4444"]
        upstreams:
          time:
            use: mcp
            command: [mcp-server-time, --local-timezone=UTC]
    """
    assert load(text) == {
        "gateway": {"listen": ["127.0.0.1:4444"]},
        "upstreams": {"time": {"use": "mcp", "command": ["mcp-server-time", "--local-timezone=UTC"]}},
    }


def test_words_that_only_look_like_other_things_stay_text() -> None:
    assert load("{a: no, b: 12:30, c: 2026-01-01, d: 010}") == {
        "a": "no",
        "b": "12:30",
        "c": "2026-01-01",
        "d": "010",
    }


def test_numbers_and_truth_values_are_what_they_say() -> None:
    assert load("{a: true, b: 7, c: 0.5, d: ~, e: 1e3, f: -3, g: 0x1f}") == {
        "a": True,
        "b": 7,
        "c": 0.5,
        "d": None,
        "e": 1000.0,
        "f": -3,
        "g": 31,
    }


def test_an_empty_file_says_nothing() -> None:
    assert load("# only a comment\n") == {}


def test_anchors_and_merge_keys_work() -> None:
    assert load("x: &x {a: 1}\ny: {<<: *x, b: 2}\n")["y"] == {"a": 1, "b": 2}


def test_a_syntax_error_has_its_line() -> None:
    ((place, message),) = problems("gateway:\n  listen: [\n")
    assert place.startswith("line 3")
    assert message.startswith("not YAML: ")


def test_every_duplicate_key_has_its_line() -> None:
    found = problems("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert [place for place, _ in found] == ["line 2, column 1", "line 3, column 11"]
    assert "'a' is there twice" in found[0][1]


def test_keys_that_are_no_strings_are_refused() -> None:
    assert problems("1: a\n")[0][0] == "line 1, column 1"


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system [id]", "x: !!python/name:os.system", "x: !mine 1"]
)
def test_tags_that_make_objects_are_refused(text: str) -> None:
    assert "could not determine a constructor" in problems(text)[0][1]


def test_a_document_that_is_no_mapping_is_refused() -> None:
    assert problems("- a\n- b\n") == [("line 1, column 1", "expected a mapping")]


def test_a_second_document_is_refused() -> None:
    assert problems("a: 1\n---\nb: 2\n")[0][0] == "line 2, column 1"


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases come to more than" in problems("\n".join(lines))[0][1]


def test_a_node_inside_itself_is_refused() -> None:
    assert "inside itself" in problems("a: &a [*a]\n")[0][1]


def test_a_large_file_is_refused_unread() -> None:
    with pytest.raises(ConfigError, match="at most 1048576 bytes"):
        portico_yaml.Yaml().load(b"a: '" + b"x" * reading.MAX_BYTES + b"'", "big.yaml")


def test_the_gateway_reads_yaml_once_this_is_installed(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yml"
    file.write_text("servers: {default: {prefix: never}}\n")
    assert read(file, discover()).tables == {"servers": {"default": {"prefix": "never"}}}
