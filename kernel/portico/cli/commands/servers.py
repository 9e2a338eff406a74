"""`gateway servers`."""

from __future__ import annotations

from portico.cli.nouns import SERVERS
from portico.cli.record_commands import noun_group

command = noun_group(SERVERS)
