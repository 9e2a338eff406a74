"""The skills of an agent as tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import attrs

from portico.api import Json, nearest

from .config import A2aConfig

SEND: Final = "send"
"""The tool of an agent with one skill, or none."""
_NAME: Final = 64
_DESCRIPTION: Final = 4000
_EXAMPLES: Final = 5
_TEXTUAL: Final = re.compile(r"text(/.*)?|application/json", re.IGNORECASE)


@attrs.frozen(eq=False)
class Skill:
    """A tool.

    Attributes:
        id: The skill's own id; "" where the agent has none.
        definition: The tool's definition.
    """

    id: str
    definition: Json


@attrs.frozen
class Skills:
    """The tools of an agent.

    Attributes:
        tools: By name, in the card's order.
        left_out: Ids of skills that would have been, had there not been too many of them.
        idle: Patterns that fit no skill, and the nearest name.
        lack: Why there is no tool; "" if there is one.
    """

    tools: Mapping[str, Skill]
    left_out: tuple[str, ...] = ()
    idle: tuple[tuple[str, str], ...] = ()
    lack: str = ""


def skills_of(card: Json, config: A2aConfig) -> Skills:
    """The tools of an agent: one for each chosen skill; one called `send` where there is one skill, or none.

    Args:
        card: ProtoJSON of the card.
        config: The upstream's configuration.
    """
    every = [each for each in card.get("skills", ()) if isinstance(each, dict)]
    wanted = [each for each in every if _wanted(each, config)]
    if not every:
        nothing: Json = {"description": card.get("description", "")}
        return Skills({SEND: Skill("", _definition(SEND, nothing, card, config))})
    names = _names(wanted) if len(every) > 1 else [SEND for _ in wanted]
    found = {
        name: Skill(str(skill.get("id", "")), _definition(name, skill, card, config))
        for name, skill in zip(names, wanted, strict=True)
    }
    kept = dict(list(found.items())[: config.max_tools])
    return Skills(
        kept,
        tuple(skill.id for name, skill in found.items() if name not in kept),
        tuple(_idle(every, (*config.skills, *config.exclude))),
        "" if wanted else f"no_skills (`skills` and `exclude` leave none of {len(every)})",
    )


def _idle(skills: list[Json], patterns: Iterable[str]) -> Iterator[tuple[str, str]]:
    names = {name for skill in skills for name in _names_of(skill)}
    for pattern in patterns:
        if not _fits(names, (pattern,)):
            yield pattern, nearest(pattern, names)[2:]


def _wanted(skill: Json, config: A2aConfig) -> bool:
    names = _names_of(skill)
    return _fits(names, config.skills) and not _fits(names, config.exclude)


def _names_of(skill: Json) -> list[str]:
    return [str(skill.get("id", "")), *(f"tag:{tag}" for tag in skill.get("tags", ()))]


def _fits(names: Iterable[str], patterns: tuple[str, ...]) -> bool:
    given = [(name, pattern) for name in names for pattern in patterns]
    # A tag fits only a pattern that says it is of tags: `*` is of ids.
    return any(
        fnmatchcase(name, pattern)
        for name, pattern in given
        if name.startswith("tag:") == pattern.startswith("tag:")
    )


def _names(skills: list[Json]) -> list[str]:
    """Their ids as names of tools; those that come out the same are numbered in the card's order."""
    taken: set[str] = set()
    out = []
    for skill in skills:
        clean = re.sub(r"[^0-9A-Za-z_-]+", "_", str(skill.get("id", ""))).strip("_")[:_NAME] or "skill"
        name, number = clean, 2
        while name in taken:
            ending = f"_{number}"
            name, number = clean[: _NAME - len(ending)] + ending, number + 1
        taken.add(name)
        out.append(name)
    return out


def _definition(name: str, skill: Json, card: Json, config: A2aConfig) -> Json:
    definition: Json = {
        "name": name,
        "description": _description(skill, card),
        "inputSchema": _input(skill.get("inputModes") or card.get("defaultInputModes") or [], config),
        "annotations": {"openWorldHint": True},
    }
    title = str(skill.get("name") or card.get("name", ""))[:200]
    if title:
        definition["title"] = title
    if config.output_schemas:
        definition["outputSchema"] = OUTPUT
    return definition


def _description(skill: Json, card: Json) -> str:
    lines = [str(skill.get("description") or card.get("description", "")).strip()]
    examples = [str(each).strip() for each in skill.get("examples", ())][:_EXAMPLES]
    if examples:
        lines.append("Examples:\n" + "\n".join(f"- {each}" for each in examples))
    tags = [str(each) for each in skill.get("tags", ())]
    if tags:
        lines.append("Tags: " + ", ".join(tags))
    return "\n\n".join(line for line in lines if line)[:_DESCRIPTION]


def _input(modes: list[Any], config: A2aConfig) -> Json:
    """What a tool takes: files unless the skill says that it takes text only."""
    properties: Json = {
        "message": {
            "type": "string",
            "description": "What to say to the agent. Needed, unless there is data.",
        },
        "data": {"type": "object", "description": "Structured input, if the agent wants any."},
    }
    if not modes or not all(_TEXTUAL.fullmatch(str(mode)) for mode in modes):
        properties["files"] = _files(config)
    properties |= {
        "contextId": {"type": "string", "description": "Goes on with a conversation: as an answer had it."},
        "taskId": {
            "type": "string",
            "description": "Answers the question of a task whose state is input_required: as that had it.",
        },
        "referenceTaskIds": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Earlier tasks that this is about.",
        },
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _files(config: A2aConfig) -> Json:
    each: Json = {
        "name": {"type": "string"},
        "mediaType": {"type": "string"},
        "base64": {"type": "string", "description": "The content."},
    }
    if config.file_urls != "none":
        each["url"] = {"type": "string", "description": "Where the agent finds it, instead of the content."}
    return {
        "type": "array",
        "items": {"type": "object", "properties": each, "additionalProperties": False},
        "description": "Files for the agent.",
    }


_STATES: Final = (
    "submitted",
    "working",
    "completed",
    "failed",
    "canceled",
    "input_required",
    "rejected",
    "auth_required",
)
OUTPUT: Final[Json] = {
    "type": "object",
    "properties": {
        "state": {"type": "string", "enum": list(_STATES), "description": "What became of it."},
        "taskId": {"type": "string"},
        "contextId": {"type": "string"},
        "message": {"type": "string", "description": "What the agent says."},
        "data": {"type": "array", "description": "What the agent says, structured."},
        "url": {"type": "string", "description": "Where to give the agent the authorization it asks for."},
        "artifacts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "artifactId": {"type": "string"},
                    "name": {"type": "string"},
                    "description": {"type": "string"},
                    "parts": {"type": "array", "items": {"type": "object"}},
                },
                "required": ["artifactId", "parts"],
            },
        },
    },
    "required": ["state"],
}
"""What a tool answers with."""
