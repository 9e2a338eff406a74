"""How failures are worded is known in one place."""

from __future__ import annotations

import ast
import socket
import ssl
from collections import Counter
from pathlib import Path

import pytest

import portico_plugins
from portico.api import UPSTREAM_UNAVAILABLE, AddressNotAllowed
from portico_plugins import failures
from portico_plugins.http1 import Unreachable


def test_the_words_of_a_failure_stand_in_one_module() -> None:
    words = {"The upstream is not available.", "The upstream did not answer in time."}
    words |= {"The upstream's answer could not be used.", "The upstream has more to do than it can."}
    found: Counter[str] = Counter()
    for file in Path(portico_plugins.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in words:
                found[node.value] += 1
    assert found == dict.fromkeys(words, 1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AddressNotAllowed("metadata"), "address_not_allowed (metadata)"),
        (ssl.SSLCertVerificationError(), "tls_failed"),
        (TimeoutError(), "connect_timeout"),
        (socket.gaierror(), "name_not_found"),
        (ConnectionRefusedError(), "connection_refused"),
        (UnicodeError(), "connection_refused"),
    ],
)
def test_why_there_is_no_connection_is_told_in_a_word(error: Exception, reason: str) -> None:
    assert Unreachable.by(error).reason == reason


@pytest.mark.parametrize(("reason", "again"), [("address_not_allowed (x)", False), ("tls_failed", True)])
def test_what_is_forbidden_is_not_to_be_tried_again(reason: str, again: bool) -> None:
    refused = failures.of_http(Unreachable(reason), "api", "r-1")
    gateway = {"reason": reason, "upstream": "api", "request_id": "r-1", "retryable": again}
    assert (refused.code, refused.data) == (UPSTREAM_UNAVAILABLE, {"gateway": gateway})
    assert failures.reason_of(refused) == reason


def test_a_reason_that_says_more_has_words_of_its_own() -> None:
    assert failures.unavailable("api", "restart_budget").message == "The upstream's process keeps ending."
