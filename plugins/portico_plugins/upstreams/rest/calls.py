"""Calls of tools: arguments checked, requests sent, answers made results."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from portico.api import INVALID_PARAMS, Credential, Exchange, FlowCredential, Host, Json, Refused, Result
from portico_plugins.failures import bad_response, error_text, timed_out

from .answers import WrongAnswer, broken_off, misshapen, result_of, shapable
from .asking import Adding
from .client import Client
from .config import RestConfig
from .document import Unfit
from .faults import precise
from .paging import next_page
from .requests import request_of
from .security import Additions, chosen, fixed
from .shaping import Shaper, Unshaped
from .streams import Collector
from .tools import Tool

_MOST_FAULTS: Final = 5
_MOST_COMPILED: Final = 256
_LONGEST_FAULT: Final = 300


class Calls:
    """Calls on one upstream.

    Args:
        config: Its configuration.
        host: Its host.
        client: Sends the requests.
    """

    def __init__(self, config: RestConfig, host: Host, client: Client) -> None:
        self._config = config
        self._host = host
        self._client = client
        self._shaper = Shaper(config.max_response_bytes, config.shape_seconds)
        self._credential: Credential | None = host.component(config.credential) if config.credential else None
        self._credentials: Mapping[str, Credential] = {
            name: host.component(own.credential) for name, own in config.security.items() if own.credential
        }
        self._fixed = fixed(config)
        self._flows = {
            name: credential
            for name, credential in self._credentials.items()
            if isinstance(credential, FlowCredential)
        }
        self._placed: Mapping[str, Additions] = {}
        self._checks: dict[tuple[str, str], tuple[Json, jsonschema_rs.Draft202012Validator]] = {}

    def take(self, placed: Mapping[str, Additions]) -> None:
        """There are other tools now, with these secrets of security schemes.

        Raises:
            Unfit: Nobody says where the tokens of one of the schemes are had.
        """
        for name, credential in self._flows.items():
            own = placed.get(name)
            if own is None:
                continue  # the document has no such scheme
            try:
                credential.for_flow(own.token_url, ())
            except ValueError as error:
                far = own.told and not own.token_url
                told = f"; the document says {own.told[:200]}, of another origin than its own" if far else ""
                raise Unfit(f"the security scheme {name[:50]!r}: {error}{told}") from None
        self._placed = placed
        self._checks.clear()

    async def close(self) -> None:
        """End what runs."""
        await self._shaper.close()

    async def send(self, exchange: Exchange, tool: Tool, arguments: Any = None) -> Result:
        """Call a tool.

        Args:
            exchange: The call.
            tool: The tool.
            arguments: What it is given; by default what the call says.

        Raises:
            Refused: -32602 for an argument that cannot be sent, or one of Portico's codes.
        """
        arguments = exchange.params.get("arguments") if arguments is None else arguments
        arguments = {} if arguments is None else arguments
        if not isinstance(arguments, dict):
            raise Refused(INVALID_PARAMS, "Invalid params: arguments must be an object")
        wrong = self._faults(tool, "inputSchema", arguments)
        if wrong:
            return unfit(wrong)
        try:
            async with asyncio.timeout(tool.timeout):
                return await self._call(exchange, tool, arguments)
        except TimeoutError:
            raise timed_out(self._host.name, exchange) from None

    async def _call(self, exchange: Exchange, tool: Tool, arguments: Json) -> Result:
        collector = self._collector(exchange, tool)
        passed = {
            own: exchange.headers[name.lower()]
            for name, own in self._config.pass_headers.items()
            if name.lower() in exchange.headers
        }
        adding = await self._additions(exchange, tool)
        request = request_of(tool, arguments, passed, adding.layers, self._config.max_request_bytes)
        answer = await self._client.send(request, exchange.id, collector.take)
        if answer.status == 401 and await adding.renew(request):  # it was not carried out
            request = request_of(tool, arguments, passed, adding.layers, self._config.max_request_bytes)
            answer = await self._client.send(request, exchange.id, collector.take)
        promised = "outputSchema" in tool.definition
        check = partial(self._faults, tool, "outputSchema") if promised else None
        try:
            page = None
            whole = shapable(answer, tool)
            if tool.shape is not None and whole is not None:
                shape = tool.shape
                page = next_page(answer, whole[0], tool, request)
                try:
                    answer.body = await self._shaper.shaped(shape.language, shape.program, answer.body)
                except Unshaped as error:
                    return misshapen(answer, shape, str(error))
            if collector.broken:
                return broken_off(answer, collector.broken)
            return result_of(answer, tool, request, check, self._config.max_error_bytes, page)
        except WrongAnswer as error:
            raise bad_response(self._host.name, str(error), exchange) from None

    async def _additions(self, exchange: Exchange, tool: Tool) -> Adding:
        """What is added to the request of a call.

        Raises:
            Refused: 50300: a credential has nothing to be sent.
        """
        adding = Adding(exchange, self._host.name)
        schemes = chosen(tool.security, self._placed)
        adding.layers += [self._fixed, *(self._placed[name] for name in schemes)]
        for name, scopes in schemes.items():
            own = self._placed[name]
            if name in self._flows:
                await adding.ask(self._flows[name].for_flow(own.token_url, scopes), own.wants)
            elif name in self._credentials:
                await adding.ask(self._credentials[name], own.wants)
        if tool.headers:
            adding.layers.append(Additions({name: value.reveal() for name, value in tool.headers.items()}))
        if self._credential is not None:
            await adding.ask(self._credential)
        return adding

    def _collector(self, exchange: Exchange, tool: Tool) -> Collector:
        """What takes the stream that a call may be answered with."""
        began = self._host.clock.monotonic()
        ends = began + (tool.timeout if tool.timeout is not None else self._config.call_timeout)
        quiet = tool.shape is not None
        return Collector(self._config, exchange, began, ends, self._host.clock, quiet=quiet)

    def _faults(self, tool: Tool, key: str, value: Any) -> list[str]:
        """What is wrong with a value, as of a schema of a tool."""
        schema = tool.definition[key]
        known = self._checks.get((tool.name, key))
        if known is None or known[0] is not schema:  # there may be another tool of this name by now
            if len(self._checks) >= _MOST_COMPILED:
                self._checks.clear()
            known = self._checks[tool.name, key] = (
                schema,
                jsonschema_rs.Draft202012Validator(schema, offline=True),
            )
        return faults(known[1], value)


def faults(check: jsonschema_rs.Draft202012Validator, value: Any) -> list[str]:
    """What is wrong with a value, the first few things."""
    if check.is_valid(value):
        return []
    return [said[:_LONGEST_FAULT] for said in islice(precise(check.iter_errors(value)), _MOST_FAULTS)]


def unfit(wrong: list[str]) -> Result:
    """What a call gives whose arguments do not fit."""
    return error_text("The arguments do not fit; nothing was sent: " + "; ".join(wrong))
