"""Real clients through a gateway to real servers."""
