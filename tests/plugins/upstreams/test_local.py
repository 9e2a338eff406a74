"""The upstream kind `local`: what it lists, fills in, reads and proposes."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._config.strict import structured
from portico._config.wording import Wrong, dotted
from portico.api import (
    GATEWAY,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Json,
    Principal,
    Refused,
    Target,
)
from portico.testing import RecordingWiring, check_plugin, make_exchange, make_host
from portico_plugins.upstreams.local import LOCAL, uris
from portico_plugins.upstreams.local.config import LocalConfig
from portico_plugins.upstreams.local.media import type_of
from portico_plugins.upstreams.local.upstream import LocalUpstream

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n1234").decode()

TABLE = f"""
max_size = 100

[prompts.greet]
title = "Greeting"
description = "Greets somebody"
template = "Greet {{{{ who }}}}, {{{{tone}}}}."
arguments = [
  {{name = "who", title = "Who", description = "Whom to greet", required = true}},
  {{name = "tone", default = "warm", values = ["warm", "cool", "Wry"], closed = true}},
]

[prompts.look]
arguments = [{{name = "id", values = ["1", "2"]}}]
messages = [
  {{text = "Look at {{{{ id }}}}:", annotations = {{audience = ["user"], priority = 0.5}}}},
  {{type = "image", source = "logo"}},
  {{type = "image", data = "{PNG}"}},
  {{type = "audio", data = "UklGRgAAAABXQVZF", mime_type = "audio/x-mine"}},
  {{type = "resource", source = "notes"}},
  {{type = "resource", uri = "user://{{{{ id }}}}/card"}},
  {{type = "resource", uri = "tmp://{{{{ id }}}}.md", text = "# {{{{ id }}}}"}},
  {{type = "resource", uri = "tmp://x", data = "AAE="}},
  {{type = "resource_link", source = "logo"}},
  {{type = "resource_link", uri = "https://x.example/{{{{ id }}}}.html", name = "page", title = "A page"}},
  {{role = "assistant", text = "Well."}},
]

[prompts.divide]
template = "\\n{{{{ 1 // n|int }}}}"
arguments = [{{name = "n"}}]

[resources.notes]
uri = "m://a.md"
text = "hi {{{{ not a template }}}}"
annotations = {{last_modified = "2026-11-21T06:00:00Z", priority = 1}}

[resources.logo]
uri = "m://logo"
title = "The logo"
blob = "{PNG}"

[resources.card]
uri = "user://{{id}}/card"
text = "Card of {{{{ id }}}}{{% if id == '1' %}} (first){{% endif %}}"
mime_type = "text/x-card"
variables.id = {{values = ["1", "2", "12"], closed = true}}

[resources.log]
uri = "log://{{+path}}{{?from,to}}"
text = "{{{{ path }}}} {{{{ from }}}}-{{{{ to }}}}"
"""


def config(table: str | Json) -> LocalConfig:
    return structured(tomllib.loads(table) if isinstance(table, str) else table, LocalConfig, Path())


def problems(table: str | Json) -> list[tuple[str, str]]:
    with pytest.raises(Wrong) as caught:
        config(table)
    return [(dotted(place), message) for place, message in caught.value.problems]


WIRING = RecordingWiring()
UP = LocalUpstream(config(TABLE), make_host("own", wiring=WIRING))


async def send(method: str, name: str, params: Json) -> Json:
    return (await UP.send(make_exchange(method, params), Target("own", name))).value


async def refused(method: str, name: str, params: Json, code: int = INVALID_PARAMS) -> str:
    with pytest.raises(Refused) as caught:
        await send(method, name, params)
    assert caught.value.code == code
    return caught.value.message


async def read(uri: str) -> Json:
    (content,) = (await send("resources/read", uri, {}))["contents"]
    return content


async def test_the_factory_keeps_its_contract() -> None:
    await check_plugin(LOCAL, kind="upstreams")


def test_what_there_is_is_listed_with_all_that_is_said_of_it() -> None:
    assert UP.offer.prompts[0] == {
        "name": "greet",
        "title": "Greeting",
        "description": "Greets somebody",
        "arguments": [
            {"name": "who", "title": "Who", "description": "Whom to greet", "required": True},
            {"name": "tone", "required": False},
        ],
    }
    assert UP.offer.resources == (
        {
            "uri": "m://a.md",
            "name": "notes",
            "mimeType": "text/markdown",
            "size": 23,
            "annotations": {"priority": 1.0, "lastModified": "2026-11-21T06:00:00Z"},
        },
        {"uri": "m://logo", "name": "logo", "title": "The logo", "mimeType": "image/png", "size": 12},
    )
    assert [each["uriTemplate"] for each in UP.offer.templates] == [
        "user://{id}/card",
        "log://{+path}{?from,to}",
    ]
    assert UP.offer.capabilities["resources"] == {"listChanged": True, "subscribe": True}


async def test_values_are_filled_in_and_never_read_as_templates() -> None:
    filled = await send("prompts/get", "greet", {"arguments": {"who": "{{ tone }}{% if"}})
    assert filled == {
        "description": "Greets somebody",
        "messages": [{"role": "user", "content": {"type": "text", "text": "Greet {{ tone }}{% if, warm."}}],
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "missing arguments: who"),
        ({"who": 1}, "are strings"),
        ([], "are strings"),
        ({"who": "x" * 101}, "it becomes too long"),
        ({"who": "x" * 10_000_000}, "it takes too long"),
        ({"who": "x", "tone": "hot"}, "tone is one of: warm, cool, Wry"),
    ],
)
async def test_wrong_arguments_are_refused(arguments: Json, says: str) -> None:
    assert says in await refused("prompts/get", "greet", {"arguments": arguments})


async def test_a_template_that_cannot_do_with_a_value_what_it_wants_says_where() -> None:
    assert (await send("prompts/get", "divide", {"arguments": {"n": "1"}}))["messages"]
    said = await refused("prompts/get", "divide", {"arguments": {"n": "none"}}, INTERNAL_ERROR)
    assert said == "The template of the prompt failed: line 2: integer division or modulo by zero"


async def test_a_prompt_has_messages_of_every_kind() -> None:
    messages = (await send("prompts/get", "look", {"arguments": {"id": "1"}}))["messages"]
    assert [each["role"] for each in messages] == ["user"] * 10 + ["assistant"]
    assert [each["content"] for each in messages] == [
        {"type": "text", "text": "Look at 1:", "annotations": {"audience": ["user"], "priority": 0.5}},
        {"type": "image", "data": PNG, "mimeType": "image/png"},
        {"type": "image", "data": PNG, "mimeType": "image/png"},
        {"type": "audio", "data": "UklGRgAAAABXQVZF", "mimeType": "audio/x-mine"},
        {
            "type": "resource",
            "resource": {"uri": "m://a.md", "mimeType": "text/markdown", "text": "hi {{ not a template }}"},
        },
        {
            "type": "resource",
            "resource": {"uri": "user://1/card", "mimeType": "text/x-card", "text": "Card of 1 (first)"},
        },
        {"type": "resource", "resource": {"uri": "tmp://1.md", "mimeType": "text/markdown", "text": "# 1"}},
        {
            "type": "resource",
            "resource": {"uri": "tmp://x", "mimeType": "application/octet-stream", "blob": "AAE="},
        },
        {
            "type": "resource_link",
            "uri": "m://logo",
            "name": "logo",
            "title": "The logo",
            "mimeType": "image/png",
            "size": 12,
        },
        {
            "type": "resource_link",
            "uri": "https://x.example/1.html",
            "name": "page",
            "title": "A page",
            "mimeType": "text/html",
        },
        {"type": "text", "text": "Well."},
    ]


async def test_a_prompt_that_shows_a_resource_there_is_not_is_refused() -> None:
    assert await refused("prompts/get", "look", {"arguments": {"id": "3"}}) == "Resource not found"


async def test_text_and_binary_are_read_with_their_types() -> None:
    assert await read("m://a.md") == {
        "uri": "m://a.md",
        "mimeType": "text/markdown",
        "text": "hi {{ not a template }}",
    }
    assert await read("m://logo") == {"uri": "m://logo", "mimeType": "image/png", "blob": PNG}
    assert await refused("resources/read", "m://c", {}) == "Resource not found"


async def test_a_resource_with_variables_is_read_by_what_its_uri_says() -> None:
    assert (await read("user://1/card"))["text"] == "Card of 1 (first)"
    assert (await read("user://12/card"))["text"] == "Card of 12"
    assert (await read("log://a/b%20c/{{d?to=7"))["text"] == "a/b c/{{d -7"
    assert (await read("log://a"))["text"] == "a -"
    for wrong in (
        "user://3/card",
        "user:///card",
        "user://1/card/",
        "log://",
        "log://a?more=1",
        "log://a?to=1&to=2",
    ):
        assert await refused("resources/read", wrong, {}) == "Resource not found"


async def test_values_are_proposed_for_arguments_and_variables() -> None:
    async def proposed(ref: Json, name: str, begun: str) -> Json:
        target = ref.get("name") or ref["uri"]
        params = {"ref": ref, "argument": {"name": name, "value": begun}}
        return (await send("completion/complete", target, params))["completion"]

    greet = {"type": "ref/prompt", "name": "greet"}
    assert await proposed(greet, "tone", "w") == {"values": ["warm", "Wry"], "total": 2, "hasMore": False}
    assert (await proposed(greet, "who", ""))["values"] == []
    card = {"type": "ref/resource", "uri": "user://{id}/card"}
    assert (await proposed(card, "id", "1"))["values"] == ["1", "12"]
    many = LocalUpstream(
        config(
            {
                "prompts": {
                    "p": {
                        "template": "",
                        "arguments": [{"name": "n", "values": [str(n) for n in range(150)]}],
                    }
                }
            }
        ),
        make_host(),
    )
    params = {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "n", "value": ""}}
    answer = (await many.send(make_exchange("completion/complete", params), Target("x", "p"))).value[
        "completion"
    ]
    assert (len(answer["values"]), answer["total"], answer["hasMore"]) == (100, 150, True)


@pytest.mark.parametrize(
    "params",
    [
        {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "nobody", "value": ""}},
        {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "tone"}},
        {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": 1},
        {"ref": {"type": "ref/resource", "uri": "greet"}, "argument": {"name": "tone", "value": ""}},
    ],
)
async def test_values_of_what_there_is_not_are_not_proposed(params: Json) -> None:
    await refused("completion/complete", "greet", params)


async def test_what_it_cannot_do_it_says() -> None:
    await refused("tools/call", "x", {}, METHOD_NOT_FOUND)
    await refused("prompts/get", "nobody", {})


async def test_who_watches_a_resource_hears_when_another_table_has_it_otherwise() -> None:
    wiring = RecordingWiring()
    host = make_host("own", wiring=wiring)
    before = LocalUpstream(config(TABLE), host)
    watched = frozenset({"m://a.md", "m://logo", "user://1/card", "user://2/card"})
    await before.watch(Principal("ada", "x"), watched)
    await before.watch(Principal("bob", "x"), frozenset({"log://a"}))
    await before.watch(Principal("bob", "x"), frozenset())
    changed = (
        TABLE.replace("Card of", "The card of").replace("hi {{ not", "ho {{ not").replace("log://", "lug://")
    )
    after = LocalUpstream(config(changed), host)
    after.succeed(before)
    assert [(each[0], each[1], each[2]["uri"]) for each in wiring.updates] == [
        ("own", GATEWAY, uri) for uri in ("m://a.md", "user://1/card", "user://2/card")
    ]
    again = LocalUpstream(config(changed.replace(PNG, "AAE=")), host)
    again.succeed(after)
    assert wiring.updates[-1][2]["uri"] == "m://logo"


@pytest.mark.parametrize(
    ("table", "place", "says"),
    [
        ('prompts.p.template = "a\\n{{ x }}"', "prompts.p.template", "line 2: 'x' is unknown"),
        ('prompts.p.messages = [{text = ""}, {text = "{% x %}"}]', "prompts.p.messages[1].text", "line 1: "),
        ("prompts.p.title = ''", "prompts.p", "either `template` or `messages`"),
        (
            "prompts.p.messages = [{type = 'image', text = ''}]",
            "prompts.p.messages[0]",
            "expected `data` or `source`",
        ),
        (
            "prompts.p.messages = [{type = 'image', data = '?'}]",
            "prompts.p.messages[0].data",
            "expected base64",
        ),
        (
            "prompts.p.messages = [{type = 'image', source = 'x'}]",
            "prompts.p.messages[0].source",
            "no resource 'x'",
        ),
        (
            "prompts.p.messages = [{type='image', source='r'}]\nresources.r = {uri='m://r', text=''}",
            "prompts.p.messages[0].source",
            "with a `blob`",
        ),
        (
            "prompts.p.messages = [{type='resource', source='r'}]\nresources.r = {uri='m://{r}', text=''}",
            "prompts.p.messages[0].source",
            "say its `uri`",
        ),
        (
            "prompts.p = {template='', arguments=[{name='a'}, {name='a'}]}",
            "prompts.p.arguments[1].name",
            "another",
        ),
        (
            "prompts.p = {template='', arguments=[{name='a', closed=true}]}",
            "prompts.p.arguments[0].closed",
            "",
        ),
        ("resources.r = {uri = 'm://r'}", "resources.r", "either `text` or `blob`"),
        ("resources.r = {uri = 'm://r', blob = '?'}", "resources.r.blob", "base64"),
        ("resources.r = {uri = 'r', text = ''}", "resources.r.uri", "expected a URI"),
        ("resources.r = {uri = 'm://{a}{b}', text = ''}", "resources.r.uri", "nothing between {a} and {b}"),
        ("resources.r = {uri = 'm://{a}/{a}', text = ''}", "resources.r.uri", "each of them once"),
        ("resources.r = {uri = 'm://{a*}', text = ''}", "resources.r.uri", "is not possible here"),
        ("resources.r = {uri = 'm://{?a}x', text = ''}", "resources.r.uri", "nothing stands behind"),
        ("resources.r = {uri = 'm://{a', text = ''}", "resources.r.uri", "a brace stands alone"),
        ("resources.r = {uri = 'm://{a}', text = '{{ b }}'}", "resources.r.text", "line 1: 'b' is unknown"),
        (
            "resources.r = {uri = 'm://{a}', text = '', variables.b = {}}",
            "resources.r.variables.b",
            "no such variable",
        ),
        (
            "resources.r = {uri='m://r', text='', annotations={priority=2}}",
            "resources.r.annotations.priority",
            "0 to 1",
        ),
        (
            "resources.r = {uri='m://r', text='', annotations={last_modified='now'}}",
            "resources.r.annotations.last_modified",
            "ISO 8601",
        ),
        (
            "max_resource = 3\nresources.r = {uri = 'm://r', text = 'äö'}",
            "resources.r.text",
            "at most 3 bytes, got 4",
        ),
        ("max_resource = 1\nresources.r = {uri = 'm://r', blob = 'AAE='}", "resources.r.blob", "got 2"),
        (
            "resources.a = {uri = 'm://r', text = ''}\nresources.b = {uri = 'm://r', text = ''}",
            "resources.b.uri",
            "'a' has the same",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(table: str, place: str, says: str) -> None:
    found = dict(problems(table))
    assert place in found
    assert says in found[place]


def test_what_is_wrong_does_not_hide_what_else_is() -> None:
    table = """
    prompts.a.template = "{{ x }}"
    prompts.b.messages = [{text = "{% no %}"}, {type = "resource", source = "gone"}]
    resources.c = {uri = "nothing", text = ""}
    """
    assert {place for place, _ in problems(table)} == {
        "prompts.a.template",
        "prompts.b.messages[0].text",
        "resources.c.uri",
    }


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("m://x.json", b"\x89PNG", "application/json"),
        ("m://x.tar.gz", b"\x1f\x8b\x08", "application/gzip"),
        ("m://x", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("m://x", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("m://x", b"RIFF1234WAVE", "audio/wav"),
        ("m://x", b"RIFF1234WEBP", "image/webp"),
        ("m://x", b"1234ftypisom", "video/mp4"),
        ("m://x", b"%PDF-1.7", "application/pdf"),
        ("m://x", "grüß dich\n".encode(), "text/plain"),
        ("m://x", b"\x00\x01", "application/octet-stream"),
        ("m://x", b"\xff\xfe\x00", "application/octet-stream"),
        ("m://x", "  <!DOCTYPE html><p>", "text/html"),
        ("m://x", '<?xml version="1.0"?>', "application/xml"),
        ("m://x", "{}", "text/plain"),
    ],
)
def test_a_type_that_is_not_said_is_found_out(name: str, content: str | bytes, kind: str) -> None:
    assert type_of(name, content) == kind


VALUES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20)


@given(VALUES, VALUES, VALUES)
def test_the_values_in_a_uri_are_those_it_was_made_of(one: str, two: str, three: str) -> None:
    from urllib.parse import quote

    made = uris.pattern("x://{one}/a/{two}{?three,four}")
    uri = f"x://{quote(one, safe='')}/a/{quote(two, safe='')}?three={quote(three, safe='')}"
    # One that ends in what stands between is told apart otherwise, but never into something else than text.
    assert made.values(uri) == {"one": one, "two": two, "three": three, "four": ""}


@given(st.text(), st.text(alphabet="abc{}+#./?,*:", max_size=30))
def test_any_uri_is_of_a_template_or_not(uri: str, template: str) -> None:
    if not uris.problem(f"x:{template}"):
        found = uris.pattern(f"x:{template}").values(uri)
        assert found is None or found.keys() == set(uris.names(f"x:{template}"))
