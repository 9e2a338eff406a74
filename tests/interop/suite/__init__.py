"""One suite of MCP acts, the same for every way in, both eras of client and both eras of server."""
