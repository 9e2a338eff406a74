"""`/rpc` and `/protocol`: MCP requests without a session; and the same over plain HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from portico.api import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    LATEST_LEGACY,
    LEGACY_VERSIONS,
    METHOD_NOT_FOUND,
    OF_A_SESSION,
    PROXIED,
    Credentials,
    Denied,
    Json,
    Principal,
    Refused,
    parse,
)
from portico_contextforge.errors import Trouble, invalid, later, missing
from portico_contextforge.shown import gateway_of
from portico_contextforge.table import Answer, Call

_CLIENTS: Final = frozenset({"sampling/createMessage", "elicitation/create", "roots/list", "list_roots"})
_PASSED: Final = frozenset(
    {
        "tools/list", "tools/call", "resources/list", "resources/read", "resources/templates/list",
        "prompts/list", "prompts/get", "completion/complete",
    }
)  # fmt: skip
_GATEWAY_CODES: Final = 40_000
"""From here on they are the gateway's own; JSON-RPC's and MCP's are negative."""

_NO_SESSION: Final = "Method not found: it needs a session; connect to /servers/ID/mcp or /mcp"
_NO_CLIENT: Final = "Method not found: only clients can answer this, and here is none"


async def rpc(call: Call) -> Answer:
    """One JSON-RPC request; MCP's errors have status 200, as ContextForge's have."""
    try:
        message = parse(call.raw, depth=call.serving.endpoint().depth_limit)
    except Refused as refusal:
        return Answer({"jsonrpc": "2.0", "error": refusal.body(), "id": None}, 400)
    try:
        result = await _result(call, message.method, message.params)
    except Refused as refusal:
        return Answer({"jsonrpc": "2.0", "error": refusal.body(), "id": message.id})
    return Answer({"jsonrpc": "2.0", "result": result, "id": message.id})


async def _result(call: Call, method: str, params: Json) -> Any:
    """What a method gives.

    Raises:
        Refused: As a virtual server refuses.
        Trouble: 401, 403, 404; there is no such server, or the caller may not use it.
    """
    server = str(params.get("server_id") or call.query("server_id") or "")
    if "server_id" in params:
        params = {key: value for key, value in params.items() if key != "server_id"}
    if method == "initialize":
        return await _initialized(call, params, server)
    if method == "ping" or method.startswith("notifications/"):
        return {}
    if method in OF_A_SESSION or method in _CLIENTS:
        raise Refused(METHOD_NOT_FOUND, _NO_SESSION if method in OF_A_SESSION else _NO_CLIENT)
    if method == "list_gateways":
        return {"gateways": await _gateways(call)}
    if method == "list_tools":
        return (await requested(call, "tools/list", params, server))["tools"]
    if method in _PASSED:
        return await requested(call, method, params, server)
    # Before there was tools/call, a tool's name was the method.
    if call.serving.knows(call.serving.endpoint(server), "tools", method):
        return await requested(call, "tools/call", {"name": method, "arguments": params}, server)
    raise Refused(METHOD_NOT_FOUND, "Method not found")


async def requested(call: Call, method: str, params: Json, server: str = "") -> Json:
    """One MCP request of a virtual server on behalf of who is calling."""
    principal = await _principal(call, server) if server else call.principal
    return await call.serving.request(method, params, principal, call.headers, server=server)


async def _principal(call: Call, server: str) -> Principal:
    """Who is calling another virtual server than the one that has let them in."""
    return await call.serving.recognised(credentials_of(call), server)


def credentials_of(call: Call) -> Credentials:
    """What the request says of who is calling."""
    secure, proxied = call.scope["scheme"] == "https", bool(call.scope.get(PROXIED))
    return Credentials(call.headers, call.author.peer, "", secure, proxied)


async def _gateways(call: Call) -> list[Json]:
    try:
        await call.serving.door.enter(credentials_of(call))
    except Denied as denied:
        raise Refused(INTERNAL_ERROR, denied.detail) from None
    return [gateway_of(each, call.catalog) for each in call.catalog.gateways if each.about.enabled]


async def _initialized(call: Call, params: Json, server: str = "") -> Json:
    version = params.get("protocolVersion", params.get("protocol_version"))
    if not isinstance(version, str):
        raise Refused(INVALID_PARAMS, "Invalid params: protocolVersion is missing")
    if server:
        await _principal(call, server)
    endpoint = call.serving.endpoint(server)
    return endpoint.lists.initialize_result(version if version in LEGACY_VERSIONS else LATEST_LEGACY)


# --- /protocol ---------------------------------------------------------------------------------------------


async def initialize(call: Call) -> Answer:
    """The handshake's answer; nothing is remembered of it."""
    body = _object(call)
    params = body["params"] if isinstance(body.get("params"), dict) else body
    try:
        return Answer(await _initialized(call, params))
    except Refused as refusal:
        raise Trouble(400, refusal.message, {"mcp-error-code": "-32002"}) from None


async def ping(call: Call) -> Answer:
    """A JSON-RPC ping."""
    body = _object(call)
    if body.get("method") != "ping":
        error = {"code": -32600, "message": "Invalid Request"}
        return Answer({"jsonrpc": "2.0", "error": error, "id": body.get("id")}, 400)
    return Answer({"jsonrpc": "2.0", "id": body.get("id"), "result": {}})


async def notifications(call: Call) -> Answer:
    """Nobody's notification: there is no session it could be about."""
    _object(call)
    return Answer(None)


async def complete(call: Call) -> Answer:
    """Completions for an argument."""
    return Answer(await requested(call, "completion/complete", _object(call)))


async def sampling(call: Call) -> Answer:
    """What only clients can do.

    Raises:
        Trouble: 501, always.
    """
    raise later("Sampling is answered by clients: connect one to /servers/ID/mcp or /mcp")


def _object(call: Call) -> Json:
    body = call.json
    if not isinstance(body, dict):
        raise invalid([("", "expected an object")])
    return body


# --- over plain HTTP ---------------------------------------------------------------------------------------


async def invoke(call: Call) -> Answer:
    """Call a tool by id or name."""
    body = _object(call) if call.raw.strip() else {}
    arguments = body.get("arguments", body.get("params", {}))
    if not isinstance(arguments, dict):
        raise invalid([("arguments", "Input should be a valid dictionary")])
    if not call.serving.knows(call.serving.endpoint(), "tools", call.ident):
        raise missing("Tool", call.ident)
    return Answer(await requested(call, "tools/call", {"name": call.ident, "arguments": arguments}))


async def render(call: Call) -> Answer:
    """A prompt with its arguments filled in."""
    given: Any = _object(call) if call.raw.strip() else {}
    if isinstance(given.get("args"), dict):
        given = given["args"]
    if not all(isinstance(value, str) for value in given.values()):
        raise invalid([("args", "Arguments of prompts are strings")])
    endpoint = call.serving.endpoint()
    thing = call.catalog.find("prompts", call.ident)
    name = call.serving.name_of(endpoint, "prompts", thing.upstream, thing.own)
    if name is None:
        raise missing("Prompt", call.ident)
    try:
        return Answer(await requested(call, "prompts/get", {"name": name, "arguments": given}))
    except Refused as refusal:
        if refusal.code >= _GATEWAY_CODES:
            raise
        raise Trouble(422, refusal.message) from None  # of the upstream: the arguments are wrong


async def read(call: Call) -> Answer:
    """The content of a resource, by its id or URI; one of a template is not listed, and has no other id."""
    try:
        thing = call.catalog.find("resources", call.ident)
    except Trouble:
        if ":" not in call.ident:
            raise
        ident, uri, shown_uri = call.ident, call.ident, call.ident
    else:
        ident, shown_uri = thing.id, thing.own
        uri = call.serving.endpoint().view.advertised_uri(thing.upstream, thing.own)
    content = await _content(call, uri)
    shown = {"type": "resource", "id": ident, "uri": shown_uri, "mime_type": content.get("mimeType")}
    return Answer({**shown, **{key: content[key] for key in ("text", "blob") if key in content}})


async def try_uri(call: Call) -> Answer:
    """The content at a URI."""
    return Answer({"content": await _content(call, call.ident)})


async def _content(call: Call, uri: str) -> Mapping[str, Any]:
    try:
        result = await requested(call, "resources/read", {"uri": uri})
    except Refused as refusal:
        if "uri" in (refusal.data or {}):
            raise missing("Resource", uri) from None
        raise
    contents = result.get("contents") or [{}]
    first: Mapping[str, Any] = contents[0]
    return first


async def templates(call: Call) -> Answer:
    """Templates of resources, as MCP lists them."""
    try:
        return Answer(await requested(call, "resources/templates/list", {}))
    except Refused as refusal:
        if refusal.code != METHOD_NOT_FOUND:
            raise
        return Answer({"resourceTemplates": []})
