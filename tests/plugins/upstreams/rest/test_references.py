"""Documents in several files: which references are followed, how far, and which never."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from portico.api import Json, State
from portico_plugins.upstreams.rest.document import Document
from portico_plugins.upstreams.rest.references import Joined, may_have_references
from tests.plugins.upstreams.kit import Running, call, serving
from tests.plugins.upstreams.rest.kit import Files, http, raw, running

AWAY = "http://127.0.0.1:9"


def asked_with(schema: Any, **components: Any) -> Json:
    """A document with one operation, whose body is of that schema."""
    body = {"content": {"application/json": {"schema": schema}}}
    return {
        "openapi": "3.1.0",
        "paths": {"/x": {"post": {"operationId": "op", "requestBody": body}}},
        "components": components,
    }


def body_of(up: Running, name: str = "op") -> Any:
    """The schema of a tool's body, and that it compiles."""
    schema = next(tool["inputSchema"] for tool in up.upstream.offer.tools if tool["name"] == name)
    jsonschema_rs.Draft202012Validator(schema, offline=True)
    return schema["properties"]["body"], schema.get("$defs", {})


# --- what is followed --------------------------------------------------------------------------


FOLDER = {
    "openapi.yaml": """
openapi: 3.0.3
paths:
  /pets/{id}: {$ref: paths/one.yaml}
  /pets: {$ref: "paths/all.yaml#/~1pets"}
components:
  parameters: {$ref: common/parameters.yaml}
  schemas:
    Kind: {type: string, enum: [cat, dog]}
""",
    "paths/one.yaml": """
parameters: [{$ref: "../openapi.yaml#/components/parameters/Id"}]
put:
  operationId: change
  requestBody: {$ref: "../common/bodies%20of%20pets.yaml#/Pet%2FBody"}
""",
    "paths/all.yaml": """
/pets:
  get:
    operationId: all
    parameters: [{name: kind, in: query, schema: {$ref: "../openapi.yaml#/components/schemas/Kind"}}]
""",
    "common/parameters.yaml": """
Id: {name: id, in: path, required: true, schema: {$ref: "#/$defs/Number"}}
$defs: {Number: {type: integer}}
""",
    "common/bodies of pets.yaml": """
Pet: {Body: {required: true, content: {application/json: {schema: {$ref: ../schemas/pet.json}}}}}
""",
    "schemas/pet.json": """
{"type": "object", "properties": {"kind": {"$ref": "../openapi.yaml#/components/schemas/Kind"},
 "parent": {"$ref": "#"}, "friends": {"type": "array", "items": {"$ref": "./../schemas/pet.json"}}}}
""",
}


def written(folder: Path) -> Path:
    for name, text in FOLDER.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)
    return folder / "openapi.yaml"


def seen_in(up: Running) -> None:
    assert up.upstream.state is State.READY, up.upstream.reason
    assert [tool["name"] for tool in up.upstream.offer.tools] == ["all", "change"]
    assert up.upstream.offer.tools[0]["inputSchema"]["properties"]["kind"] == {"$ref": "#/$defs/Kind"}
    assert up.upstream.offer.tools[1]["inputSchema"]["properties"]["id"] == {"$ref": "#/$defs/Number"}
    body, definitions = body_of(up, "change")
    assert body == {"$ref": "#/$defs/pet"}
    assert definitions["pet"] == {
        "type": "object",
        "properties": {
            "kind": {"$ref": "#/$defs/Kind"},
            "parent": {"$ref": "#/$defs/pet"},
            "friends": {"type": "array", "items": {"$ref": "#/$defs/pet"}},
        },
    }
    assert definitions["Kind"] == {"type": "string", "enum": ["cat", "dog"]}
    assert not [line for line in up.log.lines if line[0] == "warning"]


async def test_a_document_in_many_files_is_one(tmp_path: Path) -> None:
    async with running(openapi_file=written(tmp_path), base_url=AWAY) as up:
        seen_in(up)
        result = await up.send(call("change", {"id": 1, "body": {"friends": [{"kind": "cow"}]}}))
        assert "cow" in result.value["content"][0]["text"]
        (tmp_path / "schemas/pet.json").write_text('{"type": "string"}')
        await up.upstream.refresh()
        assert body_of(up, "change")[1]["pet"] == {"type": "string"}


async def test_a_document_in_many_files_of_one_origin_is_one() -> None:
    app = Files({"/v1/" + name.replace(" ", "%20"): text.encode() for name, text in FOLDER.items()})
    async with (
        serving(app) as origin,
        running(openapi=f"{origin}/v1/openapi.yaml", base_url=AWAY, refresh_seconds=0.02) as up,
    ):
        seen_in(up)
        assert sorted(app.asked) == sorted((path, 200) for path in app.files)


async def test_a_file_that_changed_is_seen_and_unchanged_ones_are_not_sent_again() -> None:
    part = {"type": "string"}
    app = Files({"/o.json": asked_with({"$ref": "part.json"}), "/part.json": part})
    async with (
        serving(app) as origin,
        running(openapi=f"{origin}/o.json", base_url=AWAY, refresh_seconds=0.02) as up,
    ):
        offers = len(up.wiring.offers)
        app.files["/part.json"] = {"type": "integer"}
        await up.wiring.until(lambda: body_of(up)[1]["part"] == {"type": "integer"})
        assert up.wiring.offers[offers:] == [{"tools"}]
        # Unchanged, each was asked about and not sent; changed, they were sent once more.
        assert app.asked[:2] == [("/o.json", 200), ("/part.json", 200)]
        changed = app.asked.index(("/part.json", 200), 2)
        assert {status for _, status in app.asked[2:changed]} == {304}
        assert app.asked[changed + 1] == ("/o.json", 200)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (500, "document: part.json: HTTP 500"),
        (b"{", "document: part.json: the document is not JSON"),
        (b"[1]", "document: part.json: the document is no object"),
        (b"/elsewhere.json", "document: redirect"),
        (b" " * 5000, "document: message_too_large"),
    ],
)
async def test_a_file_that_goes_bad_leaves_the_tools_and_says_so(bad: Any, reason: str) -> None:
    app = Files({"/o.json": asked_with({"$ref": "part.json"}), "/part.json": {"type": "string"}})
    async with (
        serving(app) as origin,
        running(
            openapi=f"{origin}/o.json",
            base_url=AWAY,
            refresh_seconds=0.02,
            max_document_bytes=2048,
            redirects=3,
        ) as up,
    ):
        before = up.upstream.offer.tools
        app.files["/part.json"] = bad
        await up.until_state(State.DEGRADED)
        assert up.upstream.reason.startswith(reason)
        assert up.upstream.offer.tools is before
        app.files["/part.json"] = {"type": "integer"}
        await up.until_state(State.READY)
        assert body_of(up)[1]["part"] == {"type": "integer"}
        assert ("/elsewhere.json", 404) not in app.asked


async def test_a_file_that_is_not_there_is_a_reference_to_nothing_until_it_is() -> None:
    app = Files({"/o.json": asked_with({"$ref": "part.json#/a"}) | {"servers": [{"url": AWAY}]}})
    async with serving(app) as origin, running(openapi=f"{origin}/o.json", refresh_seconds=0.02) as up:
        assert (up.upstream.state, body_of(up)) == (State.READY, ({}, {}))
        assert (
            "warning",
            "reference_to_nothing",
            {"file": "part.json", "reason": "HTTP 404"},
        ) in up.log.lines
        app.files["/part.json"] = {"a": {"type": "integer"}}
        await up.wiring.until(lambda: body_of(up)[1] == {"a": {"type": "integer"}})


async def test_an_origin_that_is_allowed_may_be_referred_to_by_a_document_from_anywhere(
    tmp_path: Path,
) -> None:
    async with raw(http(b'{"type": "integer"}')) as other:
        document = asked_with({"$ref": f"{other.origin}/part.json"})
        path = tmp_path / "o.json"
        path.write_text(json.dumps(document))
        for given in ({"openapi_inline": document}, {"openapi_file": path}):
            async with running(**given, base_url=AWAY, ref_origins=[other.origin.upper()]) as up:
                assert body_of(up)[1] == {"part": {"type": "integer"}}
        assert b"authorization" not in other.heads[0].lower()


# --- by name -------------------------------------------------------------------------------------


NODE = {
    "$dynamicAnchor": "node",
    "type": "object",
    "properties": {"next": {"$dynamicRef": "#node"}, "name": {"type": "string"}},
}


def closed(name: str) -> Json:
    """What a definition becomes that is `NODE`."""
    return {
        "type": "object",
        "properties": {"next": {"$ref": f"#/$defs/{name}"}, "name": {"type": "string"}},
    }


@pytest.mark.parametrize(
    ("schema", "schemas", "body", "definitions"),
    [
        (
            {"$ref": "#pet"},
            {"Pet": {"$anchor": "pet", "type": "integer"}},
            {"$ref": "#/$defs/Pet"},
            {"Pet": {"type": "integer"}},
        ),
        (
            {"$ref": "#inner", "description": "A pet."},
            {"a/b~c %d": {"$defs": {"x": {"$anchor": "inner", "type": "integer"}}}},
            {"$ref": "#/$defs/x", "description": "A pet."},
            {"x": {"type": "integer"}},
        ),
        ({"$ref": "#pet"}, {"x/y%": {"$anchor": "pet"}}, {"$ref": "#/$defs/x_1y_25"}, {"x_1y_25": {}}),
        # Two have the name: nobody knows which is meant.
        ({"$ref": "#pet"}, {"A": {"$anchor": "pet"}, "B": {"$anchor": "pet"}}, {}, {}),
        ({"$ref": "#pet"}, {"Pet": {"$anchor": "other"}, "x-pet": {"example": {"$anchor": "pet"}}}, {}, {}),
        # A tree, referred to in every way there is.
        ({"$ref": "#node"}, {"Tree": NODE}, {"$ref": "#/$defs/Tree"}, {"Tree": closed("Tree")}),
        ({"$dynamicRef": "#node"}, {"Tree": NODE}, {"$ref": "#/$defs/Tree"}, {"Tree": closed("Tree")}),
        (
            {"$ref": "#/components/schemas/Tree"},
            {"Tree": NODE, "Strict": {"$dynamicAnchor": "node", "$ref": "#/components/schemas/Tree"}},
            {"$ref": "#/$defs/Tree"},
            {"Tree": closed("Tree")},
        ),
        (
            {"$dynamicRef": "#/components/schemas/Tree"},
            {"Tree": {"type": "integer"}},
            {"$ref": "#/$defs/Tree"},
            {"Tree": {"type": "integer"}},
        ),
        # A list of whatever whoever refers to it says: anything.
        (
            {"$ref": "#/components/schemas/Names"},
            {
                "List": {
                    "type": "array",
                    "items": {"$dynamicRef": "#item"},
                    "$defs": {"item": {"$dynamicAnchor": "item", "not": {}}},
                },
                "Names": {
                    "$ref": "#/components/schemas/List",
                    "$defs": {"item": {"$dynamicAnchor": "item", "type": "string"}},
                },
            },
            {"$ref": "#/$defs/Names"},
            {"Names": {"$ref": "#/$defs/List"}, "List": {"type": "array"}},
        ),
    ],
)
async def test_references_by_name_are_followed(
    schema: Json, schemas: Json, body: Json, definitions: Json, tmp_path: Path
) -> None:
    document = asked_with(schema, schemas=schemas)
    (tmp_path / "o.json").write_text(json.dumps(document))
    for given in ({"openapi_inline": document}, {"openapi_file": tmp_path / "o.json"}):
        async with running(**given, base_url=AWAY) as up:
            assert body_of(up) == (body, definitions)


async def test_a_name_is_that_of_one_file(tmp_path: Path) -> None:
    parts = {"A": {"$ref": "part.json#pet"}, "B": {"$ref": "#pet"}, "C": {"$ref": "part.json#nobody"}}
    document = asked_with({"type": "object", "properties": parts}, schemas={"Own": {"$anchor": "pet"}})
    (tmp_path / "o.json").write_text(json.dumps(document))
    part = {"$defs": {"Pet": {"$anchor": "pet", "type": "array", "items": {"$ref": "#pet"}}}}
    (tmp_path / "part.json").write_text(json.dumps(part))
    async with running(openapi_file=tmp_path / "o.json", base_url=AWAY) as up:
        body, definitions = body_of(up)
        assert body["properties"] == {"A": {"$ref": "#/$defs/Pet"}, "B": {"$ref": "#/$defs/Own"}, "C": {}}
        assert definitions == {"Pet": {"type": "array", "items": {"$ref": "#/$defs/Pet"}}, "Own": {}}


# --- by what a document calls itself ---------------------------------------------------------------


@pytest.mark.parametrize(
    "ref",
    [
        "https://api.test/v1/openapi",
        "https://api.test/v1/openapi#",
        "openapi",
        "/v1/openapi",
        "../v1/openapi",
        "//api.test/v1/openapi",
    ],
)
async def test_a_document_is_what_it_calls_itself(ref: str, tmp_path: Path) -> None:
    ref = ref.partition("#")[0] + "#/components/schemas/Pet"
    document = asked_with({"$ref": ref}, schemas={"Pet": {"type": "integer"}})
    document |= {"openapi": "3.2.0", "$self": "https://api.test/v1/openapi#"}
    (tmp_path / "o.json").write_text(json.dumps(document))
    app = Files({"/elsewhere/o.json": document})
    async with serving(app) as origin:
        for given in (
            {"openapi_inline": document},
            {"openapi_file": tmp_path / "o.json"},
            {"openapi": f"{origin}/elsewhere/o.json"},
        ):
            async with running(**given, base_url=AWAY) as up:
                assert body_of(up) == ({"$ref": "#/$defs/Pet"}, {"Pet": {"type": "integer"}})
    assert app.asked == [("/elsewhere/o.json", 200)]


async def test_references_are_relative_to_what_a_document_calls_itself_where_that_may_be_followed() -> None:
    part = {"a": {"type": "integer"}, "b": {"$ref": "https://api.test/openapi#/components/schemas/Pet"}}
    parts = {"A": {"$ref": "part.json#/a"}, "B": {"$ref": "part.json#/b"}}
    document = asked_with({"type": "object", "properties": parts}, schemas={"Pet": {"type": "string"}})
    app = Files({})
    async with serving(app) as origin:
        ways = ((f"{origin}/v2/openapi", "/v2/part.json"), ("https://api.test/openapi", "/v1/part.json"))
        for own, at in ways:
            moved = json.loads(json.dumps(part).replace("https://api.test/openapi", own))
            app.files = {"/v1/o.json": document | {"$self": own}, at: moved}
            app.asked.clear()
            async with running(openapi=f"{origin}/v1/o.json", base_url=AWAY) as up:
                body, definitions = body_of(up)
            assert body["properties"] == {"A": {"$ref": "#/$defs/a"}, "B": {"$ref": "#/$defs/b"}}
            assert definitions == {
                "a": {"type": "integer"},
                "b": {"$ref": "#/$defs/Pet"},
                "Pet": {"type": "string"},
            }
            assert app.asked == [("/v1/o.json", 200), (at, 200)]


async def test_what_a_document_calls_itself_opens_no_way_to_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"type": "integer"}')
    own = tmp_path / "own"
    own.mkdir()
    async with raw(http(b'{"type": "integer"}')) as other:
        for said in (f"{other.origin}/o.json", (tmp_path / "o.json").as_uri(), "http://[::1", "\x00", 5):
            document = asked_with({"$ref": "secret.json"}) | {"$self": said}
            (own / "o.json").write_text(json.dumps(document))
            async with serving(Files({"/o.json": document})) as origin:
                for given in (
                    {"openapi": f"{origin}/o.json"},
                    {"openapi_inline": document},
                    {"openapi_file": own / "o.json"},
                ):
                    async with running(**given, base_url=AWAY) as up:
                        assert (up.upstream.state, body_of(up)) == (State.READY, ({}, {})), given
        assert other.connections == 0


async def test_a_file_does_not_become_another_by_calling_itself_that() -> None:
    own, evil = {"type": "string"}, {"type": "integer"}
    part = {"$self": "o.json", "a": evil, "components": {"schemas": {"Pet": evil}}}
    parts = {"A": {"$ref": "part.json#/a"}, "B": {"$ref": "o.json#/components/schemas/Pet"}}
    document = asked_with({"type": "object", "properties": parts}, schemas={"Pet": own})
    app = Files({"/o.json": document, "/part.json": part})
    async with serving(app) as origin, running(openapi=f"{origin}/o.json", base_url=AWAY) as up:
        assert body_of(up)[1] == {"a": evil, "Pet": own}


# --- what is not ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ref",
    [
        "http://127.0.0.1:{port}/part.json",
        "http://localhost:{port}/part.json#/a",
        "//127.0.0.1:{port}/part.json",
        "http://[::ffff:127.0.0.1]:{port}/part.json",
        "http://2130706433:{port}/part.json",
        "http://user@127.0.0.1:{port}/part.json",
        "http://own.test@127.0.0.1:{port}/part.json",
        "http:\\\\127.0.0.1:{port}\\part.json",
        "\thttp://127.0.0.1:{port}/part.json",
        "ftp://127.0.0.1:{port}/part.json",
        "gopher://127.0.0.1:{port}/part.json",
        "data:application/json,{{}}",
        "http://[::1/part.json",
        "file:///etc/hostname",
        "file:/etc/hostname",
        "file://127.0.0.1/etc/hostname",
    ],
)
async def test_a_reference_to_another_origin_opens_no_connection(ref: str, tmp_path: Path) -> None:
    async with raw(http(b'{"type": "integer"}')) as other:
        document = asked_with({"$ref": ref.format(port=other.origin.rpartition(":")[2])})
        path = tmp_path / "o.json"
        path.write_text(json.dumps(document))
        async with serving(Files({"/o.json": document})) as origin:
            for given in (
                {"openapi": f"{origin}/o.json"},
                {"openapi_inline": document},
                {"openapi_file": path},
            ):
                async with running(**given, base_url=AWAY) as up:
                    assert (up.upstream.state, body_of(up)) == (State.READY, ({}, {})), given
        assert other.connections == 0


async def test_a_file_of_an_allowed_origin_at_a_forbidden_address_is_not_asked_for(tmp_path: Path) -> None:
    async with raw(http(b"{}")) as other:
        document = asked_with({"$ref": f"{other.origin}/part.json"})
        config: Json = {"ref_origins": [other.origin], "allow_private": False}
        async with running(openapi_inline=document, base_url=AWAY, **config) as up:
            assert up.upstream.state is State.UNAVAILABLE
            assert "address_not_allowed" in up.upstream.reason
        assert other.connections == 0


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside which there are secrets, and in which there are ways to them."""
    (tmp_path / "secret.json").write_text('{"type": "integer", "description": "canary"}')
    own = tmp_path / "own"
    own.mkdir()
    (own / "link.json").symlink_to(tmp_path / "secret.json")
    (own / "up").symlink_to(tmp_path)
    (own / "folder.json").mkdir()
    os.mkfifo(own / "pipe.json")
    return own


@pytest.mark.parametrize(
    "ref",
    [
        "../secret.json",
        "%2e%2e/secret.json",
        "..%2fsecret.json",
        "x/../../secret.json",
        "link.json",
        "up/secret.json",
        "{folder}/secret.json",
        "file://{folder}/secret.json",
        "folder.json",
        "pipe.json",
        "/dev/zero",
        "nul%00.json",
    ],
)
async def test_only_regular_files_below_the_documents_folder_are_read(outside: Path, ref: str) -> None:
    path = outside / "o.json"
    path.write_text(json.dumps(asked_with({"$ref": ref.format(folder=outside.parent)})))
    async with running(openapi_file=path, base_url=AWAY) as up:
        assert (up.upstream.state, body_of(up)) == (State.READY, ({}, {}))
        assert "reference_to_nothing" in up.log.events()
        assert "canary" not in repr(up.log.lines)


async def test_the_folder_of_what_is_referred_to_can_be_a_wider_one(outside: Path) -> None:
    path = outside / "o.json"
    path.write_text(json.dumps(asked_with({"$ref": "../secret.json"})))
    async with running(openapi_file=path, base_url=AWAY, ref_folder=outside.parent) as up:
        assert body_of(up)[1] == {"secret": {"type": "integer", "description": "canary"}}


async def test_what_is_only_an_example_is_not_followed() -> None:
    examples = {"a": {"$ref": "a.json"}}
    schema = {
        "type": "object",
        "example": {"$ref": "b.json"},
        "default": {"$ref": "c.json"},
        "enum": [{"$ref": "d.json"}],
        "x-more": {"$ref": "e.json"},
        "properties": {"default": {"$ref": "named.json"}, "x-y": {"$ref": "named.json"}},
    }
    document = asked_with(schema)
    document["paths"]["/x"]["post"]["requestBody"]["content"]["application/json"]["examples"] = examples
    app = Files({"/o.json": document, "/named.json": {"type": "integer"}})
    async with serving(app) as origin, running(openapi=f"{origin}/o.json", base_url=AWAY) as up:
        assert body_of(up)[1] == {"named": {"type": "integer"}}
        assert [path for path, _ in app.asked] == ["/o.json", "/named.json"]


# --- how far -------------------------------------------------------------------------------------


def chain(length: int) -> dict[str, Any]:
    """Files each of which refers to the next, the last to the first."""
    names = [f"/{number}.json" for number in range(length)]
    return {
        name: asked_with({"$ref": following[1:]})
        if name == "/0.json"
        else {"type": "object", "properties": {"next": {"$ref": following}}}
        for name, following in zip(names, [*names[1:], "/1.json"], strict=True)
    }


@pytest.mark.parametrize(
    ("files", "config", "reason"),
    [
        (chain(30), {}, ""),
        (chain(40), {}, "document: its references lead through more than 32 files in a row"),
        (chain(10), {"max_document_files": 4}, "it is in more files than `max_document_files` (4)"),
        (chain(30), {"max_document_bytes": 1024}, "its files have more bytes than `max_document_bytes`"),
    ],
)
async def test_references_are_followed_only_so_far(files: Any, config: Json, reason: str) -> None:
    app = Files(files)
    async with serving(app) as origin, running(openapi=f"{origin}/0.json", base_url=AWAY, **config) as up:
        if not reason:
            assert up.upstream.state is State.READY
            assert len(body_of(up)[1]) == len(app.asked) - 1 == 29
            return
        assert up.upstream.state is State.DEGRADED
        assert reason in up.upstream.reason
        assert len(app.asked) <= 34


def test_files_of_one_name_are_told_apart_and_the_documents_stay_as_they_were() -> None:
    root = asked_with({"allOf": [{"$ref": "a/part.json"}, {"$ref": "b/part.json"}]})
    before = json.dumps(root)
    files = Joined(root, "http://h/o.json", lambda url: True)
    assert files.wanted("http://h/o.json") == ["http://h/a/part.json", "http://h/b/part.json"]
    for url in files.wanted("http://h/o.json"):
        files.add(url, {"description": url})
    whole = Document(files.whole())
    assert json.dumps(root) == before
    parts = whole.root["paths"]["/x"]["post"]["requestBody"]["content"]["application/json"]["schema"]["allOf"]
    assert [whole.resolved(part)["description"] for part in parts] == [
        "http://h/a/part.json",
        "http://h/b/part.json",
    ]


@pytest.mark.parametrize(
    ("text", "may"),
    [
        (b'{"$ref": "#/a"}', False),
        (b'{"$ref" :"#/a", "$ref":\n"#"}', False),
        (b"$ref: '#/a'", False),
        (b'{"$ref": "a.json#/a"}', True),
        (b"- $ref: a.yaml", True),
        (b'{"$ref": "#name"}', True),
        (b"$ref: '#name'", True),
        (b'{"$dynamicRef": "#name"}', True),
        (b"$ref: >-\n  a.yaml", True),
    ],
)
def test_files_without_references_to_others_are_not_looked_through(text: bytes, may: bool) -> None:
    assert may_have_references(text) is may


def test_references_that_lead_in_a_circle_by_way_of_what_they_refer_to_end() -> None:
    document = Document({"openapi": "3.1.0", "components": {"$ref": "#/components/schemas"}})
    with pytest.raises(ValueError, match="circle"):
        document.at("#/components/schemas/a")
