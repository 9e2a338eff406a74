"""An MCP server that answers SQL over CSV files: `python -m portico_examples.tables FOLDER --port N`.

Speaks streamable HTTP at http://127.0.0.1:N/mcp. Each file NAME.csv is a table and a resource `table://NAME`.
Queries can only read, and only for a second.
"""

from __future__ import annotations

import argparse
import csv
import re
import sqlite3
import threading
import time
from pathlib import Path
from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resources import FunctionResource
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_SECONDS = 1.0

Cell = str | int | float | None


class Table(BaseModel):
    """What a list of tables says of one."""

    name: str
    rows: int
    columns: list[str]


class Answer(BaseModel):
    """The result of a query."""

    columns: list[str]
    rows: list[list[Cell]]
    truncated: bool = Field(description="Whether there are more rows than the limit")


def value(text: str) -> Cell:
    """A cell of a CSV file: a number where it is one, NULL where it is empty."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


class Tables:
    """CSV files loaded into a database in memory that can only be read.

    Raises:
        ValueError: A file's name, or a column's, is not usable in SQL.
    """

    def __init__(self, folder: Path) -> None:
        self.files = {file.stem: file for file in sorted(folder.glob("*.csv"))}
        self._lock = threading.Lock()
        self._deadline = 0.0
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        for name, file in self.files.items():
            with file.open(encoding="utf-8", newline="") as stream:
                header, *rows = list(csv.reader(stream))
            for word in (name, *header):
                if not _NAME.fullmatch(word):
                    raise ValueError(f"{file}: {word!r} is no name: use lower-case letters, digits and _")
            columns, marks = ", ".join(f'"{word}"' for word in header), ", ".join("?" * len(header))
            self._database.execute(f'CREATE TABLE "{name}" ({columns})')
            insert = f'INSERT INTO "{name}" VALUES ({marks})'
            self._database.executemany(insert, [[value(cell) for cell in row] for row in rows])
        self._database.commit()
        self._database.set_authorizer(self._authorize)
        self._database.set_progress_handler(lambda: time.monotonic() > self._deadline, 10_000)

    @staticmethod
    def _authorize(action: int, _1: str | None, function: str | None, _2: str | None, _3: str | None) -> int:
        allowed = action in _ALLOWED and function != "load_extension"
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def query(self, sql: str, limit: int) -> Answer:
        """Run one SELECT.

        Raises:
            ToolError: It is not SQL, does more than read, or takes too long; says which.
        """
        with self._lock:
            self._deadline = time.monotonic() + _SECONDS
            try:
                cursor = self._database.execute(sql)
                rows = cursor.fetchmany(limit + 1)
                columns = [each[0] for each in cursor.description or ()]
                cursor.close()
            except sqlite3.Error as error:
                reason = "it took longer than a second" if "interrupted" in str(error) else str(error)
                raise ToolError(f"The query failed: {reason}") from None
            except sqlite3.Warning as error:
                raise ToolError(f"The query failed: {error}") from None
        shown = [[cell if isinstance(cell, Cell) else repr(cell) for cell in row] for row in rows[:limit]]
        return Answer(columns=columns, rows=shown, truncated=len(rows) > limit)


def build(tables: Tables) -> MCPServer:
    """The server over some tables."""
    server = MCPServer(
        "tables",
        version="1.0",
        instructions="Read-only SQL (SQLite) over CSV files. Call list_tables first.",
        log_level="WARNING",
    )
    for name, file in tables.files.items():
        server.add_resource(
            FunctionResource(uri=f"table://{name}", name=name, mime_type="text/csv", fn=file.read_text)
        )

    @server.tool(annotations=_READS)
    def list_tables() -> list[Table]:
        """List the tables, their columns and how many rows they have."""
        found: list[Table] = []
        for name in tables.files:
            count = tables.query(f'SELECT count(*) FROM "{name}"', 1).rows[0][0]
            columns = tables.query(f'SELECT * FROM "{name}"', 1).columns
            found.append(Table(name=name, rows=int(count or 0), columns=columns))
        return found

    @server.tool(annotations=_READS)
    def query(
        sql: Annotated[str, Field(description="One SELECT, in SQLite's dialect")],
        limit: Annotated[int, Field(ge=1, le=1000, description="The most rows to return")] = 100,
    ) -> Answer:
        """Query the tables with SQL. Joins, grouping and window functions work; nothing can be changed."""
        return tables.query(sql, limit)

    @server.prompt(title="Explore a table")
    def explore_table(table: str) -> str:
        """Have a table explored."""
        return (
            f"Look at the table {table!r} with list_tables and query. Say what it is about, what stands out "
            "in its numbers, and which three questions it answers best. Show the SQL you used."
        )

    return server


def main() -> None:
    """Serve a folder over HTTP, on loopback only."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the CSV files are")
    parser.add_argument("--port", type=int, default=4445, help="TCP port on 127.0.0.1 (4445)")
    arguments = parser.parse_args()
    build(Tables(arguments.folder)).run("streamable-http", host="127.0.0.1", port=arguments.port)


if __name__ == "__main__":
    main()
