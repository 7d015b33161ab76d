"""What plain k-means finds without a discovery: on raw coordinates, an untrained encoder, weights of the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.splits import split
from motet.engine.hub import shipped
from motet.engine.model import load
from motet.memory.kmeans import spherical_kmeans
from motet.methods import recipes
from motet.methods.discovery.clusters import ITERATIONS
from motet.methods.discovery.scores import RESTARTS, score_row
from motet.methods.fitting import fit_to_layout
from motet.methods.model import Model
from motet.metrics.clusters import cluster_scores
from motet.metrics.knn import standardisation

BODY = "body"
RAW, UNTRAINED, WEIGHTS = "raw coordinates", "an untrained encoder", f"the weights {BODY}"


def baselines(target: MotionArchive, ids: Tensor, labels: Tensor, clusters: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of scores of spherical k-means on features that no discovery has made, the means of ten single starts.

    Features are those of the small recipes' streams, each standardised over the scored clips and of length one, side by
    side; in the form that the weights of the package read where the layout allows it.

    Args:
        target: the archive whose classes are wanted.
        ids: (n,) its rows to score.
        labels: (n,) their classes.
        clusters: K.
        seed: of the untrained encoder and of k-means.
    """
    model, trained = _model(target)
    store = model.store(target, ids)
    sets = {RAW: model.raw(store, ids), UNTRAINED: model.untrained(seed).encode(store, ids)}
    if trained:
        sets[WEIGHTS] = model.encode(store, ids)
    truth, rows = labels.cpu().numpy(), []
    for name, streams in sets.items():
        x = _side_by_side(streams)
        found = []
        for start in range(RESTARTS):
            made = spherical_kmeans(x, min(clusters, len(x)), iterations=ITERATIONS, seed=RESTARTS * seed + start)
            found.append(cluster_scores(truth, made.assignment))
        rows.append(score_row(name, "+".join(streams), "kmeans", found))
    return rows


def _model(target: MotionArchive) -> tuple[Model, bool]:
    """The weights of the package, or untrained encoders in the form of a small recipe where these cannot read it."""
    if BODY in shipped():
        model: Model = load(BODY, kinds=("pretrain",))
        try:
            model.check(target)
        except ConfigError:
            pass
        else:
            return model, True
    recipe = fit_to_layout(recipes.get("cmd/small"), target, split(target, "all"))
    return Model.fresh(recipe, target), False


def _side_by_side(streams: Mapping[str, Tensor]) -> Tensor:
    parts = []
    for features in streams.values():
        shift, gain = standardisation(features.double())
        parts.append(normalize((features.double() - shift) * gain, dim=1).float())
    return torch.cat(parts, dim=1)


def verdict(rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> str:
    """One line where plain k-means does better than everything that a discovery found; empty where it does not."""
    if not rows or not others:
        return ""
    best, plain = (max(side, key=lambda row: row["nmi"]) for side in (rows, others))
    if best["nmi"] >= plain["nmi"]:
        return ""
    return (
        f"Plain k-means on {plain['features']} does better than this discovery: NMI {100 * plain['nmi']:.1f} against "
        f"{100 * best['nmi']:.1f}, accuracy {100 * plain['hungarian_accuracy']:.1f} against "
        f"{100 * best['hungarian_accuracy']:.1f}."
    )
