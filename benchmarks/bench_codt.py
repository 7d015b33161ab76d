"""A step of CoDT against a straightforward form of it, its transport alone, and banks of a million clips.

    python -m benchmarks.bench_codt [--clips 18841] [--clusters 51] [--batch 16] [--frames 50] [--rounds 3]
    python -m benchmarks.bench_codt --sinkhorn [--clips 18841] [--clusters 51] [--rounds 9]
    python -m benchmarks.bench_codt --bank 1000000

The whole iteration at the paper's sizes (quarter-width ST-GCN, 25 joints, two persons), in pretraining and in
fine-tuning, in single precision and with bfloat16 encoders. The straightforward form, in single precision, does what
the published algorithm says and no more: clips are changed one after the other on the host, a graph convolution mixes
joints after its channels have tripled, and both banks are transported by products with float32 powers from a cold start
in every iteration of both stages. Medians of CPU seconds, one thread, alternated rounds.

``--sinkhorn``: peaked logits as of a classifier in training; between two steps a batch's rows and the classifier have
moved. The published form starts over. ``off`` is the share of the clips by which cluster sizes miss N/K,
``agreement`` that of hard labels with those of a converged transport, after ten steps.

``--bank``: what in a step grows with the bank, and the memory that it takes next to the bank.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from benchmarks.bench_feeder import medians
from benchmarks.bench_sinkhorn import denormal_slowness, power_form
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import normalize

from motet.core.rng import CounterRNG
from motet.data import layouts
from motet.data.skeletons import Skeleton
from motet.encoders.graph import spatial_partitions
from motet.losses import balanced_assignment
from motet.methods.discovery.methods import codt
from motet.methods.discovery.networks import contrast, pooled
from motet.methods.discovery.settings import Settings
from motet.methods.discovery.step import Batch, Discovery
from motet.methods.discovery.views import Strength, changed, mask_parts

transport = partial(balanced_assignment, return_plan=True)
WEAK, STRONG = Strength(0.5, 1 / 6), Strength(1.0, 1 / 3, 0.3)


class Plain(nn.Module):
    """ST-GCN in the published order of operations, (N, C, T, V, M) inside."""

    def __init__(self, skeleton: Skeleton, width: int = 16, features: int = 256, dropout: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("adjacency", spatial_partitions(skeleton, None))
        joints = len(skeleton)
        self.norm = nn.BatchNorm1d(3 * joints)
        widths = [3, *[width] * 4, *[2 * width] * 3, *[4 * width] * 2, features]
        self.parts = nn.ModuleList()
        for i, (a, b) in enumerate(pairwise(widths)):
            stride = 2 if i in (4, 7) else 1
            edge = nn.ParameterList([nn.Parameter(torch.ones(3, joints, joints))])
            temporal = nn.Sequential(
                nn.BatchNorm2d(b),
                nn.ReLU(),
                nn.Conv2d(b, b, (9, 1), (stride, 1), (4, 0)),
                nn.BatchNorm2d(b),
                nn.Dropout(dropout if i else 0.0),
            )
            same = a == b and stride == 1
            short = nn.Identity() if same else nn.Sequential(nn.Conv2d(a, b, 1, (stride, 1)), nn.BatchNorm2d(b))
            self.parts.append(nn.ModuleList([nn.Conv2d(a, 3 * b, 1), temporal, short, edge]))
        self.feature_size = features

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, P, V, 3) → feature (B, F) and map (B·P, F, T')."""
        batch, time_, persons, joints, _ = x.shape
        rows = x.permute(0, 2, 3, 4, 1).reshape(batch * persons, joints * 3, time_)
        h = self.norm(rows).view(batch * persons, joints, 3, time_).permute(0, 2, 3, 1)
        for i, (spatial, temporal, short, edge) in enumerate(self.parts):  # type: ignore[misc]
            mixed = spatial(h)
            n, wide, t, v = mixed.shape
            mixed = torch.einsum("nkctv,kvw->nctw", mixed.view(n, 3, wide // 3, t, v), self.adjacency * edge[0])
            h = functional.relu(temporal(mixed) + (short(h) if i else 0))
        found = h.mean(dim=3)
        return found.mean(dim=2).view(batch, persons, -1).mean(dim=1), found


def shear_and_crop(clip: np.ndarray, random: np.random.Generator, strength: Strength) -> np.ndarray:
    """One clip (T, P, V, 3), as a feeder does it."""
    padding = int(len(clip) * strength.padding)
    longer = np.concatenate([clip[:padding][::-1], clip, clip[len(clip) - padding :][::-1]])
    start = random.integers(0, 2 * padding + 1)
    matrix = np.eye(3)
    matrix[~np.eye(3, dtype=bool)] = random.uniform(-strength.shear, strength.shear, 6)
    return (longer[start : start + len(clip)] @ matrix.T).astype(np.float32)


def plain_mask(x: Tensor, skeleton: Skeleton, probability: float) -> Tensor:
    """Body parts of a frame zeroed, part by part."""
    x = x.clone()
    for part in skeleton.parts.values():
        keep = torch.rand(x.shape[:3]) > probability
        x[:, :, :, list(part)] *= keep[..., None, None]
    return x


class Straightforward(nn.Module):
    """The published step, written down as it reads."""

    def __init__(self, skeletons: tuple[Skeleton, Skeleton], clips: int, clusters: int, source_classes: int) -> None:
        super().__init__()
        self.skeletons = skeletons
        self.students = nn.ModuleList(Plain(s) for s in skeletons)
        self.teachers = nn.ModuleList(Plain(s).requires_grad_(False) for s in skeletons)
        self.classifiers = nn.ModuleList(nn.Linear(256, clusters) for _ in skeletons)
        self.teacher_classifiers = nn.ModuleList(nn.Linear(256, clusters).requires_grad_(False) for _ in skeletons)
        self.known = nn.Linear(256, source_classes)
        self.decoder = nn.Sequential(
            nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 3 * len(skeletons[0]))
        )
        self.projection, self.teacher_projection = nn.Linear(256, 128), nn.Linear(256, 128).requires_grad_(False)
        self.banks = [torch.randn(clips, 256) for _ in skeletons]

    def decoding(self, found: Tensor, clips: Tensor) -> Tensor:
        made = self.decoder(found.permute(0, 2, 1))
        batch, persons = len(clips), clips.shape[2]
        return functional.mse_loss(
            made.view(batch, persons, made.shape[1], -1).transpose(1, 2), pooled(clips, made.shape[1])
        )

    def step(self, source: np.ndarray, labels: Tensor, targets: list[np.ndarray], ids: Tensor, fine: bool) -> Tensor:
        """The loss of one iteration."""
        random = np.random.default_rng(0)

        def view(clips: np.ndarray, strength: Strength) -> Tensor:
            return torch.from_numpy(np.stack([shear_and_crop(c, random, strength) for c in clips]))

        strength = STRONG if fine else WEAK
        students, teachers = ([view(t, s) for t in targets] for s in (strength, WEAK))
        seen = [plain_mask(x, k, s.mask) for x, k, s in zip(students, self.skeletons, [strength] * 2, strict=True)]
        shown = view(source, WEAK)
        feature, found = self.students[0](shown)
        loss = functional.cross_entropy(self.known(feature), labels) + 20 * self.decoding(found, shown)
        features = []
        for b in (0, 1):
            feature, found = self.students[b](seen[b])
            features.append(feature)
            if b == 0:
                loss = loss + 20 * self.decoding(found, students[0])
        with torch.no_grad():
            for old, new in zip(self.teachers.parameters(), self.students.parameters(), strict=True):
                old.data = 0.999 * old.data + 0.001 * new.data
            made = [t(x)[0] for t, x in zip(self.teachers, teachers, strict=True)]
            keys = normalize(self.teacher_projection(self.banks[1]), dim=1)
            key = normalize(self.teacher_projection(made[1]), dim=1)
        query = normalize(self.projection(features[1]), dim=1)
        negatives = query @ keys.T
        negatives[torch.arange(len(ids)), ids] = -1e10
        logits = torch.cat([(query * key).sum(1, keepdim=True), negatives], dim=1) / 0.07
        loss = loss + functional.cross_entropy(logits, torch.zeros(len(ids), dtype=torch.int64))
        assigned = []
        for b in (0, 1):
            self.banks[b][ids] = made[b]
            with torch.no_grad():
                assigned.append(power_form(self.teacher_classifiers[b](self.banks[b]))[0][ids].argmax(dim=1))
        if not fine:
            return loss
        answers = [c(f) for c, f in zip(self.classifiers, features, strict=True)]
        for b in (0, 1):
            loss = loss + 5 * functional.cross_entropy(answers[b], assigned[b])
            pairs = (assigned[1 - b][:, None] == assigned[1 - b][None, :]).float()
            p = torch.softmax(answers[b], dim=1)
            alike = (p @ p.T).clamp(1e-8, 1 - 1e-8)
            alike = alike / alike.sum(dim=1, keepdim=True)
            loss = loss - 10 * ((pairs * alike.log()).sum(1) / pairs.sum(1)).mean()
        return loss


def iteration(given: argparse.Namespace) -> dict[str, float]:
    """Seconds of both forms in both stages."""
    skeletons = layouts.get("shared-15"), layouts.get("kinect-v2")
    settings = {p: Settings(clusters=given.clusters, precision=p) for p in ("32", "bf16")}
    generator = np.random.default_rng(0)
    shape = given.batch, given.frames, 2
    raw = [generator.normal(size=(*shape, len(s), 3)).astype(np.float32) for s in (skeletons[0], *skeletons)]
    labels, ids = torch.arange(given.batch) % 60, torch.arange(given.batch)
    torch.manual_seed(0)
    plain = Straightforward(skeletons, given.clips, given.clusters, 60).train()
    ours = Discovery.build(
        settings["32"], *skeletons, persons=(2, 2), channels=(3, 3), clips=given.clips, source_classes=60
    ).train()
    for bank in (*plain.banks, *(b.bank for b in ours.pair)):
        bank.copy_(torch.randn_like(bank).relu())
    weights = [normalize(torch.randn(given.clusters, 256), dim=1) for _ in skeletons]
    ours.add_classifiers(weights)
    with torch.no_grad():
        for b, weight in enumerate(weights):
            for layer in (plain.classifiers[b], plain.teacher_classifiers[b]):
                layer.weight.copy_(weight)
    stored = [torch.from_numpy(x) for x in raw]

    def own(turn: int, fine: bool, precision: str) -> None:
        ours.settings = settings[precision]
        strength = STRONG if fine else WEAK
        keyed = [CounterRNG(0, turn, ids, view) for view in range(5)]
        students = [changed(stored[1 + b], keyed[b], strength, skeletons[b]) for b in (0, 1)]
        seen = [mask_parts(students[b], keyed[b], strength.mask, skeletons[b]) for b in (0, 1)]
        teachers = [changed(stored[1 + b], keyed[2 + b], WEAK, skeletons[b]) for b in (0, 1)]
        source = changed(stored[0], keyed[4], WEAK, skeletons[0])
        batch = Batch(source, source, labels, tuple(students), tuple(seen), tuple(teachers), ids)  # type: ignore[arg-type]
        ours.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.stack(list(ours(batch, fine=fine).values())).sum())

    def theirs(fine: bool) -> None:
        plain.zero_grad()
        torch.autograd.backward(plain.step(raw[0], labels, raw[1:], ids, fine))

    report = {}
    for stage, fine in (("pretrain", False), ("finetune", True)):
        jobs = {
            "plain": lambda _, f=fine: theirs(f),
            "32": lambda turn, f=fine: own(turn, f, "32"),
            "bf16": lambda turn, f=fine: own(turn, f, "bf16"),
        }
        found = medians(jobs, given.rounds)
        report |= {f"{stage}_{name}_s": round(value / 1000, 3) for name, value in found.items()}
    for precision in settings:
        total = {
            name: sum(report[f"{stage}_{name}_s"] for stage in ("pretrain", "finetune"))
            for name in ("plain", precision)
        }
        report[f"ratio_{precision}"] = round(total["plain"] / total[precision], 2)
    return report


def sinkhorn(rows: int, clusters: int, batch: int, rounds: int) -> dict[str, float]:
    """Milliseconds of the transport of one step, and how good its labels are."""
    generator = torch.Generator().manual_seed(0)
    # classes of unequal sizes, distinguished by a classifier that gives its answer .85 on average
    shares = torch.arange(1, clusters + 1).float() ** -0.7
    classes = torch.multinomial(shares, rows, replacement=True, generator=generator)
    weight = normalize(torch.randn(clusters, 256, generator=generator), dim=1)
    bank = 6 * weight[classes] + 0.6 * torch.randn(rows, 256, generator=generator)
    warm = codt.Options().sinkhorn_warm
    scalings = transport(bank @ weight.T).scalings
    for _ in range(10):
        ids = torch.randperm(rows, generator=generator)[:batch]
        bank[ids] += 0.3 * torch.randn(len(ids), 256, generator=generator)
        weight += 3e-4 * torch.randn(clusters, 256, generator=generator)
        logits, before = bank @ weight.T, scalings
        scalings = transport(logits, warm_start=before, max_iterations=warm).scalings
    exact = transport(logits, warm_start=scalings, max_iterations=5000, tolerance=1e-3).labels()
    found = medians(
        {
            "power": lambda _: power_form(logits)[0][ids].argmax(dim=1),
            "cold": lambda _: transport(logits).labels(ids),
            "warm": lambda _: transport(logits, warm_start=before, max_iterations=warm).labels(ids),
        },
        rounds,
    )
    report = {f"{name}_ms": round(value, 2) for name, value in found.items()}
    report |= {f"ratio_{name}": round(found["power"] / found[name], 2) for name in ("cold", "warm")}
    plans = {
        "power": power_form(logits)[0],
        "cold": transport(logits).rows(),
        "warm": transport(logits, warm_start=before, max_iterations=warm).rows(),
    }
    for name, plan in plans.items():
        report[f"off_{name}"] = round(float((plan.sum(0) - rows / clusters).abs().sum() / rows), 4)
        report[f"agreement_{name}"] = round(float((plan.argmax(1) == exact).double().mean()), 4)
    return report | {"denormals": round(denormal_slowness(rounds), 1)}


def large_bank(rows: int, clusters: int, batch: int) -> dict[str, float]:
    """Seconds and memory of what a step does with the bank."""
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(rows, 256, generator=generator).relu_()
    project, classify = nn.Linear(256, 128), nn.Linear(256, clusters)
    with torch.no_grad():
        classify.weight.copy_(3 * normalize(torch.randn(clusters, 256, generator=generator), dim=1))
    query = normalize(torch.randn(batch, 128, generator=generator), dim=1).requires_grad_()
    ids = torch.randperm(rows, generator=generator)[:batch]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.process_time()
    key = normalize(project(bank[ids]).detach(), dim=1)
    contrast(query, key, bank, ids, 0.07, project=lambda x: normalize(project(x), dim=1)).backward()
    report = {"contrast_s": round(time.process_time() - began, 2)}
    report["contrast_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before)
    began = time.process_time()
    with torch.no_grad():
        plan = transport(classify(bank))
    report |= {"cold_s": round(time.process_time() - began, 2), "cold_iterations": plan.iterations}
    began = time.process_time()
    bank[ids] += 0.01
    with torch.no_grad():
        plan = transport(classify(bank), warm_start=plan.scalings, max_iterations=codt.Options().sinkhorn_warm)
    report |= {"warm_s": round(time.process_time() - began, 2), "warm_iterations": plan.iterations}
    report["labels_s"] = round(_timed(lambda: plan.labels(ids)), 4)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    return report | {"bank_mb": round(before), "beside_it_mb": round(peak)}


def _timed(job: object) -> float:
    began = time.process_time()
    job()  # type: ignore[operator]
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options = {"clips": 18841, "clusters": 51, "batch": 16, "frames": 50, "rounds": 3, "bank": 0}
    for name, value in options.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--sinkhorn", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.bank:
        found = large_bank(given.bank, given.clusters, given.batch)
    elif given.sinkhorn:
        found = sinkhorn(given.clips, given.clusters, 128, given.rounds)
    else:
        found = iteration(given)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
