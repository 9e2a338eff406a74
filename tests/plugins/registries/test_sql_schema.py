"""The schema of the sql registry: every revision, up and down, with records in it."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from portico.api import Author, Change, ConfigError, Json, RegistryDown, Secret
from portico_plugins.registries.sql import sql_schema
from portico_plugins.registries.sql.config import SqlConfig
from portico_plugins.registries.sql.schema import NEEDED, VERSIONS
from portico_plugins.registries.sql.tables import RECORDS
from tests.plugins.registries.kept import TABLES, opened

ALICE = Author("alice", "cli")
KINDS = ["sqlite", "postgresql", "mariadb"]
EXPLICIT = ["postgresql", "mariadb"]


@pytest.fixture(params=KINDS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Json:
    return TABLES[request.param](tmp_path)


def schema_of(table: Json) -> AbstractAsyncContextManager[Any]:
    return sql_schema(SqlConfig(url=Secret(table["url"])), "main", Path(), Path())


async def shape_of(schema: Any) -> tuple[bool, bool]:
    """Whether there is the index of 0002, and the column of 0003."""

    def look(connection: Connection) -> tuple[bool, bool]:
        there = inspect(connection)
        indexes = {each["name"] for each in there.get_indexes("portico_audit")}
        columns = {each["name"] for each in there.get_columns("portico_audit")}
        return "portico_audit_of" in indexes, "request" in columns

    async with schema._database.engine.connect() as connection:
        found: tuple[bool, bool] = await connection.run_sync(look)
        return found


async def sql(schema: Any, statement: str) -> list[Any]:
    async with schema._database.writing() as connection:
        result = await connection.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


async def test_records_survive_every_revision_down_and_up_again(table: Json, tmp_path: Path) -> None:
    async with opened(table, tmp_path) as registry:
        await registry.write([Change("upstreams", name, {"n": 2**70}) for name in ("a", "a ", "ü")], ALICE)
        await registry.write([Change("upstreams", "a", None)], ALICE)
        before = await registry.load(), await registry.history()
    async with schema_of(table) as schema:
        assert await schema.current() == (NEEDED, NEEDED) == ("0003", "0003")
        shapes = [await shape_of(schema)]
        for at in ("0002", "0001"):
            await schema.downgrade()
            assert await schema.current() == (at, NEEDED)
            assert await sql(schema, "SELECT count(*) FROM portico_audit") == [(4,)]
            shapes.append(await shape_of(schema))
        assert shapes == [(True, True), (True, False), (False, False)]
        await schema.upgrade("0002")
        await schema.upgrade()
        assert await shape_of(schema) == (True, True)
    async with opened(table, tmp_path) as registry:
        assert (await registry.load(), await registry.history()) == before
        assert await registry.write([Change("upstreams", "b", {})], ALICE) == 3


async def test_the_way_down_to_nothing_takes_everything_and_leads_up_again(
    table: Json, tmp_path: Path
) -> None:
    async with opened(table, tmp_path) as registry:
        await registry.write([Change("upstreams", "a", {})], ALICE)
    async with schema_of(table) as schema:
        await schema.downgrade("")
        assert await schema.current() == ("", NEEDED)
        with pytest.raises(RegistryDown):
            await schema._database.run(lambda: sql(schema, "SELECT * FROM portico_records"))
        await schema.upgrade()
    async with opened(table, tmp_path) as registry:
        assert await registry.load() == (0, [])
        assert await registry.history() == []


async def test_the_tables_are_what_the_code_takes_them_for(table: Json, tmp_path: Path) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, _: kind != "table" or name != VERSIONS,
                "compare_type": True,
            },
        )
        return list(compare_metadata(context, RECORDS.metadata))

    async with schema_of(table) as schema:
        await schema.upgrade()
        async with schema._database.engine.connect() as connection:
            assert await connection.run_sync(differences) == []


async def test_what_was_left_half_done_is_brought_to_its_end(table: Json, tmp_path: Path) -> None:
    async with opened(table, tmp_path) as registry:
        await registry.write([Change("upstreams", "a", {})], ALICE)
        before = await registry.load()
    async with schema_of(table) as schema:
        for done in ("0002", "0001", ""):  # what there is, is there, but it was not taken down that it is
            await sql(schema, f"DELETE FROM {VERSIONS}")
            if done:
                await sql(schema, f"INSERT INTO {VERSIONS} (version_num) VALUES ('{done}')")
            assert await schema.current() == (done, NEEDED)
            await schema.upgrade()
            assert await schema.current() == (NEEDED, NEEDED)
    async with opened(table, tmp_path) as registry:
        assert await registry.load() == before


async def test_two_that_upgrade_at_once_do_it_once(table: Json) -> None:
    async def upgrade() -> None:
        async with schema_of(table) as schema:
            await schema.upgrade()

    async with schema_of(table) as schema:
        await schema.upgrade()
        await schema.downgrade("")
        await asyncio.gather(upgrade(), upgrade())
        assert await schema.current() == (NEEDED, NEEDED)
        assert await sql(schema, "SELECT id, revision FROM portico_revision") == [(1, 0)]


async def test_there_is_no_way_to_a_revision_that_is_not_that_way(table: Json) -> None:
    async with schema_of(table) as schema:
        await schema.upgrade()
        acts: list[tuple[Any, str, str]] = [
            (schema.upgrade, "0008", "there is no revision '0008'; did you mean '0003'?"),
            (schema.upgrade, "0001", "revision 0001 is not above 0003"),
            (schema.downgrade, "0009", "there is no revision '0009'"),
        ]
        for act, revision, said in acts:
            with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
                await act(revision)
        await schema.downgrade("0001")
        with pytest.raises(ConfigError, match="revision 0002 is not below 0001"):
            await schema.downgrade("0002")


@pytest.mark.parametrize("kind", EXPLICIT)
async def test_a_schema_that_is_not_what_is_needed_is_told_with_what_to_do(kind: str, tmp_path: Path) -> None:
    table = TABLES[kind](tmp_path)
    async with schema_of(table) as schema, opened(table, tmp_path) as registry:
        for at, said in (("0001", "has revision 0001, and 0003"), ("", "has no tables, and 0003")):
            await schema.downgrade(at)
            with pytest.raises(RegistryDown, match=f"the schema of the database {said} is needed") as down:
                await registry.load()
            assert str(down.value).endswith("run `gateway db upgrade`")
        await schema.upgrade()
        assert await registry.load() == (0, [])  # and it need not be opened again


async def test_a_newer_schema_is_left_alone(table: Json, tmp_path: Path) -> None:
    async with schema_of(table) as schema:
        await schema.upgrade()
        await sql(schema, f"UPDATE {VERSIONS} SET version_num = '0100'")
        async with opened(table, tmp_path) as registry:
            with pytest.raises(RegistryDown, match="is of a newer version: it has revision 0100"):
                await registry.load()
        with pytest.raises(ConfigError, match="of another version of Portico"):
            await schema.upgrade()
