"""An MCP server that knows the calendar: `python -m portico_examples.calendar`, on stdio."""

# No `from __future__ import annotations`: the SDK reads annotations that name local functions.
import datetime

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)


def build() -> MCPServer:
    """The server."""
    server = MCPServer("calendar", title="Calendar", instructions="Dates are YYYY-MM-DD.")

    @server.tool(annotations=_READS)
    def weekday(date: datetime.date) -> str:
        """The day of the week a date falls on."""
        return date.strftime("%A")

    @server.tool(annotations=_READS)
    def days_between(start: datetime.date, end: datetime.date) -> int:
        """How many days pass from one date to another."""
        return (end - start).days

    return server


def main() -> None:
    """Serve on stdin and stdout."""
    build().run("stdio")


if __name__ == "__main__":
    main()
