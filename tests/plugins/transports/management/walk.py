"""The management API against its own description: `python -m tests.plugins.transports.management.walk`.

Schemathesis, all checks, against the API over a `FakeManagement`, behind the server it runs on; bounded in
time and number. `nox -s api` runs it; arguments are passed on to `schemathesis run`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.plugins.transports.management.fake import ALICE, served

BOUNDS = ("--max-examples=12", "--max-time=150", "--seed=20260728", "--continue-on-failure")
SETTINGS = """
[checks.positive_data_acceptance]  # a precondition, a name or a key may be well-formed and not hold
expected-statuses = ["2xx", 304, 401, 403, 404, 409, 412, 422]
[checks.ensure_resource_availability]  # takes a dry run for a creation
enabled = false
[[operations]]  # its coverage phase sends `If-Match: 0`, whatever the pattern in the schema
include-path-regex = "name}"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 304, 400, 401, 403, 404, 409, 412, 422]
[[operations]]  # whatever its schema, a made up cursor is none
include-method = "GET"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 304, 400, 401, 403, 404]
"""
# An upstream may be called `test`: other methods of that path are those of its record, and not refused.
ONE_PATH = ("--exclude-path=/api/v1/upstreams/test",)


async def walk(*arguments: str) -> int:
    """Run it; gives schemathesis' exit status."""
    stop = asyncio.Event()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "schemathesis.toml").write_text(SETTINGS, "utf-8")
        listening = socket.create_server(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = Config()
        config.bind = [f"fd://{listening.detach()}"]
        config.errorlog = None
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
                    cwd=folder,
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
