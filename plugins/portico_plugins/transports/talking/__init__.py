"""Conversations: all messages of one client on one connection, whatever carries them."""
