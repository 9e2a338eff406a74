"""Starts the quick start with the `gateway` beside this Python, uses it, and stops it.

Runs on a bare installation: `python -I examples/check_quickstart.py`. Says what is wrong, if anything is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
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
        finally:
            process.terminate()
            status = process.wait(60)
    if status != 0:
        raise RuntimeError(f"the gateway ended with status {status}")


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
