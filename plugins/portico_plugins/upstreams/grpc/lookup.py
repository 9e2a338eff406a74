"""Types that come in an `Any` and that no service names: the server is asked for them when one is met."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import grpc
from google.protobuf.descriptor_pool import DescriptorPool

from portico.api import Host, Refused

from .config import GrpcConfig
from .descriptors import Unusable, add
from .metadata import Metadatas
from .reflection import Reflection

_NAME: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_LONGEST: Final = 300
_MOST_ASKED: Final = 1000


class Lookup:
    """Adds to a pool what it lacks.

    Args:
        config: Of the upstream.
        host: Its host.
        metadata: Of the questions.
    """

    def __init__(self, config: GrpcConfig, host: Host, metadata: Metadatas) -> None:
        self._config = config
        self._host = host
        self._metadata = metadata
        self._pool: DescriptorPool | None = None
        self._asked: set[str] = set()
        self._left = 0
        self._lock = asyncio.Lock()

    async def find(self, channel: grpc.aio.Channel, pool: DescriptorPool, name: str) -> bool:
        """Whether a pool has a type now. Each is asked for once, as long as the pool is in use.

        Args:
            channel: To the server.
            pool: The upstream's.
            name: The full name of the type; "" for none.
        """
        if self._config.from_files or not name or len(name) > _LONGEST or not _NAME.fullmatch(name):
            return False
        async with self._lock:
            if pool is not self._pool:
                self._pool, self._left = pool, self._config.max_descriptor_bytes
                self._asked.clear()
            if name in self._asked or len(self._asked) >= _MOST_ASKED:
                return _has_type(pool, name)
            self._asked.add(name)
            try:
                await self._add(channel, pool, name)
            except (Unusable, Refused, grpc.aio.AioRpcError) as error:
                said = error.code().name if isinstance(error, grpc.aio.AioRpcError) else str(error)
                self._host.log.info("grpc_type_unknown", type=name, error=said[:300])
            return _has_type(pool, name)

    async def _add(self, channel: grpc.aio.Channel, pool: DescriptorPool, name: str) -> None:
        def have(file: str) -> bool:
            try:
                pool.FindFileByName(file)
            except KeyError:
                return False
            return True

        metadata = await self._metadata.of(None)
        reflection = Reflection(channel, metadata, self._config.connect_timeout, self._left)
        files = await reflection.file_of(name, have)
        self._left -= reflection.taken
        add(pool, files, have)


def _has_type(pool: DescriptorPool, name: str) -> bool:
    try:
        pool.FindMessageTypeByName(name)
    except KeyError:
        return False
    return True
