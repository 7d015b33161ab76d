"""Plain k-means beside a discovery: on what it runs, and what is said where it does better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import motet
from motet.data.archive import MotionArchive
from motet.memory.kmeans import spherical_kmeans
from motet.methods.discovery.baselines import RAW, UNTRAINED, WEIGHTS, baselines, verdict
from motet.methods.discovery.describe import report
from motet.metrics.clusters import cluster_scores
from tests.conftest import write_clips


def test_weights_of_the_package_where_the_layout_allows(tmp_path: Path, small_archive: MotionArchive) -> None:
    archive = motet.simulate.simulate(tmp_path / "clips", clips=24, actions=3, actors=4)
    ids = torch.arange(2, 24)
    labels = torch.from_numpy(archive.labels)[ids]
    rows = baselines(archive, ids, labels, 3)
    assert [row["features"] for row in rows] == [RAW, UNTRAINED, WEIGHTS]
    model = motet.load("body")
    parts = []
    for features in model.encode(model.store(archive, ids), ids).values():
        x = features.double().numpy()
        sd = x.std(axis=0)
        z = (x - x.mean(axis=0)) / np.where(sd > 0, sd, 1) * (sd > 1e-6 * np.maximum(sd.max(), abs(x.mean(axis=0))))
        parts.append(z / np.linalg.norm(z, axis=1, keepdims=True))
    table = torch.from_numpy(np.concatenate(parts, axis=1)).float()
    found = [
        cluster_scores(labels.numpy(), spherical_kmeans(table, 3, iterations=100, seed=s).assignment) for s in range(10)
    ]
    assert abs(rows[2]["nmi"] - np.mean([f["nmi"] for f in found])) < 0.02
    other = baselines(small_archive, torch.arange(48), torch.from_numpy(small_archive.labels), 4)
    assert [row["features"] for row in other] == [RAW, UNTRAINED]


def test_what_is_said() -> None:
    ours = [{"nmi": 0.5, "hungarian_accuracy": 0.6}, {"nmi": 0.7, "hungarian_accuracy": 0.65}]
    others = [{"features": RAW, "nmi": 0.4, "hungarian_accuracy": 0.9}]
    assert verdict(ours, others) == ""
    others.append({"features": WEIGHTS, "nmi": 0.8, "hungarian_accuracy": 0.75})
    said = verdict(ours, others)
    assert said == (
        "Plain k-means on the weights body does better than this discovery: NMI 80.0 against 70.0, accuracy 75.0 "
        "against 65.0."
    )
    assert verdict([], others) == verdict(ours, []) == ""


def test_a_discovery_shows_them(small_archive: MotionArchive, tmp_path: Path) -> None:
    other = write_clips(tmp_path / "other", seed=4)
    options = {"epochs": 1, "finetune_epochs": 1, "batch_size": 8, "progress": False}
    options |= {"encoder": "gru", "hidden": 4, "layers": 1, "frames": 8, "dim": 4}
    found = motet.discover.run(small_archive, other, clusters=4, **options)
    assert [row["features"] for row in found["baselines"]] == [RAW, UNTRAINED]
    text = report(found)
    assert f"| none: {RAW} | kmeans | " in text
    assert found["warning"] == verdict(found["rows"], found["baselines"])
    assert (f"**{found['warning']}**" in text) == bool(found["warning"])
