"""Where configuration comes from: documents and the `${...}` in them, environment variables, flags."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from portico._config.discovery import Plugins
from portico._config.mcp_json import from_mcp_json, is_mcp_json
from portico._config.wording import Place, Text, dotted, nearest
from portico._core.contracts.json import Json
from portico._core.errors import ConfigError

Problems = list[tuple[str, str]]

ENVIRONMENT: Final = "PORTICO_"

LookUp = Callable[[str, str, Place], str]
"""What `${SCHEME:REST}` stands for at a place; raises `LookupError` with a sentence where it cannot say."""

_EXPRESSION = re.compile(r"(\$(?=\$))?\$\{(?(1)|(?!\{))([^}]*)\}")
"""`${{` is none: a template has a dollar before a value there."""


@attrs.frozen
class Document:
    """One configuration document.

    Attributes:
        tables: What it says.
        source: Its file or place, for messages.
        base: The folder its relative paths are relative to.
        notes: `(path, message)` of what was left out when it was converted.
    """

    tables: Json
    source: str = "configuration"
    base: Path = attrs.field(factory=Path.cwd)
    notes: tuple[tuple[str, str], ...] = ()


def read(path: Path, plugins: Plugins) -> Document:
    """Read a configuration file with the loader its suffix asks for; `mcpServers` JSON becomes upstreams.

    Raises:
        ConfigError: The file cannot be read, nothing reads such files, or it is not of its format.
    """
    source = str(path)
    try:
        loader = plugins.loader(path.suffix)
        tables = loader.load(path.read_bytes(), source)
    except LookupError as exc:
        raise ConfigError([("", str(exc))], source) from None
    except OSError as exc:
        raise ConfigError([("", f"cannot be read: {exc.strerror or exc}")], source) from None
    notes: Problems = []
    if is_mcp_json(tables):
        tables, notes = from_mcp_json(tables)
    return Document(tables, source, path.resolve().parent, tuple(notes))


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """Lay one document over another: tables are merged, everything else is replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def expand(
    node: Any,
    environ: Mapping[str, str],
    base: Path,
    problems: Problems,
    place: Place = (),
    secrets: LookUp | None = None,
) -> Any:
    """Replace `${env:NAME}`, `${env:NAME:-default}`, `${file:PATH}` in every string; `$${` stands for `${`.

    As in a shell, the default also serves for an empty variable. One newline at the end of a file is dropped.
    Where there are `secrets`, only what they know is replaced: what is managed at run time must not read the
    operator's environment and files.
    """
    if isinstance(node, Mapping):
        return {
            key: expand(item, environ, base, problems, (*place, key), secrets) for key, item in node.items()
        }
    if isinstance(node, list):
        return [expand(item, environ, base, problems, (*place, i), secrets) for i, item in enumerate(node)]
    if not isinstance(node, str) or "${" not in node:
        return node
    origins: list[str] = []

    def substitute(match: re.Match[str]) -> str:
        escaped, inner = match.groups()
        if escaped:
            return match[0][1:]
        origins.append(match[0])
        scheme, _, rest = inner.partition(":")
        name, has_default, default = rest.partition(":-")
        if secrets is not None:
            try:
                return secrets(scheme, rest, place)
            except LookupError as unknown:
                problems.append((dotted(place), str(unknown.args[0])))
                return "unknown"  # what it stands in is wrong for this reason, and for no other
        try:
            if scheme == "env":
                return environ[name] if environ.get(name) or not has_default else default
            if scheme == "file":
                return (base / Path(name).expanduser()).read_text("utf-8").removesuffix("\n")
            message = (
                f"{match[0]} is neither ${{env:NAME}} nor ${{file:PATH}}; ${match[0]} is the text itself"
            )
        except KeyError:
            message = f"the environment variable {name!r} is not set, and ${{env:{name}}} has no default"
        except (OSError, ValueError, RuntimeError) as exc:  # the last: whose home directory
            if has_default:
                return default
            message = f"the file {name!r} cannot be read ({getattr(exc, 'strerror', None) or exc})"
        problems.append((dotted(place), message))
        return ""

    text = _EXPRESSION.sub(substitute, node)
    return Text(text, " and ".join(origins)) if origins else text


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Read one `--set path.to.key=value`: the value is TOML where it is that, otherwise a string.

    Raises:
        ConfigError: There is no `=`, or the path is not a dotted TOML key.
    """
    key, equals, value = text.partition("=")
    try:
        node: Any = tomllib.loads(f"{key.strip()} = 0") if equals and "\n" not in key else None
    except tomllib.TOMLDecodeError:
        node = None
    if not node:
        raise ConfigError([("--set", f"expected path.to.key=value, got {text!r}")], "command line")
    path: list[str] = []
    while isinstance(node, dict):
        step, node = next(iter(node.items()))
        path.append(step)
    return tuple(path), parse_value(value.strip(), f"--set {'.'.join(path)}")


def parse_value(text: str, origin: str) -> Any:
    """A value that comes as text: a TOML array, table or quoted string, else what the field's type says."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return Text(text, origin)
    value = parsed["value"] if len(parsed) == 1 else text
    return (
        value if isinstance(value, list | dict) else Text(value if isinstance(value, str) else text, origin)
    )


def overlay(under: Json, path: Iterable[str], value: Any) -> Json:
    """A copy of the document with one value set."""
    node: Any = value
    for step in reversed(tuple(path)):
        node = {step: node}
    return merge(under, node)


def overlay_environment(
    under: Json, environ: Mapping[str, str], sections: Iterable[str], problems: Problems
) -> Json:
    """Lay `PORTICO_<SECTION>__<KEY>` variables over the document (`PORTICO_GATEWAY__LISTEN`).

    Names are compared without case, and `-` counts as `_`; a key the document lacks is taken in lower case.
    Variables without `__` are not settings.
    """
    sections = tuple(sections)
    for variable in sorted(environ):
        steps = variable.removeprefix(ENVIRONMENT).split("__")
        if not variable.startswith(ENVIRONMENT) or len(steps) < 2:
            continue
        if steps[0].lower() not in sections or not all(steps):
            hint = nearest(steps[0].lower(), sections, "tables")
            problems.append((variable, f"names no setting: there is no table {steps[0].lower()!r}{hint}"))
            continue
        path: list[str] = []
        node: Any = under
        for step in steps:
            keys = {key.lower().replace("-", "_"): key for key in node} if isinstance(node, Mapping) else {}
            path.append(keys.get(step.lower(), step.lower()))
            node = node.get(path[-1]) if isinstance(node, Mapping) else None
        under = overlay(under, path, parse_value(environ[variable], variable))
    return under
