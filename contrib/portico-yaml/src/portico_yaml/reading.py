"""Reading a document: YAML 1.2 core types, with what is dangerous or ambiguous refused."""

from __future__ import annotations

import re
from typing import Any

import yaml

from portico.api import ConfigError, Json

MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000
"""What a document may come to with its aliases written out; a few lines can say billions."""


class _Loader(yaml.SafeLoader):
    """Plain data only, and YAML 1.2's idea of it: `no` is a word, `12:30` and `2026-01-01` are text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


def read(text: bytes, source: str) -> Json:
    """The document as tables; see `Yaml.load`.

    Raises:
        ConfigError: See there.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError([("", f"expected at most {MAX_BYTES} bytes, got {len(text)}")], source)
    try:
        loader = _Loader(text.decode("utf-8-sig"))
        try:
            node = loader.get_single_node()
            if node is None:
                return {}
            _check(node, source)
            document: Any = loader.construct_document(node)
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise ConfigError([(f"line {line}", "not UTF-8")], source) from None
    except yaml.MarkedYAMLError as error:
        message = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError([(_place(error.problem_mark), f"not YAML: {message}")], source) from None
    except yaml.YAMLError as error:
        raise ConfigError([("", f"not YAML: {' '.join(str(error).split())}")], source) from None
    except RecursionError:
        raise ConfigError([("", "not YAML: nested too deeply")], source) from None
    except ValueError as error:
        raise ConfigError([("", f"not YAML: {error}")], source) from None
    if not isinstance(document, dict):
        raise ConfigError([(_place(node.start_mark), "expected a mapping")], source)
    return document


def _place(mark: Any) -> str:
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


def _check(root: Any, source: str) -> None:
    """Refuse keys that are no strings or are there twice, circles, and what its aliases would blow up.

    Raises:
        ConfigError: With every such place.
    """
    problems: list[tuple[str, str]] = []
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: Any) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            problems.append((_place(node.start_mark), "the alias of a node inside itself"))
            return 1
        open_nodes.add(id(node))
        total = 1
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, item in node.value:
                if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                    problems.append((_place(key.start_mark), "expected a string as key; quote it"))
                elif key.value in seen:
                    problems.append((_place(key.start_mark), f"the key {key.value!r} is there twice"))
                else:
                    seen.add(key.value)
                total += size(item)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size(item) for item in node.value)
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    if size(root) > MAX_NODES:
        problems.append(("", f"its aliases come to more than {MAX_NODES} values"))
    if problems:
        raise ConfigError(problems, source)
