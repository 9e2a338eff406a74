"""What the reasons of refusals say about a server."""

from __future__ import annotations

from typing import Final

from portico.api import UPSTREAM_BAD_RESPONSE, UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE

UNREACHABLE: Final = frozenset(
    {"address_not_allowed", "command_not_found", "command_not_runnable", "connect_timeout", "cwd_not_found"}
    | {"connection_refused", "handshake_timeout", "name_not_found", "no_endpoint_event", "no_tunnel"}
    | {"tls_failed"}
)
"""Reasons for which a call need not be tried: it would fail in the same way, only later."""
REACHABLE: Final = frozenset({"upstream_unauthorized", "bad_credential_header"})
"""Reasons for which it is not available to us, though it is there."""
ANSWERED: Final = frozenset({UPSTREAM_BAD_RESPONSE, UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE})
"""With any other code, a refusal is the server's own answer."""
