"""What a card says: which interface is used, which tools there are, and how it is kept current."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec
import pytest
from a2a.types import AgentSkill

from portico.api import Json, State
from portico_plugins.upstreams.a2a.config import A2aConfig
from portico_plugins.upstreams.a2a.interfaces import NoInterface, chosen, origin_of
from portico_plugins.upstreams.a2a.skills import skills_of
from tests.plugins.upstreams.a2a.agent_server import agent
from tests.plugins.upstreams.a2a.kit import running, structured
from tests.plugins.upstreams.a2a.raw import card_for, http, raw, rpc, task
from tests.plugins.upstreams.kit import call, exchange, text

HOST = "https://agents.example"


def interface(
    url: str = f"{HOST}/rpc", binding: str = "JSONRPC", version: str = "1.0", tenant: str = ""
) -> Json:
    return {"url": url, "protocolBinding": binding, "protocolVersion": version, "tenant": tenant}


def config(**changes: Any) -> A2aConfig:
    return A2aConfig(url=f"{HOST}/travel", **changes)


# --- interfaces ------------------------------------------------------------------------------------


def test_the_cards_order_decides_among_the_bindings_that_may_be_used() -> None:
    card = card_for(interface(binding="HTTP+JSON"), interface(), interface(f"{HOST}", "GRPC"))
    assert chosen(card, config()).binding == "HTTP+JSON"
    assert chosen(card, config(bindings=("GRPC", "JSONRPC"))).binding == "JSONRPC"
    assert chosen(card, config(bindings=("GRPC",))).url == "grpcs://agents.example:443"


def test_of_two_versions_of_a_binding_the_newer_is_used() -> None:
    card = card_for(interface(version="0.3.0"), interface(version="1.0.1"))
    assert not chosen(card, config()).legacy
    assert chosen(card_for(interface(version="0.3.0")), config()).legacy
    assert chosen(card_for(interface(version="0.2.6")), config()).legacy
    assert not chosen(card_for({**interface(), "protocolVersion": ""}), config()).legacy


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (interface(version="2.0"), "version '2.0' of the protocol is not known"),
        (interface(version="latest"), "version 'latest'"),
        (interface(binding="WEBSOCKET"), "'WEBSOCKET' is not among `bindings`"),
        (interface("http://agents.example/rpc"), "http://agents.example:80 is not among `origins`"),
        (interface("https://agents.example:8443/rpc"), "https://agents.example:8443 is not among"),
        (interface("https://agents.example.evil.test/rpc"), "is not among `origins`"),
        (interface("https://agents.example@evil.test/rpc"), "a URL that is not one of http or https"),
        (interface("https://agents.example\\@evil.test/"), "a URL that is not one of http or https"),
        (interface("file:///etc/passwd"), "a URL that is not one of http or https"),
        (interface("https://agents.example/a b"), "a URL that is not one of http or https"),
        (interface("https://agents.example/\u00e4"), "a URL that is not one of http or https"),
        (interface("unix:/run/agent", "GRPC"), "a URL that is none of gRPC"),
        (interface("dns:///agents.example:443", "GRPC"), "a URL that is none of gRPC"),
        (interface("https://agents.example/path", "GRPC"), "a URL that is none of gRPC"),
        (interface("grpc://agents.example:443", "GRPC"), "grpc://agents.example:443 is not among"),
        (interface("evil.test:443", "GRPC"), "grpcs://evil.test:443 is not among"),
        (interface(tenant="../admin"), "a tenant that cannot be in a path"),
        (interface(tenant="a/b"), "a tenant that cannot be in a path"),
        (interface(tenant=".."), "a tenant that cannot be in a path"),
    ],
)
def test_an_interface_that_may_not_be_used_is_not(declared: Json, why: str) -> None:
    with pytest.raises(NoInterface) as found:
        chosen(card_for(declared), config())
    assert why in str(found.value)
    assert chosen(card_for(declared, interface()), config()).url == f"{HOST}/rpc"


def test_grpc_without_a_scheme_is_as_safe_as_where_the_card_is() -> None:
    card = card_for(interface("agents.example:443", "GRPC"))
    assert chosen(card, config()).url == "grpcs://agents.example:443"
    plain = A2aConfig(url="http://agents.example:443")
    assert chosen(card, plain).url == "grpc://agents.example:443"


def test_an_origin_has_its_port() -> None:
    assert origin_of("https://Agents.Example/x") == "https://agents.example:443"
    assert origin_of("grpc://[::1]:50051") == "grpc://[::1]:50051"
    with pytest.raises(ValueError, match="no origin"):
        origin_of("agents.example")


# --- tools -----------------------------------------------------------------------------------------


def skill(ident: str, *tags: str, **more: Any) -> Json:
    return {"id": ident, "name": ident, "description": f"Does {ident}.", "tags": list(tags), **more}


def names(offered: list[Json], **changes: Any) -> list[str]:
    return list(skills_of({**card_for(), "skills": offered}, config(**changes)).tools)


def test_an_agent_of_one_skill_or_none_has_one_tool_to_send_to() -> None:
    assert names([]) == ["send"]
    assert names([skill("only")]) == ["send"]
    assert skills_of({**card_for(), "skills": [skill("only")]}, config()).tools["send"].id == "only"
    assert skills_of(card_for(skills=[]), config()).tools["send"].id == ""


def test_skills_are_chosen_by_id_and_by_tag() -> None:
    three = [skill("book_hotel", "travel"), skill("book_flight", "travel", "internal"), skill("pay", "money")]
    assert names(three) == ["book_hotel", "book_flight", "pay"]
    assert names(three, skills=("book_*",)) == ["book_hotel", "book_flight"]
    assert names(three, skills=("tag:m*",)) == ["pay"]
    assert names(three, exclude=("tag:internal",)) == ["book_hotel", "pay"]
    assert names(three, skills=("nothing",)) == []


def test_a_tool_has_a_name_that_tools_may_have_and_no_other_has() -> None:
    odd = [skill("a b"), skill("a.b"), skill("a_b"), skill("\u00e4"), skill("x" * 100), skill("x" * 101)]
    made = names(odd)
    assert made == ["a_b", "a_b_2", "a_b_3", "skill", "x" * 64, "x" * 62 + "_2"]


def test_a_tool_says_what_the_card_does() -> None:
    full = skill("book", "travel", examples=["a room", "a flight"], inputModes=["text/plain"])
    [tool, _] = skills_of({**card_for(), "skills": [full, skill("other")]}, config()).tools.values()
    assert tool.definition["description"] == "Does book.\n\nExamples:\n- a room\n- a flight\n\nTags: travel"
    properties = tool.definition["inputSchema"]["properties"]
    assert list(properties) == ["message", "data", "contextId", "taskId", "referenceTaskIds"]
    assert "outputSchema" in tool.definition
    bare = skills_of({**card_for(), "skills": [full]}, config(output_schemas=False))
    assert "outputSchema" not in bare.tools["send"].definition


def test_a_tool_takes_files_unless_its_skill_takes_only_text() -> None:
    takes = [skill("a"), skill("b", inputModes=["text"]), skill("c", inputModes=["text/plain", "image/png"])]
    tools = skills_of({**card_for(), "skills": takes}, config()).tools
    assert ["files" in tool.definition["inputSchema"]["properties"] for tool in tools.values()] == [
        True,
        False,
        True,
    ]


def test_no_more_tools_are_made_than_configured() -> None:
    made = skills_of({**card_for(), "skills": [skill(f"s{n}") for n in range(5)]}, config(max_tools=3))
    assert list(made.tools) == ["s0", "s1", "s2"]
    assert made.left_out == ("s3", "s4")


# --- kept current ------------------------------------------------------------------------------------


async def test_a_card_that_has_not_changed_is_not_fetched_again() -> None:
    async with agent() as served, running(served.url) as up:
        for _ in range(2):
            await up.upstream.probe()
        assert served.paths == ["GET /.well-known/agent-card.json"] * 3
        assert len(up.wiring.offers) == 1
        sent = up.upstream._cards._etag
    assert sent.startswith(b'W/"')


async def test_a_card_that_has_changed_changes_the_tools() -> None:
    async with agent() as served, running(served.url) as up:
        served.card.skills.append(AgentSkill(id="new", name="New", description="New.", tags=["x"]))
        await up.upstream.refresh()
        await up.wiring.until(lambda: len(up.upstream.offer.tools) == 3)
        assert {"tools", "resources"} <= up.wiring.offers[-1]
        assert text(await up.send(call("new", {"message": "you"}))) == "Hello, you!"


async def test_a_card_that_turns_bad_leaves_what_was_known_in_use() -> None:
    async with raw(SendMessage=rpc(task())) as server, running(server.origin) as up:
        server.card = {}
        await up.upstream.refresh()
        await up.until_state(State.DEGRADED)
        assert structured(await up.send(call("send", {"message": "x"})))["state"] == "completed"
        server.card = card_for(f"{server.origin}/rpc", name="Back")
        await up.until_state(State.READY)


async def test_an_agent_that_moves_is_followed_where_its_card_says() -> None:
    async with raw(SendMessage=rpc(task())) as server, running(server.origin) as up:
        await up.send(call("send", {"message": "x"}))
        server.card = card_for(f"{server.origin}/v2/rpc")
        await up.upstream.probe()
        await up.send(call("send", {"message": "x"}))
    paths = [head.split()[1] for head in server.heads if head.startswith(b"POST")]
    assert paths == [b"/rpc", b"/v2/rpc"]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("max-age=120", 120),
        ("public, max-age=60", 60),
        ("max-age=1", 30),
        ("max-age=99999999", 86_400),
        ("no-store, max-age=60", None),
        ("private", None),
    ],
)
async def test_how_long_a_card_holds_is_what_it_says_within_reason(said: str, seconds: int | None) -> None:
    async with raw() as server:
        server.cards = [http(server.card, "application/json", "200 OK", f"Cache-Control: {said}")]
        async with running(server.origin) as up:
            assert up.upstream._cards.fresh == seconds


async def test_a_card_at_the_place_of_older_versions_is_found() -> None:
    async with raw() as server:
        server.cards = [http(b"", "text/plain", "404 Not Found")]
        async with running(server.origin) as up:
            assert up.upstream.state is State.READY
    assert [head.split()[1] for head in server.heads] == [
        b"/.well-known/agent-card.json",
        b"/.well-known/agent.json",
    ]


async def test_a_card_of_0_3_is_understood() -> None:
    async with raw() as server:
        server.card = {
            "name": "Old",
            "description": "d",
            "version": "1",
            "protocolVersion": "0.3.0",
            "url": f"{server.origin}/rpc",
            "preferredTransport": "JSONRPC",
            "capabilities": {"streaming": False},
            "defaultInputModes": ["text"],
            "defaultOutputModes": ["text"],
            "skills": [{"id": "a", "name": "A", "description": "d", "tags": []}],
            "security": [{"key": []}],
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
        }
        reply = {
            "kind": "message",
            "messageId": "m",
            "role": "agent",
            "parts": [{"kind": "text", "text": "hi"}],
        }
        server.answers["message/send"] = rpc(reply)
        async with running(server.origin) as up:
            assert text(await up.send(call("send", {"message": "x"}))) == "hi"
    assert b"a2a-version: 0.3" in server.heads[-1].lower()


async def test_the_url_of_a_card_itself_is_used_as_it_is() -> None:
    async with raw() as server:
        async with running(f"{server.origin}/cards/raw.json") as up:
            assert up.upstream.state is State.READY
        async with running(f"{server.origin}/agents/raw/") as up:
            assert up.upstream.state is State.READY
    assert [head.split()[1] for head in server.heads] == [
        b"/cards/raw.json",
        b"/agents/raw/.well-known/agent-card.json",
    ]


async def test_the_card_is_a_resource_that_does_not_say_where_the_agent_is() -> None:
    async with agent() as served, running(served.url) as up:
        [listed] = up.upstream.offer.resources
        read = await up.send(exchange("resources/read", {"uri": listed["uri"]}))
    assert listed["uri"] == "a2a://up/agent-card.json"
    shown = read.value["contents"][0]
    assert shown["mimeType"] == "application/json"
    assert '"name":"Greeter"' in shown["text"]
    assert served.url not in shown["text"]


async def test_the_card_says_nothing_of_skills_that_are_left_out() -> None:
    async with agent() as served:
        kept, left_out = [skill.id for skill in served.card.skills]
        async with running(served.url, exclude=(left_out,)) as up:
            read = await up.send(exchange("resources/read", {"uri": "a2a://up/agent-card.json"}))
    shown = msgspec.json.decode(read.value["contents"][0]["text"])
    assert [skill["id"] for skill in shown["skills"]] == [kept]


async def test_files_of_answers_have_a_template_of_their_own_for_each_upstream() -> None:
    async with agent() as served, running(served.url) as up:
        [listed] = up.upstream.offer.templates
    assert listed["uriTemplate"] == "a2a://up/tasks/{taskId}/artifacts/{artifactId}/{part}"


async def test_patterns_that_fit_no_skill_are_told_and_so_is_a_choice_of_nothing() -> None:
    async with agent() as served:
        kept, other = [skill.id for skill in served.card.skills]
        async with running(served.url, skills=(kept, f"{kept}x"), exclude=("zz*",)) as up:
            assert up.upstream.state is State.READY
            told = [facts for _, event, facts in up.log.lines if event == "pattern_fits_nothing"]
            assert told == [
                {"pattern": f"{kept}x", "hint": f"did you mean {kept!r}?"},
                {"pattern": "zz*", "hint": ""},
            ]
        async with running(served.url, exclude=(kept, other)) as up:
            said = (up.upstream.state, up.upstream.reason)
            assert said == (State.DEGRADED, "no_skills (`skills` and `exclude` leave none of 2)")


async def test_a_card_that_says_nothing_of_its_age_is_asked_for_again_as_configured() -> None:
    async with raw() as server, running(server.origin, refresh_seconds=0.01) as up:
        server.card = {**server.card, "skills": [skill("one"), skill("other")]}
        await up.wiring.until(lambda: len(up.upstream.offer.tools) == 2)


async def test_a_start_waits_no_longer_for_a_card_than_configured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with asyncio.timeout(30), running(url, start_grace=0.0, connect_timeout=3600.0) as up:
            assert up.upstream.state is State.STARTING
