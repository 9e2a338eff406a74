"""The records last in effect, on disk: a process that starts while the registry is away begins with them.

They may hold secrets, so nobody but their owner may read the file.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from portico._core.contracts.records import About, Record

_FORM: Final = 1


class Snapshot:
    """One file.

    Args:
        path: Where it is; its folder is made when it is needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, revision: int, records: Iterable[Record]) -> None:
        """Replace what it holds, all at once.

        Raises:
            OSError: It cannot be written.
        """
        data = msgspec.json.encode({"form": _FORM, "revision": revision, "records": list(records)})
        replace(self._path, data)

    async def keep_aside(self, revision: int, records: Iterable[Record]) -> None:
        """The same in a thread. When it is cancelled, it ends when the thread does: nothing is written later.

        Raises:
            OSError: It cannot be written.
        """
        writing = asyncio.ensure_future(asyncio.to_thread(self.keep, revision, records))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            writing.exception()
            raise

    def read(self) -> tuple[int, list[Record]] | None:
        """What it holds; None when there is no file, or none that is of any use."""
        try:
            said: Any = msgspec.json.decode(self._path.read_bytes())
            if said["form"] != _FORM:
                return None
            return said["revision"], [_record(each) for each in said["records"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None


def replace(path: Path, data: bytes) -> None:
    """Have a file hold something else, all at once, for its owner only; its folder is made when it is needed.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _record(said: dict[str, Any]) -> Record:
    about = said.pop("about")
    return Record(**said, about=About(**{**about, "tags": tuple(about["tags"])}))
