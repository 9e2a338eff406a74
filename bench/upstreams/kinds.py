"""The kinds of upstreams: how each is set up, called through the gateway, and called without it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import attrs

from bench.load import Endpoint, Shape
from bench.machine import on_cores
from bench.measure import Plan
from bench.processes import CannotRun, end, inherited, stub_upstream

HEAD = """\
[gateway]
listen = ["127.0.0.1:{port}"]
log_level = "warning"

[servers.default]
upstreams = ["stub"]
prefix = "never"

[upstreams.stub]
"""
STDIO = [sys.executable, str(Path(__file__).with_name("stdio_stub.py"))]
"""The program of the stdio row."""
FRAMES = 100
"""Messages of a streamed answer."""


@attrs.frozen
class Row:
    """One way to call one kind of upstream.

    Attributes:
        what: What it is, for the report.
        era: Of the calls through the gateway.
        method: Of MCP.
        tool: The tool, prompt or URI.
        frames: Messages of progress a call is answered with.
        argument: What the text is called.
        inside: The argument that has the text in it; see `load.Endpoint`.
        native: The direct side is the C load generator, in this era (or `plain`, or `agent`), at this path.
        lean: The direct side is `lean.py`, of this kind.
    """

    what: str
    era: str = "modern"
    method: str = "tools/call"
    tool: str = "echo"
    frames: int = 0
    argument: str = "text"
    inside: str = ""
    native: tuple[str, str] | None = None
    lean: str = ""

    def shape(self, connections: int) -> Shape:
        """What is asked of the gateway."""
        return Shape(self.era, self.method, connections, frames=self.frames)

    @property
    def endpoint(self) -> Endpoint:
        """What it is called there."""
        return Endpoint(tool=self.tool, argument=self.argument, inside=self.inside)


@attrs.frozen
class Kind:
    """One kind of upstream.

    Attributes:
        name: What `--only` calls it.
        config: Its table, below `HEAD`; `{upstream}` is the stub's port.
        rows: The ways it is called.
        stub: Starts the stub; gives its port and what `lean.py` is told for a place.
        needs: A module without which it is left out, and how to get it.
    """

    name: str
    config: str
    rows: tuple[Row, ...]
    stub: Callable[[Plan], AbstractContextManager[tuple[int, str]]]
    needs: tuple[str, str] | None = None

    @property
    def missing(self) -> str:
        """What to install before it can be measured; "" for nothing."""
        if self.needs is None or find_spec(self.needs[0]) is not None:
            return ""
        return self.needs[1]


@contextmanager
def native_stub(plan: Plan) -> Iterator[tuple[int, str]]:
    """The stub in C."""
    with stub_upstream(plan.tools, plan.cores.stub) as running:
        yield running.port, ""


@contextmanager
def no_stub(plan: Plan) -> Iterator[tuple[int, str]]:
    """Nothing: the gateway has it itself, or starts it."""
    yield 0, shlex.join(STDIO)


@contextmanager
def grpc_stub(plan: Plan) -> Iterator[tuple[int, str]]:
    """The gRPC server, a process of its own."""
    with _program(plan, "bench.upstreams.grpc_stub") as port:
        yield port, f"127.0.0.1:{port}"


@contextmanager
def a2a_stub(plan: Plan) -> Iterator[tuple[int, str]]:
    """The A2A agent, a process of its own."""
    with _program(plan, "bench.upstreams.a2a_stub") as port:
        yield port, f"127.0.0.1:{port}"


@contextmanager
def _program(plan: Plan, module: str) -> Iterator[int]:
    with on_cores(plan.cores.stub):
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=inherited(),
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise CannotRun(f"{module} did not start")
        yield int(json.loads(line)["port"])
    finally:
        end(process)


KINDS = (
    Kind(
        "mcp",
        'use = "mcp"\nurl = "http://127.0.0.1:{upstream}/mcp"\n',
        (
            Row("MCP over HTTP, modern", native=("modern", "/mcp")),
            Row("MCP over HTTP, legacy", era="legacy", native=("legacy", "/mcp")),
        ),
        native_stub,
    ),
    Kind(
        "stdio",
        f'use = "mcp"\nshared = true\ncommand = {json.dumps(STDIO)}\n',
        (Row("MCP over stdio, legacy", era="legacy", lean="stdio"),),
        no_stub,
    ),
    Kind(
        "rest",
        'use = "rest"\nbase_url = "http://127.0.0.1:{upstream}"\n'
        '[upstreams.stub.tools.echo]\nmethod = "POST"\npath = "/plain"\n'
        'body = {{ type = "object", properties = {{ text = {{ type = "string" }} }} }}\n',
        (Row("REST, POST of JSON", inside="body", native=("plain", "/plain")),),
        native_stub,
    ),
    Kind(
        "a2a",
        'use = "a2a"\nurl = "http://127.0.0.1:{upstream}/agent"\n',
        (Row("A2A, SendMessage", tool="send", argument="message", native=("agent", "/agent")),),
        native_stub,
        ("a2a", "pip install 'portico[a2a]'"),
    ),
    Kind(
        "grpc",
        'use = "grpc"\nurl = "grpc://127.0.0.1:{upstream}"\nnames = "method"\n',
        (
            Row("gRPC, unary", lean="grpc"),
            Row(f"gRPC, stream of {FRAMES}", tool="count", frames=FRAMES, lean="grpc"),
        ),
        grpc_stub,
        ("grpc_reflection", "pip install 'portico[grpc]'"),
    ),
    Kind(
        "a2a-stream",
        'use = "a2a"\nurl = "http://127.0.0.1:{upstream}"\n',
        (Row("A2A, stream of 4 events", tool="send", inside="data", lean="a2a"),),
        a2a_stub,
        ("a2a", "pip install 'portico[a2a]'"),
    ),
    Kind(
        "local",
        'use = "local"\n'
        '[upstreams.stub.prompts.echo]\ntemplate = "{{{{ text }}}}"\narguments = [{{ name = "text" }}]\n'
        '[upstreams.stub.resources.memo]\nuri = "memo://memo"\ntext = "A memo of a few words."\n',
        (
            Row("local, prompts/get", method="prompts/get"),
            Row("local, resources/read", method="resources/read", tool="memo://memo"),
        ),
        no_stub,
    ),
)
