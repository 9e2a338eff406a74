"""Ask the user before certain tools are called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from typing import ClassVar

import attrs

from portico.api import POLICY_DENIED, Exchange, Factory, Host, Next, Policy, Result, doc, failure, hookimpl

gateway_api = (1, 0)


@attrs.frozen
class ConfirmConfig:
    """Config of the `confirm` policy."""

    tools: tuple[str, ...] = attrs.field(
        default=("*delete*",), metadata=doc("Patterns of the tool names to ask about.")
    )


@attrs.frozen
class Confirm:
    """Puts a question before each call of a matching tool, and refuses the call unless it is accepted."""

    methods: ClassVar = frozenset({"tools/call"})

    config: ConfirmConfig

    async def __call__(self, exchange: Exchange, call_next: Next) -> Result:
        """Ask if need be, then go on."""
        name = str(exchange.params.get("name"))
        if any(fnmatchcase(name, pattern) for pattern in self.config.tools):
            form = {"type": "object", "properties": {}}
            question = {"mode": "form", "message": f"Call the tool {name}?", "requestedSchema": form}
            answer = await exchange.client.ask("elicitation/create", question)
            if answer.get("action") != "accept":
                raise failure(POLICY_DENIED, "The user did not agree to this call", reason="not_confirmed")
        return await call_next(exchange)


@asynccontextmanager
async def confirm(config: ConfirmConfig, host: Host) -> AsyncIterator[Policy]:
    """Create the policy; it has nothing to start or stop."""
    yield Confirm(config)


CONFIRM = Factory(
    name="confirm",
    summary="Ask the user before certain tools are called.",
    config=ConfirmConfig,
    create=confirm,
)


@hookimpl
def gateway_policies() -> Sequence[Factory[ConfirmConfig, Policy]]:
    """Offer the policy."""
    return (CONFIRM,)
