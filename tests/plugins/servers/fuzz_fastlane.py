"""Fuzz the fast lane's reading of requests against h11.

`python -m tests.plugins.servers.fuzz_fastlane --seconds 60`; needs `atheris`. An input that the two read
differently ends the run with a traceback and is written to a `crash-*` file in the current folder.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Run libFuzzer for a while."""
    atheris: Any = import_module("atheris")
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    arguments, rest = parser.parse_known_args()
    with atheris.instrument_imports(
        include=[
            "h11",
            "portico_plugins.servers.hypercorn.head",
            "portico_plugins.servers.hypercorn.incoming",
            "portico_plugins.servers.hypercorn.known",
        ]
    ):
        from tests.plugins.servers.oracle import FRAGMENTS, cut, disagreement

    def one_input(data: bytes) -> None:
        places, rest = data[:4], data[4:]
        parts: list[bytes] = []
        at = 0
        while at < len(rest):
            code = rest[at]
            if code < len(FRAGMENTS):
                parts.append(FRAGMENTS[code])
            elif code < 128:
                at += 1
                parts.append(rest[at : at + 1])
            else:
                parts.append(rest[at + 1 : at + 1 + code - 128])
                at += code - 128
            at += 1
        raw = b"".join(parts)
        problem = disagreement(cut(raw, (place * 7 for place in places)))
        if problem:
            raise AssertionError(f"{raw!r}: {problem}")

    atheris.Setup([sys.argv[0], f"-max_total_time={arguments.seconds}", "-max_len=200", *rest], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
