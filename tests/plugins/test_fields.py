"""Fields that many config tables have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from portico.api import Secret
from portico_plugins.fields import (
    number,
    operator_file,
    private_addresses,
    proxy_resolving,
    proxy_secret,
    proxy_url,
    public_url,
    seconds,
)


@attrs.frozen
class Table:
    pause: float = seconds(1.0, "Seconds.")
    limit: float | None = seconds(None, "The most seconds.")
    many: int = number(10, "The most of them.")
    more: int = number(0, "Others.", least=0)
    url: str = public_url("Where clients are.")
    file: Path | None = operator_file("A file.")
    private: bool = private_addresses("it")
    proxy: str = proxy_url()
    proxy_credentials: Secret | None = proxy_secret()
    proxy_resolves: bool = proxy_resolving()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pause": 0}, "expected more than 0, got 0"),
        ({"limit": -1}, "expected more than 0, got -1"),
        ({"many": 0}, "expected at least 1, got 0"),
        ({"more": -1}, "expected at least 0, got -1"),
        ({"url": "gateway.example.com"}, "expected a URL such as https://gateway.example.com"),
        ({"url": "https://gateway.example.com/?a"}, "expected a URL such as https://gateway.example.com"),
        ({"proxy": "socks5://proxy.example.com:1080"}, "expected http"),
    ],
)
def test_a_value_that_a_field_cannot_have_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        Table(**given)


def test_fields_have_defaults_that_are_fine_and_say_who_may_set_them() -> None:
    assert attrs.astuple(Table()) == (1.0, None, 10, 0, "", None, True, "", None, False)
    about = {field.name: field.metadata for field in attrs.fields(Table)}
    assert all(metadata["doc"] for metadata in about.values())
    assert about["private"]["managed"] is False
    ours = {name for name, metadata in about.items() if metadata.get("operator_only")}
    assert ours == {"file", "proxy", "proxy_credentials", "proxy_resolves"}
