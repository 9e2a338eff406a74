"""A plugin of another distribution is found and used: portico-yaml."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

GATEWAY = Path(sys.executable).parent / "gateway"


def gateway(*words: str) -> subprocess.CompletedProcess[str]:
    command = [GATEWAY, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_yaml_configuration_is_checked_like_any_other(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("gateway:\n  listne: ['127.0.0.1:4444']\n")
    report = json.loads(gateway("check", "--config", str(config), "--json").stdout)
    (problem,) = report["problems"]
    assert problem["path"] == "gateway.listne"
    assert "did you mean 'listen'" in problem["message"]


def test_a_yaml_mistake_is_reported_with_its_line(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("gateway:\n  listen: [\n")
    done = gateway("check", "--config", str(config))
    assert done.returncode == 2
    assert "line 3" in done.stderr


def test_without_the_plugin_the_message_says_what_is_missing(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("gateway: {}\n")
    done = gateway("check", "--config", str(config), "--plugins=no:yaml")
    assert done.returncode == 2
    assert "'yaml' (portico-yaml 0.1.0) is disabled" in done.stderr
