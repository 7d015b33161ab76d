"""A whole training against CoDT's algorithm written out: order of the step, rates, views, targets, teachers.

Taken from motet are the networks with their first weights, the clips, the counter-based draws and the public equations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional
from torch.nn.functional import normalize

from motet.core.rng import CounterRNG
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore, batches
from motet.losses import balanced_assignment, pair_consistency
from motet.memory.kmeans import spherical_kmeans
from motet.methods import discovery as discover
from motet.methods.discovery.data import Clips, sides
from motet.methods.discovery.settings import Settings
from motet.methods.discovery.step import Discovery
from motet.methods.discovery.views import Strength, changed, mask_parts, whole_clips
from tests.conftest import write_clips

SEED, FRAMES, BATCH, CLUSTERS, EPOCHS = 5, 8, 8, 3, (2, 2)
RATES, MOMENTUM, DECAY, EMA, TEMPERATURE = (0.02, 0.005), 0.8, 1e-2, 0.7, 0.4
WEAK, STRONG, MASK = (0.2, 1 / 8), (0.9, 3 / 8), 0.4  # shear and padding
LAMBDA = {"source": 1.0, "decoder": 3.0, "contrast": 0.7, "labels": 0.9, "pairs": 1.3}
OPTIONS: dict[str, Any] = {
    **{"encoder": "gru", "hidden": 4, "layers": 1, "dim": 4, "dropout": 0.0, "preprocess": "none"},
    **{"epochs": EPOCHS[0], "finetune_epochs": EPOCHS[1], "frames": FRAMES, "batch_size": BATCH, "seed": SEED},
    **{"lr": RATES[0], "finetune_lr": RATES[1], "momentum": MOMENTUM, "weight_decay": DECAY, "optimiser": "sgd"},
    **{"ema": EMA, "temperature": TEMPERATURE, "kmeans_restarts": 2, "sinkhorn_warm": 0, "clusters": CLUSTERS},
    **{"weak_shear": WEAK[0], "weak_padding": WEAK[1], "strong_shear": STRONG[0], "strong_padding": STRONG[1]},
    **{"mask": MASK, **{f"weight_{name}": value for name, value in LAMBDA.items()}},
}


def pooled_error(decoded: Tensor, clips: Tensor) -> Tensor:
    """Mean squared error against (B, T, P, V, C) clips averaged over parts of their frames."""
    batch, frames, persons, joints, channels = clips.shape
    steps = decoded.shape[1] // (persons * joints * channels)
    parts = clips.view(batch, steps, frames // steps, persons, joints * channels).mean(dim=2)
    return (decoded.view(parts.shape) - parts).square().mean()


class Written:
    """The algorithm, on the networks of a :class:`Discovery` that is used for nothing else."""

    def __init__(self, source: MotionArchive, target: MotionArchive) -> None:
        self.clips = Clips(source, target, sides(source, target), "none", "cpu")
        settings = Settings().with_options(OPTIONS)
        torch.manual_seed(SEED)
        self.net = Discovery.build(
            settings,
            self.clips.source.skeleton,
            target.skeleton,
            persons=(1, 1),
            channels=(3, 3),
            clips=len(self.clips.train),
            source_classes=len(self.clips.sides.source_classes),
        )
        self.net.train()
        self.velocity: dict[str, Tensor] = {}
        self.banks = [torch.zeros_like(b.bank) for b in self.net.pair]

    def view(self, store: ClipStore, ids: Tensor, number: int, epoch: int, how: tuple[float, float]) -> Tensor:
        draws = CounterRNG(SEED, epoch, ids, number)
        return changed(whole_clips(store, ids, FRAMES), draws, Strength(*how), store.skeleton)

    def masked(self, x: Tensor, store: ClipStore, ids: Tensor, number: int, epoch: int) -> Tensor:
        return mask_parts(x, CounterRNG(SEED, epoch, ids, number), MASK, store.skeleton)

    def train(self) -> dict[str, Tensor]:
        clips, steps = self.clips, len(self.clips.train) // BATCH
        per_round = len(clips.source.ids) // BATCH
        for epoch in range(sum(EPOCHS)):
            fine = epoch >= EPOCHS[0]
            if epoch == EPOCHS[0]:
                self.switch()
            for step, ids in enumerate(batches(clips.train, BATCH, seed=SEED, epoch=epoch)):
                number, place = divmod(epoch * steps + step, per_round)
                source = batches(clips.source.ids, BATCH, seed=SEED, epoch=number)[place]
                loss = self.loss(ids, source, epoch, number, fine)
                self.move(loss, RATES[fine])
        return {k: v for k, v in self.net.branches.state_dict(prefix="branches.").items() if not k.endswith(".bank")}

    def loss(self, ids: Tensor, source_ids: Tensor, epoch: int, number: int, fine: bool) -> Tensor:
        shared, own = self.net.pair
        # the students, the source first and without a trace in the running statistics of the target
        source = self.view(self.clips.source, source_ids, 4, number, WEAK)
        buffers = {k: v.clone() for k, v in shared.student["encoder"].named_buffers()}
        known = functional_call(shared.student["encoder"], buffers, (source,))
        assert shared.source_classifier is not None
        assert shared.decoder is not None
        labels = self.clips.source_labels(source_ids)
        total = LAMBDA["source"] * functional.cross_entropy(shared.source_classifier(known), labels)
        whole = [
            self.view(s, ids, n, epoch, STRONG if fine else WEAK)
            for s, n in zip(self.clips.target, (0, 2), strict=True)
        ]
        seen = whole
        if fine:
            seen = [self.masked(x, s, ids, n, epoch) for x, s, n in zip(whole, self.clips.target, (0, 2), strict=True)]
        features = [b.student["encoder"](x) for b, x in zip(self.net.pair, seen, strict=True)]
        errors = pooled_error(shared.decoder.layers(known), source)
        errors = errors + pooled_error(shared.decoder.layers(features[0]), whole[0])
        total = total + LAMBDA["decoder"] * errors
        # the teachers: first they follow, then they look at weak views
        with torch.no_grad():
            for branch in self.net.pair:
                for t, s in zip(branch.teacher.parameters(), branch.student.parameters(), strict=True):
                    t.copy_(EMA * t + (1 - EMA) * s)
            weak = [self.view(s, ids, n, epoch, WEAK) for s, n in zip(self.clips.target, (1, 3), strict=True)]
            taught = [b.teacher["encoder"](x) for b, x in zip(self.net.pair, weak, strict=True)]
            key = normalize(own.teacher["projection"](taught[1]), dim=1)
            others = normalize(own.teacher["projection"](self.banks[1]), dim=1)
        # the contrast against the bank of before, but for the clip's own slot
        places = torch.searchsorted(self.clips.train, ids)
        query = normalize(own.student["projection"](features[1]), dim=1)
        rows = []
        for i, q in enumerate(query):
            keep = torch.arange(len(others)) != places[i]
            logits = torch.cat([(q @ key[i])[None], others[keep] @ q]) / TEMPERATURE
            rows.append(torch.logsumexp(logits, dim=0) - logits[0])
        total = total + LAMBDA["contrast"] * torch.stack(rows).mean()
        for bank, made in zip(self.banks, taught, strict=True):
            bank[places] = made
        return total + self.fine(features, places) if fine else total

    def fine(self, features: list[Tensor], places: Tensor) -> Tensor:
        """Labels of the teachers' classifiers on their banks, and pairs for the other branch."""
        logits = [b.student["clusters"](x) for b, x in zip(self.net.pair, features, strict=True)]
        with torch.no_grad():
            seen = [b.teacher["clusters"](bank) for b, bank in zip(self.net.pair, self.banks, strict=True)]
            labels = [balanced_assignment(x).argmax(dim=1)[places] for x in seen]
        own = sum(functional.cross_entropy(x, y) for x, y in zip(logits, labels, strict=True))
        crossed = pair_consistency(logits[0], labels[1]) + pair_consistency(logits[1], labels[0])
        return LAMBDA["labels"] * own + LAMBDA["pairs"] * crossed

    def move(self, loss: Tensor, rate: float) -> None:
        """SGD with momentum and weight decay."""
        named = {n: p for n, p in self.net.named_parameters() if p.requires_grad}
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        with torch.no_grad():
            for (name, weight), gradient in zip(named.items(), gradients, strict=True):
                if gradient is None:
                    continue
                slope = gradient + DECAY * weight
                self.velocity[name] = MOMENTUM * self.velocity[name] + slope if name in self.velocity else slope
                weight -= rate * self.velocity[name]

    @torch.no_grad()
    def switch(self) -> None:
        """Classifiers at the centres of the students' clean features; banks of the teachers' clean features."""
        self.net.eval()
        for bank, branch, store in zip(self.banks, self.net.pair, self.clips.target, strict=True):
            clean = whole_clips(store, self.clips.train, FRAMES)
            made = spherical_kmeans(branch.student["encoder"](clean), CLUSTERS, iterations=100, restarts=2, seed=SEED)
            branch.add_classifier(made.centres)
            bank.copy_(branch.teacher["encoder"](clean))
        self.net.train()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[MotionArchive, MotionArchive]:
    folder = tmp_path_factory.mktemp("sets")
    return write_clips(folder / "source", 32, 4, 2, seed=1), write_clips(folder / "target", 48, 3, 4, seed=2)


def test_a_training_is_the_algorithm(sets: tuple[MotionArchive, MotionArchive], tmp_path: Path) -> None:
    discover.run(*sets, tmp_path / "run", recipe="paper", progress=False, **OPTIONS)
    found = load_file(tmp_path / "run" / "model.safetensors")
    expected = Written(*sets).train()
    assert {k for k in found if k.startswith("branches.")} == set(expected)
    moved = 0
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):
            continue
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")  # type: ignore[misc]
        moved += value.is_floating_point()
    assert moved > 20
