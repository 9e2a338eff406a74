"""The end of every pipeline: the catalog's answers, or an upstream's, bridged to what the client speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

from portico._core.catalog.overrides import filled, unknown_argument
from portico._core.catalog.union import has_tasks
from portico._core.catalog.uris import rewrite_uris
from portico._core.catalog.view import View
from portico._core.contracts.exchange import Era, Exchange, Target
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.contracts.upstreams import State, Upstream
from portico._core.errors import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    UPSTREAM_BAD_RESPONSE,
    UPSTREAM_UNAVAILABLE,
    URL_ELICITATION_REQUIRED_LEGACY,
    Refused,
    failure,
)
from portico._core.protocol.audience import check_ask
from portico._core.protocol.eras import LIST_KINDS, MRTR_METHODS, NAME_PARAM
from portico._core.protocol.parking import binding_of
from portico._core.requests.lists import Lists
from portico._core.requests.shaping import url_elicitations
from portico._core.requests.tasks import TASK_METHODS, Given, Tasks, serves_old
from portico._core.seal import Seal, Unsealable

if TYPE_CHECKING:
    from portico._core.requests.tasks_old import OldTasks

MAX_ROUNDS: Final = 10
"""How often a legacy client is asked on behalf of one call before the upstream is taken to loop."""

STATE_TTL: Final = 3600.0


class Router:
    """Routes the exchanges of one virtual server.

    Args:
        upstreams: All of the gateway's, by name.
        seal: For `requestState` and task ids.
        lists: Answers lists and discovery.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], seal: Seal, lists: Lists) -> None:
        self._upstreams = upstreams
        self._seal = seal
        self._lists = lists
        self._tasks = Tasks(seal, upstreams, lambda: lists.view, self._forward, self._answers)

    @cached_property
    def _old_tasks(self) -> OldTasks:
        from portico._core.requests.tasks_old import OldTasks

        return OldTasks(self._tasks)

    @property
    def view(self) -> View:
        """The catalog as it is now."""
        return self._lists.view

    async def __call__(self, exchange: Exchange) -> Result:
        """Answer the exchange.

        Raises:
            Refused: Unknown name or method, or what the upstream or the bridge refuses with.
        """
        if exchange.foreign:
            return await self._elsewhere(exchange)
        method = exchange.method
        if method in LIST_KINDS or method == "server/discover":
            return self._lists.answer(exchange)
        view = self.view
        if method in TASK_METHODS:
            old = serves_old(exchange, view.capabilities)
            tasks = self._old_tasks if old and method != "tasks/update" else self._tasks
            return self._renamed(view, exchange, await tasks.answer(exchange))
        try:
            target = view.route(method, exchange.params, exchange.id)
        except Refused as refusal:
            raise self._unheard(view, exchange) or refusal from None
        exchange.target = target
        params = self._own_params(exchange, target)
        if view.fills:
            params = _with_arguments(view, exchange, params)
        state = params.get("requestState")
        if state is not None:
            params = {**params, "requestState": self._open_state(exchange, target, state)}
        return self._renamed(view, exchange, await self._answered(exchange, target, params))

    def _renamed(self, view: View, exchange: Exchange, result: Result) -> Result:
        """A result with its URIs as this server advertises them."""
        target = exchange.target
        renamed = view.renamed_uris.get(target.upstream) if target else None
        if target and renamed:
            if exchange.method == "resources/read":
                renamed = {target.name: exchange.params["uri"], **renamed}
            result.value = rewrite_uris(result.value, renamed)
        return result

    async def _elsewhere(self, exchange: Exchange) -> Result:
        """Send what is not MCP where its transport says, and leave the answer alone."""
        target = exchange.target
        if target is None or target.upstream not in self.view.upstreams:
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        # It could be asked there for what its tools here are not to do.
        says = "speaks_past_filters" if target.upstream in self.view.narrowed else "speaks"
        protocol = exchange.method.partition("/")[0]
        if protocol not in getattr(self._upstreams.get(target.upstream), says, ()):
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        return await self._forward(exchange, target, exchange.params)

    def _unheard(self, view: View, exchange: Exchange) -> Refused | None:
        """Why nothing is known where the only upstream has not been heard of: it is away."""
        upstream = self._upstreams.get(view.stands_for)
        if upstream is None or upstream.state is State.READY:
            return None
        word = upstream.reason.partition(" ")[0].rstrip(":")  # no more than that is for clients
        return failure(
            UPSTREAM_UNAVAILABLE,
            "The upstream is not available.",
            reason=word if "_" in word else "not_connected",
            upstream=view.stands_for,
            request_id=exchange.id,
        )

    def _own_params(self, exchange: Exchange, target: Target) -> Json:
        """The params in the upstream's own words: the client's, where it has no others."""
        params = exchange.params
        if "task" in params and exchange.method == "tools/call":
            view = self.view
            if serves_old(exchange, view.capabilities):
                self._old_tasks.admit(exchange, view.tasks)
            else:  # who was offered none and asks for one is answered as if it had not (2025-11-25, tasks)
                params = {name: value for name, value in params.items() if name != "task"}
        field = NAME_PARAM.get(exchange.method)
        if field is not None:
            if params[field] != target.name:
                params = {**params, field: target.name}
        elif exchange.method == "completion/complete":
            params, ref = dict(params), dict(params["ref"])
            ref["name" if ref.get("type") == "ref/prompt" else "uri"] = target.name
            params["ref"] = ref
        return params

    async def _answered(self, exchange: Exchange, target: Target, params: Json) -> Result:
        """Send, and go on until the answer is one this client can be given."""
        offer = self._upstreams[target.upstream].offer
        capabilities: Json | None = None
        given: Given = "task"
        if exchange.method == "tools/call" and has_tasks(offer.capabilities):
            capabilities, given = self._tasks.terms(exchange, offer, "task" in params)
        for round_number in range(MAX_ROUNDS + 1):
            try:
                result = await self._forward(exchange, target, params, capabilities=capabilities)
            except Refused as refusal:
                asked = (
                    url_elicitations(refusal)
                    if refusal.code == URL_ELICITATION_REQUIRED_LEGACY and exchange.era is Era.MODERN
                    else None
                )
                if asked is None:
                    raise
                result = asked
            kind = result.kind
            if kind == "task":
                if given != "result":
                    sealed = self._tasks.seal_result(exchange, target, result)
                    return sealed if given == "task" else self._old_tasks.created(sealed)
                result = await self._tasks.finish(exchange, target, result)
                kind = result.kind
            if kind == "complete":
                return result if given != "old" else self._old_tasks.ended(exchange, target.upstream, result)
            if kind != "input_required" or exchange.method not in MRTR_METHODS:
                raise failure(
                    UPSTREAM_BAD_RESPONSE,
                    "The upstream answered with a kind of result this client did not ask for",
                    reason="unknown_result_type",
                    upstream=target.upstream,
                    request_id=exchange.id,
                )
            if exchange.era is Era.MODERN and not exchange.asked:
                return self._close_state(exchange, target, result)
            if round_number < MAX_ROUNDS:
                params = await self._ask_all(exchange, result, params, round_number)
        raise failure(
            UPSTREAM_BAD_RESPONSE,
            f"The upstream asked for input more than {MAX_ROUNDS} times",
            reason="input_loop",
            upstream=target.upstream,
            request_id=exchange.id,
        )

    async def _forward(
        self, exchange: Exchange, target: Target, params: Json, *, capabilities: Json | None = None
    ) -> Result:
        """Send to the upstream with other params and capabilities; the exchange stays as policies saw it."""
        upstream = self._upstreams.get(target.upstream)
        if upstream is None:
            raise failure(
                UPSTREAM_UNAVAILABLE,
                "The upstream is gone",
                reason="upstream_gone",
                upstream=target.upstream,
                request_id=exchange.id,
            )
        if params is not exchange.params or capabilities is not None:
            exchange = exchange.derived(
                exchange.method, params, capabilities or exchange.capabilities, target
            )
        return await upstream.send(exchange, target)

    async def _ask_all(self, exchange: Exchange, result: Result, params: Json, round_number: int) -> Json:
        """Put a modern upstream's questions to a client that waits; gives the params to send next."""
        asked = _requests_of(exchange, result)
        state = result.value.get("requestState")
        answers: Json = {}
        if asked:
            answers = await self._answers(exchange, result)
        else:
            # State only means "retry at once" (load shedding); a little patience keeps it from spinning.
            await asyncio.sleep(min(0.05 * (round_number + 1), 0.25))
        base = {k: v for k, v in params.items() if k not in ("inputResponses", "requestState")}
        return {
            **base,
            **({"inputResponses": answers} if asked else {}),
            **({"requestState": state} if state is not None else {}),
        }

    async def _answers(self, exchange: Exchange, result: Result) -> Json:
        """What the client says to the questions of a result, by their keys."""
        asked = _requests_of(exchange, result)
        asks = [asyncio.ensure_future(self._ask_one(exchange, request)) for request in asked.values()]
        try:
            return dict(zip(asked, await asyncio.gather(*asks), strict=True))
        finally:
            for ask in asks:  # once one is refused, nobody needs the answers to the others
                ask.cancel()

    async def _ask_one(self, exchange: Exchange, request: Json) -> Json:
        method, params = str(request.get("method")), request.get("params") or {}
        try:
            return await exchange.client.ask(method, params)
        except Refused as refusal:
            # No answer to an elicitation is a "cancel", and what cannot be put to the client is declined for
            # it; sampling and roots have no such answers.
            if method == "elicitation/create":
                return {"action": "decline" if refusal.code == MISSING_CAPABILITY else "cancel"}
            raise

    def _close_state(self, exchange: Exchange, target: Target, result: Result) -> Result:
        for request in _requests_of(exchange, result).values():
            check_ask(exchange.capabilities, str(request.get("method")), request.get("params") or {})
        inner = result.value.get("requestState")
        if inner is not None:
            payload = [target.upstream, binding_of(exchange), inner]
            sealed = self._seal.close("state", exchange.principal, payload, STATE_TTL)
            result.value = {**result.value, "requestState": sealed}
        return result

    def _open_state(self, exchange: Exchange, target: Target, state: object) -> str:
        try:
            _, (upstream, binding, inner) = self._seal.open("state", exchange.principal, state)
        except Unsealable:
            raise Refused(INVALID_PARAMS, "Invalid params: requestState is not valid") from None
        if upstream != target.upstream or binding != binding_of(exchange):
            raise Refused(INVALID_PARAMS, "Invalid params: requestState belongs to another request")
        return str(inner)


def _with_arguments(view: View, exchange: Exchange, params: Json) -> Json:
    """The params with the arguments that overrides add.

    Raises:
        Refused: -32602: the client named an argument that it does not see.
    """
    method = exchange.method
    if method == "completion/complete":
        ref, argument = exchange.params["ref"], exchange.params.get("argument")
        override = view.fills.get("prompts/get", {}).get(str(ref.get("name")))
        if override and isinstance(argument, dict) and argument.get("name") in override.hidden:
            raise unknown_argument(argument["name"])
        return params
    override = view.fills.get(method, {}).get(exchange.params.get("name", ""))
    return filled(params, override) if override else params


def _requests_of(exchange: Exchange, result: Result) -> dict[str, Json]:
    """The `inputRequests` of a result.

    Raises:
        Refused: 50200 when they are not what the specification says.
    """
    asked = result.value.get("inputRequests") or {}
    if isinstance(asked, dict) and all(
        isinstance(request, dict) and isinstance(request.get("params") or {}, dict)
        for request in asked.values()
    ):
        return asked
    raise failure(
        UPSTREAM_BAD_RESPONSE,
        "The upstream asked for input in a way that is not understood",
        reason="upstream_bad_response",
        upstream=exchange.target.upstream if exchange.target else None,
        request_id=exchange.id,
    )
