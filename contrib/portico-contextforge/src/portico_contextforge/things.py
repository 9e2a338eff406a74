"""`/tools`, `/resources` and `/prompts`: what upstreams offer, and the gateway's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from portico.api import About, Change, Json
from portico_contextforge import rest_writing
from portico_contextforge.catalog import NOUNS, Catalog, Kind, Thing
from portico_contextforge.errors import Trouble
from portico_contextforge.gateways import settled
from portico_contextforge.lists import each_of, listed
from portico_contextforge.naming import LOCAL, record_name
from portico_contextforge.reading import Fields
from portico_contextforge.shown import prompt_of, resource_of, tool_of, words_of
from portico_contextforge.table import Answer, Call, Operation

SHOW: Final[Mapping[Kind, Callable[[Thing, Catalog], Json]]] = {
    "tools": tool_of,
    "resources": resource_of,
    "prompts": prompt_of,
}
_WRAPPERS: Final = {"tools": "tool", "resources": "resource", "prompts": "prompt"}
_PLACE: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def operations(kind: Kind) -> tuple[Operation, ...]:
    """The part of the route table that is about one kind."""
    each = Things(kind)
    return (
        Operation("GET", f"/{kind}", each.list_),
        Operation("POST", f"/{kind}", each.create),
        Operation("PUT", f"/{kind}/{{}}", each.update),
        Operation("DELETE", f"/{kind}/{{}}", each.delete),
        Operation("POST", f"/{kind}/{{}}/state", each.state),
        Operation("POST", f"/{kind}/{{}}/toggle", each.state),
    )


class Things:
    """Handlers for one kind."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self._show = SHOW[kind]

    async def list_(self, call: Call) -> Answer:
        """All of the kind."""
        return listed(call, self.kind, each_of(call, self._show, call.catalog.things(self.kind)))

    async def get(self, call: Call) -> Answer:
        """One, as it is described."""
        return Answer(self._show(call.catalog.find(self.kind, call.ident), call.catalog))

    async def create(self, call: Call) -> Answer:
        """A new one of the gateway's own."""
        fields = Fields(call.fields(_WRAPPERS[self.kind]))
        if self.kind == "tools":
            upstream, own = await rest_writing.create(call, fields)
            return Answer(self._shown(call, upstream, own))
        name, config = self._record(fields, {})
        about = fields.about()
        fields.check()
        management = call.host.management
        if management.get(self.kind, name) is not None:
            raise Trouble(409, f"{NOUNS[self.kind]} already exists with name: {name}")
        uri = config.get("uri")
        if uri and any(uri == each.own and each.local for each in call.catalog.things("resources")):
            raise Trouble(409, f"Resource already exists with URI: {uri}")
        await management.change([Change(self.kind, name, config, about, 0)], call.author)
        return Answer(self._shown(call, LOCAL, str(uri or name)))

    async def update(self, call: Call) -> Answer:
        """Change one: a record of its own, or how an upstream's is shown."""
        thing = call.catalog.find(self.kind, call.ident)
        fields = Fields(call.fields(_WRAPPERS[self.kind]))
        if thing.local and thing.managed is not None and thing.managed.record is not None:
            name, config = self._record(fields, thing.managed.config)
            if name not in ("", thing.managed.name):
                fields.problems.append(("name", "It keeps its name: delete it and create it anew"))
            about = fields.about(thing.about)
            fields.check()
            change = Change(self.kind, thing.managed.name, config, about, thing.managed.record.version)
            await call.host.management.change([change], call.author)
            return Answer(self._shown(call, LOCAL, str(config.get("uri") or thing.own)))
        shown = self._show(thing, call.catalog)
        config = self._override(fields, thing)
        if thing.rest is not None:
            change = rest_writing.update(fields, thing.rest)
            for word in ("enabled", "tags"):  # of the record
                config.pop(word, None)
            fields.only(_OVERRIDDEN | rest_writing.CONFIGURED, shown, "It cannot be changed here")
            fields.check()
            await call.host.management.change([change, *self._kept(thing, config)], call.author)
            await settled(call, thing.upstream)
            return Answer(self._shown(call, thing.upstream, thing.own))
        fields.only(_OVERRIDDEN, shown, "It is its gateway's, and cannot be changed here")
        fields.check()
        await self._keep(call, thing, config)
        return Answer(self._shown(call, thing.upstream, thing.own))

    async def delete(self, call: Call) -> Answer:
        """Delete a record; an upstream's thing can only be taken out of use."""
        thing = call.catalog.find(self.kind, call.ident)
        if thing.rest is not None:
            changes = rest_writing.delete(call.host.management, thing.rest, thing.managed)
            await call.host.management.change(changes, call.author)
        elif thing.local and thing.managed is not None:
            await call.host.management.change([Change(self.kind, thing.managed.name, None)], call.author)
        else:
            raise Trouble(
                409,
                f"{NOUNS[self.kind]} {thing.name} is of gateway {thing.upstream!r}: deactivate it instead",
            )
        word = "permanently deleted" if self.kind == "tools" else "deleted"
        return Answer({"status": "success", "message": f"{NOUNS[self.kind]} {call.ident} {word}"})

    async def state(self, call: Call) -> Answer:
        """Have one in use, or not."""
        thing = call.catalog.find(self.kind, call.ident)
        activate = call.flag("activate", True)
        if thing.rest is not None:
            await call.host.management.change([rest_writing.state(thing.rest, activate)], call.author)
            if activate:
                await settled(call, thing.upstream)
        elif thing.local and thing.managed is not None and thing.managed.record is not None:
            managed = thing.managed
            about = attrs.evolve(managed.about, enabled=activate)
            change = Change(self.kind, managed.name, managed.config, about, thing.managed.record.version)
            await call.host.management.change([change], call.author)
        else:
            config = {key: value for key, value in thing.override.items() if key != "enabled"}
            await self._keep(call, thing, config if activate else {**config, "enabled": False})
        word = "activated" if activate else "deactivated"
        message = f"{NOUNS[self.kind]} {call.ident} {word}"
        shown = self._shown(call, thing.upstream, thing.own)
        return Answer({"status": "success", "message": message, _WRAPPERS[self.kind]: shown})

    # --- what is written ---------------------------------------------------------------------------------

    def _record(self, fields: Fields, before: Json) -> tuple[str, Json]:
        """Name ("" when it is not given) and config of a prompt or resource of the gateway's own."""
        config: Json = dict(before)
        for member in ("title", "description"):
            if member in fields:
                config[member] = fields.text(member)
        if "display_name" in fields and "title" not in fields:
            config["title"] = fields.text("display_name")
        if self.kind == "prompts":
            if "template" in fields or not before:
                config["template"] = fields.required("template")
            if "template" in fields or "arguments" in fields:
                config["arguments"] = _arguments(fields, config)
        else:
            if "uri" in fields or not before:
                config["uri"] = fields.required("uri")
            if "mime_type" in fields:
                config["mime_type"] = fields.text("mime_type")
            if "content" in fields or not before:
                config.pop("blob", None)
                config["text"] = str(fields.body.get("content") or fields.required("content"))
            fields.refuse({"uri_template": "templates of resources come from gateways"})
        given = fields.text("name") if before else fields.required("name")
        name = record_name(given)
        if given and not name:
            fields.problems.append(("name", "A name has at least one letter or digit"))
        return name, config

    def _override(self, fields: Fields, thing: Thing) -> Json:
        config: Json = dict(thing.override)
        wanted = fields.text("custom_name") or fields.text("name")
        if wanted and wanted not in thing.aliases:
            config["name"] = wanted
        title = fields.text("title") or fields.text("display_name")
        if title and title != thing.title:
            config["title"] = title
        if "description" in fields and fields.text("description") != (thing.description or ""):
            config["description"] = fields.text("description")
        if "tags" in fields:
            config["tags"] = list(words_of(fields.body["tags"]))
        if isinstance(fields.body.get("annotations"), dict):
            config["annotations"] = fields.body["annotations"]
        if "enabled" in fields or "is_active" in fields:
            config.pop("enabled", None)
            if not fields.flag("enabled", fields.flag("is_active", True)):
                config["enabled"] = False
        return config

    async def _keep(self, call: Call, thing: Thing, config: Json) -> None:
        if changes := self._kept(thing, config):
            await call.host.management.change(changes, call.author)

    def _kept(self, thing: Thing, config: Json) -> list[Change]:
        """Write an override, or delete one that says nothing any more."""
        managed = thing.managed
        version = managed.record.version if managed is not None and managed.record is not None else 0
        if not config and not version:
            return []
        name = f"{thing.upstream}/{self.kind}/{thing.own}"
        about = managed.about if managed is not None else About()
        return [Change("overrides", name, config or None, about, version)]

    def _shown(self, call: Call, upstream: str, own: str) -> Json:
        catalog = call.changed()
        found = (each for each in catalog.things(self.kind) if (each.upstream, each.own) == (upstream, own))
        thing = next(found, None)
        if thing is None:
            raise Trouble(409, f"{NOUNS[self.kind]} {own} is gone")
        return self._show(thing, catalog)


_OVERRIDDEN: Final = frozenset(
    {
        "name", "custom_name", "title", "display_name", "description", "tags", "annotations", "enabled",
        "is_active",
    }
)  # fmt: skip


def _arguments(fields: Fields, config: Json) -> list[Json]:
    """The arguments of a prompt: those that are described, and those its template merely uses."""
    given: Any = fields.body.get("arguments", config.get("arguments")) or []
    if not isinstance(given, list) or not all(isinstance(each, dict) and each.get("name") for each in given):
        fields.problems.append(("arguments", "Input should be a list of arguments with names"))
        return []
    found = [
        {
            key: each[key]
            for key in ("name", "description", "required", "default")
            if each.get(key) is not None
        }
        for each in given
    ]
    known = {each["name"] for each in found}
    used = dict.fromkeys(_PLACE.findall(str(config.get("template", ""))))
    return [*found, *({"name": name, "required": True} for name in used if name not in known)]
