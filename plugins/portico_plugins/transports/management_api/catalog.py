"""Servers of an MCP Registry: found in the catalog the operator named, and added as upstreams."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any, Final

import attrs

from portico.api import Catalog, Json, as_upstream, catalog_at, ways_to_have
from portico_plugins.transports.management_api.answers import Added, Item, Note, Offering, Offerings
from portico_plugins.transports.management_api.bodies import About, Chosen, New, read
from portico_plugins.transports.management_api.problems import Problem
from portico_plugins.transports.management_api.records import DRY_RUN, PAGE, Records
from portico_plugins.transports.management_api.shown import cursor_of, place_of
from portico_plugins.transports.management_api.table import Answer, Call, Operation, Query

_SEARCH: Final = Query("search", "Only those that all these words fit; the first is part of the name.")
_AT_ONCE: Final = 4
"""Requests that may read the catalog at one time, each in a thread; others wait."""


class Servers:
    """The operations on the catalog.

    Args:
        where: The catalog's URL or file, "" for none.
        allow_private: Whether it may have a private address.
    """

    def __init__(self, where: str, allow_private: bool) -> None:
        self._where, self._allow_private = where, allow_private
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @cached_property
    def _catalog(self) -> Catalog:
        if not self._where:
            raise Problem(404, "no-catalog", "There is no catalog: `catalog` of the management API names one")
        return catalog_at(self._where, allow_private=self._allow_private)

    def operations(self) -> tuple[Operation, ...]:
        """The part of the route table."""
        return (
            Operation(
                "GET",
                "/catalog",
                "listCatalog",
                "Find servers in the catalog.",
                self.list,
                {200: Offerings},
                (*PAGE, _SEARCH),
                problems=(404, 502),
            ),
            Operation(
                "POST",
                "/catalog",
                "addFromCatalog",
                "Add a server of the catalog as an upstream.",
                self.add,
                {201: Added, 200: Added},
                (DRY_RUN,),
                Chosen,
                problems=(404, 409, 415, 422, 502, 503),
                idempotent=True,
            ),
        )

    async def list(self, call: Call) -> Answer:
        """A page of the servers that fit."""
        catalog, limit = self._catalog, call.query.get("limit", 100)
        place = place_of(call.query["cursor"], str)[0] if "cursor" in call.query else ""
        async with self._turns:
            try:
                page = await asyncio.to_thread(catalog.search, call.query.get("search", ""), limit, place)
            except ValueError:
                wrong = [("cursor", "expected the next_cursor of an earlier answer")]
                raise Problem(400, "bad-query", "A query parameter is wrong", wrong) from None
        more = cursor_of(page.next) if page.next else None
        return Answer(200, Offerings([_offering(each) for each in page.servers], more))

    async def add(self, call: Call) -> Answer:
        """Make an upstream of one of them."""
        chosen, catalog = read(call.body, Chosen), self._catalog
        async with self._turns:
            found = await asyncio.to_thread(catalog.get, chosen.server, chosen.version)
        if found is None:
            version = "" if chosen.version == "latest" else f" {chosen.version}"
            raise Problem(404, "not-found", f"The catalog has no server {chosen.server!r}{version}")
        taken = as_upstream(found, chosen.prefer, chosen.name)
        notes = [Note(about, message) for about, message in taken.notes]
        if not taken.items:
            wrong = [("server", note.message) for note in notes]
            raise Problem(422, "invalid", "No upstream can be made of this server", wrong)
        item = taken.items[0]
        new = New(item.name, item.config, read(item.about, About))
        author = attrs.evolve(call.author, via="catalog")
        answer = await Records("upstreams").make(attrs.evolve(call, author=author, body=None), new)
        if not isinstance(answer.value, Item):  # make() gives nothing else
            raise TypeError(type(answer.value).__name__)
        return attrs.evolve(answer, value=Added(answer.value, notes))


def _offering(server: Json) -> Offering:
    def text(key: str) -> str:
        value: Any = server.get(key)
        return value if isinstance(value, str) else ""

    return Offering(
        text("name"), text("title"), text("version"), text("description"), ways_to_have(server), server
    )
