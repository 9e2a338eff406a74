"""What plugins add for people: commands, and pages of the admin UI."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import click
    from starlette.routing import BaseRoute


@attrs.frozen
class Page:
    """A page of the admin UI: a path below it and the route that serves it."""

    path: str
    title: str
    route: BaseRoute


@attrs.frozen
class Command:
    """A CLI command a plugin adds: built only when it is asked for."""

    name: str
    summary: str
    build: Callable[[], click.Command]
