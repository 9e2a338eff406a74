"""What a gateway has of the file system while it runs: a private folder, and the control socket."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from portico._config.settings import Settings
from portico._core.contracts.log import Log
from portico._core.errors import ConfigError
from portico._host import control, rundir
from portico._host.listening import Listening
from portico._host.places import OFFERS, offers_of


async def prepare(
    settings: Settings, config: Path | None, listening: Listening, answer: control.Answer, log: Log
) -> tuple[Path | None, control.Control | None]:
    """Make them.

    Args:
        settings: What they are for.
        config: The configuration file, if there is one.
        listening: Tells a gateway without a file from others.
        answer: Answers on the control socket.
        log: Told of what is missing and not needed.

    Returns:
        The folder and the control socket; None for what is missing and not needed.

    Raises:
        ConfigError: What is missing is needed, or was asked for.
    """
    gateway = settings.gateway
    folder: Path | None = None
    try:
        identity = rundir.identity_of(config, next(iter(listening.shown), ""))
        folder = rundir.make(rundir.folder_of(identity))
    except rundir.Unusable as error:
        if gateway.workers > 1 or os.getpid() == 1:
            raise ConfigError([("gateway.workers", f"no place for sockets: {error}")]) from error
        log.warning("control.unavailable", error=str(error))
    automatic = gateway.control == control.AUTO
    if not gateway.control or (automatic and folder is None):
        return folder, None
    path = folder / control.FILE if automatic and folder else settings.base / gateway.control
    made = control.Control(path, answer)
    try:
        await made.open()
    except OSError as error:
        if not automatic:
            why = f"{path}: {error.strerror or error}"
            raise ConfigError([("gateway.control", why)], settings.source) from error
        log.warning("control.unavailable", error=str(error))
        return folder, None
    if automatic and folder is not None:  # we are the only one here: what is left of others is of no use
        for left in folder.glob(f"{OFFERS}*"):
            shutil.rmtree(left, ignore_errors=True)
        for left in folder.glob("*.sock"):
            if left.name != control.FILE:  # of workers that were killed: the next would ask them all
                left.unlink(missing_ok=True)
    return folder, made


def leave(folder: Path, key: bytes) -> None:
    """Take away what the workers have left there, and the folder, unless another gateway uses it.

    Args:
        folder: The gateway's private folder.
        key: What its workers had in common.
    """
    shutil.rmtree(offers_of(folder, key), ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
