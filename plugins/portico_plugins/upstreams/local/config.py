"""What can be configured of a `local` upstream."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import Final

import attrs

from portico.api import doc, positive

PLACE: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
"""The only thing a template can do: no expression, loop or attribute can cost or reach anything."""


@attrs.frozen(kw_only=True)
class Argument:
    """An argument of a prompt."""

    name: str = attrs.field(metadata=doc("Its name."))
    description: str = attrs.field(default="", metadata=doc("For people."))
    required: bool = attrs.field(default=False, metadata=doc("Whether it must be given."))
    default: str = attrs.field(default="", metadata=doc("Its value where it is not given."))


@attrs.frozen(kw_only=True)
class Prompt:
    """A prompt of one message."""

    template: str = attrs.field(metadata=doc("Its text; `{{ name }}` stands for an argument."))
    title: str = attrs.field(default="", metadata=doc("For people."))
    description: str = attrs.field(default="", metadata=doc("What it is for."))
    arguments: tuple[Argument, ...] = attrs.field(default=(), metadata=doc("What can be filled in."))

    def __attrs_post_init__(self) -> None:
        unknown = set(PLACE.findall(self.template)) - {each.name for each in self.arguments}
        if unknown:
            raise ValueError(f"template: {min(unknown)!r} is none of its arguments")
        if re.search(r"\{\{|\{%|\{#", PLACE.sub("", self.template)):
            raise ValueError("template: only `{{ name }}` can be filled in")


@attrs.frozen(kw_only=True)
class Resource:
    """A resource: either `text` or `blob`."""

    uri: str = attrs.field(metadata=doc("Its URI."))
    title: str = attrs.field(default="", metadata=doc("For people."))
    description: str = attrs.field(default="", metadata=doc("What it is."))
    mime_type: str = attrs.field(default="", metadata=doc("Its type; guessed from the URI by default."))
    text: str | None = attrs.field(default=None, metadata=doc("Its content."))
    blob: str | None = attrs.field(default=None, metadata=doc("Its content in base64."))

    def __attrs_post_init__(self) -> None:
        if (self.text is None) == (self.blob is None):
            raise ValueError("expected either `text` or `blob`")
        try:
            b64decode(self.blob or "", validate=True)
        except binascii.Error:
            raise ValueError("blob: expected base64") from None


@attrs.frozen(kw_only=True)
class LocalConfig:
    """Prompts and resources by name."""

    prompts: dict[str, Prompt] = attrs.field(factory=dict, metadata=doc("Prompts by name."))
    resources: dict[str, Resource] = attrs.field(factory=dict, metadata=doc("Resources by name."))
    max_size: int = attrs.field(
        default=1_000_000,
        validator=positive,
        metadata=doc("The most characters a filled-in prompt may have."),
    )
