"""Animals that one camera shows larger than another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from motet.core.errors import ConfigError, MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import convert, merge, select, split
from motet.data.inspection import found
from motet.data.inspection.mixed import warn_mixed
from motet.data.skeletons import Skeleton
from motet.use.fit import fit
from motet.use.predictor import load_predictor

MOUSE = Skeleton(name="mouse", joints=("nose", "neck", "tailbase"), parents=(1, -1, 1), up="-y")


def mice(path: Path, sizes: list[float], frames: int = 400, skeleton: Skeleton = MOUSE) -> MotionArchive:
    random = np.random.default_rng(0)
    with ArchiveWriter(path, skeleton=skeleton, fps=30.0, units="px", channels=("x", "y")) as writer:
        for number, size in enumerate(sizes):
            line = np.linspace(1, -1, len(skeleton))[:, None] * [50, 0]
            body = line * (1 - 0.6 * (np.arange(frames) % 5 == 0))[:, None, None]  # now and then it rears
            clip = (body + random.normal(0, 2, (frames, len(skeleton), 2)) + 300) * size
            clip[::7, 0] = 0
            writer.add(clip, name=f"m{number}", subject=number)
    return MotionArchive.open(path)


def mixed(archive: MotionArchive) -> list[str]:
    return [str(e["clip"]) for fault in found(archive) if fault.name == "mixed sizes" for e in fault.examples]


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ([1, 1.1, 0.9, 0.35], ["m3"]),
        ([0.35, 0.35, 1, 1], ["m0", "m1"]),  # of two halves one
        ([1, 2, 1.05, 0.95], ["m1"]),
        ([1, 1.3, 0.8], []),
        ([3.0], []),
    ],
)
def test_recordings_of_another_camera_are_named(tmp_path: Path, sizes: list[float], named: list[str]) -> None:
    archive = mice(tmp_path / "a", sizes)
    assert mixed(archive) == named
    if named:
        with pytest.warns(MotetWarning, match=rf"animals measure .*{named[0]} first"):
            warn_mixed(archive)
    else:
        warn_mixed(archive)


def test_short_clips_and_people_have_any_size(tmp_path: Path) -> None:
    assert mixed(mice(tmp_path / "short", [1, 1, 0.35], frames=200)) == []
    assert mixed(mice(tmp_path / "people", [1, 1, 0.35], skeleton=layouts.get("coco-17"))) == []


def people(path: Path, sizes: list[float]) -> MotionArchive:
    random = np.random.default_rng(0)
    with ArchiveWriter(path, skeleton=layouts.get("common-15"), fps=30.0, class_names=["still", "fast"]) as writer:
        for number, size in enumerate(sizes):
            body = random.uniform(-1, 1, (1, 15, 3)) + random.normal(0, 0.02 + 0.1 * (number % 2), (60, 15, 3))
            writer.add(body * size, name=f"p{number}", subject=number // 2, label=number % 2)
    return MotionArchive.open(path)


def test_people_in_space_of_another_unit_are_named(tmp_path: Path) -> None:
    archive = people(tmp_path / "a", [1.0, 0.9, 1.1, 0.1, 0.6])
    assert mixed(archive) == ["p3"]
    with pytest.warns(MotetWarning, match=r"bodies measure .*as in another unit"):
        warn_mixed(archive)
    model = tmp_path / "model"
    fit(people(tmp_path / "b", [1.0] * 6), model, candidates=("statistics+linear",), progress=False)
    with pytest.warns(MotetWarning, match=r"bodies in .*another unit, so answers are likely wrong.*--scale (10|9\.9)`"):
        list(load_predictor(model).bouts(people(tmp_path / "c", [0.1, 0.1])))


def test_windows_count_as_their_recording(tmp_path: Path) -> None:
    windows = split(mice(tmp_path / "a", [1, 1, 0.35]), tmp_path / "windows", seconds=2)
    assert {name.partition(" ")[0][:2] for name in mixed(windows)} == {"m2"}


def test_one_scale_by_what_the_remedy_says(tmp_path: Path) -> None:
    archive = mice(tmp_path / "a", [1, 1, 0.4])
    small = select(archive, tmp_path / "small", finding=["mixed sizes"])
    rest = select(archive, tmp_path / "rest", drop_finding=["mixed sizes"])
    assert (small.clips["name"].to_list(), len(rest)) == (["m2"], 2)
    scaled = convert(small, tmp_path / "scaled", scale=2.5)
    np.testing.assert_allclose(scaled.clip(0), 2.5 * small.clip(0), rtol=1e-6)
    both = merge([rest, scaled], tmp_path / "both")
    assert (len(both), both.units, mixed(both)) == (3, "px", [])
    assert convert(small, tmp_path / "cm", scale=0.1, units="cm").units == "cm"
    for wrong in (0.0, -1.0, np.inf):
        with pytest.raises(ConfigError, match="must be positive"):
            convert(small, tmp_path / "wrong", scale=wrong)
    with pytest.raises(ConfigError, match="unit 'ells' is none of"):
        convert(small, tmp_path / "wrong", scale=2.0, units="ells")


@pytest.mark.filterwarnings("ignore:only [0-9]+ windows|people are unknown")
def test_a_model_warns_of_animals_of_another_size(tmp_path: Path) -> None:
    archive = mice(tmp_path / "a", [1, 1.1, 0.9, 1])
    for name in archive.clips["name"]:
        rows = [{"recording": name, "start": s, "end": s + 2.0, "label": "ab"[s // 2 % 2]} for s in range(0, 12, 2)]
        archive.tracks.save("k", [*(archive.tracks["k"].to_dicts() if "k" in archive.tracks else []), *rows])
    model = fit(archive, tmp_path / "model", candidates=("statistics+linear",), progress=False)
    size = model.config["trained_on"]["size"]
    assert 95 < size < 125
    load_predictor(tmp_path / "model").predict(mice(tmp_path / "same", [1.2, 0.8]))
    with pytest.warns(MotetWarning, match=r"animals in .*other measure .*, so answers .* --scale.*2\.[3-7]"):
        load_predictor(tmp_path / "model").predict(mice(tmp_path / "other", [0.4, 0.4]))
    with pytest.warns(MotetWarning, match=r"measure .* px \(m2\), those that the model learnt from"):
        load_predictor(tmp_path / "model").predict(mice(tmp_path / "some", [1, 1, 0.4]))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    del config["trained_on"]["size"]  # of an earlier version
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    load_predictor(tmp_path / "model").predict(mice(tmp_path / "third", [0.4]))
