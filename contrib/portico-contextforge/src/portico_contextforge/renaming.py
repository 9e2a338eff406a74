"""Giving a gateway another name: what refers to it goes along, in one change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from portico.api import About, Change, Json, Managed, Management
from portico_contextforge.naming import federated

_MASKED: Final = "**********"


def keeps_secrets(config: Json) -> bool:
    """Whether a config has values that cannot be seen, and so cannot be written under another name."""
    return any(value == _MASKED for value in (config.get("headers") or {}).values())


def renamed(management: Management, managed: Managed, name: str, config: Json, about: About) -> list[Change]:
    """The changes that give an upstream another name.

    Args:
        management: Has what refers to it.
        managed: The upstream.
        name: Its new name.
        config: What it is to hold.
        about: What is to be said of it.
    """
    version = managed.record.version if managed.record is not None else 0
    return [
        Change("upstreams", managed.name, None, expected=version),
        Change("upstreams", name, config, about, 0),
        *_overrides(management, managed.name, name),
        *_servers(management, managed.name, name),
    ]


def _overrides(management: Management, old: str, new: str) -> Iterator[Change]:
    for each in management.all("overrides"):
        upstream, _, rest = each.name.partition("/")
        if upstream == old and each.record is not None:
            yield Change("overrides", each.name, None, expected=each.record.version)
            yield Change("overrides", f"{new}/{rest}", each.config, each.about, 0)


def _servers(management: Management, old: str, new: str) -> Iterator[Change]:
    for each in management.all("servers"):
        config = dict(each.config)
        if each.record is None or old not in config.get("upstreams", ()):
            continue
        config["upstreams"] = [new if name == old else name for name in config["upstreams"]]
        for kind in ("tools", "resources", "prompts"):
            if isinstance(config.get(kind), dict):
                config[kind] = _selection(config[kind], old, new)
        yield Change("servers", each.name, config, each.about, each.record.version)


def _selection(selection: Json, old: str, new: str) -> Json:
    def moved(text: str) -> str:
        return f"{new}/{text.removeprefix(f'{old}/')}" if text.startswith(f"{old}/") else text

    def name_of(key: str, value: Any) -> Any:
        """The name shown: ContextForge's follows the gateway's."""
        own = key.removeprefix(f"{old}/")
        return federated(new, own) if own != key and value == federated(old, own) else value

    out = dict(selection)
    for member in ("include", "exclude"):
        if member in out:
            out[member] = [moved(text) for text in out[member]]
    if "rename" in out:
        out["rename"] = {moved(key): name_of(key, value) for key, value in out["rename"].items()}
    return out
