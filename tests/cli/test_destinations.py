"""What is there under the name of a result stays, unless it is of the same kind and somebody asked to replace it."""

from __future__ import annotations

from pathlib import Path

import pytest

from motet.cli import main
from tests.conftest import write_clips

# @ is the destination, A an archive; those of ONLY_NEW take no --overwrite (reports: report/test_write.py)
LINES = (
    "predict model A --out @",
    "segment A --out @",
    "search A --like clip-000:0-1 --out @",
    "count A --out @",
    "count A --out new.csv --measures @",
    "compare labels.csv --by subject --out @",
    "compare labels.csv --by subject --out new.json --picture @",
    "embed run A --out @",
    "data inspect A --json @",
    "data select A @ --keep clip-000",
    "data merge A B @",
    "data split A @ --seconds 0.2",
    "data stitch A @",
    "data convert A @ --fps 10",
    "data label A labels.csv --out @",
    "data import csv table @",
    "data export A @",
    "data export A @ --form npz",
    "data export A @ --form table",
    "data export A @ --form audacity",
    "data export A @ --form trc",
    "fit A --out @ --candidates statistics+linear",
    "pretrain cmd/small-gru --data A --out @",
    "tune cmd/small-gru --data A --out @",
    "distill index activitynet A --out @",
)
ONLY_NEW = ("data inspect", "pretrain", "tune", "distill")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the lines need."""
    folder = tmp_path_factory.mktemp("home")
    for name in "AB":
        archive = write_clips(folder / name, clips=6, seed=ord(name))
    archive = write_clips(folder / "A2", clips=2)
    archive.tracks.save("sides", [{"recording": "clip-000", "start": 0.0, "end": 0.2, "label": "left"}])
    (folder / "A2").rename(folder / "T")
    names = archive.clips["name"].to_list()
    (folder / "labels.csv").write_text("name,label\n" + "".join(f"{name},{name}\n" for name in names))
    (folder / "table").mkdir()
    (folder / "table" / "a.csv").write_text("frame,a_x,a_y,a_z\n0,1,2,3\n1,2,3,4\n")
    return folder


@pytest.mark.parametrize("line", LINES)
def test_what_is_of_another_kind_stays(
    line: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    (tmp_path / "thesis.docx").write_text("mine")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("mine")
    line = line.replace("A", "T") if "--form table" in line or "audacity" in line else line
    for name in ("thesis.docx", "work"):
        for replace in ([], ["--overwrite"]):
            if replace and line.startswith(ONLY_NEW):
                continue
            words = [str(tmp_path / name) if word == "@" else word for word in line.split()]
            assert main([*words, *replace]) == 2
            error = capsys.readouterr().err.splitlines()[-1]
            assert str(tmp_path / name) in error, error
            assert "overwrit" in error or "exists already" in error or "is a folder" in error, error
    assert {p.name: p.read_text() for p in tmp_path.rglob("*") if p.is_file()} == dict.fromkeys(
        ("thesis.docx", "thesis.txt"), "mine"
    )
