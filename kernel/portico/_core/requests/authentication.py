"""Who is calling: auth schemes, asked one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from portico._core.contracts.auth import AuthScheme, Challenge, Credentials, Principal
from portico._core.contracts.log import Log

Verdict = Principal | Challenge | None


class Schemes:
    """The auth schemes of one door: the first that knows a credential says whose it is.

    A scheme that fails with an exception is a refusal, never a pass.

    Args:
        schemes: By name, in the order in which they are asked.
        log: For those that fail.

    Attributes:
        schemes: Those it was given.
    """

    def __init__(self, schemes: Sequence[tuple[str, AuthScheme]], log: Log) -> None:
        self.schemes = schemes
        self._log = log
        decides: list[tuple[str, Callable[[Credentials], Verdict] | None]] = [
            (name, getattr(scheme, "decide", None)) for name, scheme in schemes
        ]
        found = [(name, decide) for name, decide in decides if decide is not None]
        self._decides = found if found and len(found) == len(schemes) else None

    async def authenticate(self, credentials: Credentials) -> Principal | Challenge:
        """Who is calling."""
        challenge: Challenge | None = None
        for name, scheme in self.schemes:
            try:
                verdict = await scheme.authenticate(credentials)
            except Exception as error:  # fail closed, whatever the plugin did
                return self._failed(name, error)
            if isinstance(verdict, Principal):
                return verdict
            challenge = challenge or verdict
        return challenge or Challenge(reason="no_scheme")

    def recognise(self, credentials: Credentials) -> Verdict:
        """The same at once, where every scheme can do without I/O; None where one cannot."""
        if self._decides is None:
            return None
        challenge: Challenge | None = None
        for name, decide in self._decides:
            try:
                verdict = decide(credentials)
            except Exception as error:  # fail closed, as above
                return self._failed(name, error)
            if isinstance(verdict, Principal):
                return verdict
            challenge = challenge or verdict
        return challenge or Challenge(reason="no_scheme")

    def _failed(self, name: str, error: Exception) -> Challenge:
        self._log.error("auth.failed", scheme=name, error=repr(error))
        return Challenge(reason="auth_error")
