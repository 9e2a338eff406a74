"""The extra: named when it is missing, and not paid for by who has no agent."""

from __future__ import annotations

import asyncio
import sys

import pytest

from portico.api import ConfigError, Secret
from portico.testing import make_host
from portico_plugins.a2a import missing
from portico_plugins.upstreams.a2a import A2A
from portico_plugins.upstreams.a2a.config import A2aConfig

URL = "http://127.0.0.1:1"


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = A2aConfig(url=URL)
    monkeypatch.setattr(missing, "_NEEDED", (("no_such_module_here", "a2a-sdk"),))
    with pytest.raises(ValueError, match=r"pip install 'portico\[a2a\]'"):
        A2aConfig(url=URL)
    with pytest.raises(ConfigError, match="a2a-sdk, which is not installed"):
        async with A2A.create(made, make_host()):
            pass


async def test_nothing_of_the_sdk_is_imported_before_there_is_such_an_upstream() -> None:
    code = (
        "import sys, portico_plugins.upstreams.a2a.config as m, portico_plugins.a2a.parts;"
        "m.A2aConfig(url='http://a');"
        "heavy = ('a2a', 'grpc', 'google.protobuf', 'httpx', 'jwt', 'pydantic');"
        "sys.exit(any(name in sys.modules for name in heavy))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


async def test_what_verifies_signatures_is_imported_only_where_there_are_signers() -> None:
    code = (
        "import sys, portico_plugins.upstreams.a2a.upstream;"
        "sys.exit(any(name in sys.modules for name in ('jwt', 'cryptography')))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"url": ""}, "expected http"),
        ({"url": "ftp://a"}, "expected http"),
        ({"url": "http://u:p@a"}, "no credentials"),
        ({"url": "http://a?b=c"}, "no query"),
        ({"url": "http://\u00e4"}, "ASCII"),
        ({"url": "http://a b"}, "no spaces"),
        ({"bindings": ()}, "at least one of the `bindings`"),
        ({"headers": {"A2A-Version": Secret("2")}}, "set by the gateway itself"),
        ({"headers": {"X-A": Secret("\u00e4")}}, "other than ASCII"),
        ({"headers": {"X-A": Secret("a\r\nb")}}, "no header may have"),
        ({"pass_headers": {"Authorization": "X-A"}}, "never passed on"),
        ({"origins": ("a.example",)}, "is no origin"),
        ({"origins": ("https://a/path",)}, "is no origin"),
        ({"origins": ("https://u@a",)}, "is no origin"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        A2aConfig(**{"url": URL, **keys})  # type: ignore[arg-type]
