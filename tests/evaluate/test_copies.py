"""Test clips that are copies of training clips: found in the archive, and left out of a second figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from motet import evaluate
from motet.core.errors import ConfigError
from motet.data import copies
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.splits import split
from motet.evaluate.clips import labelled_clips, without_copies
from tests.evaluate.test_runner import SKELETON, rows_of, write_run

TRAIN, TEST = 6, 4


def _written(path: Path, test: int = TEST) -> MotionArchive:
    """Six training clips; of the test clips the first is the first of these, the second the second with noise and
    moved, the third a window of the third; all others are their own."""
    random = np.random.default_rng(0)
    own = [np.cumsum(random.normal(0, 0.3, (30, 4, 3)), axis=0) for _ in range(TRAIN + TEST)]
    near = own[1] + 5.0 + random.normal(0, 1e-4, own[1].shape)
    copied = [own[0], near, own[2][8:24], own[TRAIN]][:test]
    with ArchiveWriter(path, skeleton=SKELETON, class_names=("a", "b")) as writer:
        for i, frames in enumerate([*own[:TRAIN], *copied]):
            writer.add(frames, name=f"clip{i}", label=i % 2, subject=1 if i < TRAIN else 2)
    return MotionArchive.open(path)


def test_exact_and_near_copies_across_the_split_are_told_apart(tmp_path: Path) -> None:
    archive = _written(tmp_path / "a")
    parts = split(archive, "odd-even")
    exact, close = copies.across(archive, parts.train, parts.test)
    assert exact.tolist() == [6]
    assert close.tolist() == [7, 8]


def test_a_clip_without_its_copies_keeps_labels_in_step(tmp_path: Path) -> None:
    archive = _written(tmp_path / "a")
    clips = labelled_clips(archive, split(archive, "odd-even"))
    fewer = without_copies(archive, clips)
    assert fewer.test.tolist() == [9]
    assert fewer.test_labels.tolist() == [1]
    assert ["3 of 4 test clips are copies of training clips (1 exact, 2 with noise" in n for n in clips.notes] == [True]
    small = _written(tmp_path / "b", test=2)
    clips = labelled_clips(small, split(small, "odd-even"))
    with pytest.raises(ConfigError, match="every test clip"):
        without_copies(small, clips)


@pytest.mark.parametrize("protocol", ["knn", "retrieval", "linear"])
def test_both_figures_are_given(tmp_path: Path, protocol: str) -> None:
    archive = _written(tmp_path / "a")
    run = write_run(tmp_path / "run", archive, streams=("joint",))
    options = {"linear": {"epochs": 2, "batch_size": 4}} if protocol == "linear" else {}
    with pytest.warns(match="3 of 4 test clips are copies"):
        found = evaluate.run(run, (protocol,), without_copies=True, progress=False, **options)
    rows = rows_of(found, protocol=protocol, features="raw", stream="joint")
    whole, strict = ([r for r in rows if ("subset" in r.details) is flag] for flag in (False, True))
    assert [r.metric for r in whole] == [r.metric for r in strict]
    assert all(r.details["subset"] == "without copies" for r in strict)
    if protocol == "knn":
        assert whole[0].values != strict[0].values  # copies find themselves
        assert strict[0].values[0] in (0.0, 1.0)  # one clip is left
    assert "--without-copies" in found["command"]
    assert any("3 of 4 test clips are copies" in note for note in found["notes"])
    text = (run.path / "evaluation.md").read_text()
    assert "without copies" in text


def test_an_archive_without_copies_says_so_once(tmp_path: Path, archive_without: MotionArchive) -> None:
    run = write_run(tmp_path / "run", archive_without, streams=("joint",))
    with pytest.warns(match="no test clip is a copy"):
        found = evaluate.run(run, ("knn",), without_copies=True, progress=False)
    assert not [row for row in found["rows"] if "subset" in row["details"]]


@pytest.fixture
def archive_without(tmp_path: Path) -> MotionArchive:
    random = np.random.default_rng(1)
    with ArchiveWriter(tmp_path / "own", skeleton=SKELETON, class_names=("a", "b")) as writer:
        for i in range(8):
            writer.add(random.normal(size=(12, 4, 3)), name=f"clip{i}", label=i % 2, subject=1 + i // 4)
    return MotionArchive.open(tmp_path / "own")
