"""SimGCD as a method of discovery: its losses against sums written out, and a small pair of archives."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from motet.data.simulate import simulate
from motet.methods import discovery as discover
from motet.methods.discovery.methods.base import Step
from motet.methods.discovery.methods.simgcd import SelfDistilled, mean_entropy, supervised_contrast
from tests.methods.discovery.published import published_case

Array = npt.NDArray[np.float64]


def unit(x: Array) -> Array:
    return x / np.sqrt((x * x).sum(axis=1, keepdims=True))


def softmax(x: Array) -> Array:
    raised = np.exp(x - x.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def distilled(first: Array, second: Array, student: float, teacher: float, epsilon: float) -> float:
    total, count = 0.0, len(first)
    for own, other in ((first, second), (second, first)):
        q, p = softmax(other / teacher), softmax(own / student)
        total -= sum(float(q[i] @ np.log(p[i])) for i in range(count)) / count / 2
    mean = (softmax(first / student) + softmax(second / student)).sum(axis=0) / (2 * count)
    return total - epsilon * -float((mean * np.log(mean)).sum())


def contrasted(rows: Array, labels: list[int], temperature: float) -> float:
    losses = []
    for i, row in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        positive = [j for j in others if labels[j] == labels[i]]
        total = math.log(sum(math.exp(float(row @ rows[j]) / temperature) for j in others))
        losses.append(sum(total - float(row @ rows[j]) / temperature for j in positive) / len(positive))
    return sum(losses) / len(losses)


def step_of_floats() -> tuple[SelfDistilled, Step, dict[str, Tensor]]:
    discovery, batch = published_case(method="simgcd", supervised=0.3, weight_labels=2.0)
    discovery.double()
    labelling = discovery.labelling
    assert isinstance(labelling, SelfDistilled)
    generator = torch.Generator().manual_seed(3)
    made = {
        n: torch.randn(6, 16, generator=generator, dtype=torch.float64) for n in ("s", "s2", "t0", "t1", "u0", "u1")
    }
    labelling.second_view = lambda batch: [made["u0"], made["u1"]]  # type: ignore[method-assign]
    return labelling, Step(batch, (made["t0"], made["t1"]), made["s"], made["s2"], 0.05), made


def test_the_losses_of_a_step() -> None:
    labelling, step, made = step_of_floats()
    with torch.no_grad():
        found = {name: float(value) for name, value in labelling.terms(step).items()}
    s, s2, t0, t1, u0, u1 = (made[n].numpy() for n in ("s", "s2", "t0", "t1", "u0", "u1"))
    assert labelling.known is not None
    new = [unit(b.student["clusters"].weight.detach().numpy()) for b in labelling.pair]
    prototypes = np.concatenate([unit(labelling.known.detach().numpy()), new[0]])
    teacher = 0.07 - (0.07 - 0.04) * 0.05 / 0.15  # a third of the way
    views = [np.concatenate([s, t0]), np.concatenate([s2, u0])]
    cosines = [unit(x) @ prototypes.T for x in views]
    assert found["labels/B0"] == pytest.approx(2 * 0.7 * distilled(*cosines, 0.1, teacher, 2.0), rel=1e-9)
    own = [unit(x) @ new[1].T for x in (t1, u1)]
    assert found["labels/B1"] == pytest.approx(2 * 0.7 * distilled(*own, 0.1, teacher, 2.0), rel=1e-9)
    known = [np.log(softmax(unit(x) @ prototypes.T / 0.1)) for x in (s, s2)]
    classes = step.batch.source_labels.tolist()
    crossed = -sum(float(k[i, c]) for k in known for i, c in enumerate(classes)) / 12
    assert found["source"] == pytest.approx(2 * 0.3 * crossed, rel=1e-9)

    def projected(branch: int, *parts: Array) -> Array:
        with torch.no_grad():
            head = labelling.projections[branch]
            return unit(head(torch.from_numpy(np.concatenate(parts))).numpy())

    pairs = projected(0, *views)
    assert found["views/B0"] == pytest.approx(2 * 0.7 * contrasted(pairs, [*range(12)] * 2, 1.0), rel=1e-9)
    pairs = projected(1, t1, u1)
    assert found["views/B1"] == pytest.approx(2 * 0.7 * contrasted(pairs, [*range(6)] * 2, 1.0), rel=1e-9)
    pairs = projected(0, s, s2)
    assert found["classes/B0"] == pytest.approx(2 * 0.3 * contrasted(pairs, classes * 2, 0.07), rel=1e-9)


def test_targets_are_constants_and_get_sharper() -> None:
    labelling, step, made = step_of_floats()
    assert [labelling.sharpness(t) for t in (0.0, 0.15, 1.0)] == pytest.approx([0.07, 0.04, 0.04])
    made["u1"].requires_grad_()
    step.features[1].requires_grad_()
    value = labelling.terms(step)["labels/B1"]
    mine = torch.autograd.grad(value, step.features[1], retain_graph=True)[0]
    # as the target of the other view it moves nothing: with the other view's own prediction held, only its own
    # cross-entropy and the entropy of the mean are left
    new = labelling.pair[1].student["clusters"].weight
    cosines = [
        torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(new, dim=1).T  # type: ignore[arg-type]
        for x in (step.features[1], made["u1"])
    ]
    target = torch.softmax(cosines[1].detach() / labelling.sharpness(0.05), dim=1)
    alone = torch.nn.functional.cross_entropy(cosines[0] / 0.1, target) / 2
    alone = 2 * 0.7 * (alone - 2.0 * mean_entropy(torch.cat(cosines) / 0.1))
    torch.testing.assert_close(mine, torch.autograd.grad(alone, step.features[1])[0])


def test_extremes() -> None:
    assert mean_entropy(torch.zeros(5, 7)).item() == pytest.approx(math.log(7))
    assert mean_entropy(torch.tensor([[900.0, 0.0]] * 3)).item() == pytest.approx(0.0, abs=1e-6)
    rows = torch.nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    alone = supervised_contrast(rows, torch.arange(4), 0.1)
    assert alone.item() == 0.0
    rows.requires_grad_()
    supervised_contrast(rows, torch.tensor([0, 0, 1, 2]), 0.1).backward()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()


def test_prototypes_stay_on_the_sphere() -> None:
    discovery, batch = published_case(method="simgcd")
    batch = replace(batch, source_again=batch.source + 0.1)
    sum(discovery(batch, fine=True).values(), torch.zeros(())).backward()
    optimiser = torch.optim.SGD([p for p in discovery.parameters() if p.requires_grad], 0.01)
    optimiser.step()
    discovery.labelling.after_step()
    assert discovery.labelling.known.grad.abs().sum() > 0
    for weight in (discovery.labelling.known, *(b.student["clusters"].weight for b in discovery.pair)):
        torch.testing.assert_close(weight.norm(dim=1), torch.ones(len(weight)))


def test_learns_a_simulated_pair(tmp_path: Path) -> None:
    simulate(tmp_path / "a", clips=64, actions=4, actors=4, seed=1)
    simulate(tmp_path / "b", clips=80, actions=5, actors=4, sensor="optical", seed=2)
    options = {"hidden": 12, "layers": 1, "epochs": 3, "finetune_epochs": 6, "frames": 12, "dim": 12}
    options |= {"batch_size": 20, "kmeans_restarts": 2, "target_split": "all"}
    result = discover.run(
        tmp_path / "a", tmp_path / "b", clusters=5, method="simgcd", recipe="small", progress=False, **options
    )
    for row in result["rows"]:
        if row["by"] == "classifier":
            assert row["used"] >= 4  # the entropy of the mean prediction keeps clusters in use
            assert row["nmi"] > 0.65
