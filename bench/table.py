"""A table in plain text."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """The lines of a table; the first row is its head.

    Args:
        rows: Cells, as many in each row.
        left: How many columns, from the first, are words and stand on the left of their column.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def number(value: float | None, digits: int) -> str:
    """A figure with this many digits after the point; "-" for none."""
    return "-" if value is None else f"{value:,.{digits}f}"
