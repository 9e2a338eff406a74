"""Installing clients and servers of fixed versions into a cache folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

NPM = (
    "node@22",
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/sdk@1.32.2",
    "@modelcontextprotocol/inspector@2.12.0",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@modelcontextprotocol/server-memory@2026.8.31",
    "mcp-remote@0.15.1",
)

PYTHON = {
    "py-v2": ("mcp==2.3.0",),
    "py-v1": ("mcp[ws]==1.30.0",),
    # 4.1.4 and 4.1.6 want a newer certifi than package mirrors tend to have.
    "fastmcp": ("fastmcp==4.1.2",),
    "langchain": ("langchain-mcp-adapters==0.3.2",),
    "servers": ("mcp-server-git==2026.10.19", "mcp-server-time==2026.10.19"),
}
"""One virtual environment each: the SDK's two lines cannot share one."""


class InstallFailed(Exception):
    """A package manager is missing or failed."""


@attrs.frozen
class Installed:
    """Where everything is.

    Attributes:
        cache: The cache folder.
    """

    cache: Path

    @property
    def npm(self) -> Path:
        """The folder with every npm package."""
        return self.cache / "npm"

    @property
    def node(self) -> Path:
        """Node 22."""
        return self.npm / "node_modules" / "node" / "bin" / "node"

    def script(self, package: str) -> Path:
        """The command of an npm package."""
        return self.npm / "node_modules" / ".bin" / package

    def python(self, environment: str) -> Path:
        """The interpreter of a virtual environment."""
        return self.cache / environment / "bin" / "python"


def install(cache: Path) -> Installed:
    """Install what is absent, or was installed in another version.

    Raises:
        InstallFailed: npm or pip is missing or failed.
    """
    installed = Installed(cache)
    if _stale(installed.npm, NPM):
        npm = shutil.which("npm")
        if npm is None:
            raise InstallFailed(
                "npm is needed once, to install Node 22, clients and servers; it is not on PATH"
            )
        installed.npm.mkdir(parents=True, exist_ok=True)
        (installed.npm / "package.json").write_text('{"private": true, "type": "module"}\n')
        _run([npm, "install", "--no-audit", "--no-fund", "--save-exact", *NPM], installed.npm)
        _stamp(installed.npm, NPM)
    for environment, packages in PYTHON.items():
        folder = cache / environment
        if _stale(folder, packages):
            _run([sys.executable, "-m", "venv", "--clear", str(folder)], cache)
            _run([str(installed.python(environment)), "-m", "pip", "install", "--quiet", *packages], cache)
            _stamp(folder, packages)
    return installed


def _stale(folder: Path, packages: Sequence[str]) -> bool:
    stamp = folder / "installed.txt"
    return not stamp.exists() or stamp.read_text() != "\n".join(packages)


def _stamp(folder: Path, packages: Sequence[str]) -> None:
    (folder / "installed.txt").write_text("\n".join(packages))


def _run(command: list[str], folder: Path) -> None:
    print(" ".join(command), file=sys.stderr)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallFailed(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
