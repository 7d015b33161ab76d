"""Protocols and scores written out, from the features and clusters that runs keep."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import motet
from motet.core.rng import CounterRNG
from motet.data.archive import MotionArchive
from motet.data.splits import split
from motet.methods import distillation
from tests.conftest import write_clips
from tests.methods.distillation.toys import write_table
from tests.oracles.written_out import unit

RATE, MOMENTUM, BATCH, EPOCHS, DROPS, LENGTH = 0.3, 0.9, 16, 12, (7, 10), 8.0
NETWORK: dict[str, Any] = {
    **{"encoder": "gru", "hidden": 4, "layers": 1, "frames": 8, "dim": 4, "epochs": 1, "batch_size": 8},
    **{"preprocess": "center", "device": "cpu", "progress": False},
}
Ints = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    return write_clips(tmp_path_factory.mktemp("clips") / "archive", 60, 3, 4, seed=2)


@pytest.fixture(scope="module")
def judged(archive: MotionArchive, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Tensor]:
    """Rows of an evaluation, and the features that it kept."""
    out = tmp_path_factory.mktemp("runs") / "run"
    run = motet.pretrain(
        "moco",
        archive,
        out,
        split="odd-even",
        streams=("joint",),
        queue_size=16,
        whiten=0.0,
        **{**NETWORK, "epochs": 8},
    )
    options = {"linear_cached": {"epochs": EPOCHS, "batch_size": BATCH, "lr": (RATE,), "drops": DROPS}}
    found = motet.evaluate.run(
        run, ["retrieval", "linear-cached"], baselines=False, device="cpu", progress=False, **options
    )
    [kept] = [load_file(path)["joint"] for path in (out / "features").glob("*.safetensors")]
    features = torch.empty(kept.shape, dtype=torch.float64)
    features[torch.cat(sides(archive)[1:])] = kept.double()  # they are kept in this order
    return found, features


def sides(archive: MotionArchive) -> tuple[Tensor, Tensor, Tensor]:
    """Labels, and rows that train and test."""
    parts = split(archive, "odd-even")
    return torch.from_numpy(archive.labels).long(), torch.as_tensor(parts.train), torch.as_tensor(parts.test)


def ranks(queries: Tensor, gallery: Tensor) -> Tensor:
    """(m, n) gallery rows, the nearest by cosine first."""
    return (unit(queries) @ unit(gallery).T).argsort(dim=1, descending=True, stable=True)


def recalled(right: Tensor, depth: int) -> float:
    """Share of the queries with a right answer among the nearest ``depth``."""
    return sum(any(row[:depth]) for row in right.tolist()) / len(right)


def test_neighbours(archive: MotionArchive, judged: tuple[dict[str, Any], Tensor]) -> None:
    found, features = judged
    rows = {row["metric"]: row for row in found["rows"] if row["protocol"] == "retrieval"}
    labels, train, test = sides(archive)
    right = labels[train][ranks(features[test], features[train])] == labels[test][:, None]
    assert rows["R@1"]["values"] == pytest.approx([recalled(right, 1)])
    assert rows["R@5"]["values"] == pytest.approx([recalled(right, 5)])
    assert recalled(right, 1) < recalled(right, 5)  # one cannot stand for the other
    precision = [np.mean([sum(row[: i + 1]) / (i + 1) for i, hit in enumerate(row) if hit]) for row in right.tolist()]
    assert rows["mAP"]["values"] == pytest.approx([np.mean(precision)], rel=1e-4)


def test_a_probe_on_features_standardised_by_the_training_clips(
    archive: MotionArchive, judged: tuple[dict[str, Any], Tensor]
) -> None:
    found, features = judged
    labels, train, test = sides(archive)
    known, classes = features[train], len(archive.class_names)
    scaled = (features - known.mean(0)) / known.std(0, correction=0) * LENGTH / features.shape[1] ** 0.5
    generator = torch.Generator().manual_seed(0)
    weight = 0.01 * torch.randn(features.shape[1], classes, generator=generator).double()
    bias = torch.zeros(classes, dtype=torch.float64)
    velocity, drift = torch.zeros_like(weight), torch.zeros_like(bias)
    for epoch in range(EPOCHS):
        order = train[CounterRNG(0, epoch, train, -2).order("probe")]
        rate = RATE * 0.1 ** sum(epoch >= drop for drop in DROPS)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            x, y = scaled[batch], torch.nn.functional.one_hot(labels[batch], classes)
            error = ((x @ weight + bias).softmax(1) - y) / len(batch)
            velocity, drift = MOMENTUM * velocity + x.T @ error, MOMENTUM * drift + error.sum(0)
            weight, bias = weight - rate * velocity, bias - rate * drift
    answers = (scaled[test] @ weight + bias).argmax(1)
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    for truth, answer in zip(labels[test], answers, strict=True):
        confusion[truth, answer] += 1
    [row] = [row for row in found["rows"] if row["protocol"] == "linear-cached"]
    assert row["values"] == pytest.approx([float((answers == labels[test]).double().mean())])
    assert found["confusions"]["linear-cached"]["matrix"] == confusion.tolist()


def scores(labels: Ints, clusters: Ints) -> dict[str, float]:
    """By going through all matchings, pairs and cells."""
    names, count = sorted(set(clusters.tolist())), len(labels)
    classes = sorted(set(labels.tolist()))
    cells = np.array([[np.sum((labels == y) & (clusters == c)) for c in names] for y in classes])
    wide = np.zeros((max(cells.shape),) * 2, dtype=np.int64)
    wide[: cells.shape[0], : cells.shape[1]] = cells
    best = max(sum(wide[i, j] for i, j in enumerate(order)) for order in permutations(range(len(wide))))
    p, rows, columns = cells / count, cells.sum(1) / count, cells.sum(0) / count
    shared = sum(p[i, j] * np.log(p[i, j] / rows[i] / columns[j]) for i, j in zip(*p.nonzero(), strict=True))
    entropies = [-sum(q * np.log(q) for q in side if q) for side in (rows, columns)]
    together = [(labels[i] == labels[j], clusters[i] == clusters[j]) for i in range(count) for j in range(i)]
    both, first, second = (sum(map(f, together)) for f in (all, lambda t: t[0], lambda t: t[1]))
    expected = first * second / len(together)
    return {
        "hungarian_accuracy": best / count,
        "purity": sum(cells.max(0)) / count,
        "nmi": shared / np.mean(entropies) if np.mean(entropies) else 1.0,
        "ari": (both - expected) / ((first + second) / 2 - expected),
    }


def test_scores_of_a_clustering() -> None:
    random = np.random.default_rng(0)
    apart = 0
    for classes, clusters in ((3, 3), (2, 5), (4, 2)):
        labels, found = random.integers(0, classes, 40), random.integers(0, clusters, 40)
        wanted = scores(labels, found)
        assert wanted["purity"] >= wanted["hungarian_accuracy"]
        assert motet.evaluate.cluster_scores(labels, found) == pytest.approx(wanted)
        apart += wanted["purity"] > wanted["hungarian_accuracy"]
    assert apart  # neither can stand for the other


def test_scores_of_a_discovery(archive: MotionArchive, tmp_path: Path) -> None:
    """From the clusters that the run names for each clip."""
    source = write_clips(tmp_path / "source", 48, 4, 4, seed=1)
    rules = {"source_split": "odd-even", "target_split": "odd-even"}
    motet.discover(
        source,
        archive,
        tmp_path / "run",
        finetune_epochs=1,
        finetune_lr=1e-6,
        clusters=7,
        kmeans_restarts=1,
        **rules,
        **NETWORK,
    )
    table = pl.read_parquet(tmp_path / "run" / "clusters.parquet")
    labels = dict(zip(archive.clips["name"], archive.labels, strict=True))
    tested = table.filter(pl.col("side") == "test")
    truth = np.array([labels[name] for name in tested["name"]])
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    found = {row["branch"]: row for row in result["rows"] if row["by"] == "classifier"}
    wanted = {branch: scores(truth, tested[branch].to_numpy()) for branch in ("B0", "B1")}
    for branch, values in wanted.items():
        assert {name: found[branch][name] for name in values} == pytest.approx(values)
    assert any(values["purity"] > values["hungarian_accuracy"] for values in wanted.values())


def test_results_of_a_distillation(tmp_path: Path) -> None:
    """Accuracy, mean recall and retrieval of every fold, from the student's features and answers."""
    label = np.arange(90) % 5 % 3  # classes of unequal size
    table = write_table(tmp_path / "table.npz", rows=90, label=label, group=None, fold=np.arange(90) // 3 % 2)
    distillation.run(
        [str(table)],
        ("eye",),
        ("ear",),
        tmp_path / "run",
        method="alone",
        split="fold",
        diagnose=False,
        progress=False,
        epochs=2,
        batch_size=16,
        features=4,
        hidden=(),
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    with np.load(table) as file:
        eye, label, fold = file["eye"], torch.from_numpy(file["label"]).long(), file["fold"]
    for number, line in enumerate(result["replicas"]):
        student = distillation.load(tmp_path / "run", fold=line["fold"])
        features = torch.from_numpy(student.features({"eye": eye})).double()
        answers = torch.from_numpy(student.predict({"eye": eye}).argmax(1))
        train, test = (torch.from_numpy(np.flatnonzero(side)) for side in (fold != number, fold == number))
        right = answers[test] == label[test]
        right_near = label[train][ranks(features[test], features[train])] == label[test][:, None]
        wanted = {
            "accuracy": float(right.double().mean()),
            "recall": float(np.mean([float(right[label[test] == c].double().mean()) for c in range(3)])),
            "retrieval_1": recalled(right_near, 1),
            "retrieval_5": recalled(right_near, 5),
        }
        assert {name: line["student"][name] for name in wanted} == pytest.approx(wanted)
        assert wanted["retrieval_1"] < wanted["retrieval_5"]
