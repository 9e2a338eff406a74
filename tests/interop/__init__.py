"""Interoperability: fixture servers, the official conformance harness, and clients others wrote."""
