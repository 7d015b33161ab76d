"""One source of the methods' options, their classes: --help and the page of AMID say the same."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from motet.cli import main
from motet.cli.entries import documentation
from motet.methods.distillation.methods import METHODS
from motet.methods.distillation.settings import settings_for

PAGE = Path(__file__).parents[3] / "docs/methods/amid.md"
# columns of values: of AMID's table, and of those of the baselines
OWN = (("amid", "ucf51"), ("amid", "iemocap"), ("amid", "table"), ("nce", "table"))
RIVALS = ("kd", "crd", "crcd", "gmc", "ccl")


def meanings(options: Any) -> dict[str, str]:
    """What the class, or one that it derives from, says below each of its fields, on one line."""
    said = documentation(type(options))
    return {f.name: " ".join(said[f.name].split()).rstrip(".") for f in fields(options)}


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:g}"


def rows(columns: tuple[tuple[str, str], ...]) -> list[str]:
    """Lines of the table of a method's options, with their values in some settings."""
    said = meanings(METHODS[columns[0][0]])
    return [
        f"| `--{f.name.replace('_', '-')}` | {said[f.name]} | "
        + " | ".join(shown(getattr(settings_for(*column).method, f.name)) for column in columns)
        + " |"
        for f in fields(METHODS[columns[0][0]])
    ]


@pytest.mark.parametrize("method", ["amid", *RIVALS])
def test_the_page_lists_the_options_of_a_method(method: str) -> None:
    columns = OWN if method == "amid" else ((method, "ucf51"), (method, "table"))
    heading = "## Options of AMID" if method == "amid" else f"### `{method}`"
    page = PAGE.read_text(encoding="utf-8")
    assert heading in page
    section = re.split(r"^#+ ", page.partition(f"{heading}\n")[2], maxsplit=1, flags=re.M)[0]
    found = [line for line in section.splitlines() if line.startswith("| `--")]
    assert found == rows(columns)


@pytest.mark.parametrize("words", [["distill"], ["distill", "raw"]])
@pytest.mark.parametrize("method", list(METHODS))
def test_help_lists_the_options_of_every_method(
    words: list[str], method: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*words, "--method", method, "--help-all"])
    said = capsys.readouterr().out
    for name, options in METHODS.items():
        [block] = [one for one in said.split("\n\n") if re.match(rf"([a-z]+, )*{name}(, [a-z]+)*: ", one)]
        flags = [f"--{f.name.replace('_', '-')}" for f in fields(options)]
        assert " ".join(block.split()).partition(": ")[2].split(", ") == (flags or ["none of its own"])
    own = bare(said.partition(f"{method} options:")[2].partition("networks options:")[0])
    for name, meaning in meanings(METHODS[method]).items():
        assert f"--{name.replace('_', '-')}" in own
        assert bare(meaning) in own, name


def bare(text: str) -> str:
    """Without breaks of lines."""
    return re.sub(r"\s", "", text)
