from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError, MotetError
from motet.data.archive import MotionArchive
from motet.data.formats import _isolated, import_dataset, sleap
from motet.data.formats.base import Unit

h5py = pytest.importorskip("h5py", reason="needs the extra h5")

pytestmark = pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
TRACKS = np.random.default_rng(0).uniform(1, 99, (2, 2, 3, 5))
TRACKS[1, :, 2, 4] = np.nan
SCORES = np.random.default_rng(1).uniform(0.1, 1, (2, 3, 5))


DETAIL = {"joints": ("nose", "neck", "tail"), "channels": 2, "fps": None, "columns": {}}


def write(path: Path, **change: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    content = {
        "tracks": TRACKS,
        "point_scores": SCORES,
        "node_names": np.array([b"nose", b"neck", b"tail"]),
        "edge_inds": np.array([[1, 0], [1, 2], [2, 0]]),
        "track_names": np.array([b"a", b"b"]),
    }
    with h5py.File(path, "w") as file:
        for name, values in (content | change).items():
            if values is not None:
                file[name] = values


def load(folder: Path, **options: Any) -> MotionArchive:
    return import_dataset("sleap", folder / "in", folder / "out", progress=False, overwrite=True, **options)


def test_individuals_nodes_and_bones(tmp_path: Path) -> None:
    write(tmp_path / "in" / "m1_run.analysis.h5")
    archive = load(tmp_path, fps=30.0)
    assert (archive.skeleton.joints, archive.skeleton.parents) == (("nose", "neck", "tail"), (1, -1, 1))
    assert (archive.units, archive.persons, archive.clips["name"][0]) == ("px", 2, "m1_run")
    assert archive.clips["individuals"][0] == "a, b"
    np.testing.assert_allclose(archive.clip(0), np.nan_to_num(TRACKS.transpose(3, 0, 2, 1)), rtol=1e-6)
    assert load(tmp_path, persons=1).clip(0).shape[1] == 1


@pytest.mark.parametrize(
    ("given", "called", "order"),
    [
        (["b10", "b9"], "b9, b10", [1, 0]),  # in the order of their names, so of all files alike
        (["track_0", "track_1"], "track_1, track_0", [1, 0]),  # these say nothing: who was seen best goes first
        (["Track 1", "b"], "b, Track 1", [1, 0]),
        (["a"], "person1, a", [1, 0]),
        ([], None, [1, 0]),
    ],
)
def test_individuals_keep_their_names(tmp_path: Path, given: list[str], called: str | None, order: list[int]) -> None:
    tracks = TRACKS.copy()
    tracks[0, :, :, :2] = np.nan
    write(tmp_path / "in" / "a.h5", tracks=tracks, track_names=np.array([n.encode() for n in given]) if given else None)
    archive = load(tmp_path)
    assert (archive.clips["individuals"][0] if "individuals" in archive.clips.columns else None) == called
    np.testing.assert_allclose(archive.clip(0), np.nan_to_num(tracks[order].transpose(3, 0, 2, 1)), rtol=1e-6)
    only = load(tmp_path, persons=1)
    if called and not called.startswith("person"):
        assert only.clips["individuals"][0] == called.split(", ")[0]
    assert (only.clip(0)[:, 0] == np.nan_to_num(tracks[1].transpose(2, 1, 0)).astype(np.float32)).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tracks": None}, "export the predictions as analysis HDF5"),
        ({"tracks": TRACKS[:, :, :2]}, "do not fit"),
        ({"tracks": np.array([b"x"])}, "no array of numbers 'tracks'"),
        ({"tracks": TRACKS * np.nan}, "nobody is seen"),
        ({"point_scores": SCORES[:1]}, "point_scores of shape"),
        ({"edge_inds": np.array([[0, 7]])}, "nodes or edges"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    write(tmp_path / "in" / "a.h5", **change)
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path)
    assert "a.h5" in str(caught.value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "in" / "a.h5"
    write(path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))] if data.draw(st.booleans()) else raw)
    with contextlib.suppress(MotetError):
        assert np.isfinite(sleap.FORMAT.read(Unit("a", path, DETAIL), sleap.Options())[0].frames).all()


def test_axes_lie_as_the_file_says(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.h5")
    wanted = load(tmp_path).hash
    write(tmp_path / "in" / "a.h5", tracks=TRACKS.transpose(3, 0, 2, 1), point_scores=SCORES.transpose(2, 0, 1))
    with h5py.File(tmp_path / "in" / "a.h5", "a") as file:
        file["tracks"].attrs["dims"] = '["frame", "track", "node", "xy"]'
    assert load(tmp_path, licence="x").hash == wanted


def project(path: Path) -> None:
    """Two frames of a project: two instances that were predicted, then one of them corrected."""
    nodes = [{"name": n} for n in ("tail", "nose")]
    skeleton = {"nodes": [{"id": 1}, {"id": 0}], "links": [{"source": 1, "target": 0, "type": {"py/id": 1}}]}
    point = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
    instance = [("instance_type", "u1"), ("track", "i4"), ("point_id_start", "u8"), ("point_id_end", "u8")]
    frame = [
        ("frame_id", "u8"),
        ("video", "u4"),
        ("frame_idx", "u8"),
        ("instance_id_start", "u8"),
        ("instance_id_end", "u8"),
    ]
    with h5py.File(path, "w") as file:
        group = file.create_group("metadata")
        group.attrs["json"] = np.bytes_(json.dumps({"nodes": nodes, "skeletons": [skeleton]}))
        file["points"] = np.array([(9, 8, True, True), (7, 6, True, True)], dtype=point)
        predicted = [
            (1, 2, True, True, 0.5),
            (3, 4, True, True, 0.6),
            (5, 6, True, True, 0.7),
            (np.nan, 0, True, True, 0),
        ]
        file["pred_points"] = np.array(predicted, dtype=[*point, ("score", "f8")])
        file["instances"] = np.array([(1, 0, 0, 2), (1, 1, 2, 4), (0, 0, 0, 2)], dtype=instance)
        file["frames"] = np.array([(0, 0, 10, 0, 2), (1, 0, 12, 2, 3)], dtype=frame)


def test_projects(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    project(tmp_path / "in" / "a.slp")
    archive = load(tmp_path)
    assert (archive.skeleton.joints, archive.skeleton.parents) == (("nose", "tail"), (-1, 0))
    assert archive.lengths.tolist() == [3]  # frames 10 and 12; 11 is absent
    assert not archive.clip(0)[1].any()
    np.testing.assert_allclose(archive.clip(0)[0], [[[1, 2], [3, 4]], [[5, 6], [0, 0]]])
    np.testing.assert_allclose(archive.clip(0)[2], [[[9, 8], [7, 6]], [[0, 0], [0, 0]]])
    with h5py.File(tmp_path / "in" / "a.slp", "a") as file:
        file["tracks_json"] = np.array([b'[0, "resident"]', b'[0, "intruder"]'])
    named = load(tmp_path)
    assert named.clips["individuals"][0] == "intruder, resident"
    np.testing.assert_allclose(named.clip(0)[:, ::-1], archive.clip(0))


def test_a_reader_that_crashes_or_hangs_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for module, function, seconds, said in (
        ("os", "abort", 60.0, "made the reader of its format crash"),
        ("time", "sleep", 0.2, r"did not end within 0\.2 seconds"),
        ("builtins", "bytearray", 60.0, "MemoryError"),
    ):
        argument = {"os": (), "time": (60,), "builtins": (2**40,)}[module]
        with pytest.raises(DataError, match=said):
            _isolated.call("_isolated", "_try", path, b"", module, function, argument, seconds=seconds)
    assert _isolated.call("_isolated", "_try", path, b"", "operator", "add", (1, 2)) == 3


def test_a_reader_that_does_not_end_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_isolated, "WORK", (0.2, 0.0))
    call = (tmp_path / "a.h5", b"", "builtins", "sum", (range(10**12),))
    for _ in range(2):
        with pytest.raises(DataError, match="does not come to an end"):
            _isolated.call("_isolated", "_try", *call)
        monkeypatch.setattr(_isolated, "_started", lambda: pytest.fail("the reader was started again"))
