"""The management API: REST under `/api/v1`, its OpenAPI description, and a page for people at `/docs`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from portico.api import AuthScheme, ConfigError, Factory, Host, Ref, Transport, doc, hookimpl
from portico_plugins.fields import number, seconds

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

gateway_api = (1, 0)


@attrs.frozen
class ManagementApiConfig:
    """Config of the `management_api` transport."""

    auth: tuple[Ref[AuthScheme], ...] = attrs.field(
        default=(),
        metadata=doc(
            "Auth schemes, tried in order. With none, or one that lets anybody in, only callers on this "
            "machine are served; and none is an error while a virtual server asks for credentials."
        ),
    )
    scope: str = attrs.field(
        default="",
        metadata=doc("The scope callers need; without it, whoever is authenticated may do everything."),
    )
    docs: bool = attrs.field(
        default=True,
        metadata=doc("Serve `/docs` and `/api/openapi.json`, to anybody who can reach the gateway."),
    )
    max_body: int = number(4 << 20, "Bytes a request's body may have.", least=1024)
    max_changes: int = number(5000, "Changes a bulk request may have.")
    max_keys: int = number(1000, "Idempotency keys remembered at once, the newest.")
    key_seconds: float = seconds(3600.0, "Seconds an idempotency key is remembered.")
    catalog: str = attrs.field(
        default="",
        metadata=doc(
            "The MCP Registry (v0.1) that `/catalog` shows and adds servers from: its URL, or a file of its "
            "answers, relative to the working directory.",
            example="https://registry.modelcontextprotocol.io",
        ),
    )
    catalog_allow_private: bool = attrs.field(
        default=False,
        metadata=doc("Whether that URL may have a loopback or private address."),
    )


def check(config: ManagementApiConfig, base: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Whether the catalog is a URL that may be asked, or a file."""
    from portico.api import NoCatalog, absence, catalog_at

    if "://" in config.catalog:
        try:
            catalog_at(config.catalog, allow_private=config.catalog_allow_private)
        except NoCatalog as error:
            yield ("catalog",), str(error)
    elif config.catalog and (text := absence(Path.cwd() / config.catalog)):
        yield ("catalog",), text


class ManagementApi:
    """`/api/v1`, `/api/openapi.json` and `/docs`."""

    def __init__(self, config: ManagementApiConfig, host: Host) -> None:
        from portico_plugins.transports.management_api.app import Api

        self._docs = config.docs
        self._api = Api(config, host)

    def routes(self) -> Sequence[BaseRoute]:
        """The API's, and those of its documentation."""
        from portico_plugins.transports.management_api.pages import Below, pages

        return [Below("/api/v1", self._api), *(pages() if self._docs else ())]


@asynccontextmanager
async def management_api(config: ManagementApiConfig, host: Host) -> AsyncIterator[Transport]:
    """Create the transport.

    Raises:
        ConfigError: No auth scheme is named, though virtual servers do not let everybody in.
    """
    closed = sorted(name for name, each in host.wiring.endpoints.items() if each.lists.private)
    if closed and not config.auth:
        raise ConfigError(
            [
                (
                    f"transports.{host.name}.auth",
                    f"expected an auth scheme, as the virtual server {closed[0]!r} asks for credentials",
                )
            ]
        )
    yield ManagementApi(config, host)


MANAGEMENT_API = Factory(
    name="management_api",
    summary="REST API under /api/v1 for what is managed at run time, with OpenAPI 3.1 and a page at /docs.",
    config=ManagementApiConfig,
    create=management_api,
    posture="hardened",
    check=check,
)


@hookimpl
def gateway_transports() -> Sequence[Factory[ManagementApiConfig, Transport]]:
    """Offer the transport."""
    return (MANAGEMENT_API,)
