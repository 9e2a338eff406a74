"""Where log lines come from and go to."""
