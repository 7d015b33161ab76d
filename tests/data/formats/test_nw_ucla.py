from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError, MotetError
from motet.data.formats import import_dataset, nw_ucla
from motet.data.formats.base import Unit

NAME = "a08_s04_e00_v03.json"
FRAMES = np.random.default_rng(0).normal(size=(4, 20, 3)).round(6)
TEXT = json.dumps({"file_name": NAME[:-5], "skeletons": FRAMES.tolist()})


def read(path: Path) -> np.ndarray:
    (clip,) = nw_ucla.read(Unit(path.name, path), nw_ucla.Options())
    return clip.frames


def test_import(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(TEXT)
    (tmp_path / "a12_s10_e05_v01.json").write_text(TEXT)
    archive = import_dataset("nw-ucla", tmp_path, tmp_path / "out", progress=False)
    np.testing.assert_array_equal(archive.clip(0)[:, 0], FRAMES.astype(np.float32))
    columns = archive.clips.select("label", "subject", "camera", "repetition")
    assert columns.rows() == [(6, 4, 3, 0), (9, 10, 1, 5)]  # action numbers have gaps, labels have none
    assert archive.class_names[6] == "donning"
    assert len(archive.class_names) == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (TEXT[:-100], "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"skeleton": []}', "no JSON object"),
        ('{"skeletons": []}', "shape"),
        ('{"skeletons": "x"}', "no JSON object"),
        ('{"skeletons": [[[1, 2, 3]], [[1, 2]]]}', "no JSON object"),
        ('{"skeletons": ' + "[" * 100000, "no JSON object"),
        ('{"skeletons": 1' + "0" * 5000 + "}", "no JSON object"),
        (json.dumps({"skeletons": FRAMES[:, :19].tolist()}), r"shape \(4, 19, 3\)"),
        (
            json.dumps({"skeletons": np.where(np.arange(3) == 1, np.nan, FRAMES).tolist()}),
            "frame 0: a coordinate is NaN",
        ),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / NAME
    path.write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_unknown_action(tmp_path: Path) -> None:
    path = tmp_path / "a07_s04_e00_v03.json"
    path.write_text(TEXT)
    with pytest.raises(DataError, match="with an action of 1, 2, 3, 4, 5, 6, 8, 9, 11, 12"):
        read(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(TEXT.encode())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 40))] = data.draw(
        st.binary(max_size=12) | st.sampled_from([b"[", b"]", b"null", b'"1"', b"{}", b"1e999", b"true", b","])
    )
    path = tmp_path / NAME
    path.write_bytes(raw)
    with contextlib.suppress(MotetError):
        assert np.isfinite(read(path)).all()


@pytest.mark.real_data
def test_recordings(shared_data: Path, tmp_path: Path) -> None:
    archive = import_dataset("nw-ucla", shared_data / "raw" / "nw_ucla", tmp_path / "out", progress=False)
    assert len(archive) == 19
    heights = archive.frames[:, 0, archive.skeleton.index("head"), 1]
    feet = archive.frames[:, 0, archive.skeleton.index("left_foot"), 1]
    assert np.median(heights - feet) == pytest.approx(1.5, abs=0.2)  # metres, y up
