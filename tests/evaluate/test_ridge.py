"""Ridge, its strength, and the features that stand next to learned ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from motet.core.errors import ConfigError, DataError
from motet.evaluate.baselines import statistics
from motet.evaluate.ridge import STRENGTHS, Options, Ridge, fold_of


def blobs(seed: int, rows: int, width: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return draw.normal(size=(rows, width)) + 0.6 * np.eye(classes, width)[labels], labels + 5


@pytest.mark.parametrize(("rows", "width"), [(40, 6), (12, 30)])
def test_the_closed_form(rows: int, width: int) -> None:
    """Against the normal equations, written out, on either side of n = F."""
    x, y = blobs(0, rows, width)
    x[:, 2] = 7.0  # says nothing and must not divide by zero
    fitted = Ridge.fit(x, y, strength=0.1)
    sd = x.std(0)
    z = np.divide(x - x.mean(0), sd, out=np.zeros_like(x), where=sd > 1e-9)
    targets = np.where(y[:, None] == np.unique(y), 1.0, -1.0)
    centre = targets.mean(0)
    penalty = 0.1 * np.square(z).sum() / min(z.shape)
    weight = np.linalg.solve(z.T @ z + penalty * np.eye(width), z.T @ (targets - centre))
    test, _ = blobs(1, 20, width)
    test[:, 2] = 7.0
    scaled = np.divide(test - x.mean(0), sd, out=np.zeros_like(test), where=sd > 1e-9)
    np.testing.assert_allclose(fitted.scores(test).numpy(), scaled @ weight + centre, atol=1e-9)
    assert set(fitted.predict(test)) <= {5, 6, 7}


def test_strength_is_chosen_on_left_out_people() -> None:
    """Most columns tell the class of the people who were seen, and nothing of others: as counted here by hand."""
    draw = np.random.default_rng(3)
    people = np.repeat(np.arange(6), 20)
    labels = np.tile(np.repeat([0, 1], 10), 6)
    signal = draw.normal(size=(120, 1)) + 1.5 * labels[:, None]
    own = np.eye(12)[people * 2 + labels] @ draw.normal(size=(12, 40)) * 2
    x = np.concatenate([signal, own + 0.01 * draw.normal(size=own.shape)], axis=1)
    right = {}
    z = (x - x.mean(0)) / x.std(0)
    signs = np.where(labels[:, None] == [0, 1], 1.0, -1.0)
    for strength in STRENGTHS:
        right[strength] = 0
        for fold in range(3):  # folds of two people of equal size
            inside = fold_of(120, people, 3, labels) != fold
            rows, penalty = z[inside], strength * np.square(z[inside]).sum() / min(z[inside].shape)
            weight = np.linalg.solve(rows.T @ rows + penalty * np.eye(41), rows.T @ signs[inside])
            right[strength] += int((np.argmax(z[~inside] @ weight, axis=1) == labels[~inside]).sum())
    by_people = Ridge.fit(x, labels, groups=people, folds=3)
    assert right[by_people.strength] == max(right.values())
    assert min(right.values()) < max(right.values())
    assert by_people.strength != Ridge.fit(x, labels).strength


def test_folds_keep_people_whole_and_even() -> None:
    people = np.repeat([3, 9, 4, 1], [10, 2, 8, 4])
    fold = fold_of(24, people, 2, np.zeros(24, dtype=np.int64))
    assert all(len(set(fold[people == p])) == 1 for p in (1, 3, 4, 9))
    assert sorted(np.bincount(fold).tolist()) == [12, 12]
    # unknown people: clips of a class are dealt out in turn
    classes = np.array([0, 0, 0, 1, 1, 1])
    assert fold_of(6, [-1, 1, 1, 2, 2, 2], 3, classes).tolist() == [0, 1, 2, 0, 1, 2]


def test_people_may_have_names_and_be_unknown() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(24, 5)), np.arange(24) % 3
    numbers = np.repeat([0, 1, 2], 8)
    classes = np.zeros(24, dtype=np.int64)
    fold = fold_of(24, numbers, 3, classes)
    assert np.array_equal(fold_of(24, np.array(["ann", "bob", "eve"])[numbers], 3, classes), fold)
    assert np.array_equal(fold_of(24, numbers.astype(float), 3, classes), fold)
    unknown = np.where(numbers == 1, -1, numbers)
    by_number = fold_of(24, unknown, 3, classes)
    for spelt in (np.where(numbers == 1, np.nan, numbers), [None if n == 1 else f"p{n}" for n in numbers]):
        assert np.array_equal(fold_of(24, spelt, 3, classes), by_number)
        Ridge.fit(x, y, groups=spelt)


def test_what_ridge_refuses() -> None:
    holed = np.where(np.arange(10)[:, None] == 4, np.nan, np.random.default_rng(0).normal(size=(10, 3)))
    with pytest.raises(DataError, match="training features: row 4 holds a value that is not finite"):
        Ridge.fit(holed, np.arange(10) % 2)
    with pytest.raises(DataError, match="test features: row 4"):
        Ridge.fit(np.nan_to_num(holed), np.arange(10) % 2).predict(holed)
    with pytest.raises(ConfigError, match="two classes or more"):
        Ridge.fit(np.zeros((3, 2)), [1, 1, 1])
    with pytest.raises(ConfigError, match="but 2 labels"):
        Ridge.fit(np.zeros((3, 2)), [1, 2])
    with pytest.raises(ConfigError, match=r"ridge\.folds is 1"):
        Options(folds=1)
    with pytest.raises(ConfigError, match=r"ridge\.strength is 0"):
        Options(strength=0.0)


def test_statistics_of_a_sine() -> None:
    time = torch.arange(64, dtype=torch.float64)
    x = torch.zeros(1, 64, 1, 1, 1, dtype=torch.float64)
    x[0, :, 0, 0, 0] = 3 + 2 * torch.sin(2 * np.pi * 8 * time / 64)
    found = statistics(x)
    own = found.view(2, -1)[0]  # the channel, then the magnitude (the same here, being positive)
    torch.testing.assert_close(found.view(2, -1)[1], own)
    torch.testing.assert_close(own[0], torch.tensor(3.0, dtype=torch.float64))
    torch.testing.assert_close(own[1], torch.tensor(2 / 2**0.5 * (64 / 63) ** 0.5, dtype=torch.float64))
    assert own[4:11].tolist() == pytest.approx([1, 1, 3 - 2**0.5, 3, 3 + 2**0.5, 5, 5], abs=0.05)
    bands = own[11:19]
    assert bands.max() == pytest.approx(1.0)
    assert bands.sum() == pytest.approx(1.0)
