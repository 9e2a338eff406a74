"""The `gateway` program. Commands are imported when they are asked for; this module costs next to nothing."""

from __future__ import annotations


def main() -> None:
    """Run `gateway` with the arguments of this process."""
    from portico.cli.group import gateway

    gateway(prog_name="gateway")
