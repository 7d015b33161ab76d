from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError
from motet.data.formats._mat import read_mat

VALUES = np.random.default_rng(0).normal(size=(3, 4, 2))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("values", [VALUES, VALUES.astype("f4"), (9 * VALUES).astype("i2"), np.ones((1, 1)), VALUES[0]])
def test_arrays_are_those_that_scipy_wrote(tmp_path: Path, values: np.ndarray, packed: bool) -> None:
    other = {"text": "words", "cell": np.array([1, "a"], dtype=object), "twin": values * 2}
    scipy.io.savemat(tmp_path / "a.mat", {**other, "wanted": values}, do_compression=packed)
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat", "wanted"), values)
    if values.ndim == 2:
        scipy.io.savemat(tmp_path / "b.mat", {"other": values * 2, "wanted": values.astype("f8")}, format="4")
        np.testing.assert_array_equal(read_mat(tmp_path / "b.mat", "wanted"), values)
    with pytest.raises(DataError, match="has no array of numbers 'text'"):
        read_mat(tmp_path / "a.mat", "text")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), packed=st.booleans())
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject, packed: bool) -> None:
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"wanted": VALUES}, do_compression=packed)
    raw = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(120, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "a.mat").write_bytes(raw[: data.draw(st.integers(1, len(raw)))] if data.draw(st.booleans()) else raw)
    with contextlib.suppress(DataError):
        assert np.isfinite(read_mat(tmp_path / "a.mat", "wanted")).all()
