"""What becomes of an API's answers, and of APIs that do not answer as they should."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import Any

import pytest

from portico.api import UPSTREAM_BAD_RESPONSE, UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE, Era, Json, Refused
from portico_plugins.http1 import Answer, Unusable
from portico_plugins.upstreams.rest import redirects
from portico_plugins.upstreams.rest.client import redirected
from portico_plugins.upstreams.rest.config import OperationSettings
from portico_plugins.upstreams.rest.file_names import file_name
from portico_plugins.upstreams.rest.requests import Request
from tests.plugins.upstreams.kit import call, text
from tests.plugins.upstreams.rest.kit import http, raw, running, simple

JSON = {"responses": {"200": {"content": {"application/json": {"schema": {"type": "object"}}}}}}


async def answered(answer: bytes, document: Json | None = None, **config: Any) -> Json:
    """The result of a call that is answered with these bytes."""
    async with (
        raw(answer) as server,
        running(openapi_inline=document or simple(), base_url=server.origin, **config) as up,
    ):
        (definition,) = up.upstream.offer.tools
        result = await up.send(call(definition["name"], era=Era.MODERN))
        value: Json = json.loads(result.raw)
        return value


async def refused(answer: Any, document: Json | None = None, **config: Any) -> Refused:
    """How a call fails, and that the next one does not."""
    async with (
        raw(answer) as server,
        running(openapi_inline=document or simple(), base_url=server.origin, **config) as up,
    ):
        with pytest.raises(Refused) as found:
            await up.send(call("op"))
        assert server.origin.rpartition("/")[2] not in json.dumps(found.value.body())
        return found.value


def reason(refusal: Refused) -> str:
    assert refusal.data["gateway"]["upstream"] == "up"
    return str(refusal.data["gateway"]["reason"])


# --- content ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b'{"a": 12345678901234567890}', b"[1, 2]", b'"x"', b"3", b"null"])
async def test_json_is_text_and_structured_content(body: bytes) -> None:
    value = await answered(http(body))
    assert value["content"] == [{"type": "text", "text": body.decode()}]
    assert value["structuredContent"] == json.loads(body)
    assert value["isError"] is False


async def test_json_of_several_lines_goes_on_as_one_and_its_text_as_it_was() -> None:
    body = b'\xef\xbb\xbf{\r\n  "a": "x\\ny"\n}'
    async with raw(http(body)) as server, running(openapi_inline=simple(), base_url=server.origin) as up:
        result = await up.send(call("op"))
        assert b"\n" not in result.raw
        assert b"\r" not in result.raw
        assert result.value["structuredContent"] == {"a": "x\ny"}
        assert text(result).endswith('{\r\n  "a": "x\\ny"\n}')


async def test_json_that_does_not_say_so_is_structured_where_the_document_promises_json() -> None:
    assert (await answered(http(b'{"a":1}', "text/plain"), simple(**JSON)))["structuredContent"] == {"a": 1}
    assert "structuredContent" not in await answered(http(b'{"a":1}', "text/plain"))


@pytest.mark.parametrize(
    ("body", "kind", "content"),
    [
        ("é".encode(), "text/plain", {"type": "text", "text": "é"}),
        ("é".encode("latin-1"), "text/plain; charset=ISO-8859-1", {"type": "text", "text": "é"}),
        (b"x", "text/plain; charset=nonsense", {"type": "text", "text": "x"}),
        (b"<a/>", "application/xml", {"type": "text", "text": "<a/>"}),
        (b"a,b", "text/csv", {"type": "text", "text": "a,b"}),
        (b"<svg/>", "image/svg+xml", {"type": "text", "text": "<svg/>"}),
        (b"hello", "", {"type": "text", "text": "hello"}),
        (
            b"\x89PNG",
            "image/png",
            {"type": "image", "data": base64.b64encode(b"\x89PNG").decode(), "mimeType": "image/png"},
        ),
        (b"\x00", "audio/wav", {"type": "audio", "data": "AA==", "mimeType": "audio/wav"}),
        (
            b"\x00\xff",
            "application/pdf",
            {
                "type": "resource",
                "resource": {"uri": "rest://op/answer", "mimeType": "application/pdf", "blob": "AP8="},
            },
        ),
        (
            b"\x00\xff",
            "",
            {
                "type": "resource",
                "resource": {
                    "uri": "rest://op/answer",
                    "mimeType": "application/octet-stream",
                    "blob": "AP8=",
                },
            },
        ),
    ],
)
async def test_other_answers_are_content_of_their_kind(body: bytes, kind: str, content: Json) -> None:
    value = await answered(http(body, kind))
    assert value["content"] == [content]
    assert "structuredContent" not in value


DISPOSITIONS = [
    (b'attachment; filename="report 1.pdf"', "report 1.pdf"),
    (b"attachment; filename=report.pdf", "report.pdf"),
    (b"attachment ;FileName = report.pdf ; size=3", "report.pdf"),
    (b'inline; filename="a\\"b\\\\c.pdf"', "c.pdf"),
    (b'attachment; x="; filename=y"; filename=z', "z"),
    (b"attachment; filename=\"e.txt\"; filename*=UTF-8''%e2%82%ac%20rates.txt", "\u20ac rates.txt"),
    (b"attachment; filename*=iso-8859-1'en'%A3.txt; filename=e.txt", "\u00a3.txt"),
    (b"attachment; filename*=utf-8''%ff%00a.txt", "\ufffda.txt"),
    (b"attachment; filename*=shift_jis''x; filename=e.txt", "e.txt"),
    (b'attachment; filename="\xc3\xa9.txt"', "\u00e9.txt"),
    (b'attachment; filename="\xe9.txt"', "\u00e9.txt"),
    (b'attachment; filename="open', "open"),
    # What a path would be made of, what cannot be seen, and what means something to a system.
    (b'attachment; filename="../../etc/passwd"', "passwd"),
    (b"attachment; filename*=UTF-8''..%2F..%5C..%2fetc%2Fpasswd", "passwd"),
    (b'attachment; filename="C:\\\\windows\\\\x.exe"', "x.exe"),
    (b'attachment; filename="/"', ""),
    (b'attachment; filename=".."', ""),
    (b'attachment; filename=" .bashrc. "', "bashrc"),
    (b"attachment; filename*=UTF-8''a%0d%0aX%3A%20b%00%1b%5Bm.txt", "a  X_ b[m.txt"),
    (b"attachment; filename*=UTF-8''x%E2%80%AEgpj.exe%C2%A0%C2%85", "xgpj.exe"),
    (b'attachment; filename="a:b|c?*<>.txt"', "a_b_c____.txt"),
    (b"attachment; filename*=UTF-8''%ed%a0%80", "\ufffd\ufffd\ufffd"),
    (b'attachment; filename="' + b"x" * 300 + b'.tar"', "x" * 96 + ".tar"),
    (b'attachment; filename="' + b"x" * 300 + b"." + b"y" * 300 + b'"', "x" * 100),
    (b'attachment; filename="' + b"x" * 50_000, "x" * 100),
    (b"attachment; filename=", ""),
    (b"attachment", ""),
    (b";" * 5000, ""),
    (b"; \t" * 2000 + b"=" * 2000, ""),
    (b"", ""),
]


@pytest.mark.parametrize(("said", "name"), DISPOSITIONS, ids=range(len(DISPOSITIONS)))
def test_the_name_of_a_file_is_harmless(said: bytes, name: str) -> None:
    assert file_name(said) == name


@pytest.mark.parametrize(
    ("said", "uri"),
    [
        ('attachment; filename="my report.pdf"', "rest://op/my%20report.pdf"),
        ("attachment; filename*=UTF-8''%e2%82%ac%23%3f.pdf", "rest://op/%E2%82%AC%23_.pdf"),
        ('attachment; filename="../../../etc/passwd"', "rest://op/passwd"),
        ('attachment; filename=".."', "rest://op/answer"),
        ("inline", "rest://op/answer"),
        ("attachment; filename=a.pdf\r\nContent-Disposition: attachment; filename=b.pdf", "rest://op/a.pdf"),
    ],
)
async def test_a_file_has_the_name_that_the_server_gives_it(said: str, uri: str) -> None:
    more = f"Content-Disposition: {said}"
    value = await answered(http(b"\x00\xff", "application/pdf", "200 OK", more))
    assert value["content"][0]["resource"]["uri"] == uri


async def test_no_content_is_an_empty_text() -> None:
    value = await answered(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert value["content"] == [{"type": "text", "text": ""}]
    assert value["isError"] is False


async def test_the_answer_to_a_head_has_no_body_whatever_length_it_says() -> None:
    document = {"openapi": "3.0.0", "paths": {"/x": {"head": {}}}}
    value = await answered(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", document)
    assert value["content"] == [{"type": "text", "text": "HTTP 200 OK\nContent-Length: 500"}]


async def test_the_answer_to_a_head_is_what_its_head_says() -> None:
    document = {"openapi": "3.0.0", "paths": {"/x": {"head": {}}}}
    answer = b'HTTP/1.1 200 OK\r\nLast-Modified: Mon\r\nETag: "7"\r\nContent-Type: a/b\r\nX-Not: told\r\n\r\n'
    value = await answered(answer, document)
    assert value["content"][0]["text"] == 'HTTP 200 OK\nContent-Type: a/b\nETag: "7"\nLast-Modified: Mon'


@pytest.mark.parametrize("charset", ["ISO-8859-1", "utf-16", '"latin1"'])
async def test_json_in_another_charset_is_json(charset: str) -> None:
    body = '{"é": 9007199254740993}'.encode(charset.strip('"'))
    value = await answered(http(body, f"application/json; charset={charset}"))
    assert value["structuredContent"] == {"é": 9007199254740993}
    assert value["content"] == [{"type": "text", "text": '{"é": 9007199254740993}'}]


@pytest.mark.parametrize("charset", ["idna", "undefined", "punycode", "unicode_escape", "hex", "nonsense"])
async def test_what_is_no_charset_is_utf_8(charset: str) -> None:
    for status in ("200 OK", "500 X"):
        body = "\\x41-é".encode() + b"-a" * 50_000  # of which punycode would make much work
        value = await answered(http(body, f"text/plain; charset={charset}", status), max_error_bytes=10**6)
        assert "\\x41-é-a-a" in value["content"][0]["text"]


async def test_what_was_made_is_linked_and_the_next_page_is_told() -> None:
    made = await answered(http(b"{}", "application/json", "201 Created", "Location: /things/7"))
    assert made["content"][1]["type"] == "resource_link"
    assert made["content"][1]["uri"].endswith("/things/7")
    paged = await answered(
        http(
            b"[]", "application/json", "200 OK", 'Link: </x?page=1>; rel="first", </x?page=3&n=5>; rel="next"'
        ),
        simple(parameters=[{"name": name, "in": "query", "schema": {}} for name in ("page", "n")]),
    )
    assert paged["content"][1]["text"] == "There is more: call again with page=3, n=5"


@pytest.mark.parametrize("where", ["http://[", "//[x", "mailto:a@b", "/a b"])
async def test_what_was_made_at_no_address_was_made_all_the_same(where: str) -> None:
    value = await answered(http(b'{"id": 7}', "application/json", "201 Created", f"Location: {where}"))
    assert (value["structuredContent"], len(value["content"])) == ({"id": 7}, 1)


# --- errors of the API -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503, 599])
async def test_an_http_error_is_an_error_of_the_tool_with_status_and_body(status: int) -> None:
    value = await answered(http(b'{"why": "no"}', "application/json", f"{status} Whatever"))
    assert value["isError"] is True
    assert value["content"][0]["text"].startswith(f"HTTP {status}")
    assert value["content"][0]["text"].endswith('{"why": "no"}')
    assert value["_meta"]["portico/httpStatus"] == status


async def test_the_body_of_an_error_is_trimmed_and_binary_ones_are_not_shown() -> None:
    long = await answered(http(b"x" * 10_000, "text/plain", "500 X"), max_error_bytes=100)
    assert len(long["content"][0]["text"]) < 200
    assert "(10000 bytes)" in long["content"][0]["text"]
    binary = await answered(http(b"\x00" * 50, "image/png", "500 X"))
    assert "(50 bytes of image/png)" in binary["content"][0]["text"]


async def test_retry_after_is_told() -> None:
    value = await answered(http(b"", "", "429 Too Many Requests", "Retry-After: 7"))
    assert "Retry-After: 7" in value["content"][0]["text"]


NEARLY = [
    b'{"a": NaN}',
    b"[-Infinity, 1]",
    b"1e400",
    b'{"a": "\\ud800"}',
    b'\xef\xbb\xbf{"a": "\\udc00\\ud800"}',
]


@pytest.mark.parametrize("body", NEARLY)
async def test_what_only_some_take_for_json_is_text(body: bytes) -> None:
    value = await answered(http(body))
    assert value["content"] == [{"type": "text", "text": body.decode()}]
    assert "structuredContent" not in value
    assert value["isError"] is False


@pytest.mark.parametrize("body", NEARLY)
async def test_where_json_is_promised_it_is_an_error_with_that_text(body: bytes) -> None:
    value = await answered(http(body), simple(**JSON), output="full")
    assert value["isError"] is True
    assert value["content"][-1] == {"type": "text", "text": body.decode()}
    assert "structuredContent" not in value


@pytest.mark.parametrize("body", [b"NaNo", b"{a: NaN}", b"{'a': NaN}", b'{"a": NaN', "NaN".encode("utf-16")])
async def test_what_nobody_takes_for_json_is_still_none(body: bytes) -> None:
    assert reason(await refused(http(body))) == "bad_json"


# --- the failure table -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "why"),
    [
        (http(b'{"a":'), UPSTREAM_BAD_RESPONSE, "bad_json"),
        (http(b'"\xff"'), UPSTREAM_BAD_RESPONSE, "bad_json"),
        (http(b"[" * 1900 + b"]" * 1900), UPSTREAM_BAD_RESPONSE, "bad_json"),
        (http(b"<html>", "text/html"), UPSTREAM_BAD_RESPONSE, "wrong_content_type"),
        (http(b"x" * 5000), UPSTREAM_BAD_RESPONSE, "message_too_large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", UPSTREAM_BAD_RESPONSE, "answer_cut_short"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            UPSTREAM_BAD_RESPONSE,
            "answer_cut_short",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100\r\n\r\ndata: 1\n",
            UPSTREAM_BAD_RESPONSE,
            "answer_cut_short",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: " + b"1" * 9000 + b"\n\n",
            UPSTREAM_BAD_RESPONSE,
            "message_too_large",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 0\r\n\r\n",
            UPSTREAM_BAD_RESPONSE,
            "encoded_body",
        ),
        (b"not http at all\r\n\r\n", UPSTREAM_BAD_RESPONSE, "not_http"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, UPSTREAM_BAD_RESPONSE, "head_too_large"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n",
            UPSTREAM_BAD_RESPONSE,
            "redirect",
        ),
        (b"", UPSTREAM_UNAVAILABLE, "connection_lost"),
    ],
)
async def test_an_answer_of_no_use_fails_that_call_with_a_reason(answer: bytes, code: int, why: str) -> None:
    found = await refused(answer, simple(**JSON), max_response_bytes=4096, max_stream_bytes=4096)
    assert (found.code, reason(found)) == (code, why)


async def test_a_call_that_takes_too_long_ends_and_closes_its_connection() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()  # until the other side closes
        if asked.is_set():
            gone.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = {"op": OperationSettings(timeout=0.1)}
    async with server, running(openapi_inline=simple(), base_url=origin, operations=settings) as up:
        while not asked.is_set():  # on a machine with much to do, a call may not get that far
            with pytest.raises(Refused) as found:
                await up.send(call("op"))
            assert (found.value.code, reason(found.value)) == (UPSTREAM_TIMEOUT, "call_timeout")
        await asyncio.wait_for(gone.wait(), 30)


async def test_cancelling_a_call_closes_its_connection() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        try:
            await reader.read()
        except ConnectionError:
            pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, running(openapi_inline=simple(), base_url=origin) as up:
        task = asyncio.create_task(up.send(call("op")))
        await asyncio.wait_for(asked.wait(), 30)
        task.cancel()
        await asyncio.wait_for(gone.wait(), 30)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nobody_listening_and_no_such_name_are_told_apart() -> None:
    for base, why in (
        ("http://127.0.0.1:9", "connection_refused"),
        ("http://nothing.invalid", "name_not_found"),
    ):
        async with running(openapi_inline=simple(), base_url=base) as up:
            with pytest.raises(Refused) as found:
                await up.send(call("op"))
            assert (found.value.code, reason(found.value)) == (UPSTREAM_UNAVAILABLE, why)
            with pytest.raises(Refused):
                await up.upstream.probe()


async def test_a_failed_call_does_not_touch_the_next() -> None:
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", http(b"{}")]
    async with raw(answers) as server, running(openapi_inline=simple(), base_url=server.origin) as up:
        with pytest.raises(Refused):
            await up.send(call("op"))
        assert text(await up.send(call("op"))) == "{}"


# --- a schema that lies ----------------------------------------------------------------------------


async def test_an_answer_that_is_not_what_the_output_schema_says_is_an_error_with_the_answer_in_it() -> None:
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    document = simple(responses={"200": {"content": {"application/json": {"schema": schema}}}})
    value = await answered(http(b'{"id": "seven"}'), document, output="full")
    assert value["isError"] is True
    assert "id: " in value["content"][0]["text"]
    assert value["content"][1]["text"] == '{"id": "seven"}'
    fine = await answered(http(b'{"id": 7}'), document, output="full")
    assert (fine["isError"], fine["structuredContent"]) == (False, {"id": 7})


# --- addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "localhost"]
)
async def test_a_forbidden_address_is_never_connected_to_however_it_is_spelt(host: str) -> None:
    async with raw(http(b"{}")) as server:
        port = server.origin.rpartition(":")[2]
        async with running(
            openapi_inline=simple(), base_url=f"http://{host}:{port}", allow_private=False
        ) as up:
            with pytest.raises(Refused) as found:
                await up.send(call("op"))
            assert found.value.code == UPSTREAM_UNAVAILABLE
            assert reason(found.value).startswith("address_not_allowed")
        assert server.connections == 0


async def test_the_server_of_a_document_is_judged_as_any_other() -> None:
    async with raw(http(b"{}")) as server:
        document = simple(servers=[{"url": server.origin}])
        async with running(openapi_inline=document, allow_private=False) as up:
            with pytest.raises(Refused, match="not available"):
                await up.send(call("op"))
        assert server.connections == 0


async def test_a_document_at_a_forbidden_address_is_not_asked_for() -> None:
    async with raw(http(b"{}")) as server:
        async with running(openapi=f"{server.origin}/openapi.json", allow_private=False) as up:
            assert up.upstream.state == "unavailable"
            assert "address_not_allowed" in up.upstream.reason
        assert server.connections == 0


async def test_a_name_that_turns_to_a_forbidden_address_is_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with raw([http(b"{}", "application/json", "200 OK", "Connection: close")]) as server:
        port = int(server.origin.rpartition(":")[2])
        turns = [["127.0.0.1"], ["127.0.0.1", "169.254.169.254"]]

        async def resolve(host: str, port: int, **_: Any) -> Any:
            found = turns.pop(0) if host == "api.test" else [host]  # uvloop asks of addresses, too
            return [(2, 1, 6, "", (address, port)) for address in found]

        async with running(openapi_inline=simple(), base_url=f"http://api.test:{port}") as up:
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
            await up.send(call("op"))
            with pytest.raises(Refused) as found:
                await up.send(call("op"))
        assert reason(found.value).startswith("address_not_allowed")
        assert server.connections == 1


# --- redirects -------------------------------------------------------------------------------------


def moved(where: str) -> bytes:
    return http(b"", "", "302 Found", f"Location: {where}", "Connection: close")


async def test_a_redirect_is_followed_only_as_often_as_configured_and_without_headers_elsewhere() -> None:
    async with raw(http(b'{"there":1}')) as other, raw(moved(f"{other.origin}/y?z=1")) as server:
        config: Json = {"openapi_inline": simple(), "base_url": server.origin, "query": {}, "redirects": 1}
        async with running(**config, pass_headers={"x-t": "X-T"}) as up:
            result = await up.send(call("op", headers={"x-t": "secret"}))
        assert text(result) == '{"there":1}'
        assert b"X-T: secret" in server.heads[0]
        assert other.heads[0].startswith(b"GET /y?z=1 HTTP/1.1\r\n")
        assert b"secret" not in other.heads[0]


@pytest.mark.parametrize(
    "where", ["ftp://x.test/", "http://u:p@x.test/", "", "/loop", "http://169.254.169.254/latest"]
)
async def test_a_redirect_that_may_not_be_followed_is_a_failure(where: str) -> None:
    found = await refused(moved(where), redirects=3)
    assert found.code in (UPSTREAM_BAD_RESPONSE, UPSTREAM_UNAVAILABLE)
    assert reason(found).partition(" ")[0] in ("redirect", "address_not_allowed")


@pytest.mark.parametrize(
    "where", ["http://[", "http://api.test/y", "//api.test:0/y", "http://api.test\\@evil.test/", "/y z"]
)
async def test_a_redirect_gives_up_neither_tls_nor_sound_addresses(where: str) -> None:
    answer = Answer(100, asyncio.get_running_loop())
    answer.headers = {b"location": where.encode()}
    with pytest.raises(Unusable):
        redirected(Request("GET", "https://api.test", "/x", {}, None), answer)


async def test_a_post_is_never_sent_twice_by_a_redirect() -> None:
    document = {"openapi": "3.0.0", "paths": {"/x": {"post": {"operationId": "op"}}}}
    async with raw(moved("/y")) as server:
        async with running(openapi_inline=document, base_url=server.origin, redirects=3) as up:
            with pytest.raises(Refused) as found:
                await up.send(call("op"))
        assert reason(found.value) == "redirect"
        assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("/v2/x?token=s3cret#top", "/v2/x"),
        ("", ""),
        ("y", "/y"),
        ("?page=2", "/x"),
        ("/login;jsessionid=s3cret", "/login"),
        ("https://api.test:443/new", "/new"),
        ("http://api.test/x", "http://api.test/x"),
        ("https://user:s3cret@www.example.com/x", "https://www.example.com/x"),
        ("//www.example.com:8443", "https://www.example.com:8443/"),
        ("https://93.184.216.34/x", "https://93.184.216.34/x"),
        ("https://[2606:4700::1111]/x", "https://[2606:4700::1111]/x"),
        *(
            (f"http://{host}/x", "")
            for host in (
                "127.0.0.1",
                "10.1.2.3:8080",
                "169.254.169.254",
                "0x7f.1",
                "2130706433",
                "[::1]",
                "[::ffff:10.0.0.1]",
                "localhost",
                "intranet",
                "db.internal",
                "printer.local",
                "db.internal.",
                "a b.example.com",
                "[",
                "x:99999",
            )
        ),
        ("file:///etc/passwd", ""),
        ("javascript:alert(1)", ""),
        ("/é", ""),
        ("/a b", ""),
        ("/" + "x" * 300, ""),
    ],
)
def test_of_where_a_redirect_leads_only_what_is_public_is_told(where: str, told: str) -> None:
    assert redirects.told(Request("GET", "https://api.test", "/x", {}, None), where) == told


@pytest.mark.parametrize("redirects", [0, 1])
async def test_a_redirect_that_is_not_followed_says_where_it_led(redirects: int) -> None:
    async with (
        raw([moved("/y"), moved("https://www.example.com/z?k=s3cret")][1 - redirects :]) as server,
        running(openapi_inline=simple(), base_url=server.origin, redirects=redirects) as up,
    ):
        with pytest.raises(Refused) as found:
            await up.send(call("op"))
    assert reason(found.value) == "redirect"
    assert found.value.data["gateway"]["location"] == "https://www.example.com/z"
    assert len(server.heads) == 1 + redirects


async def test_a_redirect_to_a_private_address_says_nothing_of_it() -> None:
    found = await refused(moved("http://10.0.0.1/x"))
    assert "location" not in found.data["gateway"]
