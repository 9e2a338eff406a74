"""The configurations that come with the project have no problems."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDED = {"CLERK_URL": "http://127.0.0.1:1", "LAB_SECRET": "s" * 32}
"""What examples take from the environment."""


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_an_example_has_no_problems(path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "portico", "check", "--config", path],
        env=os.environ | NEEDED, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
