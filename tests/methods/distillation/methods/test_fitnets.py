from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from motet import distill
from motet.methods.distillation.methods.fitnets import Fitnets, FitnetsMethod, hint_loss, soft_cross_entropy
from motet.methods.distillation.networks import Ensemble, Inputs, Networks, Shape
from tests.methods.distillation.toys import DOUBLE, EVERYONE, LABELS, batch, context, features, logits, write_table

close = pytest.approx
SHAPE = Shape({"eye": 4, "ear": 3}, frozenset(), ("eye",), ("ear",), 3)


def test_equations_one_row_at_a_time() -> None:
    m, s, _ = features()
    z_s, z_m = logits()
    rows = EVERYONE.clone()
    rows[0, 3] = False
    left = [0, 1, 2, 4, 5]
    wanted = np.mean([0.5 * sum((a - b) ** 2 for a, b in zip(m[0, i], s[0, i], strict=True)) for i in left])
    assert hint_loss(m, s, rows).item() == close(float(wanted), rel=1e-12)

    def probabilities(row: Tensor) -> np.ndarray:
        e = np.exp(row.numpy() / 3)
        return np.asarray(e / e.sum())

    wanted = np.mean([-(probabilities(z_m[0, i]) * np.log(probabilities(z_s[0, i]))).sum() for i in left])
    assert soft_cross_entropy(z_m, z_s, 3.0, rows).item() == close(float(wanted), rel=1e-12)


def test_hints_reach_the_first_layers_and_answers_the_whole_student() -> None:
    """Float64 oracle: hidden features by hand on both sides, and who gets a gradient in which part."""
    networks = Networks(features=5, hidden=(6,), fuse_hidden=7, straight=True, slope=0.1)
    student, teacher = Ensemble((0,), SHAPE, networks, teacher=False), Ensemble((0,), SHAPE, networks, name="teacher.")
    method = FitnetsMethod(Fitnets(hints=0.5), context(epochs=4))
    method.attach(student, teacher)
    for module in (student, teacher, method):
        module.double()
    random = torch.Generator().manual_seed(0)
    inputs = Inputs({n: torch.randn(1, 6, d, generator=random, dtype=DOUBLE) for n, d in SHAPE.sizes.items()}, {})
    outputs = student(inputs)
    with torch.no_grad():
        given = teacher(inputs)
    outputs.teacher, outputs.teacher_logits = given.teacher, given.teacher_logits
    found = method.terms(outputs, batch(epoch=1))
    assert list(found) == ["hint"]

    def layer(x: Tensor, dense: Any, slope: float = 0.1) -> Tensor:
        return torch.nn.functional.leaky_relu(x @ dense.weight[0] + dense.bias[0], slope)

    eye = student.student.extractors["eye"]
    guided = layer(layer(inputs.values["eye"][0], eye.layers[0]), method.regressor)
    parts = [teacher.student.parts(inputs)["eye"], *teacher.auxiliary.parts(inputs)]  # type: ignore[union-attr]
    hint = layer(torch.cat(parts, dim=-1)[0], teacher.fuse.layers[0])  # type: ignore[union-attr]
    assert found["hint"].item() == close((0.5 * (hint - guided).square().sum(dim=1).mean()).item(), rel=1e-12)
    found["hint"].sum().backward()
    moved = {name for name, p in student.named_parameters() if p.grad is not None}
    assert moved == {"student.extractors.eye.layers.0.weight", "student.extractors.eye.layers.0.bias"}
    assert all(p.grad is not None for p in method.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    later = method.terms(outputs, batch(epoch=2))
    assert set(later) == {"student", "answers"}
    assert later["student"].item() == close(
        torch.nn.functional.cross_entropy(outputs.student_logits[0], LABELS[0]).item(), rel=1e-12
    )


def test_the_weight_of_the_answers_falls_linearly() -> None:
    method = FitnetsMethod(Fitnets(hints=0.5, kd=4.0, kd_last=1.0), context(epochs=8))
    assert [method.weights(epoch)["answers"] for epoch in range(4, 8)] == close([4.0, 3.0, 2.0, 1.0])
    assert method.weights(0)["hint"] == 1


def test_hints_then_answers_teach_the_student(tmp_path: Path) -> None:
    path = write_table(tmp_path / "table.npz", rows=240)
    given: dict[str, Any] = {"seeds": (0, 1), "progress": False, "diagnose": False, "epochs": 8, "batch_size": 32}
    found = distill.run(path, "eye", "ear", method="fitnets", **given)
    lines = [line for line in found["curves"] if line["stage"] == "main"]
    hints = [np.mean(line["terms"]["hint"]) for line in lines if "hint" in line["terms"]]
    assert len(hints) == 2
    assert hints[1] < hints[0]
    assert all(set(line["terms"]) == {"student", "answers"} for line in lines[2:])
    assert found["summary"]["student"]["accuracy"]["mean"] > 0.6  # of three classes


def test_a_sequence_gives_hints_too(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = write_table(tmp_path / "table.npz", rows=48, eye=random.normal(size=(48, 6, 4)))
    given: dict[str, Any] = {"progress": False, "diagnose": False, "epochs": 2, "batch_size": 12}
    found = distill.run(path, "eye", "ear", method="fitnets", sequence="gru", hints=0.5, **given)
    assert np.isfinite(found["curves"][-2]["terms"]["hint"]).all()
