from __future__ import annotations

import pytest
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.methods.distillation.methods.crd import Crcd, CrcdMethod, Crd, CrdMethod, MemoryMethod, Negatives
from motet.methods.distillation.networks import Outputs
from tests.methods.distillation.toys import DOUBLE, EVERYONE, LABELS, batch, context, features, grid

close = pytest.approx
SLOTS = torch.tensor([[[i] + [(i + 1 + 2 * (j - 1)) % 8 for j in (1, 2, 3)] for i in range(6)]])


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def prepared(method: MemoryMethod) -> MemoryMethod:
    """Memories, slots and embeddings of the golden check: 8 slots, 3 negatives, no projection."""
    r, f = grid(8, 4)
    q = 4 * r + f
    method.memories = torch.stack([unit(torch.cos(0.4 * q + 0.2)), unit(torch.sin(0.6 * q + 0.5))])[:, None]
    method.counts, method.negatives = torch.tensor([8]), 3
    method.contrasted = lambda batch: SLOTS  # type: ignore[method-assign]
    m, s, _ = features()
    method.embedded = lambda outputs: (unit(s), unit(m))  # type: ignore[method-assign]
    return method


def eight() -> dict[str, Tensor]:
    return {"labels": torch.tensor([[0, 1, 0, 2, 1, 0, 1, 2]]), "rows": torch.ones(1, 8, dtype=torch.bool)}


def test_golden_crd() -> None:
    method = prepared(CrdMethod(Crd(temperature=0.07, projection=4), context(counts=torch.tensor([8]), **eight())))
    m, s, _ = features()
    outputs, step = Outputs(student=s, teacher=m), batch()
    assert method.contrast(outputs, step).item() == close(14.571445, abs=1e-6)
    assert method.constants[:, 0].tolist() == close([2249069.973951, 884540.783550], rel=1e-9)
    method.after_step(outputs, step)
    assert method.memories[0, 0, 0].tolist() == close([0.698071, 0.600202, 0.381016, 0.085325], abs=1e-6)
    assert method.memories[1, 0, 0].tolist() == close([0.248941, 0.560613, 0.642343, 0.459496], abs=1e-6)
    assert method.contrast(outputs, step).item() == close(4.493665 + 13.483000, abs=1e-6)


@pytest.mark.parametrize(("temperature", "wanted"), [(0.05, 15.290022), (0.07, 3.709021 + 7.807896)])
def test_golden_crcd(temperature: float, wanted: float) -> None:
    options = Crcd(temperature=temperature, projection=4)
    method = prepared(CrcdMethod(options, context(counts=torch.tensor([8]), **eight())))
    assert isinstance(method, CrcdMethod)
    method.skip_degenerate = False  # as released
    m, s, _ = features()
    assert method.contrast(Outputs(student=s, teacher=m), batch()).item() == close(wanted, abs=2e-6)
    if temperature == 0.05:
        assert method.constants[:, 0].tolist() == close([1026076319.720, 410508897.187], rel=1e-8)


def test_golden_gradient_element() -> None:
    m, s, _ = features()
    difference = CrcdMethod.gradient_difference(0.1 * s, 0.1 * m + 0.03, EVERYONE)
    assert difference.item() == close(0.663848, abs=1e-6)


def test_relations_are_those_of_explicit_differences() -> None:
    torch.manual_seed(0)
    method = CrcdMethod(Crcd(temperature=0.5, projection=4), context(**eight() | {"counts": torch.tensor([8])}))
    memory, rows = unit(torch.randn(1, 8, 4, dtype=DOUBLE)), unit(torch.randn(1, 6, 4, dtype=DOUBLE))
    step = batch()
    method.negatives = 3
    nothing = torch.full((1,), torch.nan, dtype=DOUBLE)
    found, constant = method.side(rows, memory, SLOTS, step, nothing)
    score = torch.zeros(6, 6, 4, dtype=DOUBLE)
    usable = torch.ones(6, 6, 4, dtype=torch.bool)
    for i in range(6):
        for j in range(6):
            for k in range(4):
                c = SLOTS[0, i, k]
                ours, theirs = unit(rows[0, i] - memory[0, j] + 1e-6), unit(memory[0, c] - memory[0, j] + 1e-6)
                score[i, j, k] = (ours @ theirs / 0.5).exp()
                usable[i, j, k] = c != j
    z = 8 * score[usable].mean()
    assert constant.item() == close(z.item(), rel=1e-9)
    p, q = score / z, 3 / 8
    positive = (p[..., 0] / (p[..., 0] + q + 1e-7)).log() * usable[..., 0]
    negative = ((q / (p[..., 1:] + q + 1e-7)).log() * usable[..., 1:]).sum(dim=-1)
    assert found.item() == close(-(positive + negative).mean().item(), rel=1e-9)


def test_negatives_are_rows_of_other_classes_each_as_likely() -> None:
    labels = torch.tensor([[0, 1, 0, 2, 1, 0, 9, 9], [2, 2, 1, 0, 0, 1, 2, 1]])
    rows = torch.tensor([[True] * 6 + [False] * 2, [True] * 7 + [False]])
    pool = Negatives(labels, rows, 3)
    asked = torch.tensor([[0, 1, 2], [2, 1, 0]])
    drawn = pool.draw(torch.linspace(0, 1 - 1e-9, 600).expand(2, 3, 600), asked)
    for replica in range(2):
        for row in range(3):
            wanted = rows[replica] & (labels[replica] != asked[replica, row])
            counts = torch.bincount(drawn[replica, row], minlength=8)
            assert (counts > 0).tolist() == wanted.tolist()
            assert (counts[wanted] - 600 / wanted.sum()).abs().max() <= 1.5
    assert pool.most() == 3


def test_positives_of_crd() -> None:
    """Of the own row, or relaxed to the rows of its class that have every modality."""
    labels = torch.tensor([[0, 1, 0, 1, 1, 0, 0, 2]])
    rows = torch.tensor([[True, True, True, True, False, True, False, True]])
    given = context(labels=labels, rows=rows, counts=torch.tensor([8]))
    step = batch(labels=labels[:, :6])
    step.rows = rows[:, :6]
    exact = CrdMethod(Crd(projection=4), given)
    assert torch.equal(exact.contrasted(step)[..., 0], step.index)
    relaxed = CrdMethod(Crd(projection=4, positive="relax"), given)
    seen: list[set[int]] = [set() for _ in range(6)]
    for epoch in range(40):
        step.epoch = epoch
        for row, slot in enumerate(relaxed.contrasted(step)[0, :, 0].tolist()):
            seen[row].add(slot)
    assert seen == [{0, 2, 5}, {1, 3}, {0, 2, 5}, {1, 3}, {1, 3}, {0, 2, 5}]


def test_no_negatives_is_an_error() -> None:
    with pytest.raises(ConfigError, match="one class"):
        Negatives(torch.zeros(1, 4, dtype=torch.int64), torch.ones(1, 4, dtype=torch.bool), 2)


def test_memories_of_missing_rows_and_idle_replicas_stay() -> None:
    replicas = {name: value.repeat(2, 1) for name, value in eight().items()}
    given = context(seeds=(0, 1), counts=torch.tensor([8, 8]), **replicas)
    method = CrdMethod(Crd(projection=4, negatives=2), given)
    before = method.memories.clone()
    m, s, _ = (x.repeat(2, 1, 1).float() for x in features())
    rows = EVERYONE.repeat(2, 1)
    rows[0, 2] = False
    step = batch(rows, LABELS.repeat(2, 1))
    step.index, step.active = step.index.repeat(2, 1), [True, False]
    outputs = Outputs(student=s, teacher=m, student_logits=s, teacher_logits=m)
    assert method.contrast(outputs, step).isfinite().all()
    method.after_step(outputs, step)
    moved = (method.memories != before).any(dim=-1).any(dim=0)
    assert moved[0].tolist() == [True, True, False, True, True, True, False, False]
    assert not moved[1].any()
    assert method.constants[:, 1].isnan().all()
