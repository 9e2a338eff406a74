"""What can be configured of a `grpc` upstream."""

from __future__ import annotations

import base64
import binascii
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

from portico.api import Credential, Ref, Secret, doc
from portico_plugins import extras
from portico_plugins.fields import number, operator_file, private_addresses, seconds
from portico_plugins.upstreams import checks

_KEY: Final = re.compile(r"[0-9a-z_.-]+")
_TEXT: Final = re.compile(r"[\x20-\x7e]*")
_OURS: Final = frozenset({"connection", "content-length", "content-type", "host", "te", "user-agent"})
_NEEDED: Final = (
    ("grpc", "grpcio"),
    ("google.protobuf", "protobuf"),
    ("google.rpc", "googleapis-common-protos"),
    ("grpc_reflection", "grpcio-reflection"),
    ("grpc_health", "grpcio-health-checking"),
)


def missing() -> str:
    """Which package of the extra is not installed, and what to do; "" when all are."""
    return extras.missing("grpc", _NEEDED)


def metadata_problem(name: str, value: str | bytes) -> str | None:
    """Why metadata may not be sent: bad syntax, or a key that is the gateway's or gRPC's own."""
    if not _KEY.fullmatch(name):
        return f"{name!r} is no metadata key: lower-case letters, digits and -_. only"
    if name in _OURS or name.startswith("grpc-"):
        return f"{name!r} is set by gRPC itself"
    if isinstance(value, bytes) is not name.endswith("-bin"):
        return f"{name!r}: the keys of bytes, and only those, end with -bin"
    if isinstance(value, str) and not _TEXT.fullmatch(value):
        return f"the value of {name!r} has characters other than printable ASCII"
    return None


def binary(value: str) -> bytes | None:
    """What a value of a key that ends with `-bin` stands for, as gRPC writes it in headers; None for none."""
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _installed(_: Any, __: Any, value: str) -> None:
    if missing():
        raise ValueError(f"this kind of upstream {missing()}")
    if re.search(r"[\x00-\x20\x7f\\]", value):
        raise ValueError("a URL has no spaces, control characters or backslashes")
    parts = urlsplit(value)
    if parts.scheme not in ("grpc", "grpcs") or not parts.hostname or parts.port is None:
        raise ValueError("expected grpc://HOST:PORT, or grpcs://HOST:PORT for TLS")
    if "@" in parts.netloc:
        raise ValueError("a URL carries no credentials; use `credential` or `metadata`")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("a gRPC server has no path; choose services with `services`")


def _compiler(_: Any, __: Any, value: tuple[Path, ...]) -> None:
    if value and find_spec("grpc_tools") is None:
        raise ValueError("needs grpcio-tools, which is not installed: pip install 'portico[grpc-tools]'")


def _metadata(_: Any, __: Any, value: dict[str, Secret]) -> None:
    for name, secret in value.items():
        given = binary(secret.reveal()) if name.endswith("-bin") else secret.reveal()
        problem = f"the value of {name!r} is no base64" if given is None else metadata_problem(name, given)
        if problem:
            raise ValueError(problem)


def _passed(_: Any, __: Any, value: tuple[str, ...]) -> None:
    for name in value:
        if name in checks.NEVER_PASSED:
            raise ValueError(f"{name!r} is what a client shows the gateway, and is not sent on")
        problem = metadata_problem(name, b"" if name.endswith("-bin") else "")
        if problem:
            raise ValueError(problem)


@attrs.frozen(kw_only=True)
class GrpcConfig:
    """A gRPC server."""

    url: str = attrs.field(
        validator=_installed,
        metadata=doc(
            "Where the server is: `grpc://HOST:PORT`, or `grpcs://HOST:PORT` for TLS.",
            example="grpc://127.0.0.1:50051",
            outbound=True,
        ),
    )
    services: tuple[str, ...] = attrs.field(
        default=("*",),
        metadata=doc(
            "Which services or methods are offered: patterns for `package.Service` and "
            "`package.Service/Method`. Those of gRPC itself (reflection, health...) only if they are named "
            "without a wildcard.",
            example=["shop.v1.*"],
        ),
    )
    exclude: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("Patterns of what is not offered after all.", example=["*/Delete*"])
    )
    names: Literal["service", "method", "full"] = attrs.field(
        default="service",
        metadata=doc(
            "How tools are called: `Orders_Create`, `Create` or `shop_v1_Orders_Create`. Where two would be "
            "called the same, both have the full name."
        ),
    )
    descriptors: Path | None = operator_file(
        "A descriptor set to go by instead of the server's reflection; with comments, when it was made "
        "with `protoc --include_imports --include_source_info` or `buf build`."
    )
    protos: tuple[Path, ...] = attrs.field(
        default=(),
        validator=_compiler,
        metadata=doc(
            "`.proto` files, or folders of them, to go by instead of the server's reflection; comments are "
            "descriptions. Needs `pip install 'portico[grpc-tools]'`.",
            example=["protos/shop.proto"],
            operator_only=True,
            exists="either",
        ),
    )
    proto_paths: tuple[Path, ...] = attrs.field(
        default=(),
        metadata=doc(
            "Folders that imports of `protos` are relative to, besides those of the files themselves. What "
            "Google's APIs share (`google/protobuf`, `google/api`, `google/rpc`) is always found.",
            operator_only=True,
            exists="folder",
        ),
    )
    schema_profile: Literal["strict", "simple"] = attrs.field(
        default="strict",
        metadata=doc(
            "`strict` schemas say all that JSON Schema can say; `simple` ones do without `$ref`, `oneOf`, "
            "`anyOf`, lists of types and odd names, which some clients do not take; a message in itself is "
            "cut short with a note."
        ),
    )
    output_schemas: bool = attrs.field(default=True, metadata=doc("Whether tools have output schemas."))
    metadata: dict[str, Secret] = attrs.field(
        factory=dict,
        validator=_metadata,
        metadata=doc("Metadata to send with every call. Values of keys ending with `-bin` are base64."),
    )
    pass_headers: tuple[str, ...] = attrs.field(
        default=(),
        validator=_passed,
        metadata=doc(
            "HTTP headers of clients, in lower case, to send on as metadata. Those ending with `-bin` are "
            "base64.",
            example=["x-tenant"],
        ),
    )
    credential: Ref[Credential] | None = attrs.field(
        default=None, metadata=doc("A configured credential; its headers are sent as metadata.")
    )
    ca_file: Path | None = operator_file("PEM file of certificate authorities to trust instead of the usual.")
    client_cert: Path | None = operator_file("PEM file with the certificate to show (mTLS), chain included.")
    client_key: Path | None = operator_file("PEM file with its private key.")
    server_name: str = attrs.field(
        default="", metadata=doc("The name the server's certificate is for, if not the one in `url`.")
    )
    compression: Literal["none", "gzip"] = attrs.field(
        default="none",
        metadata=doc(
            "Whether what is sent is compressed. Compressed answers are always taken; `max_message_bytes` "
            "holds for what comes out."
        ),
    )
    connect_timeout: float = seconds(10.0, "Seconds to connect, and each question of reflection may take.")
    call_timeout: float | None = seconds(
        None,
        "The most seconds one call may take here; without it, only the caller's deadline counts. The "
        "server is told the nearer one.",
    )
    max_message_bytes: int = number(
        16 * 1024 * 1024, "The largest message sent to or taken from the server.", least=1024
    )
    max_stream_messages: int = number(
        1000, "The most messages of a stream in one result; the call ends there."
    )
    max_stream_bytes: int = number(
        4 * 1024 * 1024,
        "The most bytes of a stream, as JSON, in one result; the call ends there.",
        least=1024,
    )
    max_descriptor_bytes: int = number(
        8 * 1024 * 1024, "The most bytes of descriptors taken from the server.", least=1024
    )
    max_tools: int = number(512, "The most tools; further methods are left out, and logged.")
    refresh_seconds: float = seconds(
        300.0,
        "Seconds after which the server is asked again what it has. That also happens when the "
        "connection was lost, and when it no longer knows a method.",
    )
    start_grace: float = number(
        5.0, "Seconds the start of the gateway waits for the first reflection.", least=0
    )
    allow_private: bool = private_addresses("the server")

    @property
    def from_files(self) -> bool:
        """Whether files say what the server has, and it is not asked."""
        return self.descriptors is not None or bool(self.protos)

    def __attrs_post_init__(self) -> None:
        """Refuse combinations that mean nothing."""
        if self.descriptors is not None and self.protos:
            raise ValueError("`descriptors` and `protos` are two ways to say the same: give one")
        if self.proto_paths and not self.protos:
            raise ValueError("`proto_paths` means nothing without `protos`")
        checks.identity(self.client_cert, self.client_key)
        if self.url.startswith("grpc:"):
            given = [name for name in ("ca_file", "client_cert", "server_name") if getattr(self, name)]
            if given:
                raise ValueError(f"`{given[0]}` means nothing without TLS (grpcs://)")
