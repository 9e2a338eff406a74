"""What is managed at run time, in effect in a real gateway over real upstreams."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from portico.api import (
    About,
    Author,
    Change,
    ConfigError,
    FromFile,
    Json,
    Management,
    NoRegistry,
    Refused,
    RegistryDown,
    Stale,
)
from portico.testing import RunningGateway, running_gateway
from tests.kernel import kept
from tests.plugins.upstreams.kit import serving
from tests.plugins.upstreams.scripted import Scripted

ALICE = Author("alice", "api")


def management(running: RunningGateway) -> Management:
    found = running.gateway.management
    assert found is not None
    return found


@asynccontextmanager
async def managed(
    name: str, more: str = "", base: Path | None = None
) -> AsyncIterator[tuple[RunningGateway, Management]]:
    """A gateway with a registry of its own."""
    config = f'[registries.main]\nuse = "kept"\nshelf = "{name}"\n{more}'
    with tempfile.TemporaryDirectory() as folder:
        async with running_gateway(config, plugins=[kept], base=base or Path(folder)) as running:
            yield running, management(running)


@pytest.fixture
def shelf(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


async def tools(running: RunningGateway, server: str = "default") -> list[str]:
    return [tool["name"] for tool in (await running.request("tools/list", server=server))["tools"]]


def server(*names: str) -> Scripted:
    made = Scripted()
    made.tools = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    return made


def upstream(name: str, url: str, **about: Any) -> Change:
    return Change("upstreams", name, {"use": "mcp", "url": f"{url}/mcp"}, About(**about))


async def until(running: RunningGateway, names: list[str], where: str = "default") -> None:
    async with asyncio.timeout(30):
        while await tools(running, where) != names:
            await asyncio.sleep(0)


async def test_an_upstream_comes_changes_and_goes_while_the_gateway_serves(shelf: str) -> None:
    async with (
        serving(server("one")) as first,
        serving(server("two")) as second,
        managed(shelf) as (gw, mgmt),
    ):
        assert await tools(gw) == []
        outcome = await mgmt.change([upstream("a", first)], ALICE)
        assert (outcome.revision, mgmt.revision) == (1, 1)
        await until(gw, ["one"])
        await mgmt.change([upstream("b", second)], ALICE)
        await until(gw, ["one", "two"])
        await mgmt.change([upstream("a", second)], ALICE)
        await until(gw, ["a__two", "b__two"])
        await mgmt.change([Change("upstreams", "b", None)], ALICE)
        await until(gw, ["two"])
        await mgmt.change([upstream("a", second, enabled=False)], ALICE)
        await until(gw, [])
        found = mgmt.get("upstreams", "a")
        assert found is not None
        assert (found.state, found.origin, found.record.version if found.record else 0) == (
            "disabled",
            "registry",
            3,
        )
        entries = [entry for entry in await mgmt.history() if entry.kind == "upstreams"]
        revisions = [entry.revision for entry in entries]
        assert (len(entries), revisions) == (5, sorted(revisions, reverse=True))


async def test_a_call_that_runs_is_finished_by_the_upstream_that_has_it(shelf: str) -> None:
    from tests.plugins.upstreams.scripted import result

    held, begun = asyncio.Event(), asyncio.Event()
    slow = server("t")

    async def call(seen: Any) -> Any:
        begun.set()
        await held.wait()
        return result(seen, {"resultType": "complete", "content": [{"type": "text", "text": "slow"}]})

    slow.on["tools/call"] = call
    async with serving(slow) as url, managed(shelf) as (gw, mgmt):
        await mgmt.change([upstream("a", url)], ALICE)
        await until(gw, ["t"])
        answer = asyncio.create_task(gw.request("tools/call", {"name": "t", "arguments": {}}))
        await begun.wait()
        await mgmt.change([Change("upstreams", "a", None)], ALICE)
        assert await tools(gw) == []
        with pytest.raises(Refused):
            await gw.request("tools/call", {"name": "t", "arguments": {}})
        held.set()
        assert (await answer)["content"][0]["text"] == "slow"


async def test_virtual_servers_come_change_and_go(shelf: str) -> None:
    async with (
        serving(server("one")) as first,
        serving(server("two")) as second,
        managed(shelf) as (gw, mgmt),
    ):
        await mgmt.change([upstream("a", first), upstream("b", second)], ALICE)
        await until(gw, ["one", "two"])
        narrow: Json = {"upstreams": ["a"], "title": "Narrow"}
        await mgmt.change([Change("servers", "narrow", narrow)], ALICE)
        assert await tools(gw, "narrow") == ["one"]
        await mgmt.change([Change("servers", "narrow", {**narrow, "upstreams": ["b"]})], ALICE)
        assert await tools(gw, "narrow") == ["two"]
        info = (await gw.request("server/discover", server="narrow"))["_meta"]
        assert info["io.modelcontextprotocol/serverInfo"]["title"] == "Narrow"
        await mgmt.change([Change("servers", "narrow", None)], ALICE)
        with pytest.raises(AssertionError, match="HTTP 404"):
            await tools(gw, "narrow")


async def test_what_another_worker_writes_is_in_effect_here(shelf: str) -> None:
    async with serving(server("one")) as url, managed(shelf) as (_, one), managed(shelf) as (gw, two):
        await one.change([upstream("a", url)], ALICE)
        await until(gw, ["one"])
        assert two.revision == 1


async def test_what_the_file_declares_can_only_be_changed_there(shelf: str) -> None:
    async with serving(server("one")) as url:
        more = f'[upstreams.a]\nuse = "mcp"\nurl = "{url}/mcp"\nheaders = {{x-key = "topsecret"}}\n'
        async with managed(shelf, more) as (gw, mgmt):
            await until(gw, ["one"])
            with pytest.raises(FromFile):
                await mgmt.change([upstream("a", url)], ALICE)
            found = mgmt.get("upstreams", "a")
            assert found is not None
            assert (found.origin, found.state) == ("file", "ready")
            assert found.config["headers"] == {"x-key": "**********"}
            assert [each.name for each in mgmt.all("servers")] == ["default"]


@pytest.mark.parametrize(
    ("config", "path", "words"),
    [
        ({"use": "mcp"}, "upstreams.x", "url"),
        ({"use": "mcp", "url": "ftp://x"}, "upstreams.x.url", "http"),
        ({"use": "mpc", "url": "http://x"}, "upstreams.x.use", "mcp"),
        ({"use": "mcp", "url": "http://x", "shard": True}, "upstreams.x.shard", "shared"),
        ({"use": "mcp", "url": "http://${env:HOME}"}, "upstreams.x.url", "configuration file"),
        ({"use": "mcp", "url": "http://x/${secret:none}"}, "upstreams.x.url", "no secret 'none'"),
        ({"use": "mcp", "command": ["sh", "-c", "touch /tmp/x"]}, "upstreams.x.command", "managed_commands"),
        ({"use": "mcp", "command": ["true", "x"]}, "upstreams.x.command", "managed_commands"),
        (
            {"use": "mcp", "command": ["true"], "env": {"LD_PRELOAD": "x"}},
            "upstreams.x.env",
            "configuration file",
        ),
        ({"use": "mcp", "url": "http://x", "headers": {"a": "**********"}}, "upstreams.x", "secret"),
        (
            {"use": "mcp", "url": "http://x", "headers": {"A": "Bearer ${secret:no}"}},
            "upstreams.x.headers.A",
            "no secret",
        ),
        ({"use": "mcp", "url": "http://x", "health_intervall": 5}, "upstreams.x", "'health_interval'?"),
        ({"use": "mcp", "url": "http://x", "ca_file": "~no-such-user/x"}, "upstreams.x.ca_file", "home"),
    ],
)
async def test_a_change_that_is_wrong_is_refused_with_its_place_and_nothing_is_written(
    shelf: str, config: Json, path: str, words: str
) -> None:
    more = '[gateway]\nmanaged_commands = [["true"]]\n'
    async with managed(shelf + path + words, more) as (_, mgmt):
        for dry in (True, False):
            with pytest.raises(ConfigError) as caught:
                await mgmt.change([Change("upstreams", "x", config)], ALICE, dry_run=dry)
            where, message = caught.value.problems[0]
            assert len(caught.value.problems) == 1
            assert where.startswith(path)
            assert words in message
        assert mgmt.revision == 0
        assert mgmt.get("upstreams", "x") is None
        with pytest.raises(ConfigError):
            await mgmt.probe("x", config)


async def test_a_command_the_operator_has_allowed_may_be_started(shelf: str) -> None:
    more = '[gateway]\nmanaged_commands = [["true"]]\n'
    async with managed(shelf, more) as (_, mgmt):
        outcome = await mgmt.change(
            [Change("upstreams", "x", {"use": "mcp", "command": ["true"]})], ALICE, dry_run=True
        )
        assert [item.name for item in outcome.items] == ["x"]


async def test_a_record_that_is_wrong_takes_no_other_down(shelf: str) -> None:
    async with serving(server("one")) as url:
        registry = kept.KeptRegistry(kept.SHELVES.setdefault(shelf, kept.Shelf()))
        bad = Change("upstreams", "bad", {"use": "nothing-of-the-kind"})
        await registry.write([bad, upstream("good", url)], ALICE)
        async with managed(shelf) as (gw, mgmt):
            await until(gw, ["one"])
            found = mgmt.get("upstreams", "bad")
            assert found is not None
            assert found.state == "invalid"
            assert "nothing-of-the-kind" in found.reason
            assert any(line.event == "record.left_out" for line in gw.log.lines)


async def test_a_dry_run_says_what_would_be_and_changes_nothing(shelf: str) -> None:
    async with managed(shelf) as (_, mgmt):
        outcome = await mgmt.change([upstream("a", "http://127.0.0.1:9")], ALICE, dry_run=True)
        assert [(item.name, item.record.version if item.record else 0) for item in outcome.items] == [
            ("a", 1)
        ]
        assert (mgmt.revision, mgmt.all("upstreams")) == (0, [])


async def test_secrets_are_never_shown_and_survive_an_edit_that_has_the_mask(shelf: str) -> None:
    async with serving(server("one")) as url, managed(shelf) as (_, mgmt):
        config: Json = {"use": "mcp", "url": f"{url}/mcp", "headers": {"x-key": "topsecret"}}
        await mgmt.change([Change("upstreams", "a", config)], ALICE)
        shown = mgmt.get("upstreams", "a")
        assert shown is not None
        assert shown.config["headers"] == {"x-key": "**********"}
        await mgmt.change([Change("upstreams", "a", {**shown.config, "connect_timeout": 3})], ALICE)
        kept_config = kept.SHELVES[shelf].records["upstreams", "a"].config
        assert kept_config["headers"]["x-key"].startswith("${sealed:file.")
        assert "topsecret" not in repr(kept.SHELVES[shelf].entries)
        assert kept_config["connect_timeout"] == 3


async def test_a_secret_is_sent_to_the_upstream_and_stands_nowhere_else(shelf: str, tmp_path: Path) -> None:
    made = server("one")
    async with serving(made) as url, managed(shelf, base=tmp_path) as (gw, mgmt):
        headers = {"x-own": "topsecret", "x-shared": "${secret:shared}"}
        config: Json = {"use": "mcp", "url": f"{url}/mcp", "headers": headers}
        await mgmt.change(
            [Change("secrets", "shared", {"value": "hushhush"}), Change("upstreams", "a", config)], ALICE
        )
        await until(gw, ["one"])
        sent = made.of("tools/list")[-1].headers
        assert (sent["x-own"], sent["x-shared"]) == ("topsecret", "hushhush")
        secret = mgmt.get("secrets", "shared")
        assert secret is not None
        assert secret.config == {"value": "**********"}
        on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        for place in (repr(kept.SHELVES[shelf].entries).encode(), on_disk, repr(gw.log.lines).encode()):
            assert b"topsecret" not in place
            assert b"hushhush" not in place


async def test_a_sealed_secret_that_is_moved_to_another_record_is_good_for_nothing(shelf: str) -> None:
    async with serving(server("one")) as url, managed(shelf) as (_, mgmt):
        config: Json = {"use": "mcp", "url": f"{url}/mcp", "headers": {"x-key": "topsecret"}}
        await mgmt.change([Change("upstreams", "a", config)], ALICE)
        stolen = kept.SHELVES[shelf].records["upstreams", "a"].config
        with pytest.raises(ConfigError, match="another place"):
            await mgmt.change([Change("upstreams", "b", stolen)], ALICE)


async def test_secrets_are_put_under_a_new_key_while_everything_goes_on(shelf: str, tmp_path: Path) -> None:
    old, new = "o" * 32, "n" * 32
    both = f'[gateway.encryption_keys]\nnew = "{new}"\nold = "{old}"\n'
    made = server("one")
    async with serving(made) as url:
        async with managed(shelf, f'[gateway.encryption_keys]\nold = "{old}"\n', tmp_path) as (_, mgmt):
            config: Json = {"use": "mcp", "url": f"{url}/mcp", "headers": {"x-key": "topsecret"}}
            await mgmt.change(
                [Change("upstreams", "a", config), Change("secrets", "s", {"value": "x"})], ALICE
            )
        async with managed(shelf, both, tmp_path) as (gw, mgmt):
            await until(gw, ["one"])
            assert await mgmt.rotate(ALICE, dry_run=True) == 2
            assert await mgmt.rotate(ALICE) == 2
            assert await mgmt.rotate(ALICE) == 0
        async with managed(shelf, f'[gateway.encryption_keys]\nnew = "{new}"\n', tmp_path) as (gw, mgmt):
            await until(gw, ["one"])
            assert made.of("tools/list")[-1].headers["x-key"] == "topsecret"
        async with managed(shelf, f'[gateway.encryption_keys]\nother = "{old}"\n', tmp_path) as (gw, mgmt):
            found = mgmt.get("upstreams", "a")
            assert found is not None
            assert found.state == "invalid"
            assert "'new'" in found.reason
            with pytest.raises(ConfigError) as lost:
                await mgmt.rotate(ALICE)
            assert [path for path, _ in lost.value.problems] == ["secrets.s", "upstreams.a"]


async def test_an_override_shows_a_tool_in_another_way_and_fills_in_its_arguments(shelf: str) -> None:
    made = server("one")
    schema: Json = {"type": "object", "properties": {"a": {"type": "string"}, "key": {"type": "string"}}}
    made.tools = [{"name": "one", "description": "old", "inputSchema": {**schema, "required": ["key"]}}]
    async with serving(made) as url, managed(shelf) as (gw, mgmt):
        await mgmt.change([upstream("up", url)], ALICE)
        await until(gw, ["one"])
        shown: Json = {"name": "uno", "description": "new", "defaults": {"key": "k"}, "hidden": ["key"]}
        await mgmt.change([Change("overrides", "up/tools/one", shown)], ALICE)
        await until(gw, ["uno"])
        (tool,) = (await gw.request("tools/list"))["tools"]
        assert (tool["description"], "key" in tool["inputSchema"]["properties"]) == ("new", False)
        await gw.request("tools/call", {"name": "uno", "arguments": {"a": "x"}})
        assert made.of("tools/call")[-1].params["arguments"] == {"a": "x", "key": "k"}
        await mgmt.change([Change("overrides", "up/tools/one", {"enabled": False})], ALICE)
        await until(gw, [])
        await mgmt.change([Change("overrides", "up/tools/one", None)], ALICE)
        await until(gw, ["one"])


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("up/tool/one", {}, "UPSTREAM/tools|prompts|resources/NAME"),
        ("one", {}, "UPSTREAM/tools|prompts|resources/NAME"),
        ("up/tools/one", {"naem": "x"}, "name"),
        ("up/tools/one", {"enabled": "yes"}, "expected"),
    ],
)
async def test_an_override_that_is_wrong_is_refused(shelf: str, name: str, config: Json, words: str) -> None:
    async with managed(shelf + name + words) as (_, mgmt):
        with pytest.raises(ConfigError) as caught:
            await mgmt.change([Change("overrides", name, config)], ALICE)
        assert words in str(caught.value)


async def test_prompts_and_resources_of_the_gateways_own(shelf: str) -> None:
    async with managed(shelf) as (gw, mgmt):
        greet: Json = {"template": "Hello {{ who }}!", "arguments": [{"name": "who", "required": True}]}
        note: Json = {"uri": "note://one", "text": "remember"}
        await mgmt.change([Change("prompts", "greet", greet), Change("resources", "one", note)], ALICE)
        got = await gw.request("prompts/get", {"name": "greet", "arguments": {"who": "you"}})
        assert got["messages"][0]["content"]["text"] == "Hello you!"
        read = await gw.request("resources/read", {"uri": "note://one"})
        assert read["contents"][0]["text"] == "remember"
        await mgmt.change([Change("prompts", "greet", {**greet, "template": "Bye {{ who }}."})], ALICE)
        got = await gw.request("prompts/get", {"name": "greet", "arguments": {"who": "you"}})
        assert got["messages"][0]["content"]["text"] == "Bye you."
        with pytest.raises(ConfigError) as caught:
            await mgmt.change([Change("prompts", "bad", {"tempalte": "x"})], ALICE)
        assert caught.value.problems[0][0].startswith("prompts.bad")
        await mgmt.change([Change("prompts", "greet", None), Change("resources", "one", None)], ALICE)
        assert (await gw.request("prompts/list"))["prompts"] == []


async def test_two_who_change_the_same_thing_do_not_overwrite_each_other(shelf: str) -> None:
    async with managed(shelf) as (_, mgmt):
        await mgmt.change([upstream("a", "http://127.0.0.1:9")], ALICE)
        stale = Change("upstreams", "a", {"use": "mcp", "url": "http://127.0.0.1:8"}, expected=0)
        with pytest.raises(Stale):
            await mgmt.change([stale], ALICE)
        with pytest.raises(Stale):
            await mgmt.change([upstream("b", "http://127.0.0.1:9")], ALICE, expected=0)


async def test_while_the_registry_is_away_what_was_known_goes_on_and_nothing_is_written(shelf: str) -> None:
    async with serving(server("one")) as url, managed(shelf) as (gw, mgmt):
        await mgmt.change([upstream("a", url)], ALICE)
        await until(gw, ["one"])
        place = kept.SHELVES[shelf]
        place.away = True
        async with place.news:
            place.news.notify_all()
        with pytest.raises(RegistryDown):
            await mgmt.change([upstream("b", url)], ALICE)
        assert await tools(gw) == ["one"]
        place.away = False
        await mgmt.change([upstream("b", url)], ALICE)
        await until(gw, ["a__one", "b__one"])


async def test_a_gateway_that_starts_while_the_registry_is_away_begins_with_what_was_last_known(
    shelf: str, tmp_path: Path
) -> None:
    async with serving(server("one")) as url:
        async with managed(shelf, base=tmp_path) as (_, mgmt):
            await mgmt.change([upstream("a", url)], ALICE)
        place = kept.SHELVES[shelf]
        place.away, known = True, place.revision
        async with managed(shelf, base=tmp_path) as (gw, mgmt):
            await until(gw, ["one"])
            assert mgmt.revision == known
            status, body = await get(gw, "/readyz")
            assert (status, body["status"], body["registry"]["state"]) == (200, "degraded", "down")
            place.away = False
            async with asyncio.timeout(30):
                while mgmt.down:
                    await asyncio.sleep(0.01)
            status, body = await get(gw, "/readyz")
            assert (body["status"], body["registry"]) == ("ready", {"state": "ready", "revision": known})


async def test_a_write_that_finds_the_registry_away_says_so_for_all_until_it_is_back(shelf: str) -> None:
    async with managed(shelf) as (gw, mgmt):
        place = kept.SHELVES[shelf]
        place.away = True
        assert mgmt.down == ""  # whoever watches has noticed nothing
        with pytest.raises(RegistryDown):
            await mgmt.change([upstream("a", "http://127.0.0.1:1")], ALICE)
        assert mgmt.down == "taken away"
        assert (await get(gw, "/readyz"))[1]["status"] == "degraded"
        place.away = False
        async with asyncio.timeout(30):
            while mgmt.down:
                await asyncio.sleep(0.01)


async def get(gw: RunningGateway, path: str) -> tuple[int, Json]:
    from starlette.testclient import TestClient

    answer = await asyncio.to_thread(TestClient(gw.gateway.app, "http://localhost").get, path)
    return answer.status_code, answer.json()


async def test_a_candidate_is_tried_without_being_kept(shelf: str) -> None:
    async with serving(server("one", "two")) as url, managed(shelf) as (gw, mgmt):
        offer = await mgmt.probe("x", {"use": "mcp", "url": f"{url}/mcp"})
        assert (offer["state"], [tool["name"] for tool in offer["tools"]]) == ("ready", ["one", "two"])
        assert mgmt.all("upstreams") == []
        assert await tools(gw) == []
        gone = await mgmt.probe("x", {"use": "mcp", "url": "http://127.0.0.1:9/mcp"})
        assert gone["state"] == "unavailable"


async def test_lists_are_fetched_again_at_ones_wish(shelf: str) -> None:
    made = server("one")
    async with serving(made) as url, managed(shelf) as (gw, mgmt):
        await mgmt.change([upstream("a", url)], ALICE)
        await until(gw, ["one"])
        made.tools.append({"name": "two", "inputSchema": {"type": "object"}})
        assert await mgmt.refresh("a") is not None
        await until(gw, ["one", "two"])
        assert await mgmt.refresh("nobody") is None


async def test_without_a_registry_nothing_can_be_managed() -> None:
    async with running_gateway("") as running:
        assert running.gateway.management is None
    from portico._core.contracts.management import Unmanaged

    with pytest.raises(NoRegistry, match=r"\[registries\.main\]"):
        await Unmanaged().change([], ALICE)
