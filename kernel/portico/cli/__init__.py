"""The `gateway` program. Commands are imported when they are asked for; this module costs next to nothing."""

from __future__ import annotations

import os
import sys
from typing import Final

WORKER: Final = "_worker"
"""What the supervisor runs; not for people, and without what reads their command lines."""


def main() -> None:
    """Run `gateway` with the arguments of this process."""
    _open_standard_streams()
    if sys.argv[1:2] == [WORKER]:
        from portico._host.workers.worker import work
        from portico.cli.running import run

        sys.exit(work(int(sys.argv[2]), run))
    from portico.cli.group import gateway

    gateway(prog_name="gateway")


def _open_standard_streams() -> None:
    """Have stdin, stdout and stderr be something: a socket in the place of one would be taken for it."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None and os.open(os.devnull, os.O_RDWR) == descriptor:
            setattr(sys, name, open(descriptor, "w" if descriptor else "r"))  # noqa: SIM115, PTH123
