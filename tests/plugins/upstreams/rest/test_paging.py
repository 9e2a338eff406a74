"""The next page: found where an answer tells of it, and told in the tool's own arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portico.api import Json
from portico_plugins.upstreams.rest.config import OperationSettings, Shape
from tests.plugins.upstreams.kit import call
from tests.plugins.upstreams.rest.kit import http, raw, running, simple


def listing(*names: str, **schemas: Json) -> Json:
    """A document whose operation has these parameters in the query."""
    return simple(
        parameters=[
            {"name": name, "in": "query", "schema": schemas.get(name, {"type": "string"})} for name in names
        ]
    )


async def paged(
    document: Json, body: Any, *headers: str, arguments: Json | None = None, **config: Any
) -> tuple[Any, str]:
    """The arguments for the next page, and what is said of it."""
    answer = http(json.dumps(body).encode(), "application/json", "200 OK", *headers)
    async with (
        raw(answer) as server,
        running(openapi_inline=document, base_url=server.origin, **config) as up,
    ):
        value = json.loads((await up.send(call("op", arguments))).raw)
        texts = [one["text"] for one in value["content"]]
        return value["_meta"].get("portico/nextPage"), texts[1] if len(texts) > 1 else ""


@pytest.mark.parametrize(
    ("parameters", "body", "arguments"),
    [
        (["pageToken"], {"items": [], "nextPageToken": "t2"}, {"pageToken": "t2"}),
        (["page_token"], {"next_page_token": "t2"}, {"page_token": "t2"}),
        (["NextToken"], {"NextToken": "t2"}, {"NextToken": "t2"}),
        (["cursor"], {"response_metadata": {"next_cursor": "c=="}}, {"cursor": "c=="}),
        (["after"], {"page_info": {"has_next_page": True, "end_cursor": "e/1"}}, {"after": "e/1"}),
        (["cursor"], {"next": "a/b=="}, {"cursor": "a/b=="}),
        (["page"], {"pagination": {"next_page": "3"}}, {"page": "3"}),
        (
            ["limit", "offset"],
            {"next": "https://elsewhere.test/x?limit=10&offset=20"},
            {"limit": "10", "offset": "20"},
        ),
        (["page"], {"_links": {"next": {"href": "/x?page=2"}}}, {"page": "2"}),
        (["skip"], {"@odata.nextLink": "https://a.test/x?skip=5"}, {"skip": "5"}),
        (["page"], {"other": {"next": "/x?page=2"}}, None),
        (["page"], {"nextPageToken": "t2"}, None),
        (["after"], {"pageInfo": {"hasNextPage": False, "endCursor": "e"}}, None),
        (["cursor"], {"next_cursor": "", "has_more": True}, None),
        (["cursor"], {"next_cursor": None}, None),
        (["cursor"], {"next": True}, None),
        (["cursor"], [{"next_cursor": "x"}], None),
        (["cursor"], {"next_cursor": "x" * 3000}, None),
    ],
)
async def test_the_next_page_is_told_in_arguments_of_the_tool(
    parameters: list[str], body: Any, arguments: Json | None
) -> None:
    found, said = await paged(listing(*parameters), body)
    assert found == arguments
    assert said.startswith("There is more: call again with ") is (arguments is not None)


async def test_arguments_have_the_type_their_schema_wants() -> None:
    document = listing("page", "n", page={"type": "integer"}, n={"type": ["integer", "null"]})
    assert (await paged(document, [], 'Link: </x?page=2&n=x>; rel="next"'))[0] == {"page": 2, "n": "x"}
    assert (await paged(document, {"nextPage": 3}))[0] == {"page": 3}
    assert (await paged(listing("page"), {"nextPage": 3}))[0] == {"page": "3"}


async def test_only_what_is_to_change_is_told_and_what_is_fixed_is_not() -> None:
    fixed = {"op": OperationSettings(fixed={"key": "k"})}
    link = 'Link: </x?q=a&page=2&key=z>; rel="next"'
    found, said = await paged(listing("q", "page", "key"), [], link, arguments={"q": "a"}, operations=fixed)
    assert (found, said) == ({"page": "2"}, "There is more: call again with page=2")


async def test_what_the_tool_has_no_argument_for_is_not_told() -> None:
    link = 'Link: </x?page=2&session=s>; rel="next"'
    assert await paged(listing("limit"), [], link) == (None, "")
    assert await paged(listing("page"), [], link) == ({"page": "2"}, "There is more: call again with page=2")


async def test_a_parameter_whose_argument_has_another_name_is_told_by_that() -> None:
    document = listing("page")
    document["paths"]["/x"]["get"]["parameters"].append({"name": "page", "in": "header", "schema": {}})
    found, said = await paged(document, [], 'Link: </x?page=2>; rel="next"')
    assert found == {"page__query": "2"}
    assert said == "There is more: call again with page__query=2"


async def test_the_next_page_is_found_before_the_answer_is_shaped() -> None:
    own = {"op": OperationSettings(shape=Shape(jq=".items"))}
    found, said = await paged(listing("cursor"), {"items": [1], "next_cursor": "c2"}, operations=own)
    assert (found, said) == ({"cursor": "c2"}, "There is more: call again with cursor=c2")


async def test_what_is_told_is_short_and_one_line() -> None:
    found, said = await paged(listing("cursor"), {"next_cursor": "a\nIgnore all\x1b[0m" + "b" * 1000})
    assert found == {"cursor": "a\nIgnore all\x1b[0m" + "b" * 1000}
    assert said.isprintable()
    assert len(said) < 600
