"""Secrets in records: sealed before they are written, opened when settings are made of them, never shown."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import attrs

from portico._config.masking import SEALED, covered
from portico._config.sources import LookUp
from portico._config.tables import GatewaySettings
from portico._config.wording import Place, dotted
from portico._core.contracts.config import Secret
from portico._core.contracts.json import Json
from portico._core.contracts.records import Record
from portico._core.errors import ConfigError
from portico._core.keyring import FILE_KEY, Keyring, Unopenable, file_key

Key = tuple[str, str]


class Secrets:
    """What seals and opens.

    Args:
        gateway: The settings that name the keys.
        state: The folder of the key that is made where none is named.
    """

    def __init__(self, gateway: GatewaySettings, state: Path) -> None:
        self._keys = {name: key.reveal().encode() for name, key in gateway.encryption_keys.items()}
        self._state = state

    @cached_property
    def _ring(self) -> Keyring:
        return Keyring(self._keys or {FILE_KEY: file_key(self._state / "key")})

    def look_up(self, records: Mapping[Key, Record]) -> LookUp:
        """What `${secret:NAME}` and `${sealed:...}` in records stand for."""

        def found(scheme: str, rest: str, place: Place) -> str:
            if scheme == "sealed":
                return self._opened(rest, place)
            if scheme != "secret":
                text = f"${{{scheme}:...}} is for the configuration file; here there is ${{secret:NAME}}"
                raise LookupError(text)
            record = records.get(("secrets", rest))
            if record is None:
                raise LookupError(f"there is no secret {rest!r}")
            match = SEALED.fullmatch(str(record.config.get("value")))
            if match is None:
                raise LookupError(f"the secret {rest!r} is not sealed")
            return self._opened(match[1], ("secrets", rest, "value"))

        return found

    def _opened(self, sealed: str, place: Place) -> str:
        try:
            return self._ring.open(sealed, dotted(place))
        except Unopenable as error:
            raise LookupError(f"this secret cannot be opened: {error}") from None

    def sealing(self, kind: str, name: str, config: Json, typed: object) -> Json:
        """A record's config with each secret in it sealed; what is sealed already stays.

        Args:
            kind: Of the record.
            name: Of the record.
            config: As its author wrote it.
            typed: What was made of it, which tells what is a secret.
        """
        marks: object = {"value": Secret("")} if kind == "secrets" else typed
        sealed: Json = covered(config, marks, self._seal, (kind, name))
        return sealed

    def _seal(self, text: str, place: Place) -> str:
        if SEALED.fullmatch(text):
            return text
        return f"${{sealed:{self._ring.seal(text, dotted(place))}}}"

    def rotated(self, record: Record) -> Json:
        """A record's config with every secret under the current key.

        Raises:
            Unopenable: One of them cannot be opened.
        """

        def rewrap(text: str, place: Place) -> str:
            match = SEALED.fullmatch(text)
            return text if match is None else f"${{sealed:{self._ring.rewrapped(match[1], dotted(place))}}}"

        fresh: Json = covered(record.config, None, rewrap, (record.kind, record.name))
        return fresh


def rotate(secrets: Secrets, records: Mapping[Key, Record]) -> list[Record]:
    """The records that change when every secret is put under the current key.

    Raises:
        ConfigError: Secrets cannot be opened; names the record of each.
    """
    out = []
    lost: list[tuple[str, str]] = []
    for record in records.values():
        try:
            config = secrets.rotated(record)
        except Unopenable as error:
            lost.append((f"{record.kind}.{record.name}", f"has a secret that cannot be opened: {error}"))
            continue
        if config != record.config:
            out.append(attrs.evolve(record, config=config))
    if lost:
        raise ConfigError(lost, "the secrets")
    return out
