"""How far things managed at run time may reach: what they may set, and which addresses they may name.

Whoever writes the configuration file runs the gateway. Whoever manages it at run time may be another, and has
no business in its network. Names are not resolved here: they are judged whenever they are connected to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from portico._config.tables import GatewaySettings
from portico._config.wording import Place
from portico._core.addresses import judge, spelled
from portico._core.contracts.json import Json

_HELD = "only the configuration file may set this, unless gateway.managed_private says otherwise"


def may_be_private(gateway: GatewaySettings) -> bool:
    """Whether what is managed at run time may be at private addresses.

    Unless it is said: when nobody but this machine reaches the gateway itself, so far as it knows.
    """
    if gateway.managed_private is not None:
        return gateway.managed_private
    return gateway.public_url is None and all(_loopback(one) for one in gateway.listen)


def confined(table: Mapping[str, Any], cls: type) -> tuple[Json, list[tuple[Place, str]]]:
    """A component's table with what it has to be where the operator has not allowed more, and what is wrong.

    Args:
        table: As it was written.
        cls: The component's configuration; fields say by the metadata `managed` what they have to be.
    """
    held = {
        field.name: field.metadata["managed"] for field in attrs.fields(cls) if "managed" in field.metadata
    }
    wrong: list[tuple[Place, str]] = [
        ((name,), _HELD) for name, value in held.items() if name in table and table[name] != value
    ]
    return {**table, **held}, wrong


def forbidden(config: Any) -> Iterator[tuple[Place, str]]:
    """What is wrong with addresses in a configuration, as far as it can be told without asking anybody.

    Args:
        config: Its fields that are URLs which will be connected to have the metadata `outbound`, those of
            tables within tables, too.
    """
    return _forbidden(config, bool(getattr(config, "allow_private", True)), ())


def _forbidden(config: Any, allow_private: bool, place: Place) -> Iterator[tuple[Place, str]]:
    for field in attrs.fields(type(config)):
        value, here = getattr(config, field.name), (*place, field.name)
        if field.metadata.get("outbound"):
            for url in (value,) if isinstance(value, str) else value:
                reason = _reason(url, allow_private) if url else None
                if reason is not None:
                    yield here, f"address_not_allowed ({reason})"
        elif attrs.has(type(value)):
            yield from _forbidden(value, allow_private, here)


def _reason(url: str, allow_private: bool) -> str | None:
    """Why an address may not be connected to; None for a name, which is judged when it is."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return None  # it is no URL, and its plugin says so
    found = spelled(host)
    if not found and host.rstrip(".").rpartition(".")[2] == "localhost" and not allow_private:
        return "loopback"
    reasons = (judge(ip, allow_private=allow_private) for ip in found)
    return next((reason for reason in reasons if reason is not None), None)


def _loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
