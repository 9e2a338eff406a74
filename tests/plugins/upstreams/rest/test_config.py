"""What a `rest` table may say: every problem at once, each at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from portico.api import ConfigError
from portico.testing.running import running_gateway

HAND = "base_url = 'http://a.test'\ntools.find"


def toml(text: str) -> str:
    return f"[upstreams.api]\nuse = 'rest'\n{text}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected one of `openapi`"),
        ("openapi = 'http://a.test'\nopenapi_file = 'x.json'", "at most one"),
        ("openapi = 'file:///etc/passwd'", "expected http"),
        ("openapi = 'http://u:p@a.test/'", "carries no credentials"),
        ("tools = { a = { path = '/a' } }", "need a `base_url`"),
        ("base_url = 'http://a.test'\ntools = { a = { path = 'a' } }", "begins with a slash"),
        ("base_url = 'http://a.test'\ntools = { a = { path = '/a', method = 'CONNECT' } }", "an HTTP method"),
        ("openapi = 'http://a.test'\ninclude = [{}]", "at least one of"),
        ("openapi = 'http://a.test'\npass_headers = { Authorization = 'X-A' }", "never passed on"),
        ("openapi = 'http://a.test'\npass_headers = { x = 'Host' }", "set by the gateway"),
        ("openapi = 'http://a.test'\ncookies = { a = 'b; c=d' }", "expected a cookie"),
        ("openapi = 'http://a.test'\nheaders = { A = \"b\\r\\nc: d\" }", "no header may have"),
        ("openapi = 'http://a.test'\nsecurity = { k = { username = 'u' } }", "expected either `value`"),
        (
            "openapi = 'http://a.test'\nsecurity = { k = { value = 'v', username = 'u' } }",
            "without `password`",
        ),
        *(
            (
                f"openapi = 'http://a.test'\nsecurity = {{ k = {{ credential = 'c', {other} }} }}",
                said,
            )
            for other, said in (
                ("value = 'v'", "expected either `value`"),
                ("username = 'u'", "means nothing without `password`"),
                ("password = 'p'", "expected either `value`"),
                ("client_id = 'i'", "unknown key"),
            )
        ),
        (
            "openapi = 'http://a.test'\nbase_url = 'http://b.test'\nserver_variables = { a = 'b' }",
            "nothing with a `base_url`",
        ),
        (HAND + " = { path = '/a' }\noperations.fnid = { timeout = 1 }", "did you mean 'find'"),
        (HAND + " = { path = '/a' }\nsecurity = { k = { value = 'v' } }", "means nothing without a document"),
        (HAND + " = { path = '/a' }\ninclude = [{ tags = ['a'] }]", "means nothing without a document"),
        (HAND + " = { path = '/a/{b' }", "not sound"),
        (HAND + " = { path = '/a/{city}', parameters = [{ name = 'cty', location = 'path' }] }", "'city'"),
        (HAND + " = { path = '/a', parameters = [{ name = 'b' }, { name = 'b' }] }", "two parameters 'b'"),
        (HAND + " = { path = '/a', parameters = [{ name = 'b', style = 'from' }] }", "did you mean 'form'"),
        (HAND + " = { path = '/a', parameters = [{ name = 'b', schema = { type = 'no' } }] }", "JSON Schema"),
        (HAND + " = { path = '/a', method = 'POST', body = { type = 'no' } }", "no JSON Schema"),
        (HAND + " = { path = '/a', method = 'POST', body = {}, body_type = 'json' }", "a media type such as"),
        (HAND + " = { path = '/a', body = {} }", "a GET with a body is not sent"),
    ],
)
async def test_a_table_that_means_nothing_is_refused_with_the_reason(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        async with running_gateway(toml(text), base=tmp_path):
            pass
    assert said in refused.value.render()
    assert "upstreams.api" in refused.value.render()


INLINE = """
base_url = 'http://a.test'
openapi_inline.openapi = '3.1.0'
openapi_inline.components.securitySchemes.key = { type = 'apiKey', in = 'header', name = 'X-Key' }
openapi_inline.paths.'/x'.get = { operationId = 'find' }
openapi_inline.paths.'/y'.get = { operationId = 'other' }
"""


async def test_what_a_document_in_the_configuration_has_nothing_for_is_refused_at_its_place(
    tmp_path: Path,
) -> None:
    more = """
    exclude = [{ operations = ['other'] }]
    operations.fnid = { timeout = 1 }
    operations.other = { timeout = 1 }
    security.kye = { value = 's' }
    """
    with pytest.raises(ConfigError) as refused:
        async with running_gateway(toml(INLINE + more), base=tmp_path):
            pass
    found = refused.value.render()
    for place, said in (
        ("upstreams.api.operations.fnid", "no such operation is selected; did you mean 'find'?"),
        ("upstreams.api.operations.other", "no such operation is selected"),
        ("upstreams.api.security.kye", "the document has no such security scheme; did you mean 'key'?"),
    ):
        assert any(place in line and said in line for line in found.splitlines())


@pytest.mark.parametrize(
    "more",
    [
        "operations.'GET /x' = { timeout = 1 }\nsecurity.key = { value = 's' }",
        "operations.mine = { timeout = 1 }\ntools.mine = { path = '/mine' }",
        # What is in other files, or in none of any use, is not known before they are read.
        "operations.elsewhere = { timeout = 1 }\nref_origins = ['http://127.0.0.1:9']",
        "operations.elsewhere = { timeout = 1 }\nopenapi_inline.swagger = '9'",
    ],
)
async def test_what_it_has_or_may_have_is_no_mistake(tmp_path: Path, more: str) -> None:
    text = toml(INLINE.replace("openapi_inline.openapi = '3.1.0'", "") + more) if "swagger" in more else ""
    async with running_gateway(text or toml(INLINE + more), base=tmp_path):
        pass
