"""The tasks that the other workers have: asked for as their clients would, and only theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from a2a.types import ListTasksRequest, ListTasksResponse
from a2a.utils.errors import InternalError

from portico.api import Endpoint, Json, Scope
from portico_plugins.a2a.protojson import BadJson, from_json, to_json
from portico_plugins.transports.a2a.bindings import REST, VERSION, Visit
from portico_plugins.transports.a2a.collected import Collected

_PATIENCE: Final = 10.0
_DROPPED: Final = frozenset({"content-length", "content-type", "transfer-encoding", VERSION})


async def pages_elsewhere(
    endpoint: Endpoint, path: str, request: ListTasksRequest, visit: Visit
) -> Sequence[ListTasksResponse]:
    """The same page of every other worker.

    Args:
        endpoint: The virtual server.
        path: Where the agent is.
        request: What is wanted.
        visit: Who wants it.

    Raises:
        InternalError: A worker that is there did not answer.
    """
    owners = endpoint.owners
    nodes = owners.others() if owners is not None and not visit.forwarded else ()
    if owners is None or not nodes:
        return ()
    scope = _scope(f"{path}{REST}/tasks", to_json(request), visit)
    asked = [Collected() for _ in nodes]
    for node, answer in zip(nodes, asked, strict=True):
        owners.ask(node, scope, b"", answer, answer.lost)
    try:
        async with asyncio.timeout(_PATIENCE):
            answers = await asyncio.gather(*(answer.whole() for answer in asked))
        return [from_json(answer, ListTasksResponse, lenient=True) for answer in answers if answer]
    except (TimeoutError, BadJson):
        raise InternalError("A worker did not tell its tasks") from None
    finally:
        for answer in asked:
            answer.leave()


def _scope(path: str, params: Json, visit: Visit) -> Scope:
    query = {key: str(value).lower() if isinstance(value, bool) else value for key, value in params.items()}
    headers = [(name, value) for name, value in visit.headers.items() if name not in _DROPPED]
    return {
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": urlencode(query).encode(),
        "scheme": "http",
        "http_version": "1.1",
        "client": visit.peer,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in (*headers, (VERSION, "1.0"))],
    }
