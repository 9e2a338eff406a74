"""Formats of exchange: what is read from them, what is written, and that nothing is lost silently."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._config.discovery import discover
from portico._config.exchange.contextforge import from_contextforge
from portico._config.exchange.formats import take
from portico._config.exchange.items import Item, plan, without_environment
from portico._config.exchange.portico import from_portico, to_portico
from portico._config.exchange.reading import read_import
from portico._config.exchange.server_json import from_server, from_server_json
from portico._config.exchange.toml import dumps
from portico._config.masking import MASK
from portico._config.settings import Document, load
from portico._core.errors import ConfigError

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
LEAF = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)


@given(st.dictionaries(TEXT, VALUE, max_size=4))
def test_toml_that_is_written_reads_as_what_it_was(value: dict[str, Any]) -> None:
    assert tomllib.loads(dumps(value)) == value


@given(st.text('"\\\n\r\tab', max_size=12))
def test_a_string_of_lines_reads_as_what_it_was(text: str) -> None:
    assert tomllib.loads(dumps({"text": text})) == {"text": text}


def test_a_string_of_lines_stands_on_as_many() -> None:
    assert dumps({"text": 'one "1"\ntwo\n'}) == 'text = """\none "1"\ntwo\n"""\n'


def test_long_arrays_have_lines_and_nulls_are_left_out() -> None:
    text = dumps({"a": ["x" * 60, "y" * 60], "b": None, "c": {"d": [None, 1]}, "e": {}})
    assert text == f'a = [\n    "{"x" * 60}",\n    "{"y" * 60}",\n]\n\n[c]\nd = [1]\n\n[e]\n'


ITEMS = [
    Item(
        "upstreams",
        "docs",
        {"use": "mcp", "url": "https://d.example", "headers": {"A": "${secret:docs-key}"}},
    ),
    Item("upstreams", "off", {"use": "mcp", "url": "https://o.example"}, {"enabled": False, "tags": ["a"]}),
    Item("prompts", "review", {"template": "Review {{ code }}.\n", "arguments": [{"name": "code"}]}),
    Item(
        "servers", "people", {"upstreams": ["docs"]}, {"description": "Für alle", "owner": "me", "team": "t"}
    ),
    Item("overrides", "docs/tools/find", {"name": "search"}, {"visibility": "team"}),
    Item("upstreams", "old", {"use": "mcp", "url": "https://x.example"}, {}, {"at": "2025-01-01T00:00:00Z"}),
    Item(
        "prompts", "mine", {"template": "x"}, {"enabled": False}, {"at": "2025-01-01T00:00:00Z", "by": "ann"}
    ),
]


OWN = [
    Item(
        "prompts",
        "all of it",
        {
            "title": "Preis: ${{ price }}, $${kein Geheimnis}",
            "arguments": [{"name": "price", "values": ["1", "2"], "closed": True, "default": "1"}],
            "messages": [
                {"text": 'Line\n"""{% if price %}\n{{ price }}{% endif %}', "annotations": {"priority": 0.5}},
                {"type": "resource", "source": "logo"},
                {"role": "assistant", "type": "image", "data": "iVBORw0KGgo=", "mime_type": "image/png"},
            ],
        },
    ),
    Item("resources", "logo", {"uri": "m://logo", "blob": "AAE=", "annotations": {"audience": ["user"]}}),
    Item(
        "resources",
        "card",
        {"uri": "card://{id}{?q}", "text": "{{ id }}", "variables": {"id": {"values": ["1"]}}},
        {"tags": ["a"]},
    ),
]


PINS = Item("pins", "docs", {"digests": {"tools/t": "0" * 64}, "definitions": "eJyrBgA=", "pending": {}})


@pytest.mark.parametrize("secrets", ["env", "secret"])
def test_an_export_comes_back_as_it_was(secrets: Any) -> None:
    text, notes = to_portico([*ITEMS, *OWN, PINS], secrets)
    name, taken = take(text, "gateway.toml")
    assert name == "Portico configuration"
    assert sorted(taken.items, key=str) == sorted([*ITEMS, *OWN, PINS], key=str)
    assert taken.notes == []
    assert [place for place, _ in notes] == (["${env:DOCS_KEY}"] if secrets == "env" else [])


def test_an_export_is_a_configuration_that_a_gateway_takes() -> None:
    limits = Item("upstreams", "local", {"use": "local", "max_resource": 100})
    tables = tomllib.loads(to_portico([*ITEMS, *OWN, limits])[0])
    settings = load(Document(tables), discover(), {"DOCS_KEY": "a secret"})
    assert settings.servers["people"].upstreams == ("docs",)
    assert settings.components["upstreams", "docs"].config.headers["A"].reveal() == "a secret"
    assert ("upstreams", "off") not in settings.components
    own = settings.components["upstreams", "local"].config
    assert (own.max_resource, len(own.prompts), len(own.resources)) == (100, 2, 2)
    assert own.prompts["all of it"].title == "Preis: ${{ price }}, ${kein Geheimnis}"
    assert own.resources["logo"].annotations.audience == ("user",)


def test_limits_of_the_gateways_own_things_belong_to_its_file() -> None:
    taken = take('[upstreams.local]\nmax_size = 5\nprompts.p.template = "x"\n', "gateway.toml")[1]
    assert [(item.kind, item.name) for item in taken.items] == [("prompts", "p")]
    assert [place for place, _ in taken.notes] == ["upstreams.local.max_size"]


def test_masked_values_are_exported_as_references_and_named() -> None:
    item = Item("upstreams", "docs", {"url": "https://d", "headers": {"Authorization": MASK, "X Y": [MASK]}})
    text, notes = to_portico([item], "secret")
    assert MASK not in text
    assert 'Authorization = "${secret:docs-headers-Authorization}"' in text
    assert "${secret:docs-headers-X-Y-0}" in text
    assert [place for place, _ in notes] == ["upstreams.docs", "upstreams.docs"]


def test_two_secrets_never_share_a_variable() -> None:
    item = Item(
        "upstreams", "d", {"headers": {"a": "${secret:x-y}", "b": "${secret:x.y}", "c": "${secret:X_Y}"}}
    )
    text, _ = to_portico([item])
    assert take(text, "x")[1].items == [item]


def test_what_belongs_to_the_file_of_a_gateway_is_noted() -> None:
    taken = from_portico({"gateway": {}, "auth": {"me": {}}, "upstreams": {"a": {"url": "u"}, "b": 1}})
    assert [item.name for item in taken.items] == ["a"]
    assert [place for place, _ in taken.notes] == ["upstreams.b", "gateway", "auth"]


@pytest.mark.parametrize(
    "line", ["#record nothing", "#record {}", '#record {"kind": "upstreams", "name": "x"}']
)
def test_a_record_comment_that_makes_no_sense_is_noted(line: str) -> None:
    taken = from_portico({}, line)
    assert (taken.items, len(taken.notes)) == ([], 1)


def test_references_to_the_environment_become_secrets() -> None:
    item = Item(
        "upstreams", "a", {"headers": {"A": "Bearer ${env:TOKEN}", "B": "${env:B:-x}", "C": "$${env:C}"}}
    )
    taken = without_environment([item])
    assert taken.items[0].config["headers"] == {"A": "Bearer ${secret:TOKEN}", "B": "x", "C": "$${env:C}"}
    assert [place for place, _ in taken.notes] == ["upstreams.a", "upstreams.a"]


# --- plans -----------------------------------------------------------------------------------------

THERE = {("upstreams", "docs"), ("upstreams", "docs-2"), ("overrides", "docs/tools/find")}


def test_renaming_an_upstream_takes_its_servers_and_overrides_along() -> None:
    planned = {each.item.kind: each for each in plan(ITEMS[3:] + ITEMS[:1], THERE, "rename")}
    assert (planned["upstreams"].item.name, planned["upstreams"].was) == ("docs-3", "docs")
    assert planned["servers"].item.config["upstreams"] == ["docs-3"]
    assert (planned["overrides"].item.name, planned["overrides"].action) == ("docs-3/tools/find", "create")


@pytest.mark.parametrize(
    ("on_conflict", "action"), [("skip", "skip"), ("overwrite", "overwrite"), ("fail", "conflict")]
)
def test_a_name_in_use_is_treated_as_was_asked(on_conflict: Any, action: str) -> None:
    planned = plan([item for item in ITEMS if not item.made], THERE, on_conflict)
    assert [each.item.kind for each in planned] == [
        "upstreams",
        "upstreams",
        "prompts",
        "servers",
        "overrides",
    ]
    assert [each.action for each in planned] == [action, "create", "create", "create", action]


def test_pins_come_first_and_go_with_their_upstream() -> None:
    planned = plan([ITEMS[0], PINS], THERE | {("pins", "docs")}, "rename")
    assert [(each.item.kind, each.item.name) for each in planned] == [
        ("pins", "docs-3"),
        ("upstreams", "docs-3"),
    ]
    (kept,) = plan([PINS], {("pins", "docs")}, "rename")
    assert kept.action == "skip"


@pytest.mark.parametrize(("config", "action"), [(PINS.config, "skip"), ({"digests": {}}, "conflict")])
def test_pins_that_are_there_just_so_are_in_no_conflict(config: Any, action: str) -> None:
    (planned,) = plan([PINS], {("pins", "docs")}, "fail", {"docs": config})
    assert (planned.action, planned.same) == (action, action == "skip")


def test_what_is_shown_comes_before_the_prompts_that_show_it() -> None:
    planned = plan(OWN, THERE, "fail")
    assert [each.item.name for each in planned] == ["logo", "card", "all of it"]
    renamed = plan(OWN, {("resources", "logo")}, "rename")
    assert [each.item.name for each in renamed] == ["logo-2", "card", "all of it"]
    assert renamed[2].item.config["messages"][1] == {"type": "resource", "source": "logo-2"}


# --- server.json -----------------------------------------------------------------------------------

BRAVE = {
    "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
    "name": "io.modelcontextprotocol/brave-search",
    "description": "MCP server for Brave Search API integration",
    "version": "1.0.2",
    "packages": [
        {
            "registryType": "npm",
            "identifier": "@modelcontextprotocol/server-brave-search",
            "version": "1.0.2",
            "transport": {"type": "stdio"},
            "environmentVariables": [
                {
                    "name": "BRAVE_API_KEY",
                    "description": "Brave API key",
                    "isRequired": True,
                    "isSecret": True,
                },
                {"name": "LOG_LEVEL", "default": "info"},
            ],
        }
    ],
}
HYBRID = {
    "name": "io.example/hybrid-mcp",
    "description": "Both",
    "version": "1.5.0",
    "packages": [
        {
            "registryType": "pypi",
            "identifier": "hybrid-mcp",
            "version": "1.5.0",
            "transport": {"type": "stdio"},
            "packageArguments": [
                {"type": "named", "name": "--mode", "default": "local"},
                {
                    "type": "positional",
                    "valueHint": "dir",
                    "value": "{root}/data",
                    "variables": {"root": {"default": "/srv"}},
                },
            ],
        }
    ],
    "remotes": [
        {"type": "sse", "url": "https://hybrid.example/sse"},
        {
            "type": "streamable-http",
            "url": "https://{region}.hybrid.example/http",
            "variables": {"region": {"default": "eu"}},
            "headers": [
                {
                    "name": "Authorization",
                    "value": "Bearer {key}",
                    "variables": {"key": {"isRequired": True, "isSecret": True}},
                },
                {"name": "X-Region", "default": "eu"},
                {"name": "X-Trace", "description": "Optional", "isSecret": True},
            ],
        },
    ],
}


def test_a_package_becomes_a_command_with_its_secrets_as_references() -> None:
    taken = from_server(BRAVE)
    assert taken.items == [
        Item(
            "upstreams",
            "brave-search",
            {
                "use": "mcp",
                "command": ["npx", "-y", "@modelcontextprotocol/server-brave-search@1.0.2"],
                "env": {"BRAVE_API_KEY": "${secret:brave-search-BRAVE_API_KEY}", "LOG_LEVEL": "info"},
            },
            {"tags": ["mcp-registry"], "description": "MCP server for Brave Search API integration"},
        )
    ]
    said = " ".join(message for _, message in taken.notes)
    assert "managed_commands must allow" in said
    assert "set the secret 'brave-search-BRAVE_API_KEY'" in said


def test_a_remote_is_preferred_and_the_other_ways_are_named() -> None:
    taken = from_server(HYBRID, name="both")
    assert taken.items[0].name == "both"
    assert taken.items[0].config == {
        "use": "mcp",
        "url": "https://eu.hybrid.example/http",
        "headers": {"Authorization": "Bearer ${secret:both-key}", "X-Region": "eu"},
    }
    said = " ".join(message for _, message in taken.notes)
    assert "https://hybrid.example/sse, hybrid-mcp" in said
    assert "left unset: X-Trace (Optional)" in said
    package = from_server(HYBRID, "package").items[0].config
    assert package == {"use": "mcp", "command": ["uvx", "hybrid-mcp@1.5.0", "--mode", "local", "/srv/data"]}


def test_a_container_gets_its_variables_by_name() -> None:
    package = {
        "registryType": "oci",
        "identifier": "docker.io/mcp/fs:1.0.2",
        "runtimeArguments": [{"type": "named", "name": "--network", "value": "host"}],
        "environmentVariables": [{"name": "LEVEL", "value": "info"}],
    }
    config = from_server({"name": "io.example/fs", "packages": [package]}).items[0].config
    words = ["docker", "run", "-i", "--rm", "--network", "host", "-e", "LEVEL", "docker.io/mcp/fs:1.0.2"]
    assert config["command"] == words
    assert config["env"] == {"LEVEL": "info"}


def test_what_cannot_be_run_is_left_out_and_said() -> None:
    bundle = {
        "name": "io.example/editor",
        "packages": [{"registryType": "mcpb", "identifier": "https://x/y.mcpb"}],
    }
    taken = from_server_json(
        {"servers": [{"server": bundle}, {"server": BRAVE}, {"server": {**BRAVE, "status": "deprecated"}}]}
    )
    assert [item.name for item in taken.items] == ["brave-search", "brave-search-2"]
    assert ("io.example/editor", "left out: nothing here can use it (mcpb)") in taken.notes
    assert (BRAVE["name"], "it is deprecated") in taken.notes


def test_text_of_a_registry_is_never_expanded() -> None:
    server = {"name": "a/b", "remotes": [{"type": "http", "url": "https://h/${file:/etc/passwd}"}]}
    assert from_server(server).items[0].config["url"] == "https://h/$${file:/etc/passwd}"


# --- ContextForge ----------------------------------------------------------------------------------

FORGE = {
    "version": "2025-03-26",
    "exported_at": "2025-01-15T10:30:00Z",
    "exported_by": "admin",
    "source_gateway": "http://0.0.0.0:4444",
    "encryption_method": "AES-256-GCM",
    "entities": {
        "tools": [{"name": "weather_api", "url": "https://api.weather.com/v1", "integration_type": "REST"}],
        "gateways": [
            {
                "name": "Fast Time",
                "url": "http://time:8080/sse",
                "transport": "SSE",
                "is_active": True,
                "tags": ["time"],
                "auth_type": "bearer",
                "auth_value": "gAAAAencrypted",
                "passthrough_headers": [],
            },
            {
                "name": "docs",
                "url": "http://docs:9000/mcp",
                "transport": "STREAMABLEHTTP",
                "is_active": False,
                "description": "Documents",
                "auth_type": "oauth",
                "auth_value": "x",
                "passthrough_headers": ["X-Id"],
            },
            {"name": "local", "url": "stdio://x"},
        ],
        "servers": [
            {
                "name": "Time Server",
                "description": "For people",
                "is_active": True,
                "tags": [],
                "tool_ids": ["fast-time-get-system-time", "docs-search", "weather-api"],
            }
        ],
        "prompts": [
            {
                "name": "review",
                "template": "Review {{ code }}",
                "description": "Reviews",
                "is_active": True,
                "input_schema": {"properties": {"code": {"description": "The code"}}, "required": ["code"]},
            }
        ],
        "resources": [
            {"name": "readme", "uri": "file:///readme", "mime_type": "text/plain"},
            {"name": "note", "uri": "notes://1", "mime_type": "text/plain", "content": "Hi"},
        ],
        "roots": [{"uri": "file:///srv", "name": "srv"}],
        "a2a_agents": [{"name": "agent"}],
    },
    "metadata": {"entity_counts": {"tools": 1}},
}


@pytest.mark.parametrize("odd", [None, True, 5, "x", {}, {"a": 1}, [None], [[]]])
def test_lists_that_are_none_in_an_export_are_passed_over(odd: Any) -> None:
    each = {"name": "a", "url": "http://a", "template": "x", "tags": odd, "tool_ids": odd, "arguments": odd}
    entities = {
        "gateways": [each],
        "servers": [each],
        "prompts": [{**each, "input_schema": {"properties": odd}}],
    }
    document = {"version": "1", "entities": {**entities, "tools": odd, "resources": odd}}
    kinds = [item.kind for item in read_import(document, "export.json")[1].items]
    assert kinds == ["upstreams", "servers", "prompts"]


def test_a_contextforge_export_becomes_upstreams_servers_prompts_and_resources() -> None:
    items = {(item.kind, item.name): item for item in from_contextforge(FORGE).items}
    assert items["upstreams", "Fast-Time"].config == {
        "use": "mcp",
        "url": "http://time:8080/sse",
        "protocol": "sse",
        "headers": {"Authorization": "Bearer ${secret:Fast-Time}"},
    }
    assert items["upstreams", "docs"].config == {"use": "mcp", "url": "http://docs:9000/mcp"}
    assert items["upstreams", "docs"].about == {"enabled": False, "description": "Documents"}
    server = items["servers", "Time-Server"]
    assert server.config["upstreams"] == ["Fast-Time", "docs"]
    assert server.config["tools"] == {"include": ["Fast-Time/get?system?time", "docs/search"]}
    assert items["prompts", "review"].config["arguments"] == [
        {"name": "code", "description": "The code", "required": True}
    ]
    assert items["resources", "note"].config["uri"] == "notes://1"
    assert len(items) == 5


def test_nothing_of_a_contextforge_export_is_lost_silently() -> None:
    notes = from_contextforge(FORGE).notes
    places = {place for place, _ in notes}
    assert places >= {"tools.weather_api", "gateways.Fast Time", "gateways.docs", "gateways.local"}
    assert places >= {"servers.Time Server", "resources.readme", "roots.srv", "entities.a2a_agents"}
    assert (
        "tools.weather_api",
        "not taken over: REST tools are not supported yet (https://api.weather.com/v1)",
    ) in notes
    assert not any("gAAAA" in message for _, message in notes)


# --- finding out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        (
            '{"mcpServers": {"a": {"url": "https://a.example", "headers": {"K": "${KEY}"}}}}',
            "mcpServers JSON",
            1,
        ),
        ('[upstreams.a]\nurl = "https://a.example"\n', "Portico configuration", 1),
        ('{"name": "a/b", "remotes": [{"type": "http", "url": "https://a"}]}', "server.json", 1),
        ('{"version": "1", "entities": {}}', "ContextForge export", 0),
        ('{"servers": [], "metadata": {}, "upstreams": {}}', "Portico configuration", 0),
    ],
)
def test_the_format_is_found_out(text: str, name: str, count: int) -> None:
    found, taken = take(text, "file")
    assert (found, len(taken.items)) == (name, count)
    assert "${KEY}" not in str(taken.items)


@pytest.mark.parametrize("text", ["", "{", "[]", "a = 1", '{"a": 1}', "just words"])
def test_what_is_nothing_known_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        take(text, "file")
    assert refused.value.source == "file"


# --- whatever somebody sends -----------------------------------------------------------------------------

KEYS = (
    ("name", "url", "type", "headers", "command", "args", "env", "use", "variables", "value", "version"),
    ("remotes", "packages", "registryType", "identifier", "transport", "arguments", "isRequired", "default"),
    ("mcpServers", "servers", "upstreams", "prompts", "resources", "content", "uri", "tags", "enabled"),
)
KEY = st.sampled_from([key for some in KEYS for key in some])
ODD = st.recursive(
    st.none() | LEAF | st.sampled_from(("streamable-http", "sse", "npm", "stdio", "http://x", "${env:A}")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=20,
)
MANY = st.lists(ODD, max_size=2) | st.dictionaries(TEXT, ODD, max_size=2) | ODD
KINDS = st.sampled_from(("gateways", "tools", "servers", "prompts", "resources", "roots"))
DOCUMENT = st.one_of(
    st.fixed_dictionaries({"mcpServers": MANY}),
    st.fixed_dictionaries({"servers": MANY}),
    st.fixed_dictionaries({"server": ODD}),
    st.fixed_dictionaries({"upstreams": MANY, "servers": MANY}),
    st.fixed_dictionaries({"name": TEXT, "remotes": MANY, "packages": MANY}),
    st.fixed_dictionaries({"version": TEXT, "entities": st.dictionaries(KINDS, MANY, max_size=3)}),
)


@given(DOCUMENT, st.sampled_from(("remote", "package")))
def test_a_document_that_makes_no_sense_is_read_as_far_as_it_does(document: Any, prefer: Any) -> None:
    with contextlib.suppress(ConfigError):
        _, taken = read_import(document, "it", prefer)
        assert len(plan(taken.items, {}, "fail")) == len(taken.items)
