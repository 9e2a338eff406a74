"""What the clients run: each script needs only its own client library and the two modules beside it."""
