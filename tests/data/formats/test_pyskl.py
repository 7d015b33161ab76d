from __future__ import annotations

import collections
import contextlib
import io
import pickle
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError, MotetError
from motet.data import splits
from motet.data.archive import MotionArchive
from motet.data.formats import _pickle, import_dataset, pyskl

RNG = np.random.default_rng(0)
FLAT = RNG.uniform(1, 500, (2, 6, 17, 2)).astype(np.float16)
SCORE = RNG.uniform(0.1, 1, (2, 6, 17)).astype(np.float16)
SPACE = RNG.normal(size=(1, 4, 25, 3)).astype(np.float32)


def flat(name: str, **more: Any) -> dict[str, Any]:
    row = {"frame_dir": name, "label": 3, "img_shape": (1080, 1920), "original_shape": (1080, 1920)}
    return {**row, "total_frames": 6, "keypoint": FLAT, "keypoint_score": SCORE, **more}


def whole() -> dict[str, Any]:
    names = ["S001C002P003R001A004", "S002C001P001R002A001"]
    return {
        "split": {"xsub_train": names[:1], "xsub_val": names[1:], "xview_train": names, "xview_val": []},
        "annotations": [flat(names[0]), flat(names[1], label=np.int64(0))],
    }


def load(folder: Path, content: Any, protocol: int = 4, **options: Any) -> MotionArchive:
    path = folder / "set.pkl"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    return import_dataset("pyskl", path, folder / "out", progress=False, overwrite=True, **options)


@pytest.mark.parametrize("protocol", range(6))
def test_two_dimensions(tmp_path: Path, protocol: int) -> None:
    archive = load(tmp_path, whole(), protocol)
    assert (archive.skeleton.name, archive.units, archive.channels, archive.persons) == ("coco-17", "px", ("x", "y"), 2)
    best = np.argsort(-SCORE.sum(axis=(1, 2), dtype=np.float64))
    np.testing.assert_array_equal(archive.clip(0), FLAT[best].transpose(1, 0, 2, 3).astype(np.float32))
    np.testing.assert_array_equal(archive.clip_confidence(0), SCORE[best].transpose(1, 0, 2).astype(np.float32))
    columns = archive.clips.select("label", "setup", "camera", "subject", "repetition", "xsub", "height", "people")
    assert columns.rows() == [(3, 1, 2, 3, 1, "train", 1080, 2), (0, 2, 1, 1, 2, "val", 1080, 2)]
    chosen = splits.split(archive, splits.default_rule(archive))
    assert (chosen.name, chosen.train.tolist(), chosen.test.tolist()) == ("column:xsub=train,val", [0], [1])


def test_three_dimensions_a_bare_list_and_names_of_classes(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("sit\nstand\n")
    rows = [{"frame_dir": "a", "label": 1, "keypoint": np.asfortranarray(SPACE), "total_frames": 4}]
    archive = load(tmp_path, rows, classes=tmp_path / "names.txt")
    assert (archive.skeleton.name, archive.units, archive.confidence) == ("kinect-v2", "m", None)
    np.testing.assert_array_equal(archive.clip(0)[:, 0], SPACE[0])
    assert archive.class_names == ["sit", "stand"]


def test_absent_people_go_last_and_joints_without_confidence_are_absent(tmp_path: Path) -> None:
    space = np.concatenate([np.zeros_like(SPACE), SPACE])
    archive = load(tmp_path, [{"frame_dir": "a", "label": 1, "keypoint": space}], persons=1)
    np.testing.assert_array_equal(archive.clip(0)[:, 0], SPACE[0])
    score = SCORE.copy()
    score[:, :, 5] = 0
    archive = load(tmp_path, [flat("a", keypoint_score=score)])
    assert not archive.clip(0)[:, :, 5].any()
    assert archive.clip(0)[:, :, 4].all()


class _Malicious:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_nothing_that_a_pickle_names_is_run(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "was-run"
    for call in (
        _Malicious(Path.touch, mark),
        _Malicious(subprocess.check_call, ["touch", str(mark)]),
        _Malicious(eval, f"open({str(mark)!r}, 'w')"),
        _Malicious(getattr, collections.OrderedDict, "fromkeys"),
        _Malicious(collections.OrderedDict.fromkeys, "ab"),
        _Malicious(np.load, str(mark)),
    ):
        for content in (call, {"annotations": [flat("a", extra=call)]}, {"annotations": [flat("a", keypoint=call)]}):
            with pytest.raises(DataError, match=r"no pickle of plain data and arrays \(it names"):
                load(tmp_path, content, protocol)
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def test_known_names_cannot_be_bent() -> None:
    # GLOBAL, state, BUILD: to set an attribute of what stands for the function
    function = b"cnumpy.core.multiarray\n_reconstruct\n"
    with pytest.raises(pickle.UnpicklingError, match="changes a function"):
        _pickle.load(io.BytesIO(function + b"(dS'x'\nI1\nsb."))
    with pytest.raises(pickle.UnpicklingError, match="outside"):
        _pickle.load(io.BytesIO(b"Pname\n."))
    for code in ("V8", "O", "S10", 3):
        with pytest.raises(pickle.UnpicklingError, match="an array of type"):
            _pickle.Dtype(code)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"junk", "no pickle"),
        (3, "neither a list of annotations"),
        ({"annotations": []}, "neither a list of annotations"),
        ([{"label": 1}], "annotation 0: it has no frame_dir"),
        ([{"frame_dir": "a", "label": 1}], r"set\.pkl, a: it has no keypoint; in Kinetics-400"),
        ([flat("a", keypoint=[1, 2])], "keypoint of shape"),
        ([flat("a", keypoint=["x"])], "no array of numbers"),
        ([flat("a", keypoint=FLAT[0])], r"shape \(6, 17, 2\)"),
        ([flat("a", keypoint_score=SCORE[:1])], "does not fit"),
        ([flat("a", keypoint=FLAT.astype(object))], "no array of numbers"),
        ([flat("a", keypoint=FLAT * np.float16("nan"))], r"set\.pkl, a: a coordinate or confidence is NaN"),
        ([flat("a", keypoint=FLAT[:, :, :16], keypoint_score=SCORE[:, :, :16])], "16 joints of 2 coordinates; known"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path, content)
    assert "set.pkl" in str(caught.value)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), protocol=st.sampled_from([0, 2, 4, 5]))
def test_mutated_pickles_raise_nothing_else(tmp_path: Path, data: st.DataObject, protocol: int) -> None:
    small = {"split": {"train": ["a"]}, "annotations": [flat("a", keypoint=FLAT[:1, :1], keypoint_score=SCORE[:1, :1])]}
    raw = bytearray(pickle.dumps(small, protocol=protocol))
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=12))
    path = tmp_path / "a.pkl"
    path.write_bytes(raw)
    pyskl._load.cache_clear()
    with contextlib.suppress(MotetError):
        for row in pyskl.load(path)[0]:
            pyskl.keypoints(row, "a")


def test_lists_are_read_as_arrays(tmp_path: Path) -> None:
    wanted = load(tmp_path, [flat("a")]).hash
    assert load(tmp_path, [flat("a", keypoint=FLAT.tolist())]).hash == wanted


@pytest.mark.parametrize("bomb", [b"]r\xff\xff\xff\x7f.", b"(lp4000000000\n.", b"\x80\x04]r\xff\xff\xff\xff."])
def test_a_few_bytes_cannot_ask_for_gigabytes(tmp_path: Path, bomb: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(DataError, match="numbers more objects than it can hold"):
        load(tmp_path, bomb)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
