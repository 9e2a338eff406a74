"""Catalogs: what is read of a registry, and what a registry may not do to who reads it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from portico._config.exchange.catalog import (
    Catalog,
    CatalogDown,
    NoCatalog,
    as_upstream,
    catalog_at,
    ways_to_have,
)
from portico._config.exchange.fetching import Unfetched, fetch
from tests.kernel.cli.small_api import serving
from tests.kernel.small_registry import ENTRIES, entry, small_registry

MANY = [entry(f"io.example/s{number}", "Even" if number % 2 == 0 else "Odd") for number in range(9)]


@pytest.fixture(params=["url", "file"])
def many(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    """The same servers at an endpoint, and in a file."""
    (tmp_path / "all.json").write_text(json.dumps({"servers": MANY}))
    with small_registry(MANY) as url:
        yield catalog_at(url if request.param == "url" else str(tmp_path / "all.json"), allow_private=True)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9, 50])
@pytest.mark.parametrize("words", ["", "s even", "s odd"])
def test_pages_hold_every_server_that_fits_once(many: Catalog, limit: int, words: str) -> None:
    names: list[str] = []
    cursor = ""
    while True:
        page = many.search(words, limit, cursor)
        assert len(page.servers) <= limit
        names += [each["name"] for each in page.servers]
        if not page.next:
            break
        cursor = page.next
    fitting = [
        each["server"] for each in MANY if words.rpartition(" ")[2] in each["server"]["description"].lower()
    ]
    assert names == [each["name"] for each in fitting]


@pytest.mark.parametrize("cursor", ["x", "-1", "1e3", "x:y", "99999999999"])
def test_a_cursor_that_is_none_is_refused(many: Catalog, cursor: str) -> None:
    with pytest.raises(ValueError, match="none of this catalog"):
        many.search("", 10, cursor)


def test_a_server_says_how_it_can_be_had_and_what_it_becomes() -> None:
    with small_registry() as url:
        catalog = catalog_at(url, allow_private=True)
        weather, news = catalog.get("io.example/weather"), catalog.get("io.example/weather-news")
        assert catalog.get("io.example/nobody") is None
    assert weather is not None
    assert news is not None
    assert (ways_to_have(weather), ways_to_have({**news, "status": "deprecated"})) == (
        ["remote"],
        ["npm", "deprecated"],
    )
    (item,) = as_upstream(weather, name="w").items
    assert (item.name, item.config["url"]) == ("w", "https://weather.example/mcp")


@pytest.mark.parametrize(
    "where", ["http://registry.example", "https://", "https://h:port", "http://127.0.0.1.example"]
)
def test_what_is_no_safe_address_of_a_catalog_is_refused(where: str) -> None:
    with pytest.raises(NoCatalog):
        catalog_at(where)


def test_a_private_address_is_connected_to_only_if_that_is_said() -> None:
    with small_registry() as url:
        with pytest.raises(CatalogDown, match="loopback"):
            catalog_at(url).get("io.example/weather")
        with pytest.raises(CatalogDown, match="loopback"):
            catalog_at(url.replace("127.0.0.1", "localhost")).get("io.example/weather")
    with pytest.raises(CatalogDown, match="metadata"):
        catalog_at("https://169.254.169.254", allow_private=True).get("x/y")


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogDown, match="cannot be read"):
        catalog_at(str(tmp_path / "none.json")).search("", 1)
    (tmp_path / "x.json").write_text(json.dumps(ENTRIES[0]["_meta"]))
    with pytest.raises(NoCatalog):
        catalog_at(str(tmp_path / "x.json")).search("", 1)


Answering = Callable[[BaseHTTPRequestHandler], None]


def answering(answer: Answering) -> Any:
    """A server that answers a GET in this way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    return serving(Handler)


def test_a_redirection_is_not_followed() -> None:
    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "http://169.254.169.254/latest")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with answering(elsewhere) as url:
        assert fetch(url, allow_private=True, seconds=10, most=100)[0] == 302
        with pytest.raises(CatalogDown, match="answers 302"):
            catalog_at(url, allow_private=True).search("", 1)


@pytest.mark.parametrize("sized", [True, False])
def test_what_is_too_large_is_not_read_to_its_end(sized: bool) -> None:
    def much(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if sized:
            handler.send_header("Content-Length", str(10**7))
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(1000):
                handler.wfile.write(b" " * 10_000)

    with answering(much) as url, pytest.raises(Unfetched, match="more than 1000 bytes"):
        fetch(url, allow_private=True, seconds=10, most=1000)


def test_an_answer_that_never_ends_is_cut_off() -> None:
    go = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not go.wait(0.05):
            handler.wfile.write(b"x: y\r\n")

    with answering(slow) as url:
        try:
            with pytest.raises(Unfetched, match="it took more than"):
                fetch(url, allow_private=True, seconds=0.4, most=1000)
        finally:
            go.set()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"[" * 100_000, b'{"servers": 7}', b'{"servers": [7, {"server": 7}]}']
)
def test_an_answer_that_is_none_of_a_registry_breaks_nothing(body: bytes) -> None:
    def nonsense(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with answering(nonsense) as url:
        catalog = catalog_at(url, allow_private=True)
        if b"servers" in body:
            assert catalog.search("", 10).servers == []
        else:
            with pytest.raises(CatalogDown, match="not as an MCP Registry"):
                catalog.search("", 10)


def test_a_registry_whose_pages_never_end_is_left_at_some_time() -> None:
    asked: list[str] = []

    def endless(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        body = json.dumps({"servers": [], "metadata": {"nextCursor": f"n{len(asked)}"}}).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with answering(endless) as url:
        page = catalog_at(url, allow_private=True).search("x", 10)
    assert (page.servers, page.next, len(asked)) == ([], "0:n20", 20)
