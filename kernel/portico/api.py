"""The public API: everything a plugin may use. `portico._core` is private and may change in any release."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from portico._config.validators import at_least, positive
from portico._config.wording import Wrong, absence, nearest
from portico._core.addresses import AddressNotAllowed, judge, resolve, spelled
from portico._core.contracts.auth import GATEWAY, AuthScheme, Challenge, Credentials, Principal
from portico._core.contracts.clock import Clock
from portico._core.contracts.config import ConfigLoader, Ref, Secret, doc
from portico._core.contracts.credentials import (
    Credential,
    CredentialParts,
    FlowCredential,
    PlacedCredential,
    RenewableCredential,
)
from portico._core.contracts.definitions import (
    Conflict,
    Definitions,
    Difference,
    OnChange,
    Pinned,
    UpstreamPins,
)
from portico._core.contracts.direct import Admission, Admit, Direct, Reply, Scope
from portico._core.contracts.exchange import Client, Era, Exchange, Target
from portico._core.contracts.factory import Factory, Later
from portico._core.contracts.host import Host
from portico._core.contracts.json import Json
from portico._core.contracts.log import Log
from portico._core.contracts.management import FromFile, Managed, Management, NoRegistry, Outcome
from portico._core.contracts.observers import Event, Observer
from portico._core.contracts.policies import Next, Policy
from portico._core.contracts.records import (
    KINDS_MANAGED,
    About,
    Author,
    Change,
    Entry,
    Made,
    Record,
    Registry,
    RegistryDown,
    Schema,
    Stale,
)
from portico._core.contracts.result import Result, input_required
from portico._core.contracts.servers import Server, Share
from portico._core.contracts.stores import Cache, Store
from portico._core.contracts.transports import Transport
from portico._core.contracts.ui import Command, Page
from portico._core.contracts.upstreams import (
    Offer,
    Probed,
    Speaks,
    State,
    Successor,
    Tellable,
    Upstream,
    Visitor,
    Watchable,
)
from portico._core.contracts.wiring import Wiring
from portico._core.door import Denied, Door
from portico._core.errors import (
    CIRCUIT_OPEN,
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    OVERLOADED,
    PARSE_ERROR,
    POLICY_DENIED,
    RATE_LIMITED,
    RESOURCE_NOT_FOUND_LEGACY,
    SHUTTING_DOWN,
    TOOL_DEFINITION_CHANGED,
    UNSUPPORTED_VERSION,
    UPSTREAM_BAD_RESPONSE,
    UPSTREAM_TIMEOUT,
    UPSTREAM_UNAVAILABLE,
    URL_ELICITATION_REQUIRED_LEGACY,
    ConfigError,
    PorticoError,
    Refused,
    failure,
)
from portico._core.protocol.envelope import check_modern, is_enveloped
from portico._core.protocol.eras import (
    LATEST_LEGACY,
    LATEST_MODERN,
    LEGACY_VERSIONS,
    LOG_LEVELS,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_PREFIX,
    META_SERVER_INFO,
    META_SUBSCRIPTION,
    META_VERSION,
    MODERN_VERSIONS,
    NAME_PARAM,
    RELATED_TASK,
    TASKS_EXTENSION,
    is_modern,
)
from portico._core.protocol.headers import (
    ROUTING_HEADERS,
    check_routing,
    decode_header_value,
    encode_header_value,
)
from portico._core.protocol.http_heads import RepeatedHead, upgrade_required
from portico._core.protocol.jsonrpc import (
    Id,
    Message,
    error_frame,
    notification_frame,
    parse,
    parse_batch,
    request_frame,
    result_frame,
    result_pieces,
)
from portico._core.protocol.modern_call import Asking, Frames, ModernCall
from portico._core.protocol.param_headers import header_map, invalid_header_reason, param_headers
from portico._core.protocol.parking import used_up
from portico._core.protocol.sse import SseEvent, SseParser, SseTooLarge, sse_event, sse_events, sse_numbered
from portico._core.protocol.stream import (
    Sink,
    Stream,
    Unread,
)
from portico._core.requests.endpoint import (
    Endpoint,
)
from portico._core.requests.foreign import ForeignCall, ForeignEvent, carry_foreign, foreign_call
from portico._core.requests.listen import (
    Listen,
)
from portico._core.requests.owners import FORWARDED, PROXIED
from portico._core.requests.session import (
    Session,
)
from portico._core.requests.single import OF_A_SESSION, answer_alone, carry_out
from portico._core.specs import (
    API_VERSION,
    AuthFactory,
    CacheFactory,
    CredentialFactory,
    ObserverFactory,
    PolicyFactory,
    RegistryFactory,
    ServerFactory,
    StoreFactory,
    TransportFactory,
    UpstreamFactory,
    hookimpl,
)
from portico._core.timers import Timer, timers

if TYPE_CHECKING:
    from portico._config.exchange.catalog import (
        Catalog,
        CatalogDown,
        CatalogPage,
        NoCatalog,
        as_upstream,
        catalog_at,
        ways_to_have,
    )
    from portico._config.exchange.items import Item, OnConflict, Planned, Taken
    from portico._config.exchange.items import plan as plan_import
    from portico._config.exchange.reading import read_import
    from portico._config.exchange.toml import dumps as write_toml

__all__ = [
    "API_VERSION",
    "CIRCUIT_OPEN",
    "FORWARDED",
    "GATEWAY",
    "HEADER_MISMATCH",
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "KINDS_MANAGED",
    "LATEST_LEGACY",
    "LATEST_MODERN",
    "LEGACY_VERSIONS",
    "LOG_LEVELS",
    "META_CAPABILITIES",
    "META_CLIENT_INFO",
    "META_LOG_LEVEL",
    "META_PREFIX",
    "META_SERVER_INFO",
    "META_SUBSCRIPTION",
    "META_VERSION",
    "METHOD_NOT_FOUND",
    "MISSING_CAPABILITY",
    "MODERN_VERSIONS",
    "NAME_PARAM",
    "OF_A_SESSION",
    "OVERLOADED",
    "PARSE_ERROR",
    "POLICY_DENIED",
    "PROXIED",
    "RATE_LIMITED",
    "RELATED_TASK",
    "RESOURCE_NOT_FOUND_LEGACY",
    "ROUTING_HEADERS",
    "SHUTTING_DOWN",
    "TASKS_EXTENSION",
    "TOOL_DEFINITION_CHANGED",
    "UNSUPPORTED_VERSION",
    "UPSTREAM_BAD_RESPONSE",
    "UPSTREAM_TIMEOUT",
    "UPSTREAM_UNAVAILABLE",
    "URL_ELICITATION_REQUIRED_LEGACY",
    "About",
    "AddressNotAllowed",
    "Admission",
    "Admit",
    "Asking",
    "AuthFactory",
    "AuthScheme",
    "Author",
    "Cache",
    "CacheFactory",
    "Catalog",
    "CatalogDown",
    "CatalogPage",
    "Challenge",
    "Change",
    "Client",
    "Clock",
    "Command",
    "ConfigError",
    "ConfigLoader",
    "Conflict",
    "Credential",
    "CredentialFactory",
    "CredentialParts",
    "Credentials",
    "Definitions",
    "Denied",
    "Difference",
    "Direct",
    "Door",
    "Endpoint",
    "Entry",
    "Era",
    "Event",
    "Exchange",
    "Factory",
    "FlowCredential",
    "ForeignCall",
    "ForeignEvent",
    "Frames",
    "FromFile",
    "Host",
    "Id",
    "Item",
    "Json",
    "Later",
    "Listen",
    "Log",
    "Made",
    "Managed",
    "Management",
    "Message",
    "ModernCall",
    "Next",
    "NoCatalog",
    "NoRegistry",
    "Observer",
    "ObserverFactory",
    "Offer",
    "OnChange",
    "OnConflict",
    "Outcome",
    "Page",
    "Pinned",
    "PlacedCredential",
    "Planned",
    "Policy",
    "PolicyFactory",
    "PorticoError",
    "Principal",
    "Probed",
    "Record",
    "Ref",
    "Refused",
    "Registry",
    "RegistryDown",
    "RegistryFactory",
    "RenewableCredential",
    "RepeatedHead",
    "Reply",
    "Result",
    "Schema",
    "Scope",
    "Secret",
    "Server",
    "ServerFactory",
    "Session",
    "Share",
    "Sink",
    "Speaks",
    "SseEvent",
    "SseParser",
    "SseTooLarge",
    "Stale",
    "State",
    "Store",
    "StoreFactory",
    "Stream",
    "Successor",
    "Taken",
    "Target",
    "Tellable",
    "Timer",
    "Transport",
    "TransportFactory",
    "Unread",
    "Upstream",
    "UpstreamFactory",
    "UpstreamPins",
    "Visitor",
    "Watchable",
    "Wiring",
    "Wrong",
    "absence",
    "answer_alone",
    "as_upstream",
    "at_least",
    "carry_foreign",
    "carry_out",
    "catalog_at",
    "check_modern",
    "check_routing",
    "decode_header_value",
    "doc",
    "encode_header_value",
    "error_frame",
    "failure",
    "foreign_call",
    "header_map",
    "hookimpl",
    "input_required",
    "invalid_header_reason",
    "is_enveloped",
    "is_modern",
    "judge",
    "nearest",
    "notification_frame",
    "param_headers",
    "parse",
    "parse_batch",
    "plan_import",
    "positive",
    "read_import",
    "request_frame",
    "resolve",
    "result_frame",
    "result_pieces",
    "spelled",
    "sse_event",
    "sse_events",
    "sse_numbered",
    "timers",
    "upgrade_required",
    "used_up",
    "ways_to_have",
    "write_toml",
]

_EXCHANGE: Final = "portico._config.exchange."
_LATE: Final = {
    "Catalog": ("catalog", "Catalog"),
    "CatalogDown": ("catalog", "CatalogDown"),
    "CatalogPage": ("catalog", "CatalogPage"),
    "NoCatalog": ("catalog", "NoCatalog"),
    "as_upstream": ("catalog", "as_upstream"),
    "catalog_at": ("catalog", "catalog_at"),
    "ways_to_have": ("catalog", "ways_to_have"),
    "Item": ("items", "Item"),
    "OnConflict": ("items", "OnConflict"),
    "Planned": ("items", "Planned"),
    "Taken": ("items", "Taken"),
    "plan_import": ("items", "plan"),
    "read_import": ("reading", "read_import"),
    "write_toml": ("toml", "dumps"),
}
"""What few plugins want and every gateway would have in memory -> its module, and its name there."""


def __getattr__(name: str) -> Any:
    """Import what is asked for late, once.

    Raises:
        AttributeError: There is no such name.
    """
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _LATE[name]
    globals()[name] = found = getattr(import_module(_EXCHANGE + module), there)
    return found
