"""Composition: settings -> components -> catalog -> application, in that order, and back."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs

from portico._config.settings import Settings
from portico._core.contracts.direct import Admit, Direct
from portico._core.contracts.log import Log
from portico._core.contracts.management import Management
from portico._core.contracts.servers import Server
from portico._core.contracts.transports import Transport
from portico._core.plane import Plane
from portico._core.protocol.parking import Parking
from portico._core.requests.call_records import CallRecord
from portico._host.composer import Composer
from portico._host.forwarding.forward import Forwarder
from portico._host.http.app import build_app
from portico._host.http.limits import limits_of
from portico._host.http.routes import routes_of
from portico._host.lifecycle import running
from portico._host.places import Place
from portico._host.rounds import Rounds
from portico._host.stage import LiveStage


@attrs.frozen
class Gateway:
    """A started gateway.

    Attributes:
        settings: What it was composed from.
        plane: Upstreams and virtual servers.
        app: The ASGI application; None when no HTTP is wanted.
        admit: The way past it for servers that can use it.
        servers: What serves the app, by listener name.
        log: The kernel's.
        directs: What answers requests without ASGI, by path.
        forwarder: The way to other workers, if there are any.
        management: What is managed at run time, if anything is.
        rounds: Knows how the upstreams are.
    """

    settings: Settings
    plane: Plane
    parking: Parking
    app: Any
    admit: Admit | None
    servers: Mapping[str, Server]
    transports: Mapping[str, Transport]
    log: Log
    directs: Mapping[str, Direct] = attrs.field(factory=dict)
    forwarder: Forwarder | None = None
    management: Management | None = None
    rounds: Rounds | None = None


def without(settings: Settings, *kinds: str) -> Settings:
    """The same settings without the components of some kinds."""
    kept = {key: each for key, each in settings.components.items() if each.kind not in kinds}
    return attrs.evolve(settings, components=kept)


@asynccontextmanager
async def started(
    settings: Settings,
    log: Log,
    *,
    http: bool = True,
    place: Place | None = None,
    on_call: Callable[[CallRecord], None] | None = None,
) -> AsyncIterator[Gateway]:
    """Start everything; stop it in reverse.

    Args:
        settings: What to compose.
        log: The kernel's logger.
        http: Whether to start transports and listeners and build the ASGI application.
        place: This worker's place among others, if there are any.
        on_call: The access log; by default it goes through `log`.

    Raises:
        ConfigError: Something is wrong that only starting could show.
    """
    composer = Composer(settings, log, place, on_call)
    composer.stage = stage = LiveStage(composer)
    if not http:
        settings = without(settings, "listeners", "transports")
    async with running(settings.components, composer.host, composer.report) as crew:
        live = crew.live
        composer.wire(live)
        transports = {name: each for (kind, name), each in live.items() if kind == "transports"}
        app, admit = None, None
        directs: Mapping[str, Direct] = {}
        if http:
            routes = routes_of(transports)
            # Looked up anew for each request: virtual servers come and go.
            directs = ChainMap(*(getattr(each, "directs", dict)() for each in transports.values()))
            app, admit = build_app(routes, directs, composer.plane, limits_of(settings), log, composer.roster)
        servers = {name: each for (kind, name), each in live.items() if kind == "listeners"}
        composer.strain.start()
        stage.crew = crew
        if composer.roster is not None:
            await composer.roster.start()
        try:
            yield Gateway(
                settings,
                composer.plane,
                composer.parking,
                app,
                admit,
                servers,
                transports,
                log,
                directs,
                composer.forwarder,
                composer.roster,
                composer.rounds,
            )
        finally:
            composer.strain.stop()
            if composer.roster is not None:
                await composer.roster.stop()
                await stage.close()
            await composer.rounds.close()
            if composer.forwarder is not None:
                composer.forwarder.close()


async def drain(gateway: Gateway, *, hurry: asyncio.Event) -> None:
    """Let calls in flight finish, for `drain_timeout` seconds or until `hurry`; then answer the rest.

    Calls that are left get 50303, listen streams their result.
    """
    load = gateway.plane.load
    load.draining = True
    gateway.parking.close()  # nobody can come back to a parked call any more: nothing to wait for
    loop = asyncio.get_running_loop()
    until = loop.time() + gateway.settings.gateway.drain_timeout
    while load.calls and loop.time() < until and not hurry.is_set():
        tasks = [call.task for call in load.calls]
        await asyncio.wait(
            tasks, timeout=min(0.5, max(until - loop.time(), 0)), return_when=asyncio.ALL_COMPLETED
        )
    tasks = [call.task for call in load.calls]
    await gateway.plane.close(gateway.parking)
    if tasks:
        await asyncio.wait(tasks, timeout=1.0)  # their answers are on their way when they have ended
