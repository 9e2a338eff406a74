"""What is managed at run time: records of a registry, in effect."""
