"""What goes wrong, as messages and exit codes: 1 for failures, 2 for a wrong command line or config."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import click

from portico._core.errors import ConfigError

DEBUG_VARIABLE: Final = "PORTICO_GATEWAY__LOG_LEVEL"


class Failure(click.ClickException):
    """Something did not work; one line on stderr, exit code 1."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message."""
        click.echo(f"gateway: {self.format_message()}", file=file, err=file is None)


class Misuse(Failure):
    """The command line asks for what cannot be; exit code 2."""

    exit_code = 2


class WrongConfig(Misuse):
    """The configuration or command line is wrong; every problem on stderr."""

    def __init__(self, error: ConfigError) -> None:
        notes = [f"  ({note})" for note in getattr(error, "__notes__", ())]
        super().__init__("\n".join([error.render(), *notes]))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the problems."""
        click.echo(self.format_message(), file=file, err=file is None)


@contextmanager
def reported() -> Iterator[None]:
    """Turn what the body raises into a `click.ClickException`. Tracebacks are for debugging."""
    try:
        yield
    except ConfigError as error:
        raise WrongConfig(error) from error
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except BaseExceptionGroup as group:
        wrong = _config_error(group)
        if wrong is None:
            raise _unexpected(group) from group
        raise WrongConfig(wrong) from group
    except Exception as error:
        raise _unexpected(error) from error


def debugging() -> bool:
    """Whether tracebacks are wanted: by the log level of the invoked command, or of the environment."""
    context = click.get_current_context(silent=True)
    asked = context.find_root().meta.get(DEBUG_VARIABLE) if context is not None else None
    return (asked or os.environ.get(DEBUG_VARIABLE, "")).lower() == "debug"


def _config_error(group: BaseExceptionGroup[Any]) -> ConfigError | None:
    for error in group.exceptions:
        found = _config_error(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, ConfigError):
            return found
    return None


def _unexpected(error: BaseException) -> Failure:
    if debugging():
        traceback.print_exception(error, file=sys.stderr)
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    text = " ".join(f"{type(error).__name__}: {error}".split())
    hint = "" if debugging() else f"; --log-level debug (or {DEBUG_VARIABLE}=debug) shows the traceback"
    return Failure(f"{text}{notes}{hint}")
