"""What can be configured of a `rest` upstream."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal

import attrs
from attrs.validators import deep_iterable, ge, gt, optional

from portico.api import Credential, Json, Ref, Secret, Wrong, doc
from portico_plugins.upstreams import checks

_COOKIE: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_NEVER_PASSED: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


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
class OperationSettings:
    """What is different about one operation."""

    name: str = attrs.field(default="", metadata=doc("The tool's name."))
    description: str = attrs.field(default="", metadata=doc("The tool's description."))
    timeout: float | None = attrs.field(
        default=None, validator=optional(gt(0)), metadata=doc("The most seconds a call may take.")
    )
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
    read_only: bool | None = attrs.field(
        default=None, metadata=doc("Whether it changes nothing; by its method by default.")
    )
    idempotent: bool | None = attrs.field(
        default=None, metadata=doc("Whether doing it twice is doing it once; by its method by default.")
    )
    destructive: bool | None = attrs.field(
        default=None, metadata=doc("Whether it may destroy something; by its method by default.")
    )


@attrs.frozen(kw_only=True)
class SchemeSettings:
    """The secret of a security scheme of the document. Where it goes in a request, the document says."""

    value: Secret | None = attrs.field(
        default=None, metadata=doc("The API key or bearer token.", example="${env:API_KEY}")
    )
    username: str = attrs.field(default="", metadata=doc("The user name, of a `basic` scheme."))
    password: Secret | None = attrs.field(default=None, metadata=doc("The password, of a `basic` scheme."))
    client_id: str = attrs.field(
        default="",
        metadata=doc("The client, where tokens are fetched by the OAuth client credentials grant."),
    )
    client_secret: Secret | None = attrs.field(default=None, metadata=doc("The client's secret."))
    token_url: str = attrs.field(
        default="",
        validator=checks.url,
        metadata=doc(
            "Where tokens are fetched; what the document says of that is not trusted with the secret."
        ),
    )
    scopes: tuple[str, ...] = attrs.field(default=(), metadata=doc("What the tokens are to be good for."))

    def __attrs_post_init__(self) -> None:
        given = (self.value is not None, self.password is not None, bool(self.client_id))
        if sum(given) != 1:
            raise ValueError(
                "expected either `value`, or `username` and `password`, or `client_id` and the like"
            )
        if self.client_id and not (self.token_url and self.client_secret is not None):
            raise ValueError("`client_id` needs `client_secret` and `token_url`")


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
        factory=lambda: {"type": "string"}, metadata=doc("What it may be, in JSON Schema.")
    )
    style: str = attrs.field(default="", metadata=doc("How a list or an object is written, as in OpenAPI."))
    explode: bool | None = attrs.field(
        default=None, metadata=doc("Whether its members are parameters of their own, as in OpenAPI.")
    )


def _path(_: Any, __: Any, value: str) -> None:
    if not value.startswith("/"):
        raise ValueError("expected a path that begins with a slash")


def _method(_: Any, __: Any, value: str) -> None:
    if not (value.isalpha() and value.isascii()) or value.upper() in ("CONNECT", "TRACE"):
        raise ValueError("expected an HTTP method such as GET")


@attrs.frozen(kw_only=True)
class HandTool:
    """A tool written by hand."""

    method: str = attrs.field(default="GET", validator=_method, metadata=doc("The HTTP method."))
    path: str = attrs.field(validator=_path, metadata=doc("The path below `base_url`.", example="/pets/{id}"))
    description: str = attrs.field(default="", metadata=doc("What it does."))
    parameters: tuple[HandParameter, ...] = attrs.field(
        default=(), metadata=doc("What can be given besides a body.")
    )
    body: Json | None = attrs.field(default=None, metadata=doc("What the body may be, in JSON Schema."))
    body_type: str = attrs.field(default="application/json", metadata=doc("The media type of the body."))
    body_required: bool = attrs.field(default=True, metadata=doc("Whether there must be one."))


def _cookies(_: Any, __: Any, value: dict[str, Secret]) -> None:
    wrong = [
        ((name,), "expected a cookie: a name and a value without spaces, quotes, commas and semicolons")
        for name, secret in value.items()
        if checks.header_problem(name, "x") or not _COOKIE.fullmatch(secret.reveal())
    ]
    if wrong:
        raise Wrong(wrong)


def _passed(_: Any, __: Any, value: dict[str, str]) -> None:
    wrong = [
        ((name,), problem)
        for name, own in value.items()
        if (
            problem := "it is never passed on"
            if name.lower() in _NEVER_PASSED
            else checks.header_problem(own, "x")
        )
    ]
    if wrong:
        raise Wrong(wrong)


@attrs.frozen(kw_only=True)
class RestConfig:
    """An HTTP API: described by an OpenAPI document, by tools written by hand, or both."""

    openapi: str = attrs.field(
        default="",
        validator=checks.url,
        metadata=doc("The URL of the OpenAPI document.", example="https://api.example.com/openapi.json"),
    )
    openapi_file: Path | None = attrs.field(
        default=None, metadata=doc("The OpenAPI document as a file.", operator_only=True)
    )
    openapi_inline: Json = attrs.field(factory=dict, metadata=doc("The OpenAPI document itself."))
    ref_origins: tuple[str, ...] = attrs.field(
        default=(),
        validator=deep_iterable(checks.url),
        metadata=doc(
            "Origins that references of the document may lead to, besides its own.",
            example=["https://schemas.example.com"],
        ),
    )
    ref_folder: Path | None = attrs.field(
        default=None,
        metadata=doc(
            "The folder that files which a file refers to have to be in; its own by default.",
            operator_only=True,
        ),
    )
    tools: dict[str, HandTool] = attrs.field(factory=dict, metadata=doc("Tools written by hand, by name."))
    base_url: str = attrs.field(
        default="",
        validator=checks.url,
        metadata=doc(
            "Where the API is; by default where the document says.", example="https://api.example.com/v1"
        ),
    )
    server_variables: dict[str, str] = attrs.field(
        factory=dict, metadata=doc("Values of variables in the server's URL.")
    )
    include: tuple[Match, ...] = attrs.field(
        default=(), metadata=doc("Which operations become tools; all of them by default.")
    )
    exclude: tuple[Match, ...] = attrs.field(default=(), metadata=doc("Which do not; wins over `include`."))
    operations: dict[str, OperationSettings] = attrs.field(
        factory=dict,
        metadata=doc("What is different about an operation, by its id or by `GET /its/path`."),
    )
    output: Literal["off", "compact", "full"] = attrs.field(
        default="off",
        metadata=doc(
            "Whether tools say what they answer with, in short or in full. "
            "Structured answers are given either way."
        ),
    )
    headers: dict[str, Secret] = attrs.field(
        factory=dict, validator=checks.headers, metadata=doc("Headers to add to every request.")
    )
    query: dict[str, Secret] = attrs.field(
        factory=dict, metadata=doc("Query parameters to add to every request.")
    )
    cookies: dict[str, Secret] = attrs.field(
        factory=dict, validator=_cookies, metadata=doc("Cookies to add to every request.")
    )
    credential: Ref[Credential] | None = attrs.field(
        default=None, metadata=doc("A configured credential that authenticates the requests.")
    )
    security: dict[str, SchemeSettings] = attrs.field(
        factory=dict, metadata=doc("Secrets of the document's security schemes, by the scheme's name.")
    )
    pass_headers: dict[str, str] = attrs.field(
        factory=dict,
        validator=_passed,
        metadata=doc(
            "Headers of the client's request to send on: its name -> the API's. No other header is, and what "
            "authenticates the client to the gateway never is.",
            example={"x-trace": "X-Request-Id"},
        ),
    )
    redirects: int = attrs.field(
        default=0,
        validator=ge(0),
        metadata=doc(
            "How many redirects of a GET to follow. Each address is judged anew; another origin gets none of "
            "the headers, and none without TLS is gone to from one with it."
        ),
    )
    connect_timeout: float = attrs.field(default=10.0, validator=gt(0), metadata=doc("Seconds to connect."))
    call_timeout: float = attrs.field(
        default=60.0, validator=gt(0), metadata=doc("The most seconds one call may take.")
    )
    refresh_seconds: float = attrs.field(
        default=300.0,
        validator=gt(0),
        metadata=doc("Seconds after which a document with a URL is asked for again, if it has changed."),
    )
    start_grace: float = attrs.field(
        default=5.0, validator=ge(0), metadata=doc("Seconds the start of the gateway waits for the document.")
    )
    max_document_bytes: int = attrs.field(
        default=64 * 1024 * 1024,
        validator=ge(1024),
        metadata=doc("The largest document taken, all its files together."),
    )
    max_document_files: int = attrs.field(
        default=1000, validator=ge(1), metadata=doc("The most files that references of a document lead to.")
    )
    max_tools: int = attrs.field(
        default=2000, validator=ge(1), metadata=doc("The most tools; with more, the document is refused.")
    )
    max_schema_bytes: int = attrs.field(
        default=64 * 1024,
        validator=ge(2048),
        metadata=doc("The largest schema of a tool; what is farthest down in larger ones is left open."),
    )
    max_request_bytes: int = attrs.field(
        default=16 * 1024 * 1024, validator=ge(1024), metadata=doc("The largest body sent.")
    )
    max_response_bytes: int = attrs.field(
        default=16 * 1024 * 1024, validator=ge(1024), metadata=doc("The largest answer taken.")
    )
    max_error_bytes: int = attrs.field(
        default=4096, validator=ge(0), metadata=doc("How much of the body of an HTTP error is shown.")
    )
    allow_private: bool = attrs.field(
        default=True,
        metadata=doc(
            "Whether the API may have a loopback or private address. On by default, which is right only "
            "because whoever writes the config file runs the gateway. Cloud metadata addresses are refused "
            "either way."
        ),
    )
    tls_verify: bool = attrs.field(default=True, metadata=doc("Check the server's certificate."))
    ca_file: Path | None = attrs.field(
        default=None,
        metadata=doc(
            "PEM file of certificate authorities to trust instead of the system's.", operator_only=True
        ),
    )

    def __attrs_post_init__(self) -> None:
        """Refuse combinations that mean nothing."""
        given = [bool(self.openapi), self.openapi_file is not None, bool(self.openapi_inline)]
        if sum(given) > 1:
            raise ValueError("expected at most one of `openapi`, `openapi_file` and `openapi_inline`")
        if not any(given) and not self.tools:
            raise ValueError("expected one of `openapi`, `openapi_file`, `openapi_inline` and `tools`")
        if self.tools and not self.base_url:
            raise ValueError("`tools` need a `base_url`")
