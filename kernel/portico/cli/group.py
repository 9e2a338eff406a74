"""The command group: what commands there are, without importing any before it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final

import click

from portico import __version__
from portico.cli.failures import reported

BUILT_IN: Final = {
    "serve": "Run the gateway.",
    "check": "Check a configuration: every problem in one run.",
    "init": "Write a commented gateway.toml.",
    "status": "Show how a running gateway and its workers are.",
    "reload": "Have a running gateway read its configuration again.",
    "plugins": "Show what is installed.",
    "tools": "List a gateway's tools, or change how they are shown.",
    "resources": "List a gateway's resources and resource templates, or manage its own.",
    "prompts": "List a gateway's prompts, or manage its own.",
    "call": "Call a tool.",
    "read": "Read a resource.",
    "prompt": "Get a prompt.",
    "upstreams": "Manage upstreams while the gateway runs.",
    "servers": "Manage virtual servers while the gateway runs.",
    "overrides": "Manage how definitions of upstreams are shown.",
    "pins": "See what upstreams have changed about their definitions, and approve of it.",
    "secrets": "Manage what ${secret:NAME} stands for.",
    "history": "Show who changed what.",
    "export": "Write what is managed as a configuration file.",
    "import": "Take over a configuration, mcpServers JSON, server.json or ContextForge export.",
    "catalog": "Find servers in an MCP Registry, and add them.",
    "db": "Show and change the schema of a registry's database.",
    "client-config": "Print the configuration snippet for an MCP client.",
    "wrapper": "Be a stdio MCP server in front of a remote one.",
    "bridge": "Serve a stdio MCP server on the network, or the other way round.",
    "tunnel": "Offer an MCP server to a gateway that cannot reach it, by dialling out.",
    "version": "Print the version.",
}
"""Command -> its line in `gateway --help`. `portico.cli.commands.<command>.command` is the command.

Where that would be a word of Python, `_MODULES` has the module.
"""


_MODULES: Final = {"import": "import_records"}


def _module(name: str) -> str:
    return f"portico.cli.commands.{_MODULES.get(name, name.replace('-', '_'))}"


def _from_plugins() -> Mapping[str, Any]:
    """Commands of installed plugins; a built-in name is never theirs, and the first plugin has a name."""
    from portico._config.discovery import discover

    found: dict[str, Any] = {}
    for plugin in discover().records:
        for command in plugin.commands:
            if command.name not in BUILT_IN:
                found.setdefault(command.name, command)
    return found


class LazyGroup(click.Group):
    """Imports a built-in command when it is invoked, and looks at plugins only for names it does not know."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The built-in commands in the order of `BUILT_IN`, then those of plugins."""
        return [*BUILT_IN, *sorted(_from_plugins())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported or built now."""
        if cmd_name in BUILT_IN:
            command: click.Command = importlib.import_module(_module(cmd_name)).command
            return command
        found = _from_plugins().get(cmd_name)
        return found.build() if found is not None else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown command's message names the nearest one.

        Raises:
            click.UsageError: There is no such command.
        """
        from portico._config.wording import nearest

        command = self.get_command(ctx, args[0])
        if command is None:
            ctx.fail(
                f"There is no command {args[0]!r}{nearest(args[0], self.list_commands(ctx), 'commands')}"
            )
        return args[0], command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(BUILT_IN.items()))
        extra = _from_plugins()
        if extra:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, extra[name].summary) for name in sorted(extra)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises becomes a message and an exit code."""
        with reported():
            return super().invoke(ctx)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 all is well, 1 something failed, 2 the command line or configuration is wrong.",
)
@click.version_option(__version__, prog_name="gateway", message="%(prog)s %(version)s")
def gateway() -> None:
    """Portico, a plugin-first MCP gateway: any MCP client, any MCP server, one endpoint."""
