"""`python -m tests.interop.a2a.tool`: an MCP server with one tool, which acts as the scripted agent does.

The gateway tells a tool which A2A message it is called for (`_meta`, `portico/a2a`); its id says what to do,
as the TCK wants it (see `script`). What a tool cannot do, it does not: it gives no messages, and rejects no
tasks.
"""

from __future__ import annotations

import base64
from typing import Any

from mcp.types import (
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    InputRequiredResult,
    ResourceLink,
    TextContent,
)

from tests.interop.fixture.entries import Call, ToolAnswer, ToolEntry, strings, tool
from tests.interop.fixture.questions import form
from tests.interop.fixture.server import fixture_server
from tests.interop.serving import main


def _text(words: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=words)])


_FILE = EmbeddedResource(
    type="resource",
    resource=BlobResourceContents(
        uri="file:///output.txt", mime_type="text/plain", blob=base64.b64encode(b"tck").decode()
    ),
)
_LINK = ResourceLink(
    type="resource_link", name="output.txt", uri="https://example.com/output.txt", mime_type="text/plain"
)

ANSWERS: dict[str, CallToolResult] = {
    "tck-artifact-text": _text("Generated text content"),
    "tck-artifact-file-url": CallToolResult(content=[_LINK]),
    "tck-artifact-file": CallToolResult(content=[_FILE]),
    "tck-artifact-data": CallToolResult(content=[], structured_content={"key": "value", "count": 42}),
    "tck-reject-task": CallToolResult(content=[TextContent(type="text", text="rejected")], is_error=True),
    "tck-stream-artifact-file": CallToolResult(content=[_FILE]),
    "tck-stream-artifact-text": _text("Streamed text content"),
    "tck-stream-artifact-chunked": _text("chunk-1 chunk-2"),
    "tck-stream-003": _text("Stream task lifecycle"),
    "tck-stream-ordering-001": _text("Ordered output"),
    "tck-stream-": _text("Stream hello from TCK"),
}
"""By the beginning of the message's id; of two that fit, the first."""


def message_id(call: Call) -> str:
    """The id of the A2A message that a call is for."""
    meta: Any = call.ctx.meta or {}
    return str(meta.get("portico/a2a", {}).get("messageId", ""))


async def _act(call: Call) -> ToolAnswer:
    ident = message_id(call)
    if ident.startswith("tck-input-required"):
        return InputRequiredResult(
            input_requests={"which": form("Which one?", strings("which"))}, request_state="asked"
        )
    if ident.startswith("tck-stream-"):
        await call.ctx.session.report_progress(1, 2, "Working")
    return next(
        (each for prefix, each in ANSWERS.items() if ident.startswith(prefix)), _text("Hello from TCK")
    )


SCRIPT: ToolEntry = tool("script", "Does what the id of the message says.", _act, strings("text"))

if __name__ == "__main__":
    main(
        fixture_server("portico-script", (SCRIPT,), ()), "modern", "One tool that acts as the A2A TCK wants."
    )
