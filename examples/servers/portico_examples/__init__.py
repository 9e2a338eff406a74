"""MCP servers over local data, for trying Portico out: `notes` (stdio) and `tables` (streamable HTTP)."""
