"""The tools that somebody has at a virtual server."""

from __future__ import annotations

from collections.abc import Mapping

from portico.api import METHOD_NOT_FOUND, Endpoint, Json, Principal, Refused, carry_out


async def tools_of(endpoint: Endpoint, principal: Principal, headers: Mapping[str, str]) -> dict[str, Json]:
    """The definitions by name, in the server's order; asked for as any client does, policies and all.

    Args:
        endpoint: The virtual server.
        principal: Who asks.
        headers: Of the request, names in lower case.

    Raises:
        Refused: They may not see any list.
    """
    tools: dict[str, Json] = {}
    params: Json = {}
    while True:
        try:
            page = (await carry_out(endpoint, "tools/list", params, principal, headers=headers)).value
        except Refused as refusal:
            if refusal.code == METHOD_NOT_FOUND:
                return {}  # it has none
            raise
        for tool in page.get("tools") or ():
            tools[str(tool["name"])] = tool
        cursor = page.get("nextCursor")
        if cursor is None:
            return tools
        params = {"cursor": cursor}
