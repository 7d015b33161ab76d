from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from motet.core.errors import ConfigError, DataError
from motet.evaluate import knn_accuracy, knn_predict
from motet.metrics import neighbours


def golden() -> tuple[np.ndarray, list[int], np.ndarray]:
    d = np.arange(4)[None] ** 2
    train = np.cos(0.5 * np.arange(8)[:, None] + 0.2 * d)
    test = np.cos(0.5 * np.arange(5)[:, None] + 0.2 * d + 0.23)
    return train, [0, 0, 1, 1, 2, 2, 3, 3], test


def test_golden_values() -> None:
    train, labels, test = golden()
    similarity, index = neighbours.nearest(torch.from_numpy(train), torch.from_numpy(test), 1)
    assert index[:, 0].tolist() == [0, 1, 2, 4, 4]
    assert similarity[0, 0].item() == pytest.approx(0.983442, abs=1e-6)
    for k in (1, 3):
        assert knn_predict(train, labels, test, k=k).tolist() == [0, 0, 1, 2, 2]
    assert knn_accuracy(train, labels, test, [0, 0, 1, 2, 3]) == pytest.approx(0.8)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    train=st.integers(5, 60),
    test=st.integers(1, 20),
    width=st.integers(2, 24),
    k=st.integers(1, 5),
    classes=st.integers(1, 6),
    double=st.booleans(),
)
def test_equal_to_scikit_learn(
    seed: int, train: int, test: int, width: int, k: int, classes: int, double: bool
) -> None:
    rng = np.random.default_rng(seed)
    kind = np.float64 if double else np.float32
    a, b = (rng.standard_normal((n, width)).astype(kind) for n in (train, test))
    labels = rng.integers(-3, -3 + classes, train)  # any integers
    theirs = KNeighborsClassifier(k, metric="cosine").fit(a, labels).predict(b)
    np.testing.assert_array_equal(knn_predict(a, labels, b, k=k), theirs)


def test_a_tied_vote_goes_to_the_lowest_label_as_in_scikit_learn() -> None:
    train = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    assert knn_predict(train, [7, 2, 5], [[1.0, 0.01]] @ np.eye(2), k=3).tolist() == [2]


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), power=st.integers(-30, 30))
def test_positive_rescaling_of_any_row_changes_nothing(seed: int, power: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    train, test = torch.randn(30, 8, generator=generator), torch.randn(9, 8, generator=generator)
    labels = torch.randint(0, 4, (30,), generator=generator)
    before = knn_predict(train, labels, test, k=3)
    scale = torch.rand(30, 1, generator=generator) + 0.5
    scale[::3] *= 10.0**power
    np.testing.assert_array_equal(knn_predict(train * scale, labels, test * 10.0**power, k=3), before)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    train, test = torch.randn(500, 16, generator=generator), torch.randn(70, 16, generator=generator)
    whole = neighbours.nearest(train, test, 7)
    monkeypatch.setattr(neighbours, "_BLOCK_ROWS", 9)
    monkeypatch.setattr(neighbours, "_QUERY_ROWS", 8)
    monkeypatch.setattr(neighbours, "_BLOCK_BYTES", 16 * 8 * 50)
    blocks = neighbours.nearest(train, test, 7)
    assert torch.equal(whole[1], blocks[1])
    torch.testing.assert_close(whole[0], blocks[0])


def test_a_zero_vector_is_similar_to_nothing() -> None:
    train = torch.tensor([[0.0, 0.0], [-1.0, 0.0], [1.0, 1.0]])
    similarity, index = neighbours.nearest(train, torch.tensor([[0.0, 0.0], [1.0, -0.5], [1.0, 0.0]]), 3)
    assert similarity[0].tolist() == [0, 0, 0]
    assert index[0].tolist() == [0, 1, 2]  # equal similarities: first training rows first
    assert index[1].tolist() == [2, 0, 1]
    assert similarity[1, 1] == 0
    assert index[2, 0] == 2


@pytest.mark.parametrize("collapse", [0.0, 3.0, 300.0])
def test_bfloat16_never_shows(monkeypatch: pytest.MonkeyPatch, collapse: float) -> None:
    """Also where all features lie in a narrow cone, so that bfloat16 cannot tell them apart."""
    generator = torch.Generator().manual_seed(1)
    shift = collapse * torch.randn(64, generator=generator)
    train, test = (torch.randn(n, 64, generator=generator) + shift for n in (900, 130))
    plain = neighbours.nearest(train, test, 5)
    calls = []
    one_pass = neighbours._one_pass
    monkeypatch.setattr(neighbours, "_BF16_WORK", 0)
    monkeypatch.setattr(neighbours, "_fast_bf16", lambda device: True)
    monkeypatch.setattr(neighbours, "_one_pass", lambda *a: calls.append(a[0].dtype) or one_pass(*a))
    quick = neighbours.nearest(train, test, 5)
    assert torch.bfloat16 in calls
    assert torch.equal(plain[1], quick[1])
    assert torch.equal(plain[0], quick[0])


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 6), cone=st.floats(0, 100))
def test_rows_proved_by_bfloat16_are_right(seed: int, k: int, cone: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    shift = cone * torch.randn(16, generator=generator)
    train, test = (torch.randn(n, 16, generator=generator) + shift for n in (200, 40))
    index, proved = neighbours._one_pass(neighbours._TrainingSide(train, torch.bfloat16), test, k)[1:]
    truth = neighbours.nearest(train.double(), test.double(), k)[1]
    assert torch.equal(index[proved], truth[proved])


def test_bad_input_is_named() -> None:
    x = torch.eye(3)
    with pytest.raises(ConfigError, match="k is 4"):
        knn_predict(x, [0, 1, 2], x, k=4)
    with pytest.raises(ConfigError, match="k is 0"):
        knn_predict(x, [0, 1, 2], x, k=0)
    with pytest.raises(ConfigError, match="one width"):
        knn_predict(x, [0, 1, 2], torch.eye(2))
    with pytest.raises(ConfigError, match="3 training features but 2 labels"):
        knn_predict(x, [0, 1], x)
    with pytest.raises(ConfigError, match="≥ 1"):
        knn_accuracy(x, [0, 1, 2], x[:0], [])
    with pytest.raises(DataError, match="integers"):
        knn_predict(x, np.array([0.5, 1, 2]), x)
    broken = x.clone()
    broken[1, 2] = torch.nan
    with pytest.raises(DataError, match="test features: row 1"):
        knn_predict(x, [0, 1, 2], broken)
    broken[1, 2] = torch.inf
    with pytest.raises(DataError, match="training features: row 1"):
        knn_predict(broken, [0, 1, 2], x)
