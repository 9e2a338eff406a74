from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

def test_a():
    pytest.skip("nothing to test with")

@pytest.mark.skip(reason="switched off")
def test_b():
    raise AssertionError

def test_c():
    pass
"""
MODULE = 'import pytest\npytest.importorskip("no_such_module")\n'


@pytest.mark.parametrize(
    ("strict", "status", "words"),
    [
        ("1", 1, ["nothing to test with", "switched off", "no_such_module", "1 failed, 1 passed, 2 errors"]),
        ("", 0, ["1 passed", "3 skipped"]),
    ],
)
def test_a_skip_is_a_failure_where_that_is_asked_for(
    strict: str, status: int, words: list[str], tmp_path: Path
) -> None:
    shutil.copy(Path(__file__).parents[1] / "conftest.py", tmp_path)
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "test_module.py").write_text(MODULE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PORTICO_STRICT": strict},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    assert [word for word in words if word not in done.stdout] == []
