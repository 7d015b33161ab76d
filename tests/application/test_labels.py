"""Editing labels: cutting, splitting, undo, two pages, and nothing lost when the process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.application.labels import Labels
from motet.core.errors import MotetError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.tracks import UNKNOWN
from tests.conftest import stick


@pytest.fixture
def archive(tmp_path: Path) -> MotionArchive:
    rng = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "a.motet", skeleton=stick(), fps=10.0, class_names=["sit", "walk"]) as writer:
        for name in ("one", "two"):
            writer.add(rng.normal(size=(100, 1, len(stick()), 3)), name=name, subject=1)
    return MotionArchive.open(tmp_path / "a.motet")


def add(start: float, end: float, label: str = "walk", clip: int = 0) -> dict[str, Any]:
    return {"do": "add", "clip": clip, "start": start, "end": end, "label": label}


def spans(labels: Labels, rater: str = "ann") -> list[tuple[int, float, float, str]]:
    return sorted((i.clip, i.start, i.end, i.label) for i in labels.all() if i.rater == rater)


def reopened(labels: Labels) -> Labels:
    return Labels(MotionArchive.open(labels.archive.path), labels.track)


def test_what_is_painted_over_is_cut(archive: MotionArchive) -> None:
    labels = Labels(archive, "labels")
    labels.edit([add(1, 5)], "ann")
    labels.edit([add(0, 9)], "bob")  # another rater's labels stay
    labels.edit([add(2, 3, "sit")], "ann")
    assert spans(labels) == [(0, 1, 2, "walk"), (0, 2, 3, "sit"), (0, 3, 5, "walk")]
    assert spans(labels, "bob") == [(0, 0, 9, "walk")]
    labels.edit([add(0, 9, "sit")], "ann")
    assert spans(labels) == [(0, 0, 9, "sit")]
    assert spans(reopened(labels)) == spans(labels)
    assert archive.class_names == ["sit", "walk"]


def test_move_split_merge_remove_and_back(archive: MotionArchive) -> None:
    labels = Labels(archive, "labels")
    labels.edit([add(1, 3), add(5, 6, "sit")], "ann")
    first = next(i for i in labels.all() if i.label == "walk")
    states = [spans(labels)]
    steps: list[list[dict[str, Any]]] = [
        [{"do": "change", "id": first.id, "start": 2, "end": 4}],
        [{"do": "change", "id": first.id, "end": 3}, add(3, 4)],
        [{"do": "change", "id": first.id, "label": "jump"}],
        [{"do": "remove", "id": first.id}],
        [{"do": "rename", "name": "sit", "to": "rest"}],
    ]
    for step in steps:
        labels.edit(step, "ann")
        states.append(spans(labels))
    assert states[1] == [(0, 2, 4, "walk"), (0, 5, 6, "sit")]
    assert states[2] == [(0, 2, 3, "walk"), (0, 3, 4, "walk"), (0, 5, 6, "sit")]
    assert states[5] == [(0, 3, 4, "walk"), (0, 5, 6, "rest")]
    assert labels.classes == ["rest", "walk", "jump"]
    for state in states[-2::-1]:
        labels.undo("ann")
        assert spans(labels) == state == spans(reopened(labels))
    for state in states[1:]:
        labels.redo("ann")
        assert spans(labels) == state
    labels.undo("bob")  # has nothing to take back
    assert spans(labels) == states[-1]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0.05, 3), st.sampled_from("ab")), min_size=1, max_size=12))
def test_labels_of_a_rater_never_overlap_and_undo_is_exact(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[float, float, str]]
) -> None:
    with ArchiveWriter(tmp_path_factory.mktemp("h") / "a.motet", skeleton=stick(), fps=10.0) as writer:
        writer.add(np.ones((100, 1, len(stick()), 3)), name="one")
    labels = Labels(MotionArchive.open(writer.destination), "labels")
    before = []
    for start, length, label in drawn:
        before.append(spans(labels))
        labels.edit([add(start, start + length, label)], "ann")
        now = spans(labels)
        assert all(a[2] <= b[1] for a, b in pairwise(now))
        assert any(s <= start + length / 2 < e and found == label for _, s, e, found in now) or start + length / 2 > 10
    assert spans(reopened(labels)) == spans(labels)
    for state in reversed(before):
        labels.undo("ann")
        assert spans(labels) == state


def test_a_page_is_told_what_it_does_not_know(archive: MotionArchive) -> None:
    labels = Labels(archive, "labels")
    labels.edit([add(0, 1)], "ann")
    page = {one[0]: one for one in labels.since(-1, "ann")["added"]}
    known = labels.revision
    labels.edit([add(0.5, 2, "sit")], "bob")
    labels.edit([add(0.5, 2, "sit")], "ann")
    labels.edit([{"do": "remove", "id": next(i.id for i in labels.all() if i.rater == "bob")}], "bob")
    told = labels.since(known, "ann")
    assert not told["reset"]
    for gone in told["removed"]:
        page.pop(gone, None)
    page |= {one[0]: one for one in told["added"]}
    assert page == {one.id: one.to_list() for one in labels.all()}
    assert labels.since(99, "ann")["reset"]


def test_undo_ends_where_somebody_else_has_changed_the_labels(archive: MotionArchive) -> None:
    labels = Labels(archive, "labels")
    labels.edit([add(0, 1)], "ann")
    labels.edit([{"do": "rename", "name": "walk", "to": "run"}], "bob")
    with pytest.raises(MotetError, match="changed elsewhere"):
        labels.undo("ann")
    assert spans(labels) == [(0, 0, 1, "run")]


def test_the_same_label_of_another_rater_is_there_after_a_restart(archive: MotionArchive) -> None:
    labels = Labels(archive, "labels")
    for rater in ("ann", "bob"):
        labels.edit([add(0, 9)], rater)
    own = {i.rater: i.id for i in labels.all()}
    with pytest.raises(MotetError, match="only change their own"):
        labels.edit([{"do": "remove", "id": own["bob"]}], "ann")
    labels.edit([{"do": "remove", "id": own["ann"]}], "ann")
    assert [i.rater for i in reopened(labels).all()] == [i.rater for i in labels.all()] == ["bob"]


def test_imported_labels_never_change(archive: MotionArchive) -> None:
    given = [{"recording": "one", "start": 0.0, "end": 4.0, "label": "walk"}]
    archive.tracks.save("labels", given)
    labels = Labels(MotionArchive.open(archive.path), "labels")
    labels.edit([add(5, 6)], "ann")
    labels.edit([{"do": "rename", "name": "walk", "to": "run"}], "ann")
    assert labels.classes == ["sit", "walk", "run"]
    with pytest.raises(MotetError, match="imported labels"):
        labels.edit([add(0, 9)], UNKNOWN)
    assert spans(labels) == [(0, 5, 6, "run")]
    rows = reopened(labels).tracks["labels"].filter(pl.col("rater").is_null())
    assert rows.select("recording", "start", "end", "label").to_dicts() == given


@pytest.mark.parametrize(
    ("operations", "says"),
    [
        ([add(3, 2)], "backward"),
        ([add(12, 14)], "empty or runs backward"),
        ([add(0, 1, clip=7)], "no recording"),
        ([add(0, 1, "  ")], "needs a name"),
        ([add(0, 1, "x" * 200)], "at most 80"),
        ([add(0, 1, "a\x1b[2J")], "can be printed"),
        ([add(0, float("nan"))], "number of seconds"),
        ([{**add(0, 1), "certainty": 3}], "certainty"),
        ([{"do": "change", "id": 77, "end": 3}], "not there any more"),
        ([{"do": "explode"}], "no operation"),
        ([add(0, 1), {"do": "remove", "id": "1"}], "not there"),
    ],
)
def test_edits_that_make_no_sense_change_nothing(
    archive: MotionArchive, operations: list[dict[str, Any]], says: str
) -> None:
    labels = Labels(archive, "labels")
    with pytest.raises(MotetError, match=says):
        labels.edit(operations, "ann")
    assert labels.all() == []
    assert labels.revision == 0


EDITS = """
import sys
from motet.application.labels import Labels
from motet.data.archive import MotionArchive
labels = Labels(MotionArchive.open(sys.argv[1]), "labels")
for number in range(1000):
    start = number % 90 / 10
    labels.edit([{"do": "add", "clip": 0, "start": start, "end": start + 0.1, "label": f"c{number}"}], "ann")
    print(number, flush=True)
"""


def test_nothing_answered_is_lost_when_the_process_is_killed(archive: MotionArchive) -> None:
    command = [sys.executable, "-c", EDITS, str(archive.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        answered = [int(child.stdout.readline()) for _ in range(20)]
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split()
    last = int(rest[-1]) if rest else answered[-1]
    labels = Labels(MotionArchive.open(archive.path), "labels")
    found = {int(i.label[1:]) for i in labels.all()}
    assert found >= set(range(min(last + 1, 90)))


def test_an_edit_among_many_is_quick_and_folded_at_the_next_start(archive: MotionArchive) -> None:
    labels = Labels(archive, "labels")
    labels.edit([add(i * 0.02, i * 0.02 + 0.015, f"c{i % 5}", clip=i % 2) for i in range(400)], "ann")
    began = time.perf_counter()
    labels.edit([add(1, 2)], "ann")
    assert time.perf_counter() - began < 30  # no test depends on the machine; the figure is in docs/app.md
    again = reopened(labels)
    assert not list(archive.path.glob("tracks/*.journal"))
    assert spans(again) == spans(labels)
