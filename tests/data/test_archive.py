from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from motet.core.errors import ConfigError, DataError, MotetError
from motet.data import layouts
from motet.data.archive import ARCHIVE_VERSION, ArchiveWriter, MotionArchive, Sensor
from motet.data.skeletons import Skeleton

PAIR = Skeleton("pair", ("a", "b"), (-1, 0))


def write(path: Path, clips: list[np.ndarray], **options: object) -> MotionArchive:
    with ArchiveWriter(path, skeleton=PAIR, **options) as writer:  # type: ignore[arg-type]
        for i, clip in enumerate(clips):
            writer.add(clip, name=f"clip{i}", label=i % 2, style="calm")
    return MotionArchive.open(path)


def clips_of(*lengths: int, persons: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, persons, 2, 3)) for n in lengths]


def test_round_trip(tmp_path: Path) -> None:
    clips = clips_of(4, 1, 7)
    meta = {"fps": 25.0, "units": "mm", "licence": "CC0", "class_names": ["x", "y"], "source": {"format": "made"}}
    archive = write(tmp_path / "a", clips, **meta)
    assert len(archive) == 3
    for found, clip in zip(archive, clips, strict=True):
        np.testing.assert_array_equal(found, clip.astype(np.float32))
    assert archive.skeleton == PAIR
    assert (archive.fps, archive.units, archive.licence, archive.class_names) == (25.0, "mm", "CC0", ["x", "y"])
    assert archive.source == {"format": "made"}
    assert archive.clips["style"].to_list() == ["calm"] * 3
    assert archive.clips["subject"].null_count() == 3
    assert archive.labels.tolist() == [0, 1, 0]
    assert (archive.lengths.tolist(), archive.offsets.tolist()) == ([4, 1, 7], [0, 4, 5])
    assert not archive.clip(0).flags.writeable
    archive.verify()
    # plain readers see the same numbers
    np.testing.assert_array_equal(np.load(tmp_path / "a" / "frames.npy"), archive.frames)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["archive.json", "clips.parquet", "frames.npy"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clips=st.lists(
        hnp.arrays(
            np.float32,
            st.tuples(st.integers(1, 5), st.integers(1, 3), st.just(2), st.just(3)),
            elements=st.floats(-1e4, 1e4, width=16),
        ),
        min_size=1,
        max_size=5,
    ),
    dtype=st.sampled_from(["float32", "float16"]),
)
def test_any_clips_round_trip(tmp_path: Path, clips: list[np.ndarray], dtype: str) -> None:
    archive = write(tmp_path / "a", clips, persons=3, dtype=dtype, overwrite=True)
    for found, clip, count in zip(archive, clips, archive.clips["persons"], strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[:, : clip.shape[1]], clip)
        assert not found[:, clip.shape[1] :].any()
        assert count == clip.any(axis=(0, 2, 3)).sum()
    archive.verify()


def test_confidence(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=PAIR, persons=2, confidence=True) as writer:
        writer.add(np.ones((3, 2, 3)), name="one", confidence=np.full((3, 2), 0.5))
        with pytest.raises(DataError, match="but the clip has none"):
            writer.add(np.ones((3, 2, 3)), name="two")
        with pytest.raises(DataError, match="confidence of shape"):
            writer.add(np.ones((3, 2, 3)), name="two", confidence=np.ones((2, 2)))
    archive = MotionArchive.open(tmp_path / "a")
    archive.verify()
    certain = archive.clip_confidence(0)
    assert certain is not None
    assert certain[:, 0].tolist() == [[0.5, 0.5]] * 3
    assert not certain[:, 1].any()
    raw = bytearray((tmp_path / "a" / "confidence.npy").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "a" / "confidence.npy").write_bytes(raw)
    with pytest.raises(DataError, match="the data of clip one"):
        MotionArchive.open(tmp_path / "a").verify()


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        (np.zeros((0, 2, 3)), "it has no frames"),
        (np.zeros((3, 3, 3)), r"shape \(3, 1, 3, 3\) does not fit"),
        (np.zeros((3, 2)), "does not fit"),
        (np.zeros((3, 2, 2, 3)), "2 persons, the archive has room for 1"),
        (np.full((3, 2, 3), np.nan), "frame 0: a coordinate is NaN.* not seen is zero in all coordinates"),
        (np.full((3, 2, 3), 1e300), "too large for float32"),
    ],
)
def test_clips_that_do_not_fit(tmp_path: Path, clip: np.ndarray, said: str) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=PAIR) as writer:
        writer.add(np.ones((1, 2, 3)), name="good")
        with pytest.raises(DataError, match=said):
            writer.add(clip, name="bad")
        with pytest.raises(DataError, match="a clip of that name was added before"):
            writer.add(np.ones((1, 2, 3)), name="good")
    archive = MotionArchive.open(tmp_path / "a")
    assert archive.clips["name"].to_list() == ["good"]
    archive.verify()


def test_nothing_is_left_of_an_archive_that_fails(tmp_path: Path) -> None:
    def fail(error: BaseException | None = None, label: int = 0, **options: object) -> None:
        with ArchiveWriter(tmp_path / "a", skeleton=PAIR, **options) as writer:  # type: ignore[arg-type]
            writer.add(np.ones((1, 2, 3)), name="one", label=label)
            if error:
                raise error

    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    with pytest.raises(DataError, match="label 3 is none of 1 class"):
        fail(label=3, class_names=["x"])
    with pytest.raises(DataError, match="no clip was written"), ArchiveWriter(tmp_path / "a", skeleton=PAIR):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    before = write(tmp_path / "a", clips_of(3))
    with pytest.raises(ConfigError, match="exists already"):
        ArchiveWriter(tmp_path / "a", skeleton=PAIR)
    writer = ArchiveWriter(tmp_path / "a", skeleton=PAIR, overwrite=True)
    writer.add(np.ones((1, 2, 3)), name="one")
    writer.abort()
    assert MotionArchive.open(tmp_path / "a").hash == before.hash
    after = write(tmp_path / "a", clips_of(3, 4), overwrite=True)
    assert len(after) == 2
    # who has the old one open continues reading it
    before.verify()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_hash_is_of_the_data(tmp_path: Path) -> None:
    clips = clips_of(3, 4)
    one = write(tmp_path / "a", clips, licence="x")
    assert write(tmp_path / "b", clips, licence="y").hash == one.hash
    assert write(tmp_path / "c", clips[::-1]).hash != one.hash
    changed = [clips[0] + 1e-3, clips[1]]
    assert write(tmp_path / "d", changed).hash != one.hash


@pytest.mark.parametrize(("at", "clip"), [(128, 0), (199, 0), (200, 1), (-1, 1)])
def test_a_flipped_bit_names_the_clip(tmp_path: Path, at: int, clip: int) -> None:
    write(tmp_path / "a", clips_of(3, 4))
    raw = bytearray((tmp_path / "a" / "frames.npy").read_bytes())
    raw[at] ^= 4
    (tmp_path / "a" / "frames.npy").write_bytes(raw)
    archive = MotionArchive.open(tmp_path / "a")
    with pytest.raises(DataError, match=f"the data of clip clip{clip} .* import the recordings again"):
        archive.verify()


def test_another_version(tmp_path: Path) -> None:
    write(tmp_path / "a", clips_of(3))
    file = tmp_path / "a" / "archive.json"
    meta = json.loads(file.read_text())
    file.write_text(json.dumps(meta | {"version": ARCHIVE_VERSION + 1}))
    with pytest.raises(DataError, match=f"of version {ARCHIVE_VERSION + 1}, .* reads version {ARCHIVE_VERSION}"):
        MotionArchive.open(tmp_path / "a")
    file.write_text(json.dumps(meta | {"fps": 99.0}))
    with pytest.raises(DataError, match="was changed after it was written"):
        MotionArchive.open(tmp_path / "a")


def test_changed_or_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    archive = write(path, clips_of(3))
    table = (path / "clips.parquet").read_bytes()
    archive.clips.with_columns(label=pl.lit(1)).write_parquet(path / "clips.parquet")
    with pytest.raises(DataError, match=r"clips\.parquet was changed"):
        MotionArchive.open(path)
    (path / "clips.parquet").write_bytes(table)
    frames = (path / "frames.npy").read_bytes()
    (path / "frames.npy").write_bytes(frames[:-10])
    with pytest.raises(DataError, match=r"frames\.npy cannot be mapped"):
        MotionArchive.open(path)
    np.save(path / "frames.npy", np.zeros((2, 1, 2, 3), np.float32))
    with pytest.raises(DataError, match=r"does not hold the frames"):
        MotionArchive.open(path)
    (path / "frames.npy").unlink()
    with pytest.raises(DataError, match=r"frames\.npy cannot be mapped"):
        MotionArchive.open(path)
    with pytest.raises(DataError, match="does not exist; make an archive"):
        MotionArchive.open(tmp_path / "none")
    with pytest.raises(DataError, match="is not a motion archive"):
        MotionArchive.open(tmp_path)
    (tmp_path / "clips.npz").write_bytes(b"")
    with pytest.raises(DataError, match=r"motet data import npz .*clips\.npz DESTINATION"):
        MotionArchive.open(tmp_path / "clips.npz")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["archive.json", "clips.parquet", "frames.npy"]))
def test_no_change_goes_unnoticed(tmp_path: Path, data: st.DataObject, name: str) -> None:
    """Whatever bytes are changed, opening and verifying either fail with our own error or give the same data."""
    path = tmp_path / "a"
    clips = clips_of(3, 4)
    if not path.exists():
        write(path, clips)
    whole = (path / name).read_bytes()
    raw = bytearray(whole)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))
    (path / name).write_bytes(raw)
    try:
        archive = MotionArchive.open(path)
        archive.verify()
        for found, clip in zip(archive, clips, strict=True):
            np.testing.assert_array_equal(found, clip.astype(np.float32))
    except MotetError:
        assert bytes(raw) != whole
    finally:
        (path / name).write_bytes(whole)


@pytest.mark.parametrize("rate", [0.0, -3.0, float("nan"), float("inf")])
def test_a_frame_rate_that_makes_no_sense_is_refused(tmp_path: Path, rate: float) -> None:
    with pytest.raises(ConfigError, match="fps"):
        ArchiveWriter(tmp_path / "a", skeleton=PAIR, fps=rate)


def test_numbers_of_numpy_are_stored(tmp_path: Path) -> None:
    archive = write(tmp_path / "a", clips_of(3), fps=np.float32(30), persons=np.int64(1))
    assert archive.fps == 30.0
    assert archive.persons == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"class_names": "walk"}, "a list of names"),
        ({"class_names": ["x", "y", "x"]}, "'x' twice"),
        ({"skeleton": "kinect-v2"}, "motet.layouts.get"),
        ({"fps": "30"}, "must be a number"),
        ({"units": None}, "must be text"),
    ],
)
def test_what_an_archive_cannot_be_made_with(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ArchiveWriter(tmp_path / "a", **{"skeleton": PAIR, **given})
    assert not list(tmp_path.iterdir())


def test_labels_that_are_texts_name_their_number(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=PAIR, class_names=["walk", "sit"]) as writer:
        for columns, said in (({"label": "sit"}, "class_names, 1"), ({"subject": "anna"}, "subject_name")):
            with pytest.raises(DataError, match=said):
                writer.add(clips_of(3)[0], name="x", **columns)
        with pytest.raises(DataError, match="must be text"):
            writer.add(clips_of(3)[0], name=3)  # type: ignore[arg-type]
        writer.add(clips_of(3)[0], name="a", label=1)


@pytest.mark.parametrize(
    "labels",
    [
        ["sit", float("nan"), float("nan"), "walk"],
        np.array(["sit", np.nan, np.nan, "walk"]),
        np.array(["sit", None, float("nan"), "walk"], dtype=object),
    ],
)
def test_moments_without_a_label_as_pandas_and_numpy_have_them(tmp_path: Path, labels: Any) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=PAIR, fps=1.0) as writer:
        writer.add(clips_of(4)[0], name="a", tracks={"what": labels, "number": np.array([1, 1, 2, 2])})
    tracks = MotionArchive.open(tmp_path / "a").tracks
    rows = tracks["what"].select("start", "end", "label").rows()
    assert rows == [(0.0, 1.0, "sit"), (3.0, 4.0, "walk")]
    assert tracks["number"]["label"].to_list() == ["1", "2"]


def test_a_folder_that_is_no_archive_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match="not an archive"):
        ArchiveWriter(folder, skeleton=PAIR, overwrite=True)
    assert (folder / "one.jpg").exists()


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".a.partial-4194303"  # above the largest process number that Linux gives by default
    left.mkdir()
    with ArchiveWriter(tmp_path / "a", skeleton=PAIR) as writer:
        writer.add(np.zeros((2, 1, 2, 3), np.float32), name="c")
    assert not left.exists()


IMU = Sensor(layouts.get("imu-2"), 50.0, "g")


def test_sensors_are_ragged_archives_inside(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=PAIR, sensors={"wrist": IMU, "hip": IMU}) as writer:
        writer.add(np.ones((3, 2, 3)), name="x", label=1, sensors={"wrist": np.full((5, 2, 3), 2.0)})
        writer.add(np.ones((4, 2, 3)), name="y", label=0, sensors={"wrist": np.zeros((0, 2, 3))})
        writer.add(np.ones((2, 2, 3)), name="z", label=0, sensors={"wrist": np.full((7, 2, 3), 3.0)})
    archive = MotionArchive.open(tmp_path / "a")
    archive.verify()
    assert list(archive.sensors) == ["wrist"]  # no clip has the other
    wrist = archive.sensors["wrist"]
    assert (wrist.fps, wrist.units, wrist.clips["name"].to_list(), wrist.labels.tolist()) == (
        50.0,
        "g",
        ["x", "z"],
        [1, 0],
    )
    assert archive.sensor_rows("wrist").tolist() == [0, -1, 1]
    assert [archive.sensor_clip("wrist", i).shape for i in range(3)] == [(5, 2, 3), (0, 2, 3), (7, 2, 3)]
    assert (archive.sensor_clip("wrist", 2) == 3).all()
    with pytest.raises(ConfigError, match="has no sensor 'hip' next to its skeletons; it has wrist"):
        archive.sensor_rows("hip")


def test_a_bad_sensor_keeps_the_whole_clip_out(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=PAIR, sensors={"wrist": IMU, "hip": IMU}) as writer:
        writer.add(np.ones((3, 2, 3)), name="x", sensors={"wrist": np.ones((5, 2, 3))})
        for bad, words in (
            ({"hip": np.full((5, 2, 3), np.nan), "wrist": np.ones((5, 2, 3))}, "clip y, sensor hip, frame 0"),
            ({"wrist": np.ones((5, 6))}, "clip y, sensor wrist: shape"),
            ({"ankle": np.ones((5, 2, 3))}, "not given a sensor 'ankle'"),
        ):
            with pytest.raises(DataError, match=words):
                writer.add(np.ones((3, 2, 3)), name="y", sensors=bad)
    archive = MotionArchive.open(tmp_path / "a")
    assert (len(archive), len(archive.sensors["wrist"]), list(archive.sensors)) == (1, 1, ["wrist"])


def test_damaged_sensors_are_seen(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with ArchiveWriter(tmp_path / name, skeleton=PAIR, sensors={"wrist": IMU}) as writer:
            value = 1.0 if name == "a" else 2.0
            writer.add(np.ones((3, 2, 3)), name="x", sensors={"wrist": np.full((5, 2, 3), value)})
    shutil.rmtree(tmp_path / "a" / "sensors" / "wrist")
    with pytest.raises(DataError, match="does not exist"):
        MotionArchive.open(tmp_path / "a").verify()
    shutil.copytree(tmp_path / "b" / "sensors" / "wrist", tmp_path / "a" / "sensors" / "wrist")
    with pytest.raises(DataError, match="was changed after it was written"):
        _ = MotionArchive.open(tmp_path / "a").sensors
    assert MotionArchive.open(tmp_path / "a").hash == MotionArchive.open(tmp_path / "b").hash


def test_without_sensors_nothing_is_left_of_them(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=PAIR, sensors={"wrist": IMU}) as writer:
        writer.add(np.ones((3, 2, 3)), name="x")
    assert not (tmp_path / "a" / "sensors").exists()
    assert MotionArchive.open(tmp_path / "a").sensors == {}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_writer_that_nobody_holds_leaves_nothing(tmp_path: Path) -> None:
    """An interrupt may come before anybody could abort it."""
    first = ArchiveWriter(tmp_path / "a", skeleton=PAIR)
    second = ArchiveWriter(tmp_path / "a", skeleton=PAIR)
    del first
    gc.collect()
    assert len(list(tmp_path.iterdir())) == 1  # the second's
    second.abort()
    assert not list(tmp_path.iterdir())


def test_a_clip_that_is_not_there(small_archive: MotionArchive) -> None:
    for index in (48, -49, 9999):
        with pytest.raises(ConfigError, match=rf"has no clip {index}: it holds 48 clips, numbered from 0"):
            small_archive.clip(index)
    for wrong in (slice(0, 2), None, 1.0):
        with pytest.raises(ConfigError, match="has no clip"):
            small_archive.clip(wrong)  # type: ignore[arg-type]
    assert len(small_archive.clip(-1)) == small_archive.lengths[-1]


def test_a_clip_by_its_name(small_archive: MotionArchive) -> None:
    name = small_archive.clips["name"][5]
    assert small_archive.row(name) == small_archive.row(np.int64(5)) == small_archive.row(5 - len(small_archive)) == 5
    assert np.array_equal(small_archive[name], small_archive.clip(5))
    assert np.array_equal(small_archive[-1], small_archive.clip(len(small_archive) - 1))
    with pytest.raises(ConfigError, match=f"a number or a name is wanted, such as .*{name}"):
        small_archive.clip(f"{name}x")
