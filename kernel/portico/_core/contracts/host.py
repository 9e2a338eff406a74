"""What the kernel offers a component when it is created."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from portico._core.contracts.clock import Clock
from portico._core.contracts.config import Ref
from portico._core.contracts.log import Log
from portico._core.contracts.management import Management, Unmanaged
from portico._core.contracts.wiring import Wiring


def _random(_: str) -> bytes:
    return os.urandom(32)


@attrs.frozen(eq=False)
class Host:
    """What the kernel offers a component when it is created.

    Attributes:
        name: The instance's name in the config (`upstreams.time` is `time`).
        kind: The config table it came from (`upstreams`).
        log: A logger bound to the component.
        clock: Time.
        base: The folder relative paths in the config are relative to.
        component: `component(ref)` gives the started component a `Ref` field names.
        wiring: What upstreams and transports need of the data plane.
        management: What is managed at run time; its methods raise `NoRegistry` when nothing is.
        state: The folder for what outlives the process; whoever writes there makes it, with mode 0700.
        key: `key(purpose)` is 32 bytes that nobody else has: to recognise what the component gave out when it
            comes back. They are the same in all workers, and after a restart if `gateway.secret` is set.
    """

    name: str
    kind: str
    log: Log
    clock: Clock
    base: Path
    component: Callable[[Ref[Any]], Any]
    wiring: Wiring
    management: Management = attrs.field(factory=Unmanaged, kw_only=True)
    state: Path = attrs.field(
        default=attrs.Factory(lambda self: self.base / ".portico", takes_self=True), kw_only=True
    )
    key: Callable[[str], bytes] = attrs.field(default=_random, kw_only=True)
