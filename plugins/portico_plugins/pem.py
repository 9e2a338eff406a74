"""Whether files of certificates and keys are what they should be: for `gateway check`."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path


def pem(
    ca_file: Path | None, cert: Path | None = None, key: Path | None = None
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with the contents of PEM files that are there, by the key that names them.

    Args:
        ca_file: Authorities, as `ca_file`.
        cert: A certificate with its chain, as `client_cert`.
        key: Its private key, without a password, as `client_key`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is not None and ca_file.is_file():
        try:
            context.load_verify_locations(ca_file)
        except OSError:
            yield ("ca_file",), f"expected certificates in PEM form, but none can be read from {ca_file}"
    if cert is not None and key is not None and cert.is_file() and key.is_file():
        try:
            context.load_cert_chain(cert, key, password="")
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror
            yield ("client_cert",), f"cannot be used with its key: {reason}"
