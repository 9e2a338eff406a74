"""What can be configured of an `mcp` upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import attrs
from attrs.validators import ge, gt, optional

from portico.api import Credential, Ref, Secret, doc
from portico_plugins.upstreams import checks

MINIMAL_ENV: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TERM", "USER", "SHELL", "LOGNAME", "TMPDIR")


@attrs.frozen(kw_only=True)
class McpConfig:
    """An MCP server: either `url` or `command`."""

    url: str = attrs.field(
        default="",
        validator=checks.url,
        metadata=doc(
            "Where the server is; streamable HTTP or HTTP+SSE.", example="https://mcp.example.com/mcp"
        ),
    )
    command: tuple[str, ...] = attrs.field(
        default=(),
        metadata=doc(
            "The argument list of a stdio server. No shell is involved.",
            example=["mcp-server-time", "--local-timezone=UTC"],
            operator_only=True,
        ),
    )
    launch: tuple[str, ...] = attrs.field(
        default=(),
        metadata=doc(
            "The argument list of a program that serves `url`, run for as long as the gateway runs. "
            "`{port}`, here and in `url`, stands for a free port.",
            operator_only=True,
        ),
    )
    env: dict[str, Secret] = attrs.field(
        factory=dict,
        metadata=doc("Environment variables of the process, beside the inherited ones.", operator_only=True),
    )
    inherit_env: tuple[str, ...] = attrs.field(
        default=MINIMAL_ENV,
        metadata=doc(
            "Which of the gateway's own environment variables the process sees.", operator_only=True
        ),
    )
    cwd: Path | None = attrs.field(
        default=None, metadata=doc("Working directory of the process.", operator_only=True)
    )
    headers: dict[str, Secret] = attrs.field(
        factory=dict, validator=checks.headers, metadata=doc("Headers to add to every HTTP request.")
    )
    credential: Ref[Credential] | None = attrs.field(
        default=None, metadata=doc("A configured credential that authenticates the HTTP requests.")
    )
    pass_upstream_authorization: bool = attrs.field(
        default=False,
        metadata=doc(
            "Send a client's `X-Upstream-Authorization` header to this server as `Authorization`. The token "
            "the client shows the gateway is never sent on."
        ),
    )
    protocol: Literal["auto", "legacy", "modern", "sse"] = attrs.field(
        default="auto",
        metadata=doc(
            "Which protocol to speak: `modern` (2026-07-28), `legacy` (2025-11-25 and older, with sessions), "
            "`sse` (HTTP+SSE of 2024-11-05), or `auto`: find out, and speak to a server of both eras in the "
            "client's."
        ),
    )
    shared: bool = attrs.field(
        default=False,
        metadata=doc(
            "Share sessions and the stdio process among all principals. Off, each principal has its own: a "
            "server may keep state in them."
        ),
    )
    withhold: tuple[Literal["elicitation", "sampling", "roots"], ...] = attrs.field(
        default=(),
        metadata=doc(
            "Client capabilities that this server is never offered, whatever the client can do. Roots, for "
            "one, widen what a filesystem server may read.",
            example=["roots"],
        ),
    )
    connect_timeout: float = attrs.field(
        default=10.0, validator=gt(0), metadata=doc("Seconds to connect, and to answer a handshake.")
    )
    call_timeout: float | None = attrs.field(
        default=None,
        validator=optional(gt(0)),
        metadata=doc(
            "The most seconds one call may take here; without it, only the caller's deadline counts."
        ),
    )
    idle_timeout: float = attrs.field(
        default=900.0, validator=gt(0), metadata=doc("Seconds after which an unused session or process ends.")
    )
    max_sessions: int = attrs.field(
        default=1000, validator=ge(1), metadata=doc("The most sessions or processes at one time.")
    )
    restarts: int = attrs.field(
        default=5,
        validator=ge(0),
        metadata=doc("How often a crashed process is restarted per `restart_window`."),
    )
    restart_window: float = attrs.field(default=60.0, validator=gt(0), metadata=doc("Seconds."))
    refresh_seconds: float | None = attrs.field(
        default=None,
        validator=optional(gt(0)),
        metadata=doc(
            "Seconds after which the lists are asked for again. Without it: when the server says so; "
            "one that never does is asked when its `ttlMs` is over, or every 300 seconds."
        ),
    )
    start_grace: float = attrs.field(
        default=5.0,
        validator=ge(0),
        metadata=doc("Seconds the start of the gateway waits for the first listing."),
    )
    max_message_bytes: int = attrs.field(
        default=16 * 1024 * 1024,
        validator=ge(1024),
        metadata=doc("The largest message taken from the server."),
    )
    allow_private: bool = attrs.field(
        default=True,
        metadata=doc(
            "Whether the server may have a loopback or private address. On by default, which is right only "
            "because whoever writes the config file runs the gateway. Cloud metadata addresses are refused "
            "either way."
        ),
    )
    tls_verify: bool = attrs.field(default=True, metadata=doc("Check the server's certificate."))
    ca_file: Path | None = attrs.field(
        default=None,
        metadata=doc(
            "PEM file of certificate authorities to trust instead of the system's.", operator_only=True
        ),
    )

    def __attrs_post_init__(self) -> None:
        """Refuse combinations that mean nothing."""
        if bool(self.url) == bool(self.command):
            raise ValueError("expected exactly one of `url` and `command`")
        http_only = ("headers", "credential", "pass_upstream_authorization")
        needless = (*http_only, "launch") if self.command else () if self.launch else ("env", "cwd")
        wrong = [name for name in needless if getattr(self, name)]
        if wrong:
            raise ValueError(f"`{wrong[0]}` means nothing with `{'command' if self.command else 'url'}`")
        if "{port}" in self.url and not self.launch:
            raise ValueError("`{port}` in `url` needs a `launch`")
        if self.command and self.protocol == "sse":
            raise ValueError('protocol = "sse" needs a `url`')
        if self.shared and self.pass_upstream_authorization:
            raise ValueError("`pass_upstream_authorization` and `shared` exclude each other")
