"""`/gateways`: upstreams."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Final

import attrs

from portico.api import Change, Json, Managed
from portico_contextforge.errors import Trouble, later
from portico_contextforge.lists import each_of, listed
from portico_contextforge.naming import REST, ident, record_name
from portico_contextforge.reading import Fields
from portico_contextforge.renaming import keeps_secrets, renamed
from portico_contextforge.shown import MASK, gateway_of, moment
from portico_contextforge.table import Answer, Call

_STEP: Final = 0.02
_UPSTREAM_AUTHORIZATION: Final = "x-upstream-authorization"
_NOT_HERE: Final = {
    "oauth_config": "OAuth towards upstreams is not there; give a token as auth_type bearer",
    "auth_query_param_key": "credentials in URLs are not sent; use auth_type authheaders",
    "one_time_auth": "credentials that are used only once are not there",
    "ca_certificate": "a CA of its own is for the operator to configure",
    "client_cert": "client certificates are for the operator to configure",
    "client_key": "client certificates are for the operator to configure",
    "identity_propagation": "the caller's identity is not sent on",
}
AUTH: Final = (
    "auth_type", "auth_username", "auth_password", "auth_token", "auth_header_key", "auth_header_value",
    "auth_headers",
)  # fmt: skip


async def list_(call: Call) -> Answer:
    """All gateways."""
    return listed(call, "gateways", each_of(call, gateway_of, call.catalog.gateways))


async def get(call: Call) -> Answer:
    """One."""
    return Answer(gateway_of(call.catalog.gateway(call.ident), call.catalog))


async def create(call: Call) -> Answer:
    """Connect to an MCP server; if that can be done, keep it as a gateway."""
    fields = Fields(call.fields("gateway"))
    given, url = fields.required("name"), fields.required("url")
    name = record_name(given)
    if given and not name:
        fields.problems.append(("name", "A name has at least one letter or digit"))
    _unreserved(fields, name)
    config: Json = {"use": "mcp", "url": url}
    _transport(fields, config)
    headers = headers_of(fields)
    if headers:
        config["headers"] = headers
    else:
        # Credentials of its own are never to be replaced by a client's.
        config["pass_upstream_authorization"] = True
    about = fields.about()
    fields.check()
    management = call.host.management
    if management.get("upstreams", name) is not None:
        raise Trouble(409, "Gateway name already exists")
    if about.enabled:
        await _try(call, name, config)
    await management.change([Change("upstreams", name, config, about, 0)], call.author)
    if about.enabled:
        await settled(call, name)
    return Answer(_shown(call, name))


async def update(call: Call) -> Answer:
    """Change one; what the body does not have stays."""
    managed = call.catalog.gateway(call.ident)
    fields = Fields(call.fields("gateway"))
    name = record_name(fields.text("name", managed.name))
    if not name:
        fields.problems.append(("name", "A name has at least one letter or digit"))
    _unreserved(fields, name)
    config: Json = dict(managed.config)
    config["url"] = fields.text("url", str(config.get("url", "")))
    if "transport" in fields:
        config.pop("protocol", None)
        _transport(fields, config)
    if any(name in fields for name in AUTH):
        headers = headers_of(fields)
        kept = config.get("headers") or {}
        config["headers"] = {
            key: kept.get(key, value) if value == MASK else value for key, value in headers.items()
        }
        config["pass_upstream_authorization"] = not headers
    about = fields.about(managed.about)
    management = call.host.management
    if name not in ("", managed.name) and keeps_secrets(config):
        fields.problems.append(
            ("name", "With another name it needs its credentials anew: nobody can see them")
        )
    fields.check()
    if name == managed.name:
        version = managed.record.version if managed.record else 0
        changes = [Change("upstreams", name, config, about, version)]
    elif management.get("upstreams", name) is not None:
        raise Trouble(409, "Gateway name already exists")
    else:
        changes = renamed(management, managed, name, config, about)
    await management.change(changes, call.author)
    if about.enabled:
        await settled(call, name)
    return Answer(_shown(call, name))


async def delete(call: Call) -> Answer:
    """Forget one."""
    managed = call.catalog.gateway(call.ident)
    await call.host.management.change([Change("upstreams", managed.name, None)], call.author)
    return Answer({"status": "success", "message": f"Gateway {call.ident} deleted"})


async def state(call: Call) -> Answer:
    """Have one in use, or not."""
    managed = call.catalog.gateway(call.ident)
    activate = call.flag("activate", True)
    if managed.record is None:
        raise Trouble(409, "The configuration file declares it; it is to be changed there")
    record = managed.record
    about = attrs.evolve(managed.about, enabled=activate)
    await call.host.management.change(
        [Change("upstreams", managed.name, managed.config, about, record.version)], call.author
    )
    if activate:
        await settled(call, managed.name)
    word = "activated" if activate else "deactivated"
    return Answer(
        {
            "status": "success",
            "message": f"Gateway {call.ident} {word}",
            "gateway": _shown(call, managed.name),
        }
    )


async def refresh(call: Call) -> Answer:
    """Have its lists fetched again, and tell what differs."""
    managed = call.catalog.gateway(call.ident)
    management, clock = call.host.management, call.host.clock
    began = clock.monotonic()
    before = management.offers().get(managed.name)
    if await management.refresh(managed.name) is None:
        raise Trouble(409, f"Gateway {managed.name} is not in use, or has nothing to fetch")
    while management.offers().get(managed.name) is before:
        if clock.monotonic() - began > call.config.register_seconds:
            raise Trouble(504, f"Gateway {managed.name} has not answered; its lists are fetched when it does")
        await asyncio.sleep(_STEP)
    after = management.offers().get(managed.name)
    counts: Json = {}
    for kind, key in (("tools", "name"), ("resources", "uri"), ("prompts", "name")):
        old, new = ({each.get(key): each for each in getattr(offer, kind, ())} for offer in (before, after))
        counts[f"{kind}Added"] = len(new.keys() - old.keys())
        counts[f"{kind}Updated"] = sum(new[name] != old[name] for name in new.keys() & old.keys())
        counts[f"{kind}Removed"] = len(old.keys() - new.keys())
    return Answer(
        {
            "gatewayId": ident("gateways", managed.name),
            "success": True,
            "error": None,
            **counts,
            "validationErrors": [],
            "durationMs": round((clock.monotonic() - began) * 1000, 2),
            "refreshedAt": moment(clock.time()),
        }
    )


def _unreserved(fields: Fields, name: str) -> None:
    if name.startswith(REST):
        fields.problems.append(("name", f"Names that begin with {REST!r} are those of REST tools"))


def _transport(fields: Fields, config: Json) -> None:
    """ContextForge's default is SSE; here, what nobody says is found out."""
    wanted = fields.text("transport").upper().replace("_", "")
    if wanted == "SSE":
        config["protocol"] = "sse"
    elif wanted not in ("", "STREAMABLEHTTP", "HTTP"):
        fields.problems.append(("transport", "Input should be SSE or STREAMABLEHTTP"))


def headers_of(fields: Fields) -> dict[str, str]:
    """The headers that credentials become.

    Raises:
        Trouble: 501 for kinds there are not here.
    """
    fields.refuse(_NOT_HERE)
    _passed(fields)
    kind = fields.text("auth_type").lower()
    if kind in ("", "none"):
        return {}
    if kind == "bearer":
        return {"Authorization": f"Bearer {fields.required('auth_token')}"}
    if kind == "basic":
        pair = f"{fields.required('auth_username')}:{fields.required('auth_password')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    if kind != "authheaders":
        raise later(f"auth_type: {kind!r} is not there; use basic, bearer or authheaders")
    found: Any = fields.body.get("auth_headers") or []
    if not found and "auth_header_key" in fields:
        found = [{"key": fields.text("auth_header_key"), "value": fields.text("auth_header_value")}]
    if not isinstance(found, list) or not all(isinstance(each, dict) and each.get("key") for each in found):
        fields.problems.append(("auth_headers", "Input should be a list of key and value"))
        return {}
    return {str(each["key"]): str(each.get("value", "")) for each in found}


def _passed(fields: Fields) -> None:
    """`X-Upstream-Authorization` always reaches a gateway without credentials; others cannot be named.

    Raises:
        Trouble: 501.
    """
    for name in fields.words("passthrough_headers"):
        if name.lower() not in (_UPSTREAM_AUTHORIZATION, "authorization"):
            raise later(f"passthrough_headers: {name!r} is not sent on; only X-Upstream-Authorization is")


async def _try(call: Call, name: str, config: Json) -> None:
    """Connect to it.

    Raises:
        Trouble: 502; it cannot be reached, or is no MCP server.
        ConfigError: It cannot be a gateway.
    """
    seen = await call.host.management.probe(name, config)
    if seen.get("state") != "ready":
        reason = seen.get("reason") or "it does not answer"
        raise Trouble(502, f"Failed to initialize gateway at {config['url']}: {reason}")


async def settled(call: Call, name: str) -> Managed | None:
    """Wait until its tools are listed, or it is clear that they cannot be."""
    clock = call.host.clock
    until = clock.monotonic() + call.config.register_seconds
    while True:
        found = call.host.management.get("upstreams", name)
        if found is None or found.state != "starting" or clock.monotonic() > until:
            return found
        await asyncio.sleep(_STEP)


def _shown(call: Call, name: str) -> Json:
    return gateway_of(call.changed().gateway(name), call.catalog)
