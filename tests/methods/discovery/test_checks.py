"""What a discovery says of archives before it trains on them, and of new recordings before it labels them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.cli import main
from motet.core.errors import ConfigError, DataError, MotetWarning, RunError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.skeletons import Skeleton
from motet.methods import discovery as discover
from motet.methods.discovery.checks import check_recordings, check_size, check_task
from motet.methods.discovery.data import class_numbers, sides
from motet.methods.discovery.settings import SETTINGS
from motet.methods.discovery.tasks import LAYOUTS, TASKS
from tests.conftest import stick, write_clips
from tests.methods.discovery.test_joints import upright

SIZES = {"encoder": "gru", "hidden": 4, "layers": 1, "frames": 8, "dim": 4, "batch_size": 8, "kmeans_restarts": 1}
TINY: dict[str, Any] = {"epochs": 1, "finetune_epochs": 1, **SIZES, "progress": False}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[MotionArchive, MotionArchive]:
    folder = tmp_path_factory.mktemp("sets")
    return write_clips(folder / "a", 24, 3, 2, seed=1), write_clips(folder / "b", 24, 3, 4, seed=2)


def written(path: Path, clips: list[np.ndarray], skeleton: Skeleton | None = None, **columns: Any) -> MotionArchive:
    with ArchiveWriter(path, skeleton=skeleton or stick()) as writer:
        for i, frames in enumerate(clips):
            writer.add(frames, name=f"{i}", **{name: values[i] for name, values in columns.items()})
    return MotionArchive.open(path)


def copied(path: Path, archive: MotionArchive, labels: bool, factor: float = 1.0, clips: int = 99) -> MotionArchive:
    some = range(min(clips, len(archive)))
    told = {"label": archive.labels.tolist(), "subject": archive.clips["subject"].to_list()} if labels else {}
    return written(path, [factor * archive.clip(i) for i in some], **told)


def test_a_target_without_labels_trains_with_all_its_clips(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = copied(tmp_path / "bare", sets[1], labels=False)
    chosen = sides(sets[0], bare)
    assert (len(chosen.train), chosen.target_split) == (24, "all")
    result = discover.run(sets[0], bare, clusters=2, **{**TINY, "progress": True})
    assert "all 24 clips of the target train" in capsys.readouterr().err
    assert result["target"] == {"name": "bare", "train": 24, "scored": 0}
    # a rule that was asked for stays, and what it costs is said
    halved = sides(sets[0], bare, target_split="random:0.5@0")
    assert len(halved.train) < 24
    assert "none of them can be evaluated (--target-split all" in halved.says(bare)
    # with labels some are evaluated
    split = sides(*sets)
    assert split.target_split == "odd-even"
    assert "12 clips of the target train, the 12 on the other side of the split odd-even are evaluated" in split.says(
        sets[1]
    )
    assert "--target-split all" in split.says(sets[1])


def test_zero_coordinates_are_refused(sets: tuple[MotionArchive, MotionArchive], tmp_path: Path) -> None:
    zero = copied(tmp_path / "zero", sets[1], labels=True, factor=0.0)
    for pair in ((zero, sets[1]), (sets[0], zero)):
        with pytest.raises(DataError, match="zero: every coordinate of its 24 clips is zero"):
            discover.run(*pair, tmp_path / "run", clusters=2, **TINY)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("factor", "said"), [(1000.0, "more likely mm"), (0.01, "no usual unit|more likely")])
def test_a_wrong_unit_is_named(
    sets: tuple[MotionArchive, MotionArchive],
    tmp_path: Path,
    factor: float,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("motet.data.doctor.axes.is_human", lambda skeleton: True)
    off = copied(tmp_path / "off", sets[1], labels=True, factor=factor)
    for pair in ((off, sets[1]), (sets[0], off)):
        with pytest.raises(MotetWarning, match=rf"off: .*({said})"):  # an error here, so nothing is trained
            discover.run(*pair, clusters=2, **TINY)


def test_a_wrong_unit_or_axis_of_new_recordings_is_named(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motet.data.doctor.axes.is_human", lambda skeleton: True)
    discover.run(*sets, tmp_path / "run", clusters=2, **TINY)
    found = discover.load(tmp_path / "run")
    off = copied(tmp_path / "off", sets[1], labels=False, factor=1000.0, clips=3)
    for call in (found.label, found.shared):
        with pytest.warns(MotetWarning, match="off: .*more likely mm"):
            call(off)
    with pytest.raises(DataError, match="zero"):
        found.label(copied(tmp_path / "zero", sets[1], labels=False, factor=0.0, clips=3))
    kinect = layouts.get("kinect-v2")
    tipped = written(tmp_path / "tipped", [upright(kinect)[..., [0, 2, 1]]], kinect)
    with pytest.warns(MotetWarning, match=r"tipped: the wrong axis points up.*\+z .*\+y is declared.*declare up"):
        check_recordings(tipped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_recordings(written(tmp_path / "right", [upright(kinect)], kinect))


def test_new_recordings_are_brought_to_the_target_s_axes(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path
) -> None:
    discover.run(*sets, tmp_path / "run", clusters=2, **TINY)
    found, body = discover.load(tmp_path / "run"), stick()
    standing = Skeleton(**{**vars(body), "up": "+z", "right_handed": body.right_handed})
    # y up, right-handed: (x, y, z) is (x, -z, y) where z is up
    turned = [sets[1].clip(i)[..., [0, 2, 1]] * (1, -1, 1) for i in range(6)]
    again = found.features(written(tmp_path / "z", turned, standing))
    for expected, seen in zip(found.features(copied(tmp_path / "y", sets[1], False, clips=6)), again, strict=True):
        np.testing.assert_allclose(expected.numpy(), seen.numpy(), atol=1e-5)


def test_a_task_on_other_sets_is_named(tmp_path: Path) -> None:
    assert {s for t in TASKS.values() for s in (t.source, t.target)} == set(LAYOUTS)
    archives = {}
    for name in ("nite-15", "florence-15"):
        skeleton = layouts.get(name)
        archives[name] = written(tmp_path / name, [np.ones((3, len(skeleton), 3))] * 2, skeleton)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_task("kard-florence", archives["nite-15"], archives["florence-15"])
    with pytest.warns(MotetWarning, match=r"expects Florence 3D \(layout florence-15\) as its target, .*nite-15 has"):
        check_task("kard-florence", archives["nite-15"], archives["nite-15"])


def test_a_target_that_is_the_source(sets: tuple[MotionArchive, MotionArchive]) -> None:
    same = sets[0]
    with pytest.raises(MotetWarning, match=r"classes of both are the same .*class 0.* scores say nothing"):
        discover.run(same, same, clusters=2, **TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        discover.run(same, same, source_classes=[0, 1], target_classes=[2], clusters=2, **TINY)


def test_classes_by_name(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert class_numbers(sets[1], ["class 2", "1", 0], "target") == (2, 1, 0)
    paths = ["--source", str(sets[0].path), "--target", str(sets[1].path), "--out", str(tmp_path / "run")]
    assert main(["discover", *paths, "--target-classes", "walk", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "--target-classes walk: " in said
    assert "0 (class 0), 1 (class 1), 2 (class 2)" in said
    assert "int" not in said.replace("point", "").split("classes are")[1]
    result = discover.run(*sets, clusters=2, target_classes=["class 0", "class 1"], **TINY)
    assert result["target"]["train"] == 8


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("side", ["source", "target"])
def test_one_clip_is_too_few(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, side: str, labels: bool
) -> None:
    one = copied(tmp_path / "one", sets[1], labels, clips=1)
    pair = (one, sets[1]) if side == "source" else (sets[0], one)
    with pytest.raises(ConfigError, match=rf"one: 1 clip is too few; a {side} needs two") as raised:
        sides(*pair)
    assert "split" not in str(raised.value)


def test_settings_that_teach_nothing() -> None:
    for options, said in (
        ({"frames": 1}, "no motion"),
        ({"batch_size": 1}, "raise --batch-size"),
        ({"clusters": 18}, "18 clusters of 20 training clips"),
    ):
        with pytest.warns(MotetWarning, match=said):
            check_size(SETTINGS["small"].with_options(options), 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_size(SETTINGS["small"].with_options({"clusters": 10}), 20)


@pytest.mark.parametrize("name", ["nope", "runs/nope"])
def test_a_start_that_is_not_there(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("motet.engine.hub.fetch", lambda name: pytest.fail("the hub was asked"))
    with pytest.raises(RunError, match=f"there is no run {name};"):
        discover.run(*sets, clusters=2, start=name, **TINY)
