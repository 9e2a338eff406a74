"""Writes the generated parts of the documentation: `python -m docs.generate`; `--check` only compares.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; the text around it is written
by hand. A plugin of Portico's own without a page gets one.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from portico._config.describe import markdown
from portico._config.discovery import Plugin, discover
from portico._config.tables import GatewaySettings, ServerSettings, TransportSettings, UpstreamSettings
from portico._core.specs import KINDS

DOCS = Path(__file__).parent
_BLOCK = re.compile(r"(<!-- generated: ([\w:.-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def plugin_block(plugin: Plugin) -> str:
    """What a plugin offers, and the keys of each factory's config."""
    parts = []
    for kind, factories in plugin.factories.items():
        for factory in factories:
            parts += [
                f"## {KINDS[kind].noun} `{factory.name}`",
                factory.summary,
                f'Table: `[{kind}.NAME]` with `use = "{factory.name}"`. Posture: {factory.posture}.',
                markdown(factory.config),
            ]
    for loader in plugin.loaders:
        suffixes = ", ".join(f"`{suffix}`" for suffix in loader.suffixes)
        parts += [f"## config loader `{loader.name}`", f"Reads {suffixes} files."]
    for command in plugin.commands:
        parts += [f"## command `gateway {command.name}`", command.summary]
    return "\n\n".join(parts) + "\n"


def index_block(plugins: list[Plugin]) -> str:
    """A table of the plugins with links to their pages."""
    lines = ["| plugin | offers | |", "| --- | --- | --- |"]
    for plugin in plugins:
        offers = [
            (f"{KINDS[kind].noun} `{factory.name}`", factory.summary)
            for kind, factories in plugin.factories.items()
            for factory in factories
        ]
        offers += [(f"config loader `{' '.join(one.suffixes)}`", "") for one in plugin.loaders]
        for number, (offer, summary) in enumerate(offers):
            name = "" if number else f"[{plugin.name}](plugins/{plugin.name}.md)"
            lines.append(f"| {name} | {offer} | {summary} |")
    return "\n".join(lines) + "\n"


def blocks() -> dict[str, str]:
    """Every generated part by its name."""
    own = [plugin for plugin in discover().records if plugin.distribution == "portico"]
    return {
        "gateway": markdown(GatewaySettings) + "\n",
        "servers": markdown(ServerSettings) + "\n",
        "upstreams": markdown(UpstreamSettings) + "\n",
        "transports": markdown(TransportSettings) + "\n",
        "plugins": index_block(own),
        **{f"plugin:{plugin.name}": plugin_block(plugin) for plugin in own},
    }


def pages(generated: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Each page that has generated parts, as it should be.

    Raises:
        KeyError: A page asks for a part that there is not.
    """
    for name in generated:
        kind, _, plugin = name.partition(":")
        page = DOCS / "plugins" / f"{plugin}.md"
        if kind == "plugin" and not page.exists():
            module = next(one.module for one in discover().records if one.name == plugin)
            said = (importlib.import_module(module).__doc__ or "").strip()
            yield page, f"# {plugin}\n\n{said}\n\n<!-- generated: {name} -->\n{generated[name]}<!-- end -->\n"
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text("utf-8")
        yield page, _BLOCK.sub(lambda match: f"{match[1]}{generated[match[2]]}{match[3]}", text)


def drifted() -> list[Path]:
    """The pages that are not what they should be."""
    return [page for page, text in pages(blocks()) if not page.exists() or page.read_text("utf-8") != text]


def main() -> int:
    """Write what has drifted, or with `--check` name it and fail."""
    if "--check" in sys.argv[1:]:
        found = drifted()
        for page in found:
            print(f"{page.relative_to(DOCS.parent)} is out of date: run `python -m docs.generate`")
        return 1 if found else 0
    for page, text in list(pages(blocks())):
        page.parent.mkdir(exist_ok=True)
        page.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
