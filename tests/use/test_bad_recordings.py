"""What goes wrong with recordings, through the command line: one line with the remedy, and nothing half-written."""

from __future__ import annotations

import shlex
from pathlib import Path
from shutil import copytree

import numpy as np
import polars as pl
import pytest

from motet.cli import main
from motet.core.errors import MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.use.fit import fit
from motet.use.segment import segment
from tests.data.test_streams import write as streams
from tests.use.made import CLASSES, FPS, movement, recordings

HEADER = "recording,start,end,label"
LABEL = "data label a.motet bad.csv --track t"


def other(path: str, *, layout: str = "imu-2", fps: float = FPS, seconds: float = 10.0) -> None:
    """One unlabelled recording of another layout, rate or length."""
    random = np.random.default_rng(0)
    skeleton = layouts.get(layout)
    with ArchiveWriter(path, skeleton=skeleton, fps=fps) as writer:
        writer.add(random.normal(size=(round(seconds * fps), len(skeleton), 3)), name="r")


def one_person_waves(path: str) -> None:
    """Three people; the third alone waves."""
    random = np.random.default_rng(0)
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=FPS, class_names=list(CLASSES)) as writer:
        for person in range(3):
            order = ["sit", "walk"] + ["wave"] * (person == 2)
            frames = np.concatenate([movement(c, 80, random) for c in order])
            labels = [c for c in order for _ in range(80)]
            writer.add(frames, name=f"r{person}", subject=person, tracks={"activity": labels})


def with_a_short_one(path: str, each: int = 80) -> None:
    """Three labelled recordings, of which the last is short and alone has waves."""
    random = np.random.default_rng(0)
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=FPS, units="m/s^2") as writer:
        for name, count, classes in (
            ("r7", each, ("sit", "walk")),
            ("r8", each, ("sit", "walk")),
            ("r9", 3, ("sit", "wave")),
        ):
            frames = np.concatenate([movement(c, count, random) for c in classes])
            labels = [c for c in classes for _ in range(count)]
            writer.add(frames, name=name, tracks={"activity": labels})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    known = recordings(folder / "a.motet", people=2, each=1)
    fit(known, folder / "m", candidates=("statistics+linear",), folds=2, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        other("body.motet", layout="kinect-v2", fps=30.0)
        other("slow.motet", fps=10.0)
        other("short.motet", seconds=0.3)
        one_person_waves("alone.motet")
        with_a_short_one("mixed.motet")
        with_a_short_one("shorter.motet", each=3)
        streams(folder / "apart.npz", watch_time=np.concatenate([1e6 + np.linspace(3, 7, 400)] * 2))
        streams(folder / "classes.npz", watch_label=np.full(800, 9))
        rows = "".join(f"p{i},{'old' if i < 2 else 'young'},{i}.0\n" for i in range(6))
        Path("groups.csv").write_text("person,group,speed\n" + rows)
    return folder


CASES = {
    "overlapping": (LABEL, ["r00,1,3,sit", "r00,2,4,walk"], "bad.csv", "on two tracks"),
    "backward": (LABEL, ["r00,3,1,sit"], "from 3 to 1 s", "swap start and end"),
    "beyond the end": (LABEL, ["r00,1,900,sit"], "outside the recording, which ends at", "correct its times"),
    "unknown recording": (LABEL, ["r99,1,2,sit"], "no recording 'r99'", "it has r00"),
    "no class": (LABEL, ["r00,1,2,"], "has no label", "name its class"),
    "unknown class": ("data select a.motet out --where \"class = 'fly'\"", [], "a.motet", "classes are sit"),
    "class without a name": ("data import streams classes.npz out", [], "watch_label", "add the missing names"),
    "clocks apart": ("data import streams apart.npz out", [], "recording a: clocks of phone and watch", "run apart"),
    "another layout": ("predict m body.motet --out out", [], "body.motet holds", "fit a model on recordings of a"),
    "another rate": (
        "predict m slow.motet --out out",
        [],
        "10 frames per second",
        "data convert slow.motet slow.motet-converted --fps 20",
    ),
    "short, predict": ("predict m short.motet --out out", [], "recording r lasts 0.30 s", "record at least 0.4 s"),
    "short, segment": ("segment short.motet --out out", [], "recording r lasts 0.30 s", "record at least 1.5 s"),
    "short, count": ("count short.motet --out out", [], "recording r lasts 0.30 s", "twice, in at least 0.55 s"),
    "short, fit": ("fit shorter.motet --out out", [], "recording r7 lasts 0.30 s, shorter", "record at least 0.4 s"),
    "short, search of all": ("search short.motet --like r --out out", [], "no other stretch is", "--like r:START-END"),
    "short, search": ("search short.motet --like r:0-9 --out out", [], "0 to 9 s is no part of r", "which lasts 0.3 s"),
    "no labels": ("fit slow.motet --out out", [], "neither label tracks nor labelled clips", "motet data label"),
    "two people": ("compare groups.csv --by group --out out", [], "group 'old'", "record more people"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_with_the_remedy(
    case: str, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, rows, what, remedy = CASES[case]
    monkeypatch.chdir(made)
    Path("bad.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    before = sorted(Path().rglob("*"))
    assert main(shlex.split(command)) == 2
    said = capsys.readouterr().err.strip()
    lines = [line for line in said.splitlines() if "too short for movements to show" not in line]
    assert lines[0].startswith("error: ")
    assert len(lines) <= (3 if "import" in command else 1), said  # an import may say a line for each recording
    assert what in said
    assert remedy in said
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("command", ["predict m", "segment --states=2 --json=s.json"])
def test_one_that_is_too_short_is_named_and_the_others_go_on(
    command: str, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("m", "mixed.motet"):
        copytree(made / name, name)
    assert main([*command.split(), "mixed.motet", "--out", "out.csv", "--track", "t"]) == 0
    window = "0.4" if "predict" in command else "1.5"
    said = f"mixed.motet: left out, as shorter than a window of {window} s: r9 (0.30 s)"
    assert capsys.readouterr().err.strip() == f"warning: {said}"
    archive = MotionArchive.open("mixed.motet")
    for table in (pl.read_csv("out.csv"), archive.tracks["t"]):
        assert set(table["recording"]) == {"r7", "r8"}
        ends = table.group_by("recording").agg(pl.col("end").max())
        assert sorted(ends["end"]) == pytest.approx([8.0, 8.0], abs=0.1)


@pytest.mark.filterwarnings("ignore:.*people are unknown")
def test_labels_of_one_that_is_too_short_do_not_count(made: Path, tmp_path: Path) -> None:
    with pytest.warns(MotetWarning, match=r"left out, as shorter than a window of 0.4 s: r9 \(0.30 s\)"):
        model = fit(made / "mixed.motet", tmp_path / "m", candidates=("statistics+linear",), folds=2, progress=False)
    assert model.classes == ["sit", "walk"]
    assert model.config["trained_on"]["recordings"] == 2
    assert model.config["expected"]["accuracy"] > 0.9


def test_states_are_of_their_recordings_where_the_first_is_too_short(made: Path, tmp_path: Path) -> None:
    """As without it."""
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=FPS) as writer:
        writer.add(np.ones((6, 2, 3)), name="r6", subject=5)
        for row, frames in enumerate(MotionArchive.open(made / "alone.motet")):
            writer.add(frames, name=f"r{row}", subject=row)
    with pytest.warns(MotetWarning, match=r"left out, .*: r6 \(0.30 s\)$"):
        found = segment(tmp_path / "a")
    alone = segment(made / "alone.motet")
    assert (found.labels[0] == -1).all()
    assert len(found.labels[0]) == 3
    for own, other in zip(found.labels[1:], alone.labels, strict=True):
        assert own.tolist() == other.tolist()
    assert found.table.equals(alone.table)


def test_a_class_of_one_person_is_said(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(made)
    verb = ["fit", "alone.motet", "--out", str(tmp_path / "m"), "--candidates", "statistics+linear", "--quiet"]
    assert main(verb) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(said) == 1, said
    assert "only one person has 'wave'" in said[0]
    assert "label it in another person" in said[0]
