from __future__ import annotations

import contextlib
import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import ConfigError, DataError, MotetError, MotetNote
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.convert import convert
from motet.data.formats import _compact, import_dataset, npz
from motet.data.formats._names import subject_numbers

REAL = {
    "bandai1": (174, "bandai-22", "+y"),
    "bandai2": (2902, "bandai-22", "+y"),
    "florence3d": (215, "florence-15", "+y"),
    "gtu_action3d": (508, "kinect-v2", "+y"),
    "kard": (540, "nite-15", "+y"),
    "kard15": (540, "common-15", "+y"),
    "mars_rehab": (874, "kinect-v2", "+z"),
    "shrec17_hand_train": (1960, "hand-22", "+y"),
    "smartfallmm_young": (751, "azure-kinect-32", "-y"),
    "ui_prmd_kinect": (2000, "ui-prmd-22", "+y"),
    "ui_prmd_pair15": (3979, "common-15", "+y"),
    "ui_prmd_vicon": (1980, "ui-prmd-39", "+z"),
    "utd_mhad": (861, "utd-mhad-20", "+y"),
    "utkinect": (200, "kinect-v1", "+y"),
}


def content() -> dict[str, Any]:
    """Three clips of 4, 1 and 5 frames on the 15 common joints."""
    return {
        "pos": np.random.default_rng(0).normal(size=(10, 15, 3)).astype(np.float16),
        "offset": np.array([0, 4, 5, 10]),
        "joint_names": np.array(layouts.get("common-15").joints),
        "fps": np.float64(25),
        "label": np.array([1, -1, 0], dtype=np.int16),
        "class_names": np.array(["sit", "stand"]),
        "subject": np.array([1, 0, 0]),
        "subject_names": np.array(["s02", "s11"]),
        "view": np.array([0, 1, 1]),
        "view_names": np.array(["front", "side"]),
        "rep": np.array(["01", "take2", "3"]),
        "quality": np.array(["good", "bad", "good"]),
        "domain": np.array([0, 1, 0], dtype=np.int8),
        "domain_names": np.array(["lab", "home"]),
        "score": np.array([0.5, np.nan, 1.0]),
    }


def load(folder: Path, arrays: dict[str, Any], **options: Any) -> MotionArchive:
    path = folder / "set.npz"
    np.savez(path, **arrays)
    return import_dataset("npz", path, folder / "archive", progress=False, workers=1, overwrite=True, **options)


@pytest.mark.parametrize("lower", [False, True])
def test_joints_keep_the_order_of_the_file(tmp_path: Path, lower: bool) -> None:
    hand = layouts.get("hand-21")
    order = np.random.default_rng(0).permutation(len(hand))
    names = [hand.joints[j].lower() if lower else hand.joints[j] for j in order]
    frames = np.arange(5 * 21 * 3, dtype=np.float32).reshape(5, 21, 3)
    archive = load(tmp_path, {"pos": frames[:, order], "offset": np.array([0, 5]), "joint_names": np.array(names)})
    assert (archive.skeleton.kind, archive.skeleton.up) == ("hand", "-y")
    np.testing.assert_array_equal(convert(archive.clip(0), archive.skeleton, hand)[:, 0], frames)
    own = {"parents": np.array(layouts.kept(hand, order.tolist()).parents), "joint_names": np.array(names)}
    assert load(tmp_path, {"pos": frames, "offset": np.array([0, 5]), **own}).skeleton.kind == "hand"
    tip = archive.skeleton.index("thumb_4")
    assert archive.skeleton.canonical[archive.skeleton.parents[tip]] == "thumb_3"


@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
def test_the_kind_counts_without_parents(tmp_path: Path) -> None:
    arrays = {"pos": np.ones((5, 2, 3)), "offset": np.array([0, 5]), "joint_names": np.array(["a", "b"])}
    assert load(tmp_path, {**arrays, "kind": np.array("hand")}).skeleton.kind == "hand"


def test_clips_and_columns(tmp_path: Path) -> None:
    arrays = content()
    archive = load(tmp_path, arrays)
    assert (len(archive), archive.fps, archive.units, archive.skeleton.name) == (3, 25.0, "m", "common-15")
    np.testing.assert_array_equal(archive.clip(2)[:, 0], arrays["pos"][5:10].astype(np.float32))
    wanted = {
        "name": ["set_00000", "set_00001", "set_00002"],
        "label": [1, None, 0],
        "subject": [11, 2, 2],
        "subject_name": ["s11", "s02", "s02"],
        "camera": [0, 1, 1],
        "view": ["front", "side", "side"],
        "repetition": [1, 2, 3],
        "rep": ["01", "take2", "3"],
        "quality": ["good", "bad", "good"],
        "domain": ["lab", "home", "lab"],
        "score": [0.5, None, 1.0],
    }
    assert archive.clips.select(list(wanted)).to_dict(as_series=False) == wanted
    assert archive.class_names == ["sit", "stand"]
    assert archive.source["split"] == "odd-even"


def test_millimetres_persons_and_pictures(tmp_path: Path) -> None:
    arrays = content()
    arrays["pos_mm"] = (arrays.pop("pos") * 1000).astype(np.int16)
    np.testing.assert_allclose(load(tmp_path, arrays).clip(0)[:, 0], arrays["pos_mm"][:4] / 1000, rtol=1e-6)
    two = content() | {"pos": np.ones((10, 2, 15, 2), np.float32)}
    archive = load(tmp_path, two)
    assert (archive.persons, archive.channels, archive.clip(0).shape) == (2, ("x", "y"), (4, 2, 15, 2))


def test_unknown_joints_need_parents(tmp_path: Path) -> None:
    arrays = content() | {"pos": np.ones((10, 3, 3)), "joint_names": np.array(["Hips", "LeftArm", "gizmo"])}
    with pytest.warns(MotetNote, match="kept as points without bones .*'parents'"):
        assert load(tmp_path, arrays).skeleton.bones == ()
    skeleton = load(tmp_path, arrays | {"parents": np.array([-1, 0, 0])}).skeleton
    assert (skeleton.name, skeleton.parents) == ("set-3", (-1, 0, 0))
    assert skeleton.canonical == ("mid_hip", "left_shoulder", "gizmo")
    with pytest.raises(DataError, match="loop"):
        load(tmp_path, arrays | {"parents": np.array([1, 2, 1])})


def test_parents_that_contradict_the_layout(tmp_path: Path) -> None:
    skeleton = layouts.get("kinect-v1")
    rng = np.random.default_rng(0)
    arrays = {
        "pos": rng.normal(size=(20, len(skeleton), 3)),
        "offset": np.array([0, 10, 20]),
        "joint_names": np.array(skeleton.joints),
    }
    same = np.array([-1 if p == j else p for j, p in enumerate(skeleton.parents)])
    load(tmp_path, {**arrays, "parents": same})
    child = int(np.flatnonzero(same != -1)[5])
    loop = same.copy()
    loop[same[child]] = child
    with pytest.raises(DataError, match=r"'parents' is no tree .*form a loop"):
        load(tmp_path, {**arrays, "parents": loop})
    with pytest.raises(DataError, match=r"not \(20,\) integers"):
        load(tmp_path, {**arrays, "parents": same[:5]})
    other = same.copy()
    other[child] = int(np.flatnonzero(same == -1)[0])
    with pytest.warns(MotetNote, match=f"whose bones are used .parent of {skeleton.joints[child]}"):
        load(tmp_path, {**arrays, "parents": other})


def test_axes_are_seen_in_the_recordings_unless_given(tmp_path: Path) -> None:
    skeleton = layouts.get("common-15")
    arrays = content()
    arrays["pos"] = np.zeros((10, 15, 3))
    arrays["pos"][:, skeleton.index("head"), 2] = 1
    assert load(tmp_path, arrays).skeleton.up == "+z"
    assert load(tmp_path, arrays, up="-x").skeleton.up == "-x"
    assert load(tmp_path, arrays).skeleton.right_handed
    assert not load(tmp_path, arrays, right_handed=False).skeleton.right_handed


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["1", "10", "2"], [1, 10, 2]),
        (["kard:03", "utd:03"], [1, 2]),
        (["Ann", "Bob7"], [1, 2]),
        (["?"], [None]),
    ],
)
def test_subject_numbers(names: list[str], numbers: list[int | None]) -> None:
    assert subject_numbers(names) == numbers


def test_sensor_of_one_array(tmp_path: Path) -> None:
    values = np.arange(42, dtype=np.float32).reshape(7, 6) + 1
    arrays = content() | {"wrist": values, "wrist_offset": np.array([0, 3, 3, 7]), "wrist_fps": np.float64(50)}
    archive = load(tmp_path, arrays, sensor="wrist")
    assert (archive.skeleton.kind, archive.fps, len(archive)) == ("sensor", 50.0, 2)
    assert archive.clips["name"].to_list() == ["set_00000", "set_00002"]
    np.testing.assert_array_equal(archive.clip(1)[:, 0], values[3:].reshape(4, 2, 3))
    assert archive.source["without_sensor"] == 1
    both = load(tmp_path, arrays)
    assert (len(both), both.sensor_rows("wrist").tolist(), both.sensors["wrist"].fps) == (3, [0, -1, 1], 50.0)
    np.testing.assert_array_equal(both.sensor_clip("wrist", 2), values[3:].reshape(4, 2, 3))
    assert both.sensor_clip("wrist", 1).shape == (0, 2, 3)
    with pytest.raises(ConfigError, match="it has wrist"):
        load(tmp_path, arrays, sensor="ankle")


def test_sensor_of_two_arrays_with_their_own_times(tmp_path: Path) -> None:
    def node(times: list[float], offset: list[int], name: str) -> dict[str, Any]:
        values = np.repeat(np.array(times)[:, None], 3, axis=1).astype(np.float32)  # the reading is the time
        return {f"w_{name}": values, f"w_{name}_time": np.array(times), f"w_{name}_offset": np.array(offset)}

    # clip 0: both; clip 1: a pause, then the longer run, no gyroscope; clip 2: nothing
    arrays = content() | node([0, 0.5, 0.5, 1.0, 0, 9, 9.5, 10], [0, 4, 8, 8], "accelerometer")
    arrays |= node([0.25, 0.75, 1.25], [0, 3, 3, 3], "gyroscope")
    with pytest.warns(MotetNote, match="its clock stops or steps back in 1 of 2 recordings; .* leaves out 1 sample"):
        archive = load(tmp_path, arrays, sensor="w", sensor_fps=4.0)
    assert (archive.fps, len(archive)) == (4.0, 2)
    np.testing.assert_allclose(archive.clip(0)[:, 0, :, 0], [[t, t] for t in (0.25, 0.5, 0.75, 1.0)])
    np.testing.assert_allclose(archive.clip(1)[:, 0, 0, 0], [9, 9.25, 9.5, 9.75, 10])
    assert not archive.clip(1)[:, 0, 1].any()
    arrays |= {f"w_{n}_time": arrays[f"w_{n}_time"] * 1000 for n in ("accelerometer", "gyroscope")}
    with pytest.warns(MotetNote) as notes:
        again = load(tmp_path, arrays, sensor_fps=4.0)
    assert any("taken for milliseconds" in str(n.message) for n in notes)
    assert again.sensor_rows("w").tolist() == [0, 1, -1]
    np.testing.assert_array_equal(again.sensor_clip("w", 0), archive.clip(0)[:, 0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offset": np.array([0, 4, 3, 10])}, "'offset'"),
        ({"offset": np.array([0, 4, 5, 11])}, "10 rows"),
        ({"offset": np.array([0.0, 4, 5, 10])}, "'offset'"),
        ({"label": np.array([0, 1])}, "'label'"),
        ({"label": np.array([0, 1, 2])}, "says 2 for clip 2"),
        ({"label": np.array(["a", "b", "c"])}, "says 'a' for clip 0"),
        ({"subject": np.array([0, 0, 2])}, "'subject'"),
        ({"pos": np.ones((10, 15))}, "'pos'"),
        ({"pos": np.ones((10, 15, 4))}, "4 coordinates"),
        ({"joint_names": np.array(["a"])}, "1 joint names for 15 joints"),
        ({"joint_names": np.array([["a"]])}, "'joint_names'"),
        ({"fps": np.float64(-1)}, "'fps'"),
        ({"class_names": np.array([{}])}, "class_names"),
    ],
)
def test_errors_name_file_and_array(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, content() | change)
    assert words in str(caught.value)
    assert "set.npz" in str(caught.value)


@pytest.mark.parametrize("missing", ["pos", "offset", "joint_names"])
def test_required_arrays(tmp_path: Path, missing: str) -> None:
    arrays = content()
    del arrays[missing]
    with pytest.raises(DataError, match=missing.replace("_", ".")):
        load(tmp_path, arrays)


def test_a_file_of_streams_is_pointed_to_its_format(tmp_path: Path) -> None:
    stream = {"watch": np.zeros((4, 3)), "watch_time_ms": np.arange(4), "watch_offset": np.array([0, 4])}
    with pytest.raises(DataError, match=r"but a sensor 'watch'; `motet data import streams` reads it$"):
        load(tmp_path, stream)
    with pytest.raises(DataError, match=r"nor 'pos_mm'$"):
        load(tmp_path, {"watch": stream["watch"], "watch_offset": stream["watch_offset"]})


def test_one_bad_clip_can_be_skipped(tmp_path: Path) -> None:
    arrays = content()
    arrays["pos"][4, 3, 1] = np.nan
    with pytest.raises(DataError, match="set_00001, frame 0"):
        load(tmp_path, arrays)
    archive = load(tmp_path, arrays, on_error="skip")
    assert archive.clips["name"].to_list() == ["set_00000", "set_00002"]
    assert archive.source["skipped"][0]["file"] == "set_00001"


def test_a_huge_declared_array_allocates_nothing(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 15, 3)})
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("pos.npy", header.getvalue())
    with pytest.raises(DataError, match="more than the file holds"):
        _compact.load_arrays(tmp_path / "set.npz")


def test_several_files_and_cut_off_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **content())
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"2 \.npz files"):
        npz.discover(tmp_path, npz.Options())
    with pytest.raises(DataError, match=r"b\.npz is no"):
        npz.discover(tmp_path / "b.npz", npz.Options())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.data())
def test_only_motet_errors_escape(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content())
    raw = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 12))] = data.draw(st.binary(max_size=8))
    path = tmp_path / "fuzz.npz"
    path.write_bytes(bytes(raw))
    with contextlib.suppress(MotetError), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", MotetNote)
        for unit in npz.discover(path, npz.Options()).units:
            npz.read(unit, npz.Options())


ODD_ARRAYS = st.sampled_from(
    [
        np.zeros((0, 15, 3)),
        np.full((10, 15, 3), np.inf),
        np.zeros(3, dtype=bool),
        np.array([2**62, -(2**62), 0]),
        np.array(["", "?", "\x00"]),
        np.array(["a", "b"]),
        np.array(7),
        np.array([b"\xff", b"b", b"c"]),
        np.zeros((3, 0)),
        np.array([1j, 0, 0]),
        np.array(["2020-01-01"] * 3, dtype="datetime64[D]"),
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.dictionaries(st.sampled_from([*content(), "parents", "licence"]), ODD_ARRAYS, max_size=3))
def test_odd_arrays_raise_motet_errors_only(tmp_path: Path, change: dict[str, Any]) -> None:
    with contextlib.suppress(MotetError):
        load(tmp_path, content() | change)


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_real_sets_have_the_stated_layout(shared_data: Path, name: str) -> None:
    path = shared_data / "skeleton" / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{name} is not here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MotetNote)  # two sets root kinect-v2 elsewhere
        plan = npz.discover(path, npz.Options())
    assert (len(plan.units), plan.skeleton.name, plan.skeleton.up) == REAL[name]
    last = npz.read(plan.units[-1], npz.Options())[0]
    assert last.frames.shape[1:] == (len(plan.skeleton), 3)
    assert np.abs(last.frames).max() < 20  # metres


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:.*clock stops or steps back")
@pytest.mark.parametrize(
    ("name", "sensor", "clips"), [("utd_mhad", "inertial", 861), ("smartfallmm_young", "watch", 513)]
)
def test_real_sensors(shared_data: Path, tmp_path: Path, name: str, sensor: str, clips: int) -> None:
    path = shared_data / "skeleton" / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{name} is not here")
    archive = import_dataset("npz", path, tmp_path / "a", progress=False, workers=1, sensor=sensor, on_error="skip")
    assert (len(archive), archive.fps, archive.skeleton.kind) == (clips, 50.0, "sensor")
    assert archive.lengths.max() < 60 * 50


@pytest.mark.parametrize("name", ["frames", "length", "persons", "offset2", "sha256"])
def test_columns_that_every_archive_has_are_refused(tmp_path: Path, name: str) -> None:
    arrays = content() | {name: np.arange(3)}
    if name == "offset2":  # any other name is a column
        assert load(tmp_path, arrays).clips["offset2"].to_list() == [0, 1, 2]
        return
    with pytest.raises(DataError, match=f"array '{name}' cannot be a column: every archive has one"):
        load(tmp_path, arrays)


def test_names_sources_and_confidence_are_kept(tmp_path: Path) -> None:
    arrays = content()
    sure = np.random.default_rng(0).random(arrays["pos"].shape[:2])
    archive = load(
        tmp_path, arrays | {"name": np.array(["b", "a", "c"]), "source": np.array(["x", "y", "z"]), "confidence": sure}
    )
    assert archive.clips.select("name", "source").rows() == [("b", "x"), ("a", "y"), ("c", "z")]
    np.testing.assert_allclose(archive.clip_confidence(0)[:, 0], sure[: archive.lengths[0]], rtol=1e-6)  # type: ignore[index]
    with pytest.raises(DataError, match="'name' has 2 distinct names for 3 clips"):
        load(tmp_path, arrays | {"name": np.array(["b", "b", "c"])})
    with pytest.raises(DataError, match="'confidence' is float64"):
        load(tmp_path, arrays | {"confidence": sure[:, :3]})


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b"])
def test_sensors_whose_names_are_paths_are_refused(tmp_path: Path, name: str) -> None:
    sensor = {name: np.ones((4, 6)), f"{name}_offset": np.array([0, 2, 4])}
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as file:
        for key, values in (content() | sensor).items():
            buffer = io.BytesIO()
            np.save(buffer, values)
            file.writestr(f"{key}.npy", buffer.getvalue())
    before = set(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="cannot be the name of a folder"):
        import_dataset("npz", tmp_path / "set.npz", tmp_path / "deep" / "archive", progress=False)
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / "deep"}


def test_arrays_that_unfold_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "set.npz", **content(), extra=np.zeros(30_000_000))
    with pytest.raises(DataError, match="unpacks to more than"):
        _compact.load_arrays(tmp_path / "set.npz")
