"""Logs: one event is one line on stderr, JSON or for people, with secrets and control characters taken out.

Imported late: structlog takes a while to load and most commands log nothing.
"""

from __future__ import annotations

import datetime
import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any, Final, Literal

import msgspec

from portico._core.contracts.config import Secret
from portico._core.contracts.log import Log
from portico._host.logs.bare_structlog import structlog

Format = Literal["auto", "console", "json"]
Level = Literal["debug", "info", "warning", "error"]
Facts = MutableMapping[str, Any]

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_HIDDEN: Final = "***"
_LIMIT: Final = 8192
_DEPTH: Final = 6

_SECRET_KEY: Final = re.compile(
    r"authori[sz]ation|cookie|token|passw|secret|credential|api[-_]?key|private[-_]?key|session[-_]?id|\bkey\b",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = (
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{4,}", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*(?=@)"), _HIDDEN),
    (
        re.compile(
            r"([?&][^=&\s]*(?:token|key|secret|passw|code|signature)[^=&\s]*=)[^&\s\"']+", re.IGNORECASE
        ),
        rf"\1{_HIDDEN}",
    ),
)
# What could begin a line, move the cursor or reorder the text: C0, DEL, C1, line separators, bidi controls.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31"}


def configure(format: Format = "auto", level: Level = "info", **facts: Any) -> None:  # noqa: A002
    """Set logging up for this process; the standard library's goes the same way, from `warning` on.

    Args:
        format: `json`, `console`, or `auto` for `console` on a terminal and `json` elsewhere.
        level: The least severe events to write.
        facts: Added to each event.
    """
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *([partial(_also, facts)] if facts else []),
            _timed,
            _traced,
            _redacted,
            _console if console else _json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: _Stderr(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(max(_LEVELS[level], logging.WARNING) if level != "debug" else logging.INFO)


def logger(**bound: Any) -> Log:
    """A logger that adds these facts to every event."""
    if not structlog.is_configured():
        configure()
    log: Log = structlog.get_logger().bind(**bound)
    return log


def in_json() -> bool:
    """Whether events are written as JSON."""
    return _json in structlog.get_config()["processors"]


def rendered(level: Level, event: str, **facts: Any) -> str:
    """The line an event makes."""
    made: Any = {**facts, "event": event}
    for process in structlog.get_config()["processors"]:
        made = process(None, level, made)
    return str(made)


def stamp(seconds: float | None = None) -> str:
    """A point in time (now) as it stands in a line: UTC, with milliseconds."""
    utc = datetime.UTC
    at = datetime.datetime.now(utc) if seconds is None else datetime.datetime.fromtimestamp(seconds, utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Stderr:
    """Writes to whatever stderr is at the time; a reader that went away costs no one a request."""

    def msg(self, line: str) -> None:
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = msg


class _Bridge(logging.Handler):
    """Takes in what libraries log with the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next(
            (name for name, number in reversed(_LEVELS.items()) if record.levelno >= number), "debug"
        )
        getattr(logger(logger=record.name), level)(record.getMessage(), exc_info=record.exc_info or None)


def _also(more: Mapping[str, Any], _: Any, __: str, facts: Facts) -> Facts:
    return {**facts, **more}


def _timed(_: Any, __: str, facts: Facts) -> Facts:
    return {
        "time": stamp(),
        "level": facts.pop("level"),
        "event": facts.pop("event"),
        **facts,
    }


def _traced(_: Any, __: str, facts: Facts) -> Facts:
    error = facts.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        facts["exception"] = "".join(traceback.format_exception(error))
    return facts


def _redacted(_: Any, __: str, facts: Facts) -> Facts:
    return {key: _HIDDEN if _SECRET_KEY.search(key) else scrub(value) for key, value in facts.items()}


def scrub(value: Any, depth: int = _DEPTH) -> Any:
    """A value as it may be logged: JSON types only, secrets replaced, texts cut at 8 KiB."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Secret):
        return _HIDDEN
    if depth > 0 and isinstance(value, Mapping):
        return {
            _text(key): _HIDDEN if _SECRET_KEY.search(_text(key)) else scrub(item, depth - 1)
            for key, item in value.items()
        }
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return [scrub(item, depth - 1) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    try:
        text = str(value)
    except Exception as exc:
        return f"<{type(value).__name__} without text: {type(exc).__name__}>"
    if len(text) > _LIMIT:
        text = f"{text[:_LIMIT]}... ({len(text)} characters)"
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text.encode("utf-8", "backslashreplace").decode()


def _escaped(match: re.Match[str]) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0], f"\\u{ord(match[0]):04x}")


def _json(_: Any, __: str, facts: Facts) -> str:
    # What JSON leaves as it is and a terminal or log viewer does not, only ever stands in strings.
    return _CONTROL.sub(_escaped, msgspec.json.encode(facts).decode())


def _console(_: Any, __: str, facts: Facts) -> str:
    level, event = facts.pop("level"), facts.pop("event")
    clock = facts.pop("time")[11:23]
    parts = [f"{key}={_word(value)}" for key, value in facts.items()]
    line = f"{clock} {level:<7} {_CONTROL.sub(_escaped, str(event))}"
    if sys.stderr.isatty():
        line = f"\x1b[2m{clock}\x1b[0m \x1b[{_COLOURS.get(level, '0')}m{level:<7}\x1b[0m {line[21:]}"
    return " ".join([line, *parts])


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    quoted = (
        msgspec.json.encode(text).decode()
        if isinstance(value, str) and re.search(r"[\s\"=]|^$", text)
        else text
    )
    return _CONTROL.sub(_escaped, quoted)
