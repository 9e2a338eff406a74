"""Finding code in Markdown, and running the shell commands in it as a reader would."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue

import attrs

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    page
    for pattern in ("*.md", "docs/**/*.md", "contrib/*/*.md", "examples/**/*.md", "bench/*.md")
    for page in sorted(ROOT.glob(pattern))
]

GATEWAY = Path(sys.executable).parent / "gateway"
SECONDS = 60.0

_FENCE = re.compile(r"^```(\w*)(?: file=(\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@attrs.frozen
class Block:
    """One fenced code block.

    Attributes:
        page: Where it is.
        language: `sh`, `toml`, ...; "" for none.
        file: The file it is said to be taken from, "" for none.
        text: Its lines.
    """

    page: Path
    language: str
    file: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order."""
    return [Block(page, *match) for match in _FENCE.findall(page.read_text("utf-8"))]


class Reader:
    """Somebody who types the commands of a page, one after the other, into two terminals.

    Args:
        folder: Where they are.
        port: What gateways listen on in place of the documented port.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._serving: subprocess.Popen[str] | None = None
        address = self._address = f"127.0.0.1:{port}"
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PORTICO_GATEWAY__LISTEN": address,
            "PORTICO_URL": f"http://{address}/mcp",
        }

    def type(self, line: str) -> str:
        """Run one line and give what it prints; a gateway that serves goes on in its own terminal.

        Raises:
            AssertionError: It fails.
        """
        line = re.sub(r"^pip install \. && ", "", line)  # the build session does that, in a clean environment
        if line.startswith("gateway serve"):
            return self._serve(line)
        done = subprocess.run(
            line.replace("127.0.0.1:4444", self._address),
            shell=True,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _serve(self, line: str) -> str:
        self.stop()
        process = self._serving = subprocess.Popen(
            f"exec {line}",
            shell=True,
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        lines: Queue[str] = Queue()

        def read() -> None:
            for said in process.stdout or ():
                lines.put(said)
            lines.put("")

        threading.Thread(target=read, daemon=True).start()
        banner = ""
        with contextlib.suppress(Empty):
            while said := lines.get(timeout=SECONDS):
                banner += said
                if said == "}\n":  # the end of the client configuration
                    return banner
        raise AssertionError(f"{line}\nended, or said nothing more, after:\n{banner}")

    def stop(self) -> None:
        """End the gateway that serves, if one does.

        Raises:
            AssertionError: It did not end well.
        """
        process, self._serving = self._serving, None
        if process is not None:
            process.terminate()
            assert process.wait(SECONDS) == 0
            if process.stdout:
                process.stdout.close()


@contextlib.contextmanager
def reader(folder: Path, port: int) -> Iterator[Reader]:
    """A reader whose gateways end with the block."""
    who = Reader(folder, port)
    try:
        yield who
    finally:
        who.stop()
