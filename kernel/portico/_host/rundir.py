"""Where a running gateway keeps its sockets: a private folder, found again by what it was started with."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

_LONGEST: Final = 100
"""A Unix socket's path may have 103 (macOS) or 107 (Linux) bytes."""


class Unusable(OSError):
    """A folder or socket is not private to this user, or cannot be made; says which."""


def root() -> Path:
    """The folder of all gateways of this user."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "portico"
    return Path(tempfile.gettempdir()) / f"portico-{os.geteuid()}"


def folder_of(identity: str) -> Path:
    """The folder of one gateway.

    Args:
        identity: The absolute path of its configuration file, or else its first address.
    """
    return root() / hashlib.sha256(identity.encode()).hexdigest()[:12]


def identity_of(config: Path | None, address: str) -> str:
    """What tells one gateway of this user from another."""
    return str(config.resolve()) if config is not None else address


def make(folder: Path) -> Path:
    """Make a folder that only this user can look into, its parent likewise.

    Raises:
        Unusable: It is there and is not that, or cannot be made.
    """
    for each in (folder.parent, folder):
        try:
            each.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Unusable(f"{each} cannot be made: {error.strerror or error}") from error
        check_folder(each)
    if len(os.fsencode(folder)) + len("/control.sock.12") > _LONGEST:
        raise Unusable(f"{folder} is too long a path for sockets; set XDG_RUNTIME_DIR to a shorter one")
    return folder


def check_folder(folder: Path) -> None:
    """See that a folder is private.

    Raises:
        Unusable: It is somebody else's, open to others, or no folder.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise Unusable(f"{folder} is not a folder")
    if found.st_uid != os.geteuid():
        raise Unusable(f"{folder} belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o077:
        raise Unusable(f"{folder} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})")


def check_socket(path: Path) -> None:
    """See that a socket is this user's (or root's) and nobody else can connect to it.

    Raises:
        Unusable: It is not so.
        FileNotFoundError: It is not there.
    """
    found = path.lstat()
    if not stat.S_ISSOCK(found.st_mode):
        raise Unusable(f"{path} is not a socket")
    if found.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        raise Unusable(f"{path} belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o077:
        raise Unusable(f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})")
