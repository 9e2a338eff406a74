"""The contracts between the kernel and plugins: one small Protocol per kind, and what passes between them.

Longer than other modules on purpose: it is the page a plugin author reads from top to bottom, nearly all of
it docstrings, and the contracts refer to each other.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import attrs
import msgspec

if TYPE_CHECKING:
    import socket

    import click
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from portico._core.endpoint import Endpoint
    from portico._core.management import Management
    from portico._core.records import Schema

Json = dict[str, Any]
"""A JSON object."""

T = TypeVar("T")
C = TypeVar("C")
P_co = TypeVar("P_co", covariant=True)


class Era(enum.StrEnum):
    """The two families of MCP revisions: with a handshake and sessions, and without."""

    LEGACY = "legacy"
    MODERN = "modern"


# --- what a configuration may hold -------------------------------------------------------------


@attrs.frozen(repr=False)
class Secret:
    """A configured secret: never printed, logged or serialised; `reveal()` is the only way to its value."""

    _value: str

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__


@attrs.frozen
class Ref(Generic[T]):
    """The name of another configured component of kind `T`; such fields are the start-order graph."""

    name: str


def doc(text: str, **extra: Any) -> dict[str, Any]:
    """Field metadata that documents a config key: `plugins show` and the generated docs print it.

    Args:
        text: One or two sentences; Markdown is fine.
        extra: Further metadata, `example=` among others. `exists="file"` (or `"folder"`, `"either"`) says of
            a `Path`, or of several, that it has to be there: `gateway check` looks.
    """
    return {"doc": text, **extra}


# --- factories and the host --------------------------------------------------------------------


@attrs.frozen(eq=False)
class Later(Generic[T]):
    """Something that is not had before it is asked for: what a plugin imports for it costs only who uses it.

    Attributes:
        get: Imports and gives it. May be called again and again, which an import that is done makes cheap.
    """

    get: Callable[[], T]


@attrs.frozen
class Factory(Generic[C, P_co]):
    """What a plugin hook returns: how to configure and create one kind of component.

    Attributes:
        name: The word `use = "..."` names in a config file.
        summary: One line for `plugins list`.
        config: An attrs class; its fields are the config keys, documented with `doc(...)`. Given as
            `Later`, it is imported when a configuration names the factory, or somebody asks for its keys.
        create: `create(config, host)` as an async context manager that yields the component. Entering starts
            it, leaving stops it.
        posture: What the plugin promises about hostile input: `hardened`, `trusted-upstream-only`, `unknown`.
        schema: `schema(config, name, base, state)` where what is kept has a schema that `gateway db` changes:
            like `create`, but starts nothing; the last three are those of `Host`.
        check: `check(config, base)` gives what is wrong that only this machine shows, as `(place below the
            table, message)`: packages and programs that are not installed, files that are no good. It is for
            `gateway check`, starts nothing, opens no connection and imports little. `base` is that of `Host`.
    """

    name: str
    summary: str
    _config: type[C] | Later[type[C]] = attrs.field(
        alias="config", validator=lambda self, _, value: self._judge(value)
    )
    create: Callable[[C, Host], AbstractAsyncContextManager[P_co]]
    posture: Literal["hardened", "trusted-upstream-only", "unknown"] = "unknown"
    schema: Callable[[C, str, Path, Path], AbstractAsyncContextManager[Schema]] | None = None
    check: Callable[[C, Path], Iterable[tuple[tuple[str | int, ...], str]]] | None = None

    @property
    def config(self) -> type[C]:
        """The attrs class, imported if it is not yet.

        Raises:
            Exception: Whatever importing it raises.
            TypeError: It is no attrs class.
        """
        if not isinstance(self._config, Later):
            return self._config
        config = self._config.get()
        self._judge(config)
        return config

    def _judge(self, config: object) -> None:
        if not isinstance(config, Later) and not (isinstance(config, type) and attrs.has(config)):
            raise TypeError(f"the config of factory {self.name!r} must be an attrs class, not {config!r}")


class Clock(Protocol):
    """Time, injected so that tests can move it."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def time(self) -> float:
        """Seconds since the epoch."""
        ...


class Log(Protocol):
    """A structlog-like bound logger: an event name, then key=value facts."""

    def debug(self, event: str, **facts: Any) -> Any: ...
    def info(self, event: str, **facts: Any) -> Any: ...
    def warning(self, event: str, **facts: Any) -> Any: ...
    def error(self, event: str, **facts: Any) -> Any: ...


def _unmanaged() -> Management:
    from portico._core.management import Unmanaged  # which knows of what is here

    return Unmanaged()


def _random(_: str) -> bytes:
    return os.urandom(32)


@attrs.frozen(eq=False)
class Host:
    """What the kernel offers a component when it is created.

    Attributes:
        name: The instance's name in the config (`upstreams.time` is `time`).
        kind: The config table it came from (`upstreams`).
        log: A logger bound to the component.
        clock: Time.
        base: The folder relative paths in the config are relative to.
        component: `component(ref)` gives the started component a `Ref` field names.
        wiring: What upstreams and transports need of the data plane.
        management: What is managed at run time; its methods raise `NoRegistry` when nothing is.
        state: The folder for what outlives the process; whoever writes there makes it, with mode 0700.
        key: `key(purpose)` is 32 bytes that nobody else has: to recognise what the component gave out when it
            comes back. They are the same in all workers, and after a restart if `gateway.secret` is set.
    """

    name: str
    kind: str
    log: Log
    clock: Clock
    base: Path
    component: Callable[[Ref[Any]], Any]
    wiring: Wiring
    management: Management = attrs.field(factory=_unmanaged, kw_only=True)
    state: Path = attrs.field(
        default=attrs.Factory(lambda self: self.base / ".portico", takes_self=True), kw_only=True
    )
    key: Callable[[str], bytes] = attrs.field(default=_random, kw_only=True)


# --- identity ------------------------------------------------------------------------------------


@attrs.frozen
class Principal:
    """Who is calling. Equality and hash are by value: pools, handles and caches key on it.

    Attributes:
        subject: A stable name, unique within `source`.
        source: The auth scheme instance that vouches for it.
        client: The OAuth client or key id, "" where there is none.
        tenant: "" where there is none.
        scopes: What the credential is good for.
    """

    subject: str
    source: str
    client: str = ""
    tenant: str = ""
    scopes: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """One string that differs whenever the identity differs (scopes left aside)."""
        return msgspec.json.encode([self.tenant, self.source, self.subject, self.client]).decode()


GATEWAY = Principal("gateway", "portico")
"""The gateway itself: what it lists upstreams as."""


@attrs.frozen
class Challenge:
    """The request brought no credential, or a wrong one.

    Attributes:
        status: 401 or 403.
        headers: Response headers (`WWW-Authenticate`).
        reason: One word for logs (`missing`, `invalid`, `expired`).
    """

    status: int = 401
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = "missing"


@attrs.define(eq=False)
class Credentials:
    """The parts of an inbound request an auth scheme may look at.

    Attributes:
        headers: Names in lower case; a repeated `authorization` never gets this far.
        peer: The client's IP address, "" on stdio.
        server: The virtual server asked for.
        secure: Whether the connection is TLS.
        proxied: Whether the request says it came through a proxy, so that `peer` may be that one's (see
            `PROXIED`).
    """

    headers: Mapping[str, str]
    peer: str
    server: str
    secure: bool = False
    proxied: bool = False


# --- the exchange ---------------------------------------------------------------------------------


class Client(Protocol):
    """The way back to the client of one exchange. It does not know the era; the kernel translates."""

    async def notify(self, method: str, params: Json) -> None:
        """Send a notification that belongs to this exchange (progress, log message).

        Waits while the client is slow. A frame its client may not get (below the log level, no progress
        token given, a kind this era lacks) is dropped.
        """
        ...

    def progress(self, params: bytes) -> bool:
        """Send a progress notification as it is, where that can be done at once.

        Args:
            params: Its params as JSON text without line breaks, the token in it `Exchange.progress_token`.

        Returns:
            False when nothing was done and `notify` is the way: the client is slow, or a policy wants to see.
        """
        ...

    async def ask(self, method: str, params: Json) -> Json:
        """Ask the client something: elicitation, sampling or roots; returns the bare result object.

        A modern client gets `input_required` and its retry resumes this await; a legacy client gets a request
        on its stream.

        Raises:
            Refused: The client did not declare the capability, answered with an error, or went away.
        """
        ...

    def poll(self, retry_ms: int) -> None:
        """The upstream closed its stream and wants to be polled; a client that can be asked the same is."""
        ...


@attrs.define(eq=False)
class Exchange:
    """One client request in flight, in the canonical (2026-07-28) form.

    Attributes:
        id: The gateway's id of the request, for logs and `data.gateway.request_id`.
        method: The MCP method.
        params: Decoded once. Policies may replace or change it; what they leave is what the upstream gets.
        principal: Who is calling.
        server: The virtual server's name.
        era: The client's era.
        version: The client's protocol revision.
        client: The way back.
        capabilities: What the client declared, for this request.
        client_info: `{"name", "version"}`, or None.
        log_level: The least severe level of log message the client wants, or None for none at all.
        progress_token: The client's own token, or None.
        headers: Inbound HTTP headers with lower-case names (empty on stdio); read only.
        deadline: On the host clock's `monotonic()`; absolute.
        scratch: For policies, keyed by type.
        target: Where the router sends it; None before routing.
        foreign: The method is another protocol's that its transport and the upstream in `target` both speak:
            it goes there if that upstream is one of the virtual server's, and what comes back is left alone.
    """

    id: str
    method: str
    params: Json
    principal: Principal
    server: str
    era: Era
    version: str
    client: Client
    capabilities: Json
    client_info: Json | None
    log_level: str | None
    progress_token: str | int | None
    headers: Mapping[str, str]
    deadline: float
    scratch: dict[type, Any] = attrs.field(factory=dict)
    target: Target | None = None
    foreign: bool = False

    def derived(self, method: str, params: Json, capabilities: Json, target: Target) -> Exchange:
        """The same exchange with other contents, for upstreams; policies keep seeing the original."""
        return Exchange(
            self.id,
            method,
            params,
            self.principal,
            self.server,
            self.era,
            self.version,
            self.client,
            capabilities,
            self.client_info,
            self.log_level,
            self.progress_token,
            self.headers,
            self.deadline,
            self.scratch,
            target,
            self.foreign,
        )


class _Kind(msgspec.Struct):
    result_type: str | None = msgspec.field(default=None, name="resultType")


_kind_of = msgspec.json.Decoder(_Kind).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Result:
    """The result of an exchange. Bytes from an upstream stay the same bytes unless somebody changes `value`.

    Args:
        raw: The JSON text of the `result` member, byte-exact; or None when `value` is given.
        value: The result as a JSON object.
        era: The era whose shape it has. The kernel shapes it for the client.

    Attributes:
        shaped: JSON text the kernel itself has made for this client. As long as that is `raw`, it stays.
    """

    __slots__ = ("_kind", "_raw", "_value", "era", "shaped")

    def __init__(self, raw: bytes | None = None, value: Json | None = None, era: Era = Era.MODERN) -> None:
        self._raw = raw
        self._value = value
        self._kind: str | None = None
        self.era = era
        self.shaped: bytes | None = None

    @property
    def kind(self) -> str:
        """`resultType`: "complete" (also when absent), "input_required", or an extension's value."""
        kind = self._kind
        if kind is None:
            try:
                kind = (
                    self._value.get("resultType") if self._value else _kind_of(self._raw or b"{}").result_type
                )
            except msgspec.ValidationError:
                kind = "invalid"
            kind = self._kind = kind or "complete"
        return kind

    @property
    def value(self) -> Json:
        """The decoded object; read only. Assign a new one to change it."""
        if self._value is None:
            self._value = _decode(self._raw or b"{}")
        return self._value

    @value.setter
    def value(self, value: Json) -> None:
        self._value, self._raw, self._kind = value, None, None

    @property
    def raw(self) -> bytes:
        """The JSON text."""
        if self._raw is None:
            self._raw = _encode(self._value or {})
        return self._raw


def input_required(requests: Mapping[str, Json], state: str | None = None) -> Result:
    """The answer of code that does not keep its place: ask these, then send the same request again.

    Args:
        requests: Key -> `{"method", "params"}`; elicitation, sampling or roots.
        state: Opaque; comes back in `params["requestState"]`.
    """
    value: Json = {"resultType": "input_required", "inputRequests": dict(requests)}
    if state is not None:
        value["requestState"] = state
    return Result(value=value)


# --- upstreams --------------------------------------------------------------------------------------


class State(enum.StrEnum):
    """How an upstream is.

    `degraded`: it answers, and something fails (a list, credentials). `unavailable`: it cannot be reached.
    `quarantined`: definitions of it wait for approval; the kernel says so, no upstream has to.
    """

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    QUARANTINED = "quarantined"
    STOPPED = "stopped"


@attrs.frozen
class Offer:
    """What an upstream has. Definitions are JSON objects as the upstream sent them, in its order.

    Attributes:
        tools: Tool definitions.
        resources: Resource definitions.
        templates: Resource template definitions.
        prompts: Prompt definitions.
        capabilities: As it declared them, in the modern form.
        instructions: Its instructions, "" for none.
        eras: The eras it was seen to speak.
        info: Its `serverInfo`, or None.
        ttl_ms: How long lists may be kept, the least of what it said; 0 when it said nothing.
        public: Whether it said that its lists are the same for everybody (`cacheScope: public`).
        waits: Whether it answers the calls of clients that know no tasks when they are done, though its
            capabilities have the Tasks extension; else the kernel has it make a task, and waits for that.
    """

    tools: tuple[Json, ...] = ()
    resources: tuple[Json, ...] = ()
    templates: tuple[Json, ...] = ()
    prompts: tuple[Json, ...] = ()
    capabilities: Json = attrs.field(factory=dict)
    instructions: str = ""
    eras: frozenset[Era] = frozenset()
    info: Json | None = None
    ttl_ms: int = 0
    public: bool = False
    waits: bool = False


@attrs.frozen
class Target:
    """Where an exchange goes: an upstream, and what the upstream calls the thing.

    Attributes:
        upstream: The configured name of the upstream.
        name: The upstream's own tool or prompt name, URI or task id; "" where the method has none.
        definition: The upstream's own definition, where there is one.
    """

    upstream: str
    name: str = ""
    definition: Json | None = None


@runtime_checkable
class Upstream(Protocol):
    """Something that offers tools, resources and prompts.

    It never sees other upstreams and renames nothing.
    """

    @property
    def offer(self) -> Offer:
        """What it last said it has; kept while it is away."""
        ...

    @property
    def state(self) -> State:
        """How it is now."""
        ...

    @property
    def reason(self) -> str:
        """Why it is not ready; "" when it is."""
        ...

    async def send(self, exchange: Exchange, target: Target) -> Result:
        """Carry out the exchange. `exchange.params` has the upstream's own names already.

        Cancelling the task cancels the call upstream.

        Raises:
            Refused: The upstream's own JSON-RPC error, or one of Portico's codes.
        """
        ...


@runtime_checkable
class Watchable(Protocol):
    """An upstream that tells of changed resources."""

    async def watch(self, principal: Principal, uris: frozenset[str]) -> None:
        """Want updates of exactly these (the upstream's own) URIs for this principal; empty ends it.

        Updates come through `Wiring.resource_updated`.
        """
        ...


@runtime_checkable
class Successor(Protocol):
    """An upstream that takes something over from the one it replaces when its configuration changes."""

    def succeed(self, before: Upstream) -> None:
        """Stand where `before` stood.

        Calls come here from now on, those that run there are finished there, and the catalog is about to be
        made anew.

        Args:
            before: The upstream of this name until now, of whatever kind.
        """
        ...


@runtime_checkable
class Speaks(Protocol):
    """An upstream that takes requests of protocols other than MCP; see `Exchange.foreign`.

    Where a virtual server hides some of its tools, or arguments of them, it takes none; but for those of the
    protocols in an attribute `speaks_past_filters`, if it has one.
    """

    @property
    def speaks(self) -> frozenset[str]:
        """What methods of those begin with: `a2a` for `a2a/SendMessage`."""
        ...


@runtime_checkable
class Visitor(Protocol):
    """An upstream that comes to the gateway: a process that has just started is without it for a moment.

    What it offered last is handed on from worker to worker, so that a new one lists it until it is there.
    """

    @property
    def visits(self) -> bool:
        """Whether it is such a one."""
        ...


@runtime_checkable
class Probed(Protocol):
    """An upstream that can be asked whether it is well, whatever its own connections say.

    It is asked as often as `health_interval` says, by one of the workers of a gateway.
    """

    async def probe(self) -> None:
        """Have the server behind it answer something harmless, on the gateway's own behalf.

        It must not disturb calls that run, and is cancelled when it takes too long.

        Raises:
            Refused: 50300: it cannot be reached. Any other code, or exception: it answers, but not well.
        """
        ...


@runtime_checkable
class Tellable(Protocol):
    """An upstream that takes notifications from legacy clients (`notifications/roots/list_changed`)."""

    async def tell(self, principal: Principal, method: str, params: Json) -> None:
        """Pass a client's notification on, best effort."""
        ...


class Wiring(Protocol):
    """The data plane as components see it: where upstreams report, and transports hand in their exchanges."""

    def offer_changed(self, upstream: str, changed: Iterable[str] = ()) -> None:
        """The upstream's offer or state is new; take it into the catalog.

        Args:
            upstream: Its configured name.
            changed: Which lists the upstream announced as changed: `tools`, `resources`, `prompts`.
        """
        ...

    def resource_updated(self, upstream: str, principal: Principal, params: Json) -> None:
        """A watched resource changed; `params` as in `notifications/resources/updated`."""
        ...

    async def announce(self, upstream: str, principal: Principal | None, method: str, params: Json) -> None:
        """A notification that belongs to no exchange (a log message on a legacy GET stream).

        Args:
            upstream: Its configured name.
            principal: Whose session it came on; None for a shared one.
            method: The notification's method.
            params: Its params.
        """
        ...

    async def ask_unrelated(self, upstream: str, principal: Principal, method: str, params: Json) -> Json:
        """A legacy server's request that belongs to no call: put to a legacy session of that principal.

        Raises:
            Refused: Nobody is there who could answer (-32601).
        """
        ...

    def tends(self, upstream: str) -> bool:
        """Whether this worker sees to an upstream: asks for its lists in time, looks whether it is back.

        The other workers' upstreams are told by `refresh`, if they have that.
        """
        ...

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """Virtual servers by name."""
        ...

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """Those that run, by name; they come and go."""
        ...

    @property
    def workers(self) -> int:
        """How many worker processes the gateway has; each has the listening sockets and all components."""
        ...

    @property
    def draining(self) -> bool:
        """Whether the gateway is shutting down."""
        ...

    @property
    def closing(self) -> bool:
        """Whether it takes no new calls any more, and ends when those that run are over."""
        ...


# --- the other kinds ----------------------------------------------------------------------------------


@runtime_checkable
class Transport(Protocol):
    """Turns bytes into exchanges and results into bytes: gives routes, or runs its own I/O.

    One that does its own I/O has `async run() -> None` too, which returns when its client has gone. One whose
    requests can be answered without ASGI has `directs() -> Mapping[path, Direct]`.
    """

    def routes(self) -> Sequence[BaseRoute]:
        """Starlette routes; empty for a transport that does its own I/O.

        No path may be another transport's. A route that takes whatever nobody else does has the attribute
        `leftover = True`, and is asked last.
        """
        ...


@runtime_checkable
class AuthScheme(Protocol):
    """Credentials of a request -> who it is.

    A scheme that needs no I/O also has `decide(credentials)`, which is `authenticate` without waiting; then a
    request needs no task for it.
    """

    async def authenticate(self, credentials: Credentials) -> Principal | Challenge | None:
        """A principal, a challenge ("mine, and wrong" or "none given"), or None: not mine."""
        ...


@runtime_checkable
class Credential(Protocol):
    """What an upstream request needs; it never sees the inbound token."""

    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        """Headers to add to a request to this upstream on behalf of this principal."""
        ...


@attrs.frozen(kw_only=True)
class CredentialParts:
    """What a credential adds to a request, by where it goes. Values are as they are, not percent-encoded.

    Attributes:
        headers: By name.
        query: Parameters of the query by name.
        cookies: By name.
    """

    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    query: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    cookies: Mapping[str, str] = attrs.field(factory=dict, repr=False)


@runtime_checkable
class PlacedCredential(Credential, Protocol):
    """A credential that can be elsewhere than in headers.

    Upstreams that can send that ask for `parts` instead of `headers`. Others ask for `headers`, which raises
    `Refused` (50300, `credential_is_no_header`) where there is no header that says the same.
    """

    async def parts(self, principal: Principal, upstream: str) -> CredentialParts:
        """What to add to a request to this upstream on behalf of this principal."""
        ...


@runtime_checkable
class Store(Protocol):
    """Small shared state with expiry and compare-and-set."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Set it, for `ttl` seconds."""
        ...

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None
    ) -> bool:
        """Set it if it still is what was expected."""
        ...

    async def publish(self, topic: str, message: bytes) -> None:
        """Tell every subscriber, of every process."""
        ...

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[Callable[[], Awaitable[bytes]]]:
        """While entered: an awaitable function giving the next message."""
        ...


@runtime_checkable
class Cache(Protocol):
    """Get, set with ttl, delete. A key always carries visibility."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep it for `ttl` seconds."""
        ...

    async def delete(self, key: str) -> None:
        """Forget it."""
        ...


Next = Callable[[Exchange], Awaitable[Result]]
"""The rest of the pipeline."""


@runtime_checkable
class Policy(Protocol):
    """Stands around an exchange. Keeps no per-request state on itself: `exchange.scratch` is for that.

    Optional attributes, read once when the pipeline is compiled:

    * `methods: frozenset[str]`: the methods it cares for; without it, every one.
    * `tap(exchange, method, params) -> params | None`: sees each notification on its way to the client,
      synchronously; returns it, another, or None to drop it.
    * `admit(exchange)`: for a policy that only says, at once, whether an exchange may go on: it raises
      `Refused` or returns, and is not async. Called in place of `__call__`, which must amount to the same;
      where no other policy stands around it, that saves the frame.
    """

    async def __call__(self, exchange: Exchange, call_next: Next) -> Result:
        """Return a result, usually `await call_next(exchange)`; or raise `Refused`."""
        ...


@attrs.frozen
class Event:
    """Something that happened, for observers: `call.finished`, `upstream.degraded`, `session.opened`..."""

    name: str
    facts: Mapping[str, Any]


@runtime_checkable
class Observer(Protocol):
    """Sees events, synchronously; never blocks, never changes anything."""

    def observe(self, event: Event) -> None:
        """Take note."""
        ...


Scope = MutableMapping[str, Any]
"""An ASGI HTTP connection scope."""


class Reply(Protocol):
    """Where the answer to one HTTP request goes; every method returns at once.

    Either `send` is called once, or `start`, any number of `write`, and `end`. Calls after the client has
    gone do nothing.

    Attributes:
        on_gone: Called once, if the client leaves before the answer has ended.
    """

    on_gone: Callable[[], object] | None

    def send(self, status: int, headers: Sequence[tuple[bytes, bytes]], *body: bytes) -> None:
        """Send a whole answer, its body in as many pieces as it comes in; adds `content-length`."""
        ...

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the head of an answer whose length is not known."""
        ...

    def write(self, data: bytes) -> None:
        """Send a piece of it."""
        ...

    def end(self) -> None:
        """It is complete."""
        ...

    def cut(self) -> None:
        """End it at once and drop what the client has not taken; it cannot take it for whole."""
        ...

    @property
    def full(self) -> bool:
        """Whether the client is behind what has been written; wait for `room()` before the next."""
        ...

    async def room(self) -> None:
        """Return when the client has caught up, or has gone."""
        ...


Direct = Callable[[Scope, bytes, Reply], None]
"""Answers a request whose body has come whole, without ASGI: `(scope, body, reply)`."""


@attrs.define(eq=False)
class Admission:
    """What the kernel says to the head of a request that a server could answer without ASGI.

    It holds for every request on the same connection whose head is the same, byte for byte, but for the
    digits of its content-length; `body_bytes` is then the server's to compare that with.

    Attributes:
        scope: The scope without the headers that clients may not set.
        handle: Answers it; None when it is refused.
        status: Of the refusal.
        body: Of the refusal, JSON.
        body_bytes: The most its body may have; beyond: 413.
        body_seconds: How long its body may take; beyond: 408.
    """

    scope: Scope
    handle: Direct | None
    status: int = 200
    body: bytes = b""
    body_bytes: int = 0
    body_seconds: float = 0.0


Admit = Callable[[Scope], Admission | None]
"""Judges the head of a request; None: ASGI has it (which judges by the same rules)."""


class Share(Protocol):
    """How processes that accept on the same sockets come to have as many connections each."""

    def hold(self, held: int | None) -> None:
        """Tell the others how many connections are open here; None: no more are taken."""
        ...

    def room(self, held: int) -> int:
        """How many more to accept now, with so many open; 0 or less: leave them to the others a while."""
        ...


@runtime_checkable
class Server(Protocol):
    """Runs the finished ASGI app on given sockets until told to stop."""

    async def serve(
        self,
        app: ASGIApp,
        sockets: Sequence[socket.socket],
        drain: Callable[[], Awaitable[object]],
        stop: Callable[[], Awaitable[object]],
        admit: Admit | None = None,
        share: Share | None = None,
    ) -> None:
        """Serve until `stop()` returns, then close what is left and return.

        Args:
            app: The whole application; complete before the first connection.
            sockets: Bound and listening.
            drain: Returns when draining begins: from then on, answers carry `Connection: close`; when it has
                returned, listeners stay open until `stop`.
            stop: Returns when listeners are to be closed and connections ended.
            admit: Says which requests may be answered without ASGI. A server need not make use of it.
            share: What other processes on these sockets carry, if there are any. Nor of this.
        """
        ...


@runtime_checkable
class ConfigLoader(Protocol):
    """Reads one config format.

    Loaders are needed before anything can be configured, so they are plain objects.
    """

    name: str
    suffixes: tuple[str, ...]

    def load(self, text: bytes, source: str) -> Json:
        """The document as tables.

        Raises:
            ConfigError: The text is not of this format; says the line.
        """
        ...


@attrs.frozen
class Page:
    """A page of the admin UI: a path below it and the route that serves it."""

    path: str
    title: str
    route: BaseRoute


@attrs.frozen
class Command:
    """A CLI command a plugin adds: built only when it is asked for."""

    name: str
    summary: str
    build: Callable[[], click.Command]
