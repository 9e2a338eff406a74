"""The plugins that come with Portico, one folder a kind."""
