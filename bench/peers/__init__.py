"""Other MCP proxies and gateways, through the same bench: `python -m bench peers`."""
