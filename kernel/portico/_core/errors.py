"""The error model: JSON-RPC codes, and the exceptions that are answers."""

from __future__ import annotations

import math
from typing import Any, Final

# JSON-RPC 2.0 and MCP codes, used only with the meaning the specifications give them.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
RESOURCE_NOT_FOUND_LEGACY: Final = -32002
URL_ELICITATION_REQUIRED_LEGACY: Final = -32042

# Portico's own codes: outside -32768..-32000, which JSON-RPC and MCP reserve.
UPSTREAM_BAD_RESPONSE: Final = 50200
UPSTREAM_UNAVAILABLE: Final = 50300
CIRCUIT_OPEN: Final = 50301
OVERLOADED: Final = 50302
SHUTTING_DOWN: Final = 50303
UPSTREAM_TIMEOUT: Final = 50400
POLICY_DENIED: Final = 40300
RATE_LIMITED: Final = 42900
TOOL_DEFINITION_CHANGED: Final = 40900

_RETRYABLE: Final = frozenset({UPSTREAM_UNAVAILABLE, CIRCUIT_OPEN, OVERLOADED, SHUTTING_DOWN, RATE_LIMITED})


class PorticoError(Exception):
    """Base of every error Portico raises on purpose."""


class ConfigError(PorticoError):
    """The configuration is wrong; carries every problem found, not only the first.

    Attributes:
        problems: `(path, message)` pairs, `path` in dotted TOML notation ("" for the whole document).
        source: The file or place the configuration came from.
    """

    def __init__(self, problems: list[tuple[str, str]], source: str = "configuration") -> None:
        self.problems = problems
        self.source = source
        super().__init__(self.render())

    def render(self) -> str:
        """The problems as the CLI prints them: one line each, paths aligned."""
        count = len(self.problems)
        width = max((len(path) for path, _ in self.problems), default=0)
        lines = [f"{self.source}: {count} problem{'s' if count != 1 else ''}"]
        lines += [f"  {path:<{width}}  {message}" for path, message in self.problems]
        return "\n".join(lines)


class Refused(PorticoError):
    """The one exception that is an answer: it becomes the JSON-RPC error of the request.

    Args:
        code: A JSON-RPC, MCP or Portico error code.
        message: One sentence for the caller; never a stack trace, path, URL or credential.
        data: JSON value for `error.data`, or None.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def body(self) -> dict[str, Any]:
        """The JSON-RPC `error` object."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return error


def failure(
    code: int,
    message: str,
    *,
    reason: str,
    upstream: str | None = None,
    request_id: str | None = None,
    retryable: bool | None = None,
    retry_after: float | None = None,
) -> Refused:
    """A `Refused` with one of Portico's own codes and its `data.gateway` object.

    Args:
        code: One of Portico's codes (50300, 50400, ...).
        message: One sentence for the caller.
        reason: A stable snake_case word for machines.
        upstream: The configured name of the upstream concerned.
        request_id: The gateway's id of the request, as the logs have it.
        retryable: Whether trying again later may help; by default what the code implies.
        retry_after: In how many seconds, where that is known; HTTP answers carry it as `Retry-After`.
    """
    gateway: dict[str, Any] = {
        "reason": reason,
        "upstream": upstream,
        "request_id": request_id,
        "retryable": code in _RETRYABLE if retryable is None else retryable,
    }
    if retry_after is not None:
        gateway["retry_after"] = math.ceil(retry_after * 1000) / 1000  # not a moment too early
    return Refused(code, message, {"gateway": gateway})
