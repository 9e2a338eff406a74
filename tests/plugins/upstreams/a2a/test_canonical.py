"""Answers of agents are ProtoJSON as protobuf has it, whether or not protobuf is asked."""

from __future__ import annotations

from typing import Any

import pytest
from a2a.types import (
    AgentCard,
    Artifact,
    ListTasksResponse,
    Message,
    Part,
    SendMessageResponse,
    StreamResponse,
    Task,
    TaskArtifactUpdateEvent,
    TaskStatusUpdateEvent,
)
from hypothesis import given
from hypothesis import strategies as st

from portico.api import Json
from portico_plugins.a2a.protojson import BadJson, from_json, to_json
from portico_plugins.upstreams.a2a.canonical import canonical

STATUS: Json = {"state": "TASK_STATE_WORKING", "timestamp": "2026-02-28T23:59:59.120Z"}
SAID: Json = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": ""}, {"data": {"a": [1, None]}}]}
TASK: Json = {
    "id": "t",
    "contextId": "c",
    "status": {**STATUS, "message": SAID},
    "artifacts": [{"artifactId": "a", "parts": [{"url": "https://h/x", "mediaType": "text/csv"}]}],
    "history": [SAID],
    "metadata": {},
}
PLAIN = [
    {"task": TASK},
    {"message": {**SAID, "extensions": ["", "e"], "referenceTaskIds": ["t"]}},
    {"statusUpdate": {"taskId": "t", "contextId": "c", "status": STATUS, "metadata": {"n": 1.5}}},
    {"artifactUpdate": {"taskId": "t", "artifact": TASK["artifacts"][0], "append": True, "lastChunk": True}},
    {},
]


@pytest.mark.parametrize("value", PLAIN)
def test_what_is_canonical_is_given_back_as_it_is(value: Json) -> None:
    assert canonical(value, StreamResponse) is value
    assert to_json(from_json(value, StreamResponse)) == value


def status(**more: Any) -> Json:
    """An event with a status that is odd in some way."""
    return {"statusUpdate": {"taskId": "t", "status": {**STATUS, **more}}}


def saying(**part: Any) -> Json:
    """An event with a part that is odd in some way."""
    return {"message": {**SAID, "parts": [part]}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"statusUpdate": {"task_id": "t"}}, {"statusUpdate": {"taskId": "t"}}),
        ({"statusUpdate": {"taskId": "t", "more": 1}, "and": []}, {"statusUpdate": {"taskId": "t"}}),
        (
            {"statusUpdate": {"taskId": "t", "contextId": "", "status": None}},
            {"statusUpdate": {"taskId": "t"}},
        ),
        (status(state=2), status()),
        (
            status(state="NEWER"),
            {"statusUpdate": {"taskId": "t", "status": {"timestamp": STATUS["timestamp"]}}},
        ),
        (
            status(state="TASK_STATE_UNSPECIFIED", timestamp=None),
            {"statusUpdate": {"taskId": "t", "status": {}}},
        ),
        (status(timestamp="2026-03-01T01:59:59.12+02:00"), status()),
        (status(timestamp="2024-02-29T00:00:00Z"), status(timestamp="2024-02-29T00:00:00Z")),
        (status(timestamp="2026-11-21T00:00:00.000Z"), status(timestamp="2026-11-21T00:00:00Z")),
        (saying(raw="AA", filename="f"), saying(raw="AA==", filename="f")),
        (saying(data=None), saying(data=None)),
        (
            {"artifactUpdate": {"append": False, "artifact": {"parts": []}}},
            {"artifactUpdate": {"artifact": {}}},
        ),
    ],
)
def test_what_means_the_same_becomes_canonical(value: Json, expected: Json) -> None:
    assert canonical(value, StreamResponse) == expected


@pytest.mark.parametrize(
    "value",
    [
        17,
        "text",
        None,
        [],
        {"task": 5},
        {"task": {"id": 5}},
        {"task": TASK, "message": SAID},
        saying(text="a", url="b"),
        saying(raw="AAAAA"),
        saying(text="a", metadata=[]),
        status(timestamp="2026-02-30T00:00:00Z"),
        status(timestamp="0000-01-01T00:00:00Z"),
        status(timestamp="yesterday"),
        {"artifactUpdate": {"append": "yes"}},
        {"artifactUpdate": {"artifact": {"parts": {}}}},
        {"message": {**SAID, "extensions": [5]}},
    ],
)
def test_what_is_another_message_is_refused(value: Any) -> None:
    with pytest.raises(BadJson):
        canonical(value, StreamResponse)


def test_values_that_may_be_anything_keep_their_numbers() -> None:
    data = {"big": 2**60 + 1, "whole": 5, "part": 0.5}
    made = canonical(saying(data=data), StreamResponse)
    assert made["message"]["parts"][0]["data"] == data


def test_values_that_may_be_anything_are_no_deeper_than_protobuf_takes() -> None:
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(BadJson):
        canonical(saying(data=deep), StreamResponse)


def test_lists_and_cards_are_understood() -> None:
    page: Json = {"tasks": [TASK], "totalSize": 1, "pageSize": 5}
    assert canonical(page, ListTasksResponse) == page
    card = {"name": "n", "securitySchemes": {"s": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}}}
    assert canonical(card, AgentCard) == card


FIELDS: set[str] = {
    field.json_name
    for kind in (
        StreamResponse,
        Task,
        TaskStatusUpdateEvent,
        TaskArtifactUpdateEvent,
        Artifact,
        Message,
        Part,
    )
    for field in kind.DESCRIPTOR.fields
}
NAMES = [*sorted(FIELDS), "task_id", "more"]
SCALARS = st.sampled_from(
    ["", "t", "TASK_STATE_WORKING", "ROLE_USER", "2026-11-21T10:00:00Z", "AA==", None, True, False, 0, 1, 2.5]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


def changed(value: Any, at: int, by: Any) -> tuple[Any, int]:
    """A value in which what comes at this place is something else, and how many places there were."""
    if at == 0:
        return by, 1
    seen = 1
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    made = dict(parts)
    for key, each in parts:
        made[key], count = changed(each, at - seen, by)
        seen += count
    return (list(made.values()) if isinstance(value, list) else made if parts else value), seen


@given(st.sampled_from(PLAIN), st.integers(0, 40), VALUES)
def test_it_is_what_protobuf_makes_of_it(plain: Json, at: int, by: Any) -> None:
    value, _ = changed(plain, at, by)
    for kind in (StreamResponse, SendMessageResponse, Task):
        if not isinstance(value, dict):
            continue
        try:
            expected: Json | None = to_json(from_json(value, kind, lenient=True))
        except BadJson:
            expected = None
        try:
            found: Json | None = canonical(value, kind)
        except BadJson:
            found = None
        assert found == expected
