"""Clients that leave, do not come back or do not read, and what the upstream sees of it."""

from __future__ import annotations

import asyncio
import itertools

import psutil

from tests.faults.client import Asked, Era, FaultyClient
from tests.faults.http1 import Json
from tests.faults.stage import ERAS, Stage, together
from tests.faults.verdicts import ANSWER, CANCEL, MEMORY, ONCE, OWN, SAID, Row

_keys = (f"key-{number}" for number in itertools.count(1))
_SEEN = 20.0
"""Seconds to wait for what has no promise of its own."""
_CANCEL_SECONDS = 5.0
"""Within which an upstream must have heard that a modern client is gone."""
_REST = 3.0
"""Seconds over which the CPU of a gateway with nothing to do is measured."""


async def _begun(stage: Stage, client: FaultyClient, upstream: Era, key: str) -> Asked:
    """Begin a call of `slow`; returns when the upstream is in the middle of it."""
    params = {"name": f"{upstream}__slow", "arguments": {"key": key}}
    asked = await client.begin("tools/call", params, "slow", {"key": key})
    if not await stage.upstreams[upstream].journal.until("begun", key, _SEEN):
        raise TimeoutError(f"the upstream never saw {key}")
    return asked


async def gone(stage: Stage, seed: int) -> list[Row]:
    """Clients hang up in the middle of a call: politely, and with RST."""
    rows = []
    for era in ERAS:
        for upstream in ERAS:
            row = Row("client-gone", "client", f"{era}>{upstream}", seed, requests=2, ended=2)
            for reset in (False, True):
                await _leave(stage, row, era, upstream, reset)
            rows.append(row)
    await stage.aftermath(rows)
    return rows


async def _leave(stage: Stage, row: Row, era: Era, upstream: Era, reset: bool) -> None:
    journal, tools = stage.upstreams[upstream].journal, stage.upstreams[upstream].tools
    key = next(_keys)
    async with FaultyClient(era, stage.front.port) as client:
        await _begun(stage, client, upstream, key)
        client.hang_up(reset=reset)
        if era == "modern":
            heard = await journal.until("cancelled", key, _CANCEL_SECONDS)
            row.hold(CANCEL, heard, f"{key} was not cancelled soon (reset: {reset})")
            tools.gate(key).set()
        else:
            # A connection that is lost cancels nothing in this era: the call goes on to its end.
            tools.gate(key).set()
            went_on = await journal.until("finished", key, _SEEN) and not journal.has("cancelled", key)
            row.hold(CANCEL, went_on, f"{key} was cancelled though its client did not ask for it")
        await client.end(stage.gateway.port)


async def aborted(stage: Stage, seed: int, calls: int = 500) -> list[Row]:
    """Many calls are aborted, a few at a time; the gateway must come to rest afterwards."""
    row = Row("aborted-calls", "client", "modern>both", seed, requests=calls, ended=calls)

    async def abort(upstream: Era) -> bool:
        key = next(_keys)
        async with FaultyClient("modern", stage.front.port) as client:
            await _begun(stage, client, upstream, key)
            client.hang_up(reset=True)
            return await stage.upstreams[upstream].journal.until("cancelled", key, _SEEN)

    for start in range(0, calls, 20):
        many = [ERAS[number % 2] for number in range(start, min(start + 20, calls))]
        heard = await together(*(abort(upstream) for upstream in many))
        row.hold(CANCEL, all(heard), f"{heard.count(False)} of {len(heard)} were not cancelled")
    await stage.aftermath([row])
    process = psutil.Process(stage.gateway.pid)
    before = process.cpu_times()
    await asyncio.sleep(_REST)
    after = process.cpu_times()
    used = (after.user + after.system - before.user - before.system) / _REST
    row.facts["idle_cpu_percent"] = round(used * 100, 1)
    row.hold(SAID, used < 0.02, f"{used:.1%} CPU with nothing to do")
    return [row]


async def parked(stage: Stage, seed: int, park_seconds: float) -> list[Row]:
    """A modern client is asked something in the middle of a legacy upstream's call, and never comes back."""
    row = Row("parked", "client", "modern>legacy", seed, requests=4)
    journal = stage.upstreams["legacy"].journal
    can: Json = {"elicitation": {"form": {}}}
    async with FaultyClient("modern", stage.front.port, capabilities=can) as client:
        answered, given_up = next(_keys), next(_keys)
        for key, comes_back in ((answered, True), (given_up, False)):
            asked = await client.call("legacy__ask", {"key": key})
            result = asked.answers[0].get("result", {}) if asked.answers else {}
            row.hold(ANSWER, result.get("resultType") == "input_required", f"was not asked: {asked}")
            if not comes_back:
                # The upstream hears it as an answer that is none, or as the end of the call, or both.
                seconds = park_seconds + _SEEN
                hearing = [
                    asyncio.ensure_future(journal.until(w, key, seconds)) for w in ("cancelled", "answered")
                ]
                over, _ = await asyncio.wait(hearing, return_when=asyncio.FIRST_COMPLETED)
                row.hold(CANCEL, any(each.result() for each in over), f"{key} was never given up")
                for each in hearing:
                    each.cancel()
                await asyncio.wait(hearing)
            give = {"action": "accept", "content": {"answer": "yes"}}
            responses = dict.fromkeys(result.get("inputRequests", {}), give)
            again = await client.call(
                "legacy__ask",
                {"key": key},
                inputResponses=responses,
                requestState=result.get("requestState"),
            )
            if comes_back:
                row.hold(OWN, again.text == f"{key}:accept", f"not resumed: {again}")
            else:
                row.hold(SAID, again.code == -32602, f"a call that was given up was answered: {again}")
            row.hold(ONCE, journal.counts[key] == 1, f"{key} was executed {journal.counts[key]} times")
    row.results = row.requests - 1
    row.errors = 1
    await stage.aftermath([row])
    return [row]


async def unread(stage: Stage, seed: int, clients: int = 4, frames: int = 40_000) -> list[Row]:
    """Clients stop reading in the middle of a long stream: bounded memory, and nobody else notices."""
    rows = []
    pad = 1000
    for era in ERAS:
        for upstream in ERAS:
            row = Row("slow-consumer", "client", f"{era}>{upstream}", seed, requests=clients, ended=clients)
            before = (await stage.gateway.census()).rss
            journal = stage.upstreams[upstream].journal
            journal.clear()
            keys = [next(_keys) for _ in range(clients)]
            readers = [FaultyClient(era, stage.gateway.port, receive_buffer=4096) for _ in keys]
            for reader, key in zip(readers, keys, strict=True):
                await reader.__aenter__()
                arguments = {"key": key, "n": frames, "pad": pad}
                params = {"name": f"{upstream}__progress", "arguments": arguments}
                await reader.begin("tools/call", params)
            for key in keys:
                await journal.until("begun", key, _SEEN)
            peak, sent = await _until_still(stage, upstream, keys)
            row.facts["peak_mib_over"] = round((peak - before) / 2**20, 1)
            row.facts["frames_sent"] = sent
            whole = clients * frames * pad
            row.hold(
                MEMORY,
                peak - before < whole / 4,
                f"{(peak - before) / 2**20:.1f} MiB held for readers that do not",
            )
            row.check(SAID, await stage.next_call(era, upstream))
            if era == "modern":
                # Who leaves too much unread for too long is cut off, and its call ends.
                cut = await together(*(journal.until("cancelled", key, _SEEN) for key in keys))
                row.hold(CANCEL, all(cut), f"{cut.count(False)} readers that do not read were never cut off")
            for reader in readers:
                reader.hang_up(reset=True)
                await reader.end(stage.gateway.port)
            rows.append(row)
    await stage.aftermath(rows)
    return rows


async def _until_still(stage: Stage, upstream: Era, keys: list[str]) -> tuple[int, int]:
    """Wait until the upstream sends no more, or is told to stop; the most memory seen, and frames sent."""
    journal = stage.upstreams[upstream].journal
    peak, last = 0, -1
    for _ in range(40):
        peak = max(peak, (await stage.gateway.census()).rss)
        sent = sum(journal.frames[key] for key in keys)
        if sent == last:
            break
        last = sent
        await asyncio.sleep(0.25)
    return peak, last
