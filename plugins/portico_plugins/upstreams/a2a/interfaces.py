"""Where a card says that its agent is to be reached, and which of that is used."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import attrs

from portico.api import Json
from portico_plugins.a2a.parts import is_web

from .config import A2aConfig, Binding

_PORTS: Final = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}
_GRPC: Final = {"http": "grpc", "https": "grpcs", "grpc": "grpc", "grpcs": "grpcs"}
_HOST_PORT: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+):[0-9]{1,5}")
_TENANT: Final = re.compile(r"[0-9A-Za-z_~-][0-9A-Za-z._~-]{0,127}")
_VERSION: Final = re.compile(r"([01])\.[0-9]+(\.[0-9]+)?")


class NoInterface(Exception):
    """None of the interfaces of a card can be used; says why."""


@attrs.frozen
class Interface:
    """A way to reach an agent.

    Attributes:
        binding: How messages are sent.
        url: Where; of gRPC `grpc://host:port` or `grpcs://host:port`.
        tenant: What requests must name, "" for nothing.
        legacy: Whether it speaks 0.3.
        declared: The URL as the card has it.
    """

    binding: Binding
    url: str
    tenant: str
    legacy: bool
    declared: str


def origin_of(url: str) -> str:
    """The origin of an absolute URL: scheme, host and port, the port always given.

    Raises:
        ValueError: It has none.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("no origin")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}"


def chosen(card: Json, config: A2aConfig) -> Interface:
    """The interface to use: of the bindings that may be, the one the card names first, and of that, 1.0.

    An interface at an origin that is not allowed does not count, as does one that cannot be understood.

    Args:
        card: ProtoJSON of the card.
        config: The upstream's configuration.

    Raises:
        NoInterface: There is none.
    """
    own = origin_of(config.url)
    allowed = {own, *map(origin_of, config.origins)}
    # The same port is the same server, whatever is spoken on it.
    allowed |= {
        f"{_GRPC[scheme]}://{rest}" for scheme, _, rest in (each.partition("://") for each in allowed)
    }
    found: list[Interface] = []
    why = "the card names none"
    for declared in card.get("supportedInterfaces", ()):
        try:
            interface = _read(declared, config, secure=own.startswith("https:"))
            if origin_of(interface.url) not in allowed:
                raise NoInterface(f"{origin_of(interface.url)} is not among `origins`")
            found.append(interface)
        except (NoInterface, ValueError) as error:
            why = str(error)
    if not found:
        raise NoInterface(why)
    same = [each for each in found if each.binding == found[0].binding]
    return next((each for each in same if not each.legacy), same[0])


def _read(declared: Json, config: A2aConfig, *, secure: bool) -> Interface:
    binding = str(declared.get("protocolBinding", ""))
    url = str(declared.get("url", ""))
    version = str(declared.get("protocolVersion", "") or "1.0")
    tenant = str(declared.get("tenant", ""))
    known: Binding | None = next((each for each in config.bindings if each == binding), None)
    if known is None:
        raise NoInterface(f"{binding[:32]!r} is not among `bindings`")
    said = _VERSION.fullmatch(version)
    if said is None:
        raise NoInterface(f"version {version[:16]!r} of the protocol is not known")
    if tenant and not _TENANT.fullmatch(tenant):
        raise NoInterface("a tenant that cannot be in a path")
    if known == "GRPC":
        target = _grpc(url, secure=secure)
    elif is_web(url) and url.isascii() and not urlsplit(url).fragment:
        target = url
    else:
        raise NoInterface("a URL that is not one of http or https")
    return Interface(known, target, tenant, said[1] == "0", url)


def _grpc(url: str, *, secure: bool) -> str:
    """The target of gRPC: cards have it as `host:port`, or as a URL of one scheme or another."""
    if _HOST_PORT.fullmatch(url):
        return f"{'grpcs' if secure else 'grpc'}://{url}"
    parts = urlsplit(url)
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme not in _GRPC or not parts.hostname or not plain or not url.isascii():
        raise NoInterface("a URL that is none of gRPC")
    return origin_of(f"{_GRPC[parts.scheme]}://{parts.netloc}")
