"""What a run was trained on: a change of people, labels, names or cameras is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from motet import evaluate
from motet.core.errors import MotetWarning, RunError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.engine.identity import changes, digest, identity, packed, unpacked
from motet.engine.run import Run
from motet.methods.pretrain import resume
from tests.methods.test_pretrain import tiny


def renumbered(archive: MotionArchive, out: Path, column: str) -> MotionArchive:
    """The same frames in the same order with one column changed by one."""
    with ArchiveWriter(
        out,
        skeleton=archive.skeleton,
        units=archive.units,
        persons=archive.persons,
        fps=archive.fps,
        class_names=archive.class_names,
    ) as writer:
        for row, clip in enumerate(archive.clips.iter_rows(named=True)):
            kept = {name: clip[name] for name in ("name", "label", "subject", "camera") if clip[name] is not None}
            if column == "name":
                kept["name"] = f"again-{row}"
            elif column == "label":
                kept["label"] = (kept["label"] + 1) % len(archive.class_names)
            else:
                kept[column] = kept.get(column, 0) + 1
            writer.add(archive.clip(row), **kept)
    return MotionArchive.open(out)


@pytest.mark.parametrize(
    ("column", "said"), [("subject", "people"), ("label", "labels"), ("name", "names of clips"), ("camera", "cameras")]
)
def test_what_changed_is_named(small_archive: MotionArchive, tmp_path: Path, column: str, said: str) -> None:
    stored = json.loads(json.dumps(identity(small_archive)))
    assert changes(stored, small_archive) == []
    other = renumbered(small_archive, tmp_path / "other", column)
    assert other.hash == small_archive.hash
    assert changes(stored, other) == [said]
    assert digest(small_archive) == digest(MotionArchive.open(small_archive.path)) != digest(other)
    del stored["columns"]  # a run of an earlier version
    assert changes(stored, other) == []


def test_people_that_change_sides_are_noticed(small_archive: MotionArchive, tmp_path: Path) -> None:
    """The same recordings with the people renumbered by one: what trained would be what is tested."""
    here = tmp_path / "here"
    copy = renumbered(small_archive, here, "camera")
    run = tiny("moco", copy, tmp_path / "run", epochs=1)
    trained = run.trained_on(copy)
    other = renumbered(copy, tmp_path / "other", "subject")
    here.rename(tmp_path / "before")
    other.path.rename(here)
    with pytest.raises(RunError, match=r"any more: people changed; name it by --data"):
        evaluate.run(run, ("knn",), progress=False)
    weights = (run.path / "model.safetensors").read_bytes()
    (run.path / "model.safetensors").unlink()
    with pytest.raises(RunError, match="people changed"):
        resume(run.path, progress=False)
    with pytest.raises(RunError, match="people changed"):
        resume(run.path, data=here, progress=False)
    (run.path / "model.safetensors").write_bytes(weights)
    moved = MotionArchive.open(here)
    assert np.array_equal(Run.open(run.path).trained_on(moved), trained)
    with pytest.warns(MotetWarning, match=r"24 of 24 test clips.* were in the pretraining.*people changed since then"):
        evaluate.run(run, ("knn",), data=here, split="odd-even", baselines=False, progress=False)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 48])
def test_rows_survive_as_text(count: int) -> None:
    rows = np.arange(0, count, 3)
    assert np.array_equal(unpacked(packed(rows, count), count), rows)
    with pytest.raises(ValueError, match="it holds"):
        unpacked(packed(rows, count), count + 8)


def test_a_classifier_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"kind": "classifier"}')
    with pytest.raises(RunError, match="is a classifier of `motet fit`, not a run; `motet predict`"):
        Run.open(tmp_path)
