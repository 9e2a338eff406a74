"""A legacy-only server that asks in mid-call under the names the modern scenarios call.

`python -m tests.interop.bridge_legacy --port 0`. Through a gateway the 2026-07-28 scenarios of
`input_required` must pass against it: the gateway parks the call and turns its requests into rounds.
"""

from __future__ import annotations

import anyio
from mcp.types import CreateMessageResult, ElicitRequest, ElicitResult, ListRootsResult

from tests.interop.fixture.asking import ASKING, create_message, elicit, list_roots
from tests.interop.fixture.content import ASKING_PROMPT, CONTEXT_FORM, PROMPTS, messages, says
from tests.interop.fixture.entries import (
    Call,
    PromptAnswer,
    PromptEntry,
    ToolAnswer,
    ToolEntry,
    strings,
    tool,
)
from tests.interop.fixture.passing import passing, visited
from tests.interop.fixture.plain import PLAIN
from tests.interop.fixture.questions import (
    CONFIRM,
    field,
    form,
    name_form,
    outcome,
    roots_in,
    said,
    sample,
)
from tests.interop.fixture.server import fixture_server
from tests.interop.fixture.tasks import WORK
from tests.interop.fixture.tasks_old import with_old_tasks
from tests.interop.serving import main


async def _elicitation(call: Call) -> ToolAnswer:
    return f"Hello, {field(await elicit(call, name_form()), 'name')}!"


async def _streaming_elicitation(call: Call) -> ToolAnswer:
    await call.ctx.session.report_progress(1, 2, "about to ask")
    return await _elicitation(call)


async def _sampling(call: Call) -> ToolAnswer:
    return f"The model said: {said(await create_message(call, sample('What is the capital of France?')))}"


async def _list_roots(call: Call) -> ToolAnswer:
    return f"The client has {roots_in(await list_roots(call))} root(s)."


async def _confirmed(call: Call) -> ToolAnswer:
    answer = await elicit(call, form("Please confirm", CONFIRM))
    return "state-ok" if answer.action == "accept" else f"Not confirmed: {outcome(answer)}"


async def _multiple_inputs(call: Call) -> ToolAnswer:
    """Asks three things at once, as a legacy server may: the requests are on the wire before any answer."""
    name: ElicitResult | None = None
    greeting: CreateMessageResult | None = None
    roots: ListRootsResult | None = None

    async def ask_name() -> None:
        nonlocal name
        name = await elicit(call, name_form())

    async def ask_greeting() -> None:
        nonlocal greeting
        greeting = await create_message(call, sample("Generate a greeting", 50))

    async def ask_roots() -> None:
        nonlocal roots
        roots = await list_roots(call)

    async with anyio.create_task_group() as group:
        for ask in (ask_name, ask_greeting, ask_roots):
            group.start_soon(ask)
    return f"{said(greeting)} {field(name, 'name')}, {roots_in(roots)} root(s)."


async def _multi_round(call: Call) -> ToolAnswer:
    name = field(await elicit(call, name_form("Step 1: What is your name?")), "name")
    color = await elicit(call, form("Step 2: What is your favorite color?", strings("color")))
    return f"{name} likes {field(color, 'color')}."


async def _capabilities(call: Call) -> ToolAnswer:
    declared = call.ctx.session.client_capabilities
    parts = []
    if declared is not None and declared.sampling is not None:
        parts.append(said(await create_message(call, sample("Say hello", 50))))
    if declared is not None and declared.elicitation is not None:
        parts.append(field(await elicit(call, name_form()), "name"))
    return " ".join(parts) or "Nothing to ask."


async def _prompt(call: Call) -> PromptAnswer:
    answer = await elicit(call, CONTEXT_FORM)
    return messages(says(f"Use this context: {field(answer, 'context')}"))


async def _ask(call: Call, request: ElicitRequest) -> ToolAnswer:
    return visited(await elicit(call, request))


ASKING_ROUNDS: tuple[ToolEntry, ...] = (
    tool("test_streaming_elicitation", "Reports progress, then asks the user.", _streaming_elicitation),
    tool("test_input_required_result_elicitation", "One form.", _elicitation),
    tool("test_input_required_result_sampling", "One question to the model.", _sampling),
    tool("test_input_required_result_list_roots", "Asks for the roots.", _list_roots),
    tool("test_input_required_result_request_state", "One form.", _confirmed),
    tool("test_input_required_result_multiple_inputs", "Three questions at once.", _multiple_inputs),
    tool("test_input_required_result_multi_round", "Two forms, one after the other.", _multi_round),
    tool("test_input_required_result_tampered_state", "One form.", _confirmed),
    tool("test_input_required_result_capabilities", "Asks only what the client can answer.", _capabilities),
)
"""The modern scenarios' tools, written the legacy way."""

if __name__ == "__main__":
    server = fixture_server(
        "portico-bridge-legacy",
        (*PLAIN, *passing(_ask), *ASKING, *ASKING_ROUNDS, *WORK),
        (*PROMPTS, PromptEntry(ASKING_PROMPT, _prompt)),
    )
    main(
        with_old_tasks(server),
        "legacy",
        "A legacy server that asks under the names of the modern scenarios.",
    )
