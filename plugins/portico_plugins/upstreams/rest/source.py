"""Where the document comes from, in how many files, and whether it has changed since it was read."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from portico.api import Host
from portico_plugins.failures import timed_out

from .client import Client
from .config import RestConfig
from .document import Document, Unfit, parse
from .files import NotThere, beginning, read_file
from .references import Joined, may_have_references, origin
from .requests import Request

_PATIENCE: Final = 60.0
"""Seconds a document may take to come, all of it."""
_DEEPEST: Final = 32
"""Files that lead from one to the next."""
_ACCEPT: Final = ("Accept", "application/json, application/yaml, */*;q=0.5")
_MARKS: Final = (
    ("if-none-match", "If-None-Match", b"etag"),
    ("if-modified-since", "If-Modified-Since", b"last-modified"),
)
_PASSING: Final = frozenset({404, 410})
"""What a server answers for a file that there is not."""

Marks = Mapping[str, tuple[str, str]]


@attrs.frozen(eq=False)
class _File:
    """A file as it came.

    Attributes:
        text: What is in it.
        marks: The headers that ask whether it has changed.
    """

    text: bytes
    marks: Marks = attrs.field(factory=dict)

    @property
    def digest(self) -> bytes:
        """What tells it from another."""
        return hashlib.sha256(self.text).digest()


@attrs.frozen(eq=False)
class _Seen:
    """A file that the document in use is made of; without a digest, one that was not there."""

    marks: Marks = attrs.field(factory=dict)
    digest: bytes = b""


class Source:
    """The document of one upstream.

    Args:
        config: The upstream's configuration.
        host: Its host.

    Attributes:
        remote: Whether any of it has a URL.
        given: Whether there is one at all.
    """

    def __init__(self, config: RestConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._client = Client(config, host, config.max_document_bytes)
        self._origins = {origin(one) for one in (config.openapi, *config.ref_origins) if one}
        self._path = host.base / config.openapi_file if config.openapi_file is not None else None
        self._at = self._path.absolute().as_uri() if self._path is not None else config.openapi
        self._seen: dict[str, _Seen] = {}
        self._found: tuple[Document, dict[str, _Seen]] | None = None
        self.remote = bool(self._origins)
        self.given = bool(self._at or config.openapi_inline)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def settle(self, document: Document) -> None:
        """The document was of use: it need not be read again until it is another."""
        if self._found is not None and self._found[0] is document:
            self._seen = self._found[1]
            self._found = None  # it is large

    async def read(self) -> Document | None:
        """The document; None when there is none, or it has not changed.

        Raises:
            Refused: It could not be had.
            Unfit: It is of no use.
        """
        if not self.given:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._read()
        except TimeoutError:
            raise timed_out(self._host.name, reason="document_timeout") from None
        except RecursionError:
            raise Unfit("the document is nested too deeply") from None

    async def _read(self) -> Document | None:
        config = self._config
        fresh: dict[str, _File] = {}
        if self._seen and await self._same(fresh):
            return None
        seen: dict[str, _Seen] = {}
        root, size, joined = config.openapi_inline, 0, True
        if self._at:
            file = fresh.get(self._at) or await self._got(self._at, {})
            if file is None:
                raise Unfit("HTTP 304")
            seen[self._at] = _Seen(file.marks, file.digest)
            root, size = await asyncio.to_thread(parse, file.text), len(file.text)
            joined = may_have_references(file.text)
        if joined:
            root = await self._joined(root, size, fresh, seen)
        document = Document(root)
        self._found = (document, seen)
        return document

    async def _same(self, fresh: dict[str, _File]) -> bool:
        """Whether all files are what they were; the first that is not goes to `fresh`."""
        for url, known in self._seen.items():
            try:
                file = await self._got(url, known.marks)
            except NotThere:
                if url != self._at and not known.digest:
                    continue
                return False
            if file is not None and file.digest != known.digest:
                fresh[url] = file
                return False
        return True

    async def _joined(
        self, root: dict[str, Any], size: int, fresh: Mapping[str, _File], seen: dict[str, _Seen]
    ) -> dict[str, Any]:
        """A document with the files that its references lead to.

        Raises:
            Refused: One could not be had.
            Unfit: One is of no use, or there are too many.
        """
        most = self._config.max_document_files
        files = Joined(root, self._at, self._may)
        level = await asyncio.to_thread(files.wanted, self._at)
        for _ in range(_DEEPEST):
            further: dict[str, None] = {}
            for url in level:
                if url in seen:
                    continue
                if len(seen) >= most:
                    raise Unfit(f"it is in more files than `max_document_files` ({most})")
                file = await self._part(url, fresh)
                if file is None:
                    seen[url] = _Seen()
                    continue
                size += len(file.text)
                if size > self._config.max_document_bytes:
                    raise Unfit("its files have more bytes than `max_document_bytes`")
                seen[url] = _Seen(file.marks, file.digest)
                try:
                    files.add(url, await asyncio.to_thread(parse, file.text))
                except Unfit as reason:
                    raise Unfit(f"{_shown(url)}: {reason}") from None
                if may_have_references(file.text):
                    further |= dict.fromkeys(await asyncio.to_thread(files.wanted, url))
            if not further:
                return await asyncio.to_thread(files.whole)
            level = list(further)
        raise Unfit(f"its references lead through more than {_DEEPEST} files in a row")

    async def _part(self, url: str, fresh: Mapping[str, _File]) -> _File | None:
        """A file that a reference leads to; None where there is none: then it points to nothing."""
        try:
            file = fresh.get(url) or await self._got(url, {})
        except NotThere as reason:
            self._host.log.warning("reference_to_nothing", file=_shown(url), reason=str(reason))
            return None
        if file is None:
            raise Unfit(f"{_shown(url)}: HTTP 304")
        return file

    def _may(self, url: str) -> bool:
        """Whether a reference may be followed there: to files from a file, else to known origins."""
        return beginning(self._at, url) or origin(url) in self._origins

    async def _got(self, url: str, marks: Marks) -> _File | None:
        """A file; None when the server says that it has not changed.

        Raises:
            NotThere: There is none, or none that may be read.
            Refused: It could not be had.
            Unfit: The answer is of no use.
        """
        most = self._config.max_document_bytes
        if self._path is not None and url.startswith("file:"):
            within = None if url == self._at else self._folder
            return _File(await asyncio.to_thread(read_file, url, within, most))
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = Request(
            "GET", f"{parts.scheme}://{parts.netloc}", target, {"accept": _ACCEPT, **marks}, None
        )
        # A file that references lead to stands where they say, or they could lead anywhere.
        answer = await self._client.send(request, follow=url == self._at)
        if answer.status == 304:
            return None
        if answer.status in _PASSING:
            raise NotThere(f"HTTP {answer.status}")
        if answer.status != 200:
            raise Unfit(
                f"HTTP {answer.status}" if url == self._at else f"{_shown(url)}: HTTP {answer.status}"
            )
        found = {}
        for name, ours, theirs in _MARKS:
            said = answer.headers.get(theirs, b"").decode("latin-1")
            if said and len(said) < 256:
                found[name] = (ours, said)
        return _File(answer.body, found)

    @property
    def _folder(self) -> str:
        own = self._config.ref_folder
        at = (
            self._host.base / own if own is not None else self._path.parent if self._path else self._host.base
        )
        return str(at)


def _shown(url: str) -> str:
    """The end of a URL, for messages and logs."""
    return urlsplit(url).path.rpartition("/")[2][-80:]
