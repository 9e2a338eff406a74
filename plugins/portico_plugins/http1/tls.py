"""TLS settings of upstreams: whom to trust, and what to show."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

import attrs


def tls_context(verify: bool, ca_file: Path | None) -> ssl.SSLContext:
    """The TLS settings of an upstream that takes no certificate of its clients.

    Raises:
        OSError: The file of authorities cannot be read.
    """
    return _system_context(verify) if ca_file is None else _context(verify, ca_file)


@cache  # the system's authorities take a while to load, and a megabyte to keep
def _system_context(verify: bool) -> ssl.SSLContext:
    return _context(verify, None)


def _context(verify: bool, ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


@attrs.define(eq=False)
class Tls:
    """The TLS settings of an upstream, made of files that are read again when they have changed.

    Attributes:
        verify: Whether the server's certificate is checked.
        ca_file: Authorities to trust instead of the system's.
        cert: The certificate to show, with its chain.
        key: Its private key.
    """

    verify: bool = True
    ca_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    _stamps: tuple[tuple[int, int], ...] = attrs.field(default=(), init=False)
    _made: ssl.SSLContext | None = attrs.field(default=None, init=False)

    def context(self) -> ssl.SSLContext:
        """What to connect with now.

        Raises:
            OSError: A file cannot be read, or is not what it should be.
        """
        files = [
            file for file in (self.ca_file if self.verify else None, self.cert, self.key) if file is not None
        ]
        if not files:
            return tls_context(self.verify, None)
        stats = [file.stat() for file in files]
        stamps = tuple((one.st_mtime_ns, one.st_size) for one in stats)
        if self._made is None or stamps != self._stamps:
            context = _context(self.verify, self.ca_file if self.verify else None)
            if self.cert is not None:
                # A password, so that a key that has one is an error, and no question on the terminal.
                context.load_cert_chain(self.cert, self.key, password="")
            self._made, self._stamps = context, stamps
        return self._made
