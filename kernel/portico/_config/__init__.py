"""Configuration: what is installed, what the documents say of it, and in which order it starts. Private."""
