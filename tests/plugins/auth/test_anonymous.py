"""The `anonymous` scheme, and where it may serve."""

from __future__ import annotations

import pytest

from portico.api import ConfigError, Credentials, Principal
from portico.testing import make_host, running_gateway
from portico_plugins.auth.anonymous import ANONYMOUS, AnonymousConfig


async def test_everybody_is_the_same_nobody() -> None:
    async with ANONYMOUS.create(AnonymousConfig(), make_host("open", "auth")) as scheme:
        for headers in ({}, {"authorization": "Bearer x"}):
            who = await scheme.authenticate(Credentials(headers, "127.0.0.1", "default"))
            assert who == Principal("anonymous", "open")


PUBLIC = '[gateway]\nlisten = ["0.0.0.0:4444"]\n'


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (PUBLIC, ("auth.anonymous.public = true", "gateway.allow_anonymous_public = true")),
        (PUBLIC + "allow_anonymous_public = true\n", ("auth.anonymous.public = true",)),
        (PUBLIC + "[auth.anonymous]\npublic = true\n", ("gateway.allow_anonymous_public = true",)),
        ('[gateway]\nlisten = ["127.0.0.1:1", "[2001:db8::1]:1"]\n', ("2001:db8::1",)),
    ],
)
async def test_it_does_not_serve_other_machines_unless_that_is_said_twice(
    config: str, missing: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        async with running_gateway(config):
            pass
    ((path, message),) = caught.value.problems
    assert path == "servers.default.auth"
    assert all(word in message for word in missing)


@pytest.mark.parametrize(
    "config",
    [
        '[gateway]\nlisten = ["127.0.0.1:4444", "[::1]:4444", "localhost:1"]\n',
        PUBLIC + "allow_anonymous_public = true\n[auth.anonymous]\npublic = true\n",
        PUBLIC + '[auth.people]\nuse = "token"\ntokens = { a = "0123456789abcdef" }\n',
    ],
)
async def test_it_serves_this_machine_and_whoever_was_meant(config: str) -> None:
    async with running_gateway(config) as running:
        assert running.gateway.plane.endpoints
