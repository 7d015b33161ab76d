"""Reports of random walks: skeleton-like clips and plausible numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from motet.data.skeletons import Skeleton
from motet.report import ClipMap, Confusion, Curve, Fact, Motion, ReportData, Row, maps

BODY = Skeleton(
    name="stick",
    joints=("hip", "neck", "head", "left_hand", "right_hand", "left_foot", "right_foot"),
    parents=(-1, 0, 1, 1, 1, 0, 0),
    mirror=((3, 4), (5, 6)),
    up="+y",
)
SENSOR = Skeleton("watch", ("accelerometer", "gyroscope"), (-1, -1), up=None, kind="sensor")
POSE = np.array([[0, 0, 0], [0, 0.5, 0], [0, 0.7, 0], [0.4, 0.3, 0], [-0.4, 0.3, 0], [0.2, -0.9, 0], [-0.2, -0.9, 0]])


def walks(
    count: int, *, frames: int = 30, persons: int = 1, skeleton: Skeleton = BODY, seed: int = 0
) -> list[np.ndarray]:
    """(frames, persons, V, 3) clips: a pose plus a slow random walk of every joint."""
    rng = np.random.default_rng(seed)
    pose = POSE if len(skeleton) == len(POSE) else rng.normal(size=(len(skeleton), 3))
    steps = rng.normal(size=(count, frames, persons, len(skeleton), 3)) * 0.02
    return list((pose + steps.cumsum(1)).astype(np.float32))


def made_up(count: int = 40, classes: int = 4, *, motion: Motion | None = None, seed: int = 0) -> ReportData:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    features = rng.normal(size=(count, 8)) + 3 * np.eye(8)[labels % 8]
    clusters = maps.cluster(features, classes, seed)
    near, similar = maps.nearest(features, 5)
    confusion = np.full((classes, classes), 1) + 9 * np.eye(classes, dtype=int)
    names = [f"class {i}" for i in range(classes)]
    return ReportData(
        title="CMD on walks",
        method="CMD",
        recipe=[Fact("Epochs", "12", "passes over the training clips")],
        dataset=[Fact("Test clips", str(count))],
        licence="CC0",
        class_names=names,
        rows=rows(),
        test_clips=400,
        guess=100 / classes,
        curves=[
            Curve("Loss", "falls", "epoch", {"loss": [(i, 5 / (i + 1)) for i in range(12)]}),
            Curve("Parts", "sum up", "epoch", {f"term {k}": [(i, k / (i + 1)) for i in range(12)] for k in range(10)}),
        ],
        confusion=Confusion(confusion, names, "knn"),
        clip_map=ClipMap(
            features[:, :2] / 9, labels, clusters, [f"clip_{i:03d}" for i in range(count)], near, similar,
            total=count, source="CMD", scores={"purity": 0.9, "nmi": 0.8},
        ),
        motion=motion or Motion(BODY, ("x", "y", "z"), walks(count), 30.0, "m"),
        command="motet pretrain cmd --data walks --out run",
        reproduce=[Fact("Seed", "0")],
    )  # fmt: skip


def rows(learned: float = 84.0, raw: float = 70.0, random: float = 60.0, sd: float = 0.5) -> list[Row]:
    def around(mean: float) -> tuple[float, ...]:
        return (mean - sd, mean, mean + sd)

    return [
        Row("knn", "CMD", "joint", around(learned - 9), over="runs"),
        Row("linear", "CMD", "joint", around(learned - 4), around(learned - 3), over="runs"),
        Row("linear", "CMD", "joint+bone", around(learned), around(learned + 1), "mean-logits", over="runs"),
        Row("linear", "random", "joint", around(random), over="initialisations"),
        Row("linear", "raw", "joint", (raw,)),
        Row("knn", "raw", "joint", (raw - 5,)),
    ]


def with_rows(data: ReportData, new: list[Row], test_clips: int | None = 400) -> ReportData:
    return replace(data, rows=new, test_clips=test_clips)
