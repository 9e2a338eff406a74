"""Starts the quick start with the `gateway` beside this Python, uses it, and stops it.

Runs on a bare installation: `python -I examples/check_quickstart.py`. Says what is wrong, if anything is.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
GATEWAY = Path(sys.executable).parent / "gateway"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}


def check(config: Path, log: Path) -> None:
    """Serve a config, and call one thing of each kind.

    Raises:
        RuntimeError: The gateway ended, or something did not come out right; says what.
    """
    command = [GATEWAY, "serve", "--config", config, "--listen", "127.0.0.1:0"]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            url = endpoint(process)
            listed = json.loads(run("tools", "--json", "--url", url))
            names = {tool["name"] for tool in listed["tools"]}
            if not {"list_notes", "query"} <= names:
                raise RuntimeError(f"not every tool is there: {sorted(names)}")
            found = run(
                "call", "query", '{"sql": "SELECT count(*) AS n FROM planets"}', "--json", "--url", url
            )
            if json.loads(found)["structuredContent"]["rows"] != [[8]]:
                raise RuntimeError(f"there are not eight planets: {found}")
            if "# Welcome" not in run("read", "note://welcome", "--url", url):
                raise RuntimeError("the note has another text")
            asyncio.run(manage(url))
        finally:
            process.terminate()
            status = process.wait(60)
    if status != 0:
        raise RuntimeError(f"the gateway ended with status {status}")


async def manage(url: str) -> None:
    """Add an upstream by command and by API, with a client connected that sees its tools come and go.

    Raises:
        RuntimeError: It does not.
    """
    from mcp import Client
    from mcp.types import ToolListChangedNotification

    news = asyncio.Event()

    async def told(message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            news.set()

    async with Client(url, mode="legacy", message_handler=told) as client:

        async def sees(tool: str, *, there: bool) -> None:
            async with asyncio.timeout(60):
                while (tool in {each.name for each in (await client.list_tools()).tools}) != there:
                    await news.wait()
                    news.clear()

        await sees("weekday", there=False)
        where = ("--gateway", url)
        command = ["python", "-m", "portico_examples.calendar"]
        add = ("upstreams", "add", "calendar", "--use", "mcp", "--set", f"command={json.dumps(command)}")
        await asyncio.to_thread(run, *add, *where)
        await sees("weekday", there=True)
        called = await client.call_tool("weekday", {"date": "2026-07-28"})
        if "Tuesday" not in str(called.content):
            raise RuntimeError(f"the calendar says {called.content}")
        await asyncio.to_thread(run, "upstreams", "rm", "calendar", *where)
        await sees("weekday", there=False)
        record = {"name": "calendar", "config": {"use": "mcp", "command": command}}
        await asyncio.to_thread(post, url.replace("/mcp", "/api/v1/upstreams"), record)
        await sees("weekday", there=True)


def post(url: str, value: object) -> None:
    """POST JSON.

    Raises:
        RuntimeError: It is not answered with 201.
    """
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(value).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        if response.status != 201:
            raise RuntimeError(f"{url} answers {response.status}")


def endpoint(process: subprocess.Popen[str]) -> str:
    """The URL in the banner.

    Raises:
        RuntimeError: There is no banner.
    """
    said = ""
    for line in process.stdout or ():
        said += line
        found = re.search(r"http://127\.0\.0\.1:\d+/mcp", line)
        if found:
            return found[0]
    raise RuntimeError(f"the gateway did not say where it listens: {said}")


def run(*words: str) -> str:
    """What a `gateway` command prints.

    Raises:
        RuntimeError: It failed.
    """
    done = subprocess.run(
        [GATEWAY, *words], env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise RuntimeError(f"gateway {' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def main() -> int:
    """Check a copy, so that nothing is written beside the original."""
    with tempfile.TemporaryDirectory(prefix="portico-quickstart-") as folder:
        copy = Path(folder)
        shutil.copytree(HERE / "data", copy / "data")
        shutil.copy(HERE / "quickstart.toml", copy)
        try:
            check(copy / "quickstart.toml", copy / "gateway.log")
        except RuntimeError as error:
            print(f"{error}\n--- log ---\n{(copy / 'gateway.log').read_text()[-4000:]}", file=sys.stderr)
            return 1
    print("The quick start works.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
