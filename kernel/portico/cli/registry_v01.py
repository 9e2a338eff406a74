"""The catalog that `--registry` names, with its failures as the command line has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from portico._config.exchange.catalog import OFFICIAL_URL, Catalog, CatalogDown, NoCatalog, catalog_at
from portico._core.contracts.json import Json
from portico.cli.failures import Failure, Misuse

__all__ = ["OFFICIAL_URL", "Registry", "registry"]

_PAGE = 100


class Registry:
    """A catalog of the user's own choice: it may be on their own network.

    Args:
        where: A URL, or a file.

    Raises:
        Misuse: It is none.
    """

    def __init__(self, where: str) -> None:
        with _explained():
            self._catalog: Catalog = catalog_at(where, allow_private=True)

    def search(self, words: str) -> Iterator[Json]:
        """The servers that all words fit.

        Raises:
            Failure: It cannot be read.
        """
        cursor = ""
        while True:
            with _explained():
                page = self._catalog.search(words, _PAGE, cursor)
            yield from page.servers
            if not page.next or page.next == cursor:
                return
            cursor = page.next

    def get(self, name: str, version: str) -> Json | None:
        """One server; None if there is none of that name and version.

        Raises:
            Failure: It cannot be read.
        """
        with _explained():
            return self._catalog.get(name, version)


def registry(where: str) -> Registry:
    """The registry that `--registry` names; see `Registry`."""
    return Registry(where)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except NoCatalog as error:
        raise Misuse(str(error)) from None
    except CatalogDown as error:
        raise Failure(str(error)) from None
