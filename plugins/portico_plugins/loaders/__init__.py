"""Built-in config loader plugins."""
