"""A catalog to add servers from: the endpoint of an MCP Registry (v0.1), or a file of its answers.

What a registry says is hearsay: sizes, times, addresses and the number of pages are bounded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode, urlsplit

import attrs
import msgspec

from portico._config.exchange.items import Taken, without_environment
from portico._config.exchange.server_json import OFFICIAL, from_server, objects_in, servers_in
from portico._core.contracts.json import Json
from portico._core.errors import PorticoError

OFFICIAL_URL: Final = "https://registry.modelcontextprotocol.io"

_PAGE: Final = 100
_PAGES: Final = 20
"""How many pages of a registry are read for one of ours; a search may find little in each."""
_MOST: Final = 16 * 1024 * 1024
_SECONDS: Final = 30.0


class NoCatalog(PorticoError):
    """What was named is no catalog."""


class CatalogDown(PorticoError):
    """A catalog cannot be read now, or does not answer as one."""


@attrs.frozen
class CatalogPage:
    """Some servers of a catalog.

    Attributes:
        servers: `server.json` documents, with the registry's `status` where it says one.
        next: Where to go on; "" at the end.
    """

    servers: list[Json]
    next: str


class Catalog(Protocol):
    """Where servers are found. Its methods block."""

    def search(self, words: str, limit: int, cursor: str = "") -> CatalogPage:
        """The servers that all words fit. A page may have fewer than `limit`, and not be the last.

        Args:
            words: Parts of the name, title or description, whatever their case.
            limit: No more than so many.
            cursor: The `next` of the page before.

        Raises:
            CatalogDown: It cannot be read.
            ValueError: The cursor is none of this catalog's.
        """
        ...

    def get(self, name: str, version: str = "latest") -> Json | None:
        """One server; None if there is none of that name and version.

        Raises:
            CatalogDown: It cannot be read.
        """
        ...


def is_url(where: str) -> bool:
    """Whether a catalog is an endpoint, and not a file."""
    return where.lower().startswith(("http://", "https://"))


def catalog_at(where: str, *, allow_private: bool = False) -> Catalog:
    """The catalog at a URL, or in a file.

    Args:
        where: Which.
        allow_private: Whether its address may be loopback or private. Plain HTTP is for loopback only, and
            addresses of cloud metadata are refused, either way.

    Raises:
        NoCatalog: It is none.
    """
    return UrlCatalog(where, allow_private=allow_private) if is_url(where) else FileCatalog(Path(where))


def as_upstream(server: Json, prefer: str = "remote", name: str = "") -> Taken:
    """The upstream a server of a catalog is to become, and what there is to be said of it.

    Args:
        server: A `server.json` document.
        prefer: `remote` or `package`, if it has both.
        name: Of the upstream; by default the last part of the server's.
    """
    taken = from_server(server, prefer, name)
    clean = without_environment(taken.items)
    return Taken(clean.items, [*taken.notes, *clean.notes])


def ways_to_have(server: Json) -> list[str]:
    """How a server can be had (`remote`, `npm`, ...), and whether it is `deprecated` or `deleted`."""
    found: dict[str, None] = {"remote": None} if server.get("remotes") else {}
    for each in objects_in(server.get("packages")):
        found[str(each.get("registryType") or each.get("registry_type") or "?")] = None
    if server.get("status") in ("deprecated", "deleted"):
        found[str(server["status"])] = None
    return list(found)


class FileCatalog:
    """A registry's answer, or `server.json` documents, in a file. It is read anew each time.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def _servers(self) -> list[Json]:
        from portico._config.exchange.formats import parse
        from portico._core.errors import ConfigError

        try:
            with self._path.open("rb") as file:
                data = file.read(_MOST + 1)
            if len(data) > _MOST:
                raise CatalogDown(f"{self._path} has more than {_MOST} bytes")
            found = list(servers_in(parse(data.decode(), str(self._path))))
        except OSError as error:
            raise CatalogDown(f"{self._path} cannot be read: {error.strerror}") from None
        except (ConfigError, UnicodeDecodeError):
            found = []
        if not found:
            raise NoCatalog(f"{self._path} has no server of an MCP Registry in it")
        return found

    def search(self, words: str, limit: int, cursor: str = "") -> CatalogPage:
        """See `Catalog.search`."""
        start = _start(cursor)
        found = [each for each in self._servers() if _fits(each, words.lower().split())]
        more = str(start + limit) if start + limit < len(found) else ""
        return CatalogPage(found[start : start + limit], more)

    def get(self, name: str, version: str = "latest") -> Json | None:
        """See `Catalog.get`."""
        found = [each for each in self._servers() if each["name"] == name]
        if version != "latest":
            found = [each for each in found if each.get("version") == version]
        return found[-1] if found else None


class UrlCatalog:
    """A registry's endpoint.

    Args:
        url: Its base, below which is `/v0.1`.
        allow_private: See `catalog_at`.

    Raises:
        NoCatalog: The URL is none, or plain HTTP to another machine.
    """

    def __init__(self, url: str, *, allow_private: bool) -> None:
        from portico._config.exchange.fetching import is_loopback

        parts = urlsplit(url)
        try:
            valid = bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise NoCatalog(f"expected a URL like {OFFICIAL_URL}, got {url!r}")
        if parts.scheme == "http" and not is_loopback(str(parts.hostname)):
            raise NoCatalog(f"{url} is not encrypted: whoever is in between decides what is added; use https")
        self._url, self._allow_private = url.rstrip("/"), allow_private

    def search(self, words: str, limit: int, cursor: str = "") -> CatalogPage:
        """See `Catalog.search`; the first word is part of the name, the others stand somewhere."""
        first, *others = words.lower().split() or [""]
        # Where we are: how many of a page have been given, and the cursor of that page.
        given, _, place = cursor.partition(":")
        skip = _start(given)
        found: list[Json] = []
        for _ in range(_PAGES):
            query = {"limit": str(_PAGE), "version": "latest"}
            query |= ({"search": first} if first else {}) | ({"cursor": place} if place else {})
            page = self._get("servers", query) or {}
            entries = page.get("servers")
            entries = entries if isinstance(entries, list) else []
            for number, entry in enumerate(entries[skip:], skip + 1):
                found += [each for each in _servers_of(entry) if _fits(each, others)]
                if len(found) >= limit and number < len(entries):
                    return CatalogPage(found[:limit], f"{number}:{place}")
            following = _following(page)
            if not following or following == place:
                return CatalogPage(found, "")
            place, skip = following, 0
            if len(found) >= limit:
                break
        return CatalogPage(found, f"0:{place}")

    def get(self, name: str, version: str = "latest") -> Json | None:
        """See `Catalog.get`."""
        entry = self._get(f"servers/{quote(name, safe='')}/versions/{quote(version, safe='')}", {})
        return next(iter(_servers_of(entry)), None) if entry is not None else None

    def _get(self, path: str, query: dict[str, str]) -> Json | None:
        from portico._config.exchange.fetching import Unfetched, fetch

        url = f"{self._url}/v0.1/{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            status, body = fetch(url, allow_private=self._allow_private, seconds=_SECONDS, most=_MOST)
        except Unfetched as error:
            raise CatalogDown(f"no answer from {self._url}: {error}") from None
        if status == 404:
            return None
        try:
            value: Any = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = None
        if status != 200 or not isinstance(value, dict):
            raise CatalogDown(f"{self._url} answers {status}, and not as an MCP Registry (v0.1) does")
        return value


def _servers_of(entry: Any) -> list[Json]:
    """The server of an entry of a list, with its status."""
    if not isinstance(entry, dict):
        return []
    meta = entry.get("_meta")
    official = meta.get(OFFICIAL) if isinstance(meta, dict) else None
    status = official.get("status") if isinstance(official, dict) else None
    found = list(servers_in({"server": entry.get("server")}))
    return [{**each, "status": status} if isinstance(status, str) else each for each in found]


def _following(page: Json) -> str:
    metadata = page.get("metadata")
    if not isinstance(metadata, dict):
        return ""
    return str(metadata.get("nextCursor") or metadata.get("next_cursor") or "")


def _fits(server: Json, words: list[str]) -> bool:
    text = " ".join(str(server.get(key) or "") for key in ("name", "title", "description")).lower()
    return all(word in text for word in words)


def _start(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError("the cursor is none of this catalog's")
    return int(text)
