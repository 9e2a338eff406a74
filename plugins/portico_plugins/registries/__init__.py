"""Where what is managed at run time is kept."""
