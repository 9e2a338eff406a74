"""Requests with other workers' handles, there and back."""
