"""Moments of all recordings in one space: what the map shows, what is like what, what a classifier learns from.

A moment is a whole clip where clips are short, else a window of two seconds. Features are made in the background and
brought to a few whitened principal components.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from motet.application.features import Source, default
from motet.application.motion import rate
from motet.application.proposals import typicality
from motet.core.errors import ConfigError, MotetError
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.use.signals import Layout

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

Array = npt.NDArray[np.float32]
WINDOW, HOP = 2.0, 1.0
"""seconds of a moment of a long recording, and from one to the next."""
WHOLE = 12.0
"""seconds up to which a clip is one moment."""
MOST = 50_000
SIZE = 48
"""principal components."""
_SAMPLE = 4000  # moments from which the components are learnt
_PLACED = 2500  # moments that t-SNE places; the others lie between those that are most like them
_KEPT = 64  # recordings whose ticks stay in memory


COVERED = 0.8
"""share of a short clip from which a time range counts as the whole clip."""


class Moments:
    """Features of an archive's moments, made in a thread of their own from :meth:`begin` on.

    Args:
        archive: recordings.
        source: opens the features, in the thread (torch is slow to import); the shipped weights or statistics by
            default.

    Attributes:
        clip, start, end: of every moment; row of the archive, and seconds.
        features: (moments, components), once they are made; ``typical`` says how many others are near each.
    """

    def __init__(self, archive: MotionArchive, source: Callable[[], Source] | None = None) -> None:
        self.archive = archive
        self._open = source or (lambda: default(archive))
        self._source: Source | None = None
        self.layout = Layout.of(archive)
        self.clip, self.start, self.end = _windows(archive)
        self._first = np.searchsorted(self.clip, np.arange(len(archive) + 1))  # of each recording's moments
        self._seconds = archive.lengths / rate(archive)
        self.features: Array | None = None
        self._plane: npt.NDArray[np.float64] | None = None
        self._final = False
        self._done = 0
        self._failed: str | None = None
        self._pca: PCA | None = None
        self._scale: tuple[Array, Array] | None = None
        self._ticks: OrderedDict[int, Array] = OrderedDict()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.ready = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start the work in the background, unless it has begun."""
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the work in the background."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    # ---------------------------------------------------------------------------------------------------- for others

    def map(self) -> dict[str, Any]:
        """Positions in the plane with the moments that they belong to, or how far the work is."""
        plane = self._plane
        if self._failed:
            return {"state": f"There is no map: {self._failed}", "final": True}
        if plane is None:
            return {"state": f"Looking at recording {self._done + 1:,} of {len(self.archive):,} …", "final": False}
        assert self._source is not None
        words = f"{counted(len(self.clip), 'moment')}; near ones are similar (features: {self._source.name})."
        return {
            "state": words if self._final else f"{words} The map is being refined …",
            "final": self._final,
            "x": plane[:, 0].round(4).tolist(),
            "y": plane[:, 1].round(4).tolist(),
            "clip": self.clip.tolist(),
            "start": self.start.round(3).tolist(),
            "end": self.end.round(3).tolist(),
        }

    def similar(self, clip: int, start: float, end: float, count: int) -> list[dict[str, Any]]:
        """The moments most like a time of a recording, at most one of those that overlap.

        Distances are Euclidean between whitened components, divided by that of two random moments: 1 is "no more
        similar than chance".

        Raises:
            ConfigError: features are not ready yet, or there is no such time.
        """
        if self.features is None:
            raise ConfigError(self._failed or "the recordings are still being looked at; try again in a moment")
        query = self.rows(clip, start, end).mean(axis=0)
        distance = np.linalg.norm(self.features - query, axis=1) / self.chance
        here = (self.clip == clip) & (self.start < end) & (self.end > start)
        found: list[dict[str, Any]] = []
        taken: list[int] = []
        for i in np.argsort(distance, kind="stable")[: 40 * count]:
            same = [j for j in taken if self.clip[j] == self.clip[i]]
            if here[i] or any(self.start[j] < self.end[i] and self.end[j] > self.start[i] for j in same):
                continue
            taken.append(int(i))
            found.append(
                {
                    "clip": int(self.clip[i]),
                    "start": float(self.start[i]),
                    "end": float(self.end[i]),
                    "distance": float(distance[i]),
                }
            )
            if len(found) == count:
                break
        return found

    def of(self, clip: int) -> range:
        """The moments of a recording."""
        return range(int(self._first[clip]), int(self._first[clip + 1]))

    def rows(self, clip: int, start: float, end: float) -> Array:
        """(n, SIZE) components of a time range: one row of a short clip as a whole, else a row for each tick.

        Raises:
            ConfigError: there is no such recording.
        """
        if not 0 <= clip < len(self.archive):
            raise ConfigError(f"there is no recording {clip}; the archive has {len(self.archive)}")
        seconds = float(self._seconds[clip])
        if self.features is not None and seconds <= WHOLE and min(end, seconds) - max(start, 0) >= COVERED * seconds:
            return self.features[self._first[clip] : self._first[clip] + 1]
        ticks = self.ticks(clip)
        per_second = self.layout.fps / self.layout.hop
        first = int(np.clip(round(start * per_second), 0, len(ticks) - 1))
        last = int(np.clip(round(end * per_second), first + 1, len(ticks)))
        return ticks[first:last]

    def ticks(self, clip: int) -> Array:
        """(n, SIZE) components at every tick of a recording."""
        with self._lock:
            if clip in self._ticks:
                self._ticks.move_to_end(clip)
                return self._ticks[clip]
        found = self._project(self._dense(clip))
        with self._lock:
            self._ticks[clip] = found
            if len(self._ticks) > _KEPT:
                self._ticks.popitem(last=False)
        return found

    # --------------------------------------------------------------------------------------------- in the background

    def _work(self) -> None:
        from motet.core.devices import one_thread

        try:
            with one_thread():
                self._source = self._open()
                self._learn()
                self._describe()
                self._place()
        except _Stopped:
            pass
        except (MotetError, MemoryError, ValueError, np.linalg.LinAlgError) as error:
            self._failed = str(error) or type(error).__name__
        self.ready.set()

    def _dense(self, clip: int) -> Array:
        if self._stop.is_set():
            raise _Stopped
        while self._source is None:  # asked before the features are opened
            if self._failed or self._stop.wait(0.05):
                raise ConfigError(self._failed or "the application is closing")
        return self._source.ticks(clip)

    def _raw(self, clips: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], Array]]:
        """Features of the moments of some recordings, in parts: (k,) moments and (k, F) rows."""
        assert self._source is not None
        short = self._seconds[clips] <= WHOLE
        for block, rows in self._source.whole(clips[short]):
            if self._stop.is_set():
                raise _Stopped
            yield self._first[block], rows
        for clip in clips[~short]:
            own = np.arange(self._first[clip], self._first[clip + 1])
            if len(own):
                yield own, self._means(own, self._dense(int(clip)))

    def _means(self, own: npt.NDArray[np.int64], dense: Array) -> Array:
        """(k, F) means over the ticks of some moments of a recording."""
        per_second = self.layout.fps / self.layout.hop
        first = np.minimum((self.start[own] * per_second).astype(np.int64), len(dense) - 1)
        last = np.clip(np.round(self.end[own] * per_second).astype(np.int64), first + 1, len(dense))
        return np.array([dense[a:b].mean(axis=0) for a, b in zip(first, last, strict=True)], dtype=np.float32)

    def _learn(self) -> None:
        """Components from recordings that are drawn at random until there are enough moments."""
        from sklearn.decomposition import PCA

        order = np.random.default_rng(0).permutation(len(self.archive))
        amounts = np.cumsum(np.diff(self._first)[order])
        chosen = np.sort(order[: int(np.searchsorted(amounts, _SAMPLE)) + 1])
        sample = np.concatenate([rows for _, rows in self._raw(chosen)])
        shift, spread = sample.mean(axis=0), sample.std(axis=0)
        gain = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0).astype(np.float32)
        self._scale = shift, gain
        size = max(1, min(SIZE, len(sample) - 1, sample.shape[1]))
        self._pca = PCA(size, whiten=False, random_state=0).fit(self._scaled(sample))
        known = self._project(sample)
        pairs = np.random.default_rng(1).integers(0, len(known), size=(2, 2000))
        self.chance = float(np.linalg.norm(known[pairs[0]] - known[pairs[1]], axis=1).mean()) or 1.0

    def _scaled(self, rows: Array) -> Array:
        assert self._scale is not None
        scaled: Array = np.clip((rows - self._scale[0]) * self._scale[1], -6, 6)
        return scaled

    def _project(self, rows: Array) -> Array:
        while self._pca is None:  # asked before the components are learnt
            if self._failed or self._stop.wait(0.05):
                raise ConfigError(self._failed or "the application is closing")
        # half-way between raw and whitened: small components carry noise
        weight = self._pca.explained_variance_**-0.25
        return np.asarray(self._pca.transform(self._scaled(rows)) * weight, dtype=np.float32)

    def _describe(self) -> None:
        assert self._pca is not None
        features = np.zeros((len(self.clip), self._pca.n_components_), dtype=np.float32)
        for own, rows in self._raw(np.arange(len(self.archive))):
            features[own] = self._project(rows)
            self._done = int(self.clip[own[-1]])
        self.typical = typicality(features)
        self.features = features
        plane = np.pad(features[:, :2], ((0, 0), (0, max(0, 2 - features.shape[1])))).astype(np.float64)
        self._plane = plane / (np.abs(plane).max() or 1.0)
        self.ready.set()

    def _place(self) -> None:
        from sklearn.neighbors import NearestNeighbors

        from motet.report.maps import positions

        assert self.features is not None
        chosen = np.arange(len(self.features))
        if len(chosen) > _PLACED:
            chosen = np.sort(np.random.default_rng(0).choice(chosen, _PLACED, replace=False))
        placed = positions(self.features[chosen], 0)
        if len(chosen) < len(self.features):
            near = NearestNeighbors(n_neighbors=5).fit(self.features[chosen])
            distance, index = near.kneighbors(self.features)
            share = 1 / np.maximum(distance, 1e-6) ** 2
            placed = (placed[index] * (share / share.sum(axis=1, keepdims=True))[..., None]).sum(axis=1)
        self._plane, self._final = np.asarray(placed, dtype=np.float64), True


class _Stopped(Exception):
    """The application closes."""


def _windows(
    archive: MotionArchive,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Clip, start and end of every moment; fewer of long recordings where there would be too many."""
    seconds = archive.lengths / rate(archive)
    hop = max(HOP, float(seconds[seconds > WHOLE].sum()) / MOST)
    clips, starts, ends = [], [], []
    for clip, length in enumerate(seconds.tolist()):
        own = np.zeros(1) if length <= WHOLE else np.arange(0.0, length - WINDOW + 1e-9, hop)
        clips.append(np.full(len(own), clip))
        starts.append(own)
        ends.append(np.full(1, length) if length <= WHOLE else own + WINDOW)
    return np.concatenate(clips), np.concatenate(starts), np.concatenate(ends)
