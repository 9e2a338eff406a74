"""The plugin author's test kit (filled in lazily so that importing the package stays cheap)."""
