"""Bodies given flat: their members as arguments."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs
import pytest

from portico.api import Json
from portico_plugins.upstreams.rest.config import HandParameter, HandTool, OperationSettings
from tests.plugins.upstreams.kit import call, serving, text
from tests.plugins.upstreams.rest.kit import echo, running

PET = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "tag": {"type": ["string", "null"]},
        "id": {"type": "integer"},
    },
}


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    async with serving(echo) as found:
        yield found


def document(
    schema: Any, media_type: str = "application/json", *, required: bool = True, **more: Any
) -> Json:
    body = {"required": required, "content": {media_type: {"schema": schema}}}
    pet = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    operation = {"operationId": "op", "parameters": [pet], "requestBody": body}
    return {"openapi": "3.1.0", "paths": {"/pets/{id}": {"put": operation}}, **more}


async def schema_of(body: Any, origin: str = "http://127.0.0.1:9", **config: Any) -> Json:
    async with running(openapi_inline=body, base_url=origin, body="flat", **config) as up:
        (definition,) = up.upstream.offer.tools
        schema: Json = definition["inputSchema"]
        jsonschema_rs.Draft202012Validator(schema, offline=True)
        return schema


async def arrived(origin: str, of: Json, arguments: Json, **config: Any) -> tuple[str, bytes]:
    """The path and the body that arrive."""
    config.setdefault("body", "flat")
    async with running(openapi_inline=of, base_url=origin, **config) as up:
        result = await up.send(call("op", arguments))
        assert not result.value.get("isError"), text(result)
        found = result.value["structuredContent"]
        return found["path"], base64.b64decode(found["body"])


async def test_members_are_arguments_and_a_name_in_two_places_says_where_it_goes(origin: str) -> None:
    schema = await schema_of(document(PET))
    assert set(schema["properties"]) == {"id__path", "id__body", "name", "tag"}
    assert schema["required"] == ["id__path", "name"]
    path, body = await arrived(origin, document(PET), {"id__path": "7", "id__body": 7, "name": "Rex"})
    assert (path, json.loads(body)) == ("/pets/7", {"id": 7, "name": "Rex"})


async def test_null_is_a_value_in_a_body_and_what_is_not_given_is_not_sent(origin: str) -> None:
    _, body = await arrived(origin, document(PET), {"id__path": "7", "name": "Rex", "tag": None})
    assert json.loads(body) == {"name": "Rex", "tag": None}


async def test_it_is_whole_by_default_and_an_operation_can_differ(origin: str) -> None:
    given = {"id": "7", "body": {"name": "Rex"}}
    assert json.loads((await arrived(origin, document(PET), given, body="whole"))[1]) == {"name": "Rex"}
    one = {"op": OperationSettings(body="whole")}
    assert json.loads((await arrived(origin, document(PET), given, operations=one))[1]) == {"name": "Rex"}
    one = {"op": OperationSettings(body="flat")}
    flat = {"id__path": "7", "name": "Rex"}
    assert json.loads((await arrived(origin, document(PET), flat, body="whole", operations=one))[1]) == {
        "name": "Rex"
    }


async def test_parts_and_references_are_put_together_and_read_only_members_left_out() -> None:
    base = {
        "type": "object",
        "required": ["kind", "made"],
        "properties": {"kind": {"$ref": "#/components/schemas/Kind"}},
    }
    base["properties"]["made"] = {"type": "string", "readOnly": True}
    whole = {"allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": {"size": {"type": "integer"}}}]}
    components = {"schemas": {"Base": base, "Kind": {"enum": ["cat"]}}}
    schema = await schema_of(document(whole, components=components))
    assert set(schema["properties"]) == {"id", "kind", "size"}
    assert schema["required"] == ["id", "kind"]
    assert schema["$defs"] == {"Kind": {"enum": ["cat"]}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {}},
        {"type": ["object", "null"], "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}]},
        {"type": "object", "properties": {"a": {}}, "minProperties": 1},
        {"allOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"a": {"type": "integer"}}}]},
        {"type": "object"},
        {},
    ],
)
async def test_what_would_not_say_the_same_stays_whole(schema: Json) -> None:
    assert set((await schema_of(document(schema)))["properties"]) == {"id", "body"}


async def test_a_body_that_need_not_be_is_sent_only_if_a_member_is_given(origin: str) -> None:
    optional = document(PET, required=False)
    schema = await schema_of(optional)
    assert schema["required"] == ["id__path"]
    assert schema["dependentRequired"] == {"tag": ["name"], "id__body": ["name"]}
    assert await arrived(origin, optional, {"id__path": "7"}) == ("/pets/7", b"")
    assert json.loads((await arrived(origin, optional, {"id__path": "7", "name": "R"}))[1]) == {"name": "R"}
    async with running(openapi_inline=optional, base_url=origin, body="flat") as up:
        assert (await up.send(call("op", {"id__path": "7", "tag": "x"}))).value["isError"] is True
    empty = document({"type": "object", "properties": {"a": {}}})
    assert json.loads((await arrived(origin, empty, {"id": "7"}))[1]) == {}


async def test_members_can_be_fixed_and_have_defaults(origin: str) -> None:
    own = {"op": OperationSettings(fixed={"name": "Rex"}, defaults={"tag": "good", "id__body": 1})}
    schema = await schema_of(document(PET), operations=own)
    assert set(schema["properties"]) == {"id__path", "id__body", "tag"}
    assert schema["properties"]["tag"]["default"] == "good"
    assert schema["required"] == ["id__path"]
    _, body = await arrived(origin, document(PET), {"id__path": "7", "id__body": 2}, operations=own)
    assert json.loads(body) == {"name": "Rex", "tag": "good", "id": 2}


async def test_forms_and_files_are_flat_as_well(origin: str) -> None:
    form = document(PET, "application/x-www-form-urlencoded")
    _, body = await arrived(origin, form, {"id__path": "7", "name": "a b", "id__body": 3})
    assert sorted(parse_qsl(body.decode())) == [("id", "3"), ("name", "a b")]
    photo = {"type": "object", "properties": {"photo": {"type": "string", "format": "binary"}}}
    many = document(photo, "multipart/form-data")
    assert set((await schema_of(many))["properties"]["photo"]["properties"]) >= {"base64", "filename"}
    _, body = await arrived(origin, many, {"id": "7", "photo": {"text": "hi", "filename": "a.txt"}})
    assert b'name="photo"; filename="a.txt"' in body


async def test_a_tool_by_hand_is_flat_too(origin: str) -> None:
    hand = HandTool(
        method="POST", path="/p/{id}", parameters=(HandParameter(name="id", location="path"),), body=PET
    )
    async with running(tools={"op": hand}, base_url=origin, body="flat") as up:
        result = await up.send(call("op", {"id__path": "1", "name": "Rex"}))
        assert json.loads(base64.b64decode(result.value["structuredContent"]["body"])) == {"name": "Rex"}
