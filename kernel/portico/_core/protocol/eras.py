"""Protocol revisions, the reserved `_meta` keys, and which methods belong to which era."""

from __future__ import annotations

from typing import Final

LEGACY_VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
MODERN_VERSIONS: Final = ("2026-07-28",)
LATEST_LEGACY: Final = LEGACY_VERSIONS[0]
LATEST_MODERN: Final = MODERN_VERSIONS[0]

META_PREFIX: Final = "io.modelcontextprotocol/"
META_VERSION: Final = META_PREFIX + "protocolVersion"
META_CAPABILITIES: Final = META_PREFIX + "clientCapabilities"
META_CLIENT_INFO: Final = META_PREFIX + "clientInfo"
META_LOG_LEVEL: Final = META_PREFIX + "logLevel"
META_SERVER_INFO: Final = META_PREFIX + "serverInfo"
META_SUBSCRIPTION: Final = META_PREFIX + "subscriptionId"
TASKS_EXTENSION: Final = META_PREFIX + "tasks"
RELATED_TASK: Final = META_PREFIX + "related-task"
TASKS_REVISION: Final = "2025-11-25"
"""The only one whose core has tasks."""

LOG_LEVELS: Final = {
    level: rank
    for rank, level in enumerate(
        ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
    )
}
"""RFC 5424 severities as MCP names them, least severe first."""

NAME_PARAM: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""The parameter that `Mcp-Name` mirrors."""

MRTR_METHODS: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""The only methods that may be answered by `input_required` (2026-07-28, MRTR)."""

LIST_KINDS: Final = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
"""List method -> the member of its result that holds the items."""

LEGACY_ONLY: Final = frozenset(
    {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}
)
"""Requests that a modern client must not send: unknown methods at 2026-07-28."""

CACHEABLE: Final = frozenset({"server/discover", "resources/read", *LIST_KINDS})
"""Methods whose modern result must carry `ttlMs` and `cacheScope`."""

ASK_CAPABILITY: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
"""What a server may ask a client, and the client capability it needs."""


def is_modern(version: object) -> bool:
    """Whether a revision is of the modern era; unknown future dates count as modern."""
    return isinstance(version, str) and version not in LEGACY_VERSIONS and version >= MODERN_VERSIONS[-1]


def negotiate(requested: object) -> str:
    """The legacy revision to answer `initialize` with: the one asked for if we serve it, else our latest."""
    return requested if isinstance(requested, str) and requested in LEGACY_VERSIONS else LATEST_LEGACY
