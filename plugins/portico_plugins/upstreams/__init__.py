"""Built-in upstreams plugins."""
