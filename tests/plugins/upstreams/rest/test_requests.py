"""What arrives at an API: every location, style, and kind of body, at a server that says what it got."""

from __future__ import annotations

import base64
import email
import email.policy
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

import pytest

from portico.api import INVALID_PARAMS, Json, Principal, Ref, Refused, Secret
from portico_plugins.upstreams.rest.config import HandParameter, HandTool, OperationSettings, SchemeSettings
from portico_plugins.upstreams.rest.inputs import FILE
from tests.plugins.upstreams.kit import call, serving, text
from tests.plugins.upstreams.rest.kit import echo, running


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    async with serving(echo) as found:
        yield found


async def arrived(origin: str, document: Json, arguments: Json, component: Any = None, **config: Any) -> Json:
    """What arrives of a call of the document's only tool."""
    headers = config.pop("inbound", {})
    async with running(component, openapi_inline=document, base_url=origin, **config) as up:
        (definition,) = up.upstream.offer.tools
        result = await up.send(call(definition["name"], arguments, headers=headers))
        assert not result.value.get("isError"), text(result)
        found: Json = result.value["structuredContent"]
        return found


def with_parameter(where: str, path: str = "/x", name: str = "p", **more: Any) -> Json:
    one = {"name": name, "in": where, "required": where == "path", "schema": {}, **more}
    return {"openapi": "3.2.0", "paths": {path: {"get": {"parameters": [one]}}}}


def with_body(media_type: str, schema: Any, **media: Any) -> Json:
    content = {media_type: {"schema": schema, **media}}
    return {
        "openapi": "3.1.0",
        "paths": {"/x": {"post": {"requestBody": {"required": True, "content": content}}}},
    }


LIST = ["a b", "c,d", "é"]
OBJECT = {"k": "v 1", "n": 2}


@pytest.mark.parametrize(
    ("style", "explode", "value", "path"),
    [
        ("simple", False, "a/b?c#d;e%", "/x/a%2Fb%3Fc%23d%3Be%25/y"),
        ("simple", False, 1.5, "/x/1.5/y"),
        ("simple", False, True, "/x/true/y"),
        ("simple", False, LIST, "/x/a%20b,c%2Cd,%C3%A9/y"),
        ("simple", True, OBJECT, "/x/k=v%201,n=2/y"),
        ("simple", False, OBJECT, "/x/k,v%201,n,2/y"),
        ("label", False, LIST, "/x/.a%20b,c%2Cd,%C3%A9/y"),
        ("label", True, LIST, "/x/.a%20b.c%2Cd.%C3%A9/y"),
        ("label", True, OBJECT, "/x/.k=v%201.n=2/y"),
        ("matrix", False, "v", "/x/;p=v/y"),
        ("matrix", True, LIST, "/x/;p=a%20b;p=c%2Cd;p=%C3%A9/y"),
        ("matrix", False, OBJECT, "/x/;p=k,v%201,n,2/y"),
        ("matrix", True, OBJECT, "/x/;k=v%201;n=2/y"),
    ],
)
async def test_a_path_parameter_arrives_in_its_style(
    origin: str, style: str, explode: bool, value: Any, path: str
) -> None:
    document = with_parameter("path", "/x/{p}/y", style=style, explode=explode)
    assert (await arrived(origin, document, {"p": value}))["path"] == path


@pytest.mark.parametrize(
    ("style", "explode", "value", "query"),
    [
        ("form", True, "a&b=c+d", "p=a%26b%3Dc%2Bd"),
        ("form", True, "", "p="),
        ("form", True, LIST, "p=a%20b&p=c%2Cd&p=%C3%A9"),
        ("form", False, LIST, "p=a%20b,c%2Cd,%C3%A9"),
        ("form", True, OBJECT, "k=v%201&n=2"),
        ("form", False, OBJECT, "p=k,v%201,n,2"),
        ("form", True, [], ""),
        ("form", True, 12345678901234567890, "p=12345678901234567890"),
        ("spaceDelimited", False, LIST, "p=a%20b%20c%2Cd%20%C3%A9"),
        ("pipeDelimited", False, LIST, "p=a%20b%7Cc%2Cd%7C%C3%A9"),
        ("pipeDelimited", False, OBJECT, "p=k%7Cv%201%7Cn%7C2"),
        ("deepObject", True, OBJECT, "p%5Bk%5D=v%201&p%5Bn%5D=2"),
        ("deepObject", True, {"a": {"b": [1, 2]}}, "p%5Ba%5D%5Bb%5D=1&p%5Ba%5D%5Bb%5D=2"),
    ],
)
async def test_a_query_parameter_arrives_in_its_style(
    origin: str, style: str, explode: bool, value: Any, query: str
) -> None:
    document = with_parameter("query", style=style, explode=explode)
    assert (await arrived(origin, document, {"p": value}))["query"] == query


async def test_a_parameter_with_content_arrives_as_json(origin: str) -> None:
    one = with_parameter("query", content={"application/json": {"schema": {"type": "object"}}})
    found = await arrived(origin, one, {"p": {"a": [1, "é"]}})
    assert [(name, json.loads(value)) for name, value in parse_qsl(found["query"])] == [
        ("p", {"a": [1, "é"]})
    ]


async def test_reserved_characters_stay_only_where_they_cannot_end_the_parameter(origin: str) -> None:
    found = await arrived(origin, with_parameter("query", allowReserved=True), {"p": "a/b:c&q=1#x"})
    assert found["query"] == "p=a/b:c%26q%3D1%23x"


@pytest.mark.parametrize(
    ("explode", "value", "said"),
    [
        (False, "a b", "a b"),
        (False, ["a", "b"], "a,b"),
        (True, OBJECT, "k=v 1,n=2"),
        (False, OBJECT, "k,v 1,n,2"),
    ],
)
async def test_a_header_parameter_arrives_unencoded(
    origin: str, explode: bool, value: Any, said: str
) -> None:
    found = await arrived(origin, with_parameter("header", name="X-P", explode=explode), {"X-P": value})
    assert found["headers"]["x-p"] == said


@pytest.mark.parametrize(
    ("explode", "value", "said"),
    [
        (True, "a;b", "p=a%3Bb"),
        (False, ["a", "b"], "p=a,b"),
        (True, ["a", "b"], "p=a; p=b"),
        (True, OBJECT, "k=v%201; n=2"),
    ],
)
async def test_a_cookie_parameter_arrives_encoded(origin: str, explode: bool, value: Any, said: str) -> None:
    assert (await arrived(origin, with_parameter("cookie", explode=explode), {"p": value}))["headers"][
        "cookie"
    ] == said


@pytest.mark.parametrize(
    "value",
    [
        "..",
        ".",
        "../admin",
        "a/../b",
        "%2e%2e",
        "%252e%252e/x",
        "..%2f",
        "..\\x",
        "..;/x",
        "a\r\nb",
        "\x00",
        "",
        "./",
    ],
)
async def test_a_path_argument_that_would_lead_elsewhere_is_refused_and_nothing_is_sent(value: str) -> None:
    document = with_parameter("path", "/x/{p}/y")
    async with running(openapi_inline=document, base_url="http://127.0.0.1:9/api") as up:
        with pytest.raises(Refused) as refused:
            await up.send(call("get_x_by_p_y", {"p": value}))
    assert refused.value.code == INVALID_PARAMS


@pytest.mark.parametrize("value", ["a\r\nX-More: 1", "a\x00", "\u2028", " a"])
async def test_a_header_argument_that_no_header_can_have_is_refused(value: str) -> None:
    async with running(
        openapi_inline=with_parameter("header", name="X-P"), base_url="http://127.0.0.1:9"
    ) as up:
        with pytest.raises(Refused) as refused:
            await up.send(call("get_x", {"X-P": value}))
    assert refused.value.code == INVALID_PARAMS


# --- bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{"a": [1, None, "é"]}, [1, 2], "x", 12345678901234567890])
@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
async def test_a_json_body_arrives_as_it_is(origin: str, media_type: str, value: Any) -> None:
    found = await arrived(origin, with_body(media_type, {}), {"body": value})
    assert json.loads(base64.b64decode(found["body"])) == value
    assert found["headers"]["content-type"] == media_type


async def test_a_form_arrives_with_lists_objects_and_styles(origin: str) -> None:
    schema = {"type": "object", "properties": {"a": {}, "l": {}, "o": {}, "d": {}}}
    document = with_body(
        "application/x-www-form-urlencoded", schema, encoding={"d": {"style": "deepObject", "explode": True}}
    )
    body = {"a": "x&y=z", "l": ["1", "2"], "o": {"k": 1}, "d": {"k": {"m": "v"}}}
    found = await arrived(origin, document, {"body": body})
    assert parse_qsl(base64.b64decode(found["body"]).decode()) == [
        ("a", "x&y=z"),
        ("l", "1"),
        ("l", "2"),
        ("o", '{"k":1}'),
        ("d[k][m]", "v"),
    ]


async def test_reserved_characters_stay_in_a_form_only_where_they_cannot_end_the_field(origin: str) -> None:
    schema = {"type": "object", "properties": {"a": {}, "l": {}, "d": {}, "plain": {}}}
    encoding: Json = {
        "a": {"allowReserved": True},
        "l": {"allowReserved": True, "explode": False},
        "d": {"allowReserved": True, "style": "deepObject"},
        "plain": {"allowReserved": False},
    }
    document = with_body("application/x-www-form-urlencoded", schema, encoding=encoding)
    said = "a/b:c?@!$'()*;&q=1#x+y%2F"
    body = {"a": said, "l": ["x/y", "z&"], "d": {"k": "v/w"}, "plain": "a/b"}
    found = base64.b64decode((await arrived(origin, document, {"body": body}))["body"]).decode()
    ended = "a/b:c?@!$'()*;%26q%3D1%23x%2By%252F"
    assert found == f"a={ended}&l=x/y,z%26&d%5Bk%5D=v/w&plain=a%2Fb"
    assert parse_qsl(found)[0] == ("a", said)


async def test_reserved_characters_are_never_encoded_in_parts(origin: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    for reserved in (True, False):
        document = with_body("multipart/form-data", schema, encoding={"a": {"allowReserved": reserved}})
        found = parts(await arrived(origin, document, {"body": {"a": "a/b&c=%2F #"}}))
        assert found["a"].get_content() == "a/b&c=%2F #"


def parts(found: Json) -> dict[str, Any]:
    head = f"Content-Type: {found['headers']['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + base64.b64decode(found["body"]), policy=email.policy.HTTP)
    return {str(part.get_param("name", header="content-disposition")): part for part in message.iter_parts()}  # type: ignore[attr-defined]


async def test_a_multipart_form_arrives_with_files_of_text_and_bytes(origin: str) -> None:
    file = {"type": "string", "format": "binary"}
    schema = {
        "type": "object",
        "properties": {
            "f": file,
            "fs": {"type": "array", "items": file},
            "n": {"type": "integer"},
            "o": {"type": "object"},
        },
    }
    body = {
        "f": {
            "base64": base64.b64encode(b"\x00\xff\r\n--x").decode(),
            "filename": 'a"\r\nb.png',
            "mediaType": "image/png",
        },
        "fs": [{"text": "one"}],
        "n": 3,
        "o": {"k": 1},
    }
    found = parts(await arrived(origin, with_body("multipart/form-data", schema), {"body": body}))
    assert found["f"].get_payload(decode=True) == b"\x00\xff\r\n--x"
    assert found["f"].get_content_type() == "image/png"
    assert found["f"].get_filename() == "a%22%0D%0Ab.png"
    assert found["fs"].get_payload(decode=True) == b"one"
    assert found["n"].get_payload(decode=True) == b"3"
    assert (found["o"].get_content_type(), json.loads(found["o"].get_payload())) == (
        "application/json",
        {"k": 1},
    )


BINARY = {"type": "string", "contentMediaType": "image/png"}
LISTED = [
    # What the document says, and which parts there are to be; a file is sent as the last of them.
    ({"schema": {"type": "array", "items": {}}}, ["", "application/json", "text/plain"]),
    (
        {"itemSchema": {}, "itemEncoding": {"contentType": "text/markdown, text/plain"}},
        ["text/markdown", "text/markdown", "text/markdown"],
    ),
    (
        {
            "schema": {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "object"}],
                "items": BINARY,
            },
            "prefixEncoding": [{"contentType": "text/html"}],
            "itemEncoding": {"headers": {"X-N": {"schema": {"const": "n"}}}},
        },
        ["text/html", "application/json", "image/gif"],
    ),
    (
        {
            "itemSchema": {},
            "prefixEncoding": [{}, {"contentType": "application/vnd.x+json"}, {"contentType": "image/png"}],
        },
        ["", "application/vnd.x+json", "image/png"],
    ),
]


@pytest.mark.parametrize("media_type", ["multipart/mixed", "multipart/related; x=y", "multipart/*"])
@pytest.mark.parametrize(("media", "kinds"), LISTED)
async def test_a_list_arrives_in_parts_each_as_its_place_says(
    origin: str, media_type: str, media: Json, kinds: list[str]
) -> None:
    said = {"content": {media_type: media}, "required": True}
    operation = {"operationId": "op", "requestBody": said}
    document = {"openapi": "3.2.0", "paths": {"/x": {"post": operation}}}
    sent = {"base64": "R0lG", "mediaType": "image/gif", "filename": "a.gif"}
    file = sent if "image/gif" in kinds or "image/png" in kinds else "R0lG"
    async with running(openapi_inline=document, base_url=origin) as up:
        found = (await up.send(call("op", {"body": ["one", {"k": [2]}, file]}))).value["structuredContent"]
        wrong = await up.send(call("op", {"body": {"k": 1}}))
        assert "array" in text(wrong)
        nothing = (await up.send(call("op", {"body": []}))).value["structuredContent"]
    expected = "multipart/mixed" if "*" in media_type else media_type.partition(";")[0]
    assert found["headers"]["content-type"].partition(";")[0] == expected
    boundary = found["headers"]["content-type"].partition("boundary=")[2]
    begun, *arrived_, ended = base64.b64decode(found["body"]).split(b"--" + boundary.encode())
    assert (begun, ended) == (b"", b"--\r\n")
    one, two, three = (email.message_from_bytes(each[2:-2], policy=email.policy.HTTP) for each in arrived_)
    assert [part.get("content-type", "") for part in (one, two)] == kinds[:2]
    assert one.get_payload() == "one"
    assert json.loads(two.get_payload()) == {"k": [2]}
    assert three.get_content_type() == kinds[2]
    if file is sent:
        assert (three.get_payload(decode=True), three.get_filename()) == (b"GIF", "a.gif")
    headers = [part.get("x-n") for part in (one, two, three)]
    assert headers == ([None, "n", "n"] if "itemEncoding" in media and "schema" in media else [None] * 3)
    assert base64.b64decode(nothing["body"]).startswith(b"--")


async def test_the_files_among_parts_are_files_in_the_schema() -> None:
    media = {
        "schema": {"type": "array", "prefixItems": [{"$ref": "#/components/schemas/About"}], "maxItems": 5},
        "prefixEncoding": [{}, {"contentType": "image/png"}],
        "itemEncoding": {"contentType": "application/pdf"},
    }
    said = {"content": {"multipart/related": media}}
    document: Json = {
        "openapi": "3.2.0",
        "components": {"schemas": {"About": {"type": "object", "properties": {"name": {"type": "string"}}}}},
        "paths": {"/x": {"post": {"operationId": "op", "requestBody": said}}},
    }
    async with running(openapi_inline=document, base_url="http://127.0.0.1:9", body="flat") as up:
        (tool,) = up.upstream.offer.tools
    assert tool["inputSchema"]["properties"]["body"] == {
        "type": "array",
        "maxItems": 5,
        "prefixItems": [{"$ref": "#/$defs/About"}, FILE],
        "items": FILE,
    }


async def test_a_part_has_one_of_the_types_the_document_allows(origin: str) -> None:
    file = {"type": "string", "format": "binary"}
    schema = {"type": "object", "properties": dict.fromkeys(("same", "other", "none", "any"), file)}
    listed = {"contentType": "image/png, image/jpeg"}
    encoding = {**dict.fromkeys(("same", "other", "none"), listed), "any": {"contentType": "image/*"}}
    operation = with_body("multipart/form-data", schema, encoding=encoding)
    body = {
        "same": {"base64": "/9j/", "mediaType": "image/jpeg"},
        "other": {"base64": "/9j/", "mediaType": "image/gif"},
        "none": {"base64": "/9j/"},
        "any": {"base64": "/9j/", "mediaType": "image/webp"},
    }
    found = parts(await arrived(origin, operation, {"body": body}))
    assert {name: part.get_content_type() for name, part in found.items()} == {
        "same": "image/jpeg",
        "other": "image/png",
        "none": "image/png",
        "any": "image/webp",
    }


async def test_a_part_has_the_headers_that_the_document_leaves_no_choice_about(origin: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    headers = {
        "X-Const": {"schema": {"const": "c"}},
        "X-Only": {"schema": {"enum": [7]}},
        "X-Default": {"schema": {"type": "string", "default": "d"}},
        "X-Open": {"schema": {"type": "string"}},
        "X-Either": {"schema": {"enum": ["a", "b"]}},
        "X-Odd": {"schema": {"const": "a\r\nX-More: b"}},
        "X-Odd\r\n": {"schema": {"const": "a"}},
        "Content-Type": {"schema": {"const": "text/x"}},
        "Content-Disposition": {"schema": {"const": "form-data; name=c"}},
    }
    operation = with_body("multipart/form-data", schema, encoding={"a": {"headers": headers}})
    found = parts(await arrived(origin, operation, {"body": {"a": "1", "b": "2"}}))
    assert dict(found["a"].items()) == {
        "Content-Disposition": 'form-data; name="a"',
        "X-Const": "c",
        "X-Only": "7",
        "X-Default": "d",
    }
    assert dict(found["b"].items()) == {"Content-Disposition": 'form-data; name="b"'}


@pytest.mark.parametrize(
    ("media_type", "written"),
    [("application/jsonl", b'{"a":1}\n[2]\n'), ("application/json-seq", b'\x1e{"a":1}\n\x1e[2]\n')],
)
async def test_a_sequence_of_items_arrives_as_one(origin: str, media_type: str, written: bytes) -> None:
    operation = with_body(media_type, {}, itemSchema={"type": ["object", "array"]})
    found = await arrived(origin, operation, {"body": [{"a": 1}, [2]]})
    assert base64.b64decode(found["body"]) == written
    assert found["headers"]["content-type"] == media_type


@pytest.mark.parametrize(
    ("media_type", "value", "written"),
    [
        (
            "application/x-www-form-urlencoded",
            {"a b": "x&y", "n": 1, "l": [1, 2], "key": "mine"},
            "a%20b=x%26y&n=1&l=1&l=2&key=set",
        ),
        ("application/json", {"a": ["&"]}, "%7B%22a%22%3A%5B%22%26%22%5D%7D&key=set"),
    ],
)
async def test_a_parameter_may_be_the_whole_query_string(
    origin: str, media_type: str, value: Json, written: str
) -> None:
    schema = {"type": "object", "required": list(value)}
    operation = with_parameter("querystring", name="q", content={media_type: {"schema": schema}})
    found = await arrived(origin, operation, {"q": value}, query={"key": Secret("set")})
    assert found["query"] == written


async def test_text_and_binary_bodies_arrive_byte_for_byte(origin: str) -> None:
    found = await arrived(origin, with_body("application/xml", {}), {"body": "<é/>"})
    assert base64.b64decode(found["body"]) == "<é/>".encode()
    assert found["headers"]["content-type"] == "application/xml; charset=utf-8"
    sent = {"base64": base64.b64encode(bytes(range(256))).decode()}
    found = await arrived(origin, with_body("application/octet-stream", {}), {"body": sent})
    assert base64.b64decode(found["body"]) == bytes(range(256))
    assert found["headers"]["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "file", [{"base64": "!"}, {"text": "x", "mediaType": "a/b\r\nX: 1"}, {"text": "x" * 2000}]
)
async def test_a_file_that_is_not_sound_or_too_large_is_refused(file: Json) -> None:
    document = with_body("application/octet-stream", {})
    document["paths"]["/x"]["post"]["requestBody"]["content"] = {"*/*": {}}
    form = with_body("multipart/form-data", {"type": "object", "properties": {"f": {"format": "binary"}}})
    async with running(openapi_inline=form, base_url="http://127.0.0.1:9", max_request_bytes=1024) as up:
        with pytest.raises(Refused) as refused:
            await up.send(call("post_x", {"body": {"f": file}}))
    assert refused.value.code == INVALID_PARAMS


# --- what the configuration adds -------------------------------------------------------------------

SCHEMES: Json = {
    "q": {"type": "apiKey", "in": "query", "name": "key"},
    "h": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "c": {"type": "apiKey", "in": "cookie", "name": "sid"},
    "b": {"type": "http", "scheme": "bearer"},
    "p": {"type": "http", "scheme": "basic"},
    "o": {"type": "oauth2", "flows": {}},
}


@pytest.mark.parametrize(
    ("scheme", "settings", "place", "value"),
    [
        ("q", SchemeSettings(value=Secret("s&t")), "query", "key=s%26t"),
        ("h", SchemeSettings(value=Secret("s")), "x-key", "s"),
        ("c", SchemeSettings(value=Secret("s")), "cookie", "sid=s"),
        ("b", SchemeSettings(value=Secret("s")), "authorization", "Bearer s"),
        ("o", SchemeSettings(value=Secret("s")), "authorization", "Bearer s"),
        ("p", SchemeSettings(username="u", password=Secret("s")), "authorization", "Basic dTpz"),
    ],
)
async def test_the_secret_of_a_security_scheme_goes_where_the_document_says(
    origin: str, scheme: str, settings: SchemeSettings, place: str, value: str
) -> None:
    document = {
        "openapi": "3.0.0",
        "security": [{"other": []}, {scheme: []}],
        "components": {"securitySchemes": SCHEMES},
        "paths": {"/x": {"get": {}}},
    }
    found = await arrived(origin, document, {}, security={scheme: settings})
    assert (found["query"] if place == "query" else found["headers"][place]) == value


async def test_an_operation_that_needs_no_security_gets_no_secret(origin: str) -> None:
    document = {
        "openapi": "3.0.0",
        "security": [{"b": []}],
        "components": {"securitySchemes": SCHEMES},
        "paths": {"/x": {"get": {"security": []}}},
    }
    found = await arrived(origin, document, {}, security={"b": SchemeSettings(value=Secret("s"))})
    assert "authorization" not in found["headers"]


@pytest.mark.parametrize("needs", [[{}, {"b": []}], [{"b": []}, {}], [{}, {"other": []}, {"b": []}]])
async def test_where_a_secret_need_not_be_shown_it_is_all_the_same(origin: str, needs: Any) -> None:
    document = {
        "openapi": "3.0.0",
        "components": {"securitySchemes": SCHEMES},
        "paths": {"/x": {"get": {"security": needs}}},
    }
    found = await arrived(origin, document, {}, security={"b": SchemeSettings(value=Secret("s"))})
    assert found["headers"]["authorization"] == "Bearer s"


class Token:
    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer for-{principal.subject}-at-{upstream}"}


async def test_a_credential_is_asked_for_the_caller_and_goes_before_fixed_headers(origin: str) -> None:
    found = await arrived(
        origin,
        with_parameter("query"),
        {},
        Token(),
        credential=Ref("token"),
        headers={"authorization": Secret("Bearer fixed"), "X-Fixed": Secret("1")},
    )
    assert found["headers"]["authorization"] == "Bearer for-alice-at-up"
    assert found["headers"]["x-fixed"] == "1"


async def test_no_header_of_the_client_is_passed_on_but_those_that_are_named(origin: str) -> None:
    inbound = {"authorization": "Bearer gateway", "cookie": "c=1", "x-trace": "t1", "x-other": "o"}
    found = await arrived(
        origin, with_parameter("query"), {}, inbound=inbound, pass_headers={"X-Trace": "X-Request-Id"}
    )
    assert found["headers"]["x-request-id"] == "t1"
    assert not {"authorization", "cookie", "x-other", "x-trace"} & set(found["headers"])


async def test_what_is_configured_takes_the_place_of_what_a_client_slips_in(origin: str) -> None:
    document = with_parameter("query", style="form", explode=True)
    arguments = {"p": {"key": "mine", "tenant": "mine", "other": "1"}}
    found = await arrived(origin, document, arguments, query={"key": Secret("k"), "tenant": Secret("t")})
    assert found["query"] == "other=1&key=k&tenant=t"


async def test_no_other_argument_sets_what_is_fixed(origin: str) -> None:
    free = {"type": "object", "additionalProperties": {"type": "string"}}
    parameters = [
        {"name": "tenant", "in": "query", "schema": {}},
        {"name": "filter", "in": "query", "schema": free},
        {"name": "team", "in": "cookie", "schema": {}},
        {"name": "crumbs", "in": "cookie", "schema": free},
        {"name": "X-Role", "in": "header", "schema": {}},
        {"name": "x-role", "in": "header", "schema": {}},
    ]
    document = {
        "openapi": "3.0.0",
        "paths": {"/x": {"get": {"operationId": "op", "parameters": parameters}}},
    }
    fixed = {"tenant": "acme", "team": "red", "X-Role": "reader"}
    found = await arrived(
        origin,
        document,
        {"filter": {"tenant": "evil", "a": "1"}, "crumbs": {"team": "evil", "b": "2"}, "x-role": "admin"},
        operations={"op": OperationSettings(fixed=fixed)},
    )
    assert parse_qsl(found["query"]) == [("a", "1"), ("tenant", "acme")]
    assert found["headers"]["cookie"] == "b=2; team=red"
    assert found["headers"]["x-role"] == "reader"


async def test_an_object_in_a_form_sets_no_other_field(origin: str) -> None:
    schema = {"type": "object", "properties": {"tenant": {"type": "string"}, "more": {"type": "object"}}}
    encoding = {"more": {"style": "form", "explode": True}}
    document = with_body("application/x-www-form-urlencoded", schema, encoding=encoding)
    given = {"tenant": "acme", "more": {"tenant": "evil", "a": "1"}}
    found = await arrived(origin, document, {"body": given})
    assert parse_qsl(base64.b64decode(found["body"]).decode()) == [("tenant", "acme"), ("a", "1")]


async def test_fixed_arguments_win_and_defaults_fill_in(origin: str) -> None:
    document = {
        "openapi": "3.0.0",
        "paths": {
            "/x": {"get": {"parameters": [{"name": name, "in": "query", "schema": {}} for name in "abc"]}}
        },
    }
    own = OperationSettings(fixed={"a": 1}, defaults={"b": 2, "c": 3}, headers={"X-Own": Secret("o")})
    found = await arrived(origin, document, {"c": 4}, operations={"GET /x": own})
    assert sorted(found["query"].split("&")) == ["a=1", "b=2", "c=4"]
    assert found["headers"]["x-own"] == "o"


async def test_a_tool_written_by_hand_arrives(origin: str) -> None:
    tool = HandTool(
        method="PUT",
        path="/things/{id}?v=2",
        parameters=(HandParameter(name="id", location="path"), HandParameter(name="q")),
        body={"type": "object"},
    )
    async with running(tools={"change": tool}, base_url=f"{origin}/base/") as up:
        result = await up.send(call("change", {"id": "7", "q": "x", "body": {"a": 1}}))
    found = result.value["structuredContent"]
    assert (found["method"], found["path"], found["query"]) == ("PUT", "/base/things/7", "v=2&q=x")


@pytest.mark.parametrize("required", [True, False])
async def test_a_body_of_a_tool_written_by_hand_is_of_its_type_and_needed_or_not(
    required: bool, origin: str
) -> None:
    tool = HandTool(
        method="POST",
        path="/x",
        body={"type": "object"},
        body_type="application/x-www-form-urlencoded",
        body_required=required,
    )
    async with running(tools={"post": tool}, base_url=origin) as up:
        without = await up.send(call("post", {}))
        assert bool(without.value.get("isError")) is required
        found = (await up.send(call("post", {"body": {"a": 1}}))).value["structuredContent"]
    assert base64.b64decode(found["body"]) == b"a=1"
    assert found["headers"]["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("arguments", [{"p": "x"}, {"q": 1}, {}])
async def test_arguments_that_do_not_fit_are_told_to_the_model_and_nothing_is_sent(arguments: Json) -> None:
    document = with_parameter("query", required=True, schema={"type": "integer"})
    async with running(openapi_inline=document, base_url="http://127.0.0.1:9") as up:
        result = await up.send(call("get_x", arguments))
    assert result.value["isError"] is True
    assert "nothing was sent" in text(result)
