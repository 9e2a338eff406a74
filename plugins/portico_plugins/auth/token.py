"""Static bearer tokens, from the config or from files."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from portico.api import (
    AuthScheme,
    Challenge,
    ConfigError,
    Credentials,
    Factory,
    Host,
    Principal,
    Secret,
    doc,
    hookimpl,
)

gateway_api = (1, 0)

MIN_LENGTH = 16
MAX_LENGTH = 16 * 1024
_VISIBLE = re.compile(r"[\x21-\x7e]+")


@attrs.frozen
class TokenConfig:
    """Config of the `token` auth scheme."""

    tokens: dict[str, Secret] = attrs.field(
        factory=dict,
        metadata=doc(
            "Subject to token; a token has at least 16 characters.", example={"ci": "${env:GATEWAY_TOKEN}"}
        ),
    )
    file: Path | None = attrs.field(
        default=None,
        metadata=doc("A file of `subject:token` lines; `#` begins a comment. Read at start.", exists="file"),
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class Tokens:
    """Looks a bearer token up among the known ones, in time that does not depend on which one it is.

    Args:
        tokens: Subject -> token. Only digests are kept.
        name: The scheme instance's name, part of each principal.
    """

    def __init__(self, tokens: Mapping[str, str], name: str) -> None:
        self._known = [(_digest(token), Principal(subject, name)) for subject, token in tokens.items()]

    async def authenticate(self, credentials: Credentials) -> Principal | Challenge | None:
        """As `decide`."""
        return self.decide(credentials)

    def decide(self, credentials: Credentials) -> Principal | Challenge | None:
        """The principal a token stands for (RFC 6750).

        A request without a bearer token is challenged; one with another scheme is not ours.
        """
        header = credentials.headers.get("authorization")
        if header is None:
            return Challenge(401, (("WWW-Authenticate", "Bearer"),), "missing")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            return None
        given = _digest(token.strip()[:MAX_LENGTH])
        found: Principal | None = None
        for known, principal in self._known:
            if hmac.compare_digest(known, given):
                found = principal
        if found is None:
            return Challenge(401, (("WWW-Authenticate", 'Bearer error="invalid_token"'),), "invalid_token")
        return found


Problems = list[tuple[str, str]]


def _read(path: Path, where: str, problems: Problems) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        problems.append((where, f"cannot read {path}: {why}"))
        return {}
    out: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        subject, _, token = (part.strip() for part in text.partition(":"))
        if not subject or not token:
            problems.append((where, f"line {number}: expected `subject:token`"))
        elif subject in out:
            problems.append((where, f"line {number}: subject {subject!r} stands twice"))
        else:
            _check(token, where, f"line {number}: ", problems)
            out[subject] = token
    return out


def _check(token: str, where: str, line: str, problems: Problems) -> None:
    if len(token) < MIN_LENGTH:
        problems.append((where, f"{line}a token needs at least {MIN_LENGTH} characters"))
    elif not _VISIBLE.fullmatch(token):
        # Anything else could not be sent in a header, so it would never be right.
        problems.append((where, f"{line}a token is visible ASCII without spaces"))


@asynccontextmanager
async def token_scheme(config: TokenConfig, host: Host) -> AsyncIterator[AuthScheme]:
    """Create the scheme.

    Raises:
        ConfigError: With every problem: no token, one that is too short, two subjects that share one, a bad
            line in the file.
    """
    where = f"auth.{host.name}"
    problems: Problems = []
    tokens = {subject: secret.reveal() for subject, secret in config.tokens.items()}
    for subject, token in tokens.items():
        _check(token, f"{where}.tokens.{subject}", "", problems)
    if config.file is not None:
        listed = _read(host.base / config.file, f"{where}.file", problems)
        problems += [
            (f"{where}.file", f"subject {subject!r} is in {where}.tokens too")
            for subject in listed.keys() & tokens.keys()
        ]
        tokens |= listed
    if not tokens and not problems:
        problems.append((where, "expected `tokens` or a `file` with at least one token"))
    if len(set(tokens.values())) < len(tokens):
        problems.append((where, "two subjects have the same token"))
    if problems:
        raise ConfigError(problems)
    yield Tokens(tokens, host.name)


TOKEN = Factory(
    name="token",
    summary="Static bearer tokens from config or file.",
    config=TokenConfig,
    create=token_scheme,
    posture="hardened",
)


@hookimpl
def gateway_auth_schemes() -> Sequence[Factory[TokenConfig, AuthScheme]]:
    """Offer the scheme."""
    return (TOKEN,)
