"""Answers shaped with jq and JSONPath, and programs that do what programs should not."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from portico.api import UPSTREAM_BAD_RESPONSE, ConfigError, Json, Refused, Wrong
from portico.testing.running import running_gateway
from portico_plugins.upstreams.rest import shaping
from portico_plugins.upstreams.rest.config import (
    HandTool,
    Match,
    OperationSettings,
    RestConfig,
    Shape,
    ShapeRule,
)
from portico_plugins.upstreams.rest.shaping import Shaper, Unshaped, Worker, problems
from tests.plugins.upstreams.kit import call, text
from tests.plugins.upstreams.rest.kit import http, raw, running, simple

PETS = b'{"items": [{"name": "Rex", "id": 12345678901234567890}, {"name": "Kit", "id": 2}], "secret": "s3"}'


async def shaped(answer: bytes, shape: Shape | None = None, **config: Any) -> Json:
    """The result of a call whose answer is shaped."""
    config.setdefault("openapi_inline", simple())
    if shape is not None:
        config["operations"] = {"op": OperationSettings(shape=shape)}
    async with raw(answer) as server, running(base_url=server.origin, **config) as up:
        result = await up.send(call("op"))
        value: Json = json.loads(result.raw)
        return value


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (Shape(jsonpath="$.items[*].name"), ["Rex", "Kit"]),
        (Shape(jsonpath="$.items[0].id"), 12345678901234567890),
        (Shape(jsonpath="$.items[?@.id < 3].name"), ["Kit"]),
        (Shape(jsonpath="$.nothing.here"), None),
        (Shape(jsonpath="$.nothing[*]"), []),
        (Shape(jq="[.items[].name]"), ["Rex", "Kit"]),
        (Shape(jq=".items[1].id"), 2),
        (Shape(jq=".items[].name"), ["Rex", "Kit"]),
        (Shape(jq="empty"), None),
        (Shape(jq="{names: [.items[].name], n: (.items | length)}"), {"names": ["Rex", "Kit"], "n": 2}),
        (Shape(jq="nan"), None),
    ],
)
async def test_an_answer_is_what_the_program_makes_of_it(shape: Shape, value: Any) -> None:
    found = await shaped(http(PETS), shape)
    assert found["structuredContent"] == value
    assert json.loads(found["content"][0]["text"]) == value
    assert found["isError"] is False
    assert "s3" not in json.dumps(found)


async def test_programs_stand_for_selections_too_and_that_of_an_operation_goes_first() -> None:
    rules = (
        ShapeRule(match=Match(tags=("other",)), shape=Shape(jq='"no"')),
        ShapeRule(match=Match(operations=("o*",)), shape=Shape(jq=".items | length")),
        ShapeRule(shape=Shape(jq='"late"')),
    )
    assert (await shaped(http(PETS), shapes=rules))["structuredContent"] == 2
    assert (await shaped(http(PETS), Shape(jq="1"), shapes=rules))["structuredContent"] == 1
    hand = {"op": HandTool(path="/x")}
    assert (await shaped(http(PETS), shapes=rules, openapi_inline={}, tools=hand))["structuredContent"] == 2


async def test_a_shaped_tool_promises_nothing_of_what_the_document_says() -> None:
    schema = {"type": "object", "required": ["items"], "properties": {"items": {"type": "array"}}}
    document = simple(responses={"200": {"content": {"application/json": {"schema": schema}}}})
    operations = {"op": OperationSettings(shape=Shape(jq=".items"))}
    async with raw(http(PETS)) as server:
        at = {"base_url": server.origin, "openapi_inline": document, "output": "full"}
        async with running(**at) as up:
            assert "outputSchema" in up.upstream.offer.tools[0]
        async with running(**at, operations=operations) as up:
            assert "outputSchema" not in up.upstream.offer.tools[0]
            result = await up.send(call("op"))
            assert len(json.loads(result.raw)["structuredContent"]) == 2


async def test_hints_and_links_stay_beside_what_is_shaped() -> None:
    link = 'Link: </x?page=2>; rel="next"'
    document = simple(parameters=[{"name": "page", "in": "query", "schema": {"type": "integer"}}])
    answer = http(PETS, "application/json", "200 OK", link)
    found = await shaped(answer, Shape(jq=".items | length"), openapi_inline=document)
    assert [one["text"] for one in found["content"]] == ["2", "There is more: call again with page=2"]


async def test_errors_of_the_api_are_shaped_only_when_asked_for() -> None:
    answer = http(b'{"why": "no", "trace": "t0"}', "application/json", "404 Not Found")
    plain = await shaped(answer, Shape(jq=".why"))
    assert plain["isError"] is True
    assert "t0" in plain["content"][0]["text"]
    asked = await shaped(answer, Shape(jq=".why", errors=True))
    assert asked["isError"] is True
    assert asked["content"][0]["text"] == 'HTTP 404 Not Found\n"no"'
    page = await shaped(http(b"<p>gone</p>", "text/html", "404 Not Found"), Shape(jq=".", errors=True))
    assert "gone" in page["content"][0]["text"]


async def test_nothing_is_nothing_to_shape() -> None:
    found = await shaped(b"HTTP/1.1 204 No Content\r\n\r\n", Shape(jq=".a.b"))
    assert (found["isError"], found["content"]) == (False, [{"type": "text", "text": ""}])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(b"hello", "text/plain"), "wrong_content_type"),
        (http(b"\x89PNG", "image/png"), "wrong_content_type"),
        (http(b'{"a":'), "bad_json"),
    ],
)
async def test_what_is_no_json_is_not_given_away_unshaped(answer: bytes, why: str) -> None:
    with pytest.raises(Refused) as refused:
        await shaped(answer, Shape(jq="."))
    assert refused.value.code == UPSTREAM_BAD_RESPONSE
    assert refused.value.data["gateway"]["reason"] == why


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (".items | .[0] | .name | .[]", "Cannot iterate over string"),
        (".secret + 1", "string cannot be added"),
        ('error("mine")', "mine"),
        ("def f: f; f", "too long"),
        ("repeat(1)", "more than 4096 bytes"),
        ("[limit(5000; repeat(1))]", "more than 4096 bytes"),
        ('reduce range(40) as $i ("x"; . + .) | length', "ended its process, or takes too much memory"),
        ("reduce range(1000000) as $i (1; [.])", "ended its process"),
    ],
)
async def test_a_program_that_fails_is_an_error_that_names_it_and_shows_no_value(
    program: str, why: str
) -> None:
    seconds = 0.5 if why == "too long" else 10
    found = await shaped(http(PETS), Shape(jq=program), shape_seconds=seconds, max_response_bytes=4096)
    assert found["isError"] is True
    said = found["content"][0]["text"]
    assert f"the jq program `{program}` failed: " in said
    assert why in said
    assert "Rex" not in said
    assert "s3" not in said
    assert "structuredContent" not in found


async def test_a_pattern_that_takes_for_ever_is_ended_and_the_next_answer_is_shaped() -> None:
    body = json.dumps([{"a": "a" * 40 + "!"}]).encode()
    operations = {
        "slow": OperationSettings(shape=Shape(jsonpath="$[?match(@.a, '(a+)+$')]")),
        "fine": OperationSettings(shape=Shape(jsonpath="$[0].a")),
    }
    hand = {"slow": HandTool(path="/x"), "fine": HandTool(path="/x")}
    async with (
        raw(http(body)) as server,
        running(tools=hand, base_url=server.origin, operations=operations, shape_seconds=1.5) as up,
    ):
        for _ in range(2):
            assert "too long" in text(await up.send(call("slow")))
            assert (await up.send(call("fine"))).value["structuredContent"].startswith("aaa")


# --- the process -------------------------------------------------------------------------------------


async def test_no_program_sees_the_environment_files_or_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "canary-1")
    (tmp_path / "m.jq").write_text("def f: 1;")
    (tmp_path / "d.json").write_text('"canary-2"')
    shaper = Shaper(100_000, 5)
    assert "canary" not in (await shaper.shaped("jq", "[env, $ENV]", b"null")).decode()
    for program in (
        f'include "m" {{search: "{tmp_path}"}}; f',
        f'import "d" as $d {{search: "{tmp_path}"}}; $d',
        '"m" | modulemeta',
    ):
        with pytest.raises(Unshaped, match=r"^there are no modules$"):
            await shaper.shaped("jq", program, b"null")
    await shaper.close()


async def test_the_process_can_open_nothing_and_has_its_limits() -> None:
    shaper = Shaper(1000, 5)
    await shaper.shaped("jq", ".", b"1")
    (worker,) = shaper._idle
    assert worker._process is not None
    pid = worker._process.pid
    limits = Path(f"/proc/{pid}/limits").read_text()
    rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    assert rows["Max open files"] == ["0", "0"]
    assert rows["Max core file size"] == ["0", "0"]
    assert rows["Max file size"] == ["0", "0"]
    assert int(rows["Max address space"][0]) < 512 * 1024 * 1024
    assert Path(f"/proc/{pid}/environ").read_bytes().replace(b"LC_CTYPE=C.UTF-8", b"").strip(b"\0") == b""
    assert len(list(Path(f"/proc/{pid}/fd").iterdir())) == 3
    await shaper.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_processes_start_with_the_first_program_and_are_used_again() -> None:
    shaper = Shaper(1000, 5, processes=2)
    assert not shaper._idle
    assert await asyncio.gather(*(shaper.shaped("jq", ". + 1", b"%d" % n) for n in range(20))) == [
        b"%d" % (n + 1) for n in range(20)
    ]
    assert sum(worker.runs for worker in shaper._idle) == 20
    assert len(shaper._idle) <= 2
    shaper._sweep()
    assert not shaper._idle
    assert await shaper.shaped("jsonpath", "$", b"1") == b"1"
    await shaper.close()


async def test_a_cancelled_call_ends_its_process_and_closing_ends_all() -> None:
    shaper = Shaper(1000, 600)
    await shaper.shaped("jq", ".", b"1")
    (worker,) = shaper._idle
    task = asyncio.create_task(shaper.shaped("jq", "def f: f; f", b"1"))
    while not shaper._working:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    other = asyncio.create_task(shaper.shaped("jq", "def f: f; f", b"1"))
    while not any(one.runs for one in shaper._working):
        await asyncio.sleep(0)
    await shaper.close()
    with pytest.raises(Unshaped):
        await other
    assert worker._process is not None
    assert worker._process.returncode is not None


async def test_a_process_that_was_killed_is_replaced() -> None:
    shaper = Shaper(1000, 5)
    await shaper.shaped("jq", ".", b"1")
    (worker,) = shaper._idle
    worker.kill()
    with pytest.raises(Unshaped, match="ended its process"):
        await shaper.shaped("jq", ".", b"1")
    assert await shaper.shaped("jq", ".", b"1") == b"1"
    await shaper.close()


# --- configuration ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "program", "problem"),
    [
        ("jq", ".items[", "syntax error, unexpected end of file, line 1, column 7"),
        ("jq", ".a |\n nope", "nope/0 is not defined, line 2, column 2"),
        ("jsonpath", "$.items[*", "unexpected end of segment, line 1, column 10"),
        ("jsonpath", "items", "found 'TOKEN_NAME', line 1, column 1"),
        ("jsonpath", "$[?nope(@.a)]", "function 'nope' is not defined, line 1, column 4"),
        ("jq", "(" * 8000, ""),
    ],
)
def test_a_wrong_program_is_told_with_its_place(language: Any, program: str, problem: str) -> None:
    (said,) = problems([(language, program)]).values()
    assert said
    assert problem in said
    assert problems([("jq", "."), ("jsonpath", "$")]) == {("jq", "."): "", ("jsonpath", "$"): ""}


async def test_the_configuration_is_refused_with_the_place_of_the_program(tmp_path: Path) -> None:
    config = """
        [upstreams.api]
        use = "rest"
        openapi = "http://127.0.0.1:9/"
        shapes = [{ match = { tags = ["a"] }, shape = { jq = ".a[" } }]
        [upstreams.api.operations.listPets]
        shape = { jsonpath = "$." }
        [upstreams.api.operations.other]
        shape = { jsonpath = "$", jq = "." }
    """
    with pytest.raises(ConfigError) as refused:
        async with running_gateway(config, base=tmp_path):
            pass
    said = refused.value.render()
    assert "upstreams.api.operations.other.shape" in said
    assert "expected either `jq` or `jsonpath`" in said
    with pytest.raises(ConfigError) as refused:
        async with running_gateway(config.replace(', jq = "."', ""), base=tmp_path):
            pass
    said = refused.value.render()
    assert "upstreams.api.shapes[0].shape.jq" in said
    assert said.count("line 1, column 3") == 2
    assert "upstreams.api.operations.listPets.shape.jsonpath" in said


def test_without_the_extra_the_configuration_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shaping, "find_spec", lambda name: None)
    with pytest.raises(Wrong, match=r"pip install 'portico\[shaping\]'"):
        RestConfig(
            openapi="http://a.test",
            shapes=(ShapeRule(shape=Shape(jq=". # not known yet, so it is looked at")),),
        )


def test_a_process_that_does_not_come_up_is_a_problem_and_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shaping, "_SCRIPT", Path("/nothing/there.py"))
    with pytest.raises(BrokenPipeError):
        Worker(1 << 28).start()
    assert "cannot be compiled" in problems([("jq", ". # another")])["jq", ". # another"]
    shaping._checked.clear()
