"""Markdown tables with cells of equal width: the same text, and columns that line up on a terminal."""

from __future__ import annotations

import re
import shutil
import sys
from textwrap import wrap

_RULE = re.compile(r"\|(\s*:?-+:?\s*\|)+")


def shown(text: str) -> str:
    """The text as standard output shows it: tables fit the terminal, and are whole lines where there is none."""
    return aligned(text, shutil.get_terminal_size().columns if sys.stdout.isatty() else None)


def aligned(text: str, width: int | None = None) -> str:
    """The text with every Markdown table in it padded, and folded inside its cells where it is wider than ``width``.

    >>> print(aligned("| a | long name |\\n|---|---|\\n| 71.2 ± 0.8 | – |"))
    | a          | long name |
    |------------|-----------|
    | 71.2 ± 0.8 | –         |
    """
    lines, table, done = text.split("\n"), list[str](), list[str]()
    for line in [*lines, ""]:
        if line.startswith("|") and line.endswith("|"):
            table.append(line)
            continue
        done += _padded(table, width)
        table = []
        done.append(line)
    return "\n".join(done[:-1])


def _padded(table: list[str], limit: int | None) -> list[str]:
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]
    if len(table) < 2 or not _RULE.fullmatch(table[1]) or len({len(row) for row in rows}) != 1:
        return table
    widths = [max(3, *(len(row[i]) for n, row in enumerate(rows) if n != 1)) for i in range(len(rows[0]))]
    if limit is not None:
        widths = _narrowed(widths, limit - 3 * len(widths) - 1)
    padded = []
    for number, row in enumerate(rows):
        if number == 1:
            padded.append("|" + "|".join("-" * (w + 2) for w in widths) + "|")
            continue
        cells = [wrap(c, w, break_on_hyphens=False) or [""] for c, w in zip(row, widths, strict=True)]
        for at in range(max(map(len, cells))):
            line = [c[at] if at < len(c) else "" for c in cells]
            padded.append("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |")
    return padded


def _narrowed(widths: list[int], room: int) -> list[int]:
    """Widths that fit into ``room`` by taking from the widest; none is less than a figure."""
    widths = list(widths)
    while sum(widths) > room and max(widths) > 6:
        widths[widths.index(max(widths))] -= 1
    return widths
