"""Documents become tools: names, selection, schemas and what is refused, without any I/O."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import pytest

from portico.api import Json
from portico_plugins.upstreams.rest.config import (
    HandParameter,
    HandTool,
    Match,
    OperationSettings,
    RestConfig,
)
from portico_plugins.upstreams.rest.document import Document, Unfit, parse
from portico_plugins.upstreams.rest.inputs import FILE
from portico_plugins.upstreams.rest.selection import by_hand
from portico_plugins.upstreams.rest.tools import Tools, tools_of


def document(paths: Json, version: str = "3.1.0", **more: Any) -> Document:
    return Document({"openapi": version, "servers": [{"url": "http://api.test/v1"}], "paths": paths, **more})


def made(of: Document, **config: Any) -> Tools:
    return tools_of(
        of, RestConfig(openapi="http://api.test/openapi.json", **config), "http://api.test/openapi.json"
    )


def only(paths: Json, version: str = "3.1.0", config: Json | None = None, **more: Any) -> Json:
    """The input schema of the only tool there is, which compiles."""
    tools = made(document(paths, version, **more), **(config or {}))
    assert not tools.skipped
    (tool,) = tools.tools.values()
    schema: Json = tool.definition["inputSchema"]
    jsonschema_rs.Draft202012Validator(schema, offline=True)
    return schema


def query(schema: Any) -> Json:
    return {"/x": {"get": {"parameters": [{"name": "q", "in": "query", "schema": schema}]}}}


def posted(schema: Any, media_type: str = "application/json") -> Json:
    return {"/x": {"post": {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}}}


# --- names -----------------------------------------------------------------------------------------


def test_an_operation_id_becomes_a_legal_name_and_a_missing_one_is_made_of_method_and_path() -> None:
    tools = made(
        document(
            {
                "/pets": {"get": {"operationId": "pets/list all"}},
                "/pets/{petId}/toys": {"post": {}},
                "/long": {"get": {"operationId": "x" * 80}},
            }
        )
    )
    assert set(tools.tools) >= {"pets_list_all", "post_pets_by_petId_toys"}
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in tools.tools)


def test_names_that_would_be_the_same_differ_and_do_not_depend_on_the_order() -> None:
    paths = {
        f"/{each}": {"get": {"operationId": op}} for each, op in (("a", "Get"), ("b", "get"), ("c", "g e t"))
    }
    one = {tool.path: name for name, tool in made(document(paths)).tools.items()}
    other = {tool.path: name for name, tool in made(document(dict(reversed(paths.items())))).tools.items()}
    assert one == other
    assert len({name.lower() for name in one.values()}) == 3


def test_a_parameter_in_two_places_is_two_arguments_and_odd_names_are_made_legal() -> None:
    found = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        {"name": "id", "in": "query", "schema": {"type": "string"}},
        {"name": "filter[name]", "in": "query", "schema": {"type": "string"}},
    ]
    schema = only({"/x/{id}": {"get": {"parameters": found}}})
    assert list(schema["properties"]) == ["id__path", "id__query", "filter_name_"]
    assert schema["required"] == ["id__path"]


# --- selection -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, {"a", "b", "c"}),
        ({"include": (Match(tags=("pets",)),)}, {"a", "b"}),
        ({"include": (Match(tags=("pets",), methods=("get",)),)}, {"a"}),
        ({"include": (Match(operations=("[bc]",)),)}, {"b", "c"}),
        ({"include": (Match(paths=("/pets*",)), Match(operations=("c",)))}, {"a", "b", "c"}),
        ({"exclude": (Match(methods=("POST",)),)}, {"a", "c"}),
    ],
)
def test_only_what_is_selected_becomes_tools(config: Json, names: set[str]) -> None:
    paths = {
        "/pets": {
            "get": {"operationId": "a", "tags": ["pets"]},
            "post": {"operationId": "b", "tags": ["pets"]},
        },
        "/toys": {"get": {"operationId": "c", "tags": ["toys"]}},
    }
    assert set(made(document(paths), **config).tools) == names


def test_more_operations_than_allowed_are_refused_before_anything_is_converted() -> None:
    paths = {f"/{each}": {"get": {}} for each in range(3)}
    with pytest.raises(Unfit, match="3 operations are more than `max_tools`"):
        made(document(paths), max_tools=2)


# --- schemas ---------------------------------------------------------------------------------------

SCHEMAS: Json = {
    "Node": {
        "type": "object",
        "properties": {"next": {"$ref": "#/components/schemas/Node"}, "x": {"type": "string"}},
    },
    "Unused": {"type": "string"},
    "a/b{c}": {"type": "integer"},
}


def test_only_what_can_be_reached_is_in_defs_and_recursion_stays() -> None:
    schema = only(posted({"$ref": "#/components/schemas/Node"}), components={"schemas": SCHEMAS})
    assert list(schema["$defs"]) == ["Node"]
    check = jsonschema_rs.Draft202012Validator(schema, offline=True)
    assert check.is_valid({"body": {"next": {"next": {"x": "deep"}}}})
    assert not check.is_valid({"body": {"next": {"next": {"x": 1}}}})


def test_a_reference_with_escapes_and_percent_signs_is_followed() -> None:
    schema = only(posted({"$ref": "#/components/schemas/a~1b%7Bc%7D"}), components={"schemas": SCHEMAS})
    assert list(schema["$defs"].values()) == [{"type": "integer"}]


@pytest.mark.parametrize(
    "ref", ["http://elsewhere.test/x.json", "other.yaml#/X", "#/components/schemas/Nothing"]
)
def test_a_schema_that_is_elsewhere_may_be_anything_and_is_not_fetched(ref: str) -> None:
    schema = only(query({"$ref": ref}))
    assert jsonschema_rs.Draft202012Validator(schema, offline=True).is_valid({"q": [1]})


def test_a_schema_that_is_a_part_of_itself_is_cut_there() -> None:
    schemas = {
        "A": {"allOf": [{"$ref": "#/components/schemas/B"}]},
        "B": {"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "string"}]},
        "C": {"$ref": "#/components/schemas/C"},
    }
    for name in schemas:
        schema = only(posted({"$ref": f"#/components/schemas/{name}"}), components={"schemas": schemas})
        jsonschema_rs.Draft202012Validator(schema, offline=True).is_valid({"body": "x"})


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
            {"type": "integer", "exclusiveMinimum": 1},
        ),
        (
            {"allOf": [{"type": "string"}], "nullable": True},
            {"anyOf": [{"allOf": [{"type": "string"}]}, {"type": "null"}]},
        ),
        ({"type": "string", "example": "x", "xml": {}, "title": "X", "x-more": 1}, {"type": "string"}),
        ({"type": "any", "required": True, "minLength": -1, "pattern": "("}, {}),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        ),
        ({"type": "string", "enum": []}, {"type": "string"}),
        (
            {"type": "object", "allOf": [{"type": "object"}], "nullable": True},
            {"anyOf": [{"type": "object", "allOf": [{"type": "object"}]}, {"type": "null"}]},
        ),
        (
            {"type": "string", "anyOf": [{"type": "string"}], "nullable": True},
            {"anyOf": [{"type": "string", "anyOf": [{"type": "string"}]}, {"type": "null"}]},
        ),
        (
            {"oneOf": [{"type": "string"}], "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
    ],
)
def test_a_schema_of_openapi_3_0_is_said_in_today_s_words(said: Json, meant: Json) -> None:
    assert only(query(said), "3.0.3")["properties"]["q"] == meant


def test_what_is_read_only_is_not_asked_for_and_what_is_write_only_not_promised() -> None:
    node = {
        "type": "object",
        "required": ["id", "name"],
        "properties": {
            "id": {"type": "string", "readOnly": True},
            "name": {"type": "string"},
            "key": {"type": "string", "writeOnly": True},
        },
    }
    paths = posted(node)
    paths["/x"]["post"]["responses"] = {"200": {"content": {"application/json": {"schema": node}}}}
    (tool,) = made(document(paths), output="full").tools.values()
    given = tool.definition["inputSchema"]["properties"]["body"]
    assert set(given["properties"]) == {"name", "key"}
    assert given["required"] == ["name"]
    assert set(tool.definition["outputSchema"]["properties"]) == {"id", "name"}


def test_what_is_read_only_in_one_part_is_not_required_by_another() -> None:
    pet = {
        "type": "object",
        "properties": {"id": {"readOnly": True}, "key": {"writeOnly": True}, "name": {"type": "string"}},
    }
    node = {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"required": ["id", "key", "name"]}]}
    paths = posted(node)
    paths["/x"]["post"]["responses"] = {
        "200": {"content": {"application/json": {"schema": {"type": "object", **node}}}}
    }
    (tool,) = made(document(paths, components={"schemas": {"Pet": pet}}), output="full").tools.values()
    assert tool.definition["inputSchema"]["properties"]["body"]["allOf"][1] == {"required": ["key", "name"]}
    assert tool.definition["outputSchema"]["allOf"][1] == {"required": ["id", "name"]}


def test_parts_do_not_forbid_what_other_parts_have() -> None:
    animal = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "additionalProperties": False,
        "required": ["name"],
    }
    own = {"type": "object", "properties": {"barks": {"type": "boolean"}}, "additionalProperties": False}
    schemas = {
        "Animal": animal,
        "Dog": {"allOf": [{"$ref": "#/components/schemas/Animal"}, own]},
        "Puppy": {"allOf": [{"$ref": "#/components/schemas/Dog"}], "properties": {"weeks": {}}},
        "Named": {"allOf": [{"$ref": "#/components/schemas/Animal"}], "description": "As it is."},
        "Loop": {**own, "allOf": [{"$ref": "#/components/schemas/Loop"}] * 3, "properties": {"a": {}}},
    }

    def fits(name: str, value: Any) -> bool:
        schema = only(posted({"$ref": f"#/components/schemas/{name}"}), components={"schemas": schemas})
        return jsonschema_rs.Draft202012Validator(schema, offline=True).is_valid({"body": value})

    assert fits("Dog", {"name": "Rex", "barks": True})
    assert not fits("Dog", {"barks": True})
    assert not fits("Dog", {"name": "Rex", "barks": 1})
    assert fits("Puppy", {"name": "Rex", "barks": True, "weeks": 3})
    assert fits("Named", {"name": "Rex"})
    assert not fits("Named", {"name": "Rex", "barks": True})  # alone, it says what it means
    assert fits("Loop", {"a": 1})


def test_what_a_discriminator_maps_is_said_in_each_of_several_schemas() -> None:
    kind = {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}}}
    schemas = {
        "Cat": kind,
        "Dog": kind,
        "Cow": kind,
        "Pig": {"type": "object", "properties": {"kind": {"enum": ["pig"]}}},
    }
    given = {
        "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in schemas],
        "discriminator": {
            "propertyName": "kind",
            "mapping": {"cat": "#/components/schemas/Cat", "tom": "Cat", "dog": "Dog", "p": "Pig"},
        },
    }
    schema = only(posted(given), components={"schemas": schemas})
    assert schema["properties"]["body"]["anyOf"] == [
        {"$ref": "#/$defs/Cat", "properties": {"kind": {"enum": ["cat", "tom"]}}},
        {"$ref": "#/$defs/Dog", "properties": {"kind": {"enum": ["dog"]}}},
        {"$ref": "#/$defs/Cow"},
        {"$ref": "#/$defs/Pig"},
    ]


def test_output_schemas_are_off_unless_asked_for_and_short_when_compact() -> None:
    wide = {f"p{each}": {"type": "object", "description": "long " * 40} for each in range(200)}
    paths = query({"type": "string"})
    schema = {"type": "object", "properties": wide}
    paths["/x"]["get"]["responses"] = {"2XX": {"content": {"application/json": {"schema": schema}}}}
    sizes = {}
    for output in ("off", "compact", "full"):
        (tool,) = made(document(paths), output=output).tools.values()
        sizes[output] = len(str(tool.definition.get("outputSchema", "")))
    assert sizes["off"] == 0 < sizes["compact"] < sizes["full"]


@pytest.mark.parametrize(
    ("answers", "promises"),
    [
        ({"200": "a"}, True),
        ({"200": "a", "404": "b", "default": "b"}, True),
        ({"default": "a"}, True),
        ({"200": "a", "201": "a"}, True),
        ({"200": "a", "202": "b"}, False),
        ({"200": "a", "204": ""}, False),
    ],
)
def test_only_what_is_sure_to_come_back_is_promised(answers: dict[str, str], promises: bool) -> None:
    def answer(name: str) -> Json:
        schema = {"type": "object", "properties": {name: {}}}
        return {"content": {"application/json": {"schema": schema}}} if name else {"description": "Nothing."}

    said = {code: answer(name) for code, name in answers.items()}
    (tool,) = made(document({"/x": {"get": {"responses": said}}}), output="full").tools.values()
    assert ("outputSchema" in tool.definition) is promises
    assert tool.answers_json


def test_a_large_schema_is_shortened_and_takes_what_the_whole_one_takes() -> None:
    schemas = {
        f"S{each}": {
            "type": "object",
            "description": "d" * 300,
            "properties": {"a": {"$ref": f"#/components/schemas/S{each + 1}"}, "b": {"type": "string"}},
        }
        for each in range(100)
    }
    paths = posted({"$ref": "#/components/schemas/S0"})
    schema = only(paths, config={"max_schema_bytes": 4096}, components={"schemas": schemas})
    assert len(str(schema)) < 4096
    check = jsonschema_rs.Draft202012Validator(schema, offline=True)
    deep: Json = {"b": "x"}
    for _ in range(40):
        deep = {"a": deep}
    assert check.is_valid({"body": deep})
    assert not check.is_valid({"body": {"b": 1}})


def test_what_is_shortened_does_not_refuse_what_was_left_out() -> None:
    inner: Json = {
        "type": "object",
        "properties": {"leaf": {"type": "string"}},
        "additionalProperties": False,
    }
    for _ in range(8):
        wide = {f"p{each}": {"type": "object", "properties": {"x": {"type": "string"}}} for each in range(20)}
        inner = {"type": "object", "properties": {"n": inner, **wide}, "additionalProperties": False}
    schema = only(posted(inner), config={"max_schema_bytes": 2048})
    value: Json = {"leaf": "x"}
    for _ in range(8):
        value = {"n": value, "p1": {"x": "y"}}
    assert jsonschema_rs.Draft202012Validator(schema, offline=True).is_valid({"body": value})


def test_a_pattern_that_cannot_be_used_does_not_close_the_object() -> None:
    node = {
        "type": "object",
        "patternProperties": {"(": {}, "^a": {"type": "string"}},
        "additionalProperties": False,
    }
    schema = only(posted(node))
    check = jsonschema_rs.Draft202012Validator(schema, offline=True)
    assert check.is_valid({"body": {"b": 1, "a": "x"}})
    assert not check.is_valid({"body": {"a": 1}})


def test_unknown_arguments_are_refused() -> None:
    assert not jsonschema_rs.Draft202012Validator(only(query({"type": "string"})), offline=True).is_valid(
        {"r": "x"}
    )


# --- bodies ----------------------------------------------------------------------------------------


def test_of_several_media_types_the_one_that_can_be_checked_best_is_sent() -> None:
    content = {
        name: {"schema": {}} for name in ("text/plain", "multipart/form-data", "application/vnd.x+json")
    }
    (tool,) = made(document({"/x": {"post": {"requestBody": {"content": content}}}})).tools.values()
    assert tool.body is not None
    assert tool.body.media_type == "application/vnd.x+json"


def test_files_in_a_form_and_a_binary_body_are_file_arguments() -> None:
    form = {
        "type": "object",
        "properties": {"f": {"type": "string", "format": "binary"}, "n": {"type": "string"}},
    }
    schema = only(posted(form, "multipart/form-data"))
    assert schema["properties"]["body"]["properties"] == {"f": FILE, "n": {"type": "string"}}
    assert only(posted({}, "application/octet-stream"))["properties"]["body"] == FILE
    assert only(posted(form["properties"]["f"], "*/*"))["properties"]["body"] == FILE
    assert only(posted({"type": "object"}, "*/*"))["properties"]["body"] == {"type": "object"}


def test_a_file_that_need_not_be_there_is_a_file_all_the_same() -> None:
    file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {
            "one": {"anyOf": [file, {"type": "null"}], "description": "A picture."},
            "all": {"oneOf": [{"type": "null"}, {"type": "array", "items": file, "maxItems": 3}]},
            "few": {"type": ["array", "null"], "items": file, "description": "Some.", "maxItems": 2},
            "bytes": {},
            "text": {"type": "string"},
            "either": {"anyOf": [file, {"type": "integer"}]},
        },
    }
    encoding = {"bytes": {"contentType": "image/png, image/jpeg"}, "text": {"contentType": "text/csv"}}
    content = {"multipart/form-data": {"schema": form, "encoding": encoding}}
    schema = only({"/x": {"post": {"requestBody": {"content": content}}}})
    members = schema["properties"]["body"]["properties"]
    assert members["one"] == {**FILE, "description": f"A picture.\n{FILE['description']}"}
    assert members["all"] == {"type": "array", "items": FILE}
    assert members["few"] == {"description": "Some.", "type": "array", "items": FILE, "maxItems": 2}
    assert members["bytes"] == FILE
    assert members["text"] == {"type": "string"}
    assert "anyOf" in members["either"]


def test_the_forms_and_lists_of_openapi_2_are_understood() -> None:
    root = {
        "swagger": "2.0",
        "host": "api.test",
        "basePath": "/v2/",
        "schemes": ["http", "https"],
        "paths": {
            "/x/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": True, "type": "integer"}],
                "post": {
                    "consumes": ["multipart/form-data"],
                    "parameters": [
                        {"name": "file", "in": "formData", "type": "file", "required": True},
                        {
                            "name": "tags",
                            "in": "query",
                            "type": "array",
                            "items": {"type": "string"},
                            "collectionFormat": "pipes",
                        },
                    ],
                },
            }
        },
    }
    (tool,) = made(Document(root)).tools.values()
    assert tool.base == "https://api.test/v2"
    assert tool.body is not None
    assert (tool.body.kind, tool.body.fields["file"].file) == ("multipart", True)
    assert (tool.arguments.parameters["tags"].style, tool.arguments.parameters["tags"].explode) == (
        "pipeDelimited",
        False,
    )
    assert tool.definition["inputSchema"]["properties"]["id"] == {"type": "integer"}


# --- servers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("servers", "config", "base"),
    [
        ([{"url": "https://a.test/v1/"}], {}, "https://a.test/v1"),
        ([{"url": "/v2"}], {}, "http://api.test/v2"),
        ([], {}, "http://api.test"),
        ([{"url": "https://{r}.a.test", "variables": {"r": {"default": "eu"}}}], {}, "https://eu.a.test"),
        (
            [{"url": "https://{r}.a.test", "variables": {"r": {"default": "eu"}}}],
            {"server_variables": {"r": "us"}},
            "https://us.a.test",
        ),
        ([{"url": "https://a.test"}], {"base_url": "http://b.test/x/"}, "http://b.test/x"),
    ],
)
def test_the_base_is_what_the_document_or_the_configuration_says(
    servers: Any, config: Json, base: str
) -> None:
    root = {"openapi": "3.0.0", "servers": servers, "paths": query({})}
    (tool,) = made(Document(root), **config).tools.values()
    assert tool.base == base


def test_an_operation_that_moves_is_another_definition_for_pins() -> None:
    def defined(path: str = "/x", server: str = "https://a.test", **config: Any) -> Json:
        root = {
            "openapi": "3.1.0",
            "servers": [{"url": server}],
            "paths": {path: {"get": {"operationId": "op"}}},
        }
        (tool,) = made(Document(root), **config).tools.values()
        assert "a.test" not in str(tool.definition)
        return tool.definition

    assert defined() == defined()
    assert defined() != defined(server="https://b.test")
    assert {**defined(path="/y"), "description": ""} != {**defined(), "description": ""}
    # Where the configuration says where it is, the document does not matter.
    assert defined(base_url="https://c.test") == defined(server="https://b.test", base_url="https://d.test")


@pytest.mark.parametrize(
    "url", ["http://[a", "ftp://a.test", "https://u:p@a.test", "https://{x}.test", "http://a\\@b.test"]
)
def test_an_operation_whose_server_is_not_sound_is_left_out_with_the_reason(url: str) -> None:
    tools = made(Document({"openapi": "3.0.0", "servers": [{"url": url}], "paths": query({})}))
    assert not tools.tools
    assert tools.skipped[0][0] == "GET /x"


# --- what is different about one -------------------------------------------------------------------


def test_fixed_arguments_are_hidden_and_defaults_are_not_required() -> None:
    found = [{"name": name, "in": "query", "required": True, "schema": {"type": "integer"}} for name in "ab"]
    own = OperationSettings(
        name="mine", description="Does it.", fixed={"a": 1}, defaults={"b": 2}, destructive=True
    )
    tools = made(
        document({"/x": {"post": {"operationId": "op", "parameters": found}}}), operations={"op": own}
    )
    definition = tools.tools["mine"].definition
    assert definition["inputSchema"]["properties"] == {"b": {"type": "integer", "default": 2}}
    assert "required" not in definition["inputSchema"]
    assert definition["description"] == "Does it."
    assert definition["annotations"]["destructiveHint"] is True


@pytest.mark.parametrize(
    ("method", "hints"),
    [
        ("get", {"readOnlyHint": True, "openWorldHint": True}),
        ("query", {"readOnlyHint": True, "openWorldHint": True}),
        (
            "post",
            {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": True},
        ),
        (
            "put",
            {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": True, "openWorldHint": True},
        ),
        (
            "delete",
            {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True, "openWorldHint": True},
        ),
    ],
)
def test_annotations_follow_the_method(method: str, hints: Json) -> None:
    (tool,) = made(document({"/x": {method: {}}}, "3.2.0")).tools.values()
    assert tool.definition["annotations"] == hints


def test_settings_of_an_operation_that_is_not_there_are_told() -> None:
    tools = made(document({"/x": {"get": {}}}), operations={"GET /y": OperationSettings(name="y")})
    said = "no such operation is selected; did you mean 'GET /x'?"
    assert tools.skipped == (("operations.GET /y", said),)


def test_a_variable_that_no_server_has_is_told() -> None:
    root = document({"/x": {"get": {}}}, servers=[{"url": "https://{stage}.a.test"}])
    tools = made(root, server_variables={"stage": "test", "stgae": "prod"})
    assert list(tools.tools) == ["get_x"]
    said = "no server has such a variable; did you mean 'stage'?"
    assert tools.skipped == (("server_variables.stgae", said),)


def test_mistakes_of_the_configuration_go_before_operations_that_are_left_out() -> None:
    tools = made(document({"/a/{": {"get": {}}}), operations={"GET /y": OperationSettings()})
    assert [key for key, _ in tools.skipped] == ["operations.GET /y", "GET /a/{"]


def test_a_media_type_that_no_header_can_have_is_not_sent() -> None:
    content = {"text/plain\r\nX: 1": {}, "text/csv": {}}
    (tool,) = made(document({"/x": {"post": {"requestBody": {"content": content}}}})).tools.values()
    assert tool.body is not None
    assert tool.body.media_type == "text/csv"


def test_a_parameter_that_is_an_api_key_is_no_argument() -> None:
    found = [{"name": "X-Key", "in": "header", "required": True, "schema": {"type": "string"}}]
    schema = only(
        {"/x": {"get": {"parameters": found}}},
        components={"securitySchemes": {"k": {"type": "apiKey", "in": "header", "name": "x-key"}}},
    )
    assert schema["properties"] == {}


def test_a_tool_written_by_hand_is_an_operation_like_any_other() -> None:
    tool = HandTool(
        method="post",
        path="/x/{id}",
        description="Does it.",
        parameters=(HandParameter(name="id", location="path", schema={"type": "integer"}),),
        body={"type": "object"},
    )
    found = tools_of(by_hand("do it", tool), RestConfig(tools={"do it": tool}, base_url="http://a.test"))
    made_of_it = found.tools["do_it"]
    assert (made_of_it.method, made_of_it.base, made_of_it.path) == ("POST", "http://a.test", "/x/{id}")
    assert made_of_it.definition["inputSchema"]["required"] == ["id", "body"]


# --- documents -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not JSON"),
        (b"[]", "no object"),
        (b"{}", "neither `openapi` nor `swagger`"),
        (b'{"openapi": "4.0.0"}', "not supported"),
        (b'{"swagger": "1.2"}', "not supported"),
        (b'{"openapi": "3.0.0"}', "`paths` is missing"),
        (b'{"openapi": "3.0.0", "paths": []}', "`paths` is no object"),
        (b"a: [", "neither JSON nor YAML"),
        (b"a: &x [*x]", "nested too deeply"),
        (b"openapi: 3.0.0\npaths: !!python/object:os.x {}", "neither JSON nor YAML"),
        (b"<html>", "no object"),
        (b"[" * 100_000, "not JSON|too deeply"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused_with_the_reason(text: bytes, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        Document(parse(text))


def test_a_bomb_of_yaml_aliases_is_refused() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [
        f"{b}: &{b} [{','.join(['*' + a] * 10)}]" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    ]
    with pytest.raises(Unfit, match="too large"):
        parse("\n".join(lines).encode())


def test_yaml_is_read_as_json_would_say_it() -> None:
    found = parse(
        b"openapi: 3.0.0\nwhen: 2020-01-01\nyes: no\nresponses: {200: x}\nn: 1\nf: 1.5\nt: true\nz:\n"
    )
    assert found == {
        "openapi": "3.0.0",
        "when": "2020-01-01",
        "yes": "no",
        "responses": {"200": "x"},
        "n": 1,
        "f": 1.5,
        "t": True,
        "z": None,
    }


def test_numbers_of_yaml_are_decimal_and_finite() -> None:
    many = "1" * 5000
    found = parse(f"a: 0899\nb: 0755\nc: -012\nd: 1e999\ne: 1_000\nf: {many}\ng: 1e3\n".encode())
    assert found == {"a": 899, "b": 755, "c": -12, "d": "1e999", "e": "1_000", "f": many, "g": 1000.0}


def test_a_tag_selects_what_is_in_the_tags_below_it() -> None:
    paths = {f"/{tag}": {"get": {"tags": [tag]}} for tag in ("inner", "middle", "other", "loop")}
    tags = [
        {"name": "inner", "parent": "middle"},
        {"name": "middle", "parent": "outer"},
        {"name": "outer"},
        {"name": "loop", "parent": "loop"},
    ]
    root = {"openapi": "3.2.0", "paths": paths, "tags": tags}
    assert set(made(Document(root), include=(Match(tags=("outer",)),)).tools) == {"get_inner", "get_middle"}
    assert set(made(Document(root), include=(Match(tags=("loop",)),)).tools) == {"get_loop"}


def test_a_method_may_have_a_hyphen_and_nothing_else_odd() -> None:
    more = {"M-SEARCH": {}, "BAD METHOD": {}, "X\r\n": {}, "-": {}}
    root = {"openapi": "3.2.0", "paths": {"/x": {"additionalOperations": more}}}
    (tool,) = made(Document(root)).tools.values()
    assert (tool.name, tool.method) == ("m-search_x", "M-SEARCH")


def test_one_bad_operation_does_not_take_the_others_down() -> None:
    tools = made(
        document(
            {"/a/{": {"get": {}}, "/b": {"get": {"parameters": [{"$ref": "x.yaml"}]}}, "/c": {"get": {}}}
        )
    )
    assert set(tools.tools) == {"get_c"}
    assert [key for key, _ in tools.skipped] == ["GET /a/{", "GET /b"]
