"""Built-in servers plugins."""
