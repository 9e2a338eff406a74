"""The tools that somebody has at a virtual server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from portico.api import METHOD_NOT_FOUND, Endpoint, Json, Principal, Refused, carry_out


class _Page(msgspec.Struct, rename="camel"):
    next_cursor: str | None = None


class _Tools(msgspec.Struct):
    tools: list[Json] = []


_page = msgspec.json.Decoder(_Page).decode
_tools = msgspec.json.Decoder(_Tools).decode


async def pages_of(endpoint: Endpoint, principal: Principal, headers: Mapping[str, str]) -> Sequence[bytes]:
    """The answers to `tools/list`; asked for as any client does, policies and all.

    Args:
        endpoint: The virtual server.
        principal: Who asks.
        headers: Of the request, names in lower case.

    Raises:
        Refused: They may not see any list.
    """
    pages: list[bytes] = []
    params: Json = {}
    while True:
        try:
            page = await carry_out(endpoint, "tools/list", params, principal, headers=headers)
        except Refused as refusal:
            if refusal.code == METHOD_NOT_FOUND:
                return ()  # it has none
            raise
        pages.append(page.raw)
        cursor = _page(page.raw).next_cursor
        if cursor is None:
            return pages
        params = {"cursor": cursor}


def tools_in(pages: Sequence[bytes]) -> dict[str, Json]:
    """The definitions in such answers by name, in the server's order."""
    return {str(tool["name"]): tool for page in pages for tool in _tools(page).tools}
