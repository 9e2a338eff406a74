"""Where the operations of a document are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from .document import Document, Unfit, items, mapping, text_of, texts
from .operations import Operation

_VARIABLE = re.compile(r"\{([^{}]*)\}")


def base_of(document: Document, operation: Operation, at: str, variables: Mapping[str, str]) -> str:
    """The URL an operation's path is added to, without a slash at its end.

    Args:
        document: The document.
        operation: The operation; what it says of servers goes before what its path says, and the document.
        at: Where the document was found; relative URLs begin there. "" for nowhere.
        variables: Values of variables; the document's defaults stand for others.

    Raises:
        Unfit: There is no such URL.
    """
    if document.version[0] == 2:
        url = _old(document, operation, at)
    else:
        url = _filled(_server(document, operation), variables)
    try:
        whole = urljoin(at, url) if at else url
    except ValueError:
        raise Unfit("the URL of a server is not sound") from None
    return sound_base(whole)


def variables_of(document: Document, operation: Operation) -> frozenset[str]:
    """The variables in the URL of an operation's server."""
    if document.version[0] == 2:
        return frozenset()
    return frozenset(_VARIABLE.findall(text_of(_server(document, operation).get("url"))))


def sound_base(url: str) -> str:
    """A base URL without a slash at its end.

    Raises:
        Unfit: It is none that requests may go to.
    """
    if re.search(r"[\x00-\x20\x7f\\{}]", url):
        raise Unfit("the URL of a server has characters that no URL has")
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:  # a UnicodeError is one
        raise Unfit("the URL of a server is not sound") from None
    if not parts.scheme and not parts.netloc:
        raise Unfit("the document does not say where the API is: set `base_url`")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Unfit("the URL of a server is neither http://host... nor https://host...")
    if "@" in parts.netloc:
        raise Unfit("the URL of a server carries credentials")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _server(document: Document, operation: Operation) -> Mapping[str, Any]:
    """What the document says of the server of an operation, the first of several."""
    for node in (operation.node, operation.item, document.root):
        for one in items(node.get("servers")):
            if isinstance(one, dict):
                return one
    return {"url": "/"}


def _old(document: Document, operation: Operation, at: str) -> str:
    root = document.root
    host = text_of(root.get("host"))
    schemes = list(texts(operation.node.get("schemes") or root.get("schemes")))
    path = "/" + text_of(root.get("basePath")).strip("/")
    if not host:
        return path
    known = urlsplit(at).scheme or "https"
    scheme = "https" if "https" in schemes else "http" if "http" in schemes else known
    return f"{scheme}://{host}{path}"


def _filled(server: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    said = mapping(server.get("variables"))

    def value(match: re.Match[str]) -> str:
        name = match[1]
        own = mapping(said.get(name))
        allowed = [str(one) for one in items(own.get("enum"))]
        chosen = variables.get(name)
        if chosen is None:
            if "default" not in own:
                raise Unfit(f"the server variable {name[:50]!r} has no value: set `server_variables`")
            return str(own["default"])
        if allowed and chosen not in allowed:
            raise Unfit(f"the server variable {name[:50]!r} has none of the values the document allows")
        return chosen

    return _VARIABLE.sub(value, text_of(server.get("url"))) or "/"
