"""What can be configured of an `mcp` upstream."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from portico.api import Credential, Ref, Secret, doc
from portico_plugins.fields import number, operator_file, private_addresses, seconds
from portico_plugins.upstreams import checks

MINIMAL_ENV: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TERM", "USER", "SHELL", "LOGNAME", "TMPDIR")

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEERING: Final = re.compile(
    r"(?:LD|DYLD|NODE|NPM|UV|PIP|BASH|GLIBC|MALLOC|PORTICO|DOTNET|OPENSSL|SSL|CURL|REQUESTS|DENO|BUN)_.*"
    r"|PYTHON.*|PERL.*|RUBY(?:OPT|LIB)|(?:_JAVA|JDK_JAVA|JAVA_TOOL)_OPTIONS|CLASSPATH|JAVA_HOME"
    r"|PATH|HOME|SHELL|ENV|IFS|PS4|SHELLOPTS|TMPDIR|EDITOR|VISUAL|PAGER|BROWSER|GCONV_PATH|.*_PROXY|SSH_ASKPASS"
    r"|GIT_(?:SSH.*|EXEC_PATH|ASKPASS|EDITOR|PAGER|CONFIG.*|TEMPLATE_DIR|PROXY_COMMAND|EXTERNAL_DIFF|DIR)"
)
"""Variables that decide what a process runs or whom it trusts: not for callers to set."""
_SHOWN: Final = frozenset({"authorization", "cookie"})
"""What callers show the gateway itself."""


def _env_from_headers(_: Any, __: Any, value: dict[str, str]) -> None:
    for header, variable in value.items():
        if header.lower() in _SHOWN:
            raise ValueError(
                f"{header!r} is what callers show the gateway itself; let them use another, like `X-Token`"
            )
        if (problem := checks.header_problem(header, "x")) is not None:
            raise ValueError(problem)
        if not _VARIABLE.fullmatch(variable):
            raise ValueError(f"{variable!r} is not the name of an environment variable")
        if _STEERING.fullmatch(variable.upper()):
            raise ValueError(f"{variable!r} decides what a process runs or trusts: no caller may set it")
    if len({header.lower() for header in value}) < len(value) or len(set(value.values())) < len(value):
        raise ValueError("each header and each variable may be named once")


@attrs.frozen(kw_only=True)
class McpConfig:
    """An MCP server: either `url` or `command`."""

    url: str = attrs.field(
        default="",
        validator=checks.url,
        metadata=doc(
            "Where the server is; streamable HTTP or HTTP+SSE.",
            example="https://mcp.example.com/mcp",
            outbound=True,
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
    env_from_headers: dict[str, str] = attrs.field(
        factory=dict,
        validator=_env_from_headers,
        metadata=doc(
            "Request headers, and the environment variable each is to be in the process. Callers with other "
            "values have other processes; the process that lists the tools sees `env` only.",
            example={"X-Token": "TOKEN"},
            operator_only=True,
        ),
    )
    cwd: Path | None = operator_file("Working directory of the process.", "folder")
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
    connect_timeout: float = seconds(10.0, "Seconds to connect, and to answer a handshake.")
    call_timeout: float | None = seconds(
        None, "The most seconds one call may take here; without it, only the caller's deadline counts."
    )
    idle_timeout: float = seconds(900.0, "Seconds after which an unused session or process ends.")
    max_sessions: int = number(1000, "The most sessions or processes at one time.")
    restarts: int = number(5, "How often a crashed process is restarted per `restart_window`.", least=0)
    restart_window: float = seconds(60.0, "Seconds.")
    refresh_seconds: float | None = seconds(
        None,
        "Seconds after which the lists are asked for again. Without it: when the server says so; "
        "one that never does is asked when its `ttlMs` is over, or every 300 seconds.",
    )
    start_grace: float = number(5.0, "Seconds the start of the gateway waits for the first listing.", least=0)
    max_message_bytes: int = number(
        16 * 1024 * 1024, "The largest message taken from the server.", least=1024
    )
    allow_private: bool = private_addresses("the server")
    tls_verify: bool = attrs.field(default=True, metadata=doc("Check the server's certificate."))
    ca_file: Path | None = operator_file(
        "PEM file of certificate authorities to trust instead of the system's."
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
        if self.env_from_headers and not self.command:
            raise ValueError("`env_from_headers` needs a `command`")
        if self.shared and self.env_from_headers:
            raise ValueError("`env_from_headers` and `shared` exclude each other")
        if self.shared and self.pass_upstream_authorization:
            raise ValueError("`pass_upstream_authorization` and `shared` exclude each other")
