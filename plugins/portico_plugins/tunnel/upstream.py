"""An MCP server at the other end of a tunnel: sessions with it are channels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from portico.api import INVALID_PARAMS, OVERLOADED, UPSTREAM_UNAVAILABLE, Host, Refused, Upstream, failure
from portico_plugins.failures import bad_response
from portico_plugins.upstreams.mcp import wire
from portico_plugins.upstreams.mcp.backchannel import Backchannel
from portico_plugins.upstreams.mcp.config import McpConfig
from portico_plugins.upstreams.mcp.multiplex import Multiplex
from portico_plugins.upstreams.mcp.pool import Want
from portico_plugins.upstreams.mcp.session import Wire
from portico_plugins.upstreams.mcp.upstream import McpUpstream

from .channel import Channel, ChannelLost, TooLong
from .config import TunnelConfig
from .link import Link
from .links import Links, links_of

_NO_TUNNEL: Final = "no_tunnel"


class TunnelWire(Multiplex):
    """One channel.

    Args:
        host: The upstream's host.
        backchannel: Makes the backchannel, given how to respond.
        links: The tunnels there are.
        owner: Whose session it is, as the other side is to know: it keeps owners apart.
    """

    def __init__(
        self, host: Host, backchannel: Callable[[Any], Backchannel], links: Links, owner: str
    ) -> None:
        super().__init__(host, backchannel)
        self._links = links
        self._owner = owner
        self._link: Link | None = None
        self._channel: Channel | None = None

    async def open(self) -> None:
        """Open a channel on a tunnel.

        Raises:
            Refused: There is none.
        """
        if self._channel is not None:
            return
        link = self._links.choose()
        try:
            channel = link.open({"owner": self._owner}) if link is not None else None
        except ChannelLost:
            channel = None
        if link is None or channel is None:
            raise self._away()
        self._link, self._channel = link, channel
        channel.received = self._take
        channel.on_lost = self._cut
        link.on_change.append(self._look)

    def _away(self) -> Refused:
        text = "No tunnel is connected."
        return failure(UPSTREAM_UNAVAILABLE, text, reason=_NO_TUNNEL, upstream=self._host.name)

    def _gone(self, reason: str) -> Refused:
        """What the session ends with: with another tunnel there, it is only to be opened anew."""
        if self._links.usable:
            reason = "session_expired"
        text = "The tunnel to the upstream was lost."
        return failure(UPSTREAM_UNAVAILABLE, text, reason=reason, upstream=self._host.name)

    def _take(self, message: bytes) -> None:
        channel = self._channel
        assert channel is not None
        channel.consumed(message)
        try:
            self.received(message)
        except wire.Garbled:
            channel.close("malformed_message")
            self._cut("malformed_message")

    def _cut(self, why: str) -> None:
        """The channel is closed: what runs on it ends with the reason."""
        self._unhook()
        if why in ("malformed_message", "message_too_large"):
            self._fail(bad_response(self._host.name, why))
        elif why == "too_many_channels":
            text = "The other end of the tunnel has as many sessions as it may have."
            self._fail(failure(OVERLOADED, text, reason="too_many_sessions", upstream=self._host.name))
        else:
            ended = self._link is not None and not self._link.ended
            Wire.lose(self, self._gone(_NO_TUNNEL))
            text = "The upstream ended the session." if ended else "The tunnel to the upstream was lost."
            reason = "session_ended" if ended else "tunnel_lost"
            self._fail(failure(UPSTREAM_UNAVAILABLE, text, reason=reason, upstream=self._host.name))

    def _fail(self, why: Refused) -> None:
        Wire.lose(self, why)
        self._back.close(why)
        for task in tuple(self._loose):
            task.cancel()

    def _look(self) -> None:
        """The tunnel is about to go: nothing new is to begin here, what runs goes on."""
        if self._link is not None and self._link.leaving and not self._link.ended:
            Wire.lose(self, self._gone(_NO_TUNNEL))

    async def post(self, body: bytes) -> None:
        """Send a notification or a response; also when nothing new is to begin."""
        await self.write(body)

    async def write(self, body: bytes) -> None:
        """Write one message."""
        channel = self._channel
        try:
            if channel is None:
                raise ChannelLost("closed")
            await channel.send(body)
        except TooLong:
            text = "The request is longer than the other end of the tunnel takes."
            raise Refused(INVALID_PARAMS, text) from None
        except ChannelLost:
            raise wire.again(self.why) if self.why else self._away() from None

    def _unhook(self) -> None:
        if self._link is not None and self._look in self._link.on_change:
            self._link.on_change.remove(self._look)

    async def close(self) -> None:
        """End the session."""
        self._unhook()
        self._fail(bad_response(self._host.name, "closed"))
        if self._channel is not None:
            self._channel.close()


class TunnelUpstream(McpUpstream):
    """An MCP server that dials in.

    Args:
        config: Its configuration.
        host: What the kernel offers.
    """

    def __init__(self, config: TunnelConfig, host: Host) -> None:
        self.tunnel_links = Links(config.secrets, config.connections, config.max_message_bytes, self._dialled)
        self._waiting = True
        # A command stands for whatever is reached by a pipe; here, `pipe` makes it.
        common = McpConfig(
            command=("tunnel",),
            shared=config.shared,
            withhold=config.withhold,
            connect_timeout=config.connect_timeout,
            call_timeout=config.call_timeout,
            idle_timeout=config.idle_timeout,
            max_sessions=config.max_sessions,
            refresh_seconds=config.refresh_seconds,
            start_grace=config.start_grace,
            max_message_bytes=config.max_message_bytes,
        )

        def pipe(want: Want, backchannel: Callable[[Any], Backchannel]) -> Wire:
            # No more than that they differ is for the other side to know.
            owner = hashlib.sha256(b"portico-tunnel owner\0" + want.owner.encode()).hexdigest()[:32]
            return TunnelWire(host, backchannel, self.tunnel_links, owner)

        super().__init__(common, host, pipe)

    @property
    def reason(self) -> str:
        """Why it is not ready."""
        reason = super().reason
        return "no tunnel is connected" if reason == _NO_TUNNEL else reason

    @property
    def visits(self) -> bool:
        """Whether it comes by itself, rather than being reached from here."""
        return True

    def _dialled(self) -> None:
        """A tunnel has come or gone: look, when there was none before."""
        waiting, self._waiting = self._waiting, not self.tunnel_links.usable
        if waiting and not self._waiting:
            self._changed("")
            self._catalog.arrived()

    async def start(self) -> None:
        """Begin; with the tunnels of the upstream it is to take the place of, if there is one.

        A process has none when it starts: nobody waits for that, but calls do for a while.
        """
        before = links_of(self._host.wiring.upstreams.get(self._host.name))
        if before is not None:
            self.tunnel_links.share(before)
            self._waiting = not self.tunnel_links.usable
        if self._waiting:
            self._catalog.start(self._config.start_grace)
        else:
            await super().start()

    def succeed(self, before: Upstream) -> None:
        """Stand where `before` stood."""
        links = links_of(before)
        if links is not None:
            self.tunnel_links.succeed(links)

    async def stop(self) -> None:
        """End everything."""
        await super().stop()
        self.tunnel_links.close()
