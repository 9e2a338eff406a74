"""Transports beside the one that is there by default, and how it is switched off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from portico._config.discovery import Plugin, Plugins
from portico._config.settings import Document, Settings, load
from portico.api import ConfigError, Factory, Ref, Transport


@attrs.frozen
class Nothing:
    pass


@attrs.frozen
class Pointing:
    to: Ref[Transport]


def factory(name: str, config: type = Nothing) -> Factory[Any, Any]:
    unused: Any = None
    return Factory(name=name, summary="", config=config, create=unused)


def plugins(*transports: Factory[Any, Any]) -> Plugins:
    factories = {
        "transports": transports,
        "listeners": (factory("hypercorn"),),
        "auth": (factory("anonymous"),),
    }
    return Plugins((Plugin("test", factories=factories),))


OTHERS = (factory("other"), factory("pointing", Pointing))
PLUGINS = plugins(factory("streamable_http"), *OTHERS)


def settings(tables: dict[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    return load(Document(tables), PLUGINS, environ)


def problems(tables: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        settings(tables)
    return dict(caught.value.problems)


def _transports(tables: dict[str, Any]) -> dict[str, str]:
    loaded = settings({"transports": tables})
    return {name: each.use for (kind, name), each in loaded.components.items() if kind == "transports"}


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({}, ["streamable_http"]),
        ({"other": {}}, ["other", "streamable_http"]),
        ({"streamable_http": {}, "other": {}}, ["streamable_http", "other"]),
        ({"mine": {"use": "streamable_http"}}, ["mine"]),
        ({"streamable_http": {"use": "other"}}, ["streamable_http"]),
        ({"streamable_http": {"enabled": False}, "other": {}}, ["other"]),
        ({"mine": {"use": "streamable_http", "enabled": False}, "other": {}}, ["other"]),
        ({"other": {"enabled": False}}, ["streamable_http"]),
        ({"streamable_http": {"enabled": False}}, []),
    ],
)
def test_transports_are_added_to_the_default_one_unless_it_is_said_to_be_off(
    tables: dict[str, Any], expected: list[str]
) -> None:
    assert list(_transports(tables)) == expected


def test_a_transport_that_is_off_is_read_all_the_same() -> None:
    assert problems({"transports": {"other": {"enabled": False, "sise": 1}, "x": {"enabled": "no"}}}) == {
        "transports.other.sise": "unknown key; known keys: enabled, use",
        "transports.x": "no transport plugin offers 'x'; installed: other, pointing, streamable_http",
    }
    assert problems({"transports": {"streamable_http": {"enabled": "no"}}}) == {
        "transports.streamable_http.enabled": "expected a boolean, got the string 'no'"
    }


def test_the_default_transport_can_be_switched_off_from_outside() -> None:
    off = {"PORTICO_TRANSPORTS__STREAMABLE_HTTP__ENABLED": "false"}
    assert [key for key in settings({}, off).components if key[0] == "transports"] == []


def test_the_default_transport_is_not_missed_where_its_plugin_was_left_out_for_others() -> None:
    kept = plugins(*OTHERS)
    loaded = load(Document({"transports": {"other": {}}}), kept)
    assert [key for key in loaded.components if key[0] == "transports"] == [("transports", "other")]
    with pytest.raises(ConfigError, match=r"transports\.streamable_http"):
        load(Document({}), kept)


def test_a_reference_to_a_transport_that_is_off_leads_nowhere() -> None:
    tables = {"streamable_http": {"enabled": False}, "pointing": {"to": "streamable_http"}}
    assert problems({"transports": tables}) == {
        "transports.pointing.to": "no transport 'streamable_http' is configured; configured: pointing"
    }
