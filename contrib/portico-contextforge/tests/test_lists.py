"""Lists in pages, and filtered."""

from __future__ import annotations

from typing import Any, TypeAlias

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported


async def test_a_list_comes_in_pages_if_that_is_asked_for(forge: Forge) -> None:
    await forge.register()
    whole = [each["id"] for each in await forge.ask("GET", "/tools")]
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        page = await forge.ask("GET", f"/tools?include_pagination=true&limit=2&cursor={cursor}")
        found += [each["id"] for each in page["tools"]]
        cursor = page["nextCursor"]
    assert found == whole
    assert len(whole) == 3
    assert len(await forge.ask("GET", "/tools/?limit=1")) == 1
    assert len(await forge.ask("GET", "/v1/tools?limit=0")) == 3
    await forge.ask("GET", "/tools?limit=many", status=422)
    await forge.ask("GET", "/tools?cursor=%21", status=422)
    await forge.ask("GET", "/tools?apijsonpath={}", status=501)


async def test_a_list_is_filtered(forge: Forge) -> None:
    await forge.register(tags=["clock", {"label": "fast"}], visibility="team", team_id="t1")
    for query, number in (
        ("tags=fast", 1), ("tags=slow", 0), ("visibility=team", 1), ("visibility=public", 0),
        ("team_id=t1", 1), ("team_id=t2", 0),
    ):  # fmt: skip
        assert len(await forge.ask("GET", f"/gateways?{query}")) == number
    assert await forge.ask("GET", "/tools?gateway_id=null") == []
    assert await forge.ask("GET", "/tools?gateway_id=unknown") == []
