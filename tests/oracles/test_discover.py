"""CoDT (Liu and Wang, ECCV 2022) written out, against both stages of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import motet
from motet.core.rng import CounterRNG
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore, batches
from motet.data.splits import split
from motet.methods.discovery.views import Strength, changed, mask_parts, whole_clips
from tests.conftest import write_clips
from tests.oracles.written_out import SGD, State, checkpoints, close, momentum_buffers, part, skeleton_gru, unit

SEED, FRAMES, BATCH, STEPS_DECODED = 5, 8, 8, 2
LR, FINE_LR, MOMENTUM, DECAY, EMA, RHO, XI = 0.02, 0.2, 0.8, 0.01, 0.9, 0.2, 10.0
WEAK, STRONG = Strength(0.3, 1 / 6), Strength(0.9, 1 / 3, 0.3)
MASK_ALWAYS = 0.25
WEIGHTS = {"source": 1.5, "decoder": 4.0, "contrast": 0.7, "labels": 2.0, "pairs": 3.0}
OPTIONS: dict[str, Any] = {
    **{"encoder": "gru", "hidden": 4, "layers": 1, "frames": FRAMES, "dim": 4, "batch_size": BATCH, "seed": SEED},
    **{"optimiser": "sgd", "lr": LR, "finetune_lr": FINE_LR, "momentum": MOMENTUM, "weight_decay": DECAY},
    **{"epochs": 2, "finetune_epochs": 2, "ema": EMA, "temperature": RHO, "power": XI, "dropout": 0.0},
    **{"weak_shear": WEAK.shear, "weak_padding": WEAK.padding, "strong_shear": STRONG.shear},
    **{"strong_padding": STRONG.padding, "mask": STRONG.mask, "mask_always": MASK_ALWAYS, "scale": 0.0, "noise": 0.0},
    **{f"weight_{name}": value for name, value in WEIGHTS.items()},
    **{"sinkhorn_warm": 0, "kmeans_restarts": 1, "preprocess": "center", "device": "cpu", "clusters": 3},
    **{"source_split": "odd-even", "target_split": "odd-even", "checkpoint_every": 1, "keep_checkpoints": 9},
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[MotionArchive, MotionArchive]:
    folder = tmp_path_factory.mktemp("sets")
    return write_clips(folder / "source", 48, 4, 4, seed=1), write_clips(folder / "target", 48, 3, 4, seed=2)


def transport(logits: Tensor) -> Tensor:
    """Labels from Sinkhorn's algorithm on the powers of the predictions, cold (supplement, Eq. 1 to 11)."""
    kernel = logits.softmax(1) ** XI
    samples, clusters = kernel.shape
    v, error, count = torch.full((samples,), 1 / samples, dtype=torch.float64), 1.0, 0
    u = torch.zeros(clusters, dtype=torch.float64)
    while error > 1e-2 and count < 100:
        u = (1 / clusters) / (kernel.T @ v)
        again = (1 / samples) / (kernel @ u)
        if count % 10 == 0:
            error = float((v / again - 1).abs().sum())
        v, count = again, count + 1
    return (kernel * u).argmax(1)


def agreement(logits: Tensor, labels: Tensor) -> Tensor:
    """−mean over i of the mean over j of equal labels of log(p_i·p_j / Σ_k p_i·p_k) (L_cot)."""
    p = logits.softmax(1)
    similar = p @ p.T
    share = (similar / similar.sum(1, keepdim=True)).log()
    rows = [share[i][labels == labels[i]].mean() for i in range(len(labels))]
    return -torch.stack(rows).mean()


class Written:
    """The training from a checkpoint on."""

    def __init__(self, state: State) -> None:
        self.student = [self._learned(state, f"branches.{b}.student.") for b in (0, 1)]
        self.teacher = [self._learned(state, f"branches.{b}.teacher.") for b in (0, 1)]
        self.bank = [part(state, f"branches.{b}.bank")[""] for b in (0, 1)]
        self.running = [part(state, f"branches.{b}.student.encoder.norm.running_") for b in (0, 1)]
        self.source = part(state, "branches.0.source_classifier.")
        self.decoder = part(state, "branches.0.decoder.layers.")
        own = [{n: w for n, w in s.items() if not n.startswith("clusters")} for s in self.student]
        late = [w for s in self.student for n, w in s.items() if n.startswith("clusters")]
        parts = [own[0], self.source, self.decoder, own[1]]
        weights = [w for entries in parts for w in entries.values()] + late
        self.sgd = SGD(weights, momentum_buffers(state), MOMENTUM, DECAY)
        self.apart = 0  # labels that student and teacher would give differently

    @staticmethod
    def _learned(state: State, prefix: str) -> State:
        return {n: v for n, v in part(state, prefix).items() if "running" not in n and "tracked" not in n}

    @staticmethod
    def encode(network: State, clips: Tensor) -> Tensor:
        return skeleton_gru(clips, {n.removeprefix("encoder."): w for n, w in network.items()})

    def reconstruction(self, feature: Tensor, clips: Tensor) -> Tensor:
        """Mean squared error against the clip's means over equal parts of its time."""
        layers = self.decoder
        hidden = (feature @ layers["0.weight"].T + layers["0.bias"]).relu()
        made = (hidden @ layers["3.weight"].T + layers["3.bias"]).view(len(clips), STEPS_DECODED, -1)
        wanted = clips.flatten(2).view(len(clips), STEPS_DECODED, FRAMES // STEPS_DECODED, -1).mean(2)
        return (made - wanted).square().mean()

    def step(self, clips: dict[str, Tensor], labels: Tensor, places: Tensor, *, fine: bool, rate: float) -> None:
        shared = self.student[0]
        seen = self.encode(shared, clips["source masked"])
        scores = seen @ self.source["weight"].T + self.source["bias"]
        losses = {"source": -scores.log_softmax(1)[torch.arange(len(labels)), labels].mean()}
        features = [self.encode(s, clips[f"student {b} masked"]) for b, s in enumerate(self.student)]
        for b, running in enumerate(self.running):  # the target's alone: the source leaves no trace in them
            rows = clips[f"student {b} masked"].permute(0, 1, 3, 4, 2).flatten(2).flatten(0, 1)
            for name, now in (("mean", rows.mean(0)), ("var", rows.var(0))):
                running[name] = 0.9 * running[name] + 0.1 * now
        losses["decoder"] = self.reconstruction(seen, clips["source"]) + self.reconstruction(
            features[0], clips["student 0"]
        )
        with torch.no_grad():
            for teacher, student in zip(self.teacher, self.student, strict=True):
                for name, weight in teacher.items():
                    weight.copy_(EMA * weight + (1 - EMA) * student[name])
            made = [self.encode(t, clips[f"teacher {b}"]) for b, t in enumerate(self.teacher)]
        losses["contrast"] = self.contrast(features[1], made[1], places)
        for bank, rows in zip(self.bank, made, strict=True):
            bank[places] = rows
        if fine:
            losses |= self.clustering(features, places)
        self.sgd.step(torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum(), rate)

    def contrast(self, feature: Tensor, taught: Tensor, places: Tensor) -> Tensor:
        def project(network: State, x: Tensor) -> Tensor:
            return unit(x @ network["projection.weight"].T + network["projection.bias"])

        query = project(self.student[1], feature)
        with torch.no_grad():
            key, others = project(self.teacher[1], taught), project(self.teacher[1], self.bank[1])
        rows = []
        for q, k, place in zip(query, key, places, strict=True):
            kept = torch.arange(len(others)) != place
            logits = torch.cat([(q @ k)[None], others[kept] @ q]) / RHO
            rows.append(-logits.log_softmax(0)[0])
        return torch.stack(rows).mean()

    def clustering(self, features: list[Tensor], places: Tensor) -> dict[str, Tensor]:
        logits, labels = [], []
        for student, teacher, bank, feature in zip(self.student, self.teacher, self.bank, features, strict=True):
            logits.append(feature @ student["clusters.weight"].T + student["clusters.bias"])
            with torch.no_grad():
                given, other = (
                    transport(bank @ n["clusters.weight"].T + n["clusters.bias"]) for n in (teacher, student)
                )
                labels.append(given[places])
                self.apart += int((given != other)[places].sum())
        rows = torch.arange(len(places))
        own = [-x.log_softmax(1)[rows, y].mean() for x, y in zip(logits, labels, strict=True)]
        crossed = [agreement(logits[b], labels[1 - b]) for b in (0, 1)]
        return {"labels": own[0] + own[1], "pairs": crossed[0] + crossed[1]}

    def epoch(self, source: MotionArchive, target: MotionArchive, epoch: int, *, fine: bool) -> None:
        """What each network sees: students of the target strongly changed in fine-tuning, everything else weakly."""
        known = ClipStore(source, split(source, "odd-even").train, preprocess="center", device="cpu")
        store = ClipStore(target, split(target, "odd-even").train, preprocess="center", device="cpu")
        order, steps = batches(store.ids, BATCH, seed=SEED, epoch=epoch), len(store.ids) // BATCH
        per_round, slots = len(known.ids) // BATCH, {int(row): place for place, row in enumerate(store.ids)}
        for number in range(steps):
            ids, clips = order[number], {}
            round_, place = divmod(epoch * steps + number, per_round)
            theirs = batches(known.ids, BATCH, seed=SEED, epoch=round_)[place]
            weak = Strength(WEAK.shear, WEAK.padding, MASK_ALWAYS)
            seen = STRONG if fine else weak
            plan = {
                "source": (known, theirs, round_, 4, weak),
                "student 0": (store, ids, epoch, 0, seen),
                "student 1": (store, ids, epoch, 2, seen),
                "teacher 0": (store, ids, epoch, 1, WEAK),
                "teacher 1": (store, ids, epoch, 3, WEAK),
            }
            for name, (of, rows, when, view, strength) in plan.items():
                keyed = CounterRNG(SEED, when, rows, view)
                whole = changed(whole_clips(of, rows, FRAMES), keyed, strength, of.skeleton)
                clips[name] = whole.double()
                clips[f"{name} masked"] = mask_parts(whole, keyed, strength.mask, of.skeleton).double()
            labels = torch.from_numpy(source.clips["label"].to_numpy()[theirs.numpy()].astype(np.int64))
            places = torch.tensor([slots[int(row)] for row in ids])
            self.step(clips, labels, places, fine=fine, rate=FINE_LR if fine else LR)

    def refresh(self, state: State, target: MotionArchive) -> None:
        """Fine-tuning begins with banks of clips as they are, seen by teachers with their running statistics."""
        store = ClipStore(target, split(target, "odd-even").train, preprocess="center", device="cpu")
        clips = whole_clips(store, store.ids, FRAMES).double()
        for b in (0, 1):
            network = part(state, f"branches.{b}.teacher.encoder.")
            self.bank[b] = skeleton_gru(clips, network, running=True)

    def compare(self, states: list[State], epoch: int) -> None:
        """With the checkpoint at the end of an epoch, in the measure of what has moved since the one before."""
        found, before = Written(states[epoch]), Written(states[epoch - 1])
        for b in (0, 1):
            for kind in ("student", "teacher"):
                ours, wanted, moved = (getattr(w, kind)[b] for w in (found, self, before))
                for name in wanted:
                    close(ours[name], wanted[name], moved.get(name, torch.zeros(1)), f"{kind} {b} {name}")
            close(found.bank[b], self.bank[b], before.bank[b], f"bank {b}")
            for name, wanted_running in self.running[b].items():
                close(found.running[b][name], wanted_running, before.running[b][name], f"running {name} {b}")
        for kind in ("source", "decoder"):
            ours, wanted, moved = (getattr(w, kind) for w in (found, self, before))
            for name in wanted:
                close(ours[name], wanted[name], moved[name], f"{kind} {name}")


def test_both_stages_take_the_steps_that_are_written_here(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path
) -> None:
    motet.discover(*sets, tmp_path / "run", progress=False, **OPTIONS)
    states = checkpoints(tmp_path / "run")
    assert len(states) == 4
    for epoch, fine in ((1, False), (3, True)):
        written = Written(states[epoch - 1])
        written.epoch(*sets, epoch, fine=fine)
        written.compare(states, epoch)
        assert written.apart > 0 or not fine


def test_the_first_epoch_of_fine_tuning_has_its_rate_and_its_views(
    sets: tuple[MotionArchive, MotionArchive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels without weight: no step depends on the classifiers, which start between two checkpoints."""
    options = {**OPTIONS, "weight_labels": 0.0, "weight_pairs": 0.0}
    motet.discover(*sets, tmp_path / "run", progress=False, **options)
    states = checkpoints(tmp_path / "run")
    written = Written(states[1])
    # what pretraining does, with the views and the rate of fine-tuning
    monkeypatch.setattr(Written, "clustering", lambda *_: {})
    written.refresh(states[1], sets[1])
    written.epoch(*sets, 2, fine=True)
    written.compare(states, 2)
