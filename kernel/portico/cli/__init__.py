"""The `gateway` program. Commands are imported when they are asked for; this module costs next to nothing."""

from __future__ import annotations

import sys
from typing import Final

WORKER: Final = "_worker"
"""What the supervisor runs; not for people, and without what reads their command lines."""


def main() -> None:
    """Run `gateway` with the arguments of this process."""
    if sys.argv[1:2] == [WORKER]:
        from portico._host.workers.worker import work
        from portico.cli.running import run

        sys.exit(work(int(sys.argv[2]), run))
    from portico.cli.group import gateway

    gateway(prog_name="gateway")
