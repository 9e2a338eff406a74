"""What can be configured of a `rest` upstream."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import deep_iterable

from portico.api import Credential, Json, Ref, Secret, Wrong, doc, nearest
from portico_plugins.fields import (
    number,
    operator_file,
    private_addresses,
    proxy_resolving,
    proxy_secret,
    proxy_url,
    seconds,
)
from portico_plugins.upstreams import checks

from .mistakes import mistakes_at_start
from .options import HandParameter, HandTool, Match, OperationSettings, SchemeSettings, Shape, ShapeRule
from .shaping import problems

__all__ = [
    "HandParameter",
    "HandTool",
    "Match",
    "OperationSettings",
    "RestConfig",
    "SchemeSettings",
    "Shape",
    "ShapeRule",
]


def _sound(given: Iterable[tuple[tuple[str | int, ...], Shape | None]]) -> None:
    """Refuse programs that do not compile, each at its place."""
    shapes = [(place, shape) for place, shape in given if shape is not None]
    said = problems((shape.language, shape.program) for _, shape in shapes)
    wrong = [
        ((*place, shape.language), problem)
        for place, shape in shapes
        if (problem := said[shape.language, shape.program])
    ]
    if wrong:
        raise Wrong(wrong)


def _cookies(_: Any, __: Any, value: dict[str, Secret]) -> None:
    wrong = [
        ((name,), "expected a cookie: a name and a value without spaces, quotes, commas and semicolons")
        for name, secret in value.items()
        if checks.header_problem(name, "x") or not checks.COOKIE.fullmatch(secret.reveal())
    ]
    if wrong:
        raise Wrong(wrong)


def _operations(_: Any, __: Any, value: dict[str, OperationSettings]) -> None:
    _sound(((key, "shape"), own.shape) for key, own in value.items())


def _shapes(_: Any, __: Any, value: tuple[ShapeRule, ...]) -> None:
    _sound(((at, "shape"), rule.shape) for at, rule in enumerate(value))


def _passed(_: Any, __: Any, value: dict[str, str]) -> None:
    wrong = [
        ((name,), problem)
        for name, own in value.items()
        if (
            problem := "it is never passed on"
            if name.lower() in checks.NEVER_PASSED
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
        metadata=doc(
            "The URL of the OpenAPI document.", example="https://api.example.com/openapi.json", outbound=True
        ),
    )
    openapi_file: Path | None = operator_file("The OpenAPI document as a file.")
    openapi_inline: Json = attrs.field(factory=dict, metadata=doc("The OpenAPI document itself."))
    ref_origins: tuple[str, ...] = attrs.field(
        default=(),
        validator=deep_iterable(checks.url),
        metadata=doc(
            "Origins that references of the document may lead to, besides its own.",
            example=["https://schemas.example.com"],
            outbound=True,
        ),
    )
    ref_folder: Path | None = operator_file(
        "The folder that files which a file refers to have to be in; its own by default.", "folder"
    )
    tools: dict[str, HandTool] = attrs.field(factory=dict, metadata=doc("Tools written by hand, by name."))
    base_url: str = attrs.field(
        default="",
        validator=checks.url,
        metadata=doc(
            "Where the API is; by default where the document says.",
            example="https://api.example.com/v1",
            outbound=True,
        ),
    )
    server_variables: dict[str, str] = attrs.field(
        factory=dict, metadata=doc("Values of variables in the server's URL.")
    )
    mode: Literal["tools", "search"] = attrs.field(
        default="tools",
        metadata=doc(
            "Whether every operation of the document is a tool, or three tools find, describe and call them: "
            "for documents of hundreds of operations."
        ),
    )
    include: tuple[Match, ...] = attrs.field(
        default=(), metadata=doc("Which operations become tools; all of them by default.")
    )
    exclude: tuple[Match, ...] = attrs.field(default=(), metadata=doc("Which do not; wins over `include`."))
    operations: dict[str, OperationSettings] = attrs.field(
        factory=dict,
        validator=_operations,
        metadata=doc("What is different about an operation, by its id or by `GET /its/path`."),
    )
    body: Literal["whole", "flat"] = attrs.field(
        default="whole",
        metadata=doc(
            "How the body of a request is given: as the argument `body`, or flat, each member of an object "
            "an argument of its own."
        ),
    )
    shapes: tuple[ShapeRule, ...] = attrs.field(
        default=(),
        validator=_shapes,
        metadata=doc(
            "What to make of the answers of operations that say nothing else: the first that fits. Programs "
            "run in processes of their own, ended on time."
        ),
    )
    shape_seconds: float = seconds(2.0, "The most seconds a program of `shape` may take.")
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
    redirects: int = number(
        0,
        "How many redirects of a GET to follow. Each address is judged anew; another origin gets none of "
        "the headers, and none without TLS is gone to from one with it.",
        least=0,
    )
    connect_timeout: float = seconds(10.0, "Seconds to connect.")
    call_timeout: float = seconds(60.0, "The most seconds one call may take.")
    refresh_seconds: float = seconds(
        300.0, "Seconds after which a document with a URL is asked for again, if it has changed."
    )
    start_grace: float = number(5.0, "Seconds the start of the gateway waits for the document.", least=0)
    max_document_bytes: int = number(
        64 * 1024 * 1024, "The largest document taken, all its files together.", least=1024
    )
    max_document_files: int = number(1000, "The most files that references of a document lead to.")
    max_tools: int = number(2000, "The most tools; with more, the document is refused.")
    max_schema_bytes: int = number(
        64 * 1024,
        "The largest schema of a tool; what is farthest down in larger ones is left open.",
        least=2048,
    )
    max_request_bytes: int = number(16 * 1024 * 1024, "The largest body sent.", least=1024)
    max_response_bytes: int = number(16 * 1024 * 1024, "The largest answer taken.", least=1024)
    max_stream_items: int = number(
        1000, "The most items of a stream in one result; the stream is ended there."
    )
    max_stream_bytes: int = number(
        4 * 1024 * 1024,
        "The most bytes of the items of a stream in one result; the stream is ended there.",
        least=1024,
    )
    max_error_bytes: int = number(4096, "How much of the body of an HTTP error is shown.", least=0)
    allow_private: bool = private_addresses("the API")
    tls_verify: bool = attrs.field(default=True, metadata=doc("Check the server's certificate."))
    ca_file: Path | None = operator_file(
        "PEM file of certificate authorities to trust instead of the system's."
    )

    client_cert: Path | None = operator_file("PEM file with the certificate to show (mTLS), chain included.")
    client_key: Path | None = operator_file("PEM file with its private key, without a password.")
    proxy: str = proxy_url()
    proxy_credentials: Secret | None = proxy_secret()
    proxy_resolves: bool = proxy_resolving()

    def __attrs_post_init__(self) -> None:
        """Refuse combinations that mean nothing."""
        checks.identity(self.client_cert, self.client_key)
        checks.proxied(self.proxy, self.proxy_credentials, self.proxy_resolves)
        given = [bool(self.openapi), self.openapi_file is not None, bool(self.openapi_inline)]
        if sum(given) > 1:
            raise ValueError("expected at most one of `openapi`, `openapi_file` and `openapi_inline`")
        if not any(given) and not self.tools:
            raise ValueError("expected one of `openapi`, `openapi_file`, `openapi_inline` and `tools`")
        if self.tools and not self.base_url:
            raise ValueError("`tools` need a `base_url`")
        if self.base_url and self.server_variables:
            raise ValueError("`server_variables` mean nothing with a `base_url`")
        if not any(given):
            self._of_hand_tools()
        wrong = mistakes_at_start(self)
        if wrong:
            raise Wrong(wrong)

    def _of_hand_tools(self) -> None:
        """Refuse what is said of a document that there is not."""
        text = "means nothing without a document"
        wrong: list[tuple[tuple[str, ...], str]] = [
            (
                (name,),
                f"{text}; use `credential`, `headers`, `query` or `cookies`" if name == "security" else text,
            )
            for name in ("include", "exclude", "security", "ref_origins")
            if getattr(self, name)
        ]
        wrong += [
            (("operations", key), f"there is no such tool{nearest(key, self.tools)}")
            for key in self.operations
            if key not in self.tools
        ]
        if wrong:
            raise Wrong(wrong)
