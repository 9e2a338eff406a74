from __future__ import annotations

import portico_clock
import pytest
from portico_clock import CLOCK, ClockConfig

from portico.api import INVALID_PARAMS, Refused, Target
from portico.testing import FakeClock, check_plugin, make_exchange, make_host, running_gateway


async def test_the_plugin_keeps_its_contract() -> None:
    await check_plugin(portico_clock)


async def test_the_time_is_told_in_the_zone_asked_for() -> None:
    async with CLOCK.create(ClockConfig(), make_host(clock=FakeClock(0))) as clock:
        exchange = make_exchange(params={"name": "now", "arguments": {"zone": "Asia/Tokyo"}})
        result = await clock.send(exchange, Target("clock", "now"))
    assert result.value["content"][0]["text"] == "1970-01-01T09:00:00+09:00"


async def test_an_unknown_zone_is_the_callers_mistake() -> None:
    async with CLOCK.create(ClockConfig(), make_host()) as clock:
        exchange = make_exchange(params={"name": "now", "arguments": {"zone": "Mars/Olympus"}})
        with pytest.raises(Refused) as refusal:
            await clock.send(exchange, Target("clock", "now"))
    assert refusal.value.code == INVALID_PARAMS


async def test_a_gateway_federates_it() -> None:
    config = '[upstreams.time]\nuse = "clock"\nzone = "Europe/Berlin"\n'
    async with running_gateway(config, plugins=[portico_clock]) as gateway:
        assert await gateway.names("tools/list") == ["now"]
        assert await gateway.names("resources/list") == ["clock://zones"]
        assert (await gateway.call("now"))["content"][0]["type"] == "text"
        zones = await gateway.request("resources/read", {"uri": "clock://zones"})
    assert "Europe/Berlin" in zones["contents"][0]["text"]
