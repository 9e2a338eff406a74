"""Stand-ins for what the kernel gives a plugin. They record; they do not mock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

from portico.api import (
    LATEST_LEGACY,
    LATEST_MODERN,
    METHOD_NOT_FOUND,
    Client,
    Clock,
    Endpoint,
    Era,
    Exchange,
    Host,
    Json,
    Log,
    Principal,
    Ref,
    Refused,
    Target,
    Upstream,
    Wiring,
)

Answer = Json | Refused | Callable[[Json], Json | Awaitable[Json]]
"""What a `RecordingClient` answers: an object, an error, or a function of the question's params."""


class FakeClock:
    """A clock that stands still until `advance` moves it.

    Args:
        now: Seconds that both `monotonic()` and `time()` begin at.
    """

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        """Seconds; never goes back."""
        return self.now

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self.now += seconds


@attrs.frozen
class LogLine:
    """One logged event."""

    level: str
    event: str
    facts: Mapping[str, Any]


class RecordingLog:
    """A log that keeps its events in `lines`."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []

    @property
    def events(self) -> list[str]:
        """The names of the events so far."""
        return [line.event for line in self.lines]

    def debug(self, event: str, **facts: Any) -> None:
        """Record at this level."""
        self.lines.append(LogLine("debug", event, facts))

    def info(self, event: str, **facts: Any) -> None:
        """Record at this level."""
        self.lines.append(LogLine("info", event, facts))

    def warning(self, event: str, **facts: Any) -> None:
        """Record at this level."""
        self.lines.append(LogLine("warning", event, facts))

    def error(self, event: str, **facts: Any) -> None:
        """Record at this level."""
        self.lines.append(LogLine("error", event, facts))


class RecordingClient:
    """The client of an exchange: remembers what it was told and answers what it is asked.

    Args:
        answers: Method (`elicitation/create`, ...) to the answer. Asked anything else, it refuses like a
            client that did not declare the capability.

    Attributes:
        told: `(method, params)` of each notification.
        asked: `(method, params)` of each question.
        polls: The milliseconds of each `poll`.
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.answers = dict(answers or {})
        self.told: list[tuple[str, Json]] = []
        self.asked: list[tuple[str, Json]] = []
        self.polls: list[int] = []

    async def notify(self, method: str, params: Json) -> None:
        """Remember a notification."""
        self.told.append((method, params))

    def progress(self, params: bytes) -> bool:
        """Remember progress that is passed on as it is."""
        self.told.append(("notifications/progress", msgspec.json.decode(params)))
        return True

    async def ask(self, method: str, params: Json) -> Json:
        """Answer a question.

        Raises:
            Refused: There is no answer to it, or the answer is that.
        """
        self.asked.append((method, params))
        answer = self.answers.get(method)
        if answer is None:
            raise Refused(METHOD_NOT_FOUND, f"This client was given no answer to {method}")
        if isinstance(answer, Refused):
            raise answer
        if isinstance(answer, dict):
            return answer
        given = answer(params)
        return given if isinstance(given, dict) else await given

    def poll(self, retry_ms: int) -> None:
        """Remember being sent away."""
        self.polls.append(retry_ms)


class RecordingWiring:
    """The data plane as a component sees it, remembering what was reported.

    Attributes:
        offers: `(upstream, lists said to have changed)`.
        updates: `(upstream, principal, params)` of changed resources.
        announced: `(upstream, principal, method, params)`.
        asked: `(upstream, principal, method, params)`; answered from `answers` by method.
        mine: What `tends` says.
    """

    def __init__(self, answers: Mapping[str, Json] | None = None) -> None:
        self.mine = True
        self.answers = dict(answers or {})
        self.offers: list[tuple[str, frozenset[str]]] = []
        self.updates: list[tuple[str, Principal, Json]] = []
        self.announced: list[tuple[str, Principal | None, str, Json]] = []
        self.asked: list[tuple[str, Principal, str, Json]] = []
        self.endpoints: Mapping[str, Endpoint] = {}
        self.upstreams: Mapping[str, Upstream] = {}
        self.workers = 1
        self.draining = False
        self.closing = False

    def offer_changed(self, upstream: str, changed: Iterable[str] = ()) -> None:
        """Remember a new offer."""
        self.offers.append((upstream, frozenset(changed)))

    def tends(self, upstream: str) -> bool:
        """Whether upstreams are this worker's to see to."""
        return self.mine

    def resource_updated(self, upstream: str, principal: Principal, params: Json) -> None:
        """Remember an update."""
        self.updates.append((upstream, principal, params))

    async def announce(self, upstream: str, principal: Principal | None, method: str, params: Json) -> None:
        """Remember a notification."""
        self.announced.append((upstream, principal, method, params))

    async def ask_unrelated(self, upstream: str, principal: Principal, method: str, params: Json) -> Json:
        """Answer a question.

        Raises:
            Refused: There is no answer to it.
        """
        self.asked.append((upstream, principal, method, params))
        if method not in self.answers:
            raise Refused(METHOD_NOT_FOUND, "No client is there to ask")
        return self.answers[method]


def make_host(
    name: str = "test",
    kind: str = "upstreams",
    *,
    log: Log | None = None,
    clock: Clock | None = None,
    base: Path | None = None,
    components: Mapping[str, Any] | None = None,
    wiring: Wiring | None = None,
    state: Path | None = None,
) -> Host:
    """What a component is created with.

    Args:
        name: The instance's name in the config.
        kind: The config table it came from.
        log: A `RecordingLog` by default.
        clock: A `FakeClock` by default.
        base: The folder relative paths are relative to; the current one by default.
        components: What `Ref` fields find, by name.
        wiring: A `RecordingWiring` by default.
        state: The folder for what outlives the process; `.portico` in `base` by default.
    """
    found = dict(components or {})

    def component(ref: Ref[Any]) -> Any:
        if ref.name not in found:
            raise LookupError(f"make_host(components=...) has no {ref.name!r}")
        return found[ref.name]

    base = base or Path.cwd()
    return Host(
        name=name,
        kind=kind,
        log=log or RecordingLog(),
        clock=clock or FakeClock(),
        base=base,
        component=component,
        wiring=wiring or RecordingWiring(),
        state=state or base / ".portico",
    )


def make_exchange(
    method: str = "tools/call",
    params: Json | None = None,
    *,
    principal: Principal | None = None,
    server: str = "default",
    era: Era = Era.MODERN,
    client: Client | None = None,
    capabilities: Json | None = None,
    log_level: str | None = None,
    progress_token: str | int | None = None,
    headers: Mapping[str, str] | None = None,
    target: Target | None = None,
    clock: Clock | None = None,
    timeout: float = 30.0,
) -> Exchange:
    """A request in flight.

    Args:
        method: The MCP method.
        params: As they were decoded; nothing by default.
        principal: `alice`, vouched for by `test`, by default.
        server: The virtual server.
        era: The client's era; the revision is that era's latest.
        client: A `RecordingClient` by default.
        capabilities: What the client declared.
        log_level: The least severe log messages it wants.
        progress_token: Its progress token.
        headers: Inbound HTTP headers, names in lower case.
        target: Where it goes, as if it had been routed.
        clock: What the deadline is on; a `FakeClock` by default.
        timeout: Seconds from now to the deadline.
    """
    return Exchange(
        id="0123456789abcdef",
        method=method,
        params=params if params is not None else {},
        principal=principal or Principal("alice", "test"),
        server=server,
        era=era,
        version=LATEST_MODERN if era is Era.MODERN else LATEST_LEGACY,
        client=client or RecordingClient(),
        capabilities=capabilities or {},
        client_info={"name": "test", "version": "1"},
        log_level=log_level,
        progress_token=progress_token,
        headers=headers or {},
        deadline=(clock or FakeClock()).monotonic() + timeout,
        target=target,
    )
