"""A worker in the supervisor's own process: with one worker, nothing else is needed until a reload."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from portico._config.settings import Settings
from portico._core.contracts.json import Json
from portico._host.ending import Ending
from portico._host.places import Place
from portico._host.workers.accounts import composed, facts

if TYPE_CHECKING:
    from portico._host.gateway import Gateway
from portico._host.workers.base import Sockets, Worker, WorkerFailed


class OwnProcess(Worker):
    """Serves in the supervisor's process: with one worker, nothing else is needed until a reload."""

    def __init__(self, place: Place | None, settings: Settings) -> None:
        super().__init__(place, 1)
        self._settings = settings
        self._ending = Ending()
        self._gateway: Gateway | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, sockets: Sockets) -> Json:
        """See `Worker.start`; raises what went wrong as it is."""
        # Here, for a supervisor whose workers all have processes of their own serves nothing itself.
        from portico._host.serve import serve

        self.wants = composed(self._settings)
        ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
        try:
            mine = [each.dup() for each in sockets(self._settings.gateway.listen)]
            serving = serve(self._settings, mine, self._ending, ready.set_result, self.place)
            self._task = task = asyncio.create_task(serving)
            await asyncio.wait((ready, task), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                if task.cancelled():
                    raise WorkerFailed("it was stopped before it served")
                task.result()
                raise WorkerFailed("it ended before it served")
        except BaseException:
            self.over.set_result(1)
            raise
        self._gateway = gateway = ready.result()
        if gateway.rounds is not None:
            gateway.rounds.tell = lambda said: self.heard(said)  # noqa: PLW0108 - as it is by then
        self.state = "ready"
        task.add_done_callback(self._ended)
        return gateway.plane.status()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._gateway = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.over.set_exception(error)
        else:
            self.over.set_result(0)

    def retire(self) -> None:
        """See `Worker.retire`."""
        self.state = "draining"
        self._ending.retire()

    def stop(self) -> None:
        """See `Worker.stop`."""
        if self.state == "starting" and self._task is not None:
            self._task.cancel()
        self.state = "draining"
        self._ending.signal()

    def tell(self, message: Json) -> None:
        """See `Worker.tell`."""
        if self._gateway is not None and self._gateway.rounds is not None:
            self._gateway.rounds.hear(message)

    async def load(self) -> Json | None:
        """See `Worker.load`."""
        return facts(self._gateway) if self._gateway is not None else None
