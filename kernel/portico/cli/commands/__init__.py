"""The commands of `gateway`, one module each; its `command` is the command."""
