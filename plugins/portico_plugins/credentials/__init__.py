"""Built-in credentials plugins."""
