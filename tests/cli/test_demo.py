"""The demo's course on tiny sets: what is compared, what it says, and that a second call trains nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.cli import demo
from motet.core.errors import RunError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.layouts import get as layout
from motet.engine.table import Row


def watch(name: str, source: str, path: Path, *, progress: bool) -> MotionArchive:
    """In place of the recordings from PyPI: two classes of a wrist that differ in pace."""
    assert (name, source) == ("watch", "seglearn")
    random = np.random.default_rng(0)
    with ArchiveWriter(path, skeleton=layout("imu-2"), fps=50.0, class_names=["slow", "fast"], units="g, rad/s") as out:
        for number in range(32):
            label, time = number % 2, np.arange(100) / 50
            swing = np.sin(2 * np.pi * (1 + 3 * label) * time + random.uniform(0, 6))[:, None, None, None]
            frames = swing * random.normal(1, 0.2, (1, 1, 2, 3)) + random.normal(0, 0.1, (100, 1, 2, 3))
            out.add(frames, name=f"c{number}", label=label, subject=number // 4)
    return MotionArchive.open(path)


@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetWarning")  # tiny sets
def test_the_demo_compares_and_says_where_the_reports_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "import_dataset", watch)
    monkeypatch.setattr(demo, "SIMULATED", {"clips": 24, "actions": 2, "actors": 4, "seed": 3})
    monkeypatch.setattr(demo, "SHOTS", (1,))
    pages = demo.demo(tmp_path / "demo", progress=False, steps=2)
    said = capsys.readouterr().out
    for page in pages:
        assert str(page.resolve()) in said
        text = page.read_text()
        assert "random convolutions" in text or "rocket" in text  # the report has the baselines
        assert "untrained" in text
    rows = re.findall(r"^\| (\w[^|]*?) +\|", said, flags=re.M)
    assert rows == [
        *("features", "raw", "random encoder", "random convolutions", "body (shipped)"),
        *(
            "features",
            "raw",
            "statistics and spectrum",
            "random encoder",
            "random convolutions",
            "weights wrist",
            "cmd",
            "moco",
        ),
    ]
    monkeypatch.setattr(demo, "simulate", None)
    monkeypatch.setattr(demo, "import_dataset", None)
    assert demo.demo(tmp_path / "demo", progress=False, steps=2) == pages
    assert capsys.readouterr().out == said
    monkeypatch.undo()
    _made_by_an_earlier_version(tmp_path, monkeypatch, capsys)


def _made_by_an_earlier_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is there stays as it is, and a fresh place is taken, again by the next call; its errors are errors."""
    monkeypatch.setattr(demo, "_shipped", lambda out, *_: out)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    trained, fresh = demo._trained, []

    def other(out: Path, *given: Any) -> Path:
        if out.is_relative_to(folder / "demo"):
            return trained(out, *given)
        fresh.append(out)
        out.mkdir(parents=True, exist_ok=True)
        return out

    monkeypatch.setattr(demo, "_trained", other)
    for _ in range(2):
        demo.demo(folder / "demo", progress=False, steps=3)
        said = capsys.readouterr().out
        assert f"{folder / 'demo'} stays as it is, and the demo goes to {folder / 'demo-2'}, because" in said
        assert re.search(r"it cannot be continued: .*(steps|options|differ)", said)
    assert fresh == [folder / "demo-2" / "watch"] * 2
    assert {path: path.read_bytes() for path in before} == before

    def broken(out: Path, *_: Any) -> Path:
        raise RunError("the loss is not finite")

    monkeypatch.setattr(demo, "_trained", broken)
    with pytest.raises(RunError, match="not finite"):
        demo.demo(folder / "new", progress=False)


@pytest.mark.parametrize(
    ("ours", "words"), [(0.9, "10.0 points above"), (0.7, "10.0 points below"), (0.8, "level with")]
)
def test_the_summary_is_favourable_only_where_the_numbers_are(ours: float, words: str) -> None:
    rows = [Row("ridge", "raw", "a+b", (0.6,)), Row("ridge", "random convolutions", "a+b", (0.8,))]
    rows += [Row("ridge", "cmd", "a+b", (ours,)), Row("ridge", "moco", "a+b", (0.5,))]
    assert demo.leads(rows) == [f"ridge: cmd is {words} the best of the untrained baselines (random convolutions)"]
