"""What can be configured of an `a2a` upstream."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

from portico.api import Credential, Ref, Secret, Wrong, doc
from portico_plugins.a2a.missing import missing
from portico_plugins.fields import number, operator_file, private_addresses, seconds
from portico_plugins.upstreams import checks

Binding = Literal["JSONRPC", "HTTP+JSON", "GRPC"]
Algorithm = Literal["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"]
_ORIGIN: Final = re.compile(r"(https?|grpcs?)://(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{1,5})?")


def _installed(attribute: Any, field: Any, value: str) -> None:
    if missing():
        raise ValueError(f"this kind of upstream {missing()}")
    if not value:
        raise ValueError("expected http://host... or https://host...")
    checks.url(attribute, field, value)
    if urlsplit(value).query or not value.isascii():
        raise ValueError("the URL of an agent has no query, and ASCII characters only")


def problem_of(name: str, value: str) -> str | None:
    """Why a header may not be added to a request to an agent."""
    if name.lower().startswith("a2a-"):
        return f"{name!r} is set by the gateway itself"
    if not value.isascii():
        return f"the value of {name!r} has characters other than ASCII"
    return checks.header_problem(name, value)


def _headers(_: Any, __: Any, value: dict[str, Secret]) -> None:
    wrong = [((name,), said) for name, one in value.items() if (said := problem_of(name, one.reveal()))]
    if wrong:
        raise Wrong(wrong)


def _passed(_: Any, __: Any, value: dict[str, str]) -> None:
    wrong = [
        ((name,), said)
        for name, own in value.items()
        if (said := "it is never passed on" if name.lower() in checks.NEVER_PASSED else problem_of(own, "x"))
    ]
    if wrong:
        raise Wrong(wrong)


def _origins(_: Any, __: Any, value: tuple[str, ...]) -> None:
    for each in value:
        if not _ORIGIN.fullmatch(each):
            raise ValueError(
                f"{each!r} is no origin: expected http, https, grpc or grpcs, a host, and a port if need be"
            )


def _keys_at(attribute: Any, field: Any, value: str) -> None:
    checks.url(attribute, field, value)
    if not value.isascii():
        raise ValueError("expected https://host... in ASCII characters only")


def _each_url(attribute: Any, field: Any, value: tuple[str, ...]) -> None:
    for each in value:
        _keys_at(attribute, field, each)
        if not each.startswith("https://"):
            raise ValueError("expected https://host...")


@attrs.frozen(kw_only=True)
class Signers:
    """Who may have signed the card. Without one of their signatures it is not used."""

    file: Path | None = operator_file("A JWK Set, or one JWK, as a file.")
    url: str = attrs.field(
        default="",
        validator=_keys_at,
        metadata=doc("The URL of a JWK Set, fetched when a card is verified.", outbound=True),
    )
    jku: tuple[str, ...] = attrs.field(
        default=(),
        validator=_each_url,
        metadata=doc(
            "The URLs of JWK Sets that a signature may name itself (`jku`); no other is ever fetched.",
            outbound=True,
        ),
    )
    algorithms: tuple[Algorithm, ...] = attrs.field(
        default=("ES256", "EdDSA", "RS256", "PS256"),
        metadata=doc("The algorithms a signature may have, whatever it says itself."),
    )

    def __attrs_post_init__(self) -> None:
        if self.file is None and not self.url and not self.jku:
            raise ValueError("expected `file`, `url` or `jku`: keys to verify with")
        if not self.algorithms:
            raise ValueError("expected at least one of the `algorithms`")


@attrs.frozen(kw_only=True)
class A2aConfig:
    """An A2A agent."""

    url: str = attrs.field(
        validator=_installed,
        metadata=doc(
            "Where the agent is, its card below it at `/.well-known/agent-card.json`; or the URL of the card "
            "itself, if it ends with `.json`.",
            example="https://agents.example.com/travel",
            outbound=True,
        ),
    )
    bindings: tuple[Binding, ...] = attrs.field(
        default=("JSONRPC", "HTTP+JSON", "GRPC"),
        metadata=doc("Which bindings may be used. Of those, the one that the card names first is."),
    )
    origins: tuple[str, ...] = attrs.field(
        default=(),
        validator=_origins,
        metadata=doc(
            "Other origins at which the card may say the agent is to be reached, and be sent messages and "
            "credentials; by default only the one of `url`. gRPC has its own scheme and port.",
            example=["grpcs://agents.example.com:50051"],
            outbound=True,
        ),
    )
    skills: tuple[str, ...] = attrs.field(
        default=("*",),
        metadata=doc(
            "Which skills become tools: patterns for their ids, or `tag:` and one for their tags.",
            example=["book_*", "tag:travel"],
        ),
    )
    exclude: tuple[str, ...] = attrs.field(
        default=(), metadata=doc("Patterns of skills that do not after all.", example=["tag:internal"])
    )
    output_schemas: bool = attrs.field(default=True, metadata=doc("Whether tools have output schemas."))
    headers: dict[str, Secret] = attrs.field(
        factory=dict,
        validator=_headers,
        metadata=doc("Headers (with gRPC: metadata) to add to every request."),
    )
    pass_headers: dict[str, str] = attrs.field(
        factory=dict,
        validator=_passed,
        metadata=doc(
            "Headers of the client's request to send on: its name -> the agent's. No other header is, and "
            "what authenticates the client to the gateway never is.",
            example={"x-tenant": "X-Tenant"},
        ),
    )
    credential: Ref[Credential] | None = attrs.field(
        default=None, metadata=doc("A configured credential that authenticates the requests.")
    )
    signers: Signers | None = attrs.field(
        default=None,
        metadata=doc("Who may have signed the card. With this, a card that none of them signed is not used."),
    )
    streaming: bool = attrs.field(
        default=True,
        metadata=doc(
            "Whether an agent that can stream is asked to; otherwise it is asked for news time and again."
        ),
    )
    task_after: float = number(
        2.0,
        "Seconds after which a call that still runs becomes an MCP task, for clients that know tasks.",
        least=0,
    )
    file_urls: Literal["public", "any", "none"] = attrs.field(
        default="public",
        metadata=doc(
            "Which files clients may have the agent fetch: those at public addresses, at any but cloud "
            "metadata's, or none."
        ),
    )
    relay: bool | None = attrs.field(
        default=None,
        metadata=doc(
            "Whether A2A clients reach the agent itself, too, where the transport `a2a` is. By default, if "
            "all its skills are tools: what `skills` and `exclude` leave out, or a virtual server hides, "
            "they could ask it for."
        ),
    )
    push_urls: Literal["public", "any", "none"] = attrs.field(
        default="public",
        metadata=doc(
            "Where A2A clients may have the agent send push notifications: to public addresses, to any but "
            "cloud metadata's, or nowhere."
        ),
    )
    connect_timeout: float = seconds(10.0, "Seconds to connect, and the card may take to come.")
    call_timeout: float | None = seconds(
        None,
        "The most seconds one call may take, questions to the client not counted; without it, only the "
        "caller's deadline counts. The agent's task is cancelled then.",
    )
    refresh_seconds: float = seconds(
        300.0, "Seconds after which the card is asked for again, unless it says how long it holds."
    )
    start_grace: float = number(5.0, "Seconds the start of the gateway waits for the card.", least=0)
    max_card_bytes: int = number(1024 * 1024, "The largest card, or JWK Set, taken.", least=1024)
    max_request_bytes: int = number(16 * 1024 * 1024, "The largest message sent.", least=1024)
    max_response_bytes: int = number(
        16 * 1024 * 1024, "The largest answer taken; of a stream, the most bytes all in all.", least=1024
    )
    max_stream_events: int = number(
        10_000, "The most events of a stream; from then on the agent is asked for the outcome."
    )
    max_inline_bytes: int = number(
        256 * 1024, "Files of an answer larger than this are not in the result but linked from it.", least=0
    )
    max_tools: int = number(512, "The most tools; further skills are left out, and logged.")
    allow_private: bool = private_addresses("the agent")
    tls_verify: bool = attrs.field(
        default=True, metadata=doc("Check the agent's certificate. gRPC always does.")
    )
    ca_file: Path | None = operator_file(
        "PEM file of certificate authorities to trust instead of the system's."
    )

    def __attrs_post_init__(self) -> None:
        """Refuse combinations that mean nothing."""
        if not self.bindings:
            raise ValueError("expected at least one of the `bindings`")

    @property
    def relayed(self) -> bool:
        """Whether A2A clients reach the agent itself."""
        return self.relay if self.relay is not None else self.skills == ("*",) and not self.exclude
