from __future__ import annotations

from typing import Any

import pytest

from portico._core.protocol.envelope import check_envelope, check_modern, is_enveloped
from portico.api import (
    INVALID_PARAMS,
    LATEST_MODERN,
    META_CAPABILITIES,
    META_VERSION,
    METHOD_NOT_FOUND,
    UNSUPPORTED_VERSION,
    Json,
    Refused,
)


@pytest.mark.parametrize(
    ("meta", "lacking"),
    [
        (None, [META_VERSION, META_CAPABILITIES]),
        ([], [META_VERSION]),
        ({META_VERSION: LATEST_MODERN}, [META_CAPABILITIES]),
        ({META_CAPABILITIES: {}}, [META_VERSION]),
    ],
)
def test_lacking_meta_keys_are_named(meta: Any, lacking: list[str]) -> None:
    with pytest.raises(Refused) as caught:
        check_envelope(meta)
    assert caught.value.code == INVALID_PARAMS
    assert all(key in caught.value.message for key in lacking)


@pytest.mark.parametrize(
    "meta",
    [
        {META_VERSION: 2026, META_CAPABILITIES: {}},
        {META_VERSION: LATEST_MODERN, META_CAPABILITIES: []},
        {META_VERSION: LATEST_MODERN, META_CAPABILITIES: None},
    ],
)
def test_meta_keys_of_the_wrong_type_are_invalid(meta: Json) -> None:
    with pytest.raises(Refused) as caught:
        check_envelope(meta)
    assert caught.value.code == INVALID_PARAMS


def test_a_message_says_by_its_version_that_it_is_modern() -> None:
    assert is_enveloped({"_meta": {META_VERSION: None}})
    assert not is_enveloped({"_meta": {META_CAPABILITIES: {}}})
    assert not is_enveloped({"_meta": [META_VERSION]})
    assert not is_enveloped({})


@pytest.mark.parametrize(
    ("method", "meta", "code"),
    [
        ("ping", None, INVALID_PARAMS),
        ("ping", {META_VERSION: "2027-01-01", META_CAPABILITIES: {}}, UNSUPPORTED_VERSION),
        ("ping", {META_VERSION: LATEST_MODERN, META_CAPABILITIES: {}}, METHOD_NOT_FOUND),
        ("initialize", {META_VERSION: LATEST_MODERN, META_CAPABILITIES: {}}, METHOD_NOT_FOUND),
    ],
)
def test_the_envelope_is_judged_before_the_version_and_that_before_the_method(
    method: str, meta: Json | None, code: int
) -> None:
    with pytest.raises(Refused) as caught:
        check_modern(method, {} if meta is None else {"_meta": meta})
    assert caught.value.code == code


def test_a_request_of_the_modern_era_passes() -> None:
    check_modern("tools/list", {"_meta": {META_VERSION: LATEST_MODERN, META_CAPABILITIES: {}}})
