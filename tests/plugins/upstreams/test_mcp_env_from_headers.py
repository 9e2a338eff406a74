"""A caller's process with what the caller's headers say in its environment."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from portico.api import Era, Principal, Refused, Secret
from portico_plugins.upstreams.mcp.config import McpConfig
from tests.plugins.upstreams.kit import ALICE, BOB, Client, Running, call, running, text
from tests.plugins.upstreams.test_mcp_stdio import ERAS, pid, server

WANTED = {"X-Token": "TOKEN", "X-Region": "REGION"}


async def environment(up: Running, era: Era, **headers: str) -> dict[str, str]:
    named = {f"x-{name}": value for name, value in headers.items()}
    found: dict[str, str] = json.loads(text(await up.send(call("env", era=era, headers=named))))
    return found


@pytest.mark.parametrize(("flag", "era"), ERAS)
async def test_a_process_sees_the_headers_that_are_named_and_no_others(flag: str, era: Era) -> None:
    async with running(command=server(flag), env_from_headers=WANTED) as up:
        found = await environment(up, era, token="t0ken of alice", other="o", path="/evil")
        assert found["TOKEN"] == "t0ken of alice"
        assert not {"REGION", "OTHER", "X_OTHER"} & set(found)
        assert "evil" not in found["PATH"]
        assert "TOKEN" not in await environment(up, era)


async def test_callers_with_other_values_never_share_a_process() -> None:
    async with running(command=server(), env_from_headers=WANTED) as up:
        callers: list[dict[str, Any]] = [
            {"headers": headers, "principal": principal}
            for principal in (ALICE, BOB)
            for headers in (
                {},
                {"x-token": "a"},
                {"x-token": "b"},
                {"x-region": "a"},
                {"x-token": "a", "x-region": "b"},
                {"x-token": 'a","b'},
            )
        ]
        first = [await pid(up, **caller) for caller in callers]
        assert len(set(first)) == len(callers)
        again = await asyncio.gather(*(pid(up, **caller) for caller in callers))
        assert again == first


async def test_a_header_wins_over_the_configured_variable_which_the_listing_process_has() -> None:
    async with running(command=server(), env={"TOKEN": Secret("for lists")}, env_from_headers=WANTED) as up:
        assert (await environment(up, Era.LEGACY, token="mine"))["TOKEN"] == "mine"
        assert (await environment(up, Era.LEGACY))["TOKEN"] == "for lists"


async def log_outside_of_calls(up: Running, headers: dict[str, str]) -> list[Principal | None]:
    """Have a process log that a call was cancelled; whose sessions are told."""
    before = len(up.wiring.announced)
    client = Client()
    hanging = asyncio.create_task(up.send(call("hang", client=client, headers=headers)))
    await asyncio.wait_for(client.news.wait(), 60)
    hanging.cancel()
    await up.wiring.until(lambda: len(up.wiring.announced) > before)
    return [whose for whose, _, _ in up.wiring.announced[before:]]


async def test_what_such_a_process_says_outside_of_calls_reaches_no_other_caller() -> None:
    async with running(command=server(), env_from_headers=WANTED) as up:
        assert await log_outside_of_calls(up, {}) == [ALICE]
        (whose,) = await log_outside_of_calls(up, {"x-token": "secret"})
        assert whose not in (ALICE, None)
        assert "secret" not in repr(whose)


@pytest.mark.parametrize("value", ["", "a\x00b", "a\tb", "é", "x" * 8193])
async def test_a_value_that_is_no_plain_text_starts_no_process(value: str) -> None:
    async with running(command=server(), env_from_headers=WANTED) as up:
        with pytest.raises(Refused) as refused:
            await pid(up, headers={"x-token": value})
        assert refused.value.code == -32602
        assert "X-Token" in refused.value.message
        assert await pid(up) > 0


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"Authorization": "TOKEN"}, "what callers show the gateway itself"),
        ({"cookie": "TOKEN"}, "what callers show the gateway itself"),
        ({"Mcp-Session-Id": "ID"}, "set by the gateway itself"),
        ({"X Token": "TOKEN"}, "not a header name"),
        ({"X-Token": "NOT-A-NAME"}, "not the name of an environment variable"),
        ({"X-Token": "A", "x-token": "B"}, "once"),
        ({"X-Token": "A", "X-Other": "A"}, "once"),
        *(
            ({"X-Token": name}, "no caller may set it")
            for name in (
                "PATH", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PYTHONSTARTUP", "NODE_OPTIONS",
                "BASH_ENV", "ENV", "GIT_SSH_COMMAND", "PERL5OPT", "RUBYOPT", "JAVA_TOOL_OPTIONS",
                "HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE", "HOME", "UV_INDEX_URL",
            )
        ),
    ],
)  # fmt: skip
def test_names_that_would_say_more_than_a_value_are_refused(mapping: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        McpConfig(command=("a",), env_from_headers=mapping)


def test_ordinary_names_are_taken() -> None:
    names = (
        "GITHUB_TOKEN",
        "GIT_TOKEN",
        "LDAP_PASSWORD",
        "PIPELINE",
        "API_KEY",
        "_x9",
        "ENVIRONMENT",
        "HOMEPAGE",
    )
    McpConfig(command=("a",), env_from_headers={f"X-{name}": name for name in names})


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"url": "http://a"}, "needs a `command`"),
        ({"command": ("a",), "shared": True}, "exclude each other"),
    ],
)
def test_without_a_process_of_ones_own_it_means_nothing(config: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        McpConfig(env_from_headers=WANTED, **config)
