"""An MCP Registry (v0.1), for tests of what reads one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.kernel.cli.small_api import serving


def entry(name: str, description: str, **more: Any) -> dict[str, Any]:
    """What a registry says of a server."""
    meta = {"status": "active", "publishedAt": "2025-10-01T00:00:00Z", "isLatest": True}
    server = {"name": name, "description": description, "version": "1.0.0", **more}
    return {"server": server, "_meta": {"io.modelcontextprotocol.registry/official": meta}}


REMOTE = {"remotes": [{"type": "streamable-http", "url": "https://weather.example/mcp"}]}
PACKAGE = {
    "packages": [
        {"registryType": "npm", "identifier": "@e/news", "version": "1.0.0", "transport": {"type": "stdio"}}
    ]
}
BUNDLE = {
    "packages": [{"registryType": "mcpb", "identifier": "https://x/y.mcpb", "transport": {"type": "stdio"}}]
}
ENTRIES = [
    entry("io.example/weather", "Forecasts for \x1b[31meverywhere", **REMOTE),
    entry("io.example/weather-news", "News of the weather", **PACKAGE),
    entry("io.example/weather-edit", "A bundle", **BUNDLE),
    entry("io.example/other", "Something else", **REMOTE),
]


@contextmanager
def small_registry(entries: Sequence[dict[str, Any]] = ENTRIES) -> Iterator[str]:
    """Serve entries, two on a page; gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            steps = [unquote(step) for step in parts.path.split("/")]
            answer: Any = None
            if steps == ["", "v0.1", "servers"]:
                found = [each for each in entries if query.get("search", "") in each["server"]["name"]]
                start = int(query.get("cursor", "0"))
                metadata: dict[str, Any] = {"count": len(found[start : start + 2])}
                if start + 2 < len(found):
                    metadata["nextCursor"] = str(start + 2)
                answer = {"servers": found[start : start + 2], "metadata": metadata}
            elif steps[:3] == ["", "v0.1", "servers"] and steps[4:] in (
                ["versions", "latest"],
                ["versions", "1.0.0"],
            ):
                answer = next((each for each in entries if each["server"]["name"] == steps[3]), None)
            data = json.dumps(answer or {"title": "Not Found", "status": 404}).encode()
            self.send_response(200 if answer else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with serving(Handler) as url:
        yield url
