"""What can be configured of a `local` upstream."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import attrs

from portico.api import Wrong, doc, positive
from portico_plugins.upstreams.local import templates, uris

Problems = list[tuple[tuple[str | int, ...], str]]


def _base64(_: Any, __: Any, value: str | None) -> None:
    try:
        b64decode(value or "", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected base64") from None


def _moment(_: Any, __: Any, value: str) -> None:
    try:
        if value:
            datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"expected a moment as of ISO 8601, got {value[:40]!r}") from None


def _priority(_: Any, __: Any, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"expected 0 to 1, got {value}")


@attrs.frozen(kw_only=True)
class Annotations:
    """What a client may go by when it shows or uses something."""

    audience: tuple[Literal["user", "assistant"], ...] = attrs.field(
        default=(), metadata=doc("Whom it is for.")
    )
    priority: float | None = attrs.field(
        default=None, validator=_priority, metadata=doc("How important it is, from 0 to 1.")
    )
    last_modified: str = attrs.field(
        default="",
        validator=_moment,
        metadata=doc("When it last changed, as of ISO 8601. Of a record, the gateway says so by itself."),
    )


def _closed(instance: Argument | Variable, _: Any, closed: bool) -> None:
    if closed and not instance.values:
        raise ValueError("expected `values`, which are all there are then")


def _default(instance: Argument, _: Any, value: str) -> None:
    if value and instance.closed and value not in instance.values:
        raise ValueError("expected one of its values")


@attrs.frozen(kw_only=True)
class Argument:
    """An argument of a prompt."""

    name: str = attrs.field(metadata=doc("Its name."))
    title: str = attrs.field(default="", metadata=doc("For people."))
    description: str = attrs.field(default="", metadata=doc("For people."))
    required: bool = attrs.field(default=False, metadata=doc("Whether it must be given."))
    closed: bool = attrs.field(
        default=False, validator=_closed, metadata=doc("Whether other values than `values` are refused.")
    )
    values: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("Values to propose: clients get them as completions.")
    )
    default: str = attrs.field(
        default="", validator=_default, metadata=doc("Its value where it is not given.")
    )


@attrs.frozen(kw_only=True)
class Variable:
    """A variable in the URI of a resource."""

    description: str = attrs.field(default="", metadata=doc("For people; it is not sent."))
    closed: bool = attrs.field(
        default=False, validator=_closed, metadata=doc("Whether other values than `values` are refused.")
    )
    values: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("Values to propose: clients get them as completions.")
    )


_ONE_OF: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "text": (("text",),),
    "image": (("data",), ("source",)),
    "audio": (("data",), ("source",)),
    "resource": (("source",), ("uri",), ("uri", "text"), ("uri", "data")),
    "resource_link": (("source",), ("uri",)),
}
"""Type of content -> what it is made of."""


@attrs.frozen(kw_only=True)
class Message:
    """A message of a prompt. Its `text` and `uri` are templates."""

    role: Literal["user", "assistant"] = attrs.field(default="user", metadata=doc("Who says it."))
    type: Literal["text", "image", "audio", "resource", "resource_link"] = attrs.field(
        default="text", metadata=doc("What it has in it.")
    )
    text: str | None = attrs.field(default=None, metadata=doc("Its text, a template."))
    data: str | None = attrs.field(
        default=None,
        validator=_base64,
        metadata=doc("An image, a sound, or what a resource holds, in base64."),
    )
    source: str | None = attrs.field(
        default=None, metadata=doc("The name of the resource of this upstream that it is, or refers to.")
    )
    uri: str | None = attrs.field(
        default=None,
        metadata=doc(
            "The URI of a `resource` or `resource_link`, a template. A `resource` without `text` and `data` "
            "is the one that this upstream has there."
        ),
    )
    mime_type: str = attrs.field(default="", metadata=doc("The type of it; found out by default."))
    name: str = attrs.field(default="", metadata=doc("What a `resource_link` is called."))
    title: str = attrs.field(default="", metadata=doc("For people, of a `resource_link`."))
    description: str = attrs.field(default="", metadata=doc("What a `resource_link` leads to."))
    annotations: Annotations = attrs.field(factory=Annotations, metadata=doc("What a client may go by."))

    def __attrs_post_init__(self) -> None:
        given = {key for key in ("text", "data", "source", "uri") if getattr(self, key) is not None}
        if given not in [set(each) for each in _ONE_OF[self.type]]:
            ways = " or ".join(" and ".join(f"`{key}`" for key in each) for each in _ONE_OF[self.type])
            raise ValueError(f"of type {self.type!r}: expected {ways}")


def _arguments(_: Any, __: Any, arguments: tuple[Argument, ...]) -> None:
    names = [each.name for each in arguments]
    wrong: Problems = [
        ((at, "name"), "another has this name") for at, name in enumerate(names) if name in names[:at]
    ]
    if wrong:
        raise Wrong(wrong)


def _template(prompt: Prompt, _: Any, template: str | None) -> None:
    if template is not None and (said := templates.problem(template, prompt.names)):
        raise ValueError(said)


def _messages(prompt: Prompt, _: Any, messages: tuple[Message, ...]) -> None:
    wrong: Problems = []
    for at, message in enumerate(messages):
        for key, template in (("text", message.text), ("uri", message.uri)):
            if template is not None and (said := templates.problem(template, prompt.names)):
                wrong.append(((at, key), said))
    if wrong:
        raise Wrong(wrong)


@attrs.frozen(kw_only=True)
class Prompt:
    """A prompt: either a `template`, which is one message of the user, or `messages`."""

    title: str = attrs.field(default="", metadata=doc("For people."))
    description: str = attrs.field(default="", metadata=doc("What it is for."))
    arguments: tuple[Argument, ...] = attrs.field(
        default=(), validator=_arguments, metadata=doc("What can be filled in.")
    )
    template: str | None = attrs.field(
        default=None, validator=_template, metadata=doc("Its text, a template.")
    )
    messages: tuple[Message, ...] = attrs.field(
        default=(), validator=_messages, metadata=doc("What is said, in its order.")
    )

    def __attrs_post_init__(self) -> None:
        if (self.template is None) == (not self.messages):
            raise ValueError("expected either `template` or `messages`")

    @property
    def names(self) -> tuple[str, ...]:
        """What its templates may fill in."""
        return tuple(each.name for each in self.arguments)


def _uri(_: Any, __: Any, uri: str) -> None:
    if said := uris.problem(uri):
        raise ValueError(said)


def _variables(resource: Resource, _: Any, variables: Mapping[str, Variable]) -> None:
    unknown = [name for name in variables if name not in resource.names]
    if unknown:
        raise Wrong([((unknown[0],), "its URI has no such variable")])


def _text(resource: Resource, _: Any, text: str | None) -> None:
    if text is not None and resource.names and (said := templates.problem(text, resource.names)):
        raise ValueError(said)


@attrs.frozen(kw_only=True)
class Resource:
    """A resource: either `text` or `blob`."""

    uri: str = attrs.field(
        validator=_uri,
        metadata=doc("Its URI; with `{name}` in it, of as many resources as there are values of `name`."),
    )
    title: str = attrs.field(default="", metadata=doc("For people."))
    description: str = attrs.field(default="", metadata=doc("What it is."))
    mime_type: str = attrs.field(
        default="", metadata=doc("Its type; found out by its URI or content by default.")
    )
    variables: dict[str, Variable] = attrs.field(
        factory=dict, validator=_variables, metadata=doc("More about variables of the URI, by name.")
    )
    text: str | None = attrs.field(
        default=None,
        validator=_text,
        metadata=doc("Its content; a template if the URI has variables, which it can fill in."),
    )
    blob: str | None = attrs.field(default=None, validator=_base64, metadata=doc("Its content in base64."))
    annotations: Annotations = attrs.field(factory=Annotations, metadata=doc("What a client may go by."))

    def __attrs_post_init__(self) -> None:
        if (self.text is None) == (self.blob is None):
            raise ValueError("expected either `text` or `blob`")

    @property
    def names(self) -> tuple[str, ...]:
        """The variables of its URI; none when it is one resource."""
        return uris.names(self.uri)

    @property
    def content(self) -> str | bytes:
        """What it holds."""
        return self.text if self.text is not None else b64decode(self.blob or "")

    @property
    def size(self) -> int:
        """How many bytes it holds."""
        content = self.content
        return len(content.encode() if isinstance(content, str) else content)


def _resources(config: LocalConfig, _: Any, resources: Mapping[str, Resource]) -> None:
    wrong: Problems = []
    owners: dict[str, list[str]] = {}
    for name, each in resources.items():
        owners.setdefault(each.uri, []).append(name)
    for name, each in resources.items():
        same = [other for other in owners[each.uri] if other != name]
        if same:
            wrong.append(((name, "uri"), f"the resource {same[0]!r} has the same"))
        if each.size > config.max_resource:
            key = "text" if each.text is not None else "blob"
            wrong.append(((name, key), f"expected at most {config.max_resource} bytes, got {each.size}"))
    if wrong:
        raise Wrong(wrong)


def _prompts(config: LocalConfig, _: Any, prompts: Mapping[str, Prompt]) -> None:
    wrong: Problems = []
    for name, at, message in _sources(prompts):
        found = config.resources.get(message.source or "")
        if found is None:
            said = f"there is no resource {message.source!r}"
        elif found.names:
            said = "it has variables: say its `uri` instead"
        elif message.type in ("image", "audio") and found.blob is None:
            said = f"expected a resource with a `blob`, for it is to be an {message.type}"
        else:
            continue
        wrong.append(((name, "messages", at, "source"), said))
    if wrong:
        raise Wrong(wrong)


def _sources(prompts: Mapping[str, Prompt]) -> Iterable[tuple[str, int, Message]]:
    for name, prompt in prompts.items():
        for at, message in enumerate(prompt.messages):
            if message.source is not None:
                yield name, at, message


@attrs.frozen(kw_only=True)
class LocalConfig:
    """Prompts and resources by name."""

    max_resource: int = attrs.field(
        default=1_000_000, validator=positive, metadata=doc("The most bytes a resource may hold.")
    )
    max_size: int = attrs.field(
        default=1_000_000,
        validator=positive,
        metadata=doc("The most characters a filled-in prompt or resource may have."),
    )
    resources: dict[str, Resource] = attrs.field(
        factory=dict, validator=_resources, metadata=doc("Resources by name.")
    )
    prompts: dict[str, Prompt] = attrs.field(
        factory=dict, validator=_prompts, metadata=doc("Prompts by name.")
    )
