"""What the configuration of a `rest` upstream says of single operations, tools and secrets."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import attrs

from portico.api import Credential, Json, Ref, Secret, doc, nearest
from portico_plugins.fields import seconds
from portico_plugins.upstreams import checks

from .parameters import STYLES, path_names
from .shaping import Language

_LONGEST_PROGRAM: Final = 8192
_READ_ONLY: Final = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})
_IDEMPOTENT: Final = frozenset({"PUT", "DELETE"})
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+*-]+/[A-Za-z0-9!#$&^_.+*-]+(;[\x20-\x7e]*)?")


@attrs.frozen(kw_only=True)
class Match:
    """Which operations: those that fit all of what is given."""

    tags: tuple[str, ...] = attrs.field(default=(), metadata=doc("One of these tags, patterns allowed."))
    operations: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("One of these operation ids, patterns allowed.", example=["pets_*"])
    )
    paths: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("One of these path templates, patterns allowed.", example=["/pets/*"])
    )
    methods: tuple[str, ...] = attrs.field(default=(), metadata=doc("One of these methods."))

    def __attrs_post_init__(self) -> None:
        if not (self.tags or self.operations or self.paths or self.methods):
            raise ValueError("expected at least one of `tags`, `operations`, `paths` and `methods`")


@attrs.frozen(kw_only=True)
class Shape:
    """What to make of an answer before the client gets it."""

    jq: str = attrs.field(default="", metadata=doc("A jq program.", example=".items | map({id, name})"))
    jsonpath: str = attrs.field(
        default="", metadata=doc("A JSONPath, as of RFC 9535.", example="$.items[*].name")
    )
    errors: bool = attrs.field(
        default=False,
        metadata=doc("Whether HTTP errors are shaped as well, if they are JSON."),
    )

    def __attrs_post_init__(self) -> None:
        if bool(self.jq.strip()) == bool(self.jsonpath.strip()):
            raise ValueError("expected either `jq` or `jsonpath`")
        if len(self.program) > _LONGEST_PROGRAM:
            raise ValueError(f"a program has at most {_LONGEST_PROGRAM} characters")

    @property
    def language(self) -> Language:
        """Of what language the program is."""
        return "jq" if self.jq else "jsonpath"

    @property
    def program(self) -> str:
        """The program."""
        return self.jq or self.jsonpath


@attrs.frozen(kw_only=True)
class ShapeRule:
    """How the answers of some operations are shaped."""

    match: Match | None = attrs.field(default=None, metadata=doc("Which operations; all of them by default."))
    shape: Shape = attrs.field(metadata=doc("How."))


@attrs.frozen(kw_only=True)
class OperationSettings:
    """What is different about one operation."""

    name: str = attrs.field(default="", metadata=doc("The tool's name."))
    description: str = attrs.field(default="", metadata=doc("The tool's description."))
    timeout: float | None = seconds(None, "The most seconds a call may take.")
    fixed: Json = attrs.field(
        factory=dict,
        metadata=doc(
            "Arguments that are always these; clients neither see nor set them.", example={"limit": 10}
        ),
    )
    defaults: Json = attrs.field(
        factory=dict, metadata=doc("Arguments that are these unless the client says otherwise.")
    )
    headers: dict[str, Secret] = attrs.field(
        factory=dict, validator=checks.headers, metadata=doc("Headers to add to its requests.")
    )
    body: Literal["whole", "flat"] | None = attrs.field(
        default=None, metadata=doc("How its body is given; as all others by default.")
    )
    shape: Shape | None = attrs.field(
        default=None, metadata=doc("What to make of its answers; goes before `shapes`.")
    )
    read_only: bool | None = attrs.field(
        default=None, metadata=doc("Whether it changes nothing; by its method by default.")
    )
    idempotent: bool | None = attrs.field(
        default=None, metadata=doc("Whether doing it twice is doing it once; by its method by default.")
    )
    destructive: bool | None = attrs.field(
        default=None, metadata=doc("Whether it may destroy something; by its method by default.")
    )

    def annotations(self, method: str) -> Json:
        """What a tool says of what it does: as is configured, else as its HTTP method says."""
        read_only = self.read_only if self.read_only is not None else method in _READ_ONLY
        out: Json = {"readOnlyHint": read_only}
        if not read_only:
            out["destructiveHint"] = self.destructive if self.destructive is not None else method == "DELETE"
            out["idempotentHint"] = self.idempotent if self.idempotent is not None else method in _IDEMPOTENT
        return {**out, "openWorldHint": True}


@attrs.frozen(kw_only=True)
class SchemeSettings:
    """The secret of a security scheme of the document. Where it goes, the document or the credential says."""

    value: Secret | None = attrs.field(
        default=None, metadata=doc("The API key or bearer token.", example="${env:API_KEY}")
    )
    username: str = attrs.field(default="", metadata=doc("The user name, of a `basic` scheme."))
    password: Secret | None = attrs.field(default=None, metadata=doc("The password, of a `basic` scheme."))
    credential: Ref[Credential] | None = attrs.field(
        default=None,
        metadata=doc(
            "A configured credential that is asked for each caller, instead of a secret here.",
            gives=("token_url",),
        ),
    )

    def __attrs_post_init__(self) -> None:
        if sum((self.value is not None, self.password is not None, self.credential is not None)) != 1:
            raise ValueError("expected either `value`, or `username` and `password`, or `credential`")
        if self.username and self.password is None:
            raise ValueError("`username` means nothing without `password`")


def _schema(_: Any, __: Any, value: Json | None) -> None:
    if value is None:
        return
    import jsonschema_rs  # only where tools are written by hand

    try:
        jsonschema_rs.meta.validate(value)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        said = str(getattr(error, "message", error)).partition("\n")[0]
        raise ValueError(f"it is no JSON Schema: {said}") from None


@attrs.frozen(kw_only=True)
class HandParameter:
    """A parameter of a tool written by hand."""

    name: str = attrs.field(metadata=doc("As the API calls it."))
    location: Literal["path", "query", "header", "cookie"] = attrs.field(
        default="query", metadata=doc("Where it goes.")
    )
    required: bool = attrs.field(default=False, metadata=doc("Whether it must be given."))
    description: str = attrs.field(default="", metadata=doc("What it is."))
    schema: Json = attrs.field(
        factory=lambda: {"type": "string"},
        validator=_schema,
        metadata=doc("What it may be, in JSON Schema."),
    )
    style: str = attrs.field(default="", metadata=doc("How a list or an object is written, as in OpenAPI."))
    explode: bool | None = attrs.field(
        default=None, metadata=doc("Whether its members are parameters of their own, as in OpenAPI.")
    )

    def __attrs_post_init__(self) -> None:
        styles = STYLES[self.location]
        if self.style and self.style not in styles:
            given = nearest(self.style, styles, f"styles of a {self.location} parameter")
            raise ValueError(f"there is no style {self.style!r}{given}")


def _path(_: Any, __: Any, value: str) -> None:
    if not value.startswith("/"):
        raise ValueError("expected a path that begins with a slash")


def _method(_: Any, __: Any, value: str) -> None:
    if not (value.isalpha() and value.isascii()) or value.upper() in ("CONNECT", "TRACE"):
        raise ValueError("expected an HTTP method such as GET")


def _media_type(_: Any, __: Any, value: str) -> None:
    if not _MEDIA_TYPE.fullmatch(value):
        raise ValueError("expected a media type such as application/json")


@attrs.frozen(kw_only=True)
class HandTool:
    """A tool written by hand."""

    method: str = attrs.field(default="GET", validator=_method, metadata=doc("The HTTP method."))
    path: str = attrs.field(validator=_path, metadata=doc("The path below `base_url`.", example="/pets/{id}"))
    description: str = attrs.field(default="", metadata=doc("What it does."))
    parameters: tuple[HandParameter, ...] = attrs.field(
        default=(), metadata=doc("What can be given besides a body.")
    )
    body: Json | None = attrs.field(
        default=None, validator=_schema, metadata=doc("What the body may be, in JSON Schema.")
    )
    body_type: str = attrs.field(
        default="application/json",
        validator=_media_type,
        metadata=doc("The media type of the body."),
    )
    body_required: bool = attrs.field(default=True, metadata=doc("Whether there must be one."))

    def __attrs_post_init__(self) -> None:
        places = path_names(self.path)
        seen: set[tuple[str, str]] = set()
        for one in self.parameters:
            if one.location == "path" and one.name not in places:
                near = nearest(one.name, places)
                raise ValueError(f"there is no {{{one.name}}} in `path`, but a parameter for it{near}")
            if (one.location, one.name) in seen:
                raise ValueError(f"there are two parameters {one.name!r} in the {one.location}")
            seen.add((one.location, one.name))
        if self.body is not None and self.body_required and self.method.upper() in ("GET", "HEAD"):
            raise ValueError(f"a {self.method.upper()} with a body is not sent; set `method`")
