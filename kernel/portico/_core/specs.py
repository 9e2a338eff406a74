"""The hooks a plugin may implement, in the order in which the kernel starts what they return.

Hooks return descriptors and are called once, while a gateway is composed. Nothing here runs per request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs
import pluggy

from portico._core.contracts.auth import AuthScheme
from portico._core.contracts.config import ConfigLoader
from portico._core.contracts.credentials import Credential
from portico._core.contracts.factory import Factory
from portico._core.contracts.observers import Observer
from portico._core.contracts.policies import Policy
from portico._core.contracts.records import Registry
from portico._core.contracts.servers import Server
from portico._core.contracts.stores import Cache, Store
from portico._core.contracts.transports import Transport
from portico._core.contracts.ui import Command, Page
from portico._core.contracts.upstreams import Upstream

PROJECT: Final = "portico"

API_VERSION: Final = (1, 0)
"""The plugin API: a plugin's `gateway_api` must have this major and at most this minor number."""

hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's function as the implementation of the hook of the same name."""

RegistryFactory = Factory[Any, Registry]
StoreFactory = Factory[Any, Store]
CacheFactory = Factory[Any, Cache]
CredentialFactory = Factory[Any, Credential]
AuthFactory = Factory[Any, AuthScheme]
ObserverFactory = Factory[Any, Observer]
UpstreamFactory = Factory[Any, Upstream]
PolicyFactory = Factory[Any, Policy]
TransportFactory = Factory[Any, Transport]
ServerFactory = Factory[Any, Server]


@hookspec
def gateway_config_loaders() -> Sequence[ConfigLoader]:
    """Formats a configuration file may have, chosen by suffix. Plain objects: nothing is configured yet."""
    raise NotImplementedError


@hookspec
def gateway_registries() -> Sequence[RegistryFactory]:
    """Where what is managed at run time is kept (`[registries.NAME]`)."""
    raise NotImplementedError


@hookspec
def gateway_stores() -> Sequence[StoreFactory]:
    """Small shared state with expiry (`[stores.NAME]`)."""
    raise NotImplementedError


@hookspec
def gateway_caches() -> Sequence[CacheFactory]:
    """Caches (`[caches.NAME]`)."""
    raise NotImplementedError


@hookspec
def gateway_credentials() -> Sequence[CredentialFactory]:
    """What upstream requests are authenticated with (`[credentials.NAME]`)."""
    raise NotImplementedError


@hookspec
def gateway_auth_schemes() -> Sequence[AuthFactory]:
    """How clients say who they are (`[auth.NAME]`)."""
    raise NotImplementedError


@hookspec
def gateway_observers() -> Sequence[ObserverFactory]:
    """Who is told of events (`[observers.NAME]`)."""
    raise NotImplementedError


@hookspec
def gateway_upstreams() -> Sequence[UpstreamFactory]:
    """Kinds of upstream (`[upstreams.NAME]`). An unreachable one starts degraded; it does not fail."""
    raise NotImplementedError


@hookspec
def gateway_policies() -> Sequence[PolicyFactory]:
    """What may stand around an exchange (`[policies.NAME]`); a virtual server lists its own, in its order."""
    raise NotImplementedError


@hookspec
def gateway_transports() -> Sequence[TransportFactory]:
    """How clients reach the gateway (`[transports.NAME]`)."""
    raise NotImplementedError


@hookspec
def gateway_servers() -> Sequence[ServerFactory]:
    """What runs the ASGI app on sockets (`[listeners.NAME]`)."""
    raise NotImplementedError


@hookspec
def gateway_pages() -> Sequence[Page]:
    """Pages of the admin UI."""
    raise NotImplementedError


@hookspec
def gateway_commands() -> Sequence[Command]:
    """Commands of the `gateway` program, built only when asked for."""
    raise NotImplementedError


@attrs.frozen
class Kind:
    """One kind of component.

    Attributes:
        table: The top-level config table its instances are in.
        hook: The hook that returns its factories.
        contract: The Protocol its components follow; what `Ref[...]` names.
        noun: What messages call one of it.
    """

    table: str
    hook: str
    contract: Any
    noun: str


KINDS: Final = {
    kind.table: kind
    for kind in (
        Kind("registries", "gateway_registries", Registry, "registry"),
        Kind("stores", "gateway_stores", Store, "store"),
        Kind("caches", "gateway_caches", Cache, "cache"),
        Kind("credentials", "gateway_credentials", Credential, "credential"),
        Kind("auth", "gateway_auth_schemes", AuthScheme, "auth scheme"),
        Kind("observers", "gateway_observers", Observer, "observer"),
        Kind("upstreams", "gateway_upstreams", Upstream, "upstream"),
        Kind("policies", "gateway_policies", Policy, "policy"),
        Kind("transports", "gateway_transports", Transport, "transport"),
        Kind("listeners", "gateway_servers", Server, "listener"),
    )
}
"""Every kind by its config table, in start order. (`[servers.NAME]` are virtual servers, not components.)"""
