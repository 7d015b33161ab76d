"""What was found, for a reader: a table of clips, what each cluster is like, and the scores as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.methods.discovery.clusters import features
from motet.methods.discovery.data import Clips
from motet.methods.discovery.scores import BRANCHES, METRICS, predict
from motet.methods.discovery.step import Discovery

TYPICAL = 8  # clips named for each cluster
NEIGHBOURS = 2
CLEAR = 2.0  # a share of a class of the source that counts as a likeness, in multiples of chance
FEW = 0.05  # share of the clips that fit their cluster least: "fit nowhere"


class Description(NamedTuple):
    """What was found.

    Attributes:
        table: a row per target clip: ``name``, ``side`` (train, test), and for each branch ``B0``, ``B0_similarity``
            (cosine to the mean direction of its cluster), ``B0_outlier`` (among the few that fit nowhere), likewise B1.
        clusters: ``{"B0": [{"cluster", "size", "typical", "neighbours", "resembles", "known"}, …], "B1": …}``; "known":
            how many classes the source has.
        centres: (K, F) mean direction of each branch's clusters, zero for an empty one.
        outlier_below: similarity below which a clip fits nowhere, by branch.
    """

    table: pl.DataFrame
    clusters: dict[str, list[dict[str, Any]]]
    centres: tuple[Tensor, Tensor]
    outlier_below: dict[str, float]


@torch.no_grad()
def describe(discovery: Discovery, clips: Clips, source: MotionArchive, target: MotionArchive) -> Description:
    """A row per target clip, and per branch the clusters."""
    ids = torch.from_numpy(np.union1d(clips.sides.train, clips.sides.test))
    pair = features(discovery, clips.target, ids)
    names = target.clips["name"].gather(ids.numpy())
    side = np.where(np.isin(ids.numpy(), clips.sides.train), "train", "test")
    columns: dict[str, Any] = {"name": names, "side": side}
    described: dict[str, list[dict[str, Any]]] = {}
    below: dict[str, float] = {}
    shared = discovery.pair[0]
    assert shared.source_classifier is not None
    known = torch.softmax(shared.source_classifier(pair[0]), dim=1)
    words = [source.class_names[c] for c in clips.sides.source_classes]
    found = []
    for name, x, labels in zip(BRANCHES, pair, predict(discovery, pair), strict=True):
        unit = normalize(x, dim=1)
        clusters = discovery.pair[0].clusters
        member = torch.nn.functional.one_hot(labels, clusters).to(unit)
        centres = normalize(member.T @ unit, dim=1)
        fit = (unit * centres[labels]).sum(dim=1)
        order = fit.argsort()
        few = int(FEW * len(fit))
        outlier = torch.zeros(len(fit), dtype=torch.bool)
        outlier[order[:few].cpu()] = True
        below[name] = float(fit[order[few]])
        columns |= {
            name: labels.cpu().numpy(),
            f"{name}_similarity": fit.cpu().numpy(),
            f"{name}_outlier": outlier.numpy(),
        }
        described[name] = [_cluster(k, labels, fit, centres, names, known, words) for k in range(clusters)]
        found.append(centres)
    return Description(pl.DataFrame(columns), described, (found[0], found[1]), below)


def _cluster(
    number: int, labels: Tensor, fit: Tensor, centres: Tensor, names: pl.Series, known: Tensor, words: list[str]
) -> dict[str, Any]:
    rows = (labels == number).nonzero().squeeze(1)
    found: dict[str, Any] = {"cluster": number, "size": len(rows), "typical": [], "neighbours": [], "resembles": []}
    found["known"] = len(words)
    if len(rows) == 0:
        return found
    best = rows[fit[rows].argsort(descending=True)[:TYPICAL]].tolist()
    found["typical"] = [names[i] for i in best]
    near = centres @ centres[number]
    others = [k for k in near.argsort(descending=True).tolist() if k != number and bool(centres[k].any())]
    found["neighbours"] = [{"cluster": k, "similarity": round(float(near[k]), 4)} for k in others[:NEIGHBOURS]]
    share = known[rows].mean(dim=0)
    top = share.topk(min(3, len(words))).indices.tolist()
    found["resembles"] = [{"class": words[c], "share": round(float(share[c]), 4)} for c in top]
    return found


def likeness(cluster: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The classes of the source that a cluster resembles, those near chance left out.

    A share near chance, 1 / classes, is what a classifier says of clips that it cannot place at all.
    """
    chance = 1 / cluster["known"] if cluster.get("known") else 0.0
    least = min(CLEAR * chance, (1 + chance) / 2)  # of two or three classes twice the chance would be all
    return [r for r in cluster["resembles"] if r["share"] >= least]


def resembling(cluster: Mapping[str, Any]) -> str:
    """The same in words; numbers that serve as names of classes are said to be such."""
    if not cluster["size"]:
        return "nothing, it is empty"
    words = (f"{class_word(r['class'])} {100 * r['share']:.0f} %" for r in likeness(cluster))
    return ", ".join(words) or "nothing clearly"


def figure(value: float) -> str:
    """Two decimals, without a minus before zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def class_word(name: str) -> str:
    """A class's name as it stands next to figures: ``class 9:`` for a mere number."""
    return f"class {name}:" if name.isdecimal() else name


def beginning(result: Mapping[str, Any]) -> str:
    """When the first scores were taken: a discovery that starts from weights has no pretraining."""
    return "after pretraining" if result["settings"]["epochs"] else "before fine-tuning"


def report(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    target, k = result["target"], result["k"]
    how = f"estimated: {result['estimated']['says']}" if result["estimated"] else "given"
    lines = [
        f"# {result['method']}: {result['source']['name']} → {target['name']}",
        "",
        f"{counted(k, 'cluster')} ({how}). {_trained(result)}; "
        f"{result['source']['clips']} labelled source clips; {len(result['joints'])} shared joints.",
        "",
    ]
    if result.get("sizes"):
        lines += [f"Sizes: {result['sizes']}.", ""]
    if any(result["simulated"]):
        lines += ["Simulated recordings are among the data.", ""]
    if result["rows"]:
        lines += ["| branch | clusters by | purity | Hungarian accuracy | NMI | ARI |", "|---|---|---|---|---|---|"]
        for stage, rows in ((f"{beginning(result)}: ", result["pretrained"]), ("", result["rows"])):
            for row in rows:
                values = " | ".join(f"{round(100 * row[m], 1) + 0.0:.1f}" for m in METRICS)
                lines.append(f"| {row['branch']} | {stage}{row['by']} | {values} |")
        for row in result.get("baselines", ()):  # none in results of an earlier version
            values = " | ".join(f"{round(100 * row[m], 1) + 0.0:.1f}" for m in METRICS)
            lines.append(f"| none: {row['features']} | {row['by']} | {values} |")
        lines.append("")
    if result.get("warning"):
        lines += [f"**{result['warning']}**", ""]
    lines += _evidence(result)
    for branch, clusters in result["clusters"].items():
        lines += [f"## Clusters of {branch}", "", "| cluster | clips | nearest | resembles | typical clips |"]
        lines.append("|---|---|---|---|---|")
        for c in clusters:
            like = resembling(c)
            near = ", ".join(f"{n['cluster']} ({figure(n['similarity'])})" for n in c["neighbours"])
            lines.append(f"| {c['cluster']} | {c['size']} | {near} | {like} | {', '.join(c['typical'][:3])} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _evidence(result: dict[str, Any]) -> list[str]:
    """The table on which an estimated number of clusters rests."""
    if not result["estimated"]:
        return []
    heads = ("clusters", "scatter", "stability", "silhouette", "distinct", "far too small")
    lines = ["## How many clusters?", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for c in result["estimated"]["evidence"]:
        number = f"**{c['clusters']}**" if c["clusters"] == result["k"] else str(c["clusters"])
        scatter = figure(c["scatter"]) if "scatter" in c else "–"  # none in results of an earlier version
        apart, small = figure(c["silhouette"]), f"{100 * c['small']:.0f} %"
        cells = (number, scatter, figure(c["stability"]), apart, str(c["distinct"]), small)
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _trained(result: dict[str, Any]) -> str:
    """The sentence on who trained; a result of an older version has none."""
    target = result["target"]
    plain = f"{counted(target['train'], 'clip')} of the target trained, {target['scored']} were evaluated"
    sentence = str(result["split"].get("says", plain))
    return sentence[:1].upper() + sentence[1:]
