"""`gateway servers`."""

from __future__ import annotations

from portico.cli.nouns import SERVERS, noun_group

command = noun_group(SERVERS)
