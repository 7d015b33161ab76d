from __future__ import annotations

import math

import pytest
import torch

from motet.losses._rows import unit
from motet.methods.distillation.methods.gmc import geometric_contrast
from tests.methods.distillation.toys import EVERYONE, features

close = pytest.approx


@pytest.mark.parametrize(
    ("temperature", "form", "student", "auxiliary"),
    [
        (0.1, "code", 6.653558, 9.529148),
        (0.3, "code", 2.998493, 3.995718),
        (0.1, "paper", 7.138962, 9.839763),
        (0.3, "paper", 3.206337, 4.274660),
        (0.1, "joints", None, 12.497766),
        (0.3, "joints", None, 4.749787),
    ],
)
def test_golden_geometric_contrast(temperature: float, form: str, student: float | None, auxiliary: float) -> None:
    """Of student and auxiliary; where only their sum is known, ``auxiliary`` is it."""
    joint, s, a = (unit(x) for x in features())
    known = [((s, a), auxiliary)]
    if student is not None:
        known = [((s,), student), ((a,), auxiliary), ((s, a), student + auxiliary)]
    for others, wanted in known:
        found = geometric_contrast(joint, others, EVERYONE, temperature=temperature, form=form)
        assert found.item() == close(wanted, abs=2e-6)


@pytest.mark.parametrize("form", ["code", "paper", "joints"])
def test_geometric_contrast_of_the_rows_that_are_there(form: str) -> None:
    joint, s, a = (unit(x) for x in features())
    rows = EVERYONE.clone()
    rows[0, 1] = False
    left = [0, 2, 3, 4, 5]
    found = geometric_contrast(joint, (s, a), rows, temperature=0.3, form=form)
    wanted = geometric_contrast(joint[:, left], (s[:, left], a[:, left]), EVERYONE[:, :5], temperature=0.3, form=form)
    assert found.item() == close(wanted.item(), rel=1e-12)
    assert math.isfinite(geometric_contrast(joint, (s,), torch.arange(6)[None] < 1, temperature=0.1, form=form).item())
