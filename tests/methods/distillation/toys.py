"""Tensors of the golden checks, and small tables."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from motet.engine.learner import Learner
from motet.engine.options import Loop
from motet.engine.trainer import Trainer
from motet.methods.distillation.layers import Dense
from motet.methods.distillation.methods.base import Batch, Context

DOUBLE = torch.float64
LABELS = torch.tensor([[0, 1, 0, 2, 1, 0]])
EVERYONE = torch.ones(1, 6, dtype=torch.bool)


def grid(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    i, j = torch.meshgrid(torch.arange(rows, dtype=DOUBLE), torch.arange(columns, dtype=DOUBLE), indexing="ij")
    return i, j


def features() -> tuple[Tensor, Tensor, Tensor]:
    """Teacher, student, auxiliary: (1, 6, 4)."""
    i, j = grid(6, 4)
    n = 4 * i + j
    found = torch.sin(0.7 * n + 0.3), torch.cos(0.5 * n + 0.1 * i), torch.sin(0.9 * n - 0.4) + 0.2 * j
    return found[0][None], found[1][None], found[2][None]


def logits() -> tuple[Tensor, Tensor]:
    """Of student and teacher: (1, 6, 3)."""
    i, c = grid(6, 3)
    return torch.sin(1.1 * (3 * i + c))[None], torch.cos(0.6 * (3 * i + c))[None]


def batch(rows: Tensor = EVERYONE, labels: Tensor = LABELS, epoch: int = 0) -> Batch:
    return Batch(labels, rows, torch.arange(labels.shape[1])[None], [True], epoch)


def context(features: int = 4, **changes: Any) -> Context:
    given: dict[str, Any] = {
        "seeds": (0,),
        "features": features,
        "classes": 3,
        "labels": LABELS,
        "rows": EVERYONE,
        "counts": torch.tensor([6]),
        "batch_size": 6,
        "epochs": 10,
    }
    return Context(**(given | changes))


def fill(layer: nn.Module, number: int) -> None:
    """Weights of the golden network: W[r, c] = 0.5 sin(1.3 (r · in + c) + id), b[r] = 0.1 cos(r + id)."""
    assert isinstance(layer, Dense)
    inputs, outputs = layer.weight.shape[1:]
    r, c = grid(outputs, inputs)
    weight = 0.5 * torch.sin(1.3 * (r * inputs + c) + number)
    bias = 0.1 * torch.cos(torch.arange(outputs, dtype=DOUBLE) + number)
    layer.weight = nn.Parameter(weight.T[None].contiguous())
    layer.bias = nn.Parameter(bias[None, None].contiguous())


def write_table(path: Path, rows: int = 120, classes: int = 3, seed: int = 0, **columns: Any) -> Path:
    """Eye and ear of noisy class prototypes; the ear hears better. Four groups, folds by group."""
    random = np.random.default_rng(seed)
    label = np.arange(rows) % classes
    group = np.arange(rows) // classes % 4
    eye = random.normal(size=(classes, 6))[label] + random.normal(0, 1.5, (rows, 6))
    ear = random.normal(size=(classes, 5))[label] + random.normal(0, 0.7, (rows, 5))
    content = {"label": label, "group": group, "fold": group % 2, "eye": eye, "ear": ear}
    np.savez(path, **{name: value for name, value in (content | columns).items() if value is not None})
    return path


def loop_of(learner: Learner) -> Trainer:
    """The loop around a learner, before its first step."""
    return Trainer(lambda device: learner, Loop(device="cpu"), progress=False)


def fitted(learner: Learner) -> Trainer:
    """The loop after its last step; nothing is on disk."""
    trainer = loop_of(learner)
    trainer.fit(None)
    return trainer


class stopped_at:
    """Raises a signal in the n-th step of a training; a context."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGTERM) -> None:
        self.step, self.number = step, number

    def __enter__(self) -> None:
        self.plain, done = Trainer.one_step, [0]

        def one_step(trainer: Trainer) -> dict[str, Any]:
            found = self.plain(trainer)
            done[0] += 1
            if done[0] == self.step:
                signal.raise_signal(self.number)
            return found

        Trainer.one_step = one_step  # type: ignore[method-assign]

    def __exit__(self, *error: object) -> None:
        Trainer.one_step = self.plain  # type: ignore[method-assign]
