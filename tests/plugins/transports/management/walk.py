"""The management API against its own description: `python -m tests.plugins.transports.management.walk`.

Schemathesis, all checks, stateful, bounded in time and number: against the API over a `FakeManagement`, or
with `--whole` against a gateway. `nox -s api` runs both. `--short` takes a little more than a minute,
`--long` or nothing four; other arguments are passed on to `schemathesis run` in place of the bounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.kernel.cli.running import MANAGED, gateway
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
[[operations]]  # what has been deleted still has its versions, to go back to
include-path-regex = "/(versions|rollback)$"
[operations.checks]
use_after_free = { enabled = false }
[[operations]]  # a record may be called that: other methods of the path are those of the record
include-path-regex = "/(test|rotate)$"
[operations.checks]
unsupported_method = { enabled = false }
allow_header_conformance = { enabled = false }
"""


# The server of a whole gateway answers 501 for methods it does not know; the API by itself, 405.
WHOLE = (
    SETTINGS
    + """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501]
[checks.unsupported_method]
enabled = false
"""
)
PEOPLE = '[auth.people]\nuse = "token"\ntokens = { alice = "alice-0123456789abcdef" }\n'


@asynccontextmanager
async def fake(catalog: Path) -> AsyncIterator[str]:
    """The API over a `FakeManagement`, behind the server it runs on; gives the URL.

    Raises:
        RuntimeError: It had faults; says which.
    """
    stop = asyncio.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.errorlog = None
    async with served(catalog=str(catalog)) as api:
        app: Any = api.app
        serving = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
        try:
            yield url
        finally:
            stop.set()
            await serving
    if faults := [line.facts for line in api.log.lines if line.event == "api.fault"]:
        raise RuntimeError(f"the API failed: {faults}")


def whole(catalog: Path) -> AbstractAsyncContextManager[str]:
    """A gateway with a registry in memory; gives the URL."""
    api = f'use = "management_api"\nauth = ["people"]\ncatalog = "{catalog}"\n'
    return gateway(MANAGED.replace('use = "management_api"\n', api) + PEOPLE)


async def walk(*arguments: str) -> int:
    """Run it; gives schemathesis' exit status.

    What it prints is set off: its last line looks like that of a pytest which ran nothing.
    """
    words = [word for word in arguments if word not in ("--short", "--long", "--whole")]
    bounds = SHORT if "--short" in arguments else words or BOUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = WHOLE if "--whole" in arguments else SETTINGS
        (folder / "schemathesis.toml").write_text(settings, "utf-8")
        (folder / "catalog.json").write_text(json.dumps({"servers": ENTRIES}), "utf-8")
        os.chdir(folder)  # where the gateway keeps what it keeps
        async with (whole if "--whole" in arguments else fake)(folder / "catalog.json") as url:
            process = await asyncio.create_subprocess_exec(
                str(Path(sys.executable).with_name("schemathesis")),
                "run",
                f"{url}/api/openapi.json",
                f"--header=Authorization: {ALICE['authorization']}",
                *bounds,
                cwd=folder,
                stdout=PIPE,
                stderr=STDOUT,
                limit=2**24,
            )
            assert process.stdout is not None
            async for line in process.stdout:
                print("|", line.decode("utf-8", "replace").rstrip(), flush=True)
            return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(walk(*sys.argv[1:])))
