"""The sql registry: what it promises beyond the contract."""

from __future__ import annotations

import asyncio
import importlib.util
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy.exc import DBAPIError

from portico._config.strict import structured
from portico._config.wording import Wrong
from portico.api import Author, Change, Json, RegistryDown, Secret
from portico.testing import RecordingLog, make_host
from portico_plugins.registries.sql import SQL
from portico_plugins.registries.sql.address import Address, address_of
from portico_plugins.registries.sql.config import SqlConfig
from tests.databases import PASSWORD, MariaDB, PostgreSQL, Server, mariadb, postgresql
from tests.plugins.registries.kept import TABLES, opened

ALICE = Author("alice", "cli")
SERVED = {"postgresql": (PostgreSQL, postgresql), "mariadb": (MariaDB, mariadb)}
T = TypeVar("T")
KINDS = ["sqlite", *SERVED]


def put(name: str, **config: object) -> Change:
    return Change("upstreams", name, config)


@asynccontextmanager
async def registry_of(table: Json, log: RecordingLog | None = None, **more: Any) -> AsyncIterator[Any]:
    config = SqlConfig(url=Secret(table["url"]), **({"timeout": 20} | more))  # of a busy machine
    async with SQL.create(config, make_host("main", "registries", log=log)) as registry:
        yield registry


@asynccontextmanager
async def server_of(kind: str, tmp_path: Path) -> AsyncIterator[tuple[Server, Json]]:
    """A server of one's own, and the table of a registry in it."""
    cls, run = SERVED[kind]
    if cls.missing():
        pytest.skip(cls.missing())
    async with run(tmp_path, durable=False) as server:
        table = {"use": "sql", "url": await asyncio.to_thread(server.fresh)}
        async with SQL.schema(SqlConfig(url=Secret(table["url"])), "main", Path(), Path()) as schema:
            await schema.upgrade()
        yield server, table


# --- where it is --------------------------------------------------------------------------------------


def test_a_url_is_taken_apart() -> None:
    assert address_of("postgres://u%40x:p%2Fw@db:7/name?sslmode=verify-full") == Address(
        "postgresql", host="db", port=7, user="u@x", password=Secret("p/w"), database="name", tls="verify"
    )
    assert address_of("mariadb+aiomysql://db/name?sslmode=disable").tls == "off"
    assert address_of("mysql://u@localhost/name?unix_socket=/run/s").host == "/run/s"
    assert address_of("sqlite:///a%20b.db") == Address("sqlite", path=Path("a b.db"))
    assert address_of("sqlite:////var/a.db").path == Path("/var/a.db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("oracle://u:geheim@h/d", "expected a URL that begins with one of sqlite://"),
        ("postgresql:u:geheim@h/d", "expected a URL that begins with one of sqlite://"),
        ("postgresql://u:geheim@h", "expected postgresql://USER@HOST/DATABASE"),
        ("postgresql://u:geheim@h:port/d", "the host or port of the URL is not one"),
        ("postgresql://u:geheim@h/d?sslmode=requite", "did you mean 'require'?"),
        ("mysql://u:geheim@h/d?ssl=geheim", "unknown parameter ssl in the URL"),
        ("sqlite://:memory:", "`memory` is a registry of its own"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_quoting_it(url: str, said: str) -> None:
    with pytest.raises(Wrong) as wrong:
        structured({"url": url}, SqlConfig, Path())
    [(place, message)] = wrong.value.problems
    assert place == ("url",)
    assert said in message
    assert "geheim" not in message


def test_a_driver_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for url, extra in (("postgresql://h/d", "postgresql"), ("mariadb://h/d", "mysql")):
        with pytest.raises(Wrong) as wrong:
            structured({"url": url}, SqlConfig, Path())
        assert f"pip install 'portico[{extra}]'" in wrong.value.problems[0][1]


async def test_a_password_is_given_apart_and_shown_nowhere(tmp_path: Path) -> None:
    table = TABLES["postgresql"](tmp_path)
    address = address_of(table["url"])
    bare = f"postgresql://{address.user}@{address.host}:{address.port}/{address.database}"
    log = RecordingLog()
    async with registry_of({"url": bare}, log, password=Secret(PASSWORD)) as registry:
        assert await registry.load() == (0, [])
    async with registry_of({"url": bare}, log, password=Secret("wr0ng-one")) as registry:
        with pytest.raises(RegistryDown) as down:
            await registry.load()
    [line] = log.lines
    assert line.facts["database"] == bare
    assert "password authentication failed" in line.facts["error"]
    assert "wr0ng-one" not in f"{log.lines} {down.value!r} {down.value.__notes__}"
    assert str(down.value) == "the database refuses"
    assert PASSWORD not in repr(SqlConfig(url=Secret(table["url"]), password=Secret(PASSWORD)))


# --- SQLite -------------------------------------------------------------------------------------------


async def test_sqlite_needs_no_configuration_and_keeps_its_files_private(tmp_path: Path) -> None:
    host = make_host("main", "registries", base=tmp_path)
    async with SQL.create(SqlConfig(), host) as registry:
        await registry.write([put("a")], ALICE)
        state = tmp_path / ".portico"
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.iterdir())}
        assert modes == {".portico": 0o700, "main.db": 0o600, "main.db-wal": 0o600, "main.db-shm": 0o600}
    async with SQL.create(SqlConfig(), host) as registry:
        assert (await registry.load())[0] == 1


async def test_sqlite_flushes_each_write_and_readers_do_not_wait(tmp_path: Path) -> None:
    table = TABLES["sqlite"](tmp_path)
    async with opened(table, tmp_path) as registry:
        await registry.load()
        async with registry._database.engine.connect() as connection:
            modes = [
                (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
                for name in ("journal_mode", "synchronous")
            ]
        assert modes == ["wal", 2]
        with sqlite3.connect(tmp_path / "main.db") as other:
            other.execute("BEGIN IMMEDIATE")
            assert await registry.load() == (0, [])


async def test_many_that_open_an_empty_sqlite_file_at_once_make_one_schema(tmp_path: Path) -> None:
    table = TABLES["sqlite"](tmp_path)

    async def write(number: int) -> int:
        async with opened(table, tmp_path) as registry:
            return await registry.write([put(f"r{number}")], ALICE)

    assert sorted(await asyncio.gather(*(write(number) for number in range(8)))) == list(range(1, 9))


async def test_a_sqlite_file_that_is_none_is_a_registry_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "main.db").write_bytes(b"no database at all" * 100)
    async with opened(TABLES["sqlite"](tmp_path), tmp_path) as registry:
        with pytest.raises(RegistryDown):
            await registry.load()
        (tmp_path / "main.db").unlink()
        assert await registry.load() == (0, [])


async def test_the_history_of_one_record_is_found_by_an_index(tmp_path: Path) -> None:
    async with opened(TABLES["sqlite"](tmp_path), tmp_path) as registry:
        await registry.write([put("a")], ALICE)
    with sqlite3.connect(tmp_path / "main.db") as database:
        plan = database.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM portico_audit WHERE kind = 'upstreams' AND name = 'a' "
            "AND revision < 9 ORDER BY revision DESC, place DESC LIMIT 50"
        ).fetchall()
    assert ["portico_audit_of" in line[3] for line in plan] == [True]  # and nothing is sorted


# --- all of them ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_text_of_every_sort_comes_back_as_it_was(kind: str, tmp_path: Path) -> None:
    text = "%s %(a)s \\ ' \" ` \0 \n \u2028 \U0001f600 " + "x" * 500_000
    config = {"text": text, "float": 0.1, "one": 1.0, "z": 1, "a": 2}
    author = Author("ali'ce\\", "api", "::1")
    async with opened(TABLES[kind](tmp_path), tmp_path) as registry:
        await registry.write([put("a%", **config), put("a."), put("a. "), put("a..")], author)
        _, records = await registry.load()
        assert [each.name for each in records] == ["a%", "a.", "a. ", "a.."]
        assert records[0].config == config
        assert list(records[0].config) == list(config)
        assert type(records[0].config["one"]) is float
        [line] = await registry.history("upstreams", "a. ")
        assert (line.author, line.after) == (author, records[2])


@pytest.mark.parametrize("kind", KINDS)
async def test_many_records_are_written_at_once(kind: str, tmp_path: Path) -> None:
    async with opened(TABLES[kind](tmp_path), tmp_path) as registry:
        for value in (1, 2):
            await registry.write([put(f"r{number}", value=value) for number in range(1000)], ALICE)
        revision, records = await registry.load()
    assert (revision, len(records), {each.version for each in records}) == (2, 1000, {2})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_write_goes_on_when_whoever_asked_for_it_has_left(kind: str, tmp_path: Path) -> None:
    async with opened(TABLES[kind](tmp_path), tmp_path) as registry, registry.watch() as following:
        writing = asyncio.create_task(registry.write([put("a")], ALICE))
        await asyncio.sleep(0)
        writing.cancel()
        async with asyncio.timeout(30):
            assert await following() == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_watcher_hears_of_what_others_write(kind: str, tmp_path: Path) -> None:
    table = TABLES[kind](tmp_path)
    async with opened(table, tmp_path) as one, opened(table, tmp_path) as other, one.watch() as following:
        for revision in (1, 2, 3):
            waiting = asyncio.ensure_future(following())
            await other.write([put("a", n=revision)], ALICE)
            async with asyncio.timeout(30):
                assert await waiting == revision


# --- away -----------------------------------------------------------------------------------------------


async def test_postgresql_says_itself_that_there_is_something_new(tmp_path: Path) -> None:
    table = TABLES["postgresql"](tmp_path)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
    )
    async with (
        asyncio.timeout(30),
        registry_of(table, poll=3600.0) as one,
        opened(table, tmp_path) as other,
        one.watch() as following,
    ):
        waiting = asyncio.ensure_future(following())
        while not _listens(one):
            await asyncio.sleep(0)
        await other.write([put("a")], ALICE)
        assert await waiting == 1
        # A connection that listens and is cut off is replaced, and what was missed is made up for.
        waiting = asyncio.ensure_future(following())
        async with other._database.engine.connect() as connection:
            await connection.exec_driver_sql(cut)
        await other.write([put("b")], ALICE)
        assert await waiting == 2


def _listens(registry: Any) -> bool:
    return any(watch._listening is not None for watch in registry._watches)


@pytest.mark.parametrize("kind", SERVED)
async def test_an_outage_is_said_and_gets_over(kind: str, tmp_path: Path) -> None:
    async with server_of(kind, tmp_path) as (server, table):
        await server.stop()
        log = RecordingLog()
        async with registry_of(table, log) as registry, registry.watch() as following:
            for attempt in (registry.load(), registry.write([put("a")], ALICE), registry.history()):
                with pytest.raises(RegistryDown):
                    await attempt
            with pytest.raises(RegistryDown):
                await following()
            assert log.events == ["registry.database"]  # once is enough
            await server.start()
            assert await following() == 0
            assert await registry.write([put("a")], ALICE) == 1
            assert await following() == 1
            waiting = asyncio.ensure_future(following())
            await asyncio.sleep(0)
            await server.stop()
            with pytest.raises(RegistryDown):
                await waiting
            await server.start()
            assert (await registry.load())[0] == 1


@pytest.mark.parametrize("kind", SERVED)
async def test_a_database_that_says_nothing_is_not_waited_for(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with server_of(kind, tmp_path) as (server, table):
        async with registry_of(table, timeout=0.5) as registry, registry.watch() as following:
            async with registry_of(table) as patient:
                await patient.write([put("a")], ALICE)
            assert await _at_last(following) == 1
            server.freeze()
            async with asyncio.timeout(60):
                attempts = [registry.load() for _ in range(5)]
                attempts += [registry.write([put("b")], ALICE), registry.history(), following()]
                done = await asyncio.gather(*attempts, return_exceptions=True)
            assert {type(each) for each in done} == {RegistryDown}
            server.thaw()
            async with asyncio.timeout(60):
                revision, records = await _at_last(registry.load)
            assert revision == len(records)  # what was under way has happened, or not, as a whole
            server.freeze()
        server.thaw()  # and leaving did not wait for it either
    assert caplog.records == []


@pytest.mark.parametrize("kind", SERVED)
async def test_one_who_stands_still_in_a_write_holds_up_nobody_for_long(kind: str, tmp_path: Path) -> None:
    table = TABLES[kind](tmp_path)
    async with registry_of(table, timeout=1.0) as one, registry_of(table, timeout=1.0) as other:
        await _at_last(one.load)

        async def stand_still() -> None:
            async with one._database.writing() as connection:
                await one._write(connection, [put("never")], ALICE, None)
                with pytest.raises(RegistryDown):
                    await other.write([put("a")], ALICE)
                async with asyncio.timeout(60):
                    assert await _at_last(lambda: other.write([put("a")], ALICE)) == 1

        with pytest.raises(DBAPIError):
            await stand_still()
        assert [each.name for each in (await _at_last(other.load))[1]] == ["a"]


async def _at_last(act: Callable[[], Awaitable[T]]) -> T:
    """What it gives once the database is not away."""
    while True:
        try:
            return await act()
        except RegistryDown:
            await asyncio.sleep(0)


def test_who_has_no_such_registry_does_not_load_what_it_needs() -> None:
    code = "import sys, portico_plugins.registries.sql; print({'sqlalchemy', 'alembic'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
