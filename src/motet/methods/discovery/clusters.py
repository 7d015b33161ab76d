"""Clusters of clean features: the start of the target classifiers, the k-means rows, and how many classes there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.data.loader import ClipStore
from motet.memory.kmeans import Clustering, spherical_kmeans
from motet.methods.discovery.step import Discovery
from motet.methods.discovery.views import whole_clips

ITERATIONS = 100
_ROWS = 256  # clips that are encoded together
_SAMPLE = 2000  # rows of which a silhouette is computed
_MOST = 20_000  # rows that are clustered for an estimate
_RUNS = 5  # k-means runs that are compared with each other
_COMPONENTS = 20  # principal components in which a number of clusters is looked for
_LARGEST = 60  # candidates end here, or at three times the root of the rows
FAR_APART = 0.8  # silhouette from which clusters are far apart
DOUBTFUL = (
    "doubtful: on nine sets of known classes such a number was off by a sixth on average and by two fifths at most; "
    "give --clusters where you know more"
)


@torch.no_grad()
def features(
    discovery: Discovery, stores: Sequence[ClipStore], ids: Tensor, *, teacher: bool = False
) -> tuple[Tensor, Tensor]:
    """(n, F) of each branch from clean clips; students in eval mode, which is undone afterwards.

    Args:
        discovery: the branches.
        stores: the target's clips in the common layout and in their own.
        ids: (n,) archive rows.
        teacher: of the teachers instead.
    """
    found = []
    for branch, store in zip(discovery.pair, stores, strict=True):
        encoder = (branch.teacher if teacher else branch.student)["encoder"]
        training = encoder.training
        encoder.eval()
        parts = [encoder(whole_clips(store, rows, discovery.settings.frames)) for rows in torch.split(ids, _ROWS)]
        encoder.train(training)
        found.append(torch.cat(parts))
    return found[0], found[1]


def joined(pair: Sequence[Tensor]) -> Tensor:
    """(n, F0 + F1): both branches' unit features side by side."""
    return torch.cat([normalize(x, dim=1) for x in pair], dim=1)


@torch.no_grad()
def initialise(discovery: Discovery, stores: Sequence[ClipStore], ids: Tensor, clusters: int) -> list[Clustering]:
    """Start the target classifiers at the centres of spherical k-means of the students' clean features; refresh banks.

    Centres become the weights, biases are zero. A method may cluster otherwise: MMT starts both branches from one.
    The place of a clip in the banks is its position in ``ids``.

    Raises:
        ConfigError: more clusters than clips, or the classifiers exist already.
    """
    if clusters > len(ids):
        raise ConfigError(
            f"{counted(clusters, 'cluster')} of {counted(len(ids), 'training clip')} of the target; lower --clusters "
            f"to at most {len(ids)}"
        )
    settings = discovery.settings
    pair = features(discovery, stores, ids)
    options: dict[str, Any] = {"iterations": ITERATIONS, "restarts": settings.kmeans_restarts, "seed": settings.seed}
    seen = [principal(x, settings.kmeans_components) for x in pair]
    made = discovery.labelling.clusterings(seen, clusters, **options)
    if settings.kmeans_components:
        made = [
            found._replace(centres=means(x, found.assignment, clusters)) for found, x in zip(made, pair, strict=True)
        ]
    weights = [clustering.centres for clustering in made]
    if not settings.initialise:
        weights = [_random_weights(w.shape, settings.seed).to(w) for w in weights]
    discovery.add_classifiers(weights)
    places = torch.arange(len(ids), device=pair[0].device)
    for branch, rows in zip(discovery.pair, features(discovery, stores, ids, teacher=True), strict=True):
        branch.write(places, rows)
    return made


def principal(x: Tensor, count: int) -> Tensor:
    """(n, F) → (n, count): the leading principal components; the features themselves for a count of 0 or F and more."""
    if not 0 < count < x.shape[1]:
        return x
    centred = x.double() - x.double().mean(dim=0)
    leading: Tensor = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -count:]
    return (centred @ leading).to(x.dtype)


def means(x: Tensor, assignment: Tensor, clusters: int) -> Tensor:
    """(K, F) unit mean directions of clusters of (n, F) features; zero where a cluster has no member."""
    member = torch.nn.functional.one_hot(assignment, clusters).to(x)
    return normalize(member.T @ normalize(x, dim=1), dim=1)


def _random_weights(shape: Sequence[int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.02 * torch.randn(*shape, generator=generator)


@dataclass(frozen=True)
class Candidate:
    """Evidence for one number of clusters.

    Attributes:
        clusters: K.
        stability: mean adjusted Rand index between k-means runs from different starts; 1: always the same clusters.
        silhouette: mean over clips of (b − a) / max(a, b), a and b the mean cosine distances to the clip's own and to
            the next cluster.
        small: share of the clusters with fewer clips than a quarter of N/K, a sign of too many.
        distinct: clusters that are left when similar ones are joined (:func:`distinct`); over-clustering shows
            in a number well below K.
        scatter: mean squared angle between a clip and the centre of its cluster, radians.
    """

    clusters: int
    stability: float
    silhouette: float
    small: float
    distinct: int
    scatter: float


def candidates_up_to(most: int) -> list[int]:
    """2, 3, 4, … at first, then in steps of about a tenth."""
    found = [2]
    while (following := found[-1] + max(1, found[-1] // 10)) <= most:
        found.append(following)
    return found


@torch.no_grad()
def estimate(x: Tensor, *, seed: int = 0, most: int | None = None) -> dict[str, Any]:
    """How many clusters features fall into, with the evidence.

    Every candidate is clustered from several starts in the twenty leading principal components. Where clusters are far
    apart, the largest sum of stability and silhouette is chosen; of those within 0.02 of it, the smallest number. Else
    it is the knee of the scatter: where its curve over the candidates is farthest below the line between its ends.
    More than 20,000 rows are represented by as many, evenly spaced.

    Args:
        x: (n, F).
        seed: of the starts.
        most: largest candidate; by default 3√n, at most 60.

    Returns:
        ``clusters``, ``says`` (one sentence) and ``evidence``, a list of :class:`Candidate` as dictionaries.

    Raises:
        ConfigError: fewer than three rows.
    """
    from sklearn.metrics import adjusted_rand_score

    if len(x) < 3:
        raise ConfigError(
            f"{counted(len(x), 'training clip')} of the target are too few to estimate a number of clusters"
        )
    limit = min(most or min(_LARGEST, int(3 * len(x) ** 0.5)), len(x) - 1)
    x = x[_spread(len(x), _MOST, x.device)]
    unit = normalize(principal(x.double(), _COMPONENTS), dim=1)
    some = _spread(len(x), _SAMPLE, x.device)
    found = []
    for k in candidates_up_to(max(2, limit)):
        runs = [spherical_kmeans(unit, k, iterations=50, seed=seed * _RUNS + r) for r in range(_RUNS)]
        labels = [r.assignment.cpu().numpy() for r in runs]
        agree = [float(adjusted_rand_score(labels[a], labels[b])) for a in range(_RUNS) for b in range(a)]
        best = min(runs, key=lambda r: float(r.inertia))
        sizes = torch.bincount(best.assignment, minlength=k)
        small = float((sizes < len(x) / k / 4).double().mean())
        apart = silhouette(unit[some], best.assignment[some])
        scatter = float(best.inertia) / len(unit)
        found.append(Candidate(k, sum(agree) / len(agree), apart, small, distinct(unit, best), scatter))
    top = max(found, key=lambda c: c.stability + c.silhouette)
    level = next(c for c in found if c.stability + c.silhouette >= top.stability + top.silhouette - 0.02)
    chosen = level if level.silhouette >= FAR_APART else knee(found)
    says = (
        f"{counted(chosen.clusters, 'cluster')}: k-means agrees on them from {_RUNS} starts (agreement "
        f"{chosen.stability:.2f}), silhouette {round(chosen.silhouette, 2) + 0.0:.2f}; candidates 2 … "
        f"{found[-1].clusters}"
    )
    if level.silhouette < FAR_APART:
        says += f"; {DOUBTFUL}"
    if level is not chosen:
        says += f"; most stable and apart are {level.clusters} ({level.stability:.2f} + {level.silhouette:.2f})"
    if chosen.distinct < chosen.clusters:
        says += f"; clips of different clusters are so similar that only {chosen.distinct} can be distinguished"
    return {"clusters": chosen.clusters, "says": says, "evidence": [asdict(c) for c in found]}


def knee(found: Sequence[Candidate]) -> Candidate:
    """Where more clusters begin to gain little: the scatter, which falls with their number, is there farthest below the
    line from the first to the last candidate (Satopää et al., Finding a "kneedle" in a haystack, 2011)."""
    first, last = found[0], found[-1]
    lowest = [min(c.scatter for c in found[: i + 1]) for i in range(len(found))]
    fall, span = lowest[0] - lowest[-1], last.clusters - first.clusters

    def below(place: int) -> float:
        along = (found[place].clusters - first.clusters) / max(1, span)
        return 1 - along - (lowest[place] - lowest[-1]) / max(fall, 1e-12)

    return found[max(range(len(found)), key=below)]


def _spread(count: int, most: int, device: torch.device) -> Tensor:
    """At most so many of ``count`` rows, evenly spaced."""
    places = torch.linspace(0, count - 1, min(most, count), dtype=torch.float64, device=device)
    some: Tensor = torch.unique(places.long())
    return some


def distinct(unit: Tensor, found: Clustering) -> int:
    """Clusters that are left when those are joined that are similar.

    Two are similar if the mean similarity of a clip of one and one of the other lies above the middle between that of
    any two clips and that of two clips of the same cluster (the looser one of both).

    Args:
        unit: (n, F) unit rows.
        found: their clusters.
    """
    member = torch.nn.functional.one_hot(found.assignment, len(found.centres)).to(unit)
    sizes = member.sum(dim=0)
    member, sizes = member[:, sizes > 0], sizes[sizes > 0]
    sums = member.T @ unit
    between = (sums @ sums.T) / (sizes[:, None] * sizes[None, :])
    # a clip is not compared with itself; a cluster of one is as tight as can be
    within = ((sums.square().sum(dim=1) - sizes) / (sizes * (sizes - 1)).clamp_min(1)).masked_fill(sizes == 1, 1.0)
    count = len(unit)
    any_two = (unit.sum(dim=0).square().sum() - count) / (count * (count - 1))
    # features that are all the same are similar, whatever rounding says
    indistinct = between > (any_two + torch.minimum(within[:, None], within[None, :])) / 2 - 1e-9
    return int(connected_components(indistinct.cpu().numpy(), directed=False)[0])


def silhouette(unit: Tensor, labels: Tensor) -> float:
    """Mean silhouette of unit rows under cosine distance (Rousseeuw 1987); a clip alone in its cluster counts 0.

    Args:
        unit: (n, F) unit rows.
        labels: (n,) int64.
    """
    member = torch.nn.functional.one_hot(labels).to(unit)
    sizes = member.sum(dim=0)
    # mean distance to a cluster: 1 − x·(sum of its rows)/size
    total = sizes - unit @ (member.T @ unit).T
    mine = labels[:, None]
    own = sizes[labels]
    inside = total.gather(1, mine).squeeze(1) / (own - 1).clamp_min(1)
    outside = (total / sizes.clamp_min(1)).masked_fill(sizes == 0, torch.inf).scatter(1, mine, torch.inf).amin(dim=1)
    value = (outside - inside) / torch.maximum(inside, outside).clamp_min(1e-12)
    value = torch.where((own > 1) & outside.isfinite(), value, torch.zeros_like(value))
    return float(value.mean())
