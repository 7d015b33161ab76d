"""Rows that lack a modality, from the command line to the student in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.cli import main
from motet.core.errors import DataError
from motet.methods import distillation as distill
from motet.methods.distillation.methods import METHODS
from tests.methods.distillation.toys import write_table

TINY: dict[str, Any] = {"epochs": 2, "batch_size": 16, "features": 8, "hidden": (8,), "fuse_hidden": 8}
OWN: dict[str, dict[str, Any]] = {
    "amid": {"warm_up": 1},
    "nce": {"warm_up": 1},
    "crd": {"negatives": 8, "projection": 4},
    "crcd": {"negatives": 4, "projection": 4},
}
HEARD = np.random.default_rng(1).uniform(size=120) > 0.3


def ears(seed: int) -> np.ndarray:
    """The same ears where they hear; anything where they do not."""
    label = np.arange(120) % 3
    heard = np.eye(3)[label] @ np.random.default_rng(7).normal(size=(3, 5))
    noise = np.random.default_rng(seed).normal(0, 1e6, (120, 5))
    noise[::7] = np.nan
    return np.where(HEARD[:, None], heard, noise)


def trained(path: Path, method: str, **options: Any) -> dict[str, Any]:
    quick = {"seeds": (0,), "progress": False, "diagnose": False} | TINY | OWN.get(method, {})
    return distill.run(path, "eye", "ear", method=method, **(quick | options))


@pytest.mark.parametrize("method", [m for m in METHODS if m != "alone"])
def test_what_stands_in_an_absent_row_says_nothing(tmp_path: Path, method: str) -> None:
    """Of 120 rows 30 % lack the ear; the student is tested on every row of a fold, the teacher on those with an ear."""
    results = []
    for seed in (2, 3):
        path = write_table(tmp_path / f"{seed}.npz", ear=ears(seed), available_ear=HEARD)
        results.append(trained(path, method))
    assert results[0]["replicas"] == results[1]["replicas"]
    assert results[0]["curves"] == results[1]["curves"]
    fold = np.arange(120) // 3 % 4 % 2
    for number, replica in enumerate(results[0]["replicas"]):
        assert np.sum(replica["student"]["confusion"]) == 60
        assert np.sum(replica["teacher"]["confusion"]) == HEARD[fold == number].sum()
    assert results[0]["table"]["absent"] == {"ear": int((~HEARD).sum())}


def test_a_third_missing_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The forecast is of the rows with both; resume and use need nothing of the ear."""
    path, run = write_table(tmp_path / "t.npz", ear=ears(2), available_ear=HEARD), tmp_path / "run"
    words = ["distill", str(path), "--target", "eye", "--auxiliary", "ear", "--split", "all", "--out", str(run)]
    quick = ["--epochs", "2", "--features", "8", "--batch-size", "16", "--warm-up", "1"]
    assert main([*words, *quick, "--json", str(tmp_path / "r.json")]) == 0
    assert "Will it help?" in capsys.readouterr().out
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["forecast"]["rows"] == HEARD.sum() == found["table"]["whole"]
    assert found["table"]["rows"] == 120
    alone = write_table(tmp_path / "eye-only.npz", ear=None)
    assert main(["embed", str(run), str(alone), "--out", str(tmp_path / "f.npz")]) == 0
    with np.load(tmp_path / "f.npz") as features:
        assert np.isfinite(features["features"]).all()


def test_the_student_does_not_see_what_test_rows_lack(tmp_path: Path) -> None:
    """Whether test rows have an ear changes nothing of the student's result."""
    half = np.arange(120) // 3 % 2 == 0  # of both folds
    test_only = {"split": np.where(np.arange(120) < 60, "train", "test"), "fold": None, "group": None}
    both = write_table(tmp_path / "a.npz", **test_only)
    with np.load(both) as content:
        ear = content["ear"].copy()
    ear[60:][half[60:]] = np.nan
    some = write_table(tmp_path / "b.npz", ear=ear, available_ear=~(half & (np.arange(120) >= 60)), **test_only)
    first, second = trained(both, "amid"), trained(some, "amid")
    assert first["replicas"][0]["student"] == second["replicas"][0]["student"]
    assert np.sum(second["replicas"][0]["teacher"]["confusion"]) == (~half[60:]).sum()


def test_two_auxiliaries_that_are_never_together(tmp_path: Path) -> None:
    even = np.arange(120) % 2 == 0
    nose = np.random.default_rng(0).normal(size=(120, 2))
    path = write_table(tmp_path / "t.npz", nose=nose, available_ear=even, available_nose=~even)
    quick: dict[str, Any] = {"progress": False, "diagnose": False}
    with pytest.raises(DataError, match=r"t.npz, fold 0: no training row has all of eye, ear, nose"):
        distill.run(path, "eye", ("ear", "nose"), **quick, **TINY)
    # the training rows of one fold lack it
    late = write_table(tmp_path / "late.npz", available_ear=np.arange(120) // 3 % 2 == 0)
    with pytest.raises(DataError, match=r"late.npz, fold 0: no training row has all of eye, ear"):
        distill.run(late, "eye", "ear", **quick, **TINY)
    assert distill.run(late, "eye", "ear", method="alone", **quick, **TINY)["replicas"]
