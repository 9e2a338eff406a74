"""HTTP answers as results of tools."""

from __future__ import annotations

import base64
import codecs
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

import msgspec

from portico.api import Json, Result
from portico_plugins.http1 import Answer

from .config import Shape
from .file_names import file_name
from .paging import NextPage, next_page
from .payloads import kind_of
from .requests import Request
from .tools import Tool

_CHARSET: Final = re.compile(r"charset=\"?([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_STATUS: Final = "portico/httpStatus"
_encode = msgspec.json.Encoder().encode
_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BOM: Final = b"\xef\xbb\xbf"
_TOLD: Final = (
    ("Content-Type", b"content-type"),
    ("Content-Length", b"content-length"),
    ("ETag", b"etag"),
    ("Last-Modified", b"last-modified"),
    ("Link", b"link"),
)
"""Headers that the answer to a HEAD is about."""
_NO_CHARSETS: Final = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
"""Codecs of texts that are no character sets; one of them takes hours for what an answer may have."""
_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")
"""In JSON, line breaks are between tokens only; in a stream of messages they would end one."""

Faults = Callable[[Any], list[str]]
"""What is wrong with a structured answer, as of the tool's output schema."""


class WrongAnswer(ValueError):
    """The answer is none of what the document says; its text is a stable word."""


def result_of(
    answer: Answer,
    tool: Tool,
    request: Request,
    faults: Faults | None,
    most_error: int,
    page: NextPage | None = None,
) -> Result:
    """What a call gives.

    Args:
        answer: The whole answer.
        tool: The tool.
        request: The request it is the answer to.
        faults: Checks structured content; None where nothing is promised.
        most_error: How many characters of the body of an error to show.
        page: The next page, where the answer can no longer tell.

    Raises:
        WrongAnswer: It says that it is JSON and is not even nearly, or is a page where there should be JSON.
    """
    media_type = answer.headers.get(b"content-type", b"").decode("latin-1")
    if answer.status >= 400 or answer.status < 200:
        return _error(answer, media_type, most_error)
    meta: Json = {_STATUS: answer.status}
    name = media_type.partition(";")[0].strip().lower()
    if tool.method == "HEAD":
        return _finished([{"type": "text", "text": _head(answer, request)}], msgspec.UNSET, meta, faults)
    if not answer.body:
        return _finished([{"type": "text", "text": _links(answer, request)}], msgspec.UNSET, meta, faults)
    if tool.answers_json and name in ("text/html", "application/xhtml+xml"):
        raise WrongAnswer("wrong_content_type")
    if name and name != "text/plain" and kind_of(name) == "json":
        _as_utf8(answer, media_type)
        try:
            value = _decoded(answer.body)
        except _NOT_JSON:
            if not _nearly_json(answer.body):
                raise WrongAnswer("bad_json") from None
            text = {"type": "text", "text": answer.body.decode("utf-8", "replace")}
            hints = _hints(next_page(answer, None, tool, request), meta)
            return _finished([text, *hints], msgspec.UNSET, meta, faults)
        return _structured(answer, tool, request, value, meta, faults, page)
    content = _content(answer, name, media_type, tool)
    if content["type"] == "text" and tool.answers_json:
        try:
            return _structured(answer, tool, request, _decoded(answer.body), meta, faults, page)
        except _NOT_JSON:
            pass
    hints = _hints(next_page(answer, None, tool, request), meta)
    return _finished([content, *hints], msgspec.UNSET, meta, faults)


def shapable(answer: Answer, tool: Tool) -> tuple[Any] | None:
    """The JSON of an answer that is to be shaped, which errors are only if asked for; None for another.

    Raises:
        WrongAnswer: It is none, and there is no telling what it would give away.
    """
    if tool.shape is None or not answer.body or tool.method == "HEAD":
        return None
    fine = 200 <= answer.status < 400
    if not fine and not tool.shape.errors:
        return None
    media_type = answer.headers.get(b"content-type", b"").decode("latin-1")
    name = media_type.partition(";")[0].strip().lower()
    _as_utf8(answer, media_type)
    try:
        if not name or kind_of(name) in ("json", "text"):
            return (_decoded(answer.body),)
    except _NOT_JSON:
        if fine and name and kind_of(name) == "json":
            raise WrongAnswer("bad_json") from None
    if fine:
        raise WrongAnswer("wrong_content_type")
    return None


def misshapen(answer: Answer, shape: Shape, why: str) -> Result:
    """What a call gives whose answer could not be shaped."""
    program = shape.program if len(shape.program) <= 100 else f"{shape.program[:99]}…"
    said = f"The API has answered, but the {shape.language} program `{program}` failed: {why}"
    meta: Json = {_STATUS: answer.status}
    return Result(value={"content": [{"type": "text", "text": said}], "isError": True, "_meta": meta})


def broken_off(answer: Answer, why: str) -> Result:
    """What a call gives whose stream could not be taken to its end.

    Args:
        answer: With what had come of it.
        why: A stable word.
    """
    said = f"The API's answer could not be taken to its end ({why}). What had come of it:"
    content = [{"type": "text", "text": text} for text in (said, answer.body.decode("utf-8", "replace"))]
    return Result(value={"content": content, "isError": True, "_meta": {_STATUS: answer.status}})


def _decoded(body: bytes) -> Any:
    return msgspec.json.decode(body.removeprefix(_BOM))


def _nearly_json(body: bytes) -> bool:
    """Whether some libraries take it for JSON: with NaN, numbers like 1e400 or half a surrogate pair."""
    try:
        json.loads(body.removeprefix(_BOM).decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return False
    return True


def _as_utf8(answer: Answer, media_type: str) -> None:
    """Have JSON in UTF-8, whatever the answer says that it is in: some servers are older than RFC 8259."""
    charset = _charset(media_type)
    if charset in ("utf-8", "ascii"):
        return
    try:
        answer.body = answer.body.decode(charset).encode()
    except UnicodeError:
        return  # it is what it is


def _structured(
    answer: Answer,
    tool: Tool,
    request: Request,
    value: Any,
    meta: Json,
    faults: Faults | None,
    page: NextPage | None,
) -> Result:
    text = {"type": "text", "text": answer.body.decode("utf-8", "replace")}
    wrong = faults(value) if faults is not None else []
    if wrong:
        return _mismatch([text], wrong, meta)
    hints = _hints(page or next_page(answer, value, tool, request), meta)
    content = [text, *hints, *_created(answer, request)]
    return _finished(content, msgspec.Raw(answer.body.removeprefix(_BOM).translate(_ONE_LINE)), meta, None)


def _finished(content: list[Json], structured: Any, meta: Json, faults: Faults | None) -> Result:
    if faults is not None and structured is msgspec.UNSET:
        return _mismatch(content, ["there is no JSON in it"], meta)
    value: Json = {"content": content, "isError": False, "_meta": meta}
    if structured is not msgspec.UNSET:
        value["structuredContent"] = structured
    return Result(raw=_encode(value))


def _mismatch(content: list[Json], wrong: list[str], meta: Json) -> Result:
    said = "The answer is not what the tool's output schema promises: " + "; ".join(wrong)
    return Result(
        value={"content": [{"type": "text", "text": said}, *content], "isError": True, "_meta": meta}
    )


def _status_line(answer: Answer) -> str:
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP {answer.status} {phrase}".rstrip()


def _head(answer: Answer, request: Request) -> str:
    """What the head of an answer says, where there is nothing else."""
    told = [
        f"{name}: {value.decode('latin-1')}"
        for name, key in _TOLD
        if (value := answer.headers.get(key)) is not None
    ]
    return "\n".join([_status_line(answer), *told, *filter(None, [_links(answer, request)])])


def _error(answer: Answer, media_type: str, most: int) -> Result:
    lines = [_status_line(answer)]
    meta: Json = {_STATUS: answer.status}
    later = answer.headers.get(b"retry-after", b"").decode("latin-1")[:64]
    if later:
        lines.append(f"Retry-After: {later}")
        meta["portico/retryAfter"] = later
    if answer.body and most:
        name = media_type.partition(";")[0].strip().lower()
        if not name or kind_of(name) in ("json", "text", "form"):
            text = _text(answer.body[: most * 4], media_type)
            lines.append(text if len(text) <= most else f"{text[:most]}… ({len(answer.body)} bytes)")
        else:
            lines.append(f"({len(answer.body)} bytes of {name[:100]})")
    return Result(
        value={"content": [{"type": "text", "text": "\n".join(lines)}], "isError": True, "_meta": meta}
    )


def _content(answer: Answer, name: str, media_type: str, tool: Tool) -> Json:
    body = answer.body
    if name.startswith(("image/", "audio/")) and name != "image/svg+xml":
        kind = name.partition("/")[0]
        return {"type": kind, "data": base64.b64encode(body).decode(), "mimeType": name}
    if (
        name == "image/svg+xml"
        or (name and kind_of(name) in ("text", "form"))
        or (not name and _is_text(body))
    ):
        return {"type": "text", "text": _text(body, media_type)}
    file = quote(file_name(answer.headers.get(b"content-disposition", b"")), safe="") or "answer"
    blob = {"uri": f"rest://{tool.name}/{file}", "mimeType": name or "application/octet-stream"}
    return {"type": "resource", "resource": {**blob, "blob": base64.b64encode(body).decode()}}


def _is_text(body: bytes) -> bool:
    try:
        return "\x00" not in body.decode()
    except UnicodeDecodeError:
        return False


def _text(body: bytes, media_type: str) -> str:
    return body.decode(_charset(media_type), "replace")


def _charset(media_type: str) -> str:
    """The codec of a media type; UTF-8 where it says none, or none for texts."""
    said = _CHARSET.search(media_type)
    if said is None:
        return "utf-8"
    try:
        name = codecs.lookup(said[1]).name
        " ".encode(name)  # not all codecs are of texts
    except (LookupError, UnicodeError):
        return "utf-8"
    return "utf-8" if name in _NO_CHARSETS else name


def _hints(page: NextPage | None, meta: Json) -> list[Json]:
    """How to have the next page, for models as text, for programs beside it."""
    if page is None:
        return []
    if page.arguments:
        meta["portico/nextPage"] = page.arguments
    return [{"type": "text", "text": f"There is more: call again with {page.said}"}]


def _created(answer: Answer, request: Request) -> list[Json]:
    """A link to what was made, where the answer says where that is."""
    said = answer.headers.get(b"location", b"").decode("latin-1")
    if answer.status not in (201, 202) or not said:
        return []
    try:
        url = urljoin(request.origin + request.target, said)
        if urlsplit(url).scheme not in ("http", "https") or re.search(r"[\x00-\x20\x7f-\xff]", url):
            return []
    except ValueError:
        return []  # it was made, wherever that is
    return [{"type": "resource_link", "uri": url, "name": url.rstrip("/").rpartition("/")[2] or "created"}]


def _links(answer: Answer, request: Request) -> str:
    return "\n".join(str(link["uri"]) for link in _created(answer, request))
