"""Linear models of the target alone and of all modalities, next to a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from motet import distill
from motet.methods.distillation.folds import folds
from motet.methods.distillation.linear import _convolved, below, linear, rows
from motet.methods.distillation.narrative import cautions, report
from motet.methods.distillation.table import FeatureTable

TINY = {"epochs": 1, "batch_size": 16, "features": 8, "hidden": (8,), "fuse_hidden": 8}
OPTIONS = {**TINY, "method": "kd", "progress": False, "seeds": (0, 1), "diagnose": False}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The target tells class 0 from the others, both together tell all; the last ten rows lack the second."""
    random = np.random.default_rng(0)
    label = np.arange(120) % 3
    watch = np.eye(3)[label][:, :1] * 6 + random.normal(0, 0.5, (120, 4))
    camera = np.eye(3)[label][:, 1:] * 6 + random.normal(0, 0.5, (120, 2))
    path = tmp_path_factory.mktemp("linear") / "t.npz"
    there = np.arange(120) < 110
    np.savez(path, label=label, fold=np.arange(120) // 3 % 4, watch=watch, camera=camera, available_camera=there)
    return path


def test_the_second_modality_tells_more(table: Path) -> None:
    opened = FeatureTable.open(table)
    found = linear(opened, ["watch"], ["camera"], folds(opened))
    assert found["target"]["rows"] == 120
    assert found["all"] == {"accuracy": 1.0, "rows": 110}
    assert 0.55 < found["target"]["accuracy"] < 0.8
    assert linear(opened, ["watch"], [], folds(opened)) == {"target": found["target"]}
    assert linear(opened, ["watch"], [], folds(opened, "all")) == {}


def test_random_convolutions_see_an_order_that_means_do_not(tmp_path: Path) -> None:
    """Up then down, or down then up, at a moment that nobody knows."""
    random = np.random.default_rng(0)
    label, x = np.arange(160) % 2, random.normal(0, 0.3, (160, 40, 1))
    for row, place in enumerate(random.integers(8, 32, size=160)):
        x[row, place - 1, 0] += 3 * (-1) ** label[row]
        x[row, place, 0] -= 3 * (-1) ** label[row]
    np.savez(tmp_path / "t.npz", label=label, fold=np.arange(160) // 2 % 2, watch=x, other=random.normal(size=(160, 3)))
    opened = FeatureTable.open(tmp_path / "t.npz")
    found = linear(opened, ["watch"], ["other"], folds(opened))
    assert found["target"]["accuracy"] < 0.7
    assert found["convolutions"]["accuracy"] > 0.9
    assert found["convolutions_all"]["accuracy"] > 0.9
    result = {"target": ["watch"], "auxiliary": ["other"], "linear": found, "scored": "student"}
    result |= {"summary": {"student": {"accuracy": {"mean": 0.8}}}}
    assert below(result).startswith(
        "A linear model of random convolutions of watch alone does better than this student"
    )


def test_thresholds_of_a_fold_see_no_row_that_it_tests(tmp_path: Path) -> None:
    """Every fold has the features that it has alone."""
    random = np.random.default_rng(0)
    label, fold = np.arange(60) % 2, np.arange(60) // 2 % 3
    x = random.normal(size=(60, 30, 1)) * (1 + label[:, None, None])
    np.savez(tmp_path / "t.npz", label=label, fold=fold, watch=x)
    opened = FeatureTable.open(tmp_path / "t.npz")
    train = torch.as_tensor(np.stack([fold != f for f in range(3)]))
    together = _convolved(opened, "watch", train)
    for side, found in zip(train, together, strict=True):
        torch.testing.assert_close(found, _convolved(opened, "watch", side[None])[0], rtol=0, atol=0)
    assert not torch.equal(together[0], together[1])
    scores = [linear(opened, ["watch"], [], [one])["convolutions"]["accuracy"] for one in folds(opened)]
    assert linear(opened, ["watch"], [], folds(opened))["convolutions"]["accuracy"] == pytest.approx(np.mean(scores))


def test_a_result_shows_them_and_says_when_the_student_is_below(table: Path) -> None:
    result = distill.run(table, "watch", "camera", **OPTIONS)
    student, best = result["summary"]["student"]["accuracy"]["mean"], result["linear"]["target"]["accuracy"]
    text = report(result)
    assert f"- linear model of watch: accuracy (WA) {100 * best:.1f} %" in text
    assert "- linear model of watch + camera: accuracy (WA) 100.0 %" in text
    result["summary"]["student"]["accuracy"]["mean"] = best - 0.25
    figures = f"{100 * best:.1f} % against {100 * best - 25:.1f} %."
    said = f"A linear model of watch alone does better than this student: {figures}"
    assert below(result) == said
    assert said in cautions(result, compared=True)
    result["summary"]["student"]["accuracy"]["mean"] = best
    assert below(result) == ""
    del result["linear"]  # of an earlier release
    assert rows(result) == []
    assert below(result) == ""
    assert 0 <= student <= 1
