from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from portico._host.logs import log
from portico._host.logs.log import scrub
from portico.api import Secret


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def one(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    [line] = lines(capsys)
    event: dict[str, Any] = json.loads(line)
    return event


def test_an_event_is_one_json_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json")
    log.logger(component="upstreams.time").info(
        "call.finished", method="tools/call", ms=1.5, ids=(1, 2), none=None
    )
    event = one(capsys)
    assert event.pop("time").endswith("Z")
    assert list(event.items()) == [
        ("level", "info"),
        ("event", "call.finished"),
        ("component", "upstreams.time"),
        ("method", "tools/call"),
        ("ms", 1.5),
        ("ids", [1, 2]),
        ("none", None),
    ]


def test_events_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "warning")
    logger = log.logger()
    logger.info("no")
    logger.warning("yes")
    assert one(capsys)["event"] == "yes"


def test_off_a_terminal_the_automatic_format_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("auto")
    log.logger().info("x")
    assert one(capsys)["event"] == "x"


def test_a_console_line_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("console")
    log.logger().warning("upstream.degraded", upstream="time", reason="connection refused", empty="", n=3)
    [line] = lines(capsys)
    assert line[13:] == 'warning upstream.degraded upstream=time reason="connection refused" empty="" n=3'


@pytest.mark.parametrize(
    "key",
    [
        "authorization",
        "Proxy-Authorization",
        "set_cookie",
        "access_token",
        "password",
        "client_secret",
        "api_key",
        "x-api-key",
        "apikey",
        "credentials",
        "private_key",
        "mcp-session-id",
    ],
)
def test_facts_that_are_secret_by_name_are_hidden_at_any_depth(
    capsys: pytest.CaptureFixture[str], key: str
) -> None:
    log.configure("json")
    log.logger().info("x", **{key: "hunter2"}, headers={"a": [{key: "hunter2"}]})
    [line] = lines(capsys)
    assert "hunter2" not in line
    assert json.loads(line)[key] == "***"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization was Bearer hunter2hunter2",
        "basic aHVudGVyMmh1bnRlcjI=",
        "postgresql://me:hunter2@db/x failed",
        "GET https://h/mcp?a=1&access_token=hunter2&b=2",
        "https://h/?api_key=hunter2",
    ],
)
@pytest.mark.parametrize("format_", ["json", "console"])
def test_secrets_inside_texts_are_hidden(capsys: pytest.CaptureFixture[str], text: str, format_: Any) -> None:
    log.configure(format_)
    try:
        raise OSError(text)
    except OSError as exc:
        log.logger().error(text, reason=text, error=exc, exc_info=True)
    [line] = lines(capsys)
    assert "hunter2" not in line
    assert "aHVudGVy" not in line
    assert "***" in line


def test_configured_secrets_are_hidden_wherever_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json")
    log.logger().info("x", config={"deep": [Secret("hunter2")]}, plain=Secret("hunter2"))
    event = one(capsys)
    assert (event["config"], event["plain"]) == ({"deep": ["***"]}, "***")


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize(
    "control", ["\n", "\r\n", "\x1b[2J", "\x00", "\x7f", "\x9b", "\u2028", "\u202e", "\ud800"]
)
def test_an_event_is_one_line_whatever_is_in_it(
    capsys: pytest.CaptureFixture[str], format_: Any, control: str
) -> None:
    log.configure(format_)
    log.logger().info(f"a{control}b", name=f"c{control}level=error event=forged", table={control: control})
    out = capsys.readouterr().err
    assert out.count("\n") == 1
    assert not any(char in out.removesuffix("\n") for char in control if char not in "[2J")
    if format_ == "json":
        assert json.loads(out)["event"].startswith("a")


def test_an_exception_is_one_line_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json")
    try:
        raise KeyError("oops")
    except KeyError as exc:
        exc.add_note("in policy 'x'")
        log.logger().error("crashed", exc_info=exc)
    trace = one(capsys)["exception"]
    assert "KeyError: 'oops'" in trace
    assert "in policy 'x'" in trace


def test_libraries_that_log_the_standard_way_come_out_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json")
    log.configure("json")  # a second time adds no second copy
    logging.getLogger("some.library").warning("token=%s %s", 1, "Bearer hunter2hunter2")
    logging.getLogger("some.library").info("chatter")
    event = one(capsys)
    assert (event["logger"], event["level"], event["event"]) == (
        "some.library",
        "warning",
        "token=1 Bearer ***",
    )


def test_logging_never_raises(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    loop: list[Any] = []
    loop.append(loop)
    log.configure("json")
    log.logger().info("x", odd=Odd(), loop=loop, big=1 << 80, nan=float("nan"), raw=b"\xff")
    event = one(capsys)
    assert event["odd"] == "<Odd without text: RuntimeError>"
    assert event["big"] in (1 << 80, str(1 << 80))

    class Gone:
        def write(self, _: str) -> None:
            raise BrokenPipeError

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr("sys.stderr", Gone())
    log.logger().info("into the void")


def test_very_long_texts_are_cut() -> None:
    cut = scrub("x" * 100_000)
    assert len(cut) < 10_000
    assert cut.endswith("(100000 characters)")
