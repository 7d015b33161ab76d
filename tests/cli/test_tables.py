"""Markdown tables that line up."""

from __future__ import annotations

import os
import sys

import pytest

from motet.cli.tables import aligned, shown


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


def test_tables_fold_to_the_terminal_and_are_whole_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "| run | what it is |\n|---|---|\n| a | " + "one word after another " * 6 + "|"
    assert len(shown(text).split("\n")) == 3
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 24)))
    lines = shown(text).split("\n")
    assert len(lines) > 3
    assert {len(line) for line in lines} == {40}
    assert " ".join(line[8:-2].strip() for line in lines[2:]).split() == ["one", "word", "after", "another"] * 6
    assert [line[:7] for line in lines[2:4]] == ["| a   |", "|     |"]
