"""A gateway inside this process, without HTTP: for client commands with `--config`, and `check --connect`."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from portico._core.contracts.auth import Principal
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.errors import Refused
from portico.cli.failures import Misuse, debugging
from portico.cli.running import loop_factory
from portico.cli.session import OnFrame, RpcError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from portico._config.settings import Settings
    from portico._host.gateway import Gateway

_WHO = Principal("cli", "local")
_TURN = 60.0


class Local:
    """Starts everything when entered, and stops it when left.

    Args:
        settings: What to start.
        server: The virtual server that `send` talks to.
    """

    gateway: Gateway

    def __init__(self, settings: Settings, server: str = "default") -> None:
        self._settings = settings
        self._server = server
        self._runner = asyncio.Runner(loop_factory=loop_factory())
        self._running: AbstractAsyncContextManager[Gateway] | None = None

    def __enter__(self) -> Self:
        from portico._host.gateway import started
        from portico._host.logs.log import configure, logger

        configure(self._settings.gateway.log_format, "debug" if debugging() else "error")
        self._running = started(self._settings, logger(), http=False)
        try:
            self.gateway = self._runner.run(self._start(self._running))
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._running is not None:
                self._runner.run(self._stop(self._running))
        finally:
            self._runner.close()

    @staticmethod
    async def _start(running: AbstractAsyncContextManager[Gateway]) -> Gateway:
        return await running.__aenter__()

    @staticmethod
    async def _stop(running: AbstractAsyncContextManager[Gateway]) -> None:
        await running.__aexit__(None, None, None)

    def send(self, method: str, params: Json, headers: dict[str, str], on_frame: OnFrame) -> Json:
        """One request of the modern era, carried out as a transport would.

        Raises:
            RpcError: The answer is an error.
            Misuse: There is no such virtual server.
        """
        return self._runner.run(self._send(method, params, on_frame))

    async def _send(self, method: str, params: Json, on_frame: OnFrame) -> Json:
        import msgspec

        from portico._config.wording import nearest
        from portico._core.protocol.modern_call import Asking, Frames

        endpoint = self.gateway.plane.endpoints.get(self._server)
        if endpoint is None:
            known = self.gateway.plane.endpoints
            raise Misuse(
                f"there is no virtual server {self._server!r}{nearest(self._server, known, 'configured')}"
            )
        try:
            call = endpoint.begin(endpoint.modern_exchange(method, params, _WHO, {}))
        except Refused as refusal:
            raise RpcError(refusal.body()) from refusal
        while True:
            turn: Any = await call.turn(_TURN)
            if isinstance(turn, Frames):
                for frame in turn.frames:
                    on_frame(msgspec.json.decode(frame))
                continue
            if isinstance(turn, Asking):
                turn = endpoint.park(call, turn)
            if isinstance(turn, Result):
                result: Json = msgspec.json.decode(turn.raw)
                return result
            raise RpcError(turn.body()) from turn
