"""MoCo and CMD (He et al., CVPR 2020; Mao et al., ECCV 2022) written out, against two epochs of a training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import motet
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore, augmented_views, batches
from motet.data.splits import split
from tests.oracles.written_out import SGD, State, checkpoints, close, momentum_buffers, part, skeleton_gru, unit

SEED, FRAMES, BATCH, SLOTS = 3, 6, 8, 12
LR, GAMMA, MILESTONE, MOMENTUM, DECAY = 0.05, 0.1, 2, 0.8, 0.05
TAU, KEY_MOMENTUM, NEIGHBOURS, STUDENT_TAU, TEACHER_TAU, WEIGHT = 0.1, 0.7, 5, 0.2, 0.08, 0.5
OPTIONS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": BATCH,
    "queue_size": SLOTS,
    "encoder": "gru",
    "hidden": 4,
    "layers": 1,
    "frames": FRAMES,
    "dim": 4,
    "split": "odd-even",
    "preprocess": "center",
    "optimiser": "sgd",
    "lr": LR,
    "gamma": GAMMA,
    "milestones": (MILESTONE,),
    "momentum": MOMENTUM,
    "weight_decay": DECAY,
    "temperature": TAU,
    "key_momentum": KEY_MOMENTUM,
    "seed": SEED,
    "device": "cpu",
    "checkpoint_every": 1,
    "keep_checkpoints": 9,
}
CMD: dict[str, Any] = {
    "neighbours": NEIGHBOURS,
    "student_temperature": STUDENT_TAU,
    "teacher_temperature": TEACHER_TAU,
    "distill_weight": WEIGHT,
}
Losses = dict[str, Tensor]


def info_nce(queries: list[Tensor], keys: list[Tensor], queues: list[Tensor]) -> Losses:
    """−log of the positive's share, stream by stream (MoCo, Eq. 1)."""
    found = {}
    for number, (q, k, queue) in enumerate(zip(queries, keys, queues, strict=True)):
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / TAU
        found[f"contrast/{number}"] = -logits.log_softmax(1)[:, 0].mean()
    return found


def cmd(queries: list[Tensor], keys: list[Tensor], queues: list[Tensor]) -> Losses:
    """InfoNCE, and every stream teaches every other its neighbours (CMD, Eq. 3 to 7)."""
    total = torch.zeros((), dtype=torch.float64)
    for teacher in range(len(keys)):
        similar, nearest = (keys[teacher] @ queues[teacher].T).topk(NEIGHBOURS, 1)
        target = (similar / TEACHER_TAU).softmax(1)
        for student in range(len(keys)):
            if student != teacher:
                own = (queries[student] @ queues[student].T).gather(1, nearest) / STUDENT_TAU
                divergence = target * (target.log() - own.log_softmax(1))
                total = total + divergence.sum(1).mean()
    return {**info_nce(queries, keys, queues), "distillation": WEIGHT * total}


def view(clips: Tensor, name: str, parents: tuple[int, ...]) -> Tensor:
    """Joints, or bones: a joint minus its parent, zero at the root."""
    if name == "joint":
        return clips
    return torch.stack([clips[..., j, :] - clips[..., p if p >= 0 else j, :] for j, p in enumerate(parents)], dim=-2)


class Written:
    """The training from a checkpoint on."""

    def __init__(self, state: State, streams: tuple[str, ...], loss: Callable[..., Losses]) -> None:
        count = range(len(streams))
        self.streams, self.loss = streams, loss
        self.query = [self._networks(state, f"encoders.{n}.", f"heads.{n}.") for n in count]
        self.key = [self._networks(state, f"key_encoders.{n}.", f"key_heads.{n}.") for n in count]
        self.queues = [part(state, f"queue.ring_{n}")[""] for n in count]
        self.pointer = int(part(state, "queue.pointer")[""])
        weights = [w for networks in zip(*self.query, strict=True) for one in networks for w in one.values()]
        self.sgd = SGD(weights, momentum_buffers(state), MOMENTUM, DECAY)

    @staticmethod
    def _networks(state: State, encoder: str, head: str) -> tuple[State, State]:
        learned = {n: v for n, v in part(state, encoder).items() if "running" not in n and "tracked" not in n}
        return learned, part(state, head)

    def embed(self, networks: tuple[State, State], clips: Tensor) -> Tensor:
        encoder, head = networks
        hidden = skeleton_gru(clips, encoder) @ head["0.weight"].T + head["0.bias"]
        return unit(hidden.relu() @ head["2.weight"].T + head["2.bias"])

    def step(self, first: list[Tensor], second: list[Tensor], rate: float) -> dict[str, float]:
        queries = [self.embed(n, x) for n, x in zip(self.query, first, strict=True)]
        with torch.no_grad():
            for followers, leaders in zip(self.key, self.query, strict=True):
                for follower, leader in zip(followers, leaders, strict=True):
                    for name, weight in follower.items():
                        weight.copy_(KEY_MOMENTUM * weight + (1 - KEY_MOMENTUM) * leader[name])
            keys = [self.embed(n, x) for n, x in zip(self.key, second, strict=True)]
        losses = self.loss(queries, keys, [queue.clone() for queue in self.queues])
        self.sgd.step(torch.stack(list(losses.values())).sum(), rate)
        for row in range(BATCH):
            for queue, key in zip(self.queues, keys, strict=True):
                queue[self.pointer] = key[row]
            self.pointer = (self.pointer + 1) % SLOTS
        return {name: value.item() for name, value in losses.items()}

    def epoch(self, archive: MotionArchive, run: Any, epoch: int) -> dict[str, float]:
        """Two independent augmentations of each clip, in the order that the data path draws."""
        store = ClipStore(archive, split(archive, "odd-even").train, preprocess="center", device="cpu")
        rate = LR * (GAMMA if epoch >= MILESTONE else 1)
        order = batches(store.ids, BATCH, seed=SEED, epoch=epoch)
        sums: dict[str, float] = {}
        for number in range(len(store.ids) // BATCH):
            made = [
                augmented_views(
                    store, order[number], run.recipe.augment, seed=SEED, epoch=epoch, frames=FRAMES, views=2
                )[place]
                for place in (0, 1)
            ]
            seen = [[view(clips.double(), s, archive.skeleton.parents) for s in self.streams] for clips in made]
            for name, value in self.step(*seen, rate).items():
                sums[name] = sums.get(name, 0.0) + value
        return {name: value / (len(store.ids) // BATCH) for name, value in sums.items()}


@pytest.mark.parametrize(
    ("recipe", "streams", "loss", "options"),
    [("moco/small-gru", ("joint",), info_nce, {}), ("cmd/small-gru", ("joint", "bone"), cmd, CMD)],
)
def test_a_training_takes_the_steps_that_are_written_here(
    small_archive: MotionArchive,
    tmp_path: Path,
    recipe: str,
    streams: tuple[str, ...],
    loss: Callable[..., Losses],
    options: dict[str, Any],
) -> None:
    run = motet.pretrain(recipe, small_archive, tmp_path / "run", progress=False, streams=streams, **OPTIONS, **options)
    states = checkpoints(run.path)
    assert len(states) == 3
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    written = Written(states[0], streams, loss)
    for epoch in (1, 2):  # the second after the drop of the rate
        terms = written.epoch(small_archive, run, epoch)
        assert list(lines[epoch]["terms"].values()) == pytest.approx(list(terms.values()), rel=1e-4)
        found, before = Written(states[epoch], streams, loss), Written(states[epoch - 1], streams, loss)
        for kind in ("query", "key"):
            for number, stream in enumerate(streams):
                triples = zip(*(getattr(w, kind)[number] for w in (found, written, before)), strict=True)
                for ours, wanted, moved in triples:
                    for name in wanted:
                        close(ours[name], wanted[name], moved[name], f"{kind} {stream} {name}, epoch {epoch}")
        for number in range(len(streams)):
            close(found.queues[number], written.queues[number], before.queues[number], f"queue {number}")
