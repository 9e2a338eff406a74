"""Runs jq and JSONPath programs on JSON texts, in a process of its own that has nothing else in reach.

It is started as a script, with the standard library and the two libraries only. Before it takes anything, it
gives up opening files, sockets included; memory and processor time are limited, and its parent ends it when a
program takes too long. See `shaping.py`, which starts it.

A request is a head, the program and the JSON text; an answer is a head and a text.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from typing import Any, BinaryIO, Final

REQUEST: Final = struct.Struct(">BIIIB")
"""What to do, bytes of the program and of the text, most bytes of the answer, seconds of processor time."""
ANSWER: Final = struct.Struct(">BI")
"""How it went, bytes of what follows."""
JQ, JSONPATH, CHECK = 1, 2, 4
"""What to do: of what language the program is; with CHECK, whether it is one."""
FINE, WRONG, TOO_LARGE, NO_LIBRARY = 0, 1, 2, 3


class _TooLargeError(Exception):
    """More came than may."""


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _jq(program: str, text: str, most: int, check: bool) -> str:
    """Run a jq program: its one output, a list of several, null for none."""
    import jq

    compiled = jq.compile(program)
    if check:
        return ""
    out: list[str] = []
    size = 0
    for value in compiled.input_text(text):
        out.append(_written(value))
        size += len(out[-1]) + 1
        if size > most:
            raise _TooLargeError
    if len(out) == 1:
        return out[0]
    return f"[{','.join(out)}]" if out else "null"


def _jsonpath(program: str, text: str, most: int, check: bool) -> str:
    """Apply a JSONPath: a list of what it finds; of one that can find one thing only, that or null."""
    import jsonpath

    compiled = jsonpath.JSONPathEnvironment(strict=True).compile(program)
    if check:
        return ""
    found = [match.value for match in compiled.finditer(json.loads(text))]
    single = isinstance(compiled, jsonpath.JSONPath) and compiled.singular_query()
    return _written((found[0] if found else None) if single else found)


def _place(error: Exception) -> str:
    """What is wrong, in one line, and where."""
    token = getattr(error, "token", None)
    said = str(getattr(error, "message", "") or error).strip()
    if token is not None:
        path = str(token.path)
        at = token.index if 0 <= token.index <= len(path) else len(path)
        line = path.count("\n", 0, at) + 1
        return f"{said}, line {line}, column {at - path.rfind(chr(10), 0, at)}"
    said = said.splitlines()[0] if said else type(error).__name__
    if "error loading data file" in said or "module not found" in said:
        return "there are no modules"  # and no telling which files there are
    return said.removeprefix("jq: error: ").replace(" at <top-level>", "").rstrip(":")


def answered(kind: int, program: str, text: str, most: int) -> tuple[int, bytes]:
    """Do what a request asks for: how it went, and the text."""
    run = _jq if kind & JQ else _jsonpath
    try:
        out = run(program, text, most, bool(kind & CHECK)).encode("utf-8", "replace")
    except _TooLargeError:
        return TOO_LARGE, b""
    except ImportError:
        return NO_LIBRARY, b""
    except RecursionError:
        return WRONG, b"it is nested too deeply"
    except MemoryError:
        return WRONG, b"it takes too much memory"
    except Exception as error:
        return WRONG, _place(error).encode("utf-8", "replace")[:1000]
    return (FINE, out) if len(out) <= most else (TOO_LARGE, b"")


def _confine(memory: int) -> None:
    """Give up what no program needs."""
    import resource  # not on every system

    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),  # what is open stays open
    ):
        try:
            resource.setrlimit(what, (limit, limit))
        except (ValueError, OSError):
            continue  # not on this system


def _hurry(seconds: int) -> None:
    """Let the system end the process when it has worked for so long, should its parent be gone by then."""
    import resource

    try:
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds + 1, hard))
    except (ValueError, OSError):
        pass  # a lower limit than ours holds already


def _exactly(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise SystemExit(0)  # the gateway is gone, or needs it no more
    return data


def main() -> None:
    """Confine the process, say so, and answer requests until there are no more."""
    given = json.loads(sys.argv[1])
    sys.path[:] = given["path"]
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    for kind, program in ((JQ, "."), (JSONPATH, "$[?match(@.a, 'a')]")):
        answered(kind, program, '[{"a": "é"}]', 100)  # so that nothing is left to load
        answered(kind, "(", "null", 100)
    _confine(given["memory"])
    sink.write(ANSWER.pack(FINE, 0))
    sink.flush()
    while True:
        kind, program, text, most, seconds = REQUEST.unpack(_exactly(source, REQUEST.size))
        own = _exactly(source, program).decode("utf-8", "replace")
        body = _exactly(source, text).decode("utf-8", "replace")
        _hurry(seconds)
        how, out = answered(kind, own, body, most)
        del own, body
        sink.write(ANSWER.pack(how, len(out)) + out)
        sink.flush()


if __name__ == "__main__":
    main()
