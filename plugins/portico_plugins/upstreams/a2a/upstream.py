"""One A2A agent as an upstream: its card kept current, its skills called."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from portico.api import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    UPSTREAM_UNAVAILABLE,
    Era,
    Exchange,
    Host,
    Offer,
    Refused,
    Result,
    State,
    Target,
)
from portico_plugins.failures import bad_response, error_text, of_http, timed_out, unavailable
from portico_plugins.http1 import HttpError, Unreachable, Unusable
from portico_plugins.upstreams.backoff import Backoff
from portico_plugins.upstreams.limit import Limit
from portico_plugins.upstreams.refresher import Refreshed, Refresher

from . import resources, tasks
from .agent import Agent
from .calls import Call
from .card import BadCard, Card, Cards
from .config import A2aConfig
from .failures import Said, failure_of
from .handles import Handles
from .headers import Headers
from .link import Link
from .messages import BadArguments, message_of
from .operations import Context
from .outcome import BadEvent
from .relay import PREFIX, Relay
from .skills import Skill, skills_of
from .web import Web

if TYPE_CHECKING:
    from .signing import Verifier

_GAP: Final = 1.0
"""Seconds between two looks at an agent, whatever happens."""


class A2aUpstream(Refreshed):
    """An A2A agent.

    Args:
        config: Its configuration.
        host: What the kernel offers.
    """

    def __init__(self, config: A2aConfig, host: Host) -> None:
        self.offer = Offer(eras=frozenset(Era))
        self.speaks = frozenset({"a2a"}) if config.relayed else frozenset[str]()
        self.speaks_past_filters = frozenset({"a2a"}) if config.relay else frozenset[str]()
        self._config = config
        self._host = host
        self._web = Web(config, host)
        self._headers = Headers(config, host)
        self._cards = Cards(config, host, self._web, self._headers)
        self._link = Link(config, host, self._web, self._headers)
        self._agent = Agent(self._link, host)
        self._handles = Handles(host.key("handles"))
        self._tasks = tasks.Tasks(self._agent, self._handles, host.name, config.max_inline_bytes)
        self._relay = Relay(self._link, self._headers, config, host)
        self._verifier: Verifier | None = None
        if config.signers is not None:
            from .signing import Verifier  # and cryptography, which is large

            self._verifier = Verifier(config.signers, config, host, self._web)
        self._card: Card | None = None
        self._skills: Mapping[str, Skill] = {}
        self._refresher = Refresher(host, self._look, "connecting", _GAP)
        self._backoff = Backoff()

    async def start(self) -> None:
        """Begin to look for the card; waits a little, so that a healthy agent is there from the start."""
        await self._refresher.start(self._config.start_grace)

    async def stop(self) -> None:
        """End everything."""
        await self._refresher.stop()
        await self._agent.close()
        await self._relay.close()
        await self._link.close()
        self._web.close()

    async def probe(self) -> None:
        """Have the agent say who it is.

        Raises:
            Refused: 50300: it cannot be reached. Any other: it answers, but not well.
        """
        try:
            await self._learn()
        except HttpError as error:
            raise of_http(error, self._host.name) from None
        except BadCard as error:
            raise bad_response(self._host.name, str(error).partition(" ")[0]) from None
        except TimeoutError:
            raise unavailable(self._host.name, "card_timeout") from None

    # --- calls ------------------------------------------------------------------------------------

    async def send(self, exchange: Exchange, target: Target) -> Result:
        """Call the tool of a skill, or see to a task, or read a resource.

        Raises:
            Refused: -32602 for a tool there is not, or one of Portico's codes.
        """
        method = exchange.method
        if method.startswith(PREFIX):
            return await self._relayed(exchange)
        if method not in tasks.METHODS and method not in ("tools/call", "resources/read"):
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        if not self._refresher.settled.is_set():
            await self._refresher.settled.wait()
        if self._card is None:
            raise unavailable(self._host.name, self.reason.partition(" ")[0] or "not_connected", exchange)
        headers = await self._headers.of(exchange)
        try:
            if method == "tools/call":
                return await self._call(exchange, target, headers)
            context = Context(headers, self._left(exchange))
            if method == "resources/read":
                reader = resources.Reader(self._agent, self._handles, self._host.name)
                skills = {skill.id for skill in self._skills.values()}
                return await reader.read(exchange, target.name, self._card, skills, context)
            return await self._tasks.send(exchange, target.name, context, self._host.clock.time())
        except Refused:
            raise
        except BadEvent as error:
            raise bad_response(self._host.name, str(error), exchange) from None
        except Exception as error:
            raise self._refused(error, exchange) from None

    async def _relayed(self, exchange: Exchange) -> Result:
        """Carry out an operation of A2A as it is."""
        if not self._refresher.settled.is_set():
            await self._refresher.settled.wait()
        try:
            return await self._relay.send(exchange, self._card.json if self._card is not None else None)
        except Refused as refusal:
            if refusal.code == UPSTREAM_UNAVAILABLE:
                self._refresher.wake()
            raise

    def _refused(self, error: Exception, exchange: Exchange) -> Refused:
        """The failure of a request that is none of a tool's."""
        found = self._failed(error, exchange)
        if isinstance(found, Refused):
            return found
        unknown = found.code == "TaskNotFound"
        return Refused(
            INVALID_PARAMS, "Unknown task" if unknown else f"The agent says: {found.message[:300]}"
        )

    async def _call(self, exchange: Exchange, target: Target, headers: dict[str, str]) -> Result:
        skill = self._skills.get(target.name)
        if skill is None:
            raise Refused(INVALID_PARAMS, f"Unknown tool: {target.name[:128]}")
        arguments = exchange.params.get("arguments")
        try:
            message = await message_of(
                arguments if isinstance(arguments, dict) else {},
                skill.id,
                exchange.principal,
                self._handles,
                self._config,
            )
        except BadArguments as error:
            return error_text(f"The arguments do not fit; nothing was sent: {error}")
        call = Call(self._agent, exchange, headers, self._config, self._host)
        seconds = self._config.call_timeout
        try:
            if seconds is None:
                return await call.run(message, self._handles, None)
            async with Limit(seconds) as limit:
                return await call.run(message, self._handles, limit)
        except asyncio.CancelledError:
            call.give_up()
            raise
        except TimeoutError:
            call.give_up()
            raise timed_out(self._host.name, exchange) from None
        except BadEvent as error:
            call.give_up()
            raise bad_response(self._host.name, str(error), exchange) from None
        except Exception as error:
            call.give_up()
            failed = self._failed(error, exchange)
            if isinstance(failed, Refused):
                if call.outcome.task:  # the agent has begun: another call would have it done twice
                    failed.data["gateway"]["retryable"] = False
                raise failed from None
            return failed.result()

    def _failed(self, error: Exception, exchange: Exchange) -> Refused | Said:
        failed = failure_of(error, self._host.name, exchange)
        if isinstance(failed, Refused):
            if failed.code == UPSTREAM_UNAVAILABLE:
                self._refresher.wake()
            self._host.log.debug("a2a_call_failed", error=repr(error)[:500])
        return failed

    def _left(self, exchange: Exchange) -> float:
        return max(0.001, exchange.deadline - self._host.clock.monotonic())

    # --- looking after it -------------------------------------------------------------------------

    async def _look(self) -> float | None:
        try:
            await self._learn()
        except Exception as error:
            self._refresher.set(*self._why(error))
            return self._backoff.next()
        self._backoff.reset()
        if not self._host.wiring.tends(self._host.name):
            return None
        return self._cards.fresh or self._config.refresh_seconds

    async def _learn(self) -> None:
        """Have the card, and speak to the agent as that says.

        Raises:
            HttpError: The agent cannot be reached, or its answer is of no use.
            Unreachable: gRPC's: the agent has no address, or one that is forbidden.
            BadCard: It says of itself what is of no use, or none of the signers says that it is so.
            TimeoutError: It did not answer in time.
            OSError: A configured file cannot be read.
        """
        card = await self._cards.fetch() or self._card
        if card is None:
            return
        try:
            if self._verifier is not None:
                await self._verifier.verify(card.message)  # an unchanged one, too: keys are withdrawn
            await self._use(card)
        except BaseException:
            self._cards.forget()
            raise

    async def _use(self, card: Card) -> None:
        await self._link.use(card)
        self._agent.streams = card.message.capabilities.streaming
        found = skills_of(card.json, self._config)
        offer = Offer(
            tools=tuple(skill.definition for skill in found.tools.values()),
            resources=resources.offered(self._host.name, card),
            templates=resources.templates(self._host.name),
            capabilities={
                "tools": {"listChanged": True},
                "resources": {"listChanged": True},
                "extensions": {tasks.EXTENSION: {}},
            },
            eras=frozenset(Era),
            info={"name": card.json["name"], "version": card.json.get("version", "")},
            waits=True,
        )
        kinds = [kind for kind in ("tools", "resources") if getattr(offer, kind) != getattr(self.offer, kind)]
        if self._card is not None and card.json != self._card.json and "resources" not in kinds:
            kinds.append("resources")
        self._card, self._skills = card, found.tools
        if kinds:
            self.offer = offer
            for pattern, hint in found.idle:
                self._host.log.warning("pattern_fits_nothing", pattern=pattern, hint=hint)
            for ident in found.left_out[:20]:
                self._host.log.warning("skill_left_out", skill=ident)
            self._host.log.info("upstream_ready", tools=len(offer.tools), binding=card.interface.binding)
        self._refresher.set(State.DEGRADED if found.lack else State.READY, found.lack, kinds)

    def _why(self, error: Exception) -> tuple[State, str]:
        """How the agent is, after a look that failed."""
        match error:
            case Unreachable():
                return State.UNAVAILABLE, error.reason
            case Unusable():
                return State.DEGRADED, f"bad_card ({error.reason})"
            case HttpError():
                return State.UNAVAILABLE, "connection_lost"
            case TimeoutError():
                return State.UNAVAILABLE, "card_timeout"
            case BadCard():
                return State.DEGRADED, str(error)
            case Refused():
                return State.DEGRADED, error.data["gateway"]["reason"]
            case OSError():
                return State.DEGRADED, f"file_not_readable ({error.strerror})"
            case _:
                self._host.log.error("upstream_connection_failed", error=repr(error))
                return State.DEGRADED, "internal error"
