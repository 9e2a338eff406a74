"""`/servers`: virtual servers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import attrs

from portico.api import Change, Json, Managed
from portico_contextforge.catalog import Kind, Thing
from portico_contextforge.errors import Trouble, invalid, later
from portico_contextforge.lists import each_of, listed
from portico_contextforge.naming import pattern, plain_id, record_name
from portico_contextforge.reading import Fields
from portico_contextforge.shown import names_for, server_of
from portico_contextforge.table import Answer, Call
from portico_contextforge.things import SHOW

_KINDS: Final[Sequence[Kind]] = ("tools", "resources", "prompts")
_UUID: Final = re.compile(r"[0-9a-f]{32}")
_NOT_HERE: Final = {
    "oauth_enabled": "OAuth for the clients of one virtual server is not there yet",
    "oauth_config": "OAuth for the clients of one virtual server is not there yet",
    "associated_a2a_agents": "A2A agents are not there yet",
}


async def list_(call: Call) -> Answer:
    """All virtual servers."""
    return listed(call, "servers", each_of(call, server_of, call.catalog.servers))


async def get(call: Call) -> Answer:
    """One."""
    return Answer(_shown(call, call.catalog.server(call.ident)))


async def create(call: Call) -> Answer:
    """Put together what several upstreams offer."""
    fields = Fields(call.fields("server"))
    fields.refuse(_NOT_HERE)
    given = fields.required("name")
    name = _name(fields, given)
    config = _selected(call, fields, {})
    if given and name != given:
        config["title"] = given
    if auth := [ref.name for ref in call.config.server_auth or call.config.auth]:
        config["auth"] = auth
    about = fields.about()
    fields.check()
    management = call.host.management
    if management.get("servers", name) is not None:
        raise Trouble(409, f"Server already exists with name: {given}")
    await management.change([Change("servers", name, config, about, 0)], call.author)
    return Answer(_shown(call, call.changed().server(name)), 201)


async def update(call: Call) -> Answer:
    """Change one; what the body does not have stays."""
    managed = _mine(call)
    fields = Fields(call.fields("server"))
    fields.refuse(_NOT_HERE)
    config = {**managed.config, **_selected(call, fields, managed.config)}
    if "name" in fields:
        config["title"] = fields.text("name")
    about = fields.about(managed.about)
    fields.check()
    await _change(call, managed, config, about)
    return Answer(_shown(call, call.changed().server(managed.name)))


async def state(call: Call) -> Answer:
    """Have one in use, or not."""
    managed = _mine(call)
    about = attrs.evolve(managed.about, enabled=call.flag("activate", True))
    await _change(call, managed, managed.config, about)
    return Answer(_shown(call, call.changed().server(managed.name)))


async def delete(call: Call) -> Answer:
    """Take one down."""
    managed = call.catalog.server(call.ident)
    await call.host.management.change([Change("servers", managed.name, None)], call.author)
    return Answer({"status": "success", "message": f"Server {call.ident} deleted successfully"})


def shows(kind: Kind) -> Any:
    """The handler of `/servers/ID/tools` and the like."""

    async def handler(call: Call) -> Answer:
        server = call.catalog.server(call.ident)
        return Answer(each_of(call, SHOW[kind], call.catalog.shown_by(server, kind)))

    return handler


async def sse(call: Call) -> Answer:
    """The old transport.

    Raises:
        Trouble: 501, always.
    """
    raise later(
        "HTTP+SSE takes a transport `sse`, and `sse` of this one to name it; "
        f"or connect to /servers/{call.ident}/mcp (streamable HTTP)"
    )


def _name(fields: Fields, given: str) -> str:
    """What the record is called: by its id, if it is given one."""
    wanted = fields.text("id")
    if wanted:
        name = plain_id(wanted.lower())
        if not _UUID.fullmatch(name):
            fields.problems.append(("id", "Input should be a valid UUID"))
        return name
    name = record_name(given)
    if given and not name:
        fields.problems.append(("name", "A name has at least one letter or digit"))
    return name


def _selected(call: Call, fields: Fields, before: Json) -> Json:
    """What the associations come to; those the body does not have stay as they are."""
    given = [kind for kind in _KINDS if fields.body.get(f"associated_{kind}") is not None]
    if before and not given:
        return {}
    things: list[Thing] = []
    out: Json = {}
    unknown: list[str] = []
    for kind in _KINDS:
        if before and kind not in given:
            out[kind] = before.get(kind) or {}
            continue
        mine: list[Thing] = []
        for each in fields.words(f"associated_{kind}"):
            try:
                mine.append(call.catalog.find(kind, each))
            except Trouble as trouble:
                unknown.append(str(trouble.detail))
        out[kind] = {"include": list(dict.fromkeys(pattern(each.upstream, each.own) for each in mine))}
        renames = {key: name for each in mine for key, name in names_for(each).items()}
        if renames:
            out[kind]["rename"] = renames
        things += mine
    if unknown:
        raise Trouble(400, "; ".join(unknown))
    kept = before.get("upstreams", ()) if before else ()
    still = {
        text.partition("/")[0] for kind in _KINDS for text in out[kind].get("include", ["*"]) if "/" in text
    }
    everything = any("include" not in out[kind] for kind in _KINDS)
    upstreams = [each for each in kept if everything or each in still]
    out["upstreams"] = list(dict.fromkeys([*upstreams, *(each.upstream for each in things)]))
    return out


def _mine(call: Call) -> Managed:
    """The server asked for, if it can be changed here.

    Raises:
        Trouble: 409; the configuration file has it.
    """
    managed = call.catalog.server(call.ident)
    if managed.record is None:
        raise Trouble(409, f"The configuration file declares server {managed.name!r}; change it there")
    return managed


async def _change(call: Call, managed: Managed, config: Json, about: Any) -> None:
    if managed.record is None:
        raise invalid([("", "it is gone")])
    change = Change("servers", managed.name, config, about, managed.record.version)
    await call.host.management.change([change], call.author)


def _shown(call: Call, managed: Managed) -> Json:
    return server_of(managed, call.catalog)
