"""Keeps records in a folder of TOML files, one each: edited by hand, by `git pull`, and by the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from portico.api import Factory, Host, Registry, RegistryFactory, doc, hookimpl

gateway_api = (1, 0)


@attrs.frozen
class FileConfig:
    """Config of the `file` registry."""

    path: Path = attrs.field(
        default=Path("registry"),
        metadata=doc("The folder, relative to the configuration file's. It is made when it is not there."),
    )


@asynccontextmanager
async def file_registry(config: FileConfig, host: Host) -> AsyncIterator[Registry]:
    """Open a folder; nothing is read before it is asked for."""
    from portico_plugins.registries.file.registry import FileRegistry  # not before it is needed

    registry = FileRegistry(host.base / config.path, host.clock, host.log)
    try:
        yield registry
    finally:
        await registry.close()


FILE = Factory(
    name="file",
    summary="Keeps records in a folder of TOML files, for git, editors and the API alike.",
    config=FileConfig,
    create=file_registry,
    posture="hardened",
)


@hookimpl
def gateway_registries() -> Sequence[RegistryFactory]:
    """This plugin's registry."""
    return (FILE,)
