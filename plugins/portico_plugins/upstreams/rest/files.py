"""Documents in files: read whole, regular files only, and none outside of the folder they may be in."""

from __future__ import annotations

import os
import stat
from urllib.parse import unquote, urlsplit

from .document import Unfit


class NotThere(Unfit):
    """There is no such file, or none that may be read."""


def beginning(at: str, url: str) -> bool:
    """Whether both are files of this machine, by their URLs."""
    return at.startswith("file:///") and url.startswith("file:///")


def read_file(url: str, within: str | None, most: int) -> bytes:
    """What is in a file.

    Args:
        url: `file:///its/path`.
        within: The folder it has to be in, whatever links there are on the way; None for any.
        most: The most bytes.

    Raises:
        NotThere: There is none, or it is elsewhere, or no file.
        Unfit: It is larger.
    """
    path = unquote(urlsplit(url).path)
    try:
        if within is not None:
            path, folder = os.path.realpath(path), os.path.realpath(within)
            if os.path.commonpath((path, folder)) != folder:
                raise NotThere("the file is outside of the document's folder")
        with open(path, "rb", opener=_opened) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NotThere("the file cannot be read: it is no regular file")
            text = file.read(most + 1)
    except OSError as error:
        raise NotThere(f"the file cannot be read: {error.strerror}") from None
    except ValueError:  # a path with a zero character
        raise NotThere("the file cannot be read: it has no name that files have") from None
    if len(text) > most:
        raise Unfit(f"the file has more than {most} bytes")
    return text


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)  # a pipe would be waited for
