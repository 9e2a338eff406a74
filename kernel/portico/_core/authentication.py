"""Auth schemes compiled into one function, where none of them needs I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from portico._core.contracts.auth import AuthScheme, Challenge, Credentials, Principal


def decider(
    schemes: Sequence[tuple[str, AuthScheme]],
) -> Callable[[Credentials], Principal | Challenge] | None:
    """The schemes' own `decide`, compiled into one function; None where one has none."""
    found = [getattr(scheme, "decide", None) for _, scheme in schemes]
    if not found or not all(found):
        return None
    decides: list[Callable[[Credentials], Principal | Challenge | None]] = [each for each in found if each]

    def decide(credentials: Credentials) -> Principal | Challenge:
        challenge: Challenge | None = None
        for each in decides:
            verdict = each(credentials)
            if isinstance(verdict, Principal):
                return verdict
            challenge = challenge or verdict
        return challenge or Challenge(reason="no_scheme")

    return decide
