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
from motet.data.formats import import_dataset, kinetics
from motet.data.formats.base import Unit

POSE = np.random.default_rng(0).uniform(0, 1, (18, 2)).round(3)
SCORE = np.full(18, 0.5)
SCORE[3] = 0


def person(x: float = 0.0, score: np.ndarray = SCORE) -> dict[str, Any]:
    return {"pose": (POSE * (score > 0)[:, None] * 0.3 + (x, 0)).ravel().tolist(), "score": score.tolist()}


def clip(label: int = 2, name: str = "archery", frames: int = 4) -> dict[str, Any]:
    data = [{"frame_index": i, "skeleton": [person(), person(0.5, 0.4 * (SCORE > 0))]} for i in range(1, frames + 1)]
    data[1]["skeleton"] = []
    return {"data": data, "label": name, "label_index": label}


def lay_out(folder: Path, content: Any = None, listed: bool = True) -> Path:
    rows = {"abc": {"has_skeleton": True, "label": "archery", "label_index": 2}, "xyz": {"has_skeleton": False}}
    for side in ("train", "val"):
        (folder / f"kinetics_{side}").mkdir(parents=True)
        (folder / f"kinetics_{side}" / "abc.json").write_text(json.dumps(clip() if content is None else content))
        (folder / f"kinetics_{side}" / "xyz.json").write_text('{"data": [], "label": "unknown", "label_index": -1}')
        if listed:
            (folder / f"kinetics_{side}_label.json").write_text(json.dumps(rows))
    return folder


def test_import(tmp_path: Path) -> None:
    archive = import_dataset("kinetics", lay_out(tmp_path / "in"), tmp_path / "out", progress=False)
    assert archive.clips.select("name", "label", "split", "people").rows() == [
        ("kinetics_train/abc", 2, "train", 2),
        ("kinetics_val/abc", 2, "val", 2),
    ]
    assert (archive.class_names[2], archive.units, archive.persons) == ("archery", "px", 2)
    assert (archive.source["split"], archive.source["without_skeleton"]) == ("column:split=train,val", 2)
    frames, confidence = archive.clip(0), archive.clip_confidence(0)
    assert confidence is not None
    expected = POSE * 0.3 * (340, 256)
    expected[3] = 0
    np.testing.assert_allclose(frames[0, 0], expected, rtol=1e-5)
    assert not frames[1].any()
    np.testing.assert_allclose(confidence[0, 0], SCORE)
    np.testing.assert_allclose(confidence[0, 1], 0.4 * (SCORE > 0))


def test_without_the_label_file_the_clips_tell(tmp_path: Path) -> None:
    source = lay_out(tmp_path / "in", listed=False)
    with pytest.raises(DataError, match=r"xyz\.json: .* has no skeleton"):
        import_dataset("kinetics", source, tmp_path / "out", progress=False)
    archive = import_dataset("kinetics", source, tmp_path / "out", progress=False, on_error="skip")
    assert (len(archive), archive.class_names) == (2, ["0", "1", "archery"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": 3}, "an object with a list 'data'"),
        ({"data": [{"frame_index": 1, "skeleton": []}]}, "nobody is seen"),
        ({"data": [{"frame_index": 10**9, "skeleton": []}]}, "frame 0: no frame_index below"),
        ({"data": [{"frame_index": 1, "skeleton": [{"pose": [1], "score": []}]}]}, "frame 0: a person has 1 number"),
        ({"data": [{"frame_index": 1, "skeleton": [3]}]}, "frame 0: "),
    ],
)
def test_bad_files_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    source = lay_out(tmp_path / "in", clip() | change)
    with pytest.raises(DataError, match=said) as caught:
        import_dataset("kinetics", source, tmp_path / "out", progress=False)
    assert "abc.json" in str(caught.value)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(json.dumps(clip(frames=2)).encode())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 40))] = data.draw(
        st.binary(max_size=12) | st.sampled_from([b"[", b"]", b"null", b'"1"', b"{}", b"1e999", b"true", b","])
    )
    path = tmp_path / "a.json"
    path.write_bytes(raw)
    with contextlib.suppress(MotetError):
        kinetics.read(Unit("a.json", path), kinetics.Options())
