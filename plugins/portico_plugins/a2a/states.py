"""The states of A2A tasks, by their names in ProtoJSON (A2A 1.0, TaskState)."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "TASK_STATE_"

COMPLETED: Final = "TASK_STATE_COMPLETED"
FAILED: Final = "TASK_STATE_FAILED"
CANCELED: Final = "TASK_STATE_CANCELED"
REJECTED: Final = "TASK_STATE_REJECTED"
INPUT_REQUIRED: Final = "TASK_STATE_INPUT_REQUIRED"
AUTH_REQUIRED: Final = "TASK_STATE_AUTH_REQUIRED"

TERMINAL: Final = frozenset({COMPLETED, FAILED, CANCELED, REJECTED})
"""Nothing more comes of such a task."""

INTERRUPTED: Final = frozenset({INPUT_REQUIRED, AUTH_REQUIRED})
"""Such a task waits for somebody."""

MCP_STATUS: Final = {
    COMPLETED: "completed",
    FAILED: "completed",
    REJECTED: "completed",
    CANCELED: "cancelled",
    INPUT_REQUIRED: "input_required",
    AUTH_REQUIRED: "input_required",
}
"""The status of an MCP task for a state; `working` for all others.

A task that failed is a completed one whose result says `isError`: `failed` is for JSON-RPC errors (SEP-2663).
"""


def plain(state: str) -> str:
    """The state in words: `TASK_STATE_INPUT_REQUIRED` is `input_required`; "" stays that."""
    return state.removeprefix(PREFIX).lower()
