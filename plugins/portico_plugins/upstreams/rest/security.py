"""What the configuration adds to requests: fixed headers, and the secrets of security schemes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import attrs

from portico.api import Json, Secret
from portico_plugins.upstreams.checks import COOKIE, header_problem

from .config import RestConfig, SchemeSettings
from .document import Unfit, text_of


@attrs.frozen(eq=False)
class Additions:
    """What is added to a request.

    Attributes:
        headers: By name.
        query: Parameters of the query by name.
        cookies: By name.
        wants: Where the document wants the key that a credential is to give (`header`, `query`, `cookie`),
            and the name it has there; "" for anywhere.
    """

    headers: Mapping[str, str] = attrs.field(factory=dict)
    query: Mapping[str, Secret] = attrs.field(factory=dict)
    cookies: Mapping[str, Secret] = attrs.field(factory=dict)
    wants: tuple[str, str] = ("", "")


def fixed(config: RestConfig) -> Additions:
    """What is added to every request."""
    return Additions(
        {name: value.reveal() for name, value in config.headers.items()}, config.query, config.cookies
    )


def placed(schemes: Mapping[str, Json], settings: Mapping[str, SchemeSettings]) -> dict[str, Additions]:
    """What each configured security scheme adds.

    Raises:
        Unfit: The document has no such scheme, or one that a secret cannot fill.
    """
    out = {}
    for name, own in settings.items():
        if name not in schemes:
            raise Unfit(
                f"the document has no security scheme {name[:50]!r}; it has: {', '.join(schemes) or 'none'}"
            )
        out[name] = _addition(name, schemes[name], own)
    return out


def _addition(name: str, scheme: Json, own: SchemeSettings) -> Additions:
    kind, way = text_of(scheme.get("type")), text_of(scheme.get("scheme")).lower()
    if own.credential is not None:
        if kind == "apiKey":
            return Additions(wants=(text_of(scheme.get("in")), text_of(scheme.get("name"))))
        if kind not in ("basic", "http", "oauth2", "openIdConnect"):
            raise Unfit(f"the security scheme {name[:50]!r} of type {kind[:20]!r} is not supported")
        return Additions()  # asked for each caller
    if own.client_id:
        if kind not in ("oauth2", "openIdConnect", "http"):
            raise Unfit(f"the security scheme {name[:50]!r} takes no tokens")
        return Additions()  # a token, which is fetched
    if kind == "basic" or (kind == "http" and way == "basic"):
        if own.password is None:
            raise Unfit(f"the security scheme {name[:50]!r} is `basic`: set `username` and `password`")
        pair = base64.b64encode(f"{own.username}:{own.password.reveal()}".encode()).decode()
        return Additions({"Authorization": f"Basic {pair}"})
    if own.value is None:
        raise Unfit(f"the security scheme {name[:50]!r} is not `basic`: set `value`")
    if kind == "apiKey":
        key, where = text_of(scheme.get("name")), scheme.get("in")
        if where == "query":
            return Additions(query={key: own.value})
        if where == "cookie":
            if not COOKIE.fullmatch(own.value.reveal()):
                raise Unfit(f"the security scheme {name[:50]!r} cannot be sent as a cookie")
            return Additions(cookies={quote(key, safe=""): own.value})
        return _header(name, key, own.value.reveal())
    if kind in ("http", "oauth2", "openIdConnect"):
        return _header(name, "Authorization", f"{way.capitalize() or 'Bearer'} {own.value.reveal()}")
    raise Unfit(f"the security scheme {name[:50]!r} of type {kind[:20]!r} is not supported")


def _header(scheme: str, name: str, value: str) -> Additions:
    if header_problem(name, value):
        raise Unfit(f"the security scheme {scheme[:50]!r} cannot be sent as a header")
    return Additions({name: value})


def chosen(needed: Sequence[Sequence[str]], there: Mapping[str, Additions]) -> Sequence[str]:
    """The schemes to use for an operation: the first of its requirements that is configured, all of it."""
    return next((each for each in needed if all(name in there for name in each)), ())
