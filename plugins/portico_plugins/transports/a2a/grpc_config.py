"""How the gRPC binding is served."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import attrs

from portico.api import doc
from portico_plugins.fields import number, operator_file, seconds

_ADDRESS: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+):([0-9]{1,5})")


def _address(instance: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    found = _ADDRESS.fullmatch(value)
    if value and (found is None or int(found[2]) > 65_535):
        raise ValueError(f"expected HOST:PORT, got {value!r}")


@attrs.frozen(kw_only=True)
class GrpcConfig:
    """The gRPC binding of all agents, on a port of its own."""

    listen: str = attrs.field(
        validator=_address,
        metadata=doc("Where to listen.", example="127.0.0.1:50051"),
    )
    address: str = attrs.field(
        default="",
        validator=_address,
        metadata=doc("`HOST:PORT` as clients reach it, for agent cards; by default `listen`."),
    )
    tenant: str = attrs.field(
        default="default",
        metadata=doc(
            "Which agent is meant by a client that names no `tenant`: a virtual server, or an agent behind "
            "it as `SERVER/agents/UPSTREAM`. Cards name a tenant for all others."
        ),
    )
    certfile: Path | None = operator_file("The certificate chain in PEM form. With it, TLS is spoken.")
    keyfile: Path | None = operator_file("The certificate's private key in PEM form.")
    ca_certs: Path | None = operator_file(
        "Authorities in PEM form. With them, clients must present a certificate one of them signed."
    )
    max_message_bytes: int = number(4 * 1024 * 1024, "The largest message taken.", least=1024)
    max_calls: int = number(1000, "Calls under way at once; more are refused.")
    drain: float = seconds(5.0, "Seconds calls may still take when the gateway ends.")

    def __attrs_post_init__(self) -> None:
        """Refuse half a TLS configuration."""
        if (self.certfile is None) is not (self.keyfile is None):
            raise ValueError("needs both `certfile` and `keyfile`")
        if self.ca_certs is not None and self.certfile is None:
            raise ValueError("`ca_certs` needs `certfile`: without TLS nobody presents a certificate")
