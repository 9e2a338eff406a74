"""The management API against its own description: `python -m tests.plugins.transports.management.walk`.

Schemathesis, all checks, against the API over a `FakeManagement`, behind the server it runs on; bounded in
time and number. `nox -s api` runs it; `--short` is for a minute of it, other arguments are passed on to
`schemathesis run`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.kernel.small_registry import ENTRIES
from tests.plugins.transports.management.fake import ALICE, served

BOUNDS = ("--max-examples=12", "--max-time=240", "--seed=20260728", "--continue-on-failure")
SHORT = ("--max-examples=2", "--max-time=75", "--seed=20260728", "--continue-on-failure")
SETTINGS = """
[checks]  # all of them; `--checks=all` would have the exceptions below forgotten
enabled = true
[checks.positive_data_acceptance]  # a precondition, a name or a key may be well-formed and not hold
expected-statuses = ["2xx", 304, 401, 403, 404, 409, 412, 422]
[checks.negative_data_rejection]  # what is too long for HTTP never gets as far as the API
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 413, 414, 415, 422, 428, 431, "5xx"]
[checks.ensure_resource_availability]  # takes a dry run for a creation
enabled = false
[[operations]]  # likewise; tests of their own try it out
include-method = "DELETE"
parameters = { dry_run = "false" }
[[operations]]  # its coverage phase sends `If-Match: 0`, whatever the pattern in the schema
include-path-regex = "name}"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 304, 400, 401, 403, 404, 409, 412, 422]
[[operations]]  # whatever its schema, a made up cursor is none
include-method = "GET"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 304, 400, 401, 403, 404]
[[operations]]  # a record may be called that: other methods of the path are those of the record
include-path-regex = "/(test|rotate)$"
[operations.checks]
unsupported_method = { enabled = false }
allow_header_conformance = { enabled = false }
"""


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
        catalog = Path(folder, "catalog.json")
        catalog.write_text(json.dumps({"servers": ENTRIES}), "utf-8")
        async with served(catalog=str(catalog)) as api:
            app: Any = api.app
            serving = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
            try:
                process = await asyncio.create_subprocess_exec(
                    str(Path(sys.executable).with_name("schemathesis")),
                    "run",
                    f"{base}/api/openapi.json",
                    f"--header=Authorization: {ALICE['authorization']}",
                    *(SHORT if arguments == ("--short",) else arguments or BOUNDS),
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
