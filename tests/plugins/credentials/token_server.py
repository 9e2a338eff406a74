"""An authorization server that gives tokens to clients, and things that let in whoever has the latest."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import attrs
import grpc
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from portico.api import Clock, Host, Json, RenewableCredential, Secret
from portico_plugins.credentials.client_credentials import CLIENT_CREDENTIALS
from portico_plugins.credentials.oauth_config import ClientCredentialsConfig
from tests.plugins.upstreams.kit import Clock as RealClock
from tests.plugins.upstreams.kit import Log, serving

SECRET = "canary:s&é"


@attrs.define(eq=False)
class TokenServer:
    """An ASGI app that is one.

    Attributes:
        life: Seconds that tokens last; None where it does not say.
        valid: The latest token: the only one that is let in.
        forms: What it was asked for.
        heads: The headers of that.
        answer: What to answer with instead, and its status.
        kind: The media type of answers.
        hold: Waited for before it answers.
        asked: Set when it is asked.
    """

    life: Any = 3600
    valid: str = ""
    forms: list[dict[str, list[str]]] = attrs.field(factory=list)
    heads: list[dict[str, str]] = attrs.field(factory=list)
    answer: tuple[int, Any] | None = None
    kind: str = "application/json; charset=utf-8"
    hold: asyncio.Event | None = None
    asked: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = (await receive()).get("body", b"")
        self.forms.append(parse_qs(body.decode(), strict_parsing=True))
        self.heads.append({name.decode(): value.decode() for name, value in scope["headers"]})
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        status, said = self.answer or (200, None)
        if said is None:
            self.valid = f"token-{len(self.forms)}"
            said = {"access_token": self.valid, "token_type": "bearer"}
            said |= {} if self.life is None else {"expires_in": self.life}
        raw = said if isinstance(said, bytes) else json.dumps(said).encode()
        head = [(b"content-type", self.kind.encode()), (b"location", b"/elsewhere")]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": raw})

    def clients(self) -> list[tuple[str, str]]:
        """Which clients have asked by HTTP Basic, and with which secrets."""
        basic = [head["authorization"].removeprefix("Basic ") for head in self.heads]
        pairs = [base64.b64decode(each).decode().partition(":") for each in basic]
        return [(unquote_plus(name), unquote_plus(secret)) for name, _, secret in pairs]

    def gate(self, app: ASGIApp) -> ASGIApp:
        """An app that lets in who has the latest token; each request that came is in `gated`."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                shown = dict(scope["headers"]).get(b"authorization", b"").decode()
                self.gated.append(shown)
                if shown != f"Bearer {self.valid}":
                    await JSONResponse({"error": "no"}, 401)(scope, receive, send)
                    return
            await app(scope, receive, send)

        return guarded

    gated: list[str] = attrs.field(factory=list)


class GrpcGate(grpc.aio.ServerInterceptor):
    """Lets in who has the latest token.

    Args:
        tokens: Gives them.
    """

    def __init__(self, tokens: TokenServer) -> None:
        self._tokens = tokens

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        shown = dict(details.invocation_metadata).get("authorization", "")
        self._tokens.gated.append(shown)
        handler = await continuation(details)
        if shown == f"Bearer {self._tokens.valid}" or handler is None:
            return handler

        async def one(request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")

        async def many(request: Any, context: Any) -> AsyncIterator[Any]:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")
            yield

        make = {
            (False, False): (grpc.unary_unary_rpc_method_handler, one),
            (True, False): (grpc.stream_unary_rpc_method_handler, one),
            (False, True): (grpc.unary_stream_rpc_method_handler, many),
            (True, True): (grpc.stream_stream_rpc_method_handler, many),
        }[handler.request_streaming, handler.response_streaming]
        return make[0](make[1], handler.request_deserializer, handler.response_serializer)


def settings(**changes: Any) -> ClientCredentialsConfig:
    """The configuration of a client."""
    given: Json = {"client_id": "me", **changes}
    if given.get("auth_method") != "private_key_jwt":
        given.setdefault("client_secret", Secret(SECRET))
    return ClientCredentialsConfig(**given)


@contextlib.asynccontextmanager
async def client(
    clock: Clock | None = None, log: Log | None = None, **changes: Any
) -> AsyncIterator[RenewableCredential]:
    """The credential, started with this configuration."""
    unused: Any = None
    host = Host("id", "credentials", log or Log(), clock or RealClock(), Path("/"), unused, unused)
    async with CLIENT_CREDENTIALS.create(settings(**changes), host) as credential:
        assert isinstance(credential, RenewableCredential)
        yield credential


@contextlib.asynccontextmanager
async def granted(
    tokens: TokenServer, clock: Clock | None = None, log: Log | None = None, **changes: Any
) -> AsyncIterator[RenewableCredential]:
    """An authorization server that runs, and a client of it."""
    async with (
        serving(tokens) as origin,
        client(clock, log, token_url=f"{origin}/token", **changes) as credential,
    ):
        yield credential
