"""Finding the control socket of a running gateway, and asking there."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from portico.cli.compose import DEFAULT
from portico.cli.failures import Failure

if TYPE_CHECKING:
    from portico._core.contracts.json import Json

R = TypeVar("R")


@attrs.frozen
class Running:
    """Which gateway is meant: by its socket, its file or its address."""

    control: Path | None
    config: Path | None
    listen: str | None


def running_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the options that say which running gateway is meant; the command gets them as one `running`."""
    options = [
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar="PORTICO_CONFIG",
            help=f"The file it was started with. By default ./{DEFAULT} where there is one. "
            "[env: PORTICO_CONFIG]",
        ),
        click.option(
            "--listen", metavar="HOST:PORT", help="Its first address, if it was started without a file."
        ),
        click.option(
            "--control",
            type=click.Path(path_type=Path),
            help="Its control socket, where `gateway.control` says another.",
        ),
    ]

    @functools.wraps(function)
    def command(*args: Any, **values: Any) -> R:
        values["running"] = Running(**{name: values.pop(name) for name in ("control", "config", "listen")})
        return function(*args, **values)

    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def ask(running: Running, request: Json, seconds: float) -> Json:
    """Ask a running gateway.

    Raises:
        Failure: There is none, or it said no.
    """
    from portico._host import control

    path = _find(running)
    try:
        answer = control.ask(path, request, seconds)
    except TimeoutError:
        raise Failure(f"the gateway behind {path} said nothing for {seconds:g} s") from None
    except OSError as error:
        others = [f"\n  --control {each}" for each in _all() if each != path]
        hint = f"; there are control sockets of others:{''.join(others)}" if others else ""
        why = error.strerror or str(error)
        raise Failure(f"no gateway answers on {path}: {why}{hint}") from None
    if not answer.get("ok"):
        raise Failure(str(answer.get("error", "it said no and not why")))
    return answer


def _find(running: Running) -> Path:
    from portico._host import control, rundir

    if running.control is not None:
        return running.control
    config = running.config
    if config is None and running.listen is None:
        config = DEFAULT if DEFAULT.exists() else None
        if config is None:
            there = _all()
            if len(there) == 1:
                return there[0]  # nobody else can be meant
    if config is not None:
        said = _configured(config)
        if said is not None:
            return said
    identity = rundir.identity_of(config, running.listen or "127.0.0.1:4444")
    return rundir.folder_of(identity) / control.FILE


def _configured(config: Path) -> Path | None:
    """The socket a file names, as far as that can be read without starting anything."""
    from portico._config.discovery import discover
    from portico._config.sources import expand, read
    from portico._core.errors import ConfigError

    named: Any = os.environ.get("PORTICO_GATEWAY__CONTROL")
    base = config.resolve().parent
    if named is None:
        try:
            table = read(config, discover()).tables.get("gateway")
        except ConfigError:
            return None  # it may be broken just now, while the gateway runs
        named = expand(table.get("control"), os.environ, base, []) if isinstance(table, dict) else None
    return base / named if isinstance(named, str) and named not in ("", "auto") else None


def _all() -> list[Path]:
    from portico._host import control, rundir

    try:
        return sorted(rundir.root().glob(f"*/{control.FILE}"))
    except OSError:
        return []
