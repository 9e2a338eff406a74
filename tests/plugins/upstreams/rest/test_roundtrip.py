"""All that can be said of a parameter or a body, sent to a server that says what arrived, and read there.

What arrived is read by a reader of the tests' own, written from the tables of OpenAPI ("Style Values") and
RFC 6570; it shares nothing with what wrote it. Of values only the text arrives, so that is what is compared.
"""

from __future__ import annotations

import base64
import email
import email.policy
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portico.api import Json
from portico_plugins.upstreams.rest.config import RestConfig
from portico_plugins.upstreams.rest.document import Document
from portico_plugins.upstreams.rest.requests import Request, request_of
from portico_plugins.upstreams.rest.tools import Tool, tools_of
from tests.plugins.upstreams.kit import call, serving, text
from tests.plugins.upstreams.rest.kit import echo, running

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # the bytes are the same on any
RESERVED = ":/?#[]@!$&'()*+,;=%"
STYLES = [
    ("path", "simple", False), ("path", "simple", True), ("path", "label", False), ("path", "label", True),
    ("path", "matrix", False), ("path", "matrix", True),
    ("query", "form", False), ("query", "form", True), ("query", "spaceDelimited", False),
    ("query", "pipeDelimited", False), ("query", "deepObject", True),
    ("header", "simple", False), ("header", "simple", True),
    ("cookie", "form", False), ("cookie", "form", True),
]  # fmt: skip
SEPARATORS = {"spaceDelimited": "%20", "pipeDelimited": "%7C", "tabDelimited": "%09"}
AMBIGUOUS = {
    ("path", "label", True): ".",
    ("header", "simple", False): ",",
    ("header", "simple", True): ",=",
    ("query", "spaceDelimited", False): " ",
    ("query", "pipeDelimited", False): "|",
}
"""Characters that a style cannot tell from its own (RFC 6570 has no escape for them there)."""


# --- the reader ----------------------------------------------------------------------------------


def said(value: Any) -> Any:
    """A value as far as it arrives: its text."""
    if isinstance(value, list):
        return [said(item) for item in value]
    if isinstance(value, dict):
        return {key: said(item) for key, item in value.items()}
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def halves(pair: str) -> tuple[str, str]:
    """A name and what it is set to."""
    name, _, value = pair.partition("=")
    return name, value


def members(parts: list[str], value: Any, explode: bool, decode: Any = unquote) -> Any:
    """What parts of a list stand for, given what kind of thing it is."""
    if isinstance(value, list):
        return [decode(part) for part in parts]
    pairs = [halves(part) for part in parts] if explode else list(zip(parts[::2], parts[1::2], strict=True))
    return {decode(name): decode(item) for name, item in pairs}


def read_path(part: str, style: str, explode: bool, value: Any) -> Any:
    many = isinstance(value, list | dict)
    if style == "simple":
        return members(part.split(","), value, explode) if many else unquote(part)
    if style == "label":
        assert part[0] == "."
        separator = "." if explode else ","
        return members(part[1:].split(separator), value, explode) if many else unquote(part[1:])
    assert part[0] == ";"
    pairs = [halves(one) for one in part[1:].split(";")]
    if not many:
        assert pairs[0][0] == "p"
        return unquote(pairs[0][1])
    if not explode:
        assert [name for name, _ in pairs] == ["p"]
        return members(pairs[0][1].split(","), value, False)
    if isinstance(value, list):
        assert {name for name, _ in pairs} == {"p"}
        return [unquote(item) for _, item in pairs]
    return {unquote(name): unquote(item) for name, item in pairs}


def read_pairs(pairs: list[tuple[str, str]], style: str, explode: bool, value: Any) -> Any:
    """Read a query or cookies."""
    if style == "deepObject":
        out = {}
        for name, item in pairs:
            bare = unquote(name)
            assert (bare[:2], bare[-1]) == ("p[", "]")
            out[bare[2:-1]] = unquote(item)
        return out
    if explode and isinstance(value, dict):
        return {unquote(name): unquote(item) for name, item in pairs}
    assert {name for name, _ in pairs} <= {"p"}
    if isinstance(value, list) and explode:
        return [unquote(item) for _, item in pairs]
    if isinstance(value, list | dict):
        ((_, joined),) = pairs
        return members(joined.split(SEPARATORS.get(style, ",")), value, False)
    return unquote(pairs[0][1])


def read(found: Json, where: str, style: str, explode: bool, value: Any) -> Any:
    """What a server understands of what arrived."""
    if where == "path":
        assert found["path"][:3] + found["path"][-2:] == "/x//y"
        return read_path(found["path"][3:-2], style, explode, value)
    if where == "query":
        pairs = [halves(pair) for pair in found["query"].split("&")]
        return read_pairs(pairs, style, explode, value)
    if where == "cookie":
        pairs = [halves(pair) for pair in found["headers"]["cookie"].split("; ")]
        return read_pairs(pairs, style, explode, value)
    header = found["headers"]["p"]
    if isinstance(value, list | dict):
        return members(header.split(","), value, explode, str)
    return header


# --- what is sent --------------------------------------------------------------------------------


def document(version: str, where: str, style: str | None, explode: bool | None, **more: Any) -> Json:
    path = "/x/{p}/y" if where == "path" else "/x"
    one: Json = {"name": "p", "in": where, "required": where == "path", "schema": {}, **more}
    if style is not None:
        one["style"] = style
    if explode is not None:
        one["explode"] = explode
    return {"openapi": version, "paths": {path: {"get": {"operationId": "op", "parameters": [one]}}}}


def values(where: str, style: str, explode: bool) -> list[Any]:
    """Primitives, lists and objects, with all characters that the style can carry."""
    left_out = AMBIGUOUS.get((where, style, explode), "")
    odd = "".join(char for char in f'a b{RESERVED}|.~-_"<>^`{{}}\\' if char not in left_out)
    wide = "" if where == "header" else "é 漢字 🜚 \u2028 a\u0301"
    texts = [
        odd,
        "a+b",
        "100",
        "true",
        "null",
        *([wide] if wide else []),
        *(RESERVED if where != "header" else "x"),
    ]
    texts = [one for one in texts if not set(one) & set(left_out)]
    if style == "label":
        texts = [one for one in texts if one[0] not in "/;"]  # after the dot, it would lead elsewhere
    single: list[Any] = [*texts, 0, -17, 2**63, 1.5, True, False]
    key = "k" if where == "header" else f"k {'é'}&=/[x]"
    if set(left_out) & set(key) or style == "deepObject":
        key = "k&é"
    many: list[Any] = [
        ["one"],
        ["a", "b", "a"],
        texts,
        [1, -2, True],
        {"one": "1"},
        {key: odd, "n": 7, "b": False},
    ]
    if where != "path":
        many.append(["", "x", ""])
    if where not in ("path", "header"):
        single.append("")
    if style == "deepObject":
        return [one for one in many if isinstance(one, dict)]
    if style in SEPARATORS:
        return many
    return single + many


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    async with serving(echo) as found:
        yield found


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@pytest.mark.parametrize(("where", "style", "explode"), STYLES)
async def test_a_parameter_arrives_whatever_its_place_style_and_value(
    origin: str, version: str, where: str, style: str, explode: bool
) -> None:
    async with running(openapi_inline=document(version, where, style, explode), base_url=origin) as up:
        for value in values(where, style, explode):
            result = await up.send(call("op", {"p": value}))
            assert not result.value.get("isError"), text(result)
            found = result.value["structuredContent"]
            assert read(found, where, style, explode, value) == said(value), (value, found)


@pytest.mark.parametrize(
    ("where", "style", "explode"),
    [
        ("path", "simple", False),
        ("query", "form", True),
        ("header", "simple", False),
        ("cookie", "form", True),
    ],
)
async def test_what_is_not_said_is_the_default(origin: str, where: str, style: str, explode: bool) -> None:
    async with running(openapi_inline=document("3.1.0", where, None, None), base_url=origin) as up:
        for value in (["a", "b"], {"k": "v", "l": "w"}):
            found = (await up.send(call("op", {"p": value}))).value["structuredContent"]
            assert read(found, where, style, explode, value) == value


@pytest.mark.parametrize("where", ["path", "query", "header", "cookie"])
@pytest.mark.parametrize("value", [{"a": [1, None, {"b": "é&=;,/"}]}, ["x"], "s", 7, None, True, []])
async def test_a_parameter_with_content_is_json_wherever_it_is(origin: str, where: str, value: Any) -> None:
    content = {"application/json": {"schema": {}}}
    if where == "header":
        value = json.loads(json.dumps(value).replace("\\u00e9", "e"))
    if value is None:
        value = {"n": None}  # an argument that is null is none
    async with running(
        openapi_inline=document("3.1.0", where, None, None, content=content), base_url=origin
    ) as up:
        found = (await up.send(call("op", {"p": value}))).value["structuredContent"]
    raw = read(found, where, "simple" if where == "path" else "form", True, "")
    assert json.loads(raw) == value


@pytest.mark.parametrize("explode", [True, False])
async def test_allowed_reserved_characters_stay_and_mean_the_same(origin: str, explode: bool) -> None:
    said_so = document("3.1.0", "query", "form", explode, allowReserved=True)
    async with running(openapi_inline=said_so, base_url=origin) as up:
        for value in (RESERVED, "a/b?c:d@e!f$g'h(i)*j;", ["x/y", "a&b", "c#d"], {"k/l": "m:n", "o": "%2F+"}):
            found = (await up.send(call("op", {"p": value}))).value["structuredContent"]
            if isinstance(value, str):
                for char in ":/?@!$'()*;":
                    assert (char in found["query"]) is (char in value)
            assert read(found, "query", "form", explode, value) == said(value)
            assert "#" not in found["query"]


async def test_nothing_given_is_nothing_sent(origin: str) -> None:
    for where, style, explode in STYLES:
        if where == "path":
            continue
        async with running(openapi_inline=document("3.1.0", where, style, explode), base_url=origin) as up:
            for arguments in ({}, {"p": None}, {"p": []}, {"p": {}}):
                found = (await up.send(call("op", arguments))).value["structuredContent"]
                assert found["query"] == ""
                assert not {"p", "cookie"} & set(found["headers"])


# --- the same, for any value ---------------------------------------------------------------------


def made(where: str, style: str, explode: bool) -> Tool:
    found = tools_of(
        Document(document("3.1.0", where, style, explode)),
        RestConfig(openapi="http://h.test/", base_url="http://h.test"),
    )
    return found.tools["op"]


TOOLS = {one: made(*one) for one in STYLES}
LEAVES = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.integers() | st.booleans()
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=6)
VALUES = (
    LEAVES | st.lists(LEAVES, min_size=1, max_size=4) | st.dictionaries(NAMES, LEAVES, min_size=1, max_size=4)
)


def arrived(request: Request) -> Json:
    path, _, query = request.target.partition("?")
    headers = {name: value for name, (_, value) in request.headers.items()}
    return {"path": path, "query": query, "headers": headers}


def fits(where: str, style: str, explode: bool, value: Any) -> bool:
    """Whether the style has a way to say a value."""
    leaves = (
        [*value.keys(), *value.values()]
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else [value]
    )
    texts = [said(leaf) for leaf in leaves]
    every = "".join(texts)
    if set(every) & set(AMBIGUOUS.get((where, style, explode), "")):
        return False
    if style == "deepObject":
        return isinstance(value, dict) and not set("".join(value)) & set("[]")
    if style in SEPARATORS and not isinstance(value, list | dict):
        return False
    if where == "path":
        # What is empty, has control characters, or could lead elsewhere is refused; that has its own tests.
        return all(texts) and not any(char in "./\\;%" or ord(char) < 32 or char == "\x7f" for char in every)
    if where == "header":
        return every.isascii() and every.isprintable() and all(one == one.strip() and one for one in texts)
    return True


@given(VALUES)
@settings(max_examples=300, deadline=None)
async def test_any_value_arrives_in_every_style_that_has_a_way_to_say_it(value: Any) -> None:
    for (where, style, explode), tool in TOOLS.items():
        if fits(where, style, explode, value):
            request = request_of(tool, {"p": value}, {}, (), 1 << 20)
            assert read(arrived(request), where, style, explode, value) == said(value), (
                where,
                style,
                explode,
            )
            assert request.target.isascii()
            assert request.target.startswith("/x/" if where == "path" else "/x")


# --- bodies --------------------------------------------------------------------------------------


def with_body(version: str, media_type: str, schema: Any, **media: Any) -> Json:
    content = {media_type: {"schema": schema, **media}}
    operation = {"operationId": "op", "requestBody": {"required": True, "content": content}}
    return {"openapi": version, "paths": {"/x": {"post": operation}}}


async def posted(origin: str, document: Json, body: Any) -> tuple[str, bytes]:
    """The content type and the body that arrive."""
    async with running(openapi_inline=document, base_url=origin) as up:
        result = await up.send(call("op", {"body": body}))
        assert not result.value.get("isError"), text(result)
    found = result.value["structuredContent"]
    return found["headers"]["content-type"], base64.b64decode(found["body"])


ANY_JSON = [
    {"a": [1, None, {"é": "漢 \u2028"}], "": ""},
    [],
    [1, [2]],
    "s",
    "",
    0,
    2**64,
    1.5,
    True,
    False,
    {},
]


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@pytest.mark.parametrize(
    "media_type",
    [
        "application/json", "application/json; charset=utf-8", "application/merge-patch+json",
        "application/json-patch+json", "application/vnd.api+json", "application/scim+json", "*/*",
    ],
)  # fmt: skip
async def test_json_of_every_kind_arrives_as_it_is(origin: str, version: str, media_type: str) -> None:
    for value in ANY_JSON:
        kind, body = await posted(origin, with_body(version, media_type, {}), value)
        assert json.loads(body) == value
        assert kind == ("application/json" if media_type == "*/*" else media_type)


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain", "text/csv", "application/xml", "text/xml", "application/soap+xml", "application/yaml",
        "application/x-ndjson", "application/graphql",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["", "plain", "<é>漢</é>\r\n", "a: b\n\t\x0c"])
async def test_text_of_every_kind_arrives_as_it_is(origin: str, media_type: str, value: str) -> None:
    kind, body = await posted(origin, with_body("3.1.0", media_type, {"type": "string"}), value)
    assert body == value.encode()
    assert kind == f"{media_type}; charset=utf-8"


@pytest.mark.parametrize(
    "media_type", ["application/octet-stream", "image/png", "application/pdf", "audio/*"]
)
async def test_bytes_of_every_kind_arrive_as_they_are(origin: str, media_type: str) -> None:
    for data in (b"", bytes(range(256)), b"--x\r\n\r\n", "é".encode("utf-16")):
        sent = {"base64": base64.b64encode(data).decode(), "mediaType": "audio/ogg"}
        kind, body = await posted(origin, with_body("3.1.0", media_type, {}), sent)
        assert body == data
        assert kind == media_type.replace("audio/*", "audio/ogg")
    kind, body = await posted(origin, with_body("3.0.3", media_type, {}), {"text": "é\n"})
    assert body == "é\n".encode()


FORM_STYLES = [
    (style, explode)
    for style, explode in itertools.product(
        (None, "form", "spaceDelimited", "pipeDelimited", "deepObject"), (None, True, False)
    )
    if not (style == "deepObject" and explode is False) and not (style in SEPARATORS and explode is not False)
]


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@pytest.mark.parametrize(("style", "explode"), FORM_STYLES)
async def test_the_members_of_a_form_arrive_in_their_styles(
    origin: str, version: str, style: str | None, explode: bool | None
) -> None:
    encoding = {name: value for name, value in (("style", style), ("explode", explode)) if value is not None}
    schema = {"type": "object", "properties": {"p": {}, "more": {"type": "string"}}}
    media_type = "application/x-www-form-urlencoded"
    made = with_body(version, media_type, schema, **({"encoding": {"p": encoding}} if encoding else {}))
    for value in (RESERVED + "é漢 +", 7, True, "", ["a b", "c&d", "é"], {"k": "v w", "n": "1"}):
        if style in SEPARATORS and not isinstance(value, list | dict):
            continue
        if style == "deepObject" and not isinstance(value, dict):
            continue
        if style == "spaceDelimited":
            value = json.loads(json.dumps(value).replace(" ", "").replace(",", ", "))
        kind, body = await posted(origin, made, {"p": value, "more": "z&="})
        assert kind == media_type
        pairs = [halves(pair) for pair in body.decode("ascii").split("&")]
        assert [unquote(item) for name, item in pairs if name == "more"] == ["z&="]
        pairs = [pair for pair in pairs if pair[0] != "more"]
        if style is None and explode is None and isinstance(value, dict):
            assert [(name, json.loads(unquote(item))) for name, item in pairs] == [("p", value)]
            continue
        by_style = style or "form"
        split = explode if explode is not None else by_style in ("form", "deepObject")
        assert read_pairs(pairs, by_style, split, value) == said(value)


def parts(kind: str, body: bytes) -> list[Any]:
    message = email.message_from_bytes(
        f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=email.policy.HTTP
    )
    return list(message.iter_parts())  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
async def test_every_kind_of_part_arrives_in_a_multipart_body(origin: str, version: str) -> None:
    file = {"type": "string", "format": "binary"} if version == "3.0.3" else {"contentMediaType": "image/png"}
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string"}, "number": {"type": "integer"}, "flag": {"type": "boolean"},
            "list": {"type": "array", "items": {"type": "string"}}, "object": {"type": "object"},
            "xml": {"type": "string"}, "json": {}, "joined": {"type": "array", "items": {}},
            "file": file, "files": {"type": "array", "items": file}, "png": file,
        },
    }  # fmt: skip
    encoding = {
        "xml": {"contentType": "application/xml; charset=utf-8"},
        "json": {"contentType": "application/vnd.x+json, text/plain"},
        "joined": {"style": "form", "explode": False},
        "png": {"contentType": "image/png"},
    }
    data = bytes(range(256)) + b"\r\n--boundary\r\n"
    encoded = base64.b64encode(data).decode()
    body = {
        "text": "é \r\n--x", "number": 2**63, "flag": False, "list": ["a,b", "", "é"],
        "object": {"k": [None, "é"]}, "xml": "<é/>", "json": {"a": 1}, "joined": ["a", "b"],
        "file": {"base64": encoded, "filename": 'a"\r\né漢.bin', "mediaType": "application/x-own"},
        "files": [{"text": "é"}, {"base64": encoded}], "png": {"base64": encoded},
    }  # fmt: skip
    kind, sent = await posted(
        origin, with_body(version, "multipart/form-data", schema, encoding=encoding), body
    )
    found: dict[str, list[tuple[str, str | None, bytes]]] = {}
    for part in parts(kind, sent):
        assert part.get_content_disposition() == "form-data"
        name = str(part.get_param("name", header="content-disposition"))
        own = part.get_content_type() if "content-type" in part else ""
        found.setdefault(name, []).append((own, part.get_filename(), part.get_payload(decode=True)))
    assert found["text"] == [("", None, "é \r\n--x".encode())]
    assert [payload for _, _, payload in found["number"] + found["flag"]] == [
        b"9223372036854775808",
        b"false",
    ]
    assert [payload for _, _, payload in found["list"]] == [b"a,b", b"", "é".encode()]
    ((own, _, payload),) = found["object"]
    assert (own, json.loads(payload)) == ("application/json", body["object"])
    assert found["xml"] == [("application/xml", None, "<é/>".encode())]
    ((own, _, payload),) = found["json"]
    assert (own, json.loads(payload)) == ("application/vnd.x+json", {"a": 1})
    assert [payload for _, _, payload in found["joined"]] == [b"a,b"]
    ((own, filename, payload),) = found["file"]
    assert (own, payload) == ("application/x-own", data)
    assert not {'"', "\r", "\n"} & set(filename or '"')
    assert [(own, payload) for own, _, payload in found["files"]] == [
        ("text/plain", "é".encode()), ("application/octet-stream", data),
    ]  # fmt: skip
    assert [(own, payload) for own, _, payload in found["png"]] == [("image/png", data)]


# --- version 2.0 ----------------------------------------------------------------------------------


FORMATS = {
    "csv": ("form", ","),
    "ssv": ("spaceDelimited", "%20"),
    "tsv": ("tabDelimited", "%09"),
    "pipes": ("pipeDelimited", "%7C"),
}


@pytest.mark.parametrize("where", ["query", "header", "path", "formData"])
@pytest.mark.parametrize("layout", [None, "csv", "ssv", "tsv", "pipes", "multi"])
async def test_the_lists_of_openapi_2_arrive_in_their_format(
    origin: str, where: str, layout: str | None
) -> None:
    if where in ("header", "path") and layout not in (None, "csv"):
        return  # those are for queries and forms; see the next
    one: Json = {
        "name": "p",
        "in": where,
        "type": "array",
        "items": {"type": "string"},
        "required": where == "path",
    }
    if layout is not None:
        one["collectionFormat"] = layout
    path = "/x/{p}/y" if where == "path" else "/x"
    operation = {"operationId": "op", "parameters": [one]}
    document = {"swagger": "2.0", "paths": {path: {"post": operation}}}
    value = ["a", "é&=", "c"] if where != "header" else ["a", "b&=", "c"]
    arguments = {"body": {"p": value}} if where == "formData" else {"p": value}
    async with running(openapi_inline=document, base_url=origin) as up:
        result = await up.send(call("op", arguments))
    found = result.value["structuredContent"]
    if where in ("header", "path"):
        assert read(found, where, "simple", False, value) == value
        return
    raw = found["query"] if where == "query" else base64.b64decode(found["body"]).decode()
    pairs = [halves(pair) for pair in raw.split("&")]
    style, _ = FORMATS.get(layout or "csv", ("form", ""))
    assert read_pairs(pairs, style, layout == "multi", value) == value
    assert where == "query" or parse_qsl(raw)
