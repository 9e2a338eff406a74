"""Where the document comes from, and whether it has changed since it was read."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from portico.api import UPSTREAM_TIMEOUT, Host, failure

from .client import Client
from .config import RestConfig
from .document import Document, Unfit, parse
from .requests import Request

_PATIENCE: Final = 60.0
"""Seconds a document may take to come."""


class Source:
    """The document of one upstream.

    Args:
        config: The upstream's configuration.
        host: Its host.

    Attributes:
        remote: Whether it has a URL.
        given: Whether there is one at all.
    """

    def __init__(self, config: RestConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._client = Client(config, host, config.max_document_bytes)
        self._marks: dict[str, tuple[str, str]] = {}
        self._found: tuple[Document, dict[str, tuple[str, str]], bytes] | None = None
        self._digest = b""
        self.remote = bool(config.openapi)
        self.given = self.remote or config.openapi_file is not None or bool(config.openapi_inline)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def settle(self, document: Document) -> None:
        """The document was of use: it need not be read again until it is another."""
        if self._found is not None and self._found[0] is document:
            _, self._marks, self._digest = self._found
            self._found = None  # it is large

    async def read(self) -> Document | None:
        """The document; None when there is none, or it has not changed.

        Raises:
            Refused: It could not be had.
            Unfit: It is of no use.
        """
        config = self._config
        if config.openapi_inline:
            return Document(config.openapi_inline)
        if config.openapi_file is not None:
            text = await asyncio.to_thread(
                _file, self._host.base / config.openapi_file, config.max_document_bytes
            )
            return await asyncio.to_thread(_document, text)
        return await self._fetched() if self.remote else None

    async def _fetched(self) -> Document | None:
        config = self._config
        parts = urlsplit(config.openapi)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"accept": ("Accept", "application/json, application/yaml, */*;q=0.5"), **self._marks}
        request = Request("GET", f"{parts.scheme}://{parts.netloc}", target, headers, None)
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await self._client.send(request)
        except TimeoutError:
            text = "The document did not come in time."
            raise failure(
                UPSTREAM_TIMEOUT, text, reason="document_timeout", upstream=self._host.name
            ) from None
        if answer.status == 304:
            return None
        if answer.status != 200:
            raise Unfit(f"HTTP {answer.status}")
        digest = hashlib.sha256(answer.body).digest()
        if digest == self._digest:
            return None
        document = await asyncio.to_thread(_document, answer.body)
        marks = {}
        for name, ours, theirs in (
            ("if-none-match", "If-None-Match", b"etag"),
            ("if-modified-since", "If-Modified-Since", b"last-modified"),
        ):
            said = answer.headers.get(theirs, b"").decode("latin-1")
            if said and len(said) < 256:
                marks[name] = (ours, said)
        self._found = (document, marks, digest)
        return document


def _document(text: bytes) -> Document:
    return Document(parse(text))


def _file(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(most + 1)
    except OSError as error:
        raise Unfit(f"the file cannot be read: {error.strerror}") from None
    if len(text) > most:
        raise Unfit(f"the file has more than {most} bytes")
    return text
