"""Moments of recordings that are most like an example."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, MotetWarning
from motet.core.files import refuse_existing
from motet.core.text import first_of
from motet.data.archive import MotionArchive
from motet.data.tracks import rate
from motet.use.predict import write_table
from motet.use.segment import embedded, looker, moments, still
from motet.use.signals import Layout, present, recorded

COLUMNS = ("recording", "start", "end", "distance")
PARTS = 8  # parts of the example that are compared one by one, in order
_SMOOTH = 0.4  # seconds
_PAIRS = 20_000
_THERE = 0.5  # of a stretch must have been recorded


def search(
    archive: str | Path | MotionArchive,
    like: str,
    out: str | Path | None = None,
    *,
    hits: int = 20,
    features: str | None = None,
    overwrite: bool = False,
) -> pl.DataFrame:
    """The stretches of all recordings that are most like an example, nearest first.

    A stretch is as long as the example and its eighths are compared in order. A distance of 0 is the same, 1 as
    different as two stretches drawn at random.

    Args:
        archive: recordings.
        like: ``CLIP``, or ``CLIP:START-END`` in seconds; the example itself is not a hit.
        out: CSV to write: recording, start, end (seconds), distance.
        hits: how many; hits overlap by less than a half.
        features: features of moments: ``raw``, ``statistics``, ``rocket``, weights of the package, or a run; by
            default means and deviations over 0.4 s.
        overwrite: replace a file that is there.

    Raises:
        ConfigError: no such clip, an interval that it does not have or in which nothing was recorded, no other stretch
            that is as long, or unknown features.
        RunError: features of a folder that is no run.

    Warns:
        MotetWarning: names recordings that are shorter than the example.
    """
    if out is not None:
        refuse_existing(out, overwrite, ".csv")
    if hits < 1:
        raise ConfigError(f"hits is {hits}; it must be at least 1")
    source = MotionArchive.open(archive)
    layout = Layout.of(source)
    row, first, last = _example(source, like, layout)
    floor = still(source)
    look = looker(source, features, lambda frames: moments(frames, layout, _SMOOTH, lags=(), floor=floor))
    seen, there = [], []
    for frames in map(recorded(source, layout), range(len(source))):
        seen.append(look(frames))
        there.append(present(frames)[layout.centres(len(frames))])
    z = embedded(seen)
    long = last - first
    if there[row][first:last].mean() < _THERE:
        raise ConfigError(f"--like {like}: nothing was recorded in most of that; take another moment")
    parts = np.linspace(0, long, PARTS + 1)[:-1].astype(np.int64) + long // (2 * PARTS)
    wanted = z[row][first + parts]
    distances = [
        np.where(_share(t, long) < _THERE, np.inf, _distances(x, wanted, parts, long))
        for x, t in zip(z, there, strict=True)
    ]
    scale = _typical(z, parts, long)
    if row < len(distances):  # not the example itself
        low = max(0, first - long // 2)
        distances[row][low : first + long // 2 + 1] = np.inf
    step, rows = layout.hop / layout.fps, []
    for record, at, distance in _nearest(distances, long, hits):
        end = min((at + long) * step, int(source.lengths[record]) / layout.fps)
        rows.append((source.clips["name"][record], at * step, end, float(np.sqrt(distance) / scale)))
    kinds = dict(zip(COLUMNS, (pl.String, pl.Float64, pl.Float64, pl.Float64), strict=True))
    table = pl.DataFrame(rows, schema=kinds, orient="row")
    _say_short(source, like, row, long * step, [len(x) < long for x in z], found=bool(rows))
    if out is not None:
        write_table(table, out)
    return table


def _say_short(archive: MotionArchive, like: str, row: int, seconds: float, short: list[bool], *, found: bool) -> None:
    """Warn of recordings that are shorter than the example.

    Raises:
        ConfigError: nothing was ``found``.
    """
    rows = [i for i, less in enumerate(short) if less and i != row]
    name, lengths = archive.clips["name"], archive.lengths / rate(archive)
    lasts = [f"{name[i]} ({lengths[i]:.2f} s)" for i in rows]
    which = f": {first_of(lasts, 'recording')}" if rows else ""
    part = f"take a part of it: --like {name[row]}:START-END"
    if not found:
        raise ConfigError(f"{archive.path}: --like {like}: no other stretch is {seconds:.3g} s long{which}; {part}")
    if rows:
        warnings.warn(
            f"{archive.path}: not searched, as shorter than the example of {seconds:.3g} s{which}; {part}",
            MotetWarning,
            stacklevel=3,
        )


def _example(archive: MotionArchive, like: str, layout: Layout) -> tuple[int, int, int]:
    """Row of the example and its first and last tick."""
    names = archive.clips["name"].to_list()
    cut = None if like in names else re.fullmatch(r"(.+):([\d.]+)-([\d.]+)", like)
    name = like if cut is None else cut[1]
    if name not in names:
        some = ", ".join(names[:3]) + " …" * (len(names) > 3)
        raise ConfigError(
            f"{archive.path} has no clip {name!r}, but {some}; --like takes CLIP or CLIP:START-END in seconds"
        )
    row = names.index(name)
    end = int(archive.lengths[row]) / layout.fps
    start, stop = (0.0, end) if cut is None else (float(cut[2]), float(cut[3]))
    if not 0 <= start < stop <= end + 1 / layout.fps:
        raise ConfigError(f"--like {like}: {start:g} to {stop:g} s is no part of {name}, which lasts {end:g} s")
    step = layout.hop / layout.fps
    first = int(start / step)
    last = min(max(first + PARTS // 2, round(stop / step)), layout.ticks(int(archive.lengths[row])))
    if last - first < 2:
        raise ConfigError(f"--like {like}: {stop - start:g} s is too short to compare; take at least {3 * step:g} s")
    return row, first, last


def _distances(
    x: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], parts: npt.NDArray[np.int64], long: int
) -> npt.NDArray[np.float64]:
    """(n,) mean squared distance of the stretch that begins at each tick; empty where none fits."""
    count = len(x) - long + 1
    found = np.zeros(max(0, count))
    if count > 0:
        for part, target in zip(parts, wanted, strict=True):
            found += ((x[part : part + count] - target) ** 2).mean(axis=1) / len(parts)
    return found


def _share(there: npt.NDArray[np.bool_], long: int) -> npt.NDArray[np.float64]:
    """(n,) share of the stretch from each tick in which anything was recorded; empty where none fits."""
    total = np.concatenate([[0], np.cumsum(there)])
    return np.asarray((total[long:] - total[: max(0, len(total) - long)]) / long, dtype=np.float64)


def _typical(z: list[npt.NDArray[np.float64]], parts: npt.NDArray[np.int64], long: int) -> float:
    """Root mean squared distance of two stretches drawn at random."""
    random = np.random.default_rng(0)
    begins = [(r, t) for r, x in enumerate(z) for t in range(0, len(x) - long + 1, max(1, len(x) // 200))]
    pairs = random.integers(0, len(begins), size=(min(_PAIRS, 20 * len(begins)), 2))
    total = [
        float(((z[begins[a][0]][begins[a][1] + parts] - z[begins[b][0]][begins[b][1] + parts]) ** 2).mean())
        for a, b in pairs[:2000].tolist()
    ]
    return max(float(np.sqrt(np.mean(total))), 1e-9)


def _nearest(distances: list[npt.NDArray[np.float64]], long: int, hits: int) -> list[tuple[int, int, float]]:
    """(recording, tick, distance), nearest first, overlapping by less than a half."""
    owner = np.repeat(np.arange(len(distances)), [len(d) for d in distances])
    at = np.concatenate([np.arange(len(d)) for d in distances])
    flat = np.concatenate(distances)
    found: list[tuple[int, int, float]] = []
    for index in np.argsort(flat, kind="stable"):
        if len(found) == hits or not np.isfinite(flat[index]):
            break
        record, tick = int(owner[index]), int(at[index])
        if all(r != record or abs(t - tick) > long // 2 for r, t, _ in found):
            found.append((record, tick, float(flat[index])))
    return found
