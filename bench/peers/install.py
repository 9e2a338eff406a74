"""Each peer's own environment, made on first use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.measure import progress
from bench.native import cache_dir
from bench.peers.peer import Peer

INSTALL_SECONDS = 1800.0


class CannotInstall(Exception):
    """A peer cannot be installed here; the message has the end of what pip said."""


def programs(peer: Peer) -> Path:
    """The folder of the programs of the peer's environment, which is made if it is not there as it should be.

    Raises:
        CannotInstall: No network, no wheel for this Python, no space...
    """
    if not peer.requirement:
        return Path(sys.executable).parent
    home = cache_dir() / "peers" / peer.home
    mark, wanted = (
        home / "installed",
        f"{peer.requirement}\nPython {sys.version_info[0]}.{sys.version_info[1]}\n",
    )
    if mark.exists() and mark.read_text() == wanted:
        return home / "bin"
    progress(f"{peer.title}: installing {peer.requirement} into {home}")
    home.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(home)])
    # Not PYTHONPATH's packages, and at a low priority: the large ones take minutes.
    patient = ["nice", "-n", "10"] if shutil.which("nice") else []
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--no-input", "--quiet", peer.requirement]
    _run([*patient, *pip, "--disable-pip-version-check"])
    mark.write_text(wanted)
    return home / "bin"


def _run(words: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"not installed after {INSTALL_SECONDS / 60:.0f} minutes") from None
    except OSError as error:
        raise CannotInstall(f"cannot run {words[0]}: {error.strerror}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CannotInstall("; ".join(line.strip() for line in said[-3:]) or f"status {done.returncode}")
