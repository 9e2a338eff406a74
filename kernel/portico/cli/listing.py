"""Groups that list what clients see if no command is named: `gateway tools` beside `gateway tools edit`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource


def listing_group(name: str, epilog: str) -> Callable[[Callable[..., Any]], click.Group]:
    """A group whose own function, with its own options, runs where no command is named."""

    def make(function: Callable[..., Any]) -> click.Group:
        @functools.wraps(function)
        def callback(*args: Any, **values: Any) -> Any:
            ctx = click.get_current_context()
            if ctx.invoked_subcommand is None:
                return function(*args, **values)
            if any(ctx.get_parameter_source(each) == ParameterSource.COMMANDLINE for each in ctx.params):
                ctx.fail(f"options stand after the command {ctx.invoked_subcommand!r}")
            return None

        return click.group(name, invoke_without_command=True, epilog=epilog)(callback)

    return make
