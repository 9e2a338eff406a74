"""A modern-only server that answers `input_required` under the names the legacy scenarios call.

`python -m tests.interop.bridge_modern --port 0`. Through a gateway the 2025-11-25 scenarios of elicitation
and sampling must pass against it: the gateway asks on the client's stream and sends the call again.
"""

from __future__ import annotations

from mcp.types import ElicitRequest

from tests.interop.fixture.content import PROMPTS, ROUND_PROMPT
from tests.interop.fixture.entries import Call, ToolAnswer, ToolEntry, strings, tool
from tests.interop.fixture.passing import passing, visited
from tests.interop.fixture.plain import PLAIN
from tests.interop.fixture.questions import DEFAULTS, ENUMS, form, outcome, said, sample
from tests.interop.fixture.rounds import ROUNDS, ask
from tests.interop.fixture.server import fixture_server
from tests.interop.fixture.tasks import WORK, with_tasks
from tests.interop.serving import main


async def _sampling(call: Call) -> ToolAnswer:
    if "reply" in call.answers:
        return f"LLM response: {said(call.answers['reply'])}"
    return ask("asked", reply=sample(str(call.arguments.get("prompt", ""))))


def _round(call: Call, request: ElicitRequest, prefix: str) -> ToolAnswer:
    if "form" in call.answers:
        return f"{prefix}: {outcome(call.answers['form'])}"
    return ask("asked", form=request)


async def _elicitation(call: Call) -> ToolAnswer:
    return _round(call, form(str(call.arguments.get("message", "")), strings("response")), "User response")


async def _defaults(call: Call) -> ToolAnswer:
    return _round(call, form("Please provide user information", DEFAULTS), "Elicitation completed")


async def _enums(call: Call) -> ToolAnswer:
    return _round(call, form("Please choose from each list", ENUMS), "Elicitation completed")


async def _ask(call: Call, request: ElicitRequest) -> ToolAnswer:
    if "visit" in call.answers:
        return visited(call.answers["visit"])
    return ask("asked", visit=request)


ROUNDED: tuple[ToolEntry, ...] = (
    tool("test_sampling", "Asks the client's model.", _sampling, strings("prompt")),
    tool("test_elicitation", "Asks the user.", _elicitation, strings("message")),
    tool("test_elicitation_sep1034_defaults", "Asks with defaults of every primitive type.", _defaults),
    tool("test_elicitation_sep1330_enums", "Asks with every way to write an enum.", _enums),
)
"""The legacy scenarios' tools, written the modern way."""

if __name__ == "__main__":
    main(
        with_tasks(
            fixture_server(
                "portico-bridge-modern",
                (*PLAIN, *passing(_ask), *ROUNDED, *ROUNDS, *WORK),
                (*PROMPTS, ROUND_PROMPT),
            )
        ),
        "modern",
        "A modern server that asks in rounds under the names of the legacy scenarios.",
    )
