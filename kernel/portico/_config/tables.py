"""The tables the kernel itself reads: `[gateway]` and `[servers.NAME]`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

from portico._config.validators import at_least, positive
from portico._core.catalog import naming
from portico._core.contracts.config import Secret, doc
from portico._core.contracts.definitions import OnChange

_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[^\]\s]+)?\]|[^\s:\[\]/]+):([0-9]{1,5})")


def _addresses(_: Any, __: Any, value: Sequence[str]) -> None:
    for address in value:
        match = _ADDRESS.fullmatch(address)
        if match is None or int(match[1]) > 65535:
            raise ValueError(f"expected HOST:PORT (an IPv6 host in brackets), got {address!r}")


def _web_address(_: Any, __: Any, value: str | None) -> None:
    if value is not None:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("expected an absolute http:// or https:// URL without query and fragment")


def _origins(_: Any, __: Any, value: tuple[str, ...]) -> None:
    for each in value:
        if each not in ("*", "null") and not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@]+", each):
            raise ValueError(f"expected SCHEME://HOST or SCHEME://HOST:PORT, without a path, got {each!r}")


def _long_enough(_: Any, __: Any, value: Secret | None) -> None:
    if value is not None and len(value.reveal().encode()) < 32:
        raise ValueError("a secret of at least 32 bytes is needed (`openssl rand -hex 32` makes one)")


def _keys_long_enough(_: Any, __: Any, value: Mapping[str, Secret]) -> None:
    for name, secret in value.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name):
            raise ValueError(f"expected letters, digits, - and _ as the name of a key, got {name!r}")
        _long_enough(_, __, secret)


def _none_or_a_second(_: Any, __: Any, value: float) -> None:
    if value != 0 and value < 1:
        raise ValueError(f"expected 0, or at least 1, got {value}")


@attrs.frozen
class GatewaySettings:
    """The table `[gateway]`."""

    listen: tuple[str, ...] = attrs.field(
        default=("127.0.0.1:4444",),
        validator=_addresses,
        metadata=doc("Addresses to listen on, `HOST:PORT`."),
    )
    workers: int = attrs.field(
        default=1,
        validator=at_least(1),
        metadata=doc("Worker processes. One worker is the gateway's own process, until it is reloaded."),
    )
    control: str = attrs.field(
        default="auto",
        metadata=doc(
            'The Unix socket of `gateway status` and `gateway reload`: a path, or "" for none. `auto` is in '
            "a private folder in `$XDG_RUNTIME_DIR/portico` or `/tmp/portico-UID`. A reload does not move it."
        ),
    )
    log_format: Literal["auto", "console", "json"] = attrs.field(
        default="auto", metadata=doc("`auto` is `console` on a terminal and `json` elsewhere.")
    )
    log_level: Literal["debug", "info", "warning", "error"] = attrs.field(
        default="info", metadata=doc("The least severe events to log.")
    )
    drain_notice: float = attrs.field(
        default=0,
        validator=at_least(0),
        metadata=doc("Seconds to go on accepting after a stop signal, unready."),
    )
    drain_timeout: float = attrs.field(
        default=30,
        validator=at_least(0),
        metadata=doc("Seconds that calls in flight get to finish when stopping."),
    )
    call_timeout: float = attrs.field(
        default=300, validator=positive, metadata=doc("Seconds one exchange may take; its one deadline.")
    )
    max_in_flight: int = attrs.field(
        default=1000, validator=at_least(1), metadata=doc("Exchanges in flight per worker; more are refused.")
    )
    max_loop_lag: float = attrs.field(
        default=1.0,
        validator=at_least(0),
        metadata=doc(
            "Seconds a worker's event loop may be late, twice in a row; later, it refuses exchanges until it "
            "has caught up. 0 for any."
        ),
    )
    max_memory: int | None = attrs.field(
        default=None,
        validator=at_least(0),
        metadata=doc(
            "Bytes of memory a worker may have; with more, it refuses exchanges. 0 for any. By default nine "
            "tenths of the container's limit, shared out among the workers; any, without such a limit."
        ),
    )
    hang_timeout: float = attrs.field(
        default=30,
        validator=_none_or_a_second,
        metadata=doc(
            "Seconds after which a worker process whose event loop stands still is killed and replaced. "
            "0 for never."
        ),
    )
    body_limit: int = attrs.field(
        default=4_194_304, validator=at_least(1024), metadata=doc("Bytes a request body may have.")
    )
    depth_limit: int = attrs.field(
        default=64, validator=at_least(8), metadata=doc("Levels a request's JSON may be nested.")
    )
    allowed_hosts: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("`Host` names to answer to besides those listened on and `public_url`'s.")
    )
    allowed_origins: tuple[str, ...] = attrs.field(
        default=(),
        validator=_origins,
        metadata=doc(
            "`Origin`s web pages may call from besides the gateway's own; their browsers are told so (CORS). "
            "A gateway on loopback lets pages of this machine call."
        ),
    )
    public_url: str | None = attrs.field(
        default=None, validator=_web_address, metadata=doc("The URL clients reach the gateway at.")
    )
    secret: Secret | None = attrs.field(
        default=None,
        validator=_long_enough,
        metadata=doc(
            "Key (32 bytes or more) that seals the handles given to clients; random per start by default."
        ),
    )
    allow_anonymous_public: bool = attrs.field(
        default=False, metadata=doc("Confirms that `anonymous` may serve addresses other than loopback.")
    )
    park_timeout: float = attrs.field(
        default=600,
        validator=positive,
        metadata=doc("Seconds a call waits for the client's answer to a question."),
    )
    health_interval: float = attrs.field(
        default=30,
        validator=at_least(0),
        metadata=doc(
            "Seconds between two probes of an upstream, give or take a fifth; 0 for none. An upstream's own "
            "`health_interval` holds instead."
        ),
    )
    health_failures: int = attrs.field(
        default=3,
        validator=at_least(1),
        metadata=doc("How many probes in a row have to fail before an upstream is taken to be away."),
    )
    registry: str | None = attrs.field(
        default=None,
        metadata=doc(
            "The registry that keeps what is managed at run time; the only one there is by default."
        ),
    )
    state: Path | None = attrs.field(
        default=None,
        metadata=doc(
            "Folder for what a gateway keeps so that it can start while its registry or upstreams are away: "
            "the records, and what each upstream offered last. With a registry, `.portico` beside the "
            "configuration file by default; without one, nothing is kept by default."
        ),
    )
    encryption_keys: dict[str, Secret] = attrs.field(
        factory=dict,
        validator=_keys_long_enough,
        metadata=doc(
            "Keys (32 bytes or more) for the secrets in a registry, by any names. The first one seals, all "
            "open. By default one is made, in `state`; gateways that share a registry need the same."
        ),
    )
    on_change: OnChange = attrs.field(
        default="warn",
        metadata=doc(
            "What becomes of a tool, prompt or resource whose definition its upstream changes: `accept` it, "
            "`warn` and show it all the same, or `quarantine` it until somebody approves. What an upstream's "
            "own `on_change` says comes before this."
        ),
    )
    managed_commands: tuple[tuple[str, ...], ...] = attrs.field(
        default=(),
        metadata=doc(
            "Argument lists that upstreams managed at run time may start; without them, they start none.",
            example=[["mcp-server-time"]],
        ),
    )
    managed_private: bool | None = attrs.field(
        default=None,
        metadata=doc(
            "Whether upstreams managed at run time may be at loopback and private addresses. By default only "
            "of a gateway that listens on loopback itself and has no `public_url`."
        ),
    )
    separator: Literal["__", "-"] = attrs.field(
        default="__", metadata=doc("What stands between an upstream's name and a prefixed name.")
    )


@attrs.frozen
class Selection(naming.Selection):
    """Which things of a kind a virtual server shows, and as what."""

    include: tuple[str, ...] = attrs.field(
        default=("*",), metadata=doc("Patterns over `name` or `upstream/name` of what to show.")
    )
    exclude: tuple[str, ...] = attrs.field(default=(), metadata=doc("Patterns of what to hide; wins."))
    rename: dict[str, str] = attrs.field(
        factory=dict, metadata=doc("`name` or `upstream/name` to the name to advertise.")
    )


@attrs.frozen
class UpstreamSettings:
    """What any table `[upstreams.NAME]` may have beside `use` and the keys of its plugin."""

    on_change: OnChange | None = attrs.field(
        default=None,
        metadata=doc(
            "What becomes of a definition that the upstream changes; `gateway.on_change` by default."
        ),
    )
    health_interval: float | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(at_least(0)),
        metadata=doc("Seconds between two probes, 0 for none; `gateway.health_interval` by default."),
    )


@attrs.frozen
class TransportSettings:
    """What any table `[transports.NAME]` may have beside `use` and the keys of its plugin."""

    enabled: bool = attrs.field(
        default=True,
        metadata=doc(
            "Whether it is there at all: `[transports.streamable_http] enabled = false` leaves out the one "
            "that is there by default."
        ),
    )


@attrs.frozen
class ServerSettings:
    """A table `[servers.NAME]`: a virtual server."""

    upstreams: tuple[str, ...] = attrs.field(
        default=("*",), metadata=doc("Upstreams to federate, in this order; `*` is every configured one.")
    )
    name: str | None = attrs.field(
        default=None, metadata=doc("The `serverInfo` name; the table's by default.")
    )
    title: str | None = attrs.field(default=None, metadata=doc("The `serverInfo` title."))
    as_upstream: bool = attrs.field(
        default=False,
        metadata=doc(
            "Have its only upstream's `serverInfo` once that is known, and until then every capability."
        ),
    )
    version: str | None = attrs.field(
        default=None, metadata=doc("The `serverInfo` version; Portico's by default.")
    )
    instructions: str | None = attrs.field(
        default=None, metadata=doc("Instructions for models; the upstreams' own, joined, by default.")
    )
    prefix: Literal["never", "conflict", "always"] = attrs.field(
        default="conflict", metadata=doc("When names carry their upstream's name.")
    )
    auth: tuple[str, ...] = attrs.field(
        default=(),
        metadata=doc(
            "Auth schemes, tried in order; by default the one configured, or `anonymous` if none is."
        ),
    )
    policies: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("Policies around each exchange, outermost first.")
    )
    tools: Selection = attrs.field(factory=Selection, metadata=doc("Which tools, and as what."))
    resources: Selection = attrs.field(factory=Selection, metadata=doc("Which resources, and as what."))
    prompts: Selection = attrs.field(factory=Selection, metadata=doc("Which prompts, and as what."))
    describe: dict[str, str] = attrs.field(
        factory=dict, metadata=doc("Advertised or original name to the description to show instead.")
    )
    page_size: int = attrs.field(
        default=0, validator=at_least(0), metadata=doc("Entries on a page of a list; 0 for all on one.")
    )


SHARED: Final[Mapping[str, type]] = {"upstreams": UpstreamSettings, "transports": TransportSettings}
"""What any table of a kind may have beside the keys of its plugin."""
