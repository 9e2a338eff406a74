from __future__ import annotations

import pytest

from portico.api import INVALID_PARAMS, Json, Refused, Target
from portico.testing import check_plugin, make_exchange
from portico_plugins.upstreams.local import LOCAL
from portico_plugins.upstreams.local.config import Argument, LocalConfig, Prompt, Resource
from portico_plugins.upstreams.local.upstream import LocalUpstream

WHO = (Argument(name="who", required=True), Argument(name="tone", default="warm"))
UP = LocalUpstream(
    LocalConfig(
        prompts={"greet": Prompt(template="Greet {{ who }}, {{tone}}.", arguments=WHO)},
        resources={"a": Resource(uri="m://a.md", text="hi"), "b": Resource(uri="m://b", blob="AAE=")},
        max_size=100,
    )
)


async def send(method: str, name: str, params: Json) -> Json:
    return (await UP.send(make_exchange(method, params), Target("local", name))).value


async def test_the_factory_keeps_its_contract() -> None:
    await check_plugin(LOCAL, kind="upstreams")


async def test_values_are_filled_in_and_never_read_as_templates() -> None:
    filled = await send("prompts/get", "greet", {"arguments": {"who": "{{ tone }}"}})
    assert filled["messages"][0]["content"]["text"] == "Greet {{ tone }}, warm."


@pytest.mark.parametrize("arguments", [{}, {"who": 1}, {"who": "x" * 101}])
async def test_wrong_arguments_are_refused(arguments: Json) -> None:
    with pytest.raises(Refused) as caught:
        await send("prompts/get", "greet", {"arguments": arguments})
    assert caught.value.code == INVALID_PARAMS


@pytest.mark.parametrize(
    "template", ["{{ 'a' * 10**8 }}", "{% for i in x %}{% endfor %}", "{{ who.__class__ }}", "{{ no }}"]
)
def test_a_template_that_could_do_more_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        Prompt(template=template, arguments=WHO)


async def test_text_and_binary_are_read_with_their_types() -> None:
    (text,) = (await send("resources/read", "m://a.md", {}))["contents"]
    (blob,) = (await send("resources/read", "m://b", {}))["contents"]
    assert (text["text"], text["mimeType"]) == ("hi", "text/markdown")
    assert (blob["blob"], blob["mimeType"]) == ("AAE=", "application/octet-stream")
    with pytest.raises(Refused):
        await send("resources/read", "m://c", {})
