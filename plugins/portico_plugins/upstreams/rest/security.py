"""What the configuration adds to requests: fixed headers, and the secrets of security schemes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urljoin

import attrs

from portico.api import Json, Secret
from portico_plugins.upstreams.checks import COOKIE, header_problem

from .config import RestConfig, SchemeSettings
from .document import Unfit, mapping, text_of
from .references import origin


@attrs.frozen(eq=False)
class Additions:
    """What is added to a request.

    Attributes:
        headers: By name.
        query: Parameters of the query by name.
        cookies: By name.
        wants: Where the document wants the key that a credential is to give (`header`, `query`, `cookie`),
            and the name it has there; "" for anywhere.
        token_url: Where the document says that a client has tokens of its own; "" where that is nothing to
            trust with a secret.
        told: What it says, trusted or not.
    """

    headers: Mapping[str, str] = attrs.field(factory=dict)
    query: Mapping[str, Secret] = attrs.field(factory=dict)
    cookies: Mapping[str, Secret] = attrs.field(factory=dict)
    wants: tuple[str, str] = ("", "")
    token_url: str = ""
    told: str = ""


def fixed(config: RestConfig) -> Additions:
    """What is added to every request."""
    return Additions(
        {name: value.reveal() for name, value in config.headers.items()}, config.query, config.cookies
    )


def placed(schemes: Mapping[str, Json], config: RestConfig) -> dict[str, Additions]:
    """What each configured security scheme adds that the document has.

    Raises:
        Unfit: One is such that its secret cannot fill it.
    """
    return {
        name: _addition(name, schemes[name], own, config)
        for name, own in config.security.items()
        if name in schemes
    }


def _addition(name: str, scheme: Json, own: SchemeSettings, config: RestConfig) -> Additions:
    kind, way = text_of(scheme.get("type")), text_of(scheme.get("scheme")).lower()
    if own.credential is not None:
        if kind == "apiKey":
            return Additions(wants=(text_of(scheme.get("in")), text_of(scheme.get("name"))))
        if kind not in ("basic", "http", "oauth2", "openIdConnect"):
            raise Unfit(f"the security scheme {name[:50]!r} of type {kind[:20]!r} is not supported")
        return _flow(scheme, config)  # asked for each caller
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


def _flow(scheme: Json, config: RestConfig) -> Additions:
    """What the document says of where tokens are had by the client credentials grant.

    A document that came over the network could name a place of somebody else's, who would be sent the
    client's secret: it is believed as far as its own origin, and that of a configured API.
    """
    swagger = scheme.get("flow") == "application"
    flow = scheme if swagger else mapping(mapping(scheme.get("flows")).get("clientCredentials"))
    said = text_of(flow.get("tokenUrl"))
    if not said:
        return Additions()
    try:
        url = urljoin(config.openapi or config.base_url, said)
    except ValueError:
        raise Unfit("the `tokenUrl` of a security scheme is not sound") from None
    near = origin(url) in {origin(config.openapi), origin(config.base_url)} - {""}
    return Additions(token_url=url if near or not config.openapi else "", told=url)


def _header(scheme: str, name: str, value: str) -> Additions:
    if header_problem(name, value):
        raise Unfit(f"the security scheme {scheme[:50]!r} cannot be sent as a header")
    return Additions({name: value})


def chosen(
    needed: Sequence[Mapping[str, tuple[str, ...]]], there: Mapping[str, Additions]
) -> Mapping[str, tuple[str, ...]]:
    """The schemes to use for an operation: the first of its requirements that is configured, all of it.

    Where it need not have any (`{}` among them, in whatever place), what is configured is still shown.
    """
    return next((each for each in needed if each and all(name in there for name in each)), {})
