"""An MCP server over a folder of Markdown notes: `python -m portico_examples.notes FOLDER`, on stdio.

Each note is a file NAME.md and a resource `note://NAME`. Deleting one asks the user first.
"""

# No `from __future__ import annotations`: the SDK reads annotations that name local functions.
import argparse
import re
from pathlib import Path
from typing import Annotated, Any

from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp.types import Resource, ToolAnnotations
from pydantic import BaseModel, Field

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_DELETES = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)

MAX_BYTES = 64 * 1024


class Note(BaseModel):
    """What a list of notes says of one."""

    name: str = Field(description="Pass it to read_note")
    title: str = Field(description="The first heading, or the name")


class Match(BaseModel):
    """A line that a search found."""

    name: str
    line: int = Field(description="Counted from 1")
    text: str


class Confirmation(BaseModel):
    """What the user is asked before a note is deleted."""

    delete: bool = Field(description="Really delete the note?")


class Folder:
    """The notes in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """The names of all notes, sorted."""
        return sorted(file.stem for file in self.path.glob("*.md") if _NAME.fullmatch(file.stem))

    def file(self, name: str) -> Path:
        """The file of a note.

        Raises:
            ToolError: That is no name for a note.
        """
        if not _NAME.fullmatch(name):
            raise ToolError(f"{name!r} is no note's name: use lower-case letters, digits and hyphens")
        return self.path / f"{name}.md"

    def read(self, name: str) -> str:
        """The text of a note.

        Raises:
            ToolError: There is no such note.
        """
        file = self.file(name)
        if not file.is_file() or file.is_symlink():
            raise ToolError(f"There is no note {name!r}; there are: {', '.join(self.names()) or 'none'}")
        return file.read_text("utf-8")

    def title(self, name: str) -> str:
        """The first heading of a note, or its name."""
        first = next((line for line in self.read(name).splitlines() if line.startswith("# ")), "")
        return first.removeprefix("# ").strip() or name


class Server(MCPServer):
    """Lists the notes there are at the time; anything may write to the folder."""

    def __init__(self, folder: Folder, **options: Any) -> None:
        super().__init__("notes", **options)
        self._folder = folder

    async def list_resources(self) -> list[Resource]:
        """Each note as a resource."""
        return [
            Resource(
                uri=f"note://{name}", name=name, title=self._folder.title(name), mime_type="text/markdown"
            )
            for name in self._folder.names()
        ]


def build(folder: Folder) -> MCPServer:
    """The server over a folder."""
    server = Server(
        folder,
        version="1.0",
        instructions="Markdown notes kept in a folder. Search before you write. Names are like-this.",
        log_level="WARNING",
    )

    @server.tool(annotations=_READS)
    def list_notes() -> list[Note]:
        """List every note with its title."""
        return [Note(name=name, title=folder.title(name)) for name in folder.names()]

    @server.tool(annotations=_READS)
    def search_notes(
        words: Annotated[str, Field(description="All of them must be on the line; case does not matter")],
        limit: Annotated[int, Field(ge=1, le=200)] = 20,
    ) -> list[Match]:
        """Find lines in the notes."""
        wanted = words.lower().split()
        found: list[Match] = []
        for name in folder.names():
            for number, line in enumerate(folder.read(name).splitlines(), 1):
                if wanted and all(word in line.lower() for word in wanted):
                    found.append(Match(name=name, line=number, text=line.strip()))
        return found[:limit]

    @server.tool(annotations=_READS)
    def read_note(name: str) -> str:
        """Read a note."""
        return folder.read(name)

    async def tell_of_change(ctx: Context) -> None:
        await ctx.notify_resources_changed()  # clients of the modern era that listen
        await ctx.session.send_resource_list_changed()  # this one, when it is older

    @server.tool(annotations=_WRITES)
    async def add_note(name: str, text: str, ctx: Context) -> str:
        """Write a new note, in Markdown. An existing one is never overwritten; append_note adds to it."""
        file = folder.file(name)
        if len(text.encode()) > MAX_BYTES:
            raise ToolError(f"A note has at most {MAX_BYTES} bytes")
        try:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text.rstrip() + "\n")
        except FileExistsError:
            raise ToolError(f"There is a note {name!r} already") from None
        await tell_of_change(ctx)
        return f"Wrote note://{name}"

    @server.tool(annotations=_WRITES)
    async def append_note(name: str, text: str, ctx: Context) -> str:
        """Add text to the end of a note."""
        whole = f"{folder.read(name).rstrip()}\n\n{text.rstrip()}\n"
        if len(whole.encode()) > MAX_BYTES:
            raise ToolError(f"A note has at most {MAX_BYTES} bytes")
        folder.file(name).write_text(whole, "utf-8")
        await ctx.notify_resource_updated(f"note://{name}")
        return f"note://{name} has {len(whole.splitlines())} lines now"

    def confirm(name: str) -> Elicit[Confirmation]:
        title = folder.title(name)
        return Elicit(f"Delete the note {name!r} ({title})?", Confirmation)

    @server.tool(annotations=_DELETES)
    async def delete_note(name: str, answer: Annotated[Confirmation, Resolve(confirm)], ctx: Context) -> str:
        """Delete a note, if the user agrees."""
        if not answer.delete:
            return f"Kept note://{name}"
        folder.file(name).unlink(missing_ok=True)
        await tell_of_change(ctx)
        return f"Deleted note://{name}"

    @server.resource("note://{name}", name="note", title="A note", mime_type="text/markdown")
    def note(name: str) -> str:
        """A note, by name; also one written after the list was made."""
        try:
            return folder.read(name)
        except ToolError as error:
            raise ResourceNotFoundError(str(error)) from None

    @server.prompt(title="Summarise notes")
    def summarise_notes(topic: str) -> str:
        """Have the notes on a topic summarised."""
        return (
            f"Search the notes for {topic!r} with search_notes, read those that matter with read_note, and "
            "summarise what they say in at most five sentences. Name the note behind each statement."
        )

    return server


def main() -> None:
    """Serve a folder on stdin and stdout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the notes are; made if it is not there")
    build(Folder(parser.parse_args().folder)).run("stdio")


if __name__ == "__main__":
    main()
