from __future__ import annotations

import pytest

from bench.profile import Step, owner, shares

LOOP = "main (portico/cli/__init__.py:3);Runner.run (asyncio/runners.py:118);uv_run (core.c:1)"


@pytest.mark.parametrize(
    ("stack", "name"),
    [
        (LOOP, "the event loop, and what none of ours called"),
        (f"{LOOP};uv__read (stream.c:9)", "the event loop, and what none of ours called"),
        (f"{LOOP};Wire.write (a/wire.py:7);write (libc.so.6)", "Wire.write (a/wire.py)"),
        (f"{LOOP};f (a/b.py:7);__init__ (<attrs generated methods a.b.C>:2)", "__init__ (a.b.C)"),
        (f"{LOOP};f (a/b.py:7);g.<locals>.<listcomp> (a/b.py:8)", "g.<locals>.<listcomp> (a/b.py)"),
    ],
)
def test_what_c_code_costs_is_charged_to_who_called_it(stack: str, name: str) -> None:
    assert owner(stack.split(";")) == name


def test_samples_become_shares_of_what_a_call_costs() -> None:
    lines = [f"{LOOP};f (a.py:1) 3", f"{LOOP};f (a.py:2);g (b.py:1) 6", f"{LOOP};f (a.py:9) 3"]
    assert shares(lines, 40.0) == [Step("f (a.py)", 20.0), Step("g (b.py)", 20.0)]
