"""What upstreams offered last, on disk: a process that starts while one is away lists that."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from portico._config.components import Component, Key
from portico._config.masking import MASK, plain
from portico._core.contracts.exchange import Era
from portico._core.contracts.json import Json
from portico._core.contracts.log import Log
from portico._core.contracts.upstreams import Offer, Visitor
from portico._host.managed.snapshot import replace

_FORM: Final = 1
_MOST: Final = 32 * 1024 * 1024
"""Bytes; more than that of one upstream is not kept."""

_AT_LAST: Final = 2.0

_encode = msgspec.json.Encoder().encode


class _Head(msgspec.Struct):
    """The first line of a file. The second one is the offer."""

    form: int
    of: str
    digest: str


class _Said(msgspec.Struct):
    """An offer."""

    tools: tuple[Json, ...]
    resources: tuple[Json, ...]
    templates: tuple[Json, ...]
    prompts: tuple[Json, ...]
    capabilities: Json
    instructions: str
    eras: frozenset[Era]
    info: Json | None
    ttl_ms: int
    public: bool


class Known:
    """A folder with a file for each upstream. Nobody but its owner may read them.

    Args:
        folder: Where; made when it is needed.
        log: The kernel's.
        lasting: Whether it outlives the gateway. One that does not is for those upstreams only that a new
            worker cannot reach by itself.
    """

    def __init__(self, folder: Path, log: Log, *, lasting: bool = True) -> None:
        self._folder = folder
        self._lasting = lasting
        self._log = log
        self._kept: dict[Key, Offer] = {}
        self._waiting: dict[Key, Component] = {}
        self._keeping: asyncio.Task[None] | None = None

    def keeps(self, upstream: object) -> bool:
        """Whether it is for this upstream, too."""
        return self._lasting or visits(upstream)

    def read(self, component: Component) -> Offer | None:
        """What an upstream offered last; None for not known, also when it was configured otherwise then."""
        try:
            head, _, body = self._path(component.name).read_bytes().partition(b"\n")
            if not _fits(msgspec.json.decode(head, type=_Head), component):
                return None
            said = msgspec.structs.asdict(msgspec.json.decode(body, type=_Said))
        except (OSError, ValueError, RecursionError):
            return None
        return Offer(**said)

    def keep_soon(self, component: Component, offer: Offer) -> None:
        """Remember what an upstream offers, without anybody waiting for it."""
        if self._kept.get(component.key) is offer:
            return
        self._kept[component.key], self._waiting[component.key] = offer, component
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep_all())

    async def _keep_all(self) -> None:
        while self._waiting:
            key, component = self._waiting.popitem()
            try:
                await asyncio.to_thread(self.keep, component, self._kept[key])
            except OSError as error:
                self._log.warning("upstream.not_kept", upstream=component.name, error=str(error))
            if key not in self._kept:
                self.forget(component.name)  # meanwhile it has gone
        self._keeping = None

    def forget(self, name: str) -> None:
        """An upstream is no more."""
        key = ("upstreams", name)
        self._kept.pop(key, None)
        self._waiting.pop(key, None)
        with contextlib.suppress(OSError):
            self._path(name).unlink(missing_ok=True)

    async def close(self) -> None:
        """Return when what was to be kept is, or soon."""
        if self._keeping is not None:
            await asyncio.wait([self._keeping], timeout=_AT_LAST)
            self._waiting.clear()
        if self._keeping is not None:
            await asyncio.wait([self._keeping])

    def keep(self, component: Component, offer: Offer) -> None:
        """Remember what an upstream offers, if that is not what is known.

        Raises:
            OSError: It cannot be written.
        """
        path = self._path(component.name)
        body = _encode({**attrs.asdict(offer, recurse=False), "eras": sorted(offer.eras)})
        digest = hashlib.sha256(body).hexdigest()
        try:
            with path.open("rb") as file:
                head = msgspec.json.decode(file.readline(), type=_Head)
            if _fits(head, component) and head.digest == digest:
                return
        except (OSError, ValueError):
            pass  # there is none, or none of any use
        if len(body) > _MOST:
            path.unlink(missing_ok=True)
        else:
            replace(path, _encode(_Head(_FORM, _print(component), digest)) + b"\n" + body)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def visits(upstream: object) -> bool:
    """Whether an upstream comes by itself."""
    return isinstance(upstream, Visitor) and upstream.visits


def _fits(head: _Head, component: Component) -> bool:
    return head.form == _FORM and head.of == _print(component)


def _print(component: Component) -> str:
    """What tells an upstream from another one of its name; no secret can be guessed from it."""
    return hashlib.sha256(_encode([component.use, _fewer(plain(component.config))])).hexdigest()


def _fewer(value: Any) -> Any:
    """The same with several secrets as one: naming the next beside the current makes no other upstream."""
    if isinstance(value, dict):
        return {key: _fewer(each) for key, each in value.items()}
    if isinstance(value, list):
        return [MASK] if value and all(each == MASK for each in value) else [_fewer(each) for each in value]
    return value
