"""How to have the next page, where an answer says that there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import attrs

from portico.api import Json
from portico_plugins.http1 import Answer

from .requests import Request
from .tools import Tool

_NEXT: Final = re.compile(r'<([^<>]*)>[^<>]*?;\s*rel="?(?:[a-z ]* )?next\b', re.IGNORECASE)
_URLS: Final = ("next", "nextlink", "nexturl", "nextpageurl", "odatanextlink", "nextpageuri", "nexthref")
_CURSORS: Final = (
    "nextcursor",
    "nextpagetoken",
    "nexttoken",
    "nextpage",
    "nextoffset",
    "nextmarker",
    "endcursor",
)
_MORE: Final = ("hasmore", "hasnext", "hasnextpage", "more")
_TELLING: Final = frozenset((*_URLS, *_CURSORS, *_MORE))
"""Names of members, letters and digits only, in lower case."""
_INSIDE: Final = frozenset(
    {
        "meta",
        "metadata",
        "paging",
        "pagination",
        "pageinfo",
        "responsemetadata",
        "info",
        "links",
        "cursor",
        "cursors",
        "page",
    }
)
"""Members in which they may be, one level down."""
_LONGEST: Final = 2000
_LONGEST_NAME: Final = 64
_MOST: Final = 100
"""Members that are looked at."""
_NOT_NAME: Final = re.compile(r"[^a-z0-9]")


@attrs.frozen
class NextPage:
    """What to call with for the next page.

    Attributes:
        said: For people and models: `page=3, n=5`.
        arguments: Of the tool's arguments, those to change.
    """

    said: str
    arguments: Json


def next_page(answer: Answer, value: Any, tool: Tool, request: Request) -> NextPage | None:
    """The next page, as the `Link` header (RFC 8288), a URL or a cursor in the answer says; None for none.

    Args:
        answer: The answer.
        value: Its JSON, None for none.
        tool: The tool that was called.
        request: What was sent.
    """
    link = answer.headers.get(b"link")
    found = _NEXT.search(link.decode("latin-1")) if link else None
    if found is not None:
        return _of_url(found[1], tool, request)
    members = _members(value) if isinstance(value, dict) else ()
    if not members or any(key in _MORE and said is False for key, said in members):
        return None
    for key, said in members:
        if key in _URLS and isinstance(said, dict):
            said = said.get("href")
        if key in _URLS and isinstance(said, str) and "?" in said:
            return _of_url(said, tool, request)
        if (key in _CURSORS or key == "next") and isinstance(said, str | int) and not isinstance(said, bool):
            page = _of_cursor(key, said, tool)
            if page is not None:
                return page
    return None


def _plain(name: str) -> str:
    return _NOT_NAME.sub("", name.lower())


@lru_cache(2048)  # answers of one API have the same names again and again
def _role(name: str) -> str:
    """What a member may tell, going by its name; "" for nothing."""
    key = _plain(name[:_LONGEST_NAME])
    return key if key in _INSIDE or key in _TELLING else ""


def _members(value: Json) -> list[tuple[str, Any]]:
    """The members of an answer that may tell, and of what it has for that purpose."""
    there = [(key, item) for name, item in islice(value.items(), _MOST) if (key := _role(name))]
    return [
        pair
        for key, item in there
        for pair in (
            [(_role(name), inner) for name, inner in islice(item.items(), _MOST)]
            if key in _INSIDE and isinstance(item, dict)
            else [(key, item)]
        )
    ]


def _of_url(url: str, tool: Tool, request: Request) -> NextPage | None:
    """What its query has that the request had not, as far as the tool has arguments for it."""
    try:
        there = parse_qsl(urlsplit(url).query, max_num_fields=100)
    except ValueError:
        return None
    given = dict(parse_qsl(urlsplit(request.target).query))
    known = _query_arguments(tool)
    more = {known[name]: value for name, value in there if name in known and given.get(name) != value}
    return _page(more, {name: _typed(tool, name, value) for name, value in more.items()})


def _of_cursor(key: str, value: str | int, tool: Tool) -> NextPage | None:
    """The argument that a cursor is for: `pageToken` for `nextPageToken`, and the like."""
    if value == "" or len(str(value)) > _LONGEST:
        return None
    known = {_plain(name): argument for name, argument in _query_arguments(tool).items()}
    known = {**{_plain(member): name for name, member in tool.arguments.members.items()}, **known}
    bare = key.removeprefix("next").removeprefix("end")
    wanted = (key, bare, "cursor", "after") if bare in ("cursor", "") else (key, bare)
    for name in wanted:
        if name in known:
            argument = known[name]
            return _page({argument: str(value)}, {argument: _typed(tool, argument, value)})
    return None


def _query_arguments(tool: Tool) -> Mapping[str, str]:
    """Parameters of the query -> their arguments, but those that clients do not set."""
    return {
        one.name: argument
        for argument, one in tool.arguments.parameters.items()
        if one.location == "query" and argument not in tool.fixed
    }


def _typed(tool: Tool, argument: str, value: str | int) -> Any:
    """A value as the argument's schema has it."""
    schema = tool.definition["inputSchema"]["properties"].get(argument)
    kind = schema.get("type") if isinstance(schema, dict) else None
    kinds = kind if isinstance(kind, list) else [kind]
    if "string" in kinds or kinds == [None]:
        return str(value) if "string" in kinds else value
    if (
        isinstance(value, str)
        and re.fullmatch(r"-?[0-9]{1,18}", value)
        and {"integer", "number"} & set(kinds)
    ):
        return int(value)
    return value


def _page(more: Mapping[str, str], arguments: Json) -> NextPage | None:
    if not more:
        return None
    said = ", ".join(f"{name}={value}" for name, value in more.items())
    return NextPage("".join(one if one.isprintable() else " " for one in said[:500]), arguments)
