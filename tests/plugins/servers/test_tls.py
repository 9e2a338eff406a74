"""Certificates, and what is wrong with them; the plugin's own registration."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from portico.api import ConfigError, Secret
from portico_plugins.servers.hypercorn import HYPERCORN, HypercornConfig, gateway_servers
from tests.plugins.servers.serving import App, Lines, Served, host, post, serving


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> tuple[Path, Path]:
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "crt"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key"))
    return tmp_path / "crt", tmp_path / "key"


async def refused(config: HypercornConfig) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        async with HYPERCORN.create(config, host(Lines())):
            pass
    return caught.value.problems


def test_the_plugin_registers_a_hardened_server() -> None:
    (factory,) = gateway_servers()
    assert (factory.name, factory.posture) == ("hypercorn", "hardened")


async def test_half_a_certificate_is_a_config_error() -> None:
    for name in ("certfile", "keyfile", "ca_certs"):
        given: dict[str, Any] = {name: Path("x")}
        assert await refused(HypercornConfig(**given)) == [(name, "needs both `certfile` and `keyfile`")]


async def test_a_missing_file_is_a_config_error(certificate: tuple[Path, Path]) -> None:
    crt, key = certificate
    ((path, message),) = await refused(HypercornConfig(certfile=crt, keyfile=Path("/nowhere")))
    assert (path, message) == ("certfile", "cannot be used with its key: No such file or directory")
    ((path, _),) = await refused(HypercornConfig(certfile=crt, keyfile=key, ca_certs=Path("/nowhere")))
    assert path == "ca_certs"


async def test_a_foreign_key_is_a_config_error(certificate: tuple[Path, Path], authority: trustme.CA) -> None:
    crt, key = certificate
    authority.issue_cert("localhost").private_key_pem.write_to_path(str(key))
    ((path, message),) = await refused(HypercornConfig(certfile=crt, keyfile=key))
    assert path == "certfile"
    assert "KEY_VALUES_MISMATCH" in message or "key values mismatch" in message


async def test_an_encrypted_key_needs_its_password(certificate: tuple[Path, Path]) -> None:
    from cryptography.hazmat.primitives import serialization

    crt, key = certificate
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )
    await refused(HypercornConfig(certfile=crt, keyfile=key))
    await refused(HypercornConfig(certfile=crt, keyfile=key, keyfile_password=Secret("wrong")))
    config = HypercornConfig(certfile=crt, keyfile=key, keyfile_password=Secret("open sesame"))
    async with HYPERCORN.create(config, host(Lines())) as server:
        assert hasattr(server, "serve")


async def test_clients_without_a_certificate_are_turned_away_when_authorities_are_configured(
    tmp_path: Path, authority: trustme.CA
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    app = App()
    async with serving(app, tls=True, ca_certs=tmp_path / "ca") as served:
        with pytest.raises((ssl.SSLError, ConnectionResetError, asyncio.IncompleteReadError)):
            await _ask(served)
        assert app.calls == 0
        assert served.trust is not None
        authority.issue_cert("client@example.com").configure_cert(served.trust)
        wire = await served.connect()
        wire.write(post(b"known"))
        assert (await wire.answer())[1] == b"known"
        await wire.close()


async def test_clear_text_on_a_tls_port_ends_at_the_handshake() -> None:
    app = App()
    async with serving(app, tls=True) as served:
        served.trust = None
        answer = await served.ask(post(b"x"))
        assert b"HTTP/1.1" not in answer
        assert app.calls == 0
        assert served.log.events == []


async def _ask(served: Served) -> None:
    wire = await served.connect()
    try:
        wire.write(post(b"x"))
        await wire.answer()
    finally:
        await wire.close()
