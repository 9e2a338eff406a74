"""Requests to one virtual server in the modern era: self-contained, questions answered on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from portico import __version__
from portico._core.contracts.json import Json
from portico._core.errors import METHOD_NOT_FOUND, MISSING_CAPABILITY
from portico._core.protocol.eras import (
    LATEST_MODERN,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_VERSION,
    NAME_PARAM,
)
from portico._core.protocol.headers import encode_header_value
from portico._core.protocol.param_headers import header_map, param_headers
from portico.cli.failures import Failure

OnFrame = Callable[[Json], None]
"""Takes in a notification that comes before the answer."""

Answer = Callable[[str, Json], Json]
"""Puts a question (method, params) to the user; gives the bare result object."""

_ROUNDS: Final = 20


class RpcError(Failure):
    """The answer is a JSON-RPC error.

    Args:
        error: The `error` object.
    """

    def __init__(self, error: Json) -> None:
        self.code = error.get("code")
        self.data = error.get("data")
        hint = ""
        if self.code == MISSING_CAPABILITY:
            hint = " (it wants to ask you something: run this on a terminal)"
        elif isinstance(self.data, dict) and isinstance(self.data.get("gateway"), dict):
            facts = self.data["gateway"]
            known = [f"{key} {facts[key]}" for key in ("upstream", "reason", "request_id") if facts.get(key)]
            hint = f" ({', '.join(known)})"
        super().__init__(f"error {self.code}: {error.get('message')}{hint}")
        self.error = error

    def more(self, hint: str) -> RpcError:
        """The same with a hint at the end of its message."""
        return RpcError({**self.error, "message": f"{self.error.get('message')}{hint}"})


class Sender(Protocol):
    """Gets one request to a gateway and its answer back."""

    def send(self, method: str, params: Json, headers: dict[str, str], on_frame: OnFrame) -> Json:
        """The result.

        Args:
            method: The MCP method.
            params: Complete, `_meta` included.
            headers: MCP's routing headers, for HTTP.
            on_frame: Told of notifications.

        Raises:
            RpcError: The answer is an error.
            Failure: There is none.
        """
        ...


class Session:
    """Requests to one virtual server.

    Args:
        sender: How they get there.
        answer: Who answers questions; None when nobody can, which servers are told.
        on_frame: Told of notifications.
    """

    def __init__(
        self, sender: Sender, answer: Answer | None = None, on_frame: OnFrame = lambda _: None
    ) -> None:
        self._sender = sender
        self._answer = answer
        self._on_frame = on_frame
        capabilities: Json = {"elicitation": {"form": {}, "url": {}}} if answer else {}
        self._meta: Json = {
            META_VERSION: LATEST_MODERN,
            META_CLIENT_INFO: {"name": "gateway", "version": __version__},
            META_CAPABILITIES: capabilities,
            "progressToken": "cli",
        }

    def request(self, method: str, params: Json, schema: Any = None) -> Json:
        """The complete result of a request; questions are answered on the way.

        Args:
            method: The MCP method.
            params: Without `_meta`.
            schema: The input schema of the tool that is called, for its `Mcp-Param-*` headers.

        Raises:
            RpcError: The answer is an error.
            Failure: There is none, or a question cannot be answered.
        """
        headers = {"MCP-Protocol-Version": LATEST_MODERN, "Mcp-Method": method}
        if method in NAME_PARAM:
            headers["Mcp-Name"] = encode_header_value(str(params.get(NAME_PARAM[method])))
        if schema is not None:
            headers |= param_headers(header_map(schema), params.get("arguments"))
        more: Json = {}
        for _ in range(_ROUNDS):
            result = self._sender.send(
                method, {**params, **more, "_meta": self._meta}, headers, self._on_frame
            )
            if result.get("resultType", "complete") != "input_required":
                return result
            more = {"inputResponses": self._answers(result.get("inputRequests") or {})}
            if "requestState" in result:
                more["requestState"] = result["requestState"]
        raise Failure(f"{method} was still asking after {_ROUNDS} rounds of questions")

    def _answers(self, requests: Mapping[str, Any]) -> Json:
        if requests and self._answer is None:
            raise Failure("it wants to ask you something: run this on a terminal")
        assert self._answer is not None or not requests
        answer = self._answer
        return {
            key: answer(str(request.get("method")), request.get("params") or {}) if answer else {}
            for key, request in requests.items()
        }

    def everything(self, method: str, key: str) -> list[Json]:
        """Every page of a list; a server that lacks the capability has nothing.

        Args:
            method: The list method.
            key: The member of its result that holds the items.
        """
        items: list[Json] = []
        cursor: Any = None
        while True:
            try:
                page = self.request(method, {} if cursor is None else {"cursor": cursor})
            except RpcError as error:
                if error.code == METHOD_NOT_FOUND:
                    return items
                raise
            items += page.get(key) or []
            cursor = page.get("nextCursor")
            if cursor is None:
                return items
