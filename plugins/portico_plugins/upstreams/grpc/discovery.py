"""What a server has, from its reflection or from files; made anew only when it has changed."""

from __future__ import annotations

import asyncio
import hashlib
from fnmatch import fnmatchcase

import grpc

from portico.api import Host, nearest

from .config import GrpcConfig
from .descriptors import Files, comments_of, from_set, pool_of, services_of
from .metadata import Metadatas
from .methods import Method, chosen, methods_of
from .reflection import Reflection
from .rules import Rules
from .schemas import Style


class Discovery:
    """Finds out what one server has.

    Args:
        config: Of the upstream.
        host: Its host.
        metadata: Of the questions.
    """

    def __init__(self, config: GrpcConfig, host: Host, metadata: Metadatas) -> None:
        self._config = config
        self._host = host
        self._metadata = metadata
        self._wanted = chosen(config.services, config.exclude)
        self._digest = b""

    async def look(self, channel: grpc.aio.Channel) -> dict[str, Method] | None:
        """The methods by the name of their tool; None when nothing has changed since the last time.

        Raises:
            Unusable: What there is makes no sense, or is too much.
            grpc.aio.AioRpcError: The server cannot be reached, or refuses.
            OSError: The descriptor set cannot be read.
        """
        config = self._config
        skipped: dict[str, str] = {}
        if config.from_files:
            files = from_set(await asyncio.to_thread(self._read), config.max_descriptor_bytes)
            services = services_of(files)
        else:
            metadata = await self._metadata.of(None)
            reflection = Reflection(channel, metadata, config.connect_timeout, config.max_descriptor_bytes)
            services = await reflection.services()
            files = await reflection.files(services, lambda service: self._wanted(service, ""))
            skipped = reflection.skipped
        digest = _digest(files, services)
        if digest == self._digest:
            return None
        for service, why in skipped.items():
            self._host.log.warning("grpc_service_left_out", service=service[:200], reason=why)
        for pattern in (*config.services, *config.exclude):
            part = pattern.partition("/")[0]
            if not any(fnmatchcase(each, part) for each in services):
                self._host.log.warning(
                    "grpc_pattern_fits_nothing", pattern=pattern, hint=nearest(part, services, "services")[2:]
                )
        services = [each for each in services if each not in skipped and self._wanted(each, "")]
        # Thousands of descriptors are seconds of work, and calls of other upstreams are to go on.
        found, left_out = await asyncio.to_thread(self._made, files, services)
        for name, why in left_out:
            self._host.log.warning("grpc_method_left_out", method=name[:200], reason=why)
        self._digest = digest
        return found

    def _read(self) -> bytes:
        """The descriptor set that is configured, or that configured files come to."""
        config, base = self._config, self._host.base
        if config.descriptors is not None:
            return (base / config.descriptors).read_bytes()
        from .compiling import compiled  # only where it is needed

        protos, paths = (
            [(base / each).resolve() for each in one] for one in (config.protos, config.proto_paths)
        )
        return compiled(protos, paths, config.max_descriptor_bytes)

    def _made(self, files: Files, services: list[str]) -> tuple[dict[str, Method], list[tuple[str, str]]]:
        config = self._config
        left_out: list[tuple[str, str]] = []
        pool = pool_of(files)
        style = Style(comments_of(files), config.schema_profile, Rules(pool))
        made = methods_of(
            pool,
            services,
            self._wanted,
            config.names,
            style,
            output_schemas=config.output_schemas,
            left_out=lambda name, why: left_out.append((name, why)),
        )
        if len(made) > config.max_tools:
            left_out += [(name, "max_tools") for name in list(made)[config.max_tools :]]
            made = dict(list(made.items())[: config.max_tools])
        return made, left_out


def _digest(files: Files, services: list[str]) -> bytes:
    made = hashlib.sha256("\n".join(services).encode())
    for name in sorted(files):
        made.update(files[name].SerializeToString(deterministic=True))
    return made.digest()
