"""One connection: bytes to Hypercorn's protocols and back, its timeouts, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.typing import ConnectionState

from portico_plugins.servers.hypercorn.calls import Calls
from portico_plugins.servers.hypercorn.head import PREFACE
from portico_plugins.servers.hypercorn.service import Service, address
from portico_plugins.servers.hypercorn.strict import StrictConnection, StrictH2
from portico_plugins.servers.hypercorn.upgraded import Upgradable

_CHUNK: Final = 64 * 1024
_LAST_WORDS: Final = 0.2
_FIRST_REQUEST: Final = 1.0


class Stream(asyncio.StreamReaderProtocol):
    """The socket's end of a connection; also tells when the client has gone while nobody is reading."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reader = asyncio.StreamReader(limit=_CHUNK, loop=loop)
        super().__init__(self.reader, loop=loop)
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self.on_end: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        keep = super().eof_received()
        self._end()
        return keep

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        self._end()

    def _end(self) -> None:
        self.ended = True
        if self.on_end is not None:
            self.on_end()


class Connection:
    """Serves one accepted connection until either side has had enough of it.

    Args:
        service: What it shares with the others.
        config: Hypercorn's settings.
        context: Hypercorn's state of this process.
        stream: The connected socket.
    """

    def __init__(self, service: Service, config: Config, context: WorkerContext, stream: Stream) -> None:
        self._service = service
        self._config = config
        self._context = context
        self._stream = stream
        self._transport = cast("asyncio.Transport", stream.transport)
        self._loop = asyncio.get_running_loop()
        self._writer = asyncio.StreamWriter(self._transport, stream, stream.reader, self._loop)
        self._calls = Calls(
            service.app, 2 * service.bounds.h2_max_concurrent_streams, service.draining, service.log
        )
        self._protocol: Upgradable | StrictH2
        self._write_lock = asyncio.Lock()
        self._over = asyncio.Event()
        self._answered = False  # the protocol wants the connection closed
        self._served = False
        self._idle = True
        self._idle_since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._head_timer = self._loop.call_later(service.bounds.header_timeout, self._over.set)

    async def run(self) -> None:
        """Serve it. Cancelling ends it at once, calls included."""
        self._stream.on_end = self._over.set
        pump: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(self._service.bounds.header_timeout):
                self._protocol = await self._choose()
            await self._protocol.initiate()
            pump = self._loop.create_task(self._pump())
            await self._over.wait()
            if self._stream.ended:
                await asyncio.wait({pump}, timeout=_LAST_WORDS)  # what came before the end is still read
            await self._stop(pump)
            if isinstance(self._protocol, StrictH2) and not self._stream.ended and not self._answered:
                await self._protocol.say_goodbye()
            await self._protocol.handle(Closed())
            if self._stream.ended:
                await self._calls.wait()
            elif self._answered and not self._all_read():
                await self._linger()
            self._writer.close()
            await self._calls.wait()
            async with asyncio.timeout(self._service.bounds.write_timeout):
                await self._writer.wait_closed()
        except OSError:
            pass  # it broke, or the client did not take the end of its answer
        finally:
            self._over.set()
            self._head_timer.cancel()
            for timer in (self._timer, self._end_timer):
                if timer is not None:
                    timer.cancel()
            if pump is not None:
                await self._stop(pump)
            self._transport.abort()
            await self._calls.cancel()

    def stop(self) -> None:
        """The server stops: an idle connection ends now, a busy one after its answer.

        One that was only just opened gets a moment: its first request is probably on the way.
        """
        if self._idle:
            if self._served:
                self._over.set()
            else:
                self._loop.call_later(_FIRST_REQUEST, self._stop_if_idle)

    def _stop_if_idle(self) -> None:
        if self._idle:
            self._over.set()

    async def _stop(self, pump: asyncio.Task[None]) -> None:
        pump.cancel()
        await asyncio.wait({pump})

    # --- reading ------------------------------------------------------------------------------

    async def _choose(self) -> Upgradable | StrictH2:
        service = self._service
        secure = self._transport.get_extra_info("ssl_object")
        unread = b""
        if secure is not None:
            http2 = secure.selected_alpn_protocol() == "h2"
        else:
            while service.bounds.h2c and len(unread) < len(PREFACE) and PREFACE.startswith(unread):
                data = await self._stream.reader.read(len(PREFACE) - len(unread))
                if not data:
                    break
                unread += data
            http2 = unread == PREFACE
        self._unread = unread
        arguments: Any = (
            service.app,
            self._config,
            self._context,
            self._calls,
            ConnectionState({}),
            secure is not None,
            address(self._transport.get_extra_info("peername")),
            address(self._transport.get_extra_info("sockname")),
            self._send,
        )
        if http2:
            return StrictH2(*arguments)
        protocol = Upgradable(*arguments)
        protocol.ending = self._ending
        protocol.connection = StrictConnection(self._config.h11_max_incomplete_size)
        return protocol

    async def _pump(self) -> None:
        """Feed the protocol. While it cannot take more, nothing is read: the client is held back."""
        try:
            data = self._unread or await self._stream.reader.read(_CHUNK)
            while data and not self._answered:
                await self._protocol.handle(RawData(data))
                if self._idle:
                    self._watch_head()
                data = await self._stream.reader.read(_CHUNK)
            self._stream.ended = self._stream.ended or not data
        except OSError:
            self._stream.ended = True
        except Exception as error:
            self._stream.ended = True
            self._service.log.error("server.protocol_failed", error=type(error).__name__, exc_info=error)
        finally:
            self._over.set()

    def _watch_head(self) -> None:
        """A request head that has begun must be whole in time; the idle time does not count for it."""
        connection = self._protocol.connection
        if (
            self._head_timer.cancelled()
            and isinstance(connection, StrictConnection)
            and connection.trailing_data[0]
        ):
            self._head_timer = self._loop.call_later(self._service.bounds.header_timeout, self._over.set)

    # --- writing ------------------------------------------------------------------------------

    async def _send(self, event: Event) -> None:
        """What the protocol wants done."""
        if isinstance(event, RawData):
            if event.data:
                await self._write(event.data)
        elif isinstance(event, Closed):
            self._answered = True
            self._over.set()
        elif isinstance(event, Updated):
            self._set_idle(event.idle or (isinstance(self._protocol, StrictH2) and self._protocol.idle))

    async def _write(self, data: bytes) -> None:
        async with self._write_lock:
            if self._transport.is_closing():
                await asyncio.sleep(0)  # an application that never stops sending must not starve the others
                return
            self._transport.write(data)
            if self._transport.get_write_buffer_size() <= _CHUNK:
                return
            try:
                async with asyncio.timeout(self._service.bounds.write_timeout):
                    await self._writer.drain()
            except TimeoutError:
                self._service.log.warning("server.slow_reader", seconds=self._service.bounds.write_timeout)
                self._transport.abort()
            except OSError:
                self._stream.ended = True
                self._over.set()

    def _ending(self) -> None:
        """A WebSocket's session is over: its client takes what is left of it soon, or is cut off."""
        if self._end_timer is None:
            self._look_later(self._transport.get_write_buffer_size())

    def _look_later(self, left: int) -> None:
        self._end_timer = self._loop.call_later(self._service.bounds.linger, self._look, left)

    def _look(self, before: int) -> None:
        left = self._transport.get_write_buffer_size()
        if left and left >= before:
            self._transport.abort()
        elif left:
            self._look_later(left)

    def _set_idle(self, idle: bool) -> None:
        self._idle = idle
        if not idle:
            self._served = True
            self._head_timer.cancel()
        elif self._service.stopping.is_set():
            self._over.set()
        else:
            self._idle_since = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(self._service.bounds.keep_alive, self._on_timer)

    def _on_timer(self) -> None:
        """One timer for many requests: it is not moved with each, it looks when it fires."""
        self._timer = None
        if self._idle:
            left = self._idle_since + self._service.bounds.keep_alive - self._loop.time()
            if left <= 0.001:
                self._over.set()
            else:
                self._timer = self._loop.call_later(left, self._on_timer)

    def _all_read(self) -> bool:
        connection = self._protocol.connection
        return isinstance(connection, StrictConnection) and connection.all_read

    async def _linger(self) -> None:
        """Let the client read the answer: closing on data it is still sending would reset it away."""
        try:
            async with asyncio.timeout(self._service.bounds.linger):
                if self._transport.can_write_eof():
                    self._transport.write_eof()
                while await self._stream.reader.read(_CHUNK):
                    pass
        except OSError:
            pass  # in time or not, it may be closed now
