"""Texts from outside do nothing in a terminal or a spreadsheet."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.cli import main
from motet.core.errors import MotetError
from motet.core.text import cell, counted, file_name, from_cell, plain, printable, shown
from motet.data import exchange
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.archive.files import canonical, digest
from motet.data.clip_table import csv_text, without_guards
from motet.data.inspection import inspect
from motet.use.predict import write_table
from tests.conftest import stick

FORMULA = '=HYPERLINK("http://x","y")'


@pytest.mark.parametrize("text", [FORMULA, "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", "＝1"])
def test_formulas_are_guarded_and_come_back(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert from_cell(cell(text)) == text


@pytest.mark.parametrize("text", ["-1.5", "+3", "1e-3", "walk", "", "'quoted", "left-right", "-.5"])
def test_numbers_and_words_stay(text: str) -> None:
    assert cell(text) == text
    assert from_cell(text) == text


@given(st.text(max_size=8))
def test_no_text_begins_as_a_formula(text: str) -> None:
    guarded = cell(text)
    assert guarded[:1] not in tuple("=@\t\r") or guarded == ""
    assert "\x1b" not in printable(text)


def test_a_table_comes_back(tmp_path: Path) -> None:
    table = pl.DataFrame({"=a": [FORMULA, None, "-1"], "n": [-1.0, 2.0, 3.0]})
    text = csv_text(table)
    assert [line[:2] for line in text.splitlines()[1:]] == ["\"'", ",2", "-1"]
    assert text.startswith("'=a,n\n")
    back = without_guards(pl.read_csv(text.encode(), schema_overrides={"'=a": pl.String}))
    assert back.equals(table)
    write_table(table, tmp_path / "t.csv")
    assert "'=HYPERLINK" in (tmp_path / "t.csv").read_text()


def test_labels_of_an_archive_are_guarded_on_the_way_out_and_back(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=stick(), fps=10.0, class_names=[FORMULA]) as writer:
        writer.add(np.ones((20, 8, 3)), name="one", label=0)
    archive = MotionArchive.open(tmp_path / "a")
    rows = pl.DataFrame({"recording": ["one"], "start": [0.0], "end": [1.0], "label": [FORMULA]})
    archive.tracks.save("what", rows)
    for form in ("table", "csv"):
        exchange.export(archive, tmp_path / form, form=form)
        text = next((tmp_path / form).glob("*.csv")).read_text()
        assert "'=HYPERLINK" in text
        assert ",=HYPER" not in text.replace('"', "")
    assert main(["data", "label", str(archive.path), str(tmp_path / "table" / "what.csv"), "--track", "again"]) == 0
    assert MotionArchive.open(tmp_path / "a").tracks["again"]["label"].to_list() == [FORMULA]


def test_escape_sequences_in_errors_are_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a\x1b]0;owned\x07.csv").write_text("x\x1b[2J,y\n1,2\n")
    main(["data", "import", "csv", str(tmp_path), str(tmp_path / "out")])
    said = capsys.readouterr()
    assert r"a\x1b]0;owned\x07.csv" in said.err
    assert "\x1b]" not in said.err
    assert "\x1b[2J" not in said.err + said.out
    assert shown("a\nb\x1b") == "a\nb\\x1b"


def test_numbers_with_their_nouns() -> None:
    assert [counted(n, "clip") for n in (0, 1, 2000)] == ["0 clips", "1 clip", "2,000 clips"]
    assert [counted(2, n) for n in ("class", "body", "key", "box")] == ["2 classes", "2 bodies", "2 keys", "2 boxes"]


def test_names_of_files_are_no_paths_and_differ() -> None:
    taken: set[str] = set()
    names = ["a/b", "a_b", "A:B", "../../x", "/etc/x", "..", "", "CON", "lpt1.csv", "\x00\n", "語" * 300, "a_b-2"]
    found = [file_name(name, taken) for name in names]
    assert found[:4] == ["a_b", "a_b-2", "A_B-3", "_.._x"]
    assert found[7:9] == ["CON_", "lpt1.csv_"]
    assert len({name.casefold() for name in found}) == len(names)
    assert not any(
        set(name) & set("/\\:\x00\n") or name.strip(" .") != name or len(name.encode()) > 240 for name in found
    )


def _forged(path: Path, change: Any) -> None:
    """An archive whose description is changed, with the digest that fits."""
    meta = json.loads((path / "archive.json").read_text())
    change(meta)
    body = {k: v for k, v in meta.items() if k != "sha256"}
    (path / "archive.json").write_text(json.dumps({**body, "sha256": digest(canonical(body))}))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with ArchiveWriter(tmp_path / "forged", skeleton=stick(), fps=10.0, class_names=["a", "b"]) as writer:
        for i in range(4):
            writer.add(np.random.default_rng(i).normal(size=(12, 8, 3)), name=f"c{i}", label=i % 2, subject=i)
    return tmp_path / "forged"


def test_escape_sequences_of_a_forged_archive_are_written_out(archive: Path) -> None:
    _forged(archive, lambda meta: meta.update(class_names=["\x1b[2Ja", "b"], licence="\x1b]0;x\x07"))
    opened = MotionArchive.open(archive)
    assert opened.class_names[0] == "\\x1b[2Ja"
    assert "\x1b" not in opened.licence
    assert plain({"\x1b": ["\x07"]}) == {"\\x1b": ["\\x07"]}


ODD: list[Any] = [None, True, -1, 0, 1e308, 2**70, "x", "", [], [1], ["x"], {}, {"x": 1}, [[]], "../../x"]


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places of all values; of a list its first, all others pass the same checks."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    return [path, *(leaf for k, v in items for leaf in _leaves(v, (*path, k)))] if path or items else [path]


def test_forged_descriptions_with_the_right_digest_are_one_line(archive: Path) -> None:
    """Every field, of every wrong type: the archive opens and can be inspected, or one of motet's errors says why."""
    original = (archive / "archive.json").read_text()
    kept = [p for p in _leaves(json.loads(original)) if p and p[0] not in ("sha256", "version")]
    for place in dict.fromkeys(kept):
        for odd in ODD:
            (archive / "archive.json").write_text(original)
            _forged(archive, lambda meta: _put(meta, place, odd))  # noqa: B023 - called at once
            with contextlib.suppress(MotetError):
                inspect(MotionArchive.open(archive))


def _put(meta: Any, place: tuple[Any, ...], value: Any) -> None:
    for key in place[:-1]:
        meta = meta[key]
    meta[place[-1]] = value
