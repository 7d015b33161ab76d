"""Markdown tables that line up."""

from __future__ import annotations

from motet.cli.tables import aligned


def test_columns_line_up() -> None:
    text = "# Title\n\n| a | long name |\n|---|---|\n| 71.2 ± 0.8 | – |\n\nbelow | not a table\n"
    text += "| x | y |\n|---|---|\n| 1 | 2 |"
    lines = aligned(text).split("\n")
    assert lines[2:5] == ["| a          | long name |", "|------------|-----------|", "| 71.2 ± 0.8 | –         |"]
    assert lines[6] == "below | not a table"
    assert lines[-1] == "| 1   | 2   |"
    assert aligned(aligned(text)) == aligned(text)


def test_what_is_no_table_stays() -> None:
    for text in ("", "| a |", "| a | b |\n| c | d |", "| a | b |\n|---|---|\n| c |", "plain\ntext\n"):
        assert aligned(text) == text
