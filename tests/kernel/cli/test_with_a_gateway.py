"""The commands against the management API of a real gateway, with a client that sees what they do."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import Result

from tests.kernel.cli.running import MANAGED, gateway
from tests.plugins.upstreams.kit import serving
from tests.plugins.upstreams.scripted import Scripted

Cli = Callable[..., Result]


def upstream() -> Scripted:
    made = Scripted()
    made.tools = [{"name": "find", "inputSchema": {"type": "object"}}]
    return made


async def test_what_the_commands_do_is_what_clients_see(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCS_KEY", "hush hush hush")
    async with serving(upstream()) as docs, gateway() as url:

        async def run(*args: str, fails: bool = False) -> str:
            flag = "--url" if args == ("tools",) else "--gateway"
            result = await asyncio.to_thread(cli, *args, flag, url)
            assert (result.exit_code != 0) == fails, result.output
            return result.output

        assert "find" in await run("upstreams", "test", "--url", f"{docs}/mcp")
        assert "created" in await run("upstreams", "add", "docs", "--url", f"{docs}/mcp", "--tag", "a")
        async with asyncio.timeout(30):
            while "find" not in await run("tools"):
                await asyncio.sleep(0)
        assert "refreshed: ready" in await run("upstreams", "refresh", "docs")
        assert "created" in await run("servers", "add", "people", "--set", 'upstreams=["docs"]')
        wrong = await run("servers", "edit", "people", "--set", 'upstreams=["dosc"]', fails=True)
        assert "no upstream 'dosc' is configured" in wrong
        assert "changed" in await run(
            "servers", "edit", "people", "--set", "prefix=always", "--if-version", "1"
        )
        await run("servers", "edit", "people", "--set", "prefix=never", "--if-version", "1", fails=True)
        await run("tools", "edit", "docs/find", "--description", "Finds.", "--default", "limit=1")
        assert 'description = "Finds."' in await run("tools", "show", "docs/find")
        await run("secrets", "set", "docs-key", "--from-env", "DOCS_KEY")
        assert "hush" not in await run("secrets", "list")
        await run("upstreams", "edit", "docs", "--set", "headers.X-Key=${secret:docs-key}")
        async with asyncio.timeout(30):
            while "Wrote 4 records" not in await run("export", "-o", "backup.toml"):
                await asyncio.sleep(0)  # one of them, the definitions that were seen, is written later
        await run("servers", "rm", "people")
        await run("upstreams", "disable", "docs")
        assert "disabled" in await run("upstreams", "list")
        report = await run("import", "backup.toml", "--on-conflict", "overwrite")
        assert "4 items: 1 skipped, 2 overwritten, 1 created; 0 notes" in report
        assert json.loads(await run("upstreams", "show", "docs", "--json"))["about"]["tags"] == ["a"]
        text = Path("backup.toml").read_text()
        assert '"${env:DOCS_KEY}"' in text
        assert "hush" not in text


def commands(cli: Cli, url: str) -> Callable[..., Awaitable[str]]:
    """Runs commands against one gateway; what does not end well is a failure."""

    async def run(*args: str) -> str:
        result = await asyncio.to_thread(cli, *args, "--gateway", url)
        assert result.exit_code == 0, result.output
        return result.output

    return run


async def test_what_was_made_by_somebody_is_still_theirs_after_export_and_import(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = '[auth.people]\nuse = "token"\ntokens = { carol = "carol-0123456789abcdef" }\n'
    monkeypatch.setenv("PORTICO_TOKEN", "carol-0123456789abcdef")
    theirs = MANAGED.replace('"management_api"', '"management_api"\nauth = ["people"]') + people
    async with gateway(theirs) as one, gateway() as other:
        first, second = commands(cli, one), commands(cli, other)
        about = ("--tag", "a", "--owner", "ann", "--team", "core", "--visibility", "team")
        await first(
            "upstreams", "add", "docs", "--url", "http://127.0.0.1:1/mcp", "--description", "D", *about
        )
        await first("prompts", "add", "hello", "--set", "template=Hi", *about)
        await first("overrides", "add", "docs/tools/find", "--set", "name=search", *about)
        await first("export", "-o", "all.toml")
        assert "3 created" in await second("import", "all.toml")
        for kind, name in (("upstreams", "docs"), ("prompts", "hello"), ("overrides", "docs/tools/find")):
            before = json.loads(await first(kind, "show", name, "--json"))
            after = json.loads(await second(kind, "show", name, "--json"))
            assert before["created_by"] == "carol"
            for fact in ("created", "created_by", "config", "about"):
                assert after[fact] == before[fact]
            assert (after["updated_by"], after["via"]) == ("anonymous", "import")


async def test_lists_are_filtered_by_what_is_said_of_records(cli: Cli) -> None:
    async with gateway() as url:
        run = commands(cli, url)
        await run(
            "prompts", "add", "one", "--set", "template=x", "--tag", "a", "--tag", "b", "--owner", "ann"
        )
        await run("prompts", "add", "two", "--set", "template=x", "--tag", "a", "--team", "core")
        await run("prompts", "add", "three", "--set", "template=x", "--visibility", "private", "--disabled")

        async def names(*args: str) -> list[str]:
            found = json.loads(await run("prompts", "list", "--json", *args))
            return [each["name"] for each in found["items"]]

        assert await names("--tag", "a") == ["one", "two"]
        assert await names("--tag", "a", "--tag", "b") == ["one"]
        assert await names("--owner", "ann") == ["one"]
        assert await names("--team", "core") == ["two"]
        assert await names("--visibility", "private") == ["three"]
        assert await names("--state", "disabled") == ["three"]
        assert await names("--search", "ANN") == ["one"]


async def test_history_tells_who_changed_what(cli: Cli) -> None:
    async with gateway() as url:
        run = commands(cli, url)
        assert await run("history") == "nothing was changed\n"
        await run("prompts", "add", "one", "--set", "template=x")
        await run("prompts", "edit", "one", "--set", "template=y", "--description", "Y")
        await run("secrets", "set", "key", "--from-env", "HOME")
        await run("prompts", "rm", "one")
        lines = [line.split() for line in (await run("history")).splitlines()]
        assert lines[0] == ["REVISION", "WHEN", "WHO", "BY", "WHAT", "KIND", "NAME", "CHANGED"]
        assert [(line[0], line[5], line[7]) for line in lines[1:]] == [
            ("4", "deleted", "one"),
            ("3", "created", "key"),
            ("2", "changed", "one"),
            ("1", "created", "one"),
        ]
        assert lines[3][8:] == ["about.description,", "config.template"]
        of_one = json.loads(await run("history", "prompts", "one", "--json", "--limit", "2"))
        assert ([each["revision"] for each in of_one["items"]], of_one["more"]) == ([4, 2], True)
        older = json.loads(await run("history", "--before", "3", "--json"))
        assert [each["revision"] for each in older["items"]] == [2, 1]


async def test_secrets_are_put_under_a_new_key_by_a_command(cli: Cli, tmp_path: Path) -> None:
    keys = '[gateway.encryption_keys]\nfirst = "' + "x" * 32 + '"\n'
    async with gateway(keys + MANAGED) as url:
        run = commands(cli, url)
        await run("secrets", "set", "key", "--from-env", "HOME")
        assert await run("secrets", "rotate") == "every secret is under the current key\n"
        assert json.loads(await run("secrets", "rotate", "--json"))["changed"] == 0


async def test_who_only_says_to_be_near_by_is_not_served_without_credentials() -> None:
    async with gateway() as url, httpx2.AsyncClient(base_url=url) as http:
        assert (await http.get("/api/v1/status")).status_code == 200
        for headers in (
            {"x-forwarded-for": "127.0.0.1"},
            {"forwarded": "for=127.0.0.1"},
            {"via": "1.1 proxy"},
        ):
            answer = await http.get("/api/v1/status", headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:portico:problem:not-local")


async def test_a_tool_is_shown_and_called_as_its_override_says(cli: Cli) -> None:
    made = upstream()
    properties = {"q": {"type": "string"}, "limit": {"type": "integer"}, "key": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["q", "limit", "key"]}
    annotations = {"destructiveHint": False}
    made.tools = [{"name": "find", "inputSchema": schema, "annotations": annotations}]
    async with serving(made) as docs, gateway() as url:
        run = commands(cli, url)
        endpoint = ("--url", f"{url}/mcp")
        await run("upstreams", "add", "docs", "--url", f"{docs}/mcp")
        edit = (
            "--name",
            "search",
            "--title",
            "Search",
            "--description",
            "Finds.",
            "--tag",
            "a",
            "--tag",
            "b",
        )
        fills = ("--default", "limit=3", "--default", "key=k", "--hide", "key")
        await run("tools", "edit", "docs/find", *edit, *fills, "--set", "annotations.readOnlyHint=true")

        async def tools() -> dict[str, Any]:
            listed = await asyncio.to_thread(cli, "tools", "--json", *endpoint)
            return {each["name"]: each for each in json.loads(listed.stdout)["tools"]}

        async with asyncio.timeout(30):
            while "search" not in (found := await tools()):
                await asyncio.sleep(0)
        shown = found["search"]
        assert (shown["title"], shown["description"]) == ("Search", "Finds.")
        assert shown["annotations"] == {"destructiveHint": False, "readOnlyHint": True}
        assert shown["_meta"]["portico/tags"] == ["a", "b"]
        assert shown["inputSchema"]["required"] == ["q"]
        assert shown["inputSchema"]["properties"].keys() == {"q", "limit"}
        assert shown["inputSchema"]["properties"]["limit"]["default"] == 3

        async def call(*args: str) -> Result:
            return await asyncio.to_thread(cli, "call", *args, *endpoint)

        assert (await call("search", "q=x")).exit_code == 0
        assert made.of("tools/call")[-1].params["name"] == "find"
        assert made.of("tools/call")[-1].params["arguments"] == {"q": "x", "limit": 3, "key": "k"}
        assert (await call("search", "q=x", "limit=9")).exit_code == 0
        assert made.of("tools/call")[-1].params["arguments"] == {"q": "x", "limit": 9, "key": "k"}
        calls = len(made.of("tools/call"))
        assert "unknown argument 'key'" in (await call("search", "q=x", "key=mine")).stderr
        assert "Unknown tool" in (await call("find", "q=x")).stderr
        await run("tools", "disable", "docs/find")
        async with asyncio.timeout(30):
            while "search" in await tools():
                await asyncio.sleep(0)
        assert "Unknown tool" in (await call("search", "q=x")).stderr
        assert len(made.of("tools/call")) == calls


async def test_nothing_that_is_managed_starts_a_command_that_nobody_allowed(cli: Cli, tmp_path: Path) -> None:
    traces = [tmp_path / name for name in ("tested", "added", "launched", "imported", "allowed")]
    command = {
        trace.name: json.dumps([sys.executable, "-c", f"open({str(trace)!r}, 'w')"]) for trace in traces
    }
    (tmp_path / "more.toml").write_text(f'[upstreams.more]\nuse = "mcp"\ncommand = {command["imported"]}\n')
    config = f"[gateway]\nmanaged_commands = [{command['allowed']}]\n{MANAGED}"
    async with gateway(config) as url:

        async def run(*args: str) -> Result:
            return await asyncio.to_thread(cli, *args, "--gateway", url)

        use = ("--use", "mcp", "--set")
        launch = ("--set", "url=http://127.0.0.1:{port}/mcp", "--set", f"launch={command['launched']}")
        for args in (
            ("test", *use, f"command={command['tested']}"),
            ("test", *use, f"command={command['allowed']}", "--set", "env.PATH=/tmp"),
            ("test", *use, f"command={command['allowed']}", "--set", "cwd=/"),
            ("test", "--use", "mcp", *launch),
            ("add", "new", *use, f"command={command['added']}"),
            ("add", "new", *use, f"command={command['added']}", "--disabled"),
        ):
            refused = await run("upstreams", *args)
            assert (refused.exit_code, "only the configuration file may set this" in refused.output) == (
                2,
                True,
            )
        refused = await run("import", "more.toml")
        assert (refused.exit_code, "only the configuration file may set this" in refused.output) == (1, True)
        assert json.loads((await run("upstreams", "list", "--json")).stdout)["items"] == []
        assert (await run("upstreams", "test", *use, f"command={command['allowed']}")).exit_code == 1
    assert [trace.name for trace in traces if trace.exists()] == ["allowed"]


async def test_a_create_sent_again_to_another_gateway_over_one_database_is_made_once(tmp_path: Path) -> None:
    config = MANAGED.replace('"memory"', f'"sql"\nurl = "sqlite:///{tmp_path}/records.db"')
    body = {"name": "hello", "config": {"template": "Hi"}}
    key = {"idempotency-key": "k1"}
    async with (
        gateway(config) as one,
        gateway(config) as other,
        httpx2.AsyncClient(base_url=one) as first,
        httpx2.AsyncClient(base_url=other) as second,
    ):
        made = await first.post("/api/v1/prompts", json=body, headers=key)
        again = await second.post("/api/v1/prompts", json=body, headers=key)
        assert (made.status_code, again.status_code) == (201, 201)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == made.json()
        trail = (await second.get("/api/v1/history?kind=prompts")).json()["items"]
        assert [each["action"] for each in trail] == ["created"]
        assert (await second.post("/api/v1/prompts", json=body)).status_code == 409
