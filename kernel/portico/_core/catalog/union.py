"""What the offers of several upstreams come to when one server shows them: capabilities and instructions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from portico._core.contracts.exchange import Era
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Offer
from portico._core.protocol.eras import TASKS_EXTENSION, TASKS_REVISION


def as_object(value: Any) -> Json:
    """The value if it is a JSON object, else an empty one.

    Upstreams may send anything, and one that sends nonsense must not end the catalog of the others.
    """
    return value if isinstance(value, dict) else {}


def capabilities_of(chosen: Sequence[tuple[str, Offer]], growing: bool = False) -> Json:
    """The union of what the gateway can honour, in the modern form.

    Args:
        chosen: Upstreams and their offers.
        growing: Whether others may come at run time, so that it can do whatever they may bring.
    """
    every = [offer.capabilities for _, offer in chosen]
    out: Json = {}
    # An upstream that has not answered yet may have anything; tools are what it most likely has.
    if growing or any("tools" in have for have in every) or any(not offer.eras for _, offer in chosen):
        out["tools"] = {"listChanged": True}
    if growing or any("resources" in have for have in every):
        subscribe = growing or any(as_object(have.get("resources")).get("subscribe") for have in every)
        out["resources"] = {"listChanged": True, **({"subscribe": True} if subscribe else {})}
    if growing or any("prompts" in have for have in every):
        out["prompts"] = {"listChanged": True}
    if growing or any("completions" in have for have in every):
        out["completions"] = {}
    if any("logging" in have for have in every):
        out["logging"] = {}
    for key in ("extensions", "experimental"):
        merged: Json = {}
        for have in every:
            for name, value in as_object(have.get(key)).items():
                merged.setdefault(name, value)
        if merged:
            out[key] = merged
    return out


def has_tasks(capabilities: Json) -> bool:
    """Whether a capability object (either side's) has the Tasks extension."""
    extensions = capabilities.get("extensions")
    return isinstance(extensions, dict) and TASKS_EXTENSION in extensions


def supports_tasks(offer: Offer, definition: Json | None) -> bool:
    """Whether calls of a tool may become tasks: servers of 2025-11-25 say which, others never which not."""
    if not has_tasks(offer.capabilities):
        return False
    if Era.MODERN in offer.eras:
        return True
    execution = (definition or {}).get("execution")
    return isinstance(execution, dict) and execution.get("taskSupport") in ("optional", "required")


def told(capabilities: Json, version: str) -> Json:
    """A server's capabilities as a client of a legacy revision hears them."""
    if version != TASKS_REVISION or not has_tasks(capabilities):
        return capabilities
    return {**capabilities, "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}}


def info_of(chosen: Sequence[tuple[str, Offer]]) -> Json | None:
    """The `serverInfo` of an only upstream; None where there is none to be had."""
    info = as_object(chosen[0][1].info) if len(chosen) == 1 else {}
    told = all(isinstance(info.get(key), str) for key in ("name", "version"))
    return info if told else None


def instructions_of(chosen: Sequence[tuple[str, Offer]], unheard: Collection[str] = ()) -> str:
    """Their instructions, each under its upstream's name where there are several upstreams.

    Args:
        chosen: Upstreams and their offers.
        unheard: Upstreams whose instructions are left out.
    """
    every = [(name, offer.instructions.strip()) for name, offer in chosen if name not in unheard]
    said = [(name, text) for name, text in every if text]
    if len(chosen) == 1 and said:
        return said[0][1]
    return "\n\n".join(f"[{name}] {text}" for name, text in said)
