"""The kernel. Private: plugins import `portico.api`."""
