"""Batches and tables at the edge, for every method: what is learned stays finite, the idle stands still."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from motet.core.errors import DataError, MotetWarning
from motet.engine.learner import Position
from motet.methods import distillation as distill
from motet.methods.distillation import FeatureTable
from motet.methods.distillation.diagnose import _verdict
from motet.methods.distillation.methods import METHODS
from motet.methods.distillation.methods.amid import AmidMethod
from motet.methods.distillation.methods.base import Batch
from motet.methods.distillation.run import Plan, learner_of
from motet.methods.distillation.settings import settings_for
from motet.methods.distillation.train import Distillation
from tests.methods.distillation.toys import fitted, write_table

TINY: dict[str, Any] = {"epochs": 1, "batch_size": 8, "features": 8, "hidden": (8,), "fuse_hidden": 8}
OWN: dict[str, dict[str, Any]] = {
    "amid": {"warm_up": 0},
    "nce": {"warm_up": 0},
    "crd": {"negatives": 4, "projection": 4},
    "crcd": {"negatives": 4, "projection": 4},
}
EVERY = pytest.mark.parametrize("method", list(METHODS))


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Labels of all batches that are stepped on, (G, B) each."""
    seen: list[torch.Tensor] = []
    plain = Distillation.batch

    def spied(self: Distillation, at: Position) -> Batch:
        found = plain(self, at)
        seen.append(found.labels)
        return found

    monkeypatch.setattr(Distillation, "batch", spied)
    return seen


def trained(path: Path, method: str, split: str | None = None, **options: Any) -> Distillation:
    """A learner after all its epochs; every term and weight is finite."""
    plan = Plan((str(path),), ("eye",), ("ear",), split=split)
    settings = settings_for(method).with_options(TINY | OWN.get(method, {}) | options)
    learner = learner_of(FeatureTable.open(path), plan, settings)
    for line in fitted(learner).lines:
        for name, values in line["terms"].items():
            assert np.isfinite(values).all(), (line["stage"], name)
    assert all(p.isfinite().all() for p in learner.parameters())
    return learner


@EVERY
def test_batches_of_one_class(tmp_path: Path, method: str, batches: list[torch.Tensor]) -> None:
    trained(write_table(tmp_path / "t.npz"), method, batch_size=20, per_class=20)
    assert batches
    assert all((labels == labels[:, :1]).all() for labels in batches)


@EVERY
def test_every_label_distinct(tmp_path: Path, method: str, batches: list[torch.Tensor]) -> None:
    """No class is repeated: the second critic and its optimiser stay as they were made, its weight too."""
    path = write_table(tmp_path / "t.npz", 24, 24, group=None, fold=None)
    trainer = trained(path, method, "all")
    assert all(len(np.unique(row)) == len(row) for labels in batches for row in labels.numpy())
    found = trainer.main.method
    if not isinstance(found, AmidMethod):
        return
    plan = Plan((str(path),), ("eye",), ("ear",), split="all")
    fresh = learner_of(FeatureTable.open(path), plan, trainer.settings).main.method
    assert isinstance(fresh, AmidMethod)
    for critic, stays in (("fundamental", False), ("enhanced", True)):
        pairs = zip(getattr(fresh, critic).parameters(), getattr(found, critic).parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) == stays, critic
        assert (not found.optimisers[critic].state_dict()["optimiser"]["state"]) == stays, critic
    assert (found.raw[:, 1] == 1).all()
    assert (found.raw[:, 0] != 0).all()


@EVERY
@pytest.mark.parametrize("which", [("eye",), ("eye", "ear")], ids="+".join)
def test_zero_vectors(tmp_path: Path, method: str, which: tuple[str, ...]) -> None:
    """Of some rows, in one modality or in all."""
    with np.load(write_table(tmp_path / "t.npz")) as made:
        columns = {name: np.where(np.arange(120)[:, None] % 3 == 0, 0, made[name]) for name in which}
    trained(write_table(tmp_path / "t.npz", **columns), method, straight=False)


@EVERY
def test_modalities_of_nothing_but_zeros(tmp_path: Path, method: str) -> None:
    path = write_table(tmp_path / "t.npz", eye=np.zeros((120, 6)), ear=np.zeros((120, 5)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MotetWarning)
        trained(path, method)


def test_a_batch_without_a_repeated_class_leaves_a_critic_that_has_moved(tmp_path: Path) -> None:
    """In one replica of two, after steps with one: neither momentum nor the count of steps moves."""
    trainer = trained(write_table(tmp_path / "t.npz"), "amid")
    method = trainer.main.method
    assert isinstance(method, AmidMethod)
    replicas = len(trainer.replicas)

    def state() -> Iterator[torch.Tensor]:
        yield from (p.detach().clone() for p in method.enhanced.parameters())
        optimiser = method.optimisers["enhanced"]
        for (first, last), pieces in zip(optimiser.runs, optimiser.pieces, strict=True):
            for piece in pieces:
                kept = optimiser.optimiser.state[piece]
                yield torch.stack([kept["step"]] * (last - first))
                yield kept["exp_avg"].clone()

    def step(labels: list[list[int]]) -> None:
        place = torch.arange(4).expand(replicas, 4)
        rows = trainer.train_rows.gather(1, place)
        inputs = trainer.feeder.inputs(rows)
        whole = torch.ones(replicas, 4, dtype=torch.bool)
        batch = Batch(torch.tensor(labels), whole, place, [True] * replicas, 5)
        method.after_step(trainer.main.outputs(inputs), batch)

    before = list(state())
    step([[0, 1, 2, 3]] * replicas)
    assert all(torch.equal(a, b) for a, b in zip(before, state(), strict=True))
    critic = [p.detach().clone() for p in method.enhanced.parameters()]
    step([[0, 0, 1, 2]] + [[0, 1, 2, 3]] * (replicas - 1))
    for old, new in zip(critic, method.enhanced.parameters(), strict=True):
        assert not torch.equal(old[0], new[0])
        assert torch.equal(old[1:], new[1:])


@pytest.mark.parametrize("method", ["alone", "amid"])
def test_nan_from_memory_is_refused_with_its_row(tmp_path: Path, method: str) -> None:
    """A table that was made in Python has met no reader."""
    table = FeatureTable.open(write_table(tmp_path / "t.npz", id=np.array([f"clip-{n}" for n in range(120)])))
    table.modalities["eye"].values[7, 2] = np.nan
    with pytest.raises(DataError, match=r"t.npz: modality eye is NaN, infinite or beyond 1e.30 in row 7 \(id clip-7\)"):
        distill.run(table, "eye", "ear", method=method, progress=False, diagnose=False)


@pytest.mark.parametrize(("ear", "better"), [(0.9, True), (0.6, False)])
def test_the_verdict_fits_its_numbers(ear: float, better: bool) -> None:
    """Where an auxiliary alone is better than all together the sentence does not say that the teacher knows more."""
    accuracy = {"eye": 0.5, "ear": ear, "target": 0.5, "all": 0.7}
    found = {
        "probes": {name: {"accuracy": value, "bits": 1.0} for name, value in accuracy.items()},
        "information": {"mean": 0.5, "error": 0.1},
        "rehearsal": {"mean": 0.0, "error": 0.1},
        "gap": 0.2,
    }
    says = _verdict(found, ("ear",))["says"]
    assert "Help is possible" in says
    assert "knows more" not in says
    assert ("ear alone is better (90.0 %) than all together (70.0 %)" in says) == better
