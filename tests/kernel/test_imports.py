"""`import portico.api` is what every plugin pays for: it must stay light."""

from __future__ import annotations

import json
import subprocess
import sys

import portico.api

HEAVY = {
    "aiohttp",
    "authlib",
    "cattrs",
    "click",
    "hypercorn",
    "mcp",
    "portico_plugins",
    "pydantic",
    "sqlmodel",
    "starlette",
    "structlog",
}


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_finding_plugins_does_not_load_what_they_are_configured_with() -> None:
    code = (
        "import json, sys; from portico._config.discovery import discover; discover();"
        "print(json.dumps([name for name in sys.modules if name.startswith('portico_plugins.')]))"
    )
    loaded = json.loads(fresh(code))
    assert "portico_plugins.upstreams.rest" in loaded
    assert [name for name in loaded if name.endswith(".config")] == []


def test_importing_the_public_api_loads_nothing_heavy() -> None:
    loaded = json.loads(fresh("import json, sys, portico.api; print(json.dumps(sorted(sys.modules)))"))
    assert "portico.api" in loaded
    assert HEAVY & set(loaded) == set()


def test_importing_the_public_api_is_quick() -> None:
    # Processor time of the import alone, the best of three: the machine may be busy with other tests.
    code = "import time; t = time.process_time(); import portico.api; print(time.process_time() - t)"
    assert min(float(fresh(code)) for _ in range(3)) < 0.15


def test_discovering_plugins_reads_no_configuration_machinery() -> None:
    code = "import sys, portico._config.discovery; print('cattrs' in sys.modules, 'structlog' in sys.modules)"
    assert fresh(code).split() == ["False", "False"]


def test_everything_the_public_api_names_is_there_once() -> None:
    assert len(portico.api.__all__) == len(set(portico.api.__all__))
    assert [name for name in portico.api.__all__ if not hasattr(portico.api, name)] == []
    assert {"hookimpl", "API_VERSION", "Factory", "Host", "Refused", "SseParser", "judge"} <= set(
        portico.api.__all__
    )
