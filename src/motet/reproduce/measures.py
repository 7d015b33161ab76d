"""What pages measure: columns of their tables, by protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from motet.data.archive import MotionArchive
from motet.engine.run import Run
from motet.memory.kmeans import spherical_kmeans
from motet.methods import discovery as discover
from motet.methods.discovery.clusters import estimate, joined
from motet.methods.discovery.data import sides
from motet.metrics.clusters import cluster_scores
from motet.reproduce.declare import Measure

CACHED = {"epochs": 80}


def frozen(streams: Sequence[str]) -> tuple[Measure, ...]:
    """Nearest neighbours and a cached linear probe, by stream and joined."""
    found = []
    for title, protocol, ensemble, options in (
        ("kNN", "knn", "concat", {}),
        ("linear", "linear-cached", "mean-logits", CACHED),
    ):
        for stream in streams:
            found.append(Measure(f"{title} {stream}", {"protocol": protocol, "stream": stream}, small=options))
        if len(streams) > 1:
            pick = {"protocol": protocol, "stream": "all", "ensemble": ensemble}
            found.append(Measure(f"{title} all", pick, small=options))
    return tuple(found)


def features(streams: Sequence[str]) -> tuple[Measure, ...]:
    """Nearest neighbours by stream and joined, a closed linear classifier on all of them."""
    knn = [Measure(f"kNN {stream}", {"protocol": "knn", "stream": stream}) for stream in streams]
    both = (("kNN all", "knn"), ("ridge all", "ridge"))
    return (*knn, *(Measure(name, {"protocol": p, "stream": "all", "ensemble": "concat"}) for name, p in both))


def semi(shares: Sequence[float], **options: Any) -> tuple[Measure, ...]:
    """Fine-tuning of the joint encoder on shares of the labels."""
    return tuple(
        Measure(f"{100 * s:g} %", {"protocol": "semi", "stream": "joint", "ratio": s}, small=options) for s in shares
    )


CLUSTERS = (("purity", "purity"), ("Hungarian", "hungarian_accuracy"), ("NMI", "nmi"), ("ARI", "ari"))


def clusters(stream: str, **pick: Any) -> tuple[Measure, ...]:
    """Scores of k-means."""
    base = {"protocol": "cluster", "stream": stream, "algorithm": "spherical k-means", **pick}
    return tuple(
        Measure(f"{title} {stream}", {**base, "metric": metric}, small={"unknown": False}) for title, metric in CLUSTERS
    )


EPOCHS = Measure("epochs", read=lambda run: float(Run.open(run).recipe.epochs), unit="")
SECONDS = Measure(
    "s an epoch", read=lambda run: float(median([m["seconds"] for m in Run.open(run).metrics()])), unit=""
)

RETRIEVAL = ("R@1", "R@5", "mAP")


def ensembles() -> tuple[Measure, ...]:
    """The three ways to join streams."""
    pick = {"protocol": "ensemble", "stream": "all"}
    return tuple(Measure(e, {**pick, "ensemble": e}) for e in ("mean-logits", "late-fusion", "late-mean"))


def retrieval() -> tuple[Measure, ...]:
    """Of the joint stream and of all together."""
    parts: tuple[tuple[str, dict[str, str]], ...] = (("joint", {}), ("all", {"ensemble": "concat"}))
    return tuple(
        Measure(f"{m} {stream}", {"protocol": "retrieval", "stream": stream, "metric": m, **more})
        for stream, more in parts
        for m in RETRIEVAL
    )


def clusterings() -> tuple[Measure, ...]:
    """k-means of the joint stream and of all together, and HDBSCAN."""
    pick = {"protocol": "cluster", "stream": "all", "ensemble": "concat", "algorithm": "HDBSCAN", "metric": "nmi"}
    hdbscan = Measure("HDBSCAN NMI all", pick, small={"unknown": True})
    return (*clusters("joint"), *clusters("all", ensemble="concat"), hdbscan)


def archives(run: Path) -> list[MotionArchive]:
    """Source and target of a discovery."""
    config = Run.open(run).config
    return [MotionArchive.open(config[side]["path"]) for side in ("source", "target")]


def sensor_purity(run: Path) -> float:
    """How far ten clusters of both sets together tell the sensors apart; one half would be not at all."""
    model = discover.load(run)
    features = [torch.from_numpy(model.shared(a)) for a in archives(run)]
    count = min(map(len, features))
    some = torch.cat([f[torch.linspace(0, len(f) - 1, count).long()] for f in features])
    made = spherical_kmeans(some, 10, iterations=100, restarts=10)
    return float(cluster_scores(np.repeat([0, 1], count), made.assignment)["purity"])


def estimated(run: Path) -> float:
    """The number of clusters that a pretraining suggests."""
    config, (source, target) = Run.open(run).config, archives(run)
    names = ("source_split", "target_split", "source_classes", "target_classes")
    train = torch.from_numpy(sides(source, target, **{n: config[n] for n in names}).train)
    features = joined([x[train] for x in discover.load(run).features(target)])
    return float(estimate(features, seed=config["settings"]["seed"])["clusters"])
