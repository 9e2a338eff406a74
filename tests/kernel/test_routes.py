"""The routes of several transports: whose a path is, and in what order they are asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from portico._host.http.routes import routes_of
from portico.api import ConfigError


class Has:
    """A transport with these routes."""

    def __init__(self, *routes: BaseRoute) -> None:
        self._routes = routes

    def routes(self) -> Sequence[BaseRoute]:
        return self._routes


class Rest(BaseRoute):
    """Takes what is left."""

    leftover = True


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Nothing."""


async def page(request: Request) -> Response:
    return Response()


def http(path: str, *methods: str) -> Route:
    return Route(path, page, methods=methods)


class Whatever:
    """An ASGI application, which has every method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing."""


def every(path: str) -> Route:
    return Route(path, Whatever())


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (every("/a"), every("/a")),
        (every("/a"), http("/a", "GET")),
        (http("/a", "GET"), every("/a")),
        (http("/a", "GET", "POST"), http("/a", "PUT", "POST")),
        (every("/s/{name}/x"), every("/s/{name}/x")),
        (WebSocketRoute("/a", app), WebSocketRoute("/a", app)),
    ],
)
def test_a_path_of_two_transports_is_an_error_that_names_both(one: BaseRoute, two: BaseRoute) -> None:
    with pytest.raises(ConfigError) as caught:
        routes_of({"first": Has(one), "second": Has(two)})
    ((where, what),) = caught.value.problems
    assert where == "transports.second"
    assert "and so does transports.first" in what
    assert getattr(one, "path", "") in what


def test_what_is_not_the_same_is_no_error() -> None:
    first = [every("/a"), WebSocketRoute("/b", app), http("/c", "GET")]
    second = [every("/b"), WebSocketRoute("/a", app), http("/c", "POST"), Rest()]
    assert len(routes_of({"first": Has(*first, Rest()), "second": Has(*second)})) == 8


def test_a_transport_may_have_a_path_twice() -> None:
    mine = [every("/a"), every("/a")]
    assert routes_of({"first": Has(*mine)}) == mine


def test_who_takes_what_is_left_is_asked_last() -> None:
    rest, one, two = Rest(), every("/a"), every("/b")
    assert routes_of({"first": Has(rest, one), "second": Has(two)}) == [one, two, rest]
