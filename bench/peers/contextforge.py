"""ContextForge (mcp-contextforge-gateway) with SQLite, stateless as it comes and with sessions."""

from __future__ import annotations

import json
import subprocess
from functools import cache, partial

from bench.load import Endpoint
from bench.peers.peer import Launch, Peer, Site
from bench.processes import CannotRun, ask

VERSION = "1.0.7"
ADMIN = "admin@example.com"


def _environment(site: Site, stateful: bool) -> dict[str, str]:
    return {
        "DATABASE_URL": f"sqlite:///{site.folder / 'mcp.db'}",
        "CACHE_TYPE": "memory",
        "JWT_SECRET_KEY": f"{site.secret}-signs",
        "AUTH_ENCRYPTION_SECRET": f"{site.secret}-encrypts",
        "BASIC_AUTH_PASSWORD": f"Basic-{site.secret}",
        "PLATFORM_ADMIN_EMAIL": ADMIN,
        "PLATFORM_ADMIN_PASSWORD": f"Admin-{site.secret}",
        "DEFAULT_USER_PASSWORD": f"User-{site.secret}",
        "USE_STATEFUL_SESSIONS": str(stateful).lower(),
        "LOG_LEVEL": "ERROR",
        # Its defaults allow 100 requests a minute and no upstream on this machine.
        "RATE_LIMITING_ENABLED": "false",
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
    }


@cache
def _token(site: Site) -> str:
    """The caller's token, made by its own program, which takes seconds."""
    environment = _environment(site, stateful=False)
    command = f"-m mcpgateway.utils.create_jwt_token --username {ADMIN} --admin --exp 600 --secret"
    done = subprocess.run(
        [site.program("python"), *command.split(), environment["JWT_SECRET_KEY"]],
        cwd=site.folder,
        env={"PATH": str(site.programs), "HOME": str(site.folder), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.count(".") == 2:
            return line
    raise CannotRun(f"no token was made: {done.stderr.strip()[-300:]}")


def _launch(site: Site, stateful: bool) -> Launch:
    options = f"--host 127.0.0.1 --port {site.port} --no-access-log"
    return Launch(
        words=(site.program("mcpgateway"), *options.split()),
        endpoint=Endpoint(headers=(("Authorization", f"Bearer {_token(site)}"),)),
        environment=_environment(site, stateful),
    )


def _register(site: Site, launch: Launch) -> None:
    upstream = {
        "name": "stub",
        "url": site.upstream_url,
        "transport": "STREAMABLEHTTP",
        "visibility": "public",
    }
    headers = {"Content-Type": "application/json", **dict(launch.endpoint.headers)}
    status, body = ask(site.port, "POST", "/gateways", json.dumps(upstream), headers, seconds=30)
    if status not in (200, 201):
        raise CannotRun(f"it did not take the upstream: {status} {body[:300]!r}")


PEERS = (
    Peer(
        name="contextforge",
        title="ContextForge",
        version=VERSION,
        requirement=f"mcp-contextforge-gateway=={VERSION}",
        note="stateless, its default; one worker, SQLite, JWT of an administrator, its rate limit off",
        launch=partial(_launch, stateful=False),
        register=_register,
    ),
    Peer(
        name="contextforge-stateful",
        title="ContextForge, stateful",
        version=VERSION,
        requirement=f"mcp-contextforge-gateway=={VERSION}",
        note="the same with USE_STATEFUL_SESSIONS=true: upstream sessions are kept",
        launch=partial(_launch, stateful=True),
        register=_register,
        home="contextforge",
    ),
)
