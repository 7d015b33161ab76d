"""Markdown tables with cells of equal width: the same text, and columns that line up on a terminal."""

from __future__ import annotations

import re

_RULE = re.compile(r"\|(\s*:?-+:?\s*\|)+")


def aligned(text: str) -> str:
    """The text with every Markdown table in it padded.

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
        done += _padded(table)
        table = []
        done.append(line)
    return "\n".join(done[:-1])


def _padded(table: list[str]) -> list[str]:
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]
    if len(table) < 2 or not _RULE.fullmatch(table[1]) or len({len(row) for row in rows}) != 1:
        return table
    widths = [max(3, *(len(row[i]) for n, row in enumerate(rows) if n != 1)) for i in range(len(rows[0]))]
    padded = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    padded[1] = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return padded
