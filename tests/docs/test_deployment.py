from __future__ import annotations

import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from portico._config.discovery import discover
from portico._config.settings import load, read
from tests.docs.commands import GATEWAY, ROOT

Instructions = list[tuple[str, str]]


@pytest.fixture
def final_stage() -> Instructions:
    """The instructions of the image's last stage, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    instructions = [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]
    last = max(index for index, (word, _) in enumerate(instructions) if word == "FROM")
    return instructions[last:]


def only(instructions: Instructions, word: str) -> str:
    (value,) = [rest for name, rest in instructions if name == word]
    return value


def test_the_image_runs_as_an_ordinary_user(final_stage: Instructions) -> None:
    user, _, group = only(final_stage, "USER").partition(":")
    assert int(user) >= 10_000  # by number, so that runAsNonRoot can be checked
    assert int(group) >= 10_000


def test_the_image_has_only_what_the_build_installed(final_stage: Instructions) -> None:
    copies = [rest for word, rest in final_stage if word == "COPY"]
    assert copies == ["--from=build /opt/portico /opt/portico"]
    assert "pip" not in " ".join(rest for word, rest in final_stage if word == "RUN")


def test_the_image_writes_nothing(final_stage: Instructions) -> None:
    variables = dict(word.split("=", 1) for word in shlex.split(only(final_stage, "ENV")))
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert variables["PORTICO_GATEWAY__STATE"] == "/var/lib/portico"
    assert [word for word, _ in final_stage if word == "VOLUME"] == []


def test_the_entry_point_is_a_command_line_the_gateway_takes(final_stage: Instructions) -> None:
    program, *words = yaml.safe_load(only(final_stage, "ENTRYPOINT"))
    assert [program, *words] == ["gateway", "serve", "--plugins"]
    done = subprocess.run([GATEWAY, *words, "--help"], capture_output=True, check=False)
    assert done.returncode == 0


def test_the_health_check_needs_nothing_but_python(final_stage: Instructions) -> None:
    options, _, command = only(final_stage, "HEALTHCHECK").partition("CMD ")
    program, flag, code = yaml.safe_load(command)
    assert (program, flag) == ("python", "-c")
    assert "/healthz" in code
    compile(code, "healthcheck", "exec")
    assert "--interval" in options


def test_the_images_environment_configures_the_gateway(final_stage: Instructions, tmp_path: Path) -> None:
    variables = dict(word.split("=", 1) for word in shlex.split(only(final_stage, "ENV")))
    config = tmp_path / "gateway.toml"
    config.write_text("")
    settings = load(read(config, discover()), discover(), variables)
    assert settings.gateway.listen == ("0.0.0.0:4444",)
    assert only(final_stage, "EXPOSE") == "4444"


@pytest.fixture
def service() -> dict[str, Any]:
    """The one service of the compose example."""
    (service,) = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))["services"].values()
    return service


def test_the_compose_example_takes_away_what_is_not_needed(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_compose_example_has_a_config_that_is_accepted(service: dict[str, Any], tmp_path: Path) -> None:
    mount, kept = service["volumes"]
    assert kept.split(":")[1] == "/var/lib/portico"
    config = ROOT / "deploy" / mount.split(":")[0]
    token = tmp_path / "gateway_token"
    token.write_text("0123456789abcdef")
    text = config.read_text("utf-8").replace("/run/secrets/gateway_token", str(token))
    assert str(token) in text
    copy = tmp_path / "gateway.toml"
    copy.write_text(text)
    settings = load(read(copy, discover()), discover(), {})
    assert settings.servers["default"].auth == ("people",)
    assert settings.gateway.drain_timeout < float(service["stop_grace_period"].removesuffix("s"))


def test_the_wheel_has_the_kernel_the_plugins_and_the_example_servers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {Path(package).name for package in packages} == {"portico", "portico_plugins", "portico_examples"}
