"""The gateway's own prompts and resources while it serves: what clients see when records of them change."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from portico.api import Author, Change, ConfigError, FromFile, Json, Management, Refused
from portico.testing import RunningGateway, running_gateway
from portico_plugins.upstreams.local.upstream import LocalUpstream
from tests.kernel import kept
from tests.plugins.transports.scripted import Scripted
from tests.plugins.transports.web import Web

ALICE = Author("alice", "api")
NOTE: Json = {"uri": "note://one", "text": "remember"}
CARD: Json = {"uri": "card://{id}", "text": "Card {{ id }}"}
GREET: Json = {"template": "Hello {{ who }}!", "arguments": [{"name": "who", "values": ["Ada", "Bob"]}]}


@pytest.fixture
def shelf(request: pytest.FixtureRequest) -> str:
    return str(request.node.name).replace('"', "")


@asynccontextmanager
async def managed(name: str, more: str = "") -> AsyncIterator[tuple[RunningGateway, Management]]:
    config = f"[registries.main]\nuse = 'kept'\nshelf = '{name}'\n{more}"
    with tempfile.TemporaryDirectory() as folder:
        async with running_gateway(config, plugins=[kept], base=Path(folder)) as running:
            management = running.gateway.management
            assert management is not None
            yield running, management


def resource(name: str, config: Json | None) -> Change:
    return Change("resources", name, config)


def prompt(name: str, config: Json | None) -> Change:
    return Change("prompts", name, config)


async def text(gateway: RunningGateway, uri: str) -> str:
    (content,) = (await gateway.request("resources/read", {"uri": uri}))["contents"]
    return str(content["text"])


async def test_clients_are_told_from_the_start_what_there_may_be(shelf: str) -> None:
    async with managed(shelf) as (gateway, _):
        capabilities = (await gateway.request("server/discover"))["capabilities"]
        assert capabilities["resources"] == {"listChanged": True, "subscribe": True}
        assert capabilities["completions"] == {}
        assert capabilities["prompts"] == {"listChanged": True}


async def test_prompts_resources_and_proposals_are_there_at_once(shelf: str) -> None:
    async with managed(shelf) as (gateway, management):
        await management.change(
            [prompt("greet", GREET), resource("one", NOTE), resource("card", CARD)], ALICE
        )
        assert await gateway.names("prompts/list") == ["greet"]
        assert await gateway.names("resources/templates/list") == ["card://{id}"]
        got = await gateway.request("prompts/get", {"name": "greet", "arguments": {"who": "{{ Ada }}"}})
        assert got["messages"][0]["content"]["text"] == "Hello {{ Ada }}!"
        assert await text(gateway, "card://7") == "Card 7"
        ref = {"type": "ref/prompt", "name": "greet"}
        asked = {"ref": ref, "argument": {"name": "who", "value": "b"}}
        assert (await gateway.request("completion/complete", asked))["completion"]["values"] == ["Bob"]


async def test_a_resource_says_how_large_it_is_and_when_it_last_changed(shelf: str) -> None:
    dated = {**NOTE, "uri": "note://two", "annotations": {"last_modified": "2020-01-01", "priority": 1}}
    more = '[registries.real]\nuse = "memory"\n[gateway]\nregistry = "real"'
    async with managed(shelf, more) as (gateway, management):
        await management.change([resource("one", NOTE), resource("two", dated)], ALICE)
        one, two = (await gateway.request("resources/list"))["resources"]
        assert one["size"] == 8
        assert one["annotations"]["lastModified"].endswith("Z")
        assert two["annotations"] == {"lastModified": "2020-01-01", "priority": 1}
        shown = management.get("resources", "one")
        assert shown is not None
        assert shown.config == NOTE


async def test_what_is_only_said_of_a_resource_is_no_news_to_clients(shelf: str) -> None:
    more = '[registries.real]\nuse = "memory"\n[gateway]\nregistry = "real"'
    async with managed(shelf, more) as (gateway, management):
        await management.change([resource("one", NOTE)], ALICE)
        before = await gateway.request("resources/list")
        plane: Any = gateway.gateway.plane
        local = plane.upstreams["local"]
        found = management.get("resources", "one")
        assert found is not None
        told = attrs.evolve(found.about, tags=("new",))
        await management.change([Change("resources", "one", found.config, told)], ALICE)
        assert plane.upstreams["local"] is local  # nothing was made anew
        assert await gateway.request("resources/list") == before
        changed = management.get("resources", "one")
        assert changed is not None
        assert changed.about.tags == ("new",)


async def test_a_template_that_is_wrong_is_refused_with_its_record_field_and_line(shelf: str) -> None:
    wrong = {**GREET, "messages": [{"text": "ok"}, {"text": "\n{% for x in who %}"}]}
    del wrong["template"]
    async with managed(shelf) as (_, management):
        with pytest.raises(ConfigError) as caught:
            await management.change([prompt("greet", wrong)], ALICE)
        ((path, message),) = caught.value.problems
        assert path == "prompts.greet.messages[1].text"
        assert message.startswith("line 2: ")


async def test_a_dollar_before_a_value_is_a_dollar(shelf: str) -> None:
    price = {"template": "It is ${{ price }}, $${not a secret}.", "arguments": [{"name": "price"}]}
    async with managed(shelf) as (gateway, management):
        await management.change([prompt("price", price)], ALICE)
        got = await gateway.request("prompts/get", {"name": "price", "arguments": {"price": "5"}})
        assert got["messages"][0]["content"]["text"] == "It is $5, ${not a secret}."


async def test_a_record_that_is_wrong_is_left_out_alone(shelf: str) -> None:
    async with managed(shelf) as (gateway, management):
        wrong = [
            prompt("later", {**GREET, "icons": ["unbuilt"]}),
            prompt("broken", {"template": "{{ nobody }}"}),
            resource('r.dotted "name"', {"uri": "nothing", "text": ""}),
            prompt("shows", {"messages": [{"type": "resource", "source": 'r.dotted "name"'}]}),
        ]
        # Written by another version of the gateway, past every check.
        await kept.KeptRegistry(kept.SHELVES[shelf]).write(
            [prompt("greet", GREET), resource("one", NOTE), *wrong], ALICE
        )
        async with asyncio.timeout(30):
            while management.revision < 1:
                await asyncio.sleep(0)
        assert await gateway.names("prompts/list") == ["greet"]
        assert await gateway.names("resources/list") == ["note://one"]
        for change in wrong:
            found = management.get(change.kind, change.name)
            assert found is not None
            assert found.state == "invalid"
            assert found.problems
        greet = management.get("prompts", "greet")
        assert greet is not None
        assert greet.state == "ready"


async def test_a_resource_that_a_prompt_shows_cannot_be_taken_away(shelf: str) -> None:
    async with managed(shelf) as (_, management):
        shows = prompt("shows", {"messages": [{"type": "resource", "source": "one"}]})
        await management.change([resource("one", NOTE), shows], ALICE)
        with pytest.raises(ConfigError, match=r"prompts\.shows\.messages\[0\]\.source"):
            await management.change([resource("one", None)], ALICE)
        await management.change([resource("one", None), prompt("shows", None)], ALICE)


FILE = """
[upstreams.local]
max_resource = 10
resources.house = {uri = "note://house", text = "rules"}
prompts.house = {template = "House"}
"""


async def test_records_join_what_the_file_has_and_keep_its_limits(shelf: str) -> None:
    async with managed(shelf, FILE) as (gateway, management):
        await management.change([resource("one", NOTE), prompt("greet", GREET)], ALICE)
        assert sorted(await gateway.names("resources/list")) == ["note://house", "note://one"]
        assert sorted(await gateway.names("prompts/list")) == ["greet", "house"]
        with pytest.raises(ConfigError, match="at most 10 bytes, got 11"):
            await management.change([resource("two", {"uri": "note://two", "text": "12345678901"})], ALICE)
        with pytest.raises(ConfigError, match=r"resources\.two\.uri"):
            await management.change([resource("two", {"uri": "note://house", "text": ""})], ALICE)
        with pytest.raises(FromFile):
            await management.change([prompt("house", GREET)], ALICE)
        listed = [(each.name, each.origin, each.state) for each in management.all("prompts")]
        assert listed == [("greet", "registry", "ready"), ("house", "file", "ready")]
        assert management.all("resources")[0].config == {"uri": "note://house", "text": "rules"}
        tried = await management.render("house", {})
        assert tried["messages"][0]["content"]["text"] == "House"
        with pytest.raises(ConfigError, match="declares one of this name"):
            await management.render("house", {}, GREET)


async def test_no_record_takes_the_place_of_the_upstream_that_has_them(shelf: str) -> None:
    async with managed(shelf) as (_, management):
        with pytest.raises(ConfigError, match="is the upstream of the gateway's own"):
            await management.change([Change("upstreams", "local", {"use": "mcp", "url": "http://x/"})], ALICE)


async def test_an_upstream_of_the_file_that_is_called_local_keeps_its_place(shelf: str) -> None:
    other = '[upstreams.local]\nuse = "mcp"\nurl = "http://127.0.0.1:1/mcp"\n'
    async with managed(shelf, other) as (_, management):
        with pytest.raises(ConfigError, match="of another kind"):
            await management.change([prompt("greet", GREET)], ALICE)


async def test_no_secret_has_a_place_in_what_clients_are_shown(shelf: str) -> None:
    async with managed(shelf) as (_, management):
        await management.change([Change("secrets", "key", {"value": "hush"})], ALICE)
        with pytest.raises(ConfigError, match=r"prompts\.greet\.template .*no secret has a place"):
            await management.change([prompt("greet", {"template": "${secret:key}"})], ALICE)
        with pytest.raises(ConfigError, match="no secret has a place"):
            await management.render("greet", {}, {"template": "${secret:key}"})


async def test_a_prompt_is_tried_out_as_it_is_or_as_it_would_be_and_nothing_is_kept(shelf: str) -> None:
    async with managed(shelf) as (gateway, management):
        await management.change([prompt("greet", GREET), resource("one", NOTE)], ALICE)
        tried = await management.render("greet", {"who": "Ada"})
        assert tried["messages"][0]["content"]["text"] == "Hello Ada!"
        candidate = {"messages": [{"text": "Bye"}, {"type": "resource", "source": "one"}]}
        for name in ("greet", "new"):
            tried = await management.render(name, {}, candidate)
            assert tried["messages"][1]["content"]["resource"]["text"] == "remember"
        with pytest.raises(ConfigError, match=r"prompts\.greet\.template"):
            await management.render("greet", {}, {"template": "{{ x }}"})
        with pytest.raises(Refused, match="arguments of prompts are strings"):
            await management.render("greet", {"who": 1})
        with pytest.raises(KeyError):
            await management.render("nobody", {})
        assert await gateway.names("prompts/list") == ["greet"]
        assert management.revision == 1


# --- subscriptions -------------------------------------------------------------------------------------


@asynccontextmanager
async def watched(shelf: str) -> AsyncIterator[tuple[Web, Management]]:
    """A gateway with a few resources, and the way into it."""
    async with managed(shelf) as (running, management):
        big = {"uri": "note://big", "blob": base64.b64encode(bytes(range(256))).decode()}
        changes = [resource("one", NOTE), resource("card", CARD), resource("big", big)]
        await management.change(changes, ALICE)
        web = Web(running.gateway, Scripted.__new__(Scripted), running.log)
        web.upstream.gate = asyncio.Event()
        try:
            yield web, management
        finally:
            await web.close()


async def update(stream: Any) -> str:
    """The URI of the next update; list changes are passed over."""
    async with asyncio.timeout(30):
        while True:
            message = await stream.message()
            if message.get("method") == "notifications/resources/updated":
                return str(message["params"]["uri"])


async def test_a_modern_client_hears_of_each_change_of_what_it_watches(shelf: str) -> None:
    async with watched(shelf) as (web, management):
        uris = ["note://one", "card://7", "note://big"]
        stream = web.modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
        first = await stream.message()
        assert first["params"]["notifications"] == {"resourceSubscriptions": uris}
        for round_ in range(3):  # each replaces the component that has the resources
            await management.change([resource("one", {**NOTE, "text": f"{round_}"})], ALICE)
            assert await update(stream) == "note://one"
        await management.change([prompt("greet", GREET)], ALICE)  # none of theirs
        await management.change([resource("card", {**CARD, "text": "The card {{ id }}"})], ALICE)
        assert await update(stream) == "card://7"
        await management.change([resource("one", None)], ALICE)
        await management.change([resource("one", NOTE)], ALICE)
        await management.change([resource("one", {**NOTE, "text": "again"})], ALICE)
        assert await update(stream) == "note://one"


async def test_a_legacy_session_hears_of_them_until_it_wants_no_more(shelf: str) -> None:
    async with watched(shelf) as (web, management):
        session = await web.session()
        assert session.result["capabilities"]["resources"] == {"listChanged": True, "subscribe": True}
        stream = session.get()
        assert await stream.head() == 200
        for uri in ("note://one", "note://big"):
            assert "result" in await session.request("resources/subscribe", {"uri": uri}).json()
        await management.change([resource("one", {**NOTE, "text": "new"})], ALICE)
        assert await update(stream) == "note://one"
        read = await session.request("resources/read", {"uri": "note://one"}).json()
        assert read["result"]["contents"][0]["text"] == "new"
        await session.request("resources/unsubscribe", {"uri": "note://one"}).json()
        changes = [
            resource("one", {**NOTE, "text": "newer"}),
            resource("big", {"uri": "note://big", "text": ""}),
        ]
        await management.change(changes, ALICE)
        assert await update(stream) == "note://big"


async def test_an_upstream_that_cannot_take_over_takes_its_place_all_the_same(
    shelf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def succeed(self: Any, before: Any) -> None:
        raise RuntimeError("I will not")

    monkeypatch.setattr(LocalUpstream, "succeed", succeed)
    async with managed(shelf) as (gateway, management):
        await management.change([resource("one", NOTE)], ALICE)
        await management.change([resource("one", {**NOTE, "text": "new"})], ALICE)
        assert await text(gateway, "note://one") == "new"
        assert any(line.level == "error" and "I will not" in repr(line) for line in gateway.log.lines)


async def test_nobody_is_refused_a_resource_in_the_moment_in_which_it_changes(shelf: str) -> None:
    async with managed(shelf) as (gateway, management):
        await management.change([resource("one", NOTE)], ALICE)
        over = asyncio.Event()
        seen: set[str] = set()

        async def reads() -> None:
            while not over.is_set():
                seen.add(await text(gateway, "note://one"))

        reader = asyncio.create_task(reads())
        for number in range(20):
            await management.change([resource("one", {**NOTE, "text": str(number)})], ALICE)
        over.set()
        await reader
        assert seen


async def test_a_prompt_that_takes_too_long_takes_nobody_elses_time(shelf: str) -> None:
    loops = "{% for a in range(10000) %}" * 2 + "{{ a ~ who }}" + "{% endfor %}" * 2
    async with managed(shelf) as (gateway, management):
        slow = {"template": loops, "arguments": [{"name": "who"}]}
        await management.change([prompt("slow", slow), prompt("greet", GREET)], ALICE)
        asked = asyncio.create_task(gateway.request("prompts/get", {"name": "slow"}))
        turns = 0
        while not asked.done():
            await asyncio.sleep(0)
            turns += 1
        with pytest.raises(Refused, match="it takes too long"):
            await asked
        # While one of them is filled in by a thread, the loop goes on.
        assert turns > 100
