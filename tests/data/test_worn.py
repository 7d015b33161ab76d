"""Sensors worn on the left are read as if they were worn on the right."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

import motet
from motet.core.errors import ConfigError, MotetNote, MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import convert, merge, select
from motet.data.inspection import inspect
from motet.data.loader import ClipStore
from motet.data.stitch import stitch
from motet.data.together import gathered
from motet.data.worn import axis_of, digest_of, mirrored, note_of, worn_left
from motet.methods.discovery.data import fitting
from motet.methods.fitting import described_views
from motet.methods.pretrain import pretrain, resolve
from motet.methods.start import Start
from motet.use.predict import Live
from motet.use.predictor import load_predictor
from motet.use.signals import Layout, recorded

FPS, FRAMES = 50.0, 60
PEOPLE, CLIPS = 4, 6


def rotation(axis: npt.NDArray[np.float64], angle: float) -> npt.NDArray[np.float64]:
    """Rodrigues."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def readings(path: npt.NDArray[np.float64], frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(T, 2, 3) what an accelerometer and a gyroscope measure, from first principles.

    Args:
        path: (T, 3) place in the room, z up, metres.
        frames: (T, 3, 3) its axes in the room, as columns.
    """
    force = np.gradient(np.gradient(path, axis=0), axis=0) * FPS**2 + np.array([0, 0, 9.81])
    spin = np.einsum("tji,tjk->tik", frames, np.gradient(frames, axis=0) * FPS)  # Rᵀ dR/dt, skew
    turn = (
        np.stack([spin[:, 2, 1] - spin[:, 1, 2], spin[:, 0, 2] - spin[:, 2, 0], spin[:, 1, 0] - spin[:, 0, 1]], 1) / 2
    )
    return np.stack([np.einsum("tji,tj->ti", frames, force), turn], axis=1)


def movement(rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Place and axes of a device at the right wrist: a swing about an axis of its own, held some way round."""
    time = np.arange(FRAMES) / FPS
    about, held = np.array([0.3, 1.0, 0.2]) + rng.normal(0, 0.1, 3), rotation(np.array([1.0, 0.5, 0.0]), 0.8)
    angle = 0.6 * np.sin(2 * np.pi * (1 + 0.1 * rng.normal()) * time + 0.3 * rng.normal())
    frames = np.stack([rotation(about, a) @ held for a in angle])
    return frames @ np.array([0.1, 0.5, 0.1]), frames


def swung_left(
    path: npt.NDArray[np.float64], frames: npt.NDArray[np.float64], axis: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mirror image in the plane of the body (x = 0 of the room), with a device that stays right-handed: one of its
    axes points the other way round."""
    flip, own = np.diag([-1.0, 1.0, 1.0]), np.eye(3)
    own[axis, axis] = -1
    return path @ flip, flip @ frames @ own


def archive(path: Path, axis: int = 1, side: str = "side", *, both: bool = True, persons: int = 1) -> MotionArchive:
    rng = np.random.default_rng(3)
    with ArchiveWriter(
        path, skeleton=layouts.get("imu-2"), fps=FPS, class_names=["a", "b"], units="m/s^2, rad/s"
    ) as to:
        for i in range(PEOPLE * CLIPS):
            made = movement(rng)
            left = both and i % 2 == 1
            clip = readings(*(swung_left(*made, axis) if left else made)).astype(np.float32)
            column = {side: "left" if left else "right"}
            to.add(clip[:, None], name=f"c{i}", label=i // 2 % 2, subject=1 + i // CLIPS, **column)
    return MotionArchive.open(path)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_readings_are_those_of_the_mirror_image(axis: int) -> None:
    made = movement(np.random.default_rng(axis))
    own, other = readings(*made), readings(*swung_left(*made, axis))
    assert np.abs(own - other).max() > 1
    found = mirrored(other[:, None], layouts.get("imu-2"), "xyz"[axis])[:, 0]
    np.testing.assert_allclose(found, own, atol=1e-9)
    np.testing.assert_array_equal(mirrored(found[:, None], layouts.get("imu-2"), "xyz"[axis])[:, 0], other)


def test_a_magnetic_field_mirrors_like_a_turn_and_a_pulse_not_at_all() -> None:
    nodes = layouts.build("worn", ("mag", "gyro", "acc", "pulse"), [-1] * 4, up=None, kind="sensor")
    found = mirrored(np.ones((1, 1, 4, 3)), nodes, "y")
    np.testing.assert_array_equal(found[0, 0], [[-1, 1, -1], [-1, 1, -1], [1, -1, 1], [1, 1, 1]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_axis_is_found(tmp_path: Path, axis: int) -> None:
    assert axis_of(archive(tmp_path / "both", axis)) == "xyz"[axis]


def test_the_axis_of_long_recordings_is_found_one_by_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=FPS, units="m/s^2, rad/s") as to:
        for i in range(16):
            clip = rng.normal([3, 2, 1], 1, (20_000, 1, 2, 3)).astype(np.float32)
            clip[:, 0, 0, 1] *= -1 if i % 2 else 1
            clip[:, 0, 1, ::2] *= -1 if i % 2 else 1
            to.add(clip, name=f"c{i}", side="left" if i % 2 else "right")
    long = MotionArchive.open(tmp_path / "a")
    tracemalloc.start()
    try:
        assert axis_of(long) == "y"
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 12 * long.clip(0).nbytes  # all are 32 times as large in double precision


@pytest.mark.filterwarnings("ignore:sensors worn on the left")
def test_the_axis_of_an_archive_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both, wrist = archive(tmp_path / "both", 2), motet.load("wrist")
    first = wrist.frames(both, 1)
    monkeypatch.setattr("motet.data.worn._moments", None)
    np.testing.assert_array_equal(wrist.frames(both.path, 1), first)
    monkeypatch.undo()
    assert axis_of(archive(tmp_path / "other", 0)) == "x"


def test_no_axis_where_there_are_no_sides(tmp_path: Path) -> None:
    none = archive(tmp_path / "none", side="arm")
    assert axis_of(none) is None
    assert (worn_left(none) == -1).all()
    assert axis_of(archive(tmp_path / "right", both=False)) is None
    both = archive(tmp_path / "both")
    assert axis_of(both, np.flatnonzero(worn_left(both) == 1)) is None


def test_no_axis_where_both_sides_are_alike_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=FPS, class_names=["a"]) as to:
        for i in range(24):
            clip = readings(*movement(rng)).astype(np.float32)[:, None]
            to.add(clip, name=f"c{i}", label=0, side="left" if i % 2 else "right")
    alike = MotionArchive.open(tmp_path / "a")
    assert axis_of(alike) is None
    assert "no axis is known" in note_of("mirror", alike)


@pytest.mark.parametrize("method", ["mirror", "mirror-y"])
def test_clips_of_the_left_are_mirrored_where_they_are_read(tmp_path: Path, method: str) -> None:
    both = archive(tmp_path / "both")
    store = ClipStore(both, preprocess=method)
    left = worn_left(both) == 1
    for i, clip in enumerate(torch.split(store.data, FRAMES)):
        own = both.clip(i)
        expected = mirrored(own, both.skeleton, "y") if left[i] else own
        np.testing.assert_array_equal(clip.numpy(), expected)
    assert torch.equal(ClipStore(both, [1, 3], preprocess=method).data[:FRAMES], store.data[FRAMES : 2 * FRAMES])


def test_clips_in_a_mapped_file_know_their_sides(tmp_path: Path) -> None:
    options = {"preprocess": "mirror-y", "cache": tmp_path / "cache", "memory": 0}
    one, other = archive(tmp_path / "one"), archive(tmp_path / "other", side="arm")
    assert one.hash == other.hash
    assert not torch.equal(ClipStore(one, **options).data, ClipStore(other, **options).data)


def test_an_archive_is_another_one_where_its_sides_are(tmp_path: Path) -> None:
    one, other = archive(tmp_path / "one"), archive(tmp_path / "other", side="arm")
    assert digest_of(one) != digest_of(other)
    assert digest_of(one) == digest_of(archive(tmp_path / "again"))
    for name, units, fps in (("units", "g, deg/s", FPS), ("rate", one.units, 2 * FPS)):
        with ArchiveWriter(tmp_path / name, skeleton=one.skeleton, fps=fps, class_names=["a", "b"], units=units) as to:
            for i, row in enumerate(one.clips.iter_rows(named=True)):
                to.add(one.clip(i), **{c: row[c] for c in ("name", "label", "subject", "side")})
        same = MotionArchive.open(tmp_path / name)
        assert same.hash == one.hash
        assert digest_of(same) != digest_of(one)


def test_an_evaluation_takes_no_features_of_other_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTET_CACHE", str(tmp_path / "cache"))
    one, other = archive(tmp_path / "one"), archive(tmp_path / "other", side="arm")
    options = {"baselines": False, "progress": False}
    with pytest.warns(MotetNote, match="mirrored along y"):
        motet.evaluate.run("wrist", ["knn"], data=one, **options)
    motet.evaluate.run("wrist", ["knn"], data=other, **options)
    assert len(list((tmp_path / "cache").rglob("features/*.safetensors"))) == 2


def test_small_recipes_mirror_the_left_and_say_so(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    options = {"split": "odd-even", "width": 4, "epochs": 1, "batch_size": 4, "frames": 12, "progress": False}
    with pytest.warns(MotetNote, match=r"worn on the left \(column side\) are mirrored along y.*--preprocess mirror-y"):
        run = pretrain("moco/small", both, tmp_path / "run", start="none", **options)
    assert run.recipe.preprocess == "mirror-y"
    model = run.model()
    clips = ClipStore(both, preprocess="mirror-y")
    expected = torch.cat(list(model.encode(clips, clips.ids).values()), dim=1)
    with pytest.warns(MotetNote, match=r"^sensors worn on the left \(column side\) are mirrored along y$"):
        np.testing.assert_array_equal(model.transform(both), expected)
    none = archive(tmp_path / "none", side="arm")
    with pytest.warns(MotetNote, match="does not say on which side"):
        assert not np.array_equal(model.transform(none), expected)


@pytest.mark.filterwarnings("ignore:(phone. )?sensors worn on the left")
def test_a_sensor_next_to_another_is_mirrored_by_its_own_axis(tmp_path: Path) -> None:
    one, other = archive(tmp_path / "one", 0), archive(tmp_path / "other", 2)
    options = {"split": "odd-even", "width": 4, "epochs": 1, "batch_size": 4, "frames": 12, "progress": False}
    streams = {"streams": ("joint", "phone:joint"), "companions": {"phone": other.path}}
    with pytest.warns(MotetNote, match="^phone: sensors worn on the left .* along z$"):
        run = pretrain("cmd/small", one, tmp_path / "run", **options, **streams)
    assert [run.recipe.preprocess, run.recipe.for_sensor("phone").preprocess] == ["mirror-x", "mirror-z"]
    for asked, expected in (("none", "none"), ("bridge", "bridge"), ("mirror-x", "mirror-z")):
        run = pretrain("cmd/small", one, tmp_path / asked, preprocess=asked, **options, **streams)
        assert [run.recipe.preprocess, run.recipe.for_sensor("phone").preprocess] == [asked, expected]


@pytest.mark.parametrize(("axes", "method"), [((0, 2), "mirror"), ((1, 1), "mirror-y")])
def test_devices_of_several_archives_mirror_each_by_its_own_axis(
    tmp_path: Path, axes: tuple[int, int], method: str
) -> None:
    two = [archive(tmp_path / f"{i}", axis) for i, axis in enumerate(axes)]
    with gathered(two) as joined:
        recipe, _ = resolve("cmd/small", joined, {"split": "odd-even"})
        assert recipe.preprocess == method
        store, raw = ClipStore(joined, preprocess=method), ClipStore(joined, preprocess="none")
        for row, one in enumerate(range(2 * len(two[0]))):
            part, axis = two[one // len(two[0])], "xyz"[axes[one // len(two[0])]]
            clip = part.clip(one % len(part))
            expected = mirrored(clip, part.skeleton, axis) if worn_left(part)[one % len(part)] == 1 else clip
            frames = slice(row * FRAMES, (row + 1) * FRAMES)
            np.testing.assert_array_equal(store.data[frames], expected)
            np.testing.assert_array_equal(raw.data[frames], clip)


def test_a_merge_of_devices_that_mirror_along_several_axes_warns(tmp_path: Path) -> None:
    two = []
    for name, axis, half in (("one", 0, "<"), ("two", 2, ">=")):  # clips of other names
        all_clips = archive(tmp_path / f"{name}-all", axis)
        two.append(select(all_clips, tmp_path / name, where=f"subject {half} 3"))
    with pytest.warns(MotetWarning, match=r"different axes \(x in one, z in two\).*--mirror left"):
        merge([a.path for a in two], tmp_path / "both")
    same = convert(two[1], tmp_path / "same", mirror="left")
    merge([two[0].path, same.path], tmp_path / "again")


def test_inspect_says_where_sensors_were_worn(tmp_path: Path) -> None:
    found = inspect(archive(tmp_path / "both"))
    assert found["balance"]["side"] == {"left": 12, "right": 12}
    assert next(f for f in found["faults"] if f["name"] == "sides")["message"].startswith(
        "sensors worn on the left (column side) are mirrored along y"
    )
    assert "sides" not in [f["name"] for f in inspect(archive(tmp_path / "arm", side="arm"))["faults"]]


def test_stitched_recordings_are_of_one_side(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    made = stitch(both, tmp_path / "made", seconds=3, gap=0)
    assert sorted(set(made.clips["side"])) == ["left", "right"]
    assert made.lengths.sum() == both.lengths.sum()
    clips = {both.clip(i).tobytes(): worn_left(both)[i] for i in range(len(both))}
    for row, left in enumerate(worn_left(made)):
        joined = made.clip(row)
        for start in range(0, len(joined), FRAMES):
            assert clips[joined[start : start + FRAMES].tobytes()] == left


def test_discovery_mirrors_sensors_that_were_worn_on_both_sides(tmp_path: Path) -> None:
    both, none = archive(tmp_path / "both"), archive(tmp_path / "none", side="arm")
    other = archive(tmp_path / "other", 2)
    for usual in ("body", "mirror"):  # of a recipe and of the weights wrist
        assert fitting(usual, (none, both)) == fitting(usual, (both, both)) == "mirror-y"
        assert fitting(usual, (both, other)) == "mirror"
    assert fitting("body", (none, none)) == "bridge"
    assert fitting("mirror", (none, none)) == "mirror"


@pytest.mark.parametrize("start", [{}, {"start": "wrist"}])
@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetWarning")
def test_a_discovery_keeps_the_axis_for_recordings_of_one_side(tmp_path: Path, start: dict[str, str]) -> None:
    both = archive(tmp_path / "both")
    small = {} if start else {"encoder": "gru", "hidden": 4, "layers": 1, "frames": 8}
    options = {"clusters": 2, "epochs": 1, "finetune_epochs": 1, "batch_size": 8, "progress": False, **small, **start}
    with pytest.warns(MotetNote, match="are mirrored along y$"):
        motet.discover(archive(tmp_path / "source"), both, tmp_path / "run", **options)
    left = select(both, tmp_path / "left", where="side = 'left'")
    found = []
    for one in (both, left):
        with pytest.warns(MotetNote, match="are mirrored along y$"):
            motet.embed(tmp_path / "run", one.path, tmp_path / f"{one.path.name}.npz")
        found.append(np.load(tmp_path / f"{one.path.name}.npz")["features"])
    np.testing.assert_allclose(found[1], found[0][worn_left(both) == 1], rtol=1e-4, atol=1e-5)
    with pytest.warns(MotetNote, match="are mirrored along y$"):
        assert motet.load(tmp_path / "run").transform(left).shape == found[1].shape


@pytest.mark.parametrize("said", ["L", "LEFT", " left", "left wrist", "Left_hand"])
def test_a_side_is_read_in_its_usual_spellings(tmp_path: Path, said: str) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=FPS, units="g") as to:
        for name, side in (("a", said), ("b", said.lower().replace("left", "right").replace("l", "r")), ("c", "lefty")):
            to.add(np.ones((5, 1, 2, 3), np.float32), name=name, side=side)
    assert worn_left(MotionArchive.open(tmp_path / "a")).tolist() == [1, 0, -1]


@pytest.mark.parametrize("said", ["left/right", "L+R", "right and left", "R_L"])
def test_both_sides_are_neither(tmp_path: Path, said: str) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=FPS, units="g") as to:
        to.add(np.ones((5, 1, 2, 3), np.float32), name="a", side=said)
    both = MotionArchive.open(tmp_path / "a")
    assert worn_left(both).tolist() == [-1]
    assert f"of some sensors ({said})" in note_of("mirror", both)


def test_sides_as_numbers_are_named(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=FPS, units="g") as to:
        for side in (0, 1):
            to.add(np.ones((5, 1, 2, 3), np.float32), name=f"c{side}", side=side)
    assert "of some sensors (0, 1)" in note_of("mirror", MotionArchive.open(tmp_path / "a"))


def test_a_side_that_is_neither_is_named(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=FPS, units="g") as to:
        for name, side in (("a", "links"), ("b", "right"), ("c", None)):
            to.add(np.ones((5, 1, 2, 3), np.float32), name=name, side=side)
    said = note_of("mirror", MotionArchive.open(tmp_path / "a"))
    assert said == "column side says neither left nor right of some sensors (links): taken as right"


@pytest.mark.parametrize("called", ["Side", "wrist", "worn_on"])
def test_a_column_of_sides_of_another_name_is_pointed_at(tmp_path: Path, called: str) -> None:
    said = note_of("mirror", archive(tmp_path / "a", side=called))
    assert said == f"column {called} seems to say on which side sensors were worn; it is read where it is called side"
    with ArchiveWriter(tmp_path / "b", skeleton=layouts.get("imu-2"), fps=FPS, units="g") as to:
        to.add(np.ones((5, 1, 2, 3), np.float32), name="a", **{called: "up"})
    assert note_of("mirror", MotionArchive.open(tmp_path / "b")) == ""


def test_what_is_not_mirrored_is_said(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    left = select(both, tmp_path / "left", where="side = 'left'")
    right = select(both, tmp_path / "right", where="side = 'right'")
    assert "no axis is known" in note_of("mirror", left)
    recipe, parts = resolve("cmd/small", left, {"split": "odd-even"})
    assert recipe.preprocess == "bridge"
    assert "no axis is known" in described_views(recipe, left, parts)
    assert described_views(recipe, both, parts) == described_views(recipe, right, parts) == ""
    assert note_of("mirror-y", left).endswith("are mirrored along y")
    assert note_of("mirror", right) == note_of("mirror-y", right) == ""
    assert note_of("mirror", both).endswith("most similar to those of the right")
    assert note_of("mirror-y", both).endswith("are mirrored along y")
    assert note_of("mirror-x", both).endswith("along x; by their readings it would be along y, as if of another device")


def test_an_own_recipe_and_an_option_keep_readings_as_recorded(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    named, _ = resolve("moco/small", both, {"split": "odd-even"})
    own, _ = resolve(named.with_options({"preprocess": "none"}), both, {"split": "odd-even"})
    asked, _ = resolve("moco/small", both, {"split": "odd-even", "preprocess": "none"})
    assert (named.preprocess, own.preprocess, asked.preprocess) == ("mirror-y", "none", "none")


def test_a_start_from_wrist_takes_the_axis_of_the_device(tmp_path: Path) -> None:
    wrist = Start.open("wrist")
    assert wrist.model.recipe.preprocess == "mirror"
    for axis in (0, 2):
        both = archive(tmp_path / str(axis), axis)
        with wrist.model.reading(both) as source:
            recipe, _ = resolve("cmd/small", source, {"split": "odd-even"}, start=wrist)
        assert recipe.preprocess == f"mirror-{'xyz'[axis]}"
        kept, _ = resolve("cmd/small", both, {"split": "odd-even", "preprocess": "none"}, start=wrist)
        assert kept.preprocess == "none"
    found = Start.usual(motet.methods.recipes.get("cmd/small"), [both], {"preprocess": "mirror-z"})
    assert found is not None


def test_weights_see_a_mirrored_clip_as_its_image(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    with ArchiveWriter(tmp_path / "right", skeleton=both.skeleton, fps=FPS, class_names=["a"], units=both.units) as to:
        for i in range(len(both)):
            clip = both.clip(i)
            to.add(mirrored(clip, both.skeleton, "y") if worn_left(both)[i] == 1 else clip, name=f"c{i}", label=0)
    wrist = motet.load("wrist")
    right = MotionArchive.open(tmp_path / "right")
    with pytest.warns(MotetNote, match="mirrored along y"):
        np.testing.assert_array_equal(motet.load("rocket").transform(both), motet.load("rocket").transform(right))
    with pytest.warns(MotetNote, match="mirrored along y"):
        motet.embed("wrist", both.path, tmp_path / "features.npz")
    expected = wrist.transform(right)
    np.testing.assert_allclose(np.load(tmp_path / "features.npz")["features"], expected, rtol=1e-5, atol=1e-6)
    with pytest.warns(MotetNote, match="mirrored along y"):
        np.testing.assert_array_equal(wrist.frames(both, 1), wrist.frames(right, 1))


def test_recordings_are_read_from_one_side(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    layout = Layout.of(both)
    assert layout.mirror == "y"
    assert "worn on the left mirrored along y" in layout.described
    with pytest.warns(MotetNote, match="are mirrored along y$"):
        read = recorded(both, layout)
    np.testing.assert_array_equal(read(1), mirrored(both.clip(1), both.skeleton, "y"))
    np.testing.assert_array_equal(read(0), both.clip(0))


def test_a_fitted_model_keeps_the_axis(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    with pytest.warns(MotetNote, match="are mirrored along y$"):
        model = motet.fit(both, tmp_path / "model", candidates=["statistics+linear"], progress=False)
    assert model.layout.mirror == "y"
    again = load_predictor(tmp_path / "model")
    with pytest.warns(MotetNote, match="are mirrored along y$"):
        read = again.reader(both)
    with pytest.warns(MotetNote, match="does not say on which side"):
        one = again.reader(archive(tmp_path / "one", side="arm"))
    np.testing.assert_array_equal(read(1), mirrored(one(1), both.skeleton, "y"))


def test_a_model_of_one_side_says_how_the_other_is_mirrored(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    right = select(both, tmp_path / "right", where="side = 'right'")
    with pytest.warns(
        MotetNote, match=r"read as recorded: .* it would be along y, and `motet data convert` with --mirror"
    ):
        read = recorded(both, Layout.of(right))
    np.testing.assert_array_equal(read(1), both.clip(1))


def test_a_stream_of_the_left_is_mirrored(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    with pytest.warns(MotetNote, match="are mirrored along y$"):
        model = motet.fit(both, tmp_path / "model", candidates=["statistics+linear"], progress=False)

    def said(frames: npt.NDArray[np.float32], side: str) -> list[tuple[str, float]]:
        live = Live(model, side=side)
        return [(d.label, d.probability) for d in [*live.push(frames), *live.finish()]]

    right = both.clip(0)
    assert said(mirrored(right, both.skeleton, "y"), "left") == said(right, "right")
    live = Live(model)
    live.push(right)
    live.save(tmp_path / "state.npz")
    with pytest.raises(ConfigError, match="another model, lag, side"):
        Live(model, side="left").resume(tmp_path / "state.npz")
    plain = motet.fit(
        archive(tmp_path / "plain", side="arm"), tmp_path / "m", candidates=["raw+linear"], progress=False
    )
    with pytest.raises(ConfigError, match="knows no axis"):
        Live(plain, side="left")


@pytest.mark.parametrize("name", ["mirror", "mirror-x"])
def test_bodies_have_no_side(tmp_path: Path, name: str) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("kinect-v1"), fps=FPS, class_names=["a"]) as to:
        to.add(np.ones((5, 1, 20, 3), np.float32), name="one", label=0)
    with pytest.raises(ConfigError, match="is for sensors of three axes"):
        ClipStore(MotionArchive.open(tmp_path / "a"), preprocess=name)


def test_an_archive_as_if_all_were_worn_on_the_right(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    one = convert(both.path, tmp_path / "one", mirror="left")
    left = worn_left(both) == 1
    for i in range(len(both)):
        expected = mirrored(both.clip(i), both.skeleton, "y") if left[i] else both.clip(i)
        np.testing.assert_array_equal(one.clip(i), expected)
    assert set(one.clips["side"]) == {"right"}
    assert axis_of(one) is None
    with pytest.raises(ConfigError, match="has no clip whose column side says left"):
        convert(one.path, tmp_path / "again", mirror="left")
    with pytest.raises(ConfigError, match="it takes clips of both sides"):
        convert(one.path, tmp_path / "again", mirror="right")
    assert not (tmp_path / "again").exists()
