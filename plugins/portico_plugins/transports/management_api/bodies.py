"""What requests hold. The OpenAPI description is made from the same classes."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from portico_plugins.transports.management_api.problems import Problem, unknown, unlike

T = TypeVar("T")

NAME_PATTERN = r"^[^\x00-\x1f\x7f]+$"
Name = Annotated[str, Meta(min_length=1, max_length=512, pattern=NAME_PATTERN, description="Of a record.")]
Text = Annotated[str, Meta(max_length=10_000)]
Word = Annotated[str, Meta(max_length=256)]
Tags = Annotated[list[Word], Meta(max_length=64)]
Config = Annotated[
    dict[str, Any],
    Meta(description="What a table of the configuration file would hold; strings may be `${secret:NAME}`."),
]
Visibility = Literal["private", "team", "public"]
Kind = Literal["upstreams", "servers", "overrides", "prompts", "resources", "secrets", "pins"]


class About(Struct, forbid_unknown_fields=True, frozen=True):
    """What people say of a record."""

    enabled: bool = True
    description: Text = ""
    tags: Tags = msgspec.field(default_factory=list)
    owner: Word = ""
    team: Word = ""
    visibility: Visibility = "public"


class Made(Struct, forbid_unknown_fields=True, frozen=True):
    """When a record that comes from elsewhere was first made, and by whom. One there is keeps its own."""

    at: datetime.datetime
    by: Word = ""


class New(Struct, forbid_unknown_fields=True, frozen=True):
    """A record to be created."""

    name: Name
    config: Config
    about: About = About()
    made: Made | UnsetType = UNSET


class Whole(Struct, forbid_unknown_fields=True, frozen=True):
    """A record to be created or replaced; `name`, if given, is that of the path."""

    config: Config
    about: About = About()
    name: Name | UnsetType = UNSET
    made: Made | UnsetType = UNSET


class AboutPatch(Struct, forbid_unknown_fields=True, frozen=True):
    """Changes to what people say of a record; null is the default."""

    enabled: bool | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    owner: Word | UnsetType | None = UNSET
    team: Word | UnsetType | None = UNSET
    visibility: Visibility | UnsetType | None = UNSET


class Patch(Struct, forbid_unknown_fields=True, frozen=True):
    """A JSON merge patch (RFC 7396) of a record: null takes a member away."""

    config: Config | UnsetType = UNSET
    about: AboutPatch | UnsetType | None = UNSET


class Step(Struct, forbid_unknown_fields=True, frozen=True):
    """One change of many. `version` is what the record must have now; 0: it must not exist."""

    action: Literal["create", "put", "delete"]
    kind: Kind
    name: Name
    config: Config | UnsetType = UNSET
    about: About = About()
    version: Annotated[int, Meta(ge=0, le=2**53)] | UnsetType = UNSET
    made: Made | UnsetType = UNSET


class Bulk(Struct, forbid_unknown_fields=True, frozen=True):
    """Many changes: all or none of them, or each by itself."""

    changes: Annotated[list[Step], Meta(min_length=1)]
    mode: Literal["all", "each"] = "all"


class Import(Struct, forbid_unknown_fields=True, frozen=True):
    """A document to make records of: JSON, or the text of a TOML or JSON file.

    A Portico configuration, `mcpServers` JSON, a `server.json` or what an MCP Registry answers, or a
    ContextForge export. With `fail`, nothing is imported while a name is in use.
    """

    document: dict[str, Any] | str
    on_conflict: Literal["skip", "overwrite", "rename", "fail"] = "fail"
    mode: Literal["all", "each"] = "each"
    prefer: Literal["remote", "package"] = "remote"


class Candidate(Struct, forbid_unknown_fields=True, frozen=True):
    """An upstream to be tried out."""

    config: Config
    name: Name = "candidate"


def read(value: Any, form: type[T]) -> T:
    """Decoded JSON as one of these.

    Raises:
        Problem: 422, with the place that is wrong and the nearest right name.
    """
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        message, _, place = str(error).rpartition(" - at `$")
        message, place = (message, place.rstrip("`").lstrip(".")) if message else (str(error), "")
        raise Problem(
            422, "invalid", "The body is not what is expected", [_better(message, place, form)]
        ) from None


def _better(message: str, place: str, form: type) -> tuple[str, str]:
    """Msgspec's message, with the nearest right name where a member is unknown."""
    if message.startswith("Invalid enum value"):
        member = place.rpartition(".")[2]  # which has the same choices wherever there is one of its name
        hints = [each[member] for each in map(get_type_hints, (form, About, Step)) if member in each]
        return place, unlike(message.split("'")[1], get_args(hints[0]) if hints else ())
    if "unknown field" not in message:
        return place, message[:1].lower() + message[1:]
    wrong = message.split("`")[1]
    owner: Any = About if place.endswith("about") else Step if "[" in place else form
    if owner is About and form is Patch:
        owner = AboutPatch
    return f"{place}.{wrong}".lstrip("."), unknown("member", wrong, owner.__struct_fields__)


# --- answers ---------------------------------------------------------------------------------------


class Chosen(Struct, forbid_unknown_fields=True, frozen=True):
    """A server of the catalog to be added as an upstream."""

    server: Name
    version: Annotated[str, Meta(min_length=1, max_length=255)] = "latest"
    name: Annotated[str, Meta(max_length=512)] = ""
    prefer: Literal["remote", "package"] = "remote"
