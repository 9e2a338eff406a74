"""A small HTTP server that behaves as the management API does, for tests of the commands that talk to it.

It keeps records in memory and knows lists with cursors, ETags, If-Match, merge patches, dry runs, bulk
requests and problems (RFC 9457). What a record holds is not checked, but for upstreams: they must have a
`url` or a `command`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ABOUT = {"enabled": True, "description": "", "tags": [], "owner": "", "team": "", "visibility": "public"}
TOKEN = "let-me-in-please"


PIN_STATES = ["pinned", "changed", "quarantined"]
CHANGED: dict[str, Any] = {
    "upstream": "docs",
    "definition": "tools/search",
    "state": "quarantined",
    "digest": "a" * 64,
    "offered": "b" * 64,
    "since": "2026-11-21T05:00:00.000Z",
    "odd": ["description: U+202E RIGHT-TO-LEFT OVERRIDE"],
    "before": {"name": "search"},
    "after": {"name": "search", "description": "Finds\u202e.\nTwice."},
    "differences": [
        {"path": "description", "what": "added", "before": None, "after": "Finds\u202e.\nTwice."},
        {"path": "inputSchema.type", "what": "changed", "before": "object", "after": ["object"]},
    ],
}


def pinned(pin: dict[str, Any]) -> dict[str, Any]:
    nothing: dict[str, Any] = {"offered": None, "since": None, "odd": [], "differences": []}
    return {**pin, "digest": pin["offered"], "state": "pinned", **nothing}


class Refused(Exception):
    """A problem to answer with."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: list[dict[str, str]] | None = None,
        type: str = "urn:test",  # noqa: A002
    ) -> None:
        self.status = status
        self.body = {"type": type, "title": "Refused", "status": status, "detail": detail}
        self.body |= {"errors": errors} if errors else {}


class SmallApi:
    """The records, and every request that was made: `(method, path, headers, body)`."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.token: str | None = None
        self.replaced = False
        self.page = 2
        self.pins = [CHANGED, pinned(CHANGED) | {"definition": "tools/read"}]
        self.revision = 0
        self.url = ""

    def put(self, kind: str, name: str, config: Any, origin: str = "registry", **about: Any) -> None:
        """Have a record without a request."""
        self.write(kind, name, config, about, None, dry=False)
        self.records[kind, name]["origin"] = origin

    def write(self, kind: str, name: str, config: Any, about: Any, version: Any, *, dry: bool) -> Any:
        found = self.records.get((kind, name))
        now = found["version"] if found else 0
        if found and found["origin"] == "file":
            raise Refused(409, f"{kind} {name!r} comes from the configuration file")
        if version is not None and version != now:
            raise Refused(412 if version else 409, f"{kind} {name!r} has version {now}")
        if config is None:
            if not dry:
                del self.records[kind, name]
            return {"kind": kind, "name": name, "revision": self.revision}
        if kind == "upstreams" and not {"url", "command"} & config.keys():
            wrong = [{"path": f"upstreams.{name}", "message": "expected url or command"}]
            wrong += [
                {"path": f"upstreams.{name}.{key}", "message": "unknown key"}
                for key in config
                if key == "ulr"
            ]
            raise Refused(422, "1 problem in it; nothing was changed", wrong)
        enabled = (about or {}).get("enabled", True)
        made = {
            "kind": kind,
            "name": name,
            "config": config,
            "about": {**ABOUT, **(about or {})},
            "origin": "registry",
            "state": "ready" if enabled else "disabled",
            "reason": "",
            "version": now + 1,
            "problems": [],
            "updated": "2026-11-21T05:00:00Z",
            "updated_by": "me",
        }
        if not dry:
            self.revision += 1
            self.records[kind, name] = made
        return made

    def answer(
        self, method: str, path: list[str], query: dict[str, list[str]], headers: Any, body: Any
    ) -> Any:
        if self.token and headers.get("Authorization") != f"Bearer {self.token}":
            raise Refused(401, "Nobody knows you")
        dry = query.get("dry_run") == ["true"]
        match method, path:
            case "POST", ["bulk"]:
                return self.bulk(body, dry)
            case "POST", ["secrets", "rotate"]:
                if self.replaced:
                    self.replaced = False
                    raise Refused(503, "This worker is being replaced", type="urn:portico:problem:draining")
                return {"changed": 1, "revision": self.revision}
            case "POST", ["upstreams", "test"]:
                tools = [
                    {"name": "search", "description": "Searches.", "inputSchema": {"properties": {"q": {}}}}
                ]
                away = "away" in str(body["config"].get("url"))
                state, reason = ("unavailable", "nobody there") if away else ("ready", "")
                return {
                    "state": state,
                    "reason": reason,
                    "info": None if away else {"name": "docs", "version": "1"},
                    "tools": tools,
                }
            case "GET", ["tools"]:
                upstream = query["upstream"][0]
                state = "unavailable" if upstream == "away" else "ready"
                offered = {"upstream": upstream, "upstream_state": state, "name": "search"}
                return {"items": [offered], "total": 1, "next_cursor": None}
            case "GET", ["conflicts"]:
                names = {"server": "default", "kind": "tools", "name": "s\u0435arch", "why": "similar"}
                return {"items": [{**names, "upstream": "evil", "other": "docs"}], "total": 1}
            case "GET", ["pins"]:
                states, only = query.get("state", PIN_STATES), query.get("upstream", ["docs"])
                items = [each for each in self.pins if each["state"] in states and only == ["docs"]]
                return {"items": items, "total": len(items), "next_cursor": None}
            case "GET", ["pins", "docs"]:
                return {"upstream": "docs", "on_change": "quarantine", "version": 4, "items": self.pins}
            case "POST", ["pins", "docs", "approve"]:
                if headers.get("If-Match", '"4"') != '"4"':
                    raise Refused(412, "pins 'docs' has version 4")
                if not dry:
                    approved = body["digests"]
                    self.pins = [
                        each if approved.get(each["definition"]) != each["offered"] else pinned(each)
                        for each in self.pins
                    ]
                return {"upstream": "docs", "on_change": "quarantine", "version": 5, "items": self.pins}
            case "GET", [kind]:
                kind = "pins" if kind == "pin-records" else kind
                every = [each for (its, _), each in sorted(self.records.items()) if its == kind]
                if "origin" in query:
                    every = [each for each in every if each["origin"] == query["origin"][0]]
                start = int(query.get("cursor", ["0"])[0])
                more = start + self.page < len(every)
                following = str(start + self.page) if more else None
                items = every[start : start + self.page]
                return {"items": items, "total": len(every), "revision": 1, "next_cursor": following}
            case "POST", [kind]:
                if (kind, body["name"]) in self.records:
                    raise Refused(409, f"There is {body['name']!r} already")
                return self.write(kind, body["name"], body["config"], body.get("about"), 0, dry=dry)
        kind, name, *verb = path
        version = int(headers["If-Match"].strip('"')) if "If-Match" in headers else None
        version = 0 if "If-None-Match" in headers else version
        if method == "PUT":
            return self.write(kind, name, body["config"], body.get("about"), version, dry=dry)
        found = self.records.get((kind, name))
        if found is None:
            raise Refused(404, f"There is no {name!r} among the {kind}")
        if method == "GET" or verb == ["refresh"]:
            return found
        if method == "DELETE":
            return self.write(kind, name, None, None, version, dry=dry)
        if verb:
            body = {"about": {"enabled": verb == ["enable"]}}
        config = merged(found["config"], body.get("config", {}))
        return self.write(kind, name, config, merged(found["about"], body.get("about", {})), version, dry=dry)

    def bulk(self, body: Any, dry: bool) -> Any:
        results = []
        before = dict(self.records)
        for each in body["changes"]:
            version = 0 if each["action"] == "create" else each.get("version")
            told = {"kind": each["kind"], "name": each["name"]}
            try:
                item = self.write(each["kind"], each["name"], each["config"], each["about"], version, dry=dry)
            except Refused as refused:
                if body["mode"] == "all":
                    self.records = before
                    raise
                results.append({**told, "status": refused.status, "problem": refused.body})
            else:
                results.append({**told, "status": 201, "item": item})
        return {"revision": self.revision, "dry_run": dry, "failed": 0, "results": results}


def merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    out = dict(value) if isinstance(value, dict) else {}
    for key, each in patch.items():
        if each is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), each)
    return out


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port; gives the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def small_api() -> Iterator[SmallApi]:
    """Have one running."""
    api = SmallApi()

    class Handler(BaseHTTPRequestHandler):
        def exchange(self) -> None:
            parts = urlsplit(self.path)
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else None
            api.requests.append((self.command, self.path, dict(self.headers), body))
            headers = {"Content-Type": "application/json"}
            try:
                if not parts.path.startswith("/api/v1/"):
                    raise Refused(404, "")
                path = [unquote(each) for each in parts.path.removeprefix("/api/v1/").split("/")]
                answer: Any = api.answer(self.command, path, parse_qs(parts.query), self.headers, body)
                status = 200
                if "version" in answer:
                    headers["ETag"] = f'"{answer["version"]}"'
            except Refused as refused:
                status, answer, headers = (
                    refused.status,
                    refused.body,
                    {"Content-Type": "application/problem+json"},
                )
            data = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = exchange

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with serving(Handler) as api.url:
        yield api
