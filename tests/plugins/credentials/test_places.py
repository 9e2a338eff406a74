"""Credentials that are a query parameter or a cookie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portico.api import (
    GATEWAY,
    UPSTREAM_UNAVAILABLE,
    Credential,
    CredentialParts,
    Host,
    PlacedCredential,
    Refused,
    Secret,
)
from portico_plugins.credentials.fixed_config import CookieConfig, QueryConfig
from portico_plugins.credentials.places import COOKIE, QUERY

unused: Any = None
HOST = Host("c", "credentials", unused, unused, Path(), unused, unused)


async def test_a_query_parameter_is_no_header_and_nothing_is_sent_without_it() -> None:
    async with QUERY.create(QueryConfig(name="api key", value=Secret("canary&ö")), HOST) as credential:
        assert isinstance(credential, Credential)
        assert isinstance(credential, PlacedCredential)
        assert await credential.parts(GATEWAY, "up") == CredentialParts(query={"api key": "canary&ö"})
        with pytest.raises(Refused) as refused:
            await credential.headers(GATEWAY, "up")
    assert refused.value.code == UPSTREAM_UNAVAILABLE
    assert refused.value.data["gateway"]["reason"] == "credential_is_no_header"
    assert "canary" not in repr(refused.value.body())


async def test_a_cookie_is_a_header_where_headers_are_all_that_is_sent() -> None:
    async with COOKIE.create(CookieConfig(name="sid", value=Secret("abc")), HOST) as credential:
        assert isinstance(credential, PlacedCredential)
        assert await credential.parts(GATEWAY, "up") == CredentialParts(cookies={"sid": "abc"})
        assert await credential.headers(GATEWAY, "up") == {"Cookie": "sid=abc"}


@pytest.mark.parametrize("value", ["", "a b", "a;b", "a,b", 'a"', "a\r\nX: evil", "ö", "a\\"])
def test_a_value_no_cookie_may_have_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ValueError, match="cookie's value") as caught:
        CookieConfig(name="sid", value=Secret(value))
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a\r\n"])
def test_what_is_no_name_of_a_cookie_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name of a cookie"):
        CookieConfig(name=name, value=Secret("v"))


@pytest.mark.parametrize("text", ["", "a\nb", "\0", "\x7f", "\ud800"])
def test_what_belongs_into_no_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty|no URL"):
        QueryConfig(name="key", value=Secret(text))
    with pytest.raises(ValueError, match=r"empty|no URL"):
        QueryConfig(name=text, value=Secret("v"))


def test_neither_config_nor_what_is_given_prints_its_secret() -> None:
    said = (
        QueryConfig(name="k", value=Secret("hush")),
        CookieConfig(name="k", value=Secret("hush")),
        CredentialParts(headers={"A": "hush"}, query={"k": "hush"}, cookies={"k": "hush"}),
    )
    assert "hush" not in repr(said)
