"""Which media types a client takes, and what it is told in others as what it takes (A2A 3.2.2).

JSON and text can be had as each other, and a link as text. Of a file that a client does not take, it is told
that it is left out: what the tool has done is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs
import msgspec
from a2a.types import Part, SendMessageConfiguration
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError

from portico_plugins.transports.a2a.values import data_part, json_of, text_part

OUTPUT_MODES: Final = ("application/json", "text/plain")
"""What every result can be had as."""

_JSON, _TEXT = OUTPUT_MODES
_encode = msgspec.json.Encoder(order="sorted").encode
_MOST: Final = 64
_LONGEST: Final = 255


@attrs.frozen
class Modes:
    """What a client takes.

    Attributes:
        named: Media types and ranges (`text/*`), in lower case; none for whatever there is.
    """

    named: frozenset[str] = frozenset()

    def take(self, media: str) -> bool:
        """Whether a media type, in lower case and without parameters, is among them."""
        kind = media.partition("/")[0]
        return not self.named or not self.named.isdisjoint((media, f"{kind}/*", "*/*"))


ANY: Final = Modes()


def modes_of(configuration: SendMessageConfiguration) -> Modes:
    """What a client says that it takes.

    Raises:
        ContentTypeNotSupportedError: Nothing that the agent can say.
        InvalidParamsError: More than anybody has reason to.
    """
    said = configuration.accepted_output_modes
    if not said:
        return ANY
    if len(said) > _MOST or any(len(each) > _LONGEST for each in said):
        raise InvalidParamsError(f"acceptedOutputModes are more than {_MOST}, or longer than {_LONGEST}")
    # Clients written after the first samples say `text` for all of it.
    names = (_plain(each) for each in said)
    modes = Modes(frozenset(name if "/" in name else f"{name}/*" for name in names))
    if not any(modes.take(each) for each in OUTPUT_MODES):
        raise ContentTypeNotSupportedError(
            f"Results come as {' or '.join(OUTPUT_MODES)}: none of the accepted output modes is one of these"
        )
    return modes


def fitted(parts: Iterable[Part], modes: Modes) -> list[Part]:
    """Parts as a client takes them; what would then be there twice is there once."""
    given = list(parts)
    taken = [modes.take(_media_of(part)) for part in given]
    if all(taken):
        return given
    there = [_value_of(part) for part, fits in zip(given, taken, strict=True) if fits]
    made: list[Part] = []
    for part, fits in zip(given, taken, strict=True):
        value = None if fits else _value_of(part)
        if fits:
            made.append(part)
        elif value not in there:
            made.append(_as(part, value, modes))
    return made


def _media_of(part: Part) -> str:
    """The media type of a part; a link to something unknown is text."""
    return _plain(part.media_type) or (_JSON if part.HasField("data") else _TEXT)


def _plain(media: str) -> str:
    return media.partition(";")[0].strip().lower()


def _value_of(part: Part) -> Any:
    """What a part says, as JSON."""
    match part.WhichOneof("content"):
        case "data":
            return json_of(part.data)
        case "text":
            try:
                found = msgspec.json.decode(part.text)
            except msgspec.DecodeError:
                return part.text
            return found if isinstance(found, dict | list) else part.text
        case "url":
            return part.url
        case _:
            what = part.filename or "a file"
            return f"Left out: {what}, as {_media_of(part)} is none of the accepted output modes"


def _as(part: Part, value: Any, modes: Modes) -> Part:
    """What a part says, as text if that is taken, else as JSON."""
    if not modes.take(_TEXT):
        made = data_part(value)
    elif part.HasField("text"):
        made = text_part(part.text)
    else:
        # Maps of protobuf have no order of their own.
        said = value if isinstance(value, str) else _encode(value).decode()
        made = text_part(said)
    if part.HasField("metadata"):
        made.metadata.CopyFrom(part.metadata)
    made.filename = part.filename
    return made
