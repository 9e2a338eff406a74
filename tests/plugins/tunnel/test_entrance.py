"""Where upstreams dial in: who is let in, who is not, and that both look the same until the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from portico.api import Secret, State
from portico_plugins.tunnel import proof
from portico_plugins.tunnel.frames import LONGEST, Code, Kind, frame
from tests.plugins.transports.web import PATIENCE
from tests.plugins.tunnel.kit import NEXT, SECRET, Served, closed, heard, served

WRONG = "wrong-0123456789abcdef0123456789"


async def handshake(it: Served, **options: Any) -> aiohttp.WSServerHandshakeError:
    """What a handshake that HTTP refuses is answered with."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await it.connect(**options)
    return caught.value


@contextlib.asynccontextmanager
async def dialled_in(it: Served, **said: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A tunnel whose other end is the test."""
    answered = await it.dial(**said)
    assert answered.said is not None
    assert answered.said.verdict == "welcome"
    try:
        yield answered.socket
    finally:
        await answered.socket.close()


async def frames(socket: aiohttp.ClientWebSocketResponse) -> tuple[int, int, bytes]:
    """The next frame: kind, channel and payload."""
    message = await socket.receive(PATIENCE)
    assert message.type is aiohttp.WSMsgType.BINARY, message
    return message.data[0], int.from_bytes(message.data[1:5], "big"), message.data[5:]


# --- the handshake --------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, NEXT])
async def test_any_of_the_secrets_lets_in_and_the_gateway_proves_that_it_knows_it(secret: str) -> None:
    async with served() as it:
        answered = await it.dial(secret)
        assert answered.said is not None
        assert (answered.said.verdict, answered.said.workers) == ("welcome", 1)
        kind, channel, said = await frames(answered.socket)
        assert (kind, channel) == (Kind.OPEN, 1)
        assert len(msgspec.json.decode(said)["owner"]) == 32


CASES: dict[str, dict[str, Any]] = {
    "wrong secret": {"secret": WRONG},
    "unknown name": {"name": "nothing"},
    "no tunnel upstream": {"name": "upstream"},
    "proof for another name": {"claimed": "other"},
    "another name in other letters": {"name": "LAB"},
}


@pytest.mark.parametrize("case", CASES)
async def test_whoever_has_no_proof_is_closed_in_the_same_way(case: str) -> None:
    async with served() as it:
        answered = await it.dial(**CASES[case])
        assert (answered.said, answered.code) == (None, Code.REFUSED)
        (line,) = it.events("tunnel_refused")
        assert line.facts["reason"] == "wrong name or secret"
        assert SECRET not in repr(it.log.lines)
        assert WRONG not in repr(it.log.lines)
        assert (it.lab.state, it.lab.reason) == (State.UNAVAILABLE, "no tunnel is connected")


BAD = {
    "no JSON": "hello",
    "no object": "[]",
    "nothing in it": "{}",
    "wrong types": '{"claims": 1, "proof": 2}',
    "too long": '{"claims": "%s", "proof": ""}' % ("x" * 20_000),
    "half a character": '{"claims": "", "proof": "\\ud800"}',
    "no characters": '{"claims": "\\u0000", "proof": "\\u00e9"}',
}


@pytest.mark.parametrize("case", BAD)
async def test_a_handshake_that_is_none_is_closed(case: str) -> None:
    async with served() as it:
        socket = await it.connect()
        await heard(socket)
        await socket.send_str(BAD[case])
        assert await closed(socket) == Code.REFUSED
        assert len(it.events("tunnel_refused")) == 1
        assert it.web.gateway.plane.upstreams["lab"].state is State.UNAVAILABLE


async def test_a_proof_that_was_overheard_is_worth_nothing_again() -> None:
    async with served() as it:
        first = await it.connect()
        challenge = proof.read((await heard(first)).encode(), proof.Challenge)
        mine = proof.Dialler(proof.nonce(), "one")
        sent = msgspec.json.encode(proof.as_dialler(proof.key_of(Secret(SECRET)), "lab", challenge, mine))
        second = await it.connect()
        other = proof.read((await heard(second)).encode(), proof.Challenge)
        assert other.nonce != challenge.nonce
        await second.send_str(sent.decode())
        assert await closed(second) == Code.REFUSED
        await first.send_str(sent.decode())
        assert "welcome" in await heard(first)


async def test_claims_that_somebody_has_changed_are_no_proof() -> None:
    async with served() as it:
        socket = await it.connect()
        challenge = proof.read((await heard(socket)).encode(), proof.Challenge)
        mine = proof.Dialler(proof.nonce(), "one", takeover=False)
        sent = proof.as_dialler(proof.key_of(Secret(SECRET)), "lab", challenge, mine)
        changed = proof.Proven(sent.claims.replace("false", "true"), sent.proof)
        assert changed != sent
        await socket.send_str(msgspec.json.encode(changed).decode())
        assert await closed(socket) == Code.REFUSED


def test_the_gateway_s_own_proof_is_not_the_dialler_s_sent_back() -> None:
    key = proof.key_of(Secret(SECRET))
    challenge = proof.Challenge(proof.nonce())
    mine = proof.Dialler(challenge.nonce, "one")
    sent = proof.as_dialler(key, "lab", challenge, mine)
    with pytest.raises(proof.Unproven):
        proof.believed(key, "lab", challenge, mine, sent)


def test_as_many_checks_are_made_for_every_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    genuine = proof._mac
    monkeypatch.setattr(proof, "_mac", lambda *parts: (made.append(1), genuine(*parts))[1])
    said = proof.Proven("{}", "0" * 64)
    keys = [proof.key_of(Secret(each)) for each in (SECRET, NEXT)]
    counts = []
    for known in ([], keys[:1], keys):
        made.clear()
        assert proof.prover(known, "lab", proof.Challenge("n"), said) is None
        counts.append(len(made))
    assert counts == [4, 4, 4]


async def test_who_proves_nothing_in_time_is_closed_and_that_counts_as_wrong() -> None:
    async with served("handshake_timeout = 0.05\nwrong_tries = 1") as it:
        socket = await it.connect()
        await heard(socket)
        assert await closed(socket) == Code.REFUSED
        assert len(it.events("tunnel_unproven")) == 1
        assert (await handshake(it)).status == 429


async def test_only_so_many_may_have_proven_nothing_yet() -> None:
    async with served("max_unproven = 1") as it:
        first = await it.connect()
        await heard(first)
        refused = await handshake(it)
        assert refused.status == 503
        await first.close()
        async with asyncio.timeout(PATIENCE):
            while not it.events("tunnel_unproven"):
                await asyncio.sleep(0.01)
        async with dialled_in(it):
            pass


async def test_wrong_tries_are_counted_by_address() -> None:
    async with served("wrong_tries = 2") as it:
        for _ in range(2):
            assert (await it.dial(WRONG)).code == Code.REFUSED
        refused = await handshake(it)
        assert refused.status == 429
        assert refused.headers is not None
        assert 0 < int(refused.headers["retry-after"]) <= 10


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"headers": {"Origin": "http://127.0.0.1:1"}}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"protocols": ()}, 400),
        ({"protocols": ("mcp",)}, 400),
    ],
)
async def test_no_page_and_no_other_protocol_dials_in(options: Any, status: int) -> None:
    async with served() as it:
        assert (await handshake(it, **options)).status == status


async def test_even_an_origin_that_may_call_does_not_dial_in() -> None:
    async with served() as it:
        origin = it.base.replace("127.0.0.1", "localhost")
        assert (await handshake(it, origin=origin, headers={"Host": origin[7:]})).status == 403


@pytest.mark.parametrize("name", ["lab", "nobody"])
async def test_what_is_no_websocket_is_told_to_be_one_whoever_is_named(name: str) -> None:
    async with served() as it, it.client.get(f"{it.base}/tunnel/{name}") as answer:
        assert answer.status == 426
        assert (answer.headers["upgrade"], answer.headers["connection"]) == ("websocket", "upgrade")


# --- the places -----------------------------------------------------------------------------------


async def test_a_process_that_dials_twice_is_told_that_it_has_a_tunnel() -> None:
    async with served() as it:
        first = await it.dial()
        assert first.said is not None
        again = await it.dial(held=[first.said.worker])
        assert again.said is not None
        assert again.said.verdict == "duplicate"
        assert await closed(again.socket) == Code.DONE
        assert not first.socket.closed


async def test_a_process_that_has_lost_its_tunnel_gets_another_before_the_gateway_has_noticed() -> None:
    async with served() as it:
        first = await it.dial()
        async with dialled_in(it):
            assert await closed(first.socket) == Code.DONE


async def test_the_newest_process_wins_unless_it_stands_by() -> None:
    async with served() as it, dialled_in(it, instance="one") as first:
        standby = await it.dial(instance="two", takeover=False)
        assert standby.said is not None
        assert standby.said.verdict == "busy"
        async with dialled_in(it, instance="two"):
            assert await closed(first) == Code.REPLACED


async def test_as_many_processes_as_may_are_there_at_one_time() -> None:
    async with (
        served(upstream="connections = 2") as it,
        dialled_in(it, instance="one") as first,
        dialled_in(it, instance="two") as second,
    ):
        assert len(it.lab.tunnel_links.usable) == 2
        async with dialled_in(it, instance="three"):
            assert await closed(first) == Code.REPLACED
            assert not second.closed
            assert len(it.lab.tunnel_links.usable) == 2


# --- what comes over it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("text", Code.BROKEN),
        (frame(Kind.LAST, 1, b"x" * LONGEST), Code.TOO_BIG),
        (frame(Kind.LAST, 99, b"{}"), Code.BROKEN),
        (b"", Code.BROKEN),
    ],
)
async def test_what_no_honest_peer_sends_ends_its_tunnel(sent: Any, code: int) -> None:
    async with served() as it, dialled_in(it) as socket:
        await (socket.send_str(sent) if isinstance(sent, str) else socket.send_bytes(sent))
        assert await closed(socket) == code
        async with asyncio.timeout(PATIENCE):
            while it.lab.state is not State.UNAVAILABLE:
                await asyncio.sleep(0.01)
        assert "0123456789" not in repr(it.log.lines)


async def test_an_answer_that_is_no_json_rpc_ends_its_channel_alone() -> None:
    async with served() as it, dialled_in(it) as socket:
        kind, channel, _ = await frames(socket)
        assert kind == Kind.OPEN
        await socket.send_bytes(frame(Kind.LAST, channel, b"hello"))
        while (seen := await frames(socket))[0] != Kind.CLOSE:
            assert seen[0] == Kind.LAST
        assert seen == (Kind.CLOSE, channel, b"malformed_message")
        assert not socket.closed


async def test_an_upstream_that_goes_while_it_is_dialled_in_from_takes_no_tunnel() -> None:
    async with served() as it:
        lab = it.lab

        def judged(said: proof.Dialler, worker: str) -> str:
            it.web.gateway.plane.upstreams.pop("lab")
            return "welcome"

        lab.tunnel_links.judge = judged
        answered = await it.dial()
        assert await closed(answered.socket) == Code.AWAY
        assert lab.tunnel_links.usable == []
