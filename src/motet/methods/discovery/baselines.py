"""What plain k-means finds without a discovery: on raw coordinates, an untrained encoder, weights of the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.text import pasted
from motet.data.archive import MotionArchive
from motet.data.splits import split
from motet.memory.kmeans import spherical_kmeans
from motet.methods import recipes
from motet.methods.discovery.clusters import ITERATIONS
from motet.methods.discovery.scores import RESTARTS, score_row
from motet.methods.fitting import fit_to_layout
from motet.methods.model import Model
from motet.methods.start import USUAL, Start
from motet.methods.whitening import WHITEN, whiten
from motet.metrics.clusters import cluster_scores

RAW, UNTRAINED, WEIGHTS = "raw coordinates", "an untrained encoder", "the weights "


def baselines(
    target: MotionArchive, ids: Tensor, labels: Tensor, clusters: int, seed: int = 0, train: Tensor | None = None
) -> list[dict[str, Any]]:
    """Rows of scores of spherical k-means on features that no discovery has made, the best of ten starts.

    Features are those of the small recipes' streams, each of length one, side by side, as `motet evaluate` has them; in
    the form that the weights of the package read where the layout allows it.

    Args:
        target: the archive whose classes are wanted.
        ids: (n,) its rows to score.
        labels: (n,) their classes.
        clusters: K.
        seed: of the untrained encoder and of k-means.
        train: (m,) rows of the training clips, which whiten the untrained encoder; those to score by default.
    """
    model, shipped = reference(target)
    train = ids if train is None else train
    store = model.store(target, torch.unique(torch.cat([ids, train])))
    untrained = model.untrained(seed)
    whiten(untrained, store, train, seed=seed, shrinkage=model.recipe.whiten or WHITEN)
    sets = {RAW: model.raw(store, ids), UNTRAINED: untrained.encode(store, ids)}
    if shipped:
        sets[WEIGHTS + shipped] = model.encode(store, ids)
    truth, rows = labels.cpu().numpy(), []
    for name, streams in sets.items():
        x = torch.cat([normalize(features, dim=1) for features in streams.values()], dim=1)
        made = spherical_kmeans(x, min(clusters, len(x)), iterations=ITERATIONS, restarts=RESTARTS, seed=seed)
        scores = [cluster_scores(truth, made.assignment)]
        rows.append(score_row(name, "+".join(streams), "kmeans", scores, restarts=RESTARTS))
    return rows


def reference(target: MotionArchive) -> tuple[Model, str]:
    """The weights of the package that read it and their name, else untrained encoders in the form of a small recipe."""
    found = next(Start.reading([target]), None)
    if found is not None:
        return found.model, found.name
    recipe = fit_to_layout(recipes.get("cmd/small"), target, split(target, "all"))
    return Model.fresh(recipe, target), ""


def verdict(
    rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], target: str | Path = "TARGET"
) -> str:
    """One line where plain k-means is above every answer of a discovery by NMI or accuracy; empty where it is not.

    Answers are those of the classifiers, of a method without any its k-means. The line ends with what to type: for
    the figures of k-means, and for the features of weights.
    """
    answers = [row for row in rows if row["by"] == "classifier"] or rows
    if not answers or not others:
        return ""
    for metric, word in (("nmi", "NMI"), ("hungarian_accuracy", "accuracy")):
        best, plain = (max(side, key=lambda row: row[metric]) for side in (answers, others))
        if plain[metric] > best[metric]:
            named = plain["features"].removeprefix(WEIGHTS)
            shipped = [name for name in USUAL if any(row["features"] == WEIGHTS + name for row in others)]
            given = named if named in USUAL else [*shipped, "RUN"][0]
            remedy = f"`motet evaluate {given} --data {pasted(target)} --protocols cluster` has its figures"
            if named in USUAL:
                remedy += f", `motet embed {named} {pasted(target)} --out features.npz` the features to cluster"
            return (
                f"Plain k-means on {plain['features']} has a better {word} than this discovery: NMI "
                f"{100 * plain['nmi']:.1f} against {100 * best['nmi']:.1f}, accuracy "
                f"{100 * plain['hungarian_accuracy']:.1f} against {100 * best['hungarian_accuracy']:.1f}: "
                f"{remedy}."
            )
    return ""


def lost(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> str:
    """One line where fine-tuning has made the classifiers of a branch worse, by NMI and accuracy; empty elsewhere."""
    ended = {row["branch"]: row for row in after if row["by"] == "classifier"}
    said = []
    for row in before:
        end = ended.get(row["branch"])
        if row["by"] != "classifier" or end is None:
            continue
        if end["nmi"] < row["nmi"] and end["hungarian_accuracy"] < row["hungarian_accuracy"]:
            said.append(
                f"{row['branch']} NMI {100 * row['nmi']:.1f} → {100 * end['nmi']:.1f}, accuracy "
                f"{100 * row['hungarian_accuracy']:.1f} → {100 * end['hungarian_accuracy']:.1f}"
            )
    return f"Fine-tuning made clusters worse ({'; '.join(said)}): `--finetune-epochs 0` leaves it out." if said else ""
