"""Portico: a plugin-first MCP gateway. Plugins import `portico.api`."""

__version__ = "0.1.0"
