"""Parts of A2A messages as content blocks of MCP, and back."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from a2a.types import Message, Part

from portico.api import Json
from portico_plugins.a2a.parts import content_of, is_web, part_of
from portico_plugins.a2a.protojson import BadJson, from_json, to_json
from portico_plugins.a2a.states import plain

PNG = base64.b64encode(b"\x89PNG").decode()

BOTH_WAYS: list[tuple[Json, Json]] = [
    ({"text": "hello"}, {"type": "text", "text": "hello"}),
    (
        {"raw": PNG, "mediaType": "image/png"},
        {"type": "image", "data": PNG, "mimeType": "image/png"},
    ),
    (
        {"raw": PNG, "mediaType": "audio/wav"},
        {"type": "audio", "data": PNG, "mimeType": "audio/wav"},
    ),
    (
        {"raw": PNG, "mediaType": "application/pdf", "filename": "a.pdf"},
        {
            "type": "resource",
            "resource": {"uri": "a2a://a.pdf", "mimeType": "application/pdf", "blob": PNG},
        },
    ),
    (
        {"url": "https://files.test/a%20b.csv", "mediaType": "text/csv", "filename": "a b.csv"},
        {
            "type": "resource_link",
            "uri": "https://files.test/a%20b.csv",
            "name": "a b.csv",
            "mimeType": "text/csv",
        },
    ),
    (
        {"text": "hi", "metadata": {"lang": "en"}},
        {"type": "text", "text": "hi", "_meta": {"a2a-protocol.org/metadata": {"lang": "en"}}},
    ),
]


@pytest.mark.parametrize(("part", "block"), BOTH_WAYS)
def test_a_part_is_a_content_block_and_that_the_same_part_again(part: Json, block: Json) -> None:
    assert content_of(part, "a2a://a.pdf") == block
    assert part_of(block) == part
    assert to_json(from_json(part, Part)) == part


@pytest.mark.parametrize(
    "odd", ["image/png\r\nX-Evil: 1", "image/\x1b[2J", "image/" + "x" * 300, "image/\u202e"]
)
def test_a_media_type_that_is_none_is_left_out(odd: str) -> None:
    block = content_of({"raw": PNG, "mediaType": odd}, "a2a://x")
    kept = {"uri": "a2a://x", "mimeType": "application/octet-stream", "blob": PNG}
    assert block == {"type": "resource", "resource": kept}
    assert "mimeType" not in content_of({"url": "https://files.test/a", "mediaType": odd}, "a2a://x")


def test_data_is_shown_as_its_json() -> None:
    block = content_of({"data": {"a": [1, 2.5, None]}}, "a2a://x")
    assert block == {"type": "text", "text": '{"a":[1,2.5,null]}'}


def test_an_image_that_can_carry_script_is_no_image() -> None:
    block = content_of({"raw": PNG, "mediaType": "image/svg+xml"}, "a2a://x/1")
    assert block["type"] == "resource"


def test_bytes_of_no_type_are_just_bytes() -> None:
    block = content_of({"raw": PNG}, "a2a://x/1")
    assert block["resource"]["mimeType"] == "application/octet-stream"


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "javascript:alert(1)", "https://u:p@h/", "http://h/\n", "http://[", "//h/x", ""],
)
def test_what_is_no_address_of_the_web_is_no_link(url: str) -> None:
    assert not is_web(url)
    assert content_of({"url": url}, "a2a://x") == {"type": "text", "text": url}


@pytest.mark.parametrize("data", ["###", "eA", None, 5])
def test_bytes_that_are_not_base64_are_no_part(data: Any) -> None:
    with pytest.raises(ValueError, match="base64"):
        part_of({"type": "image", "data": data, "mimeType": "image/png"})
    with pytest.raises(ValueError, match="base64"):
        part_of({"type": "resource", "resource": {"uri": "a:b", "blob": data}})


def test_a_kind_of_content_nobody_knows_is_data() -> None:
    assert part_of({"type": "hologram", "depth": 3}) == {"data": {"type": "hologram", "depth": 3}}


def test_an_embedded_text_keeps_its_name_and_type() -> None:
    resource = {"uri": "file:///w/read.me?x#y", "mimeType": "text/markdown", "text": "# hi"}
    block = {"type": "resource", "resource": resource}
    assert part_of(block) == {"text": "# hi", "mediaType": "text/markdown", "filename": "read.me"}


@pytest.mark.parametrize("value", [5, -3, 0, 2.5, 2**53, "5", None, True, [1, {"a": 2}]])
def test_numbers_in_data_are_what_they_were(value: Any) -> None:
    back = to_json(from_json({"data": {"v": value}}, Part))["data"]["v"]
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("wrong", [{"text": 5}, {"text": "a", "url": "b"}, {"nothing": 1}, {"metadata": "x"}])
def test_what_is_no_part_is_refused(wrong: Json) -> None:
    with pytest.raises(BadJson):
        from_json(wrong, Part)


def test_members_of_a_later_protocol_are_passed_over_when_asked_for() -> None:
    made = from_json({"messageId": "m", "holograms": []}, Message, lenient=True)
    assert made.message_id == "m"


def test_a_state_is_told_in_plain_words() -> None:
    assert plain("TASK_STATE_INPUT_REQUIRED") == "input_required"
    assert plain("") == ""
