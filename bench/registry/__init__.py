"""A gateway of 1,000 upstreams and 20,000 tools, kept in a registry: its start, its lists, its changes."""
