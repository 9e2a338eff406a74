"""`gateway overrides`."""

from __future__ import annotations

from portico.cli.nouns import OVERRIDES
from portico.cli.record_commands import noun_group

command = noun_group(OVERRIDES)
