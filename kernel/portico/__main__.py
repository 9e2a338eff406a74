"""`python -m portico` is `gateway`."""

from portico.cli import main

main()
