"""An MCP Registry (v0.1) to add servers from: an endpoint, or a file of its answers."""

from __future__ import annotations

import http.client
import ipaddress
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from portico._config.exchange.server_json import OFFICIAL, servers_in
from portico._core.contracts import Json
from portico.cli.failures import Failure, Misuse

OFFICIAL_URL: Final = "https://registry.modelcontextprotocol.io"

_PAGE: Final = 100
_MOST: Final = 16 * 1024 * 1024
_SECONDS: Final = 30.0


def is_url(where: str) -> bool:
    """Whether a `--registry` is an endpoint, and not a file."""
    return where.lower().startswith(("http://", "https://"))


class FileRegistry:
    """A registry's answer, or `server.json` documents, in a file."""

    def __init__(self, path: str) -> None:
        from portico._config.exchange.formats import parse
        from portico.cli.records import read_text

        self._servers = list(servers_in(parse(read_text(path), path)))
        if not self._servers:
            raise Misuse(f"{path} has no server of an MCP Registry in it")

    def search(self, words: str) -> Iterator[Json]:
        """The servers that have every word in their name, title or description."""
        wanted = words.lower().split()
        for server in self._servers:
            text = " ".join(str(server.get(key) or "") for key in ("name", "title", "description")).lower()
            if all(word in text for word in wanted):
                yield server

    def get(self, name: str, version: str) -> Json | None:
        """One server, the last of its versions by default."""
        found = [each for each in self._servers if each["name"] == name]
        if version != "latest":
            found = [each for each in found if each.get("version") == version]
        return found[-1] if found else None


class UrlRegistry:
    """A registry's endpoint.

    Raises:
        Misuse: The URL is none, or plain HTTP to another machine.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise Misuse(f"expected a URL like {OFFICIAL_URL}, got {url!r}")
        if parts.scheme == "http" and not _loopback(parts.hostname):
            raise Misuse(f"{url} is not encrypted: whoever is in between decides what is added; use https")
        self._url, self._parts = url.rstrip("/"), parts

    def search(self, words: str) -> Iterator[Json]:
        """The latest versions of the servers whose name has the first word, and the others somewhere."""
        first, *others = words.lower().split() or [""]
        cursor = ""
        while True:
            query = {"limit": str(_PAGE), "version": "latest"}
            query |= ({"search": first} if first else {}) | ({"cursor": cursor} if cursor else {})
            page = self._get("servers", query) or {}
            for entry in page.get("servers") or ():
                for server in servers_in({"server": entry.get("server")} if isinstance(entry, dict) else {}):
                    server = _with_status(server, entry)
                    text = f"{server['name']} {server.get('title')} {server.get('description')}".lower()
                    if all(word in text for word in others):
                        yield server
            metadata = page.get("metadata") or {}
            following = metadata.get("nextCursor") or metadata.get("next_cursor") or ""
            if not following or following == cursor:
                return
            cursor = str(following)

    def get(self, name: str, version: str) -> Json | None:
        """One server; None if there is none of that name and version."""
        path = f"servers/{quote(name, safe='')}/versions/{quote(version, safe='')}"
        entry = self._get(path, {})
        if entry is None:
            return None
        found = next(servers_in(entry), None)
        return _with_status(found, entry) if found is not None else None

    def _get(self, path: str, query: dict[str, str]) -> Json | None:
        import msgspec

        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        target = f"{self._parts.path.rstrip('/')}/v0.1/{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            connection = kind(str(self._parts.hostname), self._parts.port, timeout=_SECONDS)
            try:
                connection.request("GET", target, headers={"Accept": "application/json"})
                with connection.getresponse() as response:
                    body, status = response.read(_MOST), response.status
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Failure(f"no answer from {self._url}: {why}") from None
        if status == 404:
            return None
        try:
            value: Any = msgspec.json.decode(body)
        except msgspec.DecodeError:
            value = None
        if status != 200 or not isinstance(value, dict):
            raise Failure(f"{self._url} answers {status}, and not as an MCP Registry (v0.1) does")
        return value


def registry(where: str) -> FileRegistry | UrlRegistry:
    """The registry that `--registry` names.

    Raises:
        Misuse: It is none.
        Failure: The file cannot be read.
    """
    return UrlRegistry(where) if is_url(where) else FileRegistry(where)


def _with_status(server: Json, entry: Json) -> Json:
    meta = entry.get("_meta")
    official = meta.get(OFFICIAL) if isinstance(meta, dict) else None
    status = official.get("status") if isinstance(official, dict) else None
    return {**server, "status": status} if status else server


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
