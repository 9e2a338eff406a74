"""What comes of an exchange."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from portico._core.contracts.exchange import Era
from portico._core.contracts.json import Json


class _Kind(msgspec.Struct):
    result_type: str | None = msgspec.field(default=None, name="resultType")


_kind_of = msgspec.json.Decoder(_Kind).decode


_decode = msgspec.json.Decoder().decode


_encode = msgspec.json.Encoder().encode


class Result:
    """The result of an exchange. Bytes from an upstream stay the same bytes unless somebody changes `value`.

    Args:
        raw: The JSON text of the `result` member, byte-exact; or None when `value` is given.
        value: The result as a JSON object.
        era: The era whose shape it has. The kernel shapes it for the client.

    Attributes:
        shaped: JSON text the kernel itself has made for this client. As long as that is `raw`, it stays.
    """

    __slots__ = ("_kind", "_raw", "_value", "era", "shaped")

    def __init__(self, raw: bytes | None = None, value: Json | None = None, era: Era = Era.MODERN) -> None:
        self._raw = raw
        self._value = value
        self._kind: str | None = None
        self.era = era
        self.shaped: bytes | None = None

    @property
    def kind(self) -> str:
        """`resultType`: "complete" (also when absent), "input_required", or an extension's value."""
        kind = self._kind
        if kind is None:
            try:
                kind = (
                    self._value.get("resultType") if self._value else _kind_of(self._raw or b"{}").result_type
                )
            except msgspec.ValidationError:
                kind = "invalid"
            kind = self._kind = kind or "complete"
        return kind

    @property
    def value(self) -> Json:
        """The decoded object; read only. Assign a new one to change it."""
        if self._value is None:
            self._value = _decode(self._raw or b"{}")
        return self._value

    @value.setter
    def value(self, value: Json) -> None:
        self._value, self._raw, self._kind = value, None, None

    @property
    def raw(self) -> bytes:
        """The JSON text."""
        if self._raw is None:
            self._raw = _encode(self._value or {})
        return self._raw


def input_required(requests: Mapping[str, Json], state: str | None = None) -> Result:
    """The answer of code that does not keep its place: ask these, then send the same request again.

    Args:
        requests: Key -> `{"method", "params"}`; elicitation, sampling or roots.
        state: Opaque; comes back in `params["requestState"]`.
    """
    value: Json = {"resultType": "input_required", "inputRequests": dict(requests)}
    if state is not None:
        value["requestState"] = state
    return Result(value=value)
