from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError, MotetError
from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset, sleap

h5py = pytest.importorskip("h5py", reason="needs the extra h5")

TRACKS = np.random.default_rng(0).uniform(1, 99, (2, 2, 3, 5))
TRACKS[1, :, 2, 4] = np.nan
SCORES = np.random.default_rng(1).uniform(0.1, 1, (2, 3, 5))


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
    best = np.argsort(-np.where(np.isfinite(TRACKS[:, 0]), SCORES, 0).sum(axis=(1, 2)))
    np.testing.assert_allclose(archive.clip(0), np.nan_to_num(TRACKS[best].transpose(3, 0, 2, 1)), rtol=1e-6)
    assert load(tmp_path, persons=1).clip(0).shape[1] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tracks": None}, "export the predictions as analysis HDF5"),
        ({"tracks": TRACKS[:, :, :2]}, "do not fit"),
        ({"tracks": np.array([b"x"])}, "cannot be read as it should"),
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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "in" / "a.h5"
    write(path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))] if data.draw(st.booleans()) else raw)
    with contextlib.suppress(MotetError):
        assert np.isfinite(sleap.read_tracks(path).points).all()
