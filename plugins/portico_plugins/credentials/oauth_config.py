"""What can be configured of a `client_credentials` credential."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs
from attrs.validators import deep_iterable

from portico.api import Secret, doc
from portico_plugins import urls
from portico_plugins.fields import (
    number,
    operator_file,
    proxy_resolving,
    proxy_secret,
    proxy_url,
    seconds,
)

_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_TEXT: Final = re.compile(r"[\x20-\x7e]*")


def is_guarded(url: str) -> bool:
    """Whether nobody else can read what goes to a URL: TLS, or the way to this machine itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return parts.scheme == "https" or local


def _scope(_: Any, __: Any, value: str) -> None:
    if not _SCOPE.fullmatch(value):
        raise ValueError("expected the name of one scope, without spaces (RFC 6749, 3.3)")


def _text(_: Any, __: Any, value: str) -> None:
    if not _TEXT.fullmatch(value):
        raise ValueError("expected printable ASCII characters")


def _client(_: Any, __: Any, value: str) -> None:
    if not value:
        raise ValueError("it is empty")
    _text(_, __, value)


def _resource(_: Any, __: Any, value: str) -> None:
    parts = urlsplit(value)
    if not parts.scheme or parts.fragment or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("expected an absolute URI without a fragment (RFC 8707, 2)")


@attrs.frozen(kw_only=True)
class ClientCredentialsConfig:
    """A client of an OAuth authorization server, which gives it tokens for itself."""

    token_url: str = attrs.field(
        default="",
        validator=urls.url,
        metadata=doc(
            "Where tokens are fetched. Only `rest` upstreams do without it: what their documents say of that "
            "is used then.",
            example="https://id.example.com/oauth2/token",
            outbound=True,
            needed=True,
        ),
    )
    client_id: str = attrs.field(validator=_client, metadata=doc("The client.", example="portico"))
    client_secret: Secret | None = attrs.field(
        default=None, metadata=doc("The client's secret.", example="${env:CLIENT_SECRET}")
    )
    auth_method: Literal["client_secret_basic", "client_secret_post", "private_key_jwt"] = attrs.field(
        default="client_secret_basic",
        metadata=doc(
            "How the client shows who it is: its secret in a header or in the body, or a statement that it "
            "has signed (RFC 7523)."
        ),
    )
    private_key: Secret | None = attrs.field(
        default=None,
        metadata=doc("The key to sign with, in PEM form, of `private_key_jwt`: `${file:client.pem}`."),
    )
    key_id: str = attrs.field(
        default="", validator=_text, metadata=doc("What the server calls that key (`kid`).")
    )
    algorithm: Literal["RS256", "PS256", "ES256", "ES384", "EdDSA"] = attrs.field(
        default="RS256", metadata=doc("How it signs.")
    )
    scopes: tuple[str, ...] = attrs.field(
        default=(),
        validator=deep_iterable(_scope),
        metadata=doc(
            "What the tokens are to be good for. By default what the document of a `rest` upstream says that "
            "the operation needs, else what the server gives.",
            example=["read"],
        ),
    )
    resource: tuple[str, ...] = attrs.field(
        default=(),
        validator=deep_iterable(_resource),
        metadata=doc("The APIs that the tokens are for (RFC 8707).", example=["https://api.example.com/"]),
    )
    audience: str = attrs.field(
        default="",
        validator=_text,
        metadata=doc("What some servers want instead of `resource`, sent as `audience`."),
    )
    leeway: float = number(
        30.0,
        "Seconds before its end from which a token is replaced, at most half of its life; until there is "
        "another, it is used.",
        least=0,
    )
    timeout: float = seconds(10.0, "The most seconds a token may take to come, connecting included.")
    allow_private: bool = attrs.field(
        default=True,
        metadata=doc(
            "Whether the token URL may have a loopback or private address. Cloud metadata addresses are "
            "refused either way.",
            managed=False,
        ),
    )
    allow_http: bool = attrs.field(
        default=False,
        metadata=doc("Whether the secret may be sent without TLS to another machine.", operator_only=True),
    )
    tls_verify: bool = attrs.field(default=True, metadata=doc("Check the server's certificate."))
    ca_file: Path | None = operator_file(
        "PEM file of certificate authorities to trust instead of the system's."
    )
    client_cert: Path | None = operator_file("PEM file with the certificate to show (mTLS), chain included.")
    client_key: Path | None = operator_file("PEM file with its private key, without a password.")
    proxy: str = proxy_url()
    proxy_credentials: Secret | None = proxy_secret()
    proxy_resolves: bool = proxy_resolving()

    def __attrs_post_init__(self) -> None:
        """Refuse combinations that mean nothing."""
        urls.identity(self.client_cert, self.client_key)
        urls.proxied(self.proxy, self.proxy_credentials, self.proxy_resolves)
        if self.token_url and not (self.allow_http or is_guarded(self.token_url)):
            raise ValueError(
                "`token_url` is http://, where anybody on the way can read the secret: make it https://, or "
                "set `allow_http`"
            )
        if self.auth_method != "private_key_jwt":
            if self.private_key is not None or self.key_id:
                raise ValueError("`private_key` and `key_id` mean nothing without `private_key_jwt`")
            if self.client_secret is None or not self.client_secret.reveal():
                raise ValueError(f"`{self.auth_method}` needs a `client_secret`")
            return
        if self.client_secret is not None or self.private_key is None:
            raise ValueError("`private_key_jwt` needs a `private_key`, and no `client_secret`")
        self.signing_key()

    def signing_key(self) -> Any:
        """The key to sign with.

        Raises:
            ValueError: It is none for the algorithm.
        """
        from joserfc.errors import JoseError
        from joserfc.jwk import ECKey, OKPKey, RSAKey

        kinds: dict[str, Any] = {"RS": RSAKey, "PS": RSAKey, "ES": ECKey, "Ed": OKPKey}
        text = self.private_key.reveal() if self.private_key is not None else ""
        try:
            key = kinds[self.algorithm[:2]].import_key(text)
        except (ValueError, TypeError, JoseError):
            key = None
        if key is None or not key.is_private:
            raise ValueError(f"`private_key` is no private key for {self.algorithm} in PEM form") from None
        return key
