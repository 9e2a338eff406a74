from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._config.discovery import Plugin, Plugins, discover, parse_selection
from portico._config.settings import (
    Document,
    Settings,
    from_mcp_json,
    is_mcp_json,
    load,
    parse_override,
    read,
)
from portico._config.strict import structured
from portico._config.wording import Text, Wrong, dotted
from portico.api import ConfigError, Credential, Factory, Ref, Registry, Secret, at_least, positive


class Mode(enum.StrEnum):
    OPEN = "open"
    SHUT = "shut"


@attrs.frozen
class Bucket:
    rate: float = attrs.field(validator=positive)
    burst: int = attrs.field(default=1, validator=at_least(1))


@attrs.frozen
class Everything:
    flag: bool = False
    count: int = 0
    share: float = 0
    name: str = ""
    token: Secret | None = None
    folder: Path | None = None
    mode: Literal["open", "closed", 3] = "open"
    state: Mode = Mode.OPEN
    tags: tuple[str, ...] = ()
    pair: tuple[int, str] = (0, "")
    ports: frozenset[int] = frozenset()
    buckets: dict[str, Bucket] = attrs.field(factory=dict)
    either: int | str | list[Bucket] = 0
    credential: Ref[Credential] | None = None
    extra: Any = None


@attrs.frozen
class Limit:
    registry: Ref[Registry] | None = None
    rate: float = 1


@attrs.frozen
class Nothing:
    pass


BAD_NAME = "expected a name of at most 48 letters, digits, - and _ that begins with a letter or digit"


def factory(name: str, config: type = Nothing) -> Factory[Any, Any]:
    unused: Any = None
    return Factory(name=name, summary="", config=config, create=unused)


PLUGINS = Plugins(
    (
        Plugin(
            "test",
            factories={
                "transports": (factory("streamable_http"),),
                "listeners": (factory("hypercorn"),),
                "auth": (factory("anonymous"), factory("token")),
                "registries": (factory("memory"),),
                "upstreams": (factory("mcp", Everything),),
                "policies": (factory("rate_limit", Limit),),
            },
        ),
    )
)


def settings(tables: Mapping[str, Any], environ: Mapping[str, str] | None = None, *flags: str) -> Settings:
    return load(Document(dict(tables)), PLUGINS, environ, [parse_override(flag) for flag in flags])


def problems(
    tables: Mapping[str, Any], environ: Mapping[str, str] | None = None, *flags: str
) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        settings(tables, environ, *flags)
    return dict(caught.value.problems)


def wrong(value: Any, cls: type = Everything) -> dict[str, str]:
    with pytest.raises(Wrong) as caught:
        structured(value, cls, Path("/base"))
    return {dotted(place): message for place, message in caught.value.problems}


def right(**values: Any) -> Everything:
    return structured(values, Everything, Path("/base"))


# --- strict structuring -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("flag", "false", "expected a boolean, got the string 'false'"),
        ("flag", 1, "expected a boolean, got the number 1"),
        ("count", "7", "expected an integer, got the string '7'"),
        ("count", True, "expected an integer, got true"),
        ("count", 7.0, "expected an integer, got the number 7.0"),
        ("share", False, "expected a number, got false"),
        ("share", float("inf"), "expected a finite number, got the number inf"),
        ("name", 7, "expected a string, got the number 7"),
        ("name", None, "expected a string, got null"),
        ("folder", 3, "expected a path, got the number 3"),
        ("folder", "", "expected a path, got the string ''"),
        ("mode", "opne", "expected one of 'open', 'closed', 3, got the string 'opne'; did you mean 'open'?"),
        ("mode", "3", "expected one of 'open', 'closed', 3, got the string '3'"),
        ("state", "SHUT", "expected one of 'open', 'shut', got the string 'SHUT'"),
        ("tags", "abc", "expected an array of strings, got the string 'abc'"),
        ("tags", {"a": 1}, "expected an array of strings, got a table"),
        ("pair", [1], "expected 2 values, got 1"),
        ("buckets", [], "expected a table of tables, got an array"),
        ("either", True, "expected an integer or a string or an array of tables, got true"),
        ("credential", 5, "expected the name of a configured credential, got the number 5"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_not_converted(key: str, value: Any, message: str) -> None:
    assert wrong({key: value}) == {key: message}


def test_what_may_be_anything_is_anything_that_json_has() -> None:
    document = {
        "a": [1, {"b": float("inf")}],
        "c": float("nan"),
        "d": datetime.date(2026, 1, 2),
        "e": [True, 1.5, "x"],
    }
    assert wrong({"extra": document}) == {
        "extra.a[1].b": "expected a finite number, got the number inf",
        "extra.c": "expected a finite number, got the number nan",
        "extra.d": "expected what JSON has, got datetime.date(2026, 1, 2); write it as a string",
    }


def test_values_of_the_right_types_are_taken() -> None:
    taken = right(
        flag=True,
        count=2,
        share=3,
        name="n",
        token="t",
        folder="sub/x",
        mode=3,
        state="shut",
        tags=["a"],
        pair=[1, "x"],
        ports=[1, 1],
        buckets={"a": {"rate": 2}},
        either=[{"rate": 1}],
        credential="c",
        extra={"x": [1]},
    )
    assert taken == Everything(
        flag=True,
        count=2,
        share=3.0,
        name="n",
        token=Secret("t"),
        folder=Path("/base/sub/x"),
        mode=3,
        state=Mode.SHUT,
        tags=("a",),
        pair=(1, "x"),
        ports=frozenset({1}),
        buckets={"a": Bucket(2.0)},
        either=[Bucket(1.0)],
        credential=Ref("c"),
        extra={"x": [1]},
    )
    assert type(taken.share) is float
    assert taken.state is Mode.SHUT


def test_an_absolute_path_stays_and_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert right(folder="/etc/x").folder == Path("/etc/x")
    assert right(folder="~/x").folder == Path("/home/me/x")


def test_every_problem_is_reported_at_once_with_its_place() -> None:
    assert wrong(
        {
            "flagg": True,
            "count": "x",
            "tags": ["a", 1, 2],
            "buckets": {"a": {"burst": 0}, "b c": {"rate": -1, "burst": 0}},
            "either": [{"rate": "x"}],
        }
    ) == {
        "flagg": "unknown key; did you mean 'flag'?",
        "count": "expected an integer, got the string 'x'",
        "tags[1]": "expected a string, got the number 1",
        "tags[2]": "expected a string, got the number 2",
        "buckets.a.rate": "required, but missing; expected a number",
        "buckets.a.burst": "expected at least 1, got 0",
        'buckets."b c".rate': "expected more than 0, got -1.0",
        'buckets."b c".burst': "expected at least 1, got 0",
        "either[0].rate": "expected a number, got the string 'x'",
    }


def test_a_class_that_refuses_its_combination_is_reported_at_its_table() -> None:
    @attrs.frozen
    class Exclusive:
        url: str = ""
        command: str = ""

        def __attrs_post_init__(self) -> None:
            if self.url and self.command:
                raise ValueError("either url or command, not both")

    assert wrong({"url": "a", "command": "b"}, Exclusive) == {"": "either url or command, not both"}


def test_a_class_that_says_where_its_combination_is_wrong_is_reported_there() -> None:
    @attrs.frozen
    class Related:
        known: tuple[str, ...] = ()
        used: dict[str, int] = attrs.field(factory=dict)

        def __attrs_post_init__(self) -> None:
            odd = [(("used", name), "not known") for name in self.used if name not in self.known]
            if odd:
                raise Wrong(odd)

    given = {"known": ["a"], "used": {"a": 1, "b": 2, "c": 3}}
    assert wrong(given, Related) == {"used.b": "not known", "used.c": "not known"}


def test_a_wrong_secret_is_never_shown() -> None:
    shown = wrong({"token": 12345678, "count": Text("hunter2", "${env:PASSWORD}")})
    assert shown == {
        "token": "expected a string (a secret)",
        "count": "expected an integer, got text from ${env:PASSWORD}",
    }
    assert "hunter2" not in repr(right(token="hunter2"))


def test_text_from_outside_becomes_what_the_field_is() -> None:
    def text(value: str) -> Text:
        return Text(value, "test")

    taken = right(
        flag=text("TRUE"),
        count=text("7"),
        share=text("0.5"),
        name=text("7"),
        token=text("007"),
        mode=text("3"),
        tags=text("a, b,"),
        ports=text("1,2"),
        either=text("x"),
        extra={"deep": [text("7")]},
    )
    assert taken == Everything(
        flag=True,
        count=7,
        share=0.5,
        name="7",
        token=Secret("007"),
        mode=3,
        tags=("a", "b"),
        ports=frozenset({1, 2}),
        either="x",
        extra={"deep": ["7"]},
    )
    assert type(taken.name) is str
    assert type(taken.extra["deep"][0]) is str
    assert wrong({"flag": text("yes"), "count": text("1.5")}).keys() == {"flag", "count"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_no_document_makes_structuring_fail_otherwise_than_with_its_problems(value: Any) -> None:
    for field in attrs.fields(Everything):
        found: list[Any] = []
        try:
            structured({field.name: value}, Everything, Path("/base"))
        except Wrong as exc:
            found = exc.problems or [(("nothing said",), "")]
        assert all(place[0] == field.name and message for place, message in found)


# --- documents and expansion -------------------------------------------------------------------------------


def test_variables_and_files_are_expanded(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from file\n")
    tables = {
        "upstreams": {
            "a": {
                "use": "mcp",
                "name": "x-${env:A}-${env:MISSING:-d:e}-${env:EMPTY:-f}",
                "token": "${file:key}",
                "count": "${env:N}",
                "tags": ["${env:A}", "$${env:A}"],
            }
        }
    }
    loaded = load(Document(tables, base=tmp_path), PLUGINS, {"A": "1", "EMPTY": "", "N": "12"})
    config = loaded.components["upstreams", "a"].config
    assert (config.name, config.token, config.count) == ("x-1-d:e-f", Secret("from file"), 12)
    assert config.tags == ("1", "${env:A}")


def test_what_cannot_be_expanded_is_reported_by_place(tmp_path: Path) -> None:
    tags = ["${env:NOPE}", "${NOPE}", "${file:nope}"]
    assert problems({"upstreams": {"mcp": {"tags": tags}}}) == {
        "upstreams.mcp.tags[0]": "the environment variable 'NOPE' is not set, and ${env:NOPE} has no default",
        "upstreams.mcp.tags[1]": "${NOPE} is neither ${env:NAME} nor ${file:PATH}; "
        "$${NOPE} is the text itself",
        "upstreams.mcp.tags[2]": "the file 'nope' cannot be read (No such file or directory)",
    }


@given(st.text())
def test_a_string_without_an_expression_is_taken_verbatim(text: str) -> None:
    literal = text.replace("${", "$${")
    assert (
        settings({"upstreams": {"mcp": {"name": literal}}}).components["upstreams", "mcp"].config.name == text
    )


@given(st.text())
def test_a_variable_is_not_expanded_a_second_time(value: str) -> None:
    loaded = settings({"upstreams": {"mcp": {"name": "${env:V}"}}}, {"V": value})
    assert loaded.components["upstreams", "mcp"].config.name == value


def test_flags_win_over_the_environment_over_the_file_over_the_default() -> None:
    tables = {"gateway": {"workers": 2}}
    environ = {"PORTICO_GATEWAY__WORKERS": "3"}
    assert settings({}).gateway.workers == 1
    assert settings(tables).gateway.workers == 2
    assert settings(tables, environ).gateway.workers == 3
    assert settings(tables, environ, "gateway.workers=4").gateway.workers == 4


def test_environment_names_match_without_case_and_with_dashes() -> None:
    loaded = settings(
        {"upstreams": {"My-Time": {"use": "mcp"}}},
        {
            "PORTICO_UPSTREAMS__MY_TIME__TOKEN": "12345",
            "PORTICO_GATEWAY__LISTEN": "a:1, b:2",
            "PORTICO_TOKEN": "x",
        },
    )
    assert loaded.components["upstreams", "My-Time"].config.token == Secret("12345")
    assert loaded.gateway.listen == ("a:1", "b:2")


def test_an_environment_variable_for_nothing_is_reported() -> None:
    assert problems({}, {"PORTICO_GATEWY__WORKERS": "1"}) == {
        "PORTICO_GATEWY__WORKERS": "names no setting: there is no table 'gatewy'; did you mean 'gateway'?"
    }


@pytest.mark.parametrize(
    ("flag", "path", "value"),
    [
        ("gateway.workers=4", ("gateway", "workers"), "4"),
        ('upstreams."a.b".name = "x"', ("upstreams", "a.b", "name"), "x"),
        ("gateway.listen=['a:1']", ("gateway", "listen"), ["a:1"]),
        ("a.b={c = 1}", ("a", "b"), {"c": 1}),
        ("a.url=https://x/?q=1", ("a", "url"), "https://x/?q=1"),
        ("a.b=", ("a", "b"), ""),
        ("a.b=1\nc=2", ("a", "b"), "1\nc=2"),
    ],
)
def test_a_flag_is_a_dotted_path_and_a_toml_value_or_text(
    flag: str, path: tuple[str, ...], value: Any
) -> None:
    assert parse_override(flag) == (path, value)


@pytest.mark.parametrize("flag", ["gateway.workers", "=1", "a b=1", "a\nb=1", "a.=1"])
def test_a_flag_without_a_path_is_refused(flag: str) -> None:
    with pytest.raises(ConfigError, match=r"expected path\.to\.key=value"):
        parse_override(flag)


def test_a_later_document_is_laid_over_an_earlier_one() -> None:
    first = Document({"gateway": {"workers": 2, "call_timeout": 5}}, "one.toml")
    second = Document({"gateway": {"workers": 3}, "upstreams": {"mcp": {}}}, "two.toml")
    loaded = load([first, second], PLUGINS)
    assert (loaded.gateway.workers, loaded.gateway.call_timeout) == (3, 5)
    assert loaded.source == "one.toml, two.toml"


# --- composition ----------------------------------------------------------------------------------------


def test_an_empty_configuration_is_a_gateway_of_its_defaults() -> None:
    loaded = settings({})
    assert {key: c.use for key, c in loaded.components.items()} == {
        ("auth", "anonymous"): "anonymous",
        ("transports", "streamable_http"): "streamable_http",
        ("listeners", "http"): "hypercorn",
    }
    assert list(loaded.servers) == ["default"]
    assert loaded.servers["default"].auth == ("anonymous",)


def test_without_servers_there_is_one_with_every_upstream() -> None:
    loaded = settings({"upstreams": {"b": {"use": "mcp"}, "a": {"use": "mcp"}}})
    assert loaded.servers["default"].upstreams == ("b", "a")


def test_a_star_stands_for_every_upstream_once() -> None:
    upstreams = {name: {"use": "mcp"} for name in "abc"}
    loaded = settings({"upstreams": upstreams, "servers": {"x": {"upstreams": ["c", "*"]}}})
    assert loaded.servers["x"].upstreams == ("c", "a", "b")


def test_a_server_that_names_no_auth_takes_the_one_configured() -> None:
    loaded = settings({"auth": {"people": {"use": "token"}}})
    assert loaded.servers["default"].auth == ("people",)
    assert ("auth", "anonymous") not in loaded.components


def test_a_server_must_choose_among_several_auth_schemes() -> None:
    auth = {"a": {"use": "token"}, "b": {"use": "token"}}
    assert problems({"auth": auth}) == {
        "servers.default.auth": "several auth schemes are configured (a, b); "
        "say which of them this server takes"
    }


def test_anonymous_can_be_named_without_a_table_and_opens_no_other_server() -> None:
    loaded = settings(
        {"auth": {"people": {"use": "token"}}, "servers": {"open": {"auth": ["anonymous"]}, "shut": {}}}
    )
    assert loaded.servers["shut"].auth == ("people",)
    assert ("auth", "anonymous") in loaded.components


def test_a_default_whose_plugin_is_missing_is_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        load(Document({}), Plugins())
    assert dict(caught.value.problems).keys() == {
        "auth.anonymous",
        "transports.streamable_http",
        "listeners.http.use",
    }


def test_every_kind_of_problem_is_reported_in_one_run() -> None:
    found = problems(
        {
            "gateway": {"workers": 0, "listen": ["nowhere"], "secret": "short", "public_url": "ftp://x"},
            "servers": {"a": {"upstreams": ["tme"], "policies": ["limt"], "prefix": "maybe"}, "b/c": {}},
            "upstreams": {"time": {"use": "mpc"}, "x y": {"use": "mcp"}, "flat": 3},
            "policies": {"limit": {"use": "rate_limit", "registry": "mian"}},
            "registries": {"main": {"use": "memory"}},
            "servrs": {},
            "stores": [],
        }
    )
    assert found == {
        "gateway.listen": "expected HOST:PORT (an IPv6 host in brackets), got 'nowhere'",
        "gateway.workers": "expected at least 1, got 0",
        "gateway.secret": "a secret of at least 32 bytes is needed (`openssl rand -hex 32` makes one)",
        "gateway.public_url": "expected an absolute http:// or https:// URL without query and fragment",
        "servers.a.upstreams[0]": "no upstream 'tme' is configured; did you mean 'time'?",
        "servers.a.policies[0]": "no policy 'limt' is configured; did you mean 'limit'?",
        "servers.a.prefix": "expected one of 'never', 'conflict', 'always', got the string 'maybe'",
        'servers."b/c"': BAD_NAME,
        "upstreams.time.use": "no upstream plugin offers 'mpc'; did you mean 'mcp'?",
        'upstreams."x y"': BAD_NAME,
        "upstreams.flat": "expected a table",
        "policies.limit.registry": "no registry 'mian' is configured; did you mean 'main'?",
        "servrs": "unknown table; did you mean 'servers'?",
        "stores": "expected named tables, [stores.NAME]",
    }


def test_components_that_need_each_other_are_a_problem() -> None:
    @attrs.frozen
    class Needy:
        registry: Ref[Registry]

    plugins = attrs.evolve(
        PLUGINS.records[0],
        factories={
            **PLUGINS.records[0].factories,
            "registries": (factory("needy", Needy),),
        },
    )
    with pytest.raises(ConfigError, match="these need each other"):
        load(Document({"registries": {"needy": {"registry": "needy"}}}), Plugins((plugins,)))


def test_a_plugin_whose_types_cannot_be_resolved_is_named_not_crashed_over() -> None:
    @attrs.frozen
    class Broken:
        field: NoSuchType = 0  # type: ignore[name-defined]  # noqa: F821

    plugin = Plugin("p", factories={**PLUGINS.records[0].factories, "upstreams": (factory("mcp", Broken),)})
    with pytest.raises(
        ConfigError, match=r"upstreams\.mcp +the plugin's .*Broken has a field whose type cannot"
    ):
        load(Document({"upstreams": {"mcp": {}}}), Plugins((plugin,)))


@pytest.mark.parametrize(
    "address", ["127.0.0.1:4444", "[::1]:0", "[fe80::1%eth0]:80", "localhost:65535", "*:1"]
)
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    assert settings({"gateway": {"listen": [address]}}).gateway.listen == (address,)


@pytest.mark.parametrize(
    "address", ["4444", ":4444", "::1:4444", "host:65536", "http://host:1", "host:", "a b:1"]
)
def test_anything_else_is_no_address(address: str) -> None:
    assert "expected HOST:PORT" in problems({"gateway": {"listen": [address]}})["gateway.listen"]


# --- files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaders() -> Plugins:
    return discover(parse_selection("toml,json"))


def failed_read(path: Path, plugins: Plugins) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        read(path, plugins)
    assert caught.value.source == str(path)
    [problem] = caught.value.problems
    return problem


def test_a_file_is_read_by_its_suffix_and_is_the_base_of_its_paths(tmp_path: Path, loaders: Plugins) -> None:
    (tmp_path / "a.toml").write_text("\ufeff[gateway]\nworkers = 2\n")
    (tmp_path / "a.json").write_text('{"gateway": {"workers": 3, "big": 123456789012345678901234567890}}')
    assert read(tmp_path / "a.toml", loaders).tables == {"gateway": {"workers": 2}}
    document = read(tmp_path / "a.json", loaders)
    assert document.tables["gateway"]["big"] == 123456789012345678901234567890
    assert document.base == tmp_path.resolve()


@pytest.mark.parametrize(
    ("name", "text", "path", "message"),
    [
        ("a.toml", b"[gateway]\nworkers 2\n", "line 2, column 9", "not TOML: Expected '=' after a key"),
        ("a.toml", b"a = [", "end of document", "not TOML: Invalid value"),
        ("a.toml", b"a = 1\nb = '\xff'\n", "line 2", "not UTF-8"),
        ("a.json", b'{"a": 1,\n "b" 2}', "line 2, column 6", "not JSON: Expecting ':' delimiter"),
        ("a.json", b"\n\xff", "line 2", "not UTF-8"),
        ("a.json", b"[1]", "", "expected a JSON object"),
        ("a.json", b'{"a": 1, "a": 2}', "", "not JSON: the key 'a' is there twice"),
        ("a.json", b'{"a": NaN}', "", "not JSON: NaN is no JSON number"),
        ("a.json", b'{"a":' + b"[" * 100_000, "", "not JSON: nested too deeply"),
        ("a.ini", b"", "", "no plugin reads .ini (installed: .json, .toml)"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(
    tmp_path: Path, loaders: Plugins, name: str, text: bytes, path: str, message: str
) -> None:
    (tmp_path / name).write_bytes(text)
    where, why = failed_read(tmp_path / name, loaders)
    assert (where, why[: len(message)]) == (path, message)


def test_a_file_that_is_not_there_says_so(tmp_path: Path, loaders: Plugins) -> None:
    assert failed_read(tmp_path / "a.toml", loaders) == ("", "cannot be read: No such file or directory")


# --- mcpServers ------------------------------------------------------------------------------------------


def test_the_files_of_mcp_clients_become_upstreams() -> None:
    document, notes = from_mcp_json(
        {
            "mcpServers": {
                "time": {"command": "uvx", "args": ["mcp-server-time", 1], "env": {"TZ": "UTC"}, "cwd": "/x"},
                "remote": {
                    "type": "http",
                    "url": "https://h/mcp",
                    "headers": {"Authorization": "Bearer ${TOKEN:-x}"},
                },
                "old": {"type": "sse", "url": "https://h/sse"},
                "gemini": {"httpUrl": "https://h/g"},
            }
        }
    )
    assert document == {
        "upstreams": {
            "time": {
                "use": "mcp",
                "command": ["uvx", "mcp-server-time", "1"],
                "env": {"TZ": "UTC"},
                "cwd": "/x",
            },
            "remote": {
                "use": "mcp",
                "url": "https://h/mcp",
                "headers": {"Authorization": "Bearer ${env:TOKEN:-x}"},
            },
            "old": {"use": "mcp", "url": "https://h/sse", "protocol": "sse"},
            "gemini": {"use": "mcp", "url": "https://h/g"},
        }
    }
    assert notes == []


def test_a_variable_of_the_servers_own_environment_is_left_to_it() -> None:
    entry = {"command": "npx", "args": ["--header", "Authorization:${AUTH}"], "env": {"AUTH": "Bearer x"}}
    document, _ = from_mcp_json({"mcpServers": {"a": entry}})
    assert document["upstreams"]["a"]["command"] == ["npx", "--header", "Authorization:$${AUTH}"]


def test_what_cannot_be_taken_from_such_a_file_is_reported() -> None:
    document, notes = from_mcp_json(
        {
            "mcpServers": {
                "My server!": {"command": "a", "autoApprove": []},
                "My server?": {"command": "b"},
                "off": {"command": "a", "disabled": True},
                "asks": {"url": "https://h", "headers": {"X": "${input:key}"}},
                "odd": {"type": "ws", "url": "https://h"},
                "none": {},
                "flat": 3,
                "args": {"command": "a", "args": "b"},
            }
        }
    )
    assert list(document["upstreams"]) == ["My-server", "My-server-2"]
    assert notes == [
        ("mcpServers.My server!", "ignored: autoApprove"),
        ("mcpServers.My server!", "is called 'My-server' here"),
        ("mcpServers.My server?", "is called 'My-server-2' here"),
        ("mcpServers.off", "left out: it is disabled"),
        (
            "mcpServers.asks",
            "left out: ${input:key} can only be filled in by the program this file was written for",
        ),
        ("mcpServers.odd", "left out: the type 'ws' does not go with a URL"),
        ("mcpServers.none", "left out: it has neither a command nor a url"),
        ("mcpServers.flat", "left out: not a table"),
        ("mcpServers.args", "left out: its args are not an array"),
    ]


def _parts(bounds: Bounds, _: Any, parts: tuple[int, ...]) -> None:
    wrong = [at for at, part in enumerate(parts) if part > bounds.most]
    if wrong:
        raise Wrong([((at, "part"), f"more than {bounds.most}") for at in wrong])


@attrs.frozen
class Bounds:
    parts: tuple[int, ...] = attrs.field(validator=_parts)
    most: int = 3
    other: int = 0


def test_a_validator_names_places_below_its_field_and_sees_the_defaults_of_others() -> None:
    with pytest.raises(Wrong) as caught:
        structured({"parts": [1, 4, 5]}, Bounds, Path("/base"))
    assert [(dotted(place), text) for place, text in caught.value.problems] == [
        ("parts[1].part", "more than 3"),
        ("parts[2].part", "more than 3"),
    ]
    with pytest.raises(Wrong) as caught:
        structured({"parts": [4], "other": "x"}, Bounds, Path("/base"))
    assert {dotted(place) for place, _ in caught.value.problems} == {"parts[0].part", "other"}
    with pytest.raises(Wrong) as caught:  # what has a problem of its own is not looked at
        structured({"parts": [4], "most": "x"}, Bounds, Path("/base"))
    assert {dotted(place) for place, _ in caught.value.problems} == {"most"}


def test_vs_codes_servers_are_told_from_virtual_servers() -> None:
    assert is_mcp_json({"servers": {"a": {"type": "stdio", "command": "x"}}, "inputs": []})
    assert not is_mcp_json({"servers": {"a": {"upstreams": ["x"]}}})
    assert not is_mcp_json({"upstreams": {"a": {"command": ["x"]}}})


def test_such_a_file_is_read_directly(tmp_path: Path, loaders: Plugins) -> None:
    path = tmp_path / "claude_desktop_config.json"
    path.write_text(json.dumps({"mcpServers": {"a b": {"command": "x"}}, "theme": "dark"}))
    document = read(path, loaders)
    assert document.tables == {"upstreams": {"a-b": {"use": "mcp", "command": ["x"]}}}
    assert document.notes == (("mcpServers.a b", "is called 'a-b' here"),)
