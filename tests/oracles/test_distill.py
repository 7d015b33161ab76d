"""AMID (Chen et al., CVPR 2023) written out, against an epoch of a training on a table of features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, softplus

from motet.core.rng import CounterRNG
from motet.methods import distillation as distill
from tests.methods.distillation.toys import write_table
from tests.oracles.written_out import SGD, State, checkpoints, close, momentum_buffers, part, unit

SEED, BATCH, EPOCHS, MILESTONE = 4, 12, 3, 2
LR, GAMMA, MOMENTUM, DECAY, CRITIC_LR, TAU = 0.05, 0.2, 0.8, 0.02, 0.3, 0.6
WEIGHTS = {
    "student": 1.0,
    "teacher": 1.0,
    "agreement": 0.7,
    "contrast_student": 0.05,
    "contrast_auxiliary": 0.02,
    "adversarial": 0.4,
}
OPTIONS: dict[str, Any] = {
    **{"features": 4, "hidden": (), "fuse_hidden": 5, "straight": False, "dropout": 0.0, "epochs": EPOCHS},
    **{"batch_size": BATCH, "optimiser": "sgd", "lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY, "gamma": GAMMA},
    **{"schedule": "steps", "milestones": (MILESTONE,), "checkpoint_every": 1, "warm_up": 1, "weighting": "uniform"},
    **{"critic_width": 4, "critic_optimiser": "sgd", "critic_lr": CRITIC_LR, "temperature": TAU, "slope": 0.01},
    **{name: value for name, value in WEIGHTS.items() if name not in ("student", "teacher")},
    **{"seeds": (SEED,), "split": "fold", "diagnose": False, "device": "cpu", "progress": False},
}


def contrast(anchors: Tensor, candidates: Tensor, labels: Tensor) -> Tensor:
    """Sums over rows of one class and over the others (Eq. 7 to 9)."""
    h = (unit(anchors) @ unit(candidates).T / TAU).softmax(1)
    same = labels[:, None] == labels[None, :]
    return -(h[same].log().sum() + (1 - h[~same]).log().sum()) / len(labels)


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Jensen and Shannon's, of two rows of logits (Eq. 15)."""
    p, q = first.softmax(1), second.softmax(1)
    m = (p + q) / 2
    return ((p * (p / m).log() + q * (q / m).log()).sum(1) / 2).mean()


class Written:
    """One fold of the training, from a checkpoint on."""

    def __init__(self, state: State, fold: int) -> None:
        def of(prefix: str) -> State:
            return {name: value[fold].clone() for name, value in part(state, prefix).items()}

        self.networks = of("networks.")
        self.critics = {name: of(f"method.{name}.net.") for name in ("fundamental", "enhanced")}
        velocities = [velocity[fold].clone() for velocity in momentum_buffers(state)]
        self.sgd = SGD(list(self.networks.values()), velocities, MOMENTUM, DECAY)
        every = [w for critic in self.critics.values() for w in critic.values()]
        self.critic_sgd = SGD(every, [torch.zeros_like(w) for w in every], 0.0, 0.0)

    def layer(self, name: str, x: Tensor) -> Tensor:
        return x @ self.networks[f"{name}.weight"] + self.networks[f"{name}.bias"]

    def criticise(self, name: str, x: Tensor) -> Tensor:
        critic = self.critics[name]
        for number in range(len(critic) // 2):
            x = leaky_relu(x, 0.2) if number else x
            x = x @ critic[f"layers.{number}.weight"] + critic[f"layers.{number}.bias"]
        return x[:, 0]

    def step(self, eye: Tensor, ear: Tensor, labels: Tensor, factor: float) -> dict[str, float]:
        rows = torch.arange(len(labels))
        student = self.layer("student.extractors.eye.layers.0", eye)
        auxiliary = self.layer("auxiliary.extractors.ear.layers.0", ear)
        hidden = leaky_relu(self.layer("fuse.layers.0", torch.cat([student, auxiliary], 1)), 0.01)
        teacher = self.layer("fuse.layers.1", hidden)
        answers = [self.layer("classifier", x) for x in (student, teacher)]
        again = torch.stack([(labels == label).sum() > 1 for label in labels])
        losses = {
            "student": -answers[0].log_softmax(1)[rows, labels].mean(),
            "teacher": -answers[1].log_softmax(1)[rows, labels].mean(),
            "agreement": divergence(*answers),
            "contrast_student": contrast(teacher, student, labels),
            "contrast_auxiliary": contrast(teacher, auxiliary, labels),
            # each critic has half of the weight; the second sees rows whose class occurs again (Eq. 12)
            "adversarial": softplus(-self.criticise("fundamental", student)).mean() / 2
            + softplus(-self.criticise("enhanced", student[again])).mean() / 2,
        }
        self.sgd.step(torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum(), LR * factor)
        # the critics learn afterwards, from what the networks gave before they moved (Eq. 13)
        real, made = teacher.detach(), student.detach()
        critics = torch.zeros((), dtype=torch.float64)
        for name, seen in (("fundamental", torch.ones_like(again)), ("enhanced", again)):
            told = softplus(-self.criticise(name, real[seen])) + softplus(self.criticise(name, made[seen]))
            critics = critics + told.mean() / 2
        self.critic_sgd.step(critics, CRITIC_LR * factor)
        return {name: value.item() for name, value in {**losses, "critics": critics}.items()}


@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetWarning")
def test_an_epoch_takes_the_steps_that_are_written_here(tmp_path: Path) -> None:
    table = write_table(tmp_path / "table.npz")
    distill.run([str(table)], ("eye",), ("ear",), tmp_path / "run", method="amid", **OPTIONS)
    states = checkpoints(tmp_path / "run")[-2:]
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    with np.load(table) as file:
        content = {name: file[name] for name in file.files}
    for fold in (0, 1):  # rows of the fold are tested
        train = np.flatnonzero(content["fold"] != fold)
        scaled = {}
        for name in ("eye", "ear"):
            known = content[name][train]
            scaled[name] = torch.from_numpy((content[name] - known.mean(0)) / known.std(0)).double()
        labels = torch.from_numpy(content["label"]).long()
        written = Written(states[0], fold)
        order = torch.from_numpy(train)[CounterRNG(SEED, EPOCHS - 1, torch.from_numpy(train), -4).order("distill")]
        steps, sums = len(train) // BATCH, dict[str, float]()
        for number in range(steps):
            rows = order[number * BATCH : (number + 1) * BATCH]
            told = written.step(scaled["eye"][rows], scaled["ear"][rows], labels[rows], GAMMA)
            sums = {name: sums.get(name, 0.0) + value / steps for name, value in told.items()}
        for name, value in sums.items():
            assert line["terms"][name][fold] == pytest.approx(value, rel=1e-4), name
        found, before = Written(states[1], fold), Written(states[0], fold)
        for name, wanted in written.networks.items():
            close(found.networks[name], wanted, before.networks[name], f"fold {fold}, {name}")
        for critic, weights in written.critics.items():
            for name, wanted in weights.items():
                close(
                    found.critics[critic][name], wanted, before.critics[critic][name], f"fold {fold}, {critic} {name}"
                )
