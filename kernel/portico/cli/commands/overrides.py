"""`gateway overrides`."""

from __future__ import annotations

from portico.cli.nouns import OVERRIDES, noun_group

command = noun_group(OVERRIDES)
