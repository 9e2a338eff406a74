"""The `rest` upstream kind: HTTP APIs, from an OpenAPI document or from tools written by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from portico.api import Factory, Host, Later, Upstream, hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from .config import RestConfig

gateway_api = (1, 0)


def settings() -> type[RestConfig]:
    """The keys of its table; a gateway without such an upstream never imports them."""
    from .config import RestConfig

    return RestConfig


def check(config: RestConfig, base: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with the document, if it is here, and with certificates."""
    from portico_plugins.pem import pem

    from .document import Document, Unfit, parse
    from .files import read_file

    yield from pem(config.ca_file, config.client_cert, config.client_key)
    if config.openapi_file is not None:
        try:
            Document(parse(read_file((base / config.openapi_file).as_uri(), None, config.max_document_bytes)))
        except Unfit as reason:
            yield ("openapi_file",), str(reason)
    if config.openapi_inline:
        try:
            Document(config.openapi_inline)
        except Unfit as reason:
            yield ("openapi_inline",), str(reason)


@asynccontextmanager
async def rest(config: RestConfig, host: Host) -> AsyncIterator[Upstream]:
    """Start one HTTP API. A document that cannot be had is no error: it is degraded and tried again."""
    from .upstream import RestUpstream  # not before it is needed

    upstream = RestUpstream(config, host)
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()


REST = Factory(
    name="rest",
    summary="An HTTP API as tools: from an OpenAPI 2.0 or 3.x document, or written by hand.",
    config=Later(settings),
    create=rest,
    posture="hardened",
    check=check,
)


@hookimpl
def gateway_upstreams() -> Sequence[Factory[Any, Upstream]]:
    """Offer the `rest` kind."""
    return (REST,)
