"""Servers for trying Portico out: `notes`, `calendar` and `tables` speak MCP, `clerk` is an A2A agent."""
