"""Trying a prompt out: what a client would get, without anything being kept."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from portico.api import Refused
from portico_plugins.transports.management_api.bodies import Config, read
from portico_plugins.transports.management_api.problems import Problem, missing
from portico_plugins.transports.management_api.table import Answer, Call, Operation


class Trial(Struct, forbid_unknown_fields=True, frozen=True):
    """Arguments to fill a prompt in with; with `config`, one that is not kept, or not yet."""

    arguments: Annotated[dict[str, str], Meta(description="As a client would give them.")] = field(
        default_factory=dict
    )
    config: Config | UnsetType = UNSET


class Rendered(Struct, frozen=True):
    """What a client would get."""

    description: str
    messages: list[dict[str, Any]]


def operations() -> tuple[Operation, ...]:
    """The part of the route table."""
    return (
        Operation(
            "POST",
            "/prompts/{name}/render",
            "renderPrompt",
            "Fill a prompt in, as it is or as it would be; nothing is kept of it.",
            render,
            {200: Rendered},
            body=Trial,
            kind="prompts",
            problems=(404, 415, 422),
        ),
    )


async def render(call: Call) -> Answer:
    """Fill it in."""
    trial = read(call.body, Trial)
    management = call.host.management
    config = None if isinstance(trial.config, UnsetType) else trial.config
    if config is None and management.get("prompts", call.name) is None:
        raise missing("prompts", call.name, (each.name for each in management.all("prompts")))
    try:
        made = await management.render(call.name, trial.arguments, config)
    except Refused as refused:
        wrong = [("arguments", refused.message)]
        raise Problem(422, "invalid", "It cannot be filled in with these arguments", wrong) from None
    return Answer(200, Rendered(made.get("description", ""), made["messages"]))
