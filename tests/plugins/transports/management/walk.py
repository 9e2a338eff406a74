"""The management API against its own description: `python -m tests.plugins.transports.management.walk`.

Schemathesis, all checks, against the API over a `FakeManagement`, behind the server it runs on; bounded in
time and number. `nox -s api` runs it; arguments are passed on to `schemathesis run`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.plugins.transports.management.fake import ALICE, served

BOUNDS = ("--max-examples=12", "--max-time=150", "--seed=20260728", "--continue-on-failure")
# An upstream may be called `test`: other methods of that path are those of its record, and not refused.
ONE_PATH = ("--exclude-path=/api/v1/upstreams/test",)


async def walk(*arguments: str) -> int:
    """Run it; gives schemathesis' exit status."""
    stop = asyncio.Event()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = Config()
        config.bind = [f"fd://{listening.fileno()}"]
        config.errorlog = None
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with served() as api:
            app: Any = api.app
            serving = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
            try:
                process = await asyncio.create_subprocess_exec(
                    str(Path(sys.executable).with_name("schemathesis")),
                    "run",
                    f"{base}/api/openapi.json",
                    "--checks=all",
                    f"--header=Authorization: {ALICE['authorization']}",
                    *ONE_PATH,
                    *(arguments or BOUNDS),
                )
                status = await process.wait()
            finally:
                stop.set()
                await serving
            faults = [line for line in api.log.lines if line.event == "api.fault"]
    for line in faults:
        print(line.facts, file=sys.stderr)
    return status or bool(faults)


if __name__ == "__main__":
    sys.exit(asyncio.run(walk(*sys.argv[1:])))
