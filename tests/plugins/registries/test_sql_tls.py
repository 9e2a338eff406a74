"""The sql registry over TLS, with a certificate that is trusted, and with one that is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from portico.api import RegistryDown, Secret
from portico.testing import RecordingLog, make_host
from portico_plugins.registries.sql import SQL
from portico_plugins.registries.sql.config import SqlConfig
from tests.databases import MariaDB, shared
from tests.plugins.registries.kept import TABLES


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    return made


@asynccontextmanager
async def secure_postgresql(authority: trustme.CA, tmp_path: Path) -> AsyncIterator[str]:
    """A server that does TLS as PostgreSQL does, in front of one that was built without; gives the URL."""
    url = TABLES["postgresql"](tmp_path)["url"]
    plain = shared("postgresql").port
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            assert (await reader.readexactly(8))[4:] == (80877103).to_bytes(4, "big")  # SSLRequest
            writer.write(b"S")
            await writer.start_tls(context)
            to, fro = await asyncio.open_connection("127.0.0.1", plain)
            await asyncio.gather(copy(reader, fro), copy(to, writer))
        except (OSError, EOFError, AssertionError):
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield url.replace(f":{plain}/", f":{port}/")


@asynccontextmanager
async def secure_mariadb(authority: trustme.CA, tmp_path: Path) -> AsyncIterator[str]:
    """A server with a certificate; gives the URL."""
    if MariaDB.missing():
        pytest.skip(MariaDB.missing())
    server = MariaDB(tmp_path, durable=False)
    key, certificate = server.home / "key.pem", server.home / "certificate.pem"
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    if os.geteuid() == 0:
        os.chown(key, pwd.getpwnam("nobody").pw_uid, -1)
    server.options = [f"--ssl-cert={certificate}", f"--ssl-key={key}", "--require-secure-transport=on"]
    try:
        await server.start()
        url = await asyncio.to_thread(server.fresh)
        config = SqlConfig(url=Secret(url), tls="require")
        async with SQL.schema(config, "main", Path(), Path()) as schema:
            await schema.upgrade()
        yield url
    finally:
        await asyncio.to_thread(server.remove)


@pytest.mark.parametrize("secure", [secure_postgresql, secure_mariadb])
async def test_a_certificate_is_verified_if_that_is_wanted(
    secure: Any, authority: trustme.CA, tmp_path: Path
) -> None:
    async with secure(authority, tmp_path) as url:
        for more in ({"tls": "require"}, {"tls": "verify", "ca": tmp_path / "ca.pem"}):
            async with SQL.create(SqlConfig(url=Secret(url), **more), make_host("main")) as registry:
                assert await registry.load() == (0, [])
        for more in ({"tls": "verify", "ca": tmp_path / "other.pem"}, {"tls": "verify"}, {"tls": "off"}):
            log = RecordingLog()
            async with SQL.create(SqlConfig(url=Secret(url), **more), make_host("main", log=log)) as registry:
                with pytest.raises(RegistryDown):
                    await registry.load()
            if more["tls"] == "verify":
                assert "CERTIFICATE_VERIFY_FAILED" in log.lines[0].facts["error"]
