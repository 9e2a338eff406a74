from __future__ import annotations

import portico_confirm
import pytest
from portico_confirm import Confirm, ConfirmConfig

from portico.api import POLICY_DENIED, Exchange, Refused, Result
from portico.testing import RecordingClient, check_plugin, make_exchange

POLICY = Confirm(ConfirmConfig(tools=("delete_*",)))
YES, NO = {"action": "accept", "content": {}}, {"action": "decline"}


async def done(exchange: Exchange) -> Result:
    return Result(value={"content": []})


async def test_the_plugin_keeps_its_contract() -> None:
    await check_plugin(portico_confirm)


async def test_a_call_goes_on_when_the_user_agrees() -> None:
    client = RecordingClient({"elicitation/create": YES})
    result = await POLICY(make_exchange(params={"name": "delete_note"}, client=client), done)
    assert result.value == {"content": []}
    assert client.asked[0][1]["message"] == "Call the tool delete_note?"


async def test_a_call_is_refused_when_the_user_declines() -> None:
    client = RecordingClient({"elicitation/create": NO})
    with pytest.raises(Refused) as refusal:
        await POLICY(make_exchange(params={"name": "delete_note"}, client=client), done)
    assert refusal.value.code == POLICY_DENIED


async def test_other_tools_are_called_without_a_question() -> None:
    client = RecordingClient()
    await POLICY(make_exchange(params={"name": "read_note"}, client=client), done)
    assert client.asked == []
