"""What a report shows, as plain data: everything :func:`motet.report.page.build` needs and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.data.skeletons import Skeleton
from motet.engine.table import WEIGHTS, deviation

Float = npt.NDArray[np.floating[Any]]
Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.integer[Any]]

# One clip is drawn as at most this many points on the map; more would neither be legible nor fit in one file.
MAX_POINTS = 1500


@dataclass(frozen=True)
class Fact:
    """One line of a description list: what it is, its value, and what that means in plain words."""

    label: str
    value: str
    meaning: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the comparison: some features of some stream, evaluated by some protocol.

    Attributes:
        protocol: ``"knn"``, ``"linear"`` …
        features: ``"raw"``, ``"random"``, or the name of what was learned.
        stream: stream, or several joined by ``+``.
        values: accuracy in percent after the last epoch.
        best_values: accuracy in percent of the best epoch, likewise; empty where the protocol has no epochs.
        ensemble: how several streams were put together; None for one stream.
        setting: what sets the row apart from others of the same features, e.g. ``"lr 0.1"``.
        over: what the values differ in (``"runs"``, ``"probe seeds"`` …), that is, what the spread is over.
        called: what its features are called, where that is not what such features are called elsewhere.
        accuracy: False for another measure in percent; such a row is in the table but not in the bars.
    """

    protocol: str
    features: str
    stream: str
    values: tuple[float, ...]
    best_values: tuple[float, ...] = ()
    ensemble: str | None = None
    setting: str = ""
    over: str = ""
    accuracy: bool = True
    called: str = ""

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation over seeds; None for a single seed."""
        return deviation(self.values)

    @property
    def where(self) -> str:
        """Stream, the way of joining streams, and setting, for people."""
        joined = f" ({self.ensemble.replace('-', ' ')})" if self.ensemble else ""
        setting = f", {self.setting}" if self.setting else ""
        return self.stream.replace("+", " + ") + joined + setting

    @property
    def baseline(self) -> bool:
        """Whether it needs no training: coordinates as they are, an untrained encoder, weights of the package."""
        return self.features in ("raw", "statistics", "random", "rocket") or self.features.startswith(WEIGHTS)


@dataclass(frozen=True)
class Curve:
    """Lines over training that share one axis.

    Attributes:
        title: what is measured, e.g. ``"loss"``.
        meaning: one sentence for a reader who never trained a model.
        x_label: ``"epoch"`` or ``"step"``.
        series: name → list of (x, value).
        least: range of values that the panel shows at least, so that a ripple does not look like a mountain.
    """

    title: str
    meaning: str
    x_label: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    least: float = 0.0


@dataclass(frozen=True)
class Confusion:
    """Counts of (true class, predicted class) on the test clips.

    Attributes:
        matrix: (K, K), rows are the true classes.
        class_names: K names of rows and columns; some classes of the data set may not occur in the test.
        source: which row of the comparison it belongs to.
    """

    matrix: Int
    class_names: Sequence[str]
    source: str = ""


@dataclass(frozen=True)
class ClipMap:
    """The 2-D map of n clips. All arrays are over the same n clips, in the same order as ``Motion.clips``.

    Attributes:
        xy: (n, 2) position.
        labels: (n,) index into ``ReportData.class_names``, -1 where unknown.
        clusters: (n,) cluster of each clip, 0..K-1.
        names: n clip names.
        neighbours: (n, k) indices of the k most similar other clips, most similar first.
        similarities: (n, k) cosine similarities of those.
        total: how many clips there were before the map was limited to n.
        source: which features the map is made of.
        scores: agreement of clusters with labels (``purity``, ``nmi`` …), empty without labels.
        sets: what clips they are, e.g. ``"test clips"``.
        files: of each clip the file that it was read from; empty where nobody knows.
    """

    xy: Float
    labels: Int
    clusters: Int
    names: Sequence[str]
    neighbours: Int
    similarities: Float
    total: int
    source: str
    scores: Mapping[str, float] = field(default_factory=dict)
    sets: str = "test clips"
    files: Sequence[str] = ()


@dataclass(frozen=True)
class Motion:
    """The recordings behind the dots of the map.

    Attributes:
        skeleton: joint layout or sensor nodes.
        channels: name of each coordinate.
        clips: n arrays (T, P, V, C); they are subsampled and quantised when the page is built.
        fps: frames a second, None where unknown.
        units: of the coordinates.
    """

    skeleton: Skeleton
    channels: Sequence[str]
    clips: Sequence[Float]
    fps: float | None = None
    units: str = ""


@dataclass(frozen=True)
class ReportData:
    """All that one page shows.

    Attributes:
        title: heading of the page.
        method: name of what was trained, as a sentence would say it (``"CMD"``).
        recipe, dataset: what was trained, on what.
        licence: terms of the recordings.
        simulated: True shows a banner that no person was recorded.
        class_names: name of each label.
        rows: the comparison; empty where the run was not evaluated.
        test_clips: number of clips that the rows were evaluated on, if known.
        guess: accuracy of guessing among the tested classes, in percent, if known.
        curves, confusion, clip_map, motion: left out of the page when empty or None.
        command: how to make the run again, one command a line.
        reproduce: seeds, versions, digests.
        notes: what the reader must know first, e.g. that the run was not evaluated.
        noun: what a row of the data is called.
        seen: what the model learned from.
        findings: what `motet data inspect` finds in the recordings.
    """

    title: str
    method: str
    recipe: Sequence[Fact] = ()
    dataset: Sequence[Fact] = ()
    licence: str = "unknown"
    simulated: bool = False
    class_names: Sequence[str] = ()
    rows: Sequence[Row] = ()
    test_clips: int | None = None
    guess: float | None = None
    curves: Sequence[Curve] = ()
    confusion: Confusion | None = None
    clip_map: ClipMap | None = None
    motion: Motion | None = None
    command: str = ""
    reproduce: Sequence[Fact] = ()
    notes: Sequence[str] = ()
    noun: str = "clip"
    seen: str = "the movements"
    findings: Sequence[Fact] = ()
