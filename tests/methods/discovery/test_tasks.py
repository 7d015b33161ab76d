"""The tasks of the paper and those at hand: given archives of their layouts, each runs with its splits and classes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from motet.core.errors import MotetNote
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.formats import import_dataset
from motet.methods import discovery as discover
from motet.methods.discovery.data import sides
from motet.methods.discovery.tasks import TASKS

SMALL: dict[str, Any] = {
    "epochs": 1,
    "finetune_epochs": 1,
    "frames": 8,
    "width": 2,
    "feature_size": 8,
    "dim": 4,
    "batch_size": 32,
    "kmeans_restarts": 1,
}
# layout, coordinates, unit, number of classes (fewer where all of them train), columns of the clips
SETS: dict[str, tuple[str, str, str, int, dict[str, list[Any]]]] = {
    "NTU RGB+D 60": ("kinect-v2", "xyz", "m", 60, {"setup": [1], "subject": [1, 2, 3], "camera": [2, 3, 1]}),
    "NTU RGB+D 120 without its first 60 classes": ("kinect-v2", "xyz", "m", 120, {"subject": [45, 3], "setup": [18]}),
    "PKU-MMD": (
        "kinect-v2",
        "xyz",
        "m",
        51,
        {"cross_subject": ["train", "test"], "cross_view": ["train", "test"]},
    ),
    "Skeletics": ("vibe-25", "xyz", "unknown", 30, {"subject": [1, 2]}),
    "FineGym (VIBE poses)": ("vibe-25", "xyz", "unknown", 40, {"subject": [1, 2]}),
    "Kinetics-400 (OpenPose)": ("openpose-18", "xy", "picture", 60, {"subject": [1, 2]}),
    "NTU RGB+D 60 (2D poses)": ("coco-17", "xy", "px", 60, {"setup": [1], "subject": [1, 3], "camera": [1, 2]}),
}
PAPER = [name for name, task in TASKS.items() if task.settings == "paper"]


def _archive(folder: Path, name: str) -> MotionArchive:
    layout, channels, unit, classes, columns = SETS[name]
    path = folder / name.replace(" ", "-")
    if path.exists():
        return MotionArchive.open(path)
    skeleton, random = layouts.get(layout), np.random.default_rng(0)
    rest = random.normal(size=(len(skeleton), len(channels)))
    names = [f"class {i}" for i in range(classes)]
    flat = len(channels) == 2
    form = {"channels": tuple(channels), "units": unit, "class_names": names, "confidence": flat}
    with ArchiveWriter(path, skeleton=skeleton, **form) as writer:  # type: ignore[arg-type]
        rounds = max(len(values) for values in columns.values())  # every class on every side
        for i in range(rounds * classes):
            frames = rest + 0.1 * random.normal(size=(6, *rest.shape))
            row = {"subject": 1, **{key: values[i // classes % len(values)] for key, values in columns.items()}}
            scores = random.uniform(0.1, 1, frames.shape[:2]) if flat else None
            writer.add(frames, confidence=scores, name=f"{i}", label=i % classes, **row)
    return MotionArchive.open(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


def test_the_paper_s_five() -> None:
    assert PAPER == ["ntu60-skeletics", "skeletics-pku", "ntu60plus-pku", "finegym-skeletics", "kinetics-ntu60"]
    assert [TASKS[name].clusters for name in PAPER] == [30, 51, 51, 30, 60]


@pytest.mark.filterwarnings("ignore:.*the wrong axis points up")  # bodies of noise stand anyhow
@pytest.mark.parametrize("name", PAPER)
def test_the_tasks_of_the_paper_run(folder: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, value in (("scores.ITERATIONS", 5), ("clusters.ITERATIONS", 5)):
        monkeypatch.setattr(f"motet.methods.discovery.{constant}", value)
    task = TASKS[name]
    archives = _archive(folder, task.source), _archive(folder, task.target)
    flat = len(SETS[task.target][1]) == 2
    out = tmp_path / "run" if flat else None
    result = discover.run(*archives, out, task=name, progress=False, clusters=4, **SMALL)
    assert result["settings"]["encoder"] == "stgcn"
    assert result["settings"]["batch_size"] == 32
    assert (result["settings"]["lr"], result["settings"]["mask"]) == (0.1, 0.3)
    same = SETS[task.source][0] == SETS[task.target][0]
    assert len(result["joints"]) == (len(archives[1].skeleton) if same else 15)
    chosen = sides(*archives, source_split=task.source_split, target_split=task.target_split)
    if task.source_split == "ntu60-xview":
        assert set(archives[0].clips["camera"].gather(chosen.source)) == {2, 3}
    if name == "ntu60plus-pku":
        assert result["source_classes"] == list(range(60, 120))
    assert result["settings"]["score"] is flat
    if out is not None:
        model = discover.load(out)
        assert model.own.channels == model.common.channels == ("x", "y", "score")
        table = pl.read_parquet(out / "clusters.parquet").sort("name")
        again = pl.DataFrame({"name": archives[1].clips["name"], **model.assign(archives[1])}).sort("name")
        assert again["B0"].to_list() == table["B0"].to_list()
        assert again["B1"].to_list() == table["B1"].to_list()
    assert result["settings"]["preprocess"] == ("center" if flat else "crossclr")


FILES = {
    "UI-PRMD Vicon": "ui_prmd_vicon",
    "UI-PRMD Kinect": "ui_prmd_kinect",
    "KARD": "kard",
    "UTKinect": "utkinect",
    "Florence 3D": "florence3d",
    "SmartFallMM, young": "smartfallmm_young",
    "SHREC'17": "shrec17_hand_train",
}
AT_HAND = [name for name in TASKS if name not in PAPER]


@pytest.fixture(scope="module")
def recordings(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, MotionArchive]:
    out = tmp_path_factory.mktemp("recordings")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MotetNote)  # of the clocks of a watch
        return {
            name: import_dataset("npz", shared_data / "skeleton" / f"{file}.npz", out / file, progress=False)
            for name, file in FILES.items()
        }


@pytest.mark.parametrize("name", AT_HAND)
def test_the_tasks_at_hand_choose_their_clips(recordings: dict[str, MotionArchive], name: str) -> None:
    task = TASKS[name]
    source, target = recordings[task.source], recordings[task.target]
    chosen = sides(
        source,
        target,
        source_split=task.source_split,
        target_split=task.target_split,
        source_classes=task.source_classes,
        target_classes=task.target_classes,
    )
    common = discover.CommonLayout.of(source, target)
    assert len(common.skeleton) >= 10
    people = [set(target.clips["subject"].gather(rows)) for rows in (chosen.train, chosen.test)]
    assert not people[0] & people[1]
    assert {p % 2 for p in people[0]} == {1}
    classes = set(np.unique(target.labels[chosen.test]).tolist())
    assert len(classes) == task.clusters
    if source.path == target.path or task.source_classes:
        assert not classes & set(chosen.source_classes)  # new classes only
    assert task.settings == ""


def test_a_task_at_hand_runs(recordings: dict[str, MotionArchive], tmp_path: Path) -> None:
    sizes = {"frames": 8, "hidden": 4, "layers": 1, "dim": 4, "epochs": 1, "finetune_epochs": 1, "kmeans_restarts": 1}
    archives = recordings["KARD"], recordings["UTKinect"]
    result = discover.run(*archives, tmp_path / "run", task="kard-utkinect", progress=False, **sizes)
    assert result["k"] == 10
    assert {row["branch"] for row in result["rows"]} == {"B0", "B1", "B0+B1"}
    assert discover.load(tmp_path / "run").assign(archives[1])["B0"].shape == (len(archives[1]),)
