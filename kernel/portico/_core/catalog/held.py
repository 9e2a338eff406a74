"""What a virtual server holds back: definitions that an upstream changed, until somebody approves of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from portico._core.catalog.uris import Template
from portico._core.contracts.exchange import Target
from portico._core.errors import TOOL_DEFINITION_CHANGED, Refused, failure
from portico._core.steps import Steps

HeldOf = Mapping[str, frozenset[tuple[str, str]]]
"""Upstream -> `(kind, its own name)` of what is held back of it; kinds are the attributes of an `Offer`."""

INSTRUCTIONS: Final = ("instructions", "")
"""What stands for an upstream's instructions."""

_KINDS: Final = {
    "tools": ("tools/list", "tool"),
    "prompts": ("prompts/list", "prompt"),
    "resources": ("resources/list", "resource"),
    "templates": ("resources/templates/list", "resource template"),
}


@attrs.frozen
class Held:
    """What clients of one server do not see, and are told of when they ask for it.

    Attributes:
        names: `(kind, advertised name, URI or template)` -> the upstream.
        uris: `(upstream, its own URI)`.
        templates: Advertised templates, with their upstreams.
        own_templates: Each upstream's own templates.
    """

    names: Mapping[tuple[str, str], str]
    uris: frozenset[tuple[str, str]]
    templates: Sequence[tuple[Template, str]]
    own_templates: Sequence[tuple[str, Template]]

    def check_name(self, kind: str, name: str, request_id: str | None) -> None:
        """Whether there would be such a thing.

        Raises:
            Refused: 40900: there would.
        """
        upstream = self.names.get((kind, name))
        if upstream is not None:
            raise changed(_KINDS[kind][1], upstream, request_id)

    def check_uri(self, uri: str, request_id: str | None) -> None:
        """Whether there would be something to read at an advertised URI.

        Raises:
            Refused: 40900: there would.
        """
        self.check_name("resources", uri, request_id)
        for template, upstream in self.templates:
            if template.matches(uri):
                raise changed("resource template", upstream, request_id)

    def check_own_uri(self, upstream: str, uri: str, request_id: str | None) -> None:
        """Whether an upstream's URI, however it was come by, may be read.

        Raises:
            Refused: 40900: it may not.
        """
        if (upstream, uri) in self.uris:
            raise changed("resource", upstream, request_id)
        for owner, template in self.own_templates:
            if owner == upstream and template.matches(uri):
                raise changed("resource template", upstream, request_id)


def changed(noun: str, upstream: str, request_id: str | None) -> Refused:
    """What a client is told that asks for something held back."""
    return failure(
        TOOL_DEFINITION_CHANGED,
        f"The upstream has changed this {noun}, and nobody has approved of that yet",
        reason="definition_changed",
        upstream=upstream,
        request_id=request_id,
    )


def withholding(
    held: HeldOf,
    items: Mapping[str, list[tuple[str, bytes]]],
    shown: Mapping[str, dict[str, Target]],
    templates: list[tuple[Template, Target]],
) -> Steps[Held | None]:
    """Take what is held back out of a catalog; its names stay taken, so nobody else gets them.

    Args:
        held: What is held back.
        items: As `View` has them.
        shown: Kind -> advertised name -> target.
        templates: As `View` has them.
    """
    names: dict[tuple[str, str], str] = {}
    for kind, targets in shown.items():
        gone: set[str] = set()
        for number, (name, target) in enumerate(targets.items()):
            if target.upstream in held and (kind, target.name) in held[target.upstream]:
                gone.add(name)
            if number % 500 == 0:
                yield
        if gone:
            method = _KINDS[kind][0]
            items[method][:] = [item for item in items[method] if item[0] not in gone]
            names.update({(kind, name): targets.pop(name).upstream for name in gone})
    own = [(upstream, kind, name) for upstream, things in held.items() for kind, name in things]
    if not own:
        return None
    templates[:] = [
        each for each in templates if ("templates", each[1].name) not in held.get(each[1].upstream, ())
    ]
    return Held(
        names,
        frozenset((upstream, name) for upstream, kind, name in own if kind == "resources"),
        [(Template(name), upstream) for (kind, name), upstream in names.items() if kind == "templates"],
        [(upstream, Template(name)) for upstream, kind, name in own if kind == "templates"],
    )
