"""What stands in front of the transports: the guard, and the application."""
