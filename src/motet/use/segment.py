"""States of recordings without labels: what recurs, when it begins, how many there are.

Adjacent moments are merged bottom-up into pieces, pieces of all recordings are clustered together (Ward 1963,
https://doi.org/10.1080/01621459.1963.10500845, then k-means from there), and a hidden semi-Markov model moves the
borders: means, durations and transitions are those of the pieces.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError
from motet.core.files import refuse_existing
from motet.core.units import METRES
from motet.data.archive import MotionArchive
from motet.evaluate.segmentation import segments
from motet.use.durations import Chain, Durations
from motet.use.encoded import features_named
from motet.use.predict import write_table
from motet.use.signals import Layout, long_enough, present, recorded, signals
from motet.use.windows import Float, Rocket, Statistics, window_means

Integers = npt.NDArray[np.int64]
Look = Callable[[Float], list[Float]]
LAGS = (0.06, 0.12, 0.25, 0.5)
DIMENSIONS = 30
_FLOOR = 0.02  # added to deviations before their logarithm, in metres or in units that have none
_STILL = 0.25  # the same for sensors, in deviations of the node
_EVIDENCE = 6.0  # of all moments of a piece that lasts as long as pieces do on average
MOST = 60
_RECURRING = 0.98
_WORTH = 0.028
_FEW, _EVEN, _UNEVEN = 4, 0.15, 1 / 3  # states, how evenly people share so few, and more
_NOISE = 0.1  # of all variance; what is left unexplained counts as this much at least
DOUBT = (0.05, 0.02)
"""what the last state could as well be asked to be worth, from few states to many."""
COLUMNS = ("recording", "start", "end", "state")


@dataclass(frozen=True)
class States:
    """What recurs in an archive.

    Attributes:
        table: recording, start, end (seconds), state.
        count: K, the number of states.
        evidence: for each number of states that was tried, the share of time in states that recur.
        worth: for each, the share of what the states leave unexplained (variance within them, a tenth of all at least)
            that comes back without the last one. The largest number is chosen of which at least .98 recur and the last
            is worth .028. Where people share few states of sensors evenly (:func:`unevenness`), there are only numbers
            of states that they share.
        labels: (n,) state of each tick of each recording, -1 where nothing was recorded or which is too short.
        layout: of the recordings.
        limited: the number was not given and is the largest that was tried, so there may be more.
    """

    table: pl.DataFrame
    count: int
    evidence: dict[int, float]
    worth: dict[int, float]
    labels: list[Integers]
    layout: Layout
    limited: bool = False

    @property
    def between(self) -> tuple[int, int] | None:
        """The smallest and the largest number of states that could as well have been chosen: where the last is worth
        .05 and .02. None where the number was given."""
        if not self.worth:
            return None
        few, many = (largest_number(self.evidence, self.worth, least) for least in DOUBT)
        return few, many


def segment(
    archive: str | Path | MotionArchive,
    out: str | Path | None = None,
    *,
    states: int | None = None,
    most: int = MOST,
    shortest: float = 3.0,
    features: str | None = None,
    track: str | None = None,
    overwrite: bool = False,
) -> States:
    """Recurring states of all recordings of an archive, shared across them.

    Args:
        archive: recordings of one layout.
        out: CSV to write: recording, start, end (seconds), state.
        states: K; by default the largest number of states that recur, in other recordings or (of one recording) later,
            of which the last explains something.
        most: largest number of states that is tried, where ``states`` is not given.
        shortest: seconds that a piece lasts on average before pieces are clustered: more gives fewer, longer bouts.
            Features look at half as much, unless they are named.
        features: features of moments: ``raw``, ``statistics``, ``rocket``, weights of the package, or a run; by
            default means, deviations and changes over half of ``shortest``.
        track: also store the states as this label track (``state 0`` …), to be named and fitted later.
        overwrite: replace a file or track that is there.

    Raises:
        ConfigError: fewer pieces than states, unknown features, or something is there already.
        DataError: all recordings are shorter than a window.
        RunError: features of a folder that is no run.

    Warns:
        MotetWarning: names recordings that are shorter than a window, which have no states.
    """
    if out is not None:
        refuse_existing(out, overwrite, ".csv")
    source = MotionArchive.open(archive)
    if track is not None:
        source.tracks.refuse_existing(track, overwrite)
    for name, number in (("states", states), ("most", most)):
        if number is not None and number < 2:
            raise ConfigError(f"{name} is {number}; there must be at least 2")
    if not shortest > 0:
        raise ConfigError(f"shortest is {shortest}; it must be a positive number of seconds")
    layout = Layout.of(source)
    rows = long_enough(source, range(len(source)), shortest / 2)
    frames = list(map(recorded(source, layout), rows))
    look = looker(source, features, watcher(frames, source, shortest / 2))
    seen = [look(f) for f in frames]
    if layout.skeleton.kind == "sensor":
        seen = centred(seen, source.clips["subject"][rows].to_list())
    z = embedded(seen)
    step = layout.hop / layout.fps
    pieces = [(r, a, b) for r, x in enumerate(z) for a, b in merged(x, max(1, round(len(x) * step / shortest)))]
    count, evidence, worth, own = clustered(z, pieces, states, source, most, rows)
    labels = [np.full(layout.ticks(n), -1) for n in source.lengths.tolist()]
    for row, shown, found in zip(rows, frames, refined(z, pieces, own, count, _EVIDENCE / shortest), strict=True):
        labels[row] = np.where(present(shown)[layout.centres(len(shown))], found, -1)
    table = _bouts(source, labels, layout)
    if out is not None:
        write_table(table, out)
    if track is not None:
        named = table.with_columns(label=pl.format("state {}", "state"), rater=pl.lit("motet"))
        source.tracks.save(track, named.drop("state"))
    return States(table, count, evidence, worth, labels, layout, limited=bool(evidence) and count == max(evidence))


def _bouts(archive: MotionArchive, labels: Sequence[Integers], layout: Layout) -> pl.DataFrame:
    """The table of states from those of each tick of each recording."""
    step, rows = layout.hop / layout.fps, []
    for name, frames, own in zip(archive.clips["name"], archive.lengths.tolist(), labels, strict=True):
        rows += [(name, a * step, min(b * step, frames / layout.fps), k) for k, a, b in segments(own)]
    kinds = dict(zip(COLUMNS, (pl.String, pl.Float64, pl.Float64, pl.Int64), strict=True))
    return pl.DataFrame(rows, schema=kinds, orient="row")


def looker(archive: MotionArchive, features: str | None, usual: Look) -> Look:
    """Frames of a recording → kinds of features of every tick, by their name or the ``usual`` ones.

    What an encoder gives has one scale; statistics and random convolutions have one a column.
    """
    layout = Layout.of(archive)
    if features is None:
        return usual
    dense = features_named(features, archive)
    if isinstance(dense, Statistics | Rocket):
        return lambda frames: list(dense(frames, layout).T[:, :, None])
    return lambda frames: [dense(frames, layout)]


def watcher(recordings: Sequence[Float], archive: MotionArchive, window: float) -> Look:
    """The :func:`moments` by which states are seen.

    Sensors have units of their own, so each node's signals are divided by its deviation over all recordings; and how it
    is held counts as much as all kinds of movement together.
    """
    layout = Layout.of(archive)
    if layout.skeleton.kind != "sensor":
        return lambda frames: moments(frames, layout, window, LAGS, floor=still(archive))
    scale = spread(recordings, layout)

    def look(frames: Float) -> list[Float]:
        held, *moved = moments(frames, layout, window, LAGS, scale, _STILL)
        return [held] * len(moved) + moved

    return look


def still(archive: MotionArchive) -> float:
    """What is added to deviations of signals of an archive before their logarithm."""
    return _FLOOR / METRES.get(archive.units, 1.0)


def spread(recordings: Sequence[Float], layout: Layout) -> npt.NDArray[np.float64]:
    """(S,) deviation of each signal of sensors, one for the axes of a node and its magnitude."""
    first, second, count = 0.0, 0.0, 0
    for frames in recordings:
        x = frames[present(frames)].reshape(-1, layout.persons * len(layout.skeleton), layout.channels)
        first, second, count = (
            first + x.sum(axis=0, dtype=float),
            second + (x.astype(float) ** 2).sum(axis=0),
            count + len(x),
        )
    nodes = np.sqrt(np.maximum(second / count - (first / count) ** 2, 1e-12).mean(axis=1))
    return np.concatenate([np.repeat(nodes, layout.channels), nodes])


def moments(
    frames: Float,
    layout: Layout,
    window: float,
    lags: Sequence[float],
    scale: npt.NDArray[np.float64] | float = 1.0,
    floor: float = _FLOOR,
) -> list[Float]:
    """Kinds of features of every tick: means over ``window`` seconds, logarithms of deviations and of changes.

    A logarithm, because a movement is twice another whether both are large or small; signals are divided by ``scale``
    and ``floor`` is added first.
    """
    x, steps = signals(frames, layout), sorted({max(1, round(s * layout.fps)) for s in lags})
    at, width = layout.centres(len(x)), max(2, round(window * layout.fps))
    scale = np.broadcast_to(scale, x.shape[1])
    offset = x.mean(axis=0, dtype=np.float64) / scale
    found = np.empty((2 + len(steps), len(at), x.shape[1]))
    for column in range(x.shape[1]):  # one by one, for memory
        own = x[:, column, None] / scale[column]
        centred = own - offset[column]
        mean = window_means(centred, at, width)
        square = window_means(np.square(centred, out=centred), at, width)
        kinds = [np.sqrt(np.maximum(square - mean**2, 0))]
        for lag in steps:
            change = np.zeros_like(own)
            change[lag:] = (own[lag:] - own[:-lag]) ** 2
            kinds.append(np.sqrt(window_means(change, at, width)))
        found[0, :, column] = mean[:, 0] + offset[column]
        found[1:, :, column] = np.log(np.concatenate(kinds, axis=1) + floor).T
    return list(found)


def centred(recordings: Sequence[list[Float]], people: Sequence[int]) -> list[list[Float]]:
    """Kinds of features about each person's own mean, as everyone wears a sensor differently."""
    found = [list(r) for r in recordings]
    for person in set(people):
        own = [i for i, p in enumerate(people) if p == person]
        for kind in range(len(recordings[0])):
            mean = np.concatenate([recordings[i][kind] for i in own]).mean(axis=0)
            for i in own:
                found[i][kind] = recordings[i][kind] - mean
    return found


def embedded(recordings: Sequence[list[Float]]) -> list[npt.NDArray[np.float64]]:
    """(n, D) of each recording: kinds of features scaled to equal variance, then principal components of all."""
    lengths, widths = [len(r[0]) for r in recordings], [k.shape[1] for k in recordings[0]]
    whole, end = np.empty((sum(lengths), sum(widths))), 0
    for kind, width in enumerate(widths):
        x = np.concatenate([r[kind] for r in recordings])
        whole[:, end : end + width] = (x - x.mean(axis=0)) / (np.sqrt(x.var(axis=0).mean()) + 1e-9)
        end += width
    _, vectors = np.linalg.eigh(whole.T @ whole)
    z = whole @ vectors[:, ::-1][:, :DIMENSIONS]
    return np.split(z, np.cumsum(lengths)[:-1])


def merged(x: npt.NDArray[np.float64], count: int, atom: int = 3) -> list[tuple[int, int]]:
    """(start, end) of ``count`` pieces of one recording: neighbours whose merging adds least variance, again and again.

    Args:
        x: (n, D) moments.
        count: pieces wanted.
        atom: moments of the smallest piece.
    """
    starts = list(range(0, len(x), atom))
    ends = [*starts[1:], len(x)]
    total = [x[a:b].sum(axis=0) for a, b in zip(starts, ends, strict=True)]
    after, before = [*range(1, len(starts)), -1], [-1, *range(len(starts) - 1)]
    alive, version = [True] * len(starts), [0] * len(starts)

    def cost(a: int, b: int) -> float:
        n, m = ends[a] - starts[a], ends[b] - starts[b]
        return float(n * m / (n + m) * ((total[a] / n - total[b] / m) ** 2).sum())

    heap = [(cost(i, i + 1), i, i + 1, 0, 0) for i in range(len(starts) - 1)]
    heapq.heapify(heap)
    left = len(starts)
    while left > count and heap:
        _, a, b, va, vb = heapq.heappop(heap)
        if not (alive[a] and alive[b] and version[a] == va and version[b] == vb):
            continue
        ends[a], total[a], alive[b], after[a] = ends[b], total[a] + total[b], False, after[b]
        version[a], left = version[a] + 1, left - 1
        if after[a] >= 0:
            before[after[a]] = a
            heapq.heappush(heap, (cost(a, after[a]), a, after[a], version[a], version[after[a]]))
        if before[a] >= 0:
            heapq.heappush(heap, (cost(before[a], a), before[a], a, version[before[a]], version[a]))
    return [(starts[i], ends[i]) for i in range(len(starts)) if alive[i]]


def clustered(
    z: Sequence[npt.NDArray[np.float64]],
    pieces: Sequence[tuple[int, int, int]],
    states: int | None,
    archive: MotionArchive,
    most: int = MOST,
    rows: Sequence[int] | slice = slice(None),
) -> tuple[int, dict[int, float], dict[int, float], Integers]:
    """Number of states, evidence and worth of each number that was tried, and the state of each piece.

    Recordings of ``z`` are the ``rows`` of the archive.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(pieces) < (states or 3):
        raise ConfigError(
            f"{archive.path}: too few pieces ({len(pieces)}) for {states or 'several'} states; lower --shortest or "
            "bring more recordings"
        )
    means = np.stack([z[r][a:b].mean(axis=0) for r, a, b in pieces])
    tree = linkage(means, "ward")

    def cut(count: int) -> Integers:
        return np.asarray(fcluster(tree, count, "maxclust") - 1, dtype=np.int64)

    weight = np.array([b - a for _, a, b in pieces], dtype=float)
    if states is not None:
        return states, {}, {}, nearest(means, weight, cut(states))
    tried: Sequence[int] = range(2, min(most, len(pieces) - 1) + 1)
    evidence = {k: recurring(pieces, cut(k), len(z)) for k in tried}
    if archive.skeleton.kind == "sensor":
        people = archive.clips["subject"].fill_null(-1).to_numpy()[rows]
        uneven = {k: unevenness(pieces, cut(k), people) for k in tried}
        if (
            uneven.get(_FEW, 1.0) <= _EVEN
        ):  # people did the same things, so states that they do not share are ways of doing them
            tried = [k for k in tried if uneven[k] <= _UNEVEN]
    added = tree[:, 2] ** 2 / 2  # variance within states that each merging adds
    least = _NOISE * added.sum() + 1e-12
    worth = {k: float(added[-k + 1] / max(added[: -k + 1].sum(), least)) for k in tried}
    best = largest_number(evidence, worth, _WORTH)
    return best, evidence, worth, nearest(means, weight, cut(best))


def largest_number(evidence: Mapping[int, float], worth: Mapping[int, float], least: float) -> int:
    """The largest number of states of which enough time recurs and whose last one is worth ``least``."""
    return max((k for k in worth if evidence[k] >= _RECURRING and worth[k] >= least), default=2)


def nearest(means: Float, weight: Float, own: Integers) -> Integers:
    """States of pieces by k-means that begins with the states ``own``; ``weight`` is how long each piece lasts."""
    from sklearn.cluster import KMeans

    centres = np.stack([means[own == k].mean(axis=0) for k in np.unique(own)])
    found = KMeans(len(centres), init=centres, n_init=1).fit(means, sample_weight=weight)
    return np.asarray(found.labels_, dtype=np.int64)


def recurring(pieces: Sequence[tuple[int, int, int]], own: Integers, recordings: int) -> float:
    """Share of time in states that occur in at least two recordings (a twentieth of many), or twice in the only one."""
    wanted = max(2, -(-recordings // 20))
    length = np.array([b - a for _, a, b in pieces])
    place = np.array([r for r, _, _ in pieces]) if recordings > 1 else np.arange(len(pieces))
    counted = [length[own == k].sum() for k in np.unique(own) if len(np.unique(place[own == k])) >= wanted]
    return float(sum(counted) / length.sum())


def unevenness(pieces: Sequence[tuple[int, int, int]], own: Integers, people: Integers) -> float:
    """How differently people divide their time between states: 0 if they do not, or if there is one person.

    The deviation between people of the share of a state, in means of that share and beyond what chance makes of the
    pieces that it has, is averaged over all time.

    Args:
        pieces: recording, start, end of each.
        own: (n,) state of each piece.
        people: (R,) person of each recording.
    """
    recording, start, end = np.array(pieces).T
    names, who = np.unique(people[recording], return_inverse=True)
    time = np.zeros((len(names), own.max() + 1))
    np.add.at(time, (who, own), end - start)
    share = time / time.sum(axis=1, keepdims=True)
    mean = share.mean(axis=0)
    beyond = share.var(axis=0) / mean**2 - len(names) / np.bincount(own)
    return float(np.sqrt(np.maximum(beyond, 0)) @ mean)


def refined(
    z: Sequence[npt.NDArray[np.float64]],
    pieces: Sequence[tuple[int, int, int]],
    own: Integers,
    count: int,
    evidence: float,
) -> list[Integers]:
    """(n,) state of each moment: the borders of pieces moved by a semi-Markov model of their states.

    The model is learnt from the pieces once: learnt again from its own answer, rare and similar states disappear.
    Moments next to each other say nearly the same, so the weight of one, ``evidence``, is larger where pieces are
    short.
    """
    labels = [np.zeros(len(x), dtype=np.int64) for x in z]
    for (r, a, b), k in zip(pieces, own, strict=True):
        labels[r][a:b] = k
    flat, whole = np.concatenate(labels), np.concatenate(list(z))
    means = np.stack([whole[flat == k if (flat == k).any() else slice(None)].mean(axis=0) for k in range(count)])
    spread = (whole - means[flat]).var(axis=0) + 1e-3
    durations = replace(Durations.fit(labels, count, scale=1.0), prior=np.full(count, 1 / count))
    chain = Chain(durations)
    return [chain.decode(_likely(x, means, spread, evidence)) for x in z]


def _likely(x: npt.NDArray[np.float64], means: Float, spread: Float, evidence: float) -> npt.NDArray[np.float64]:
    """(n, K) probabilities of Gaussian states; dimensions share what they say, so it is their mean that is weighed."""
    distance = np.stack([((x - m) ** 2 / spread).mean(axis=1) for m in means], axis=1)
    p = np.exp(-evidence * (distance - distance.min(axis=1, keepdims=True)))
    return np.asarray(p / p.sum(axis=1, keepdims=True))
