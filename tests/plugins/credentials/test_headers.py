from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portico.api import GATEWAY, Credential, Factory, Host, Secret
from portico_plugins.credentials.fixed_config import BasicConfig, BearerConfig, HeaderConfig
from portico_plugins.credentials.headers import BASIC, BEARER, HEADER, gateway_credentials

unused: Any = None
HOST = Host("c", "credentials", unused, unused, Path(), unused, unused)


async def headers(factory: Factory[Any, Credential], config: Any) -> dict[str, str]:
    async with factory.create(config, HOST) as credential:
        assert isinstance(credential, Credential)
        return dict(await credential.headers(GATEWAY, "up"))


async def test_a_bearer_token_becomes_an_authorization_header() -> None:
    assert await headers(BEARER, BearerConfig(token=Secret("a.b-c"))) == {"Authorization": "Bearer a.b-c"}


async def test_a_user_name_and_password_are_sent_as_utf8() -> None:
    config = BasicConfig(username="Aladdin", password=Secret("öpen:sesame"))
    assert await headers(BASIC, config) == {"Authorization": "Basic QWxhZGRpbjrDtnBlbjpzZXNhbWU="}


async def test_a_header_is_sent_as_configured() -> None:
    config = HeaderConfig(name="X-Api-Key", value=Secret("k 1"))
    assert await headers(HEADER, config) == {"X-Api-Key": "k 1"}


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Host",
        "Connection",
        "Mcp-Session-Id",
        "mcp-name",
        "Transfer-Encoding",
        "Cookie",
        "TE",
        "X-Forwarded-For",
        "Proxy-Authorization",
        "X Y",
        "X:Y",
        "X\r\nY",
        "",
    ],
)
def test_a_header_that_is_not_a_credentials_to_set_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        HeaderConfig(name=name, value=Secret("v"))


@pytest.mark.parametrize("value", ["", "a\r\nHost: evil", "a\n", "\0", " a", "a ", "a\x7f", "€"])
def test_a_value_no_header_may_have_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ValueError, match="header value") as caught:
        HeaderConfig(name="X-Key", value=Secret(value))
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "tökén", "a=b"])
def test_what_is_no_bearer_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="bearer token"):
        BearerConfig(token=Secret(token))


def test_a_user_name_with_a_colon_is_refused() -> None:
    with pytest.raises(ValueError, match="colon"):
        BasicConfig(username="a:b", password=Secret("c"))


def test_a_password_with_control_characters_is_refused() -> None:
    with pytest.raises(ValueError, match="control"):
        BasicConfig(username="a", password=Secret("c\n"))


def test_no_config_prints_its_secret() -> None:
    configs = (
        BearerConfig(token=Secret("hush")),
        BasicConfig(username="u", password=Secret("hush")),
        HeaderConfig(name="X-Key", value=Secret("hush")),
    )
    assert "hush" not in repr(configs)


def test_the_six_kinds_are_offered() -> None:
    names = [factory.name for factory in gateway_credentials()]
    assert names == ["bearer", "basic", "header", "query", "cookie", "client_credentials"]
