"""Barlow Twins against float64 loops, and that it learns without queue or momentum encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from motet import evaluate, load, pretrain
from motet.data.archive import MotionArchive
from motet.methods.barlow import BarlowStreams, BarlowTwins, cross_correlation, redundancy_reduction
from motet.methods.base import Layout
from tests.conftest import stick


def scores(seed: int, rows: int = 7, width: int = 4) -> Tensor:
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x - x.mean(0)) / x.std(0, correction=0)


def written_out(a: Tensor, b: Tensor, weight: float) -> float:
    total = 0.0
    for i in range(a.shape[1]):
        for j in range(a.shape[1]):
            c = sum(float(a[n, i]) * float(b[n, j]) for n in range(len(a)))
            c /= np.sqrt(sum(float(v) ** 2 for v in a[:, i])) * np.sqrt(sum(float(v) ** 2 for v in b[:, j]))
            total += (1 - c) ** 2 if i == j else weight * c**2
    return float(total)


def test_equation_written_out() -> None:
    a, b = scores(0), scores(1)
    for weight in (5e-3, 0.5):
        found = redundancy_reduction(cross_correlation(a, b), off_diagonal=weight)
        assert found.item() == pytest.approx(written_out(a, b, weight), rel=1e-12)


def test_invariants() -> None:
    a, b = scores(0), scores(1)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(2))
    value = redundancy_reduction(cross_correlation(a, b))
    torch.testing.assert_close(redundancy_reduction(cross_correlation(a[order], b[order])), value)
    assert redundancy_reduction(cross_correlation(a[order], b)) != value  # pairs matter
    torch.testing.assert_close(redundancy_reduction(cross_correlation(b, a)), value)
    torch.testing.assert_close(cross_correlation(a, a).diagonal(), torch.ones(4, dtype=torch.float64))
    assert redundancy_reduction(torch.eye(4)).item() == 0


def test_a_step_written_out() -> None:
    """Both views pass the same encoder and projector in train mode; gradient reaches both."""
    torch.manual_seed(0)
    layouts = {"": Layout(stick(), 1, 3, {"name": "gru", "hidden": 4, "layers": 1})}
    model = BarlowStreams(BarlowTwins(projection=6, off_diagonal=0.1), ("joint",), layouts).double()
    clips = [torch.randn(5, 6, 1, 8, 3, dtype=torch.float64) for _ in range(2)]
    losses = model.losses(clips, 0)
    a, b = (model.projectors[0](model.encoders[0](clip)) for clip in clips)
    torch.testing.assert_close(a.mean(0), torch.zeros(6, dtype=torch.float64), atol=1e-6, rtol=0)
    wanted = redundancy_reduction(a.T @ b / 5, off_diagonal=0.1)
    torch.testing.assert_close(losses["redundancy/joint"], wanted)
    losses["redundancy/joint"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_it_learns_and_is_evaluated(small_archive: MotionArchive, tmp_path: Path) -> None:
    sizes = {
        "epochs": 8,
        "hidden": 24,
        "lr": 0.01,
        "frames": 16,
        "optimiser": "adam",
        "projection": 32,
        "batch_size": 8,
        "whiten": 0.0,  # the method by itself
    }
    run = pretrain("barlow", small_archive, tmp_path / "run", **sizes, progress=False, streams=("motion",))
    lines = run.metrics()
    assert lines[-1]["terms"]["redundancy/motion"] < 0.7 * lines[0]["terms"]["redundancy/motion"]
    assert lines[-1]["diagnostics"]["redundancy/motion/agreement"] > 0.5
    table = evaluate.run(run, ["knn"], progress=False)
    found = {row["features"]: row["mean"] for row in table["rows"]}
    assert found["barlow"] > found["random encoder"]
    assert load(run.path).transform(small_archive).shape == (48, 320)
