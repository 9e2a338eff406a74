"""An HTTP API through a whole gateway, as configured in the example."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portico.api import INVALID_PARAMS, Refused
from portico.testing.running import running_gateway
from tests.plugins.upstreams.kit import serving
from tests.plugins.upstreams.rest.kit import echo

EXAMPLES = Path(__file__).parents[4] / "examples"
STORE = "https://petstore3.swagger.io/api/v3"


async def test_the_example_lists_and_calls_the_pet_store() -> None:
    async with serving(echo) as origin:
        config = (EXAMPLES / "petstore.toml").read_text("utf-8")
        assert STORE in config
        config = config.replace(STORE, f"{origin}/api/v3")
        async with running_gateway(config, base=EXAMPLES) as gateway:
            listed = await gateway.request("tools/list")
            names = {tool["name"] for tool in listed["tools"]}
            assert names == {
                "addPet",
                "find_pets",
                "find_pets_by_tags",
                "getPetById",
                "get_store_inventory",
                "uploadFile",
            }
            answer = await gateway.request("tools/call", {"name": "find_pets", "arguments": {}})
            found = answer["structuredContent"]
            assert (found["path"], found["query"]) == ("/api/v3/pet/findByStatus", "status=available")
            assert found["headers"]["api_key"] == "special-key"
            tags = {"name": "find_pets_by_tags", "arguments": {"tags": ["a", "b"]}}
            found = (await gateway.request("tools/call", tags))["structuredContent"]
            assert found["query"] == "tags=a&tags=b"
            pet = {"name": "addPet", "arguments": {"body": {"name": "Rex", "photoUrls": []}}}
            assert not (await gateway.request("tools/call", pet)).get("isError")
            wrong = {"name": "getPetById", "arguments": {"petId": "seven"}}
            said = await gateway.request("tools/call", wrong)
            assert said["isError"] is True
            assert "petId" in json.dumps(said["content"])
            with pytest.raises(Refused) as refused:
                await gateway.request("tools/call", {"name": "deletePet", "arguments": {"petId": 1}})
            assert refused.value.code == INVALID_PARAMS
