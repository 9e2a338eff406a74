"""The agent card of a virtual server: one skill for each tool (A2A 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)

from portico.api import Endpoint, Json
from portico_plugins.a2a.parts import is_web
from portico_plugins.transports.a2a.bindings import REST
from portico_plugins.transports.a2a.modes import OUTPUT_MODES
from portico_plugins.transports.a2a.wanted import INPUT_MODES

_HOW: Final = 'Send a data part {"tool": name, "arguments": {...}}; anything else is answered with the tools.'
_HINTS: Final = (
    ("readOnlyHint", "read-only"),
    ("destructiveHint", "destructive"),
    ("idempotentHint", "idempotent"),
    ("openWorldHint", "open-world"),
)


@attrs.frozen
class Ways:
    """How an agent is reached.

    Attributes:
        url: Where it is; a path only where the rest is not known, and then nobody is told.
        compat: Whether it speaks A2A 0.3, too.
        grpc: `host:port` of its gRPC binding, "" for none.
        tenant: Which agent is meant there, "" where that needs not be said.
    """

    url: str
    compat: bool = False
    grpc: str = ""
    tenant: str = ""


def card_of(
    endpoint: Endpoint,
    tools: Sequence[Json] | None,
    ways: Ways,
    *,
    scheme: str = "",
    push: bool = False,
) -> AgentCard:
    """The card.

    Args:
        endpoint: The virtual server.
        tools: The definitions of the tools a visitor may see; None for a stranger, who may see none.
        ways: How the agent is reached.
        scheme: The HTTP authentication scheme it wants, "" for none.
        push: Whether it sends push notifications.
    """
    info, instructions = endpoint.lists.info, endpoint.lists.instructions
    card = AgentCard(
        name=str(info.get("title") or info.get("name") or endpoint.name),
        description=" ".join(filter(None, (instructions or f"The tools of {endpoint.name!r}.", _HOW))),
        version=str(info.get("version", "1")),
        supported_interfaces=interfaces_of(ways),
        capabilities=AgentCapabilities(
            streaming=True, push_notifications=push, extended_agent_card=bool(scheme)
        ),
        default_input_modes=INPUT_MODES,
        default_output_modes=OUTPUT_MODES,
        skills=[_STRANGERS] if tools is None else [_skill_of(tool) for tool in tools] or [_NOTHING],
    )
    secure(card, scheme)
    return card


def interfaces_of(ways: Ways) -> list[AgentInterface]:
    """How an agent is reached, the preferred way first."""
    versions = ("1.0", "0.3") if ways.compat else ("1.0",)
    found = [
        AgentInterface(url=ways.url + end, protocol_binding=binding, protocol_version=version)
        for version in versions
        for binding, end in (("JSONRPC", ""), ("HTTP+JSON", REST))
        if not ways.url.startswith("/")
    ]
    if ways.grpc:
        found.append(
            AgentInterface(url=ways.grpc, protocol_binding="GRPC", protocol_version="1.0", tenant=ways.tenant)
        )
    return found


def secure(card: AgentCard, scheme: str) -> None:
    """Have a card say how one has to authenticate.

    Args:
        card: Changed.
        scheme: The HTTP authentication scheme, "" for none.
    """
    card.security_schemes.clear()
    del card.security_requirements[:]
    if scheme:
        way = SecurityScheme(http_auth_security_scheme=HTTPAuthSecurityScheme(scheme=scheme))
        card.security_schemes["http"].CopyFrom(way)
        card.security_requirements.append(SecurityRequirement(schemes={"http": StringList()}))


def without_odd_links(card: AgentCard) -> None:
    """Leave out links that no web page should have: the gateway shows somebody else's card as its own.

    Args:
        card: Changed.
    """
    for field in ("documentation_url", "icon_url"):
        if not is_web(getattr(card, field)):
            card.ClearField(field)
    if not is_web(card.provider.url):
        card.ClearField("provider")  # none without its URL


_STRANGERS: Final = AgentSkill(
    id="authenticate",
    name="Authenticate",
    description="Which skills there are, the extended card says to those who have authenticated.",
    tags=["mcp"],
)

_NOTHING: Final = AgentSkill(
    id="nothing", name="Nothing", description="There is no tool here at present.", tags=["mcp"]
)
"""A card without skills would be none."""


def _skill_of(tool: Json) -> AgentSkill:
    name = str(tool["name"])
    annotations = tool.get("annotations")
    hints = annotations if isinstance(annotations, dict) else {}
    title = tool.get("title") or hints.get("title") or name
    return AgentSkill(
        id=name,
        name=str(title),
        description=str(tool.get("description") or title),
        tags=["mcp", *(tag for hint, tag in _HINTS if hints.get(hint) is True)],
        input_modes=["application/json"],
        output_modes=OUTPUT_MODES,
    )
