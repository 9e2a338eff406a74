"""The whole route table, and what ContextForge has that is not here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from portico_contextforge import exchange, gateways, others, rpc, servers, things
from portico_contextforge.errors import later
from portico_contextforge.table import Operation

RPC: Final = "/rpc"
OPERATIONS: Final = (
    Operation("GET", "/health", others.health, open=True),
    Operation("GET", "/ready", others.ready, open=True),
    Operation("GET", "/version", others.version),
    Operation("GET", "/gateways", gateways.list_),
    Operation("POST", "/gateways", gateways.create),
    Operation("GET", "/gateways/{}", gateways.get),
    Operation("PUT", "/gateways/{}", gateways.update),
    Operation("DELETE", "/gateways/{}", gateways.delete),
    Operation("POST", "/gateways/{}/state", gateways.state),
    Operation("POST", "/gateways/{}/toggle", gateways.state),
    Operation("POST", "/gateways/{}/tools/refresh", gateways.refresh),
    Operation("GET", "/servers", servers.list_),
    Operation("POST", "/servers", servers.create),
    Operation("GET", "/servers/{}", servers.get),
    Operation("PUT", "/servers/{}", servers.update),
    Operation("DELETE", "/servers/{}", servers.delete),
    Operation("POST", "/servers/{}/state", servers.state),
    Operation("POST", "/servers/{}/toggle", servers.state),
    Operation("GET", "/servers/{}/tools", servers.shows("tools")),
    Operation("GET", "/servers/{}/resources", servers.shows("resources")),
    Operation("GET", "/servers/{}/prompts", servers.shows("prompts")),
    Operation("GET", "/servers/{}/sse", servers.sse),
    Operation("POST", "/servers/{}/message", servers.sse),
    *things.operations("tools"),
    Operation("GET", "/tools/{}", things.Things("tools").get),
    Operation("POST", "/tools/invoke/{*}", rpc.invoke, serves=True),
    *things.operations("resources"),
    Operation("GET", "/resources/{*}", rpc.read, serves=True),
    Operation("GET", "/resources/{}/info", things.Things("resources").get),
    Operation("GET", "/resources/templates/list", rpc.templates, serves=True),
    Operation("GET", "/resources/test/{*}", rpc.try_uri, serves=True),
    *things.operations("prompts"),
    Operation("GET", "/prompts/{}", rpc.render, serves=True),
    Operation("POST", "/prompts/{}", rpc.render, serves=True),
    Operation("POST", RPC, rpc.rpc, serves=True),
    Operation("POST", "/initialize", rpc.initialize, serves=True),
    Operation("POST", "/notifications", rpc.notifications, serves=True),
    Operation("POST", "/protocol/initialize", rpc.initialize, serves=True),
    Operation("POST", "/protocol/ping", rpc.ping, serves=True),
    Operation("POST", "/protocol/notifications", rpc.notifications, serves=True),
    Operation("POST", "/protocol/completion/complete", rpc.complete, serves=True),
    Operation("POST", "/protocol/sampling/createMessage", rpc.sampling, serves=True),
    Operation("GET", "/tags", others.tags),
    Operation("GET", "/tags/{}/entities", others.tagged),
    Operation("GET", "/metrics", others.metrics),
    Operation("POST", "/metrics/reset", others.reset_metrics),
    Operation("GET", "/export", exchange.export),
    Operation("POST", "/export/selective", exchange.export_selected),
    Operation("POST", "/import", exchange.import_),
    Operation("POST", "/admin/tools/import", exchange.import_tools),
)

_USERS: Final = (
    "users, teams, tokens and roles are not there yet: who may come in is for the auth plugins to say"
)
_OLD: Final = (
    "it takes the transports `sse` or `websocket`; or connect to /servers/ID/mcp or /mcp (streamable HTTP)"
)
_ABSENT: Final = {
    "a2a": "A2A agents are not there yet",
    "admin": "the admin UI and its routes are not there yet",
    "appbridge": "MCP Apps sessions are not there yet",
    "auth": _USERS,
    "cancellation": "calls are cancelled by notifications/cancelled, or by closing the connection",
    "catalog": "use `gateway catalog search` and `gateway catalog add`",
    "compliance": "compliance reports are not there",
    "llm": "the LLM proxy is not there yet",
    "llmchat": "the LLM chat is not there yet",
    "logging": "the gateway's own log level is for the operator to set",
    "mcp-servers": "use POST /api/v1/upstreams/test of the management API",
    "message": _OLD,
    "observability": "traces are not there yet",
    "plugins": "use `gateway plugins list`",
    "rbac": _USERS,
    "reverse-proxy": "the reverse proxy is not there yet",
    "roots": "roots are the clients' here",
    "search": "use the filters of lists",
    "sse": _OLD,
    "teams": _USERS,
    "tokens": _USERS,
    "toolops": "tool operations are not there",
    "ws": _OLD,
}
HEADS: Final = frozenset({*_ABSENT, *(each.parts[0] for each in OPERATIONS)})
"""The first parts of all these paths."""

_ABSENT_BELOW: Final = {
    ("import", "status"): "imports are done when they are answered; the answer is their status",
    ("import", "cleanup"): "imports are done when they are answered",
    ("resources", "subscribe"): "subscribe as an MCP client: resources/subscribe at /servers/ID/mcp or /mcp",
    ("tools", "generate-schemas-from-openapi"): "use an upstream of kind `rest` with an `openapi` document",
    ("tools", "plugin_bindings"): "policies are for the operator to configure",
    ("metrics", "prometheus"): "Prometheus metrics are not there yet",
    ("health", "security"): "`gateway check` judges a configuration",
}


def not_here(parts: Sequence[str]) -> None:
    """Whether ContextForge has a path that this plugin has not.

    Raises:
        Trouble: 501 with the reason.
    """
    if list(parts[:3]) == ["admin", "tools", "import"]:
        return
    why = _ABSENT.get(parts[0]) or (_ABSENT_BELOW.get((parts[0], parts[1])) if len(parts) > 1 else None)
    if why is not None:
        raise later(f"/{parts[0]}: {why}")
