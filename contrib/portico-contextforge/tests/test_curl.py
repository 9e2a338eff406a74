"""The curl lines of ContextForge's README and FAQ, as data: they work but for host, token and names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import attrs
import pytest

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported
JSON: Final = {"content-type": "application/json"}
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
"""What curl says of `-d` unless it is told otherwise."""


@attrs.frozen
class Line:
    """One curl line.

    Attributes:
        where: README or FAQ, and what the line is there for.
        method: As curl would send it.
        path: `{tool}` and `{server}` stand for ids.
        body: JSON text; `{url}`, `{tool}` likewise.
        headers: Besides the bearer token.
        status: Of the answer.
        has: Members the answer has (of its first item, if it is a list).
    """

    where: str
    method: str
    path: str
    body: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    status: int = 200
    has: tuple[str, ...] = ()


LINES: Final = (
    Line("README: smoke test", "GET", "/version", has=("app", "timestamp")),
    Line("README: smoke test of the container", "GET", "/health", has=("status",)),
    Line("README: smoke test of the container", "GET", "/tools", has=("id", "name", "inputSchema")),
    Line(
        "README: register an MCP server",
        "POST",
        "/gateways",
        '{"name":"another_time","url":"{url}"}',
        JSON,
        has=("id", "name", "reachable"),
    ),
    Line(
        "README: bundle tools as a virtual server",
        "POST",
        "/servers",
        '{"server":{"name":"time_server","description":"Fast time tools","associated_tools":["{tool}"]}}',
        JSON,
        201,
        ("id", "associatedTools"),
    ),
    Line("README: list servers", "GET", "/servers", has=("id", "name", "associatedToolIds")),
    Line("README: health with a token", "GET", "/health", has=("status",)),
    Line("FAQ: use a token", "GET", "/tools", has=("id",)),
    Line(
        "FAQ: import many tools",
        "POST",
        "/admin/tools/import",
        '[{"name":"a","url":"http://localhost:9000/a","integration_type":"REST","request_type":"GET"}]',
        JSON,
        has=("success", "created_count", "failed_count", "errors"),
    ),
    Line(
        "FAQ: a token for the upstream",
        "POST",
        "/tools/invoke/fast-time-whoami",
        '{"arguments": {}}',
        {**FORM, "x-upstream-authorization": "Bearer upstream"},
        has=("content", "isError"),
    ),
    Line(
        "FAQ: register a tool",
        "POST",
        "/tools",
        '{"name":"clock_tool","url":"http://localhost:9000/rpc","input_schema":{"type":"object"}}',
        JSON,
        has=("id", "name", "url", "integrationType", "inputSchema"),
    ),
    Line(
        "FAQ: add a peer gateway",
        "POST",
        "/gateways",
        '{"name":"peer","url":"{url}"}',
        FORM,
        has=("id", "name", "reachable"),
    ),
)


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.where)
async def test_a_curl_line_works_as_written(forge: Forge, line: Line, prefix: str) -> None:
    await forge.register()
    tool = (await forge.tool())["id"]
    body = line.body.replace("{url}", forge.clock_url).replace("{tool}", tool)
    answer = await forge.http.request(
        line.method, prefix + line.path, content=body.encode() or None, headers=dict(line.headers)
    )
    assert answer.status_code == line.status, answer.text
    value: Any = answer.json()
    first = value[0] if isinstance(value, list) else value
    assert set(line.has) <= first.keys()
    assert first.get("failed_count", 0) == 0


async def test_the_token_for_the_upstream_reaches_it(forge: Forge) -> None:
    await forge.register()
    headers = {"x-upstream-authorization": "Bearer upstream"}
    result = await forge.ask("POST", "/tools/invoke/fast-time-whoami", {"arguments": {}}, headers=headers)
    assert result["content"][0]["text"] == "Bearer upstream"
