"""The sans-IO MCP protocol core."""
