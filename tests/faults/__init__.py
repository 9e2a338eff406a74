"""Faults on purpose: a seeded fault proxy, and what must hold of the gateway whatever it does.

`python -m tests.faults` runs all of it and prints what held.
"""
