"""The process around the data plane: composition, lifecycle, the HTTP application and its guard. Private."""
