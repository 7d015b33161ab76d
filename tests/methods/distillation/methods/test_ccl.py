from __future__ import annotations

import pytest
import torch

from motet.methods.distillation.methods.ccl import Ccl, CclMethod
from motet.methods.distillation.networks import Outputs
from tests.methods.distillation.toys import DOUBLE, batch, context, features, fill, logits

close = pytest.approx


def test_golden_ccl() -> None:
    method = CclMethod(Ccl(), context())
    fill(method.composition, 1)
    fill(method.classifier, 2)
    _, s, a = features()
    z_s, _ = logits()
    # in the golden check the composition norms auxiliary then student
    outputs = method.complete(Outputs(student=s, student_logits=z_s, auxiliary=(a,)))
    assert outputs.teacher is not None
    assert outputs.teacher_logits is not None
    assert outputs.teacher[0, 0].tolist() == close([-0.404808, 0.772928, 1.204273, 1.237424], abs=1e-6)
    assert outputs.teacher_logits[0, 0].tolist() == close([-1.116283, -0.787066, 0.364562], abs=1e-6)
    found = {name: value.item() for name, value in method.terms(outputs, batch()).items()}
    assert found["student_composed"] == close(4.676094, abs=2e-6)
    assert found["composed_student"] == close(4.676094, abs=2e-6)
    assert found["student_auxiliary"] == close(4.582828, abs=2e-6)
    assert found["composed_auxiliary"] == close(3.451592, abs=2e-6)
    assert found["agreement"] == close(0.050505, abs=1e-6)
    assert found["composed"] == close(1.395772, abs=1e-6)
    weights = method.weights(0)
    student = ("student", "student_composed", "student_auxiliary", "agreement")
    assert sum(weights[n] * found[n] for n in student) == close(10.589657, abs=3e-6)


def test_ccl_keeps_the_two_networks_apart() -> None:
    method = CclMethod(Ccl(), context()).double()
    _, s, a = (x.clone().requires_grad_() for x in features())
    z_s = (s @ torch.ones(4, 3, dtype=DOUBLE)).detach().requires_grad_()
    found = method.terms(Outputs(student=s, student_logits=z_s, auxiliary=(a,)), batch())
    own = list(method.parameters())
    for name, value in found.items():
        to_student = torch.autograd.grad(value.sum(), [s], retain_graph=True, allow_unused=True)[0]
        to_composition = torch.autograd.grad(value.sum(), own, retain_graph=True, allow_unused=True)
        composed = name.startswith("composed")
        assert (to_student is None) == (composed or name == "student")
        assert any(g is not None for g in to_composition) == composed
