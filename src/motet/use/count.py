"""Repetitions of a cyclic movement: how many, when, how fast, how wide, how similar.

The period is the lag at which the whole recording resembles itself most (correlation of its principal components with
themselves, each overlap about its own mean); where nothing recurs, drifts of posture are taken away first, slow ones to
fast ones. Repetitions are the stretches between the turning points of the first component, without what changes more
slowly than two periods, that are about a period apart.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.files import refuse_existing
from motet.core.text import first_of
from motet.data.archive import MotionArchive
from motet.data.tracks import rate
from motet.evaluate.segmentation import segments
from motet.use.predict import write_table
from motet.use.signals import Layout, longer, moving_mean, recorded, signals

COLUMNS: dict[str, type[pl.DataType]] = {
    "recording": pl.String,
    "repetition": pl.Int64,
    "start": pl.Float64,
    "end": pl.Float64,
}
MEASURES: dict[str, type[pl.DataType]] = {
    "label": pl.String,
    "seconds": pl.Float64,
    "range": pl.Float64,
    "similarity": pl.Float64,
}
_FEWEST = 4  # frames of a repetition
_QUICK = 0.18  # seconds of repetitions that are looked for in signals that are not smoothed
_RESEMBLES = {
    0: 0.5,
    5: 0.4,
    7: 0.3,
}  # from so many cycles on, the correlation of a cyclic one: few are similar by chance
_CLEARLY = 0.85  # and from which it is quick, not jitter
_DRIFTS = (4.0, 2.0, 1.0)  # seconds
_SMOOTH = 0.15  # seconds
_MOVES = 1e-3  # least change of a signal that moves
_STILL = 0.07  # of the deviation of a movement: less is rest
_LITTLE = 0.15  # of the range of the usual repetition: less is none
_REST = 2.0  # usual repetitions from one turning point to the next: between sets, which belongs to neither
_MOST, _SIMILAR = 0.6, 0.5  # of the usual repetition, and likeness: what the end of a recording cut to less is none
_POINTS = 32  # to which repetitions are stretched to be compared
Float = npt.NDArray[np.float64]


def count(
    archive: str | Path | MotionArchive,
    out: str | Path | None = None,
    *,
    track: str | None = None,
    measures: str | Path | None = None,
    overwrite: bool = False,
) -> pl.DataFrame:
    """Repetitions in every recording, or in every interval of a label track.

    Args:
        archive: recordings.
        out: CSV to write: recording, repetition (from 1), start, end (seconds).
        track: count in each interval of this label track on its own; of several raters, where they do not disagree.
        measures: CSV to write, with label (of the track or the clip), seconds, range of motion (share of the widest
            repetition's) and likeness (the correlation with the mean repetition) as well.
        overwrite: replace a file that is there.

    Returns:
        The table with all columns.

    Raises:
        ConfigError: unknown frame rate or track, or one file for two tables.
        DataError: all recordings are too short to hold two repetitions.

    Warns:
        MotetWarning: names recordings that repeat faster than can be counted at their rate, and those in which nothing
            recurs.
    """
    for path in (out, measures):
        if path is not None:
            refuse_existing(path, overwrite, ".csv")
    if out is not None and measures is not None and Path(out).resolve() == Path(measures).resolve():
        raise ConfigError(f"{out} would hold both the repetitions and their measures; name two files")
    source = MotionArchive.open(archive)
    layout = Layout.of(source)
    read = recorded(source, layout)
    rows: list[tuple[Any, ...]] = []
    fast: dict[str, float] = {}
    none: dict[str, float] = {}
    for name, start, end, label in _stretches(source, track):
        index = source.clips["name"].to_list().index(name)
        frames = read(index)[round(start * layout.fps) : round(end * layout.fps)]
        hasty = too_fast(frames, layout)
        if hasty is not None:
            fast.setdefault(name, hasty)
        before = sum(r[0] == name for r in rows)
        found = repetitions(frames, layout)
        if not found and hasty is None:
            none.setdefault(name, end - start)
        for number, (a, b, width, similarity) in enumerate(found, 1):
            times = (start + a / layout.fps, start + b / layout.fps)
            rows.append((name, before + number, *times, label, times[1] - times[0], width, similarity))
    _say_fast(source, fast, layout)
    _say_none(source, none, layout, track, alone=not rows and not fast)
    table = pl.DataFrame(rows, schema=COLUMNS | MEASURES, orient="row")
    if out is not None:
        write_table(table.select(*COLUMNS), out)
    if measures is not None:
        write_table(table, measures)
    return table


def _say_fast(archive: MotionArchive, fast: dict[str, float], layout: Layout) -> None:
    """Warn of recordings, with the seconds of their cycle, that repeat faster than can be counted."""
    if fast:
        name, seconds = next(iter(fast.items()))
        warnings.warn(
            f"{archive.path}: {name}{_others(fast)} repeats every {seconds:.2g} s, which is too fast to be counted at "
            f"{layout.fps:g} frames per second: {_FEWEST} frames a repetition are needed; its count is too low",
            MotetWarning,
            stacklevel=3,
        )


def _say_none(
    archive: MotionArchive, none: dict[str, float], layout: Layout, track: str | None, *, alone: bool
) -> None:
    """Warn of recordings, with the seconds of them or of their interval, in which nothing recurs.

    Raises:
        DataError: there are no others (``alone``), and not one of them could hold two repetitions.
    """
    least = -(-3 * (max(_FEWEST, round(_QUICK * layout.fps)) + 3) // 2)
    short = {name: seconds for name, seconds in none.items() if round(seconds * layout.fps) < least}
    where = "recording" if track is None else "an interval of"
    needed = f"a movement must come twice, in at least {least / layout.fps:.2g} s"
    remedy = f"; {longer(archive, least)}" if track is None else ""
    still = {name: seconds for name, seconds in none.items() if name not in short}
    for found, what, how in ((short, "too short to count in", remedy), (still, "but nothing recurs in it", "")):
        if not found:
            continue
        name, seconds = next(iter(found.items()))
        said = f"{archive.path}: {where} {name} lasts {seconds:.2f} s, {what}{_others(found)}: {needed}"
        if alone and not still:
            raise DataError(said)
        warnings.warn(f"{said}{how}", MotetWarning, stacklevel=3)


def _others(names: Collection[str]) -> str:
    return f" (and {first_of(list(names)[1:], 'recording')})" if len(names) > 1 else ""


def _stretches(archive: MotionArchive, track: str | None) -> list[tuple[str, float, float, str | None]]:
    fps = rate(archive)
    if track is not None:
        table = archive.tracks.track(track)
        if not len(table):
            raise ConfigError(f"{archive.path}: track {track!r} has no intervals; count without --track")
        if table["rater"].n_unique() == 1:
            return table.select("recording", "start", "end", "label").rows()
        classes = archive.tracks.classes(track)
        agreed = zip(archive.clips["name"], archive.tracks.all_frames(track, classes), strict=True)
        return [(n, a / fps, b / fps, classes[k]) for n, own in agreed for k, a, b in segments(own)]
    names = [None if k < 0 else archive.class_names[k] for k in archive.labels.tolist()]
    ends = (archive.lengths / fps).tolist()
    return [(n, 0.0, end, label) for n, end, label in zip(archive.clips["name"], ends, names, strict=True)]


def repetitions(frames: npt.NDArray[Any], layout: Layout) -> list[tuple[int, int, float, float]]:
    """(start, end, range, likeness) of each repetition in (T, P, V, C) frames; none if nothing recurs."""
    from scipy.signal import find_peaks

    if len(frames) < 2 * _FEWEST:
        return []
    x = signals(frames, layout).astype(np.float64)
    low = max(_FEWEST, round(_QUICK * layout.fps))
    quick = period((x - x.mean(axis=0)) @ _axes(x), _FEWEST, _CLEARLY)
    if quick is not None and quick <= low:
        low, smooth = _FEWEST, quick // 3
    else:
        smooth = round(_SMOOTH * layout.fps)
    x = moving_mean(x, max(1, smooth))
    if np.ptp(x, axis=0).max() < _MOVES:
        return []
    slow = [round(s * layout.fps) for s in _DRIFTS]
    seen = chain([x], (x - moving_mean(x, w) for w in slow if w < len(x)))
    found = next(filter(None, (period((y - y.mean(axis=0)) @ _axes(y), low) for y in seen)), None)
    if found is None:
        return []
    fast = x - moving_mean(x, min(2 * found, len(x)))
    axes = _axes(fast)
    main = fast @ axes[:, 0]
    first = int(np.argmax(np.abs(main) > _STILL * main.std()))
    axes *= -np.sign(main[first]) or 1.0  # rest, where recordings begin, is low
    main, z = fast @ axes[:, 0], (x - x.mean(axis=0)) @ axes
    padded = np.concatenate([[main.min()], main, [main.min()]])
    tops, _ = find_peaks(padded, distance=max(1, 0.6 * found), prominence=0.6 * main.std())
    near = [z[max(0, t - round(0.7 * found)) : t + round(0.7 * found), 0] for t in tops - 1]
    tops = _moving(tops - 1, near)
    if len(tops) < 2:
        return []
    pairs = [(a, b) for a, b in _borders(main, tops, found) if b - a >= low / 2]
    shapes = np.stack([_stretched(z[a:b]) for a, b in pairs])
    widths = np.array([np.ptp(z[a:b, 0]) for a, b in pairs])
    mean = shapes.mean(axis=0).ravel()
    similarity = [float(np.corrcoef(s.ravel(), mean)[0, 1]) for s in shapes]
    rows = [(a, b, float(w / widths.max()), r) for (a, b), w, r in zip(pairs, widths, similarity, strict=True)]
    return _whole(rows, len(main))


def _borders(main: Float, tops: npt.NDArray[np.int64], found: int) -> list[tuple[int, int]]:
    """(start, end) of the repetition at each turning point: neighbours share one, unless a rest parts them."""
    reach = 0.6 * found
    starts = [first + int(np.argmin(main[first : t + 1])) for t in tops for first in [max(0, int(t - reach))]]
    ends = [int(t + np.argmin(main[t : int(t + reach) + 1])) for t in tops]
    apart = np.diff(tops)
    for n in np.flatnonzero(apart <= _REST * max(found, np.median(apart))):
        ends[n] = starts[n + 1] = int(tops[n] + np.argmin(main[tops[n] : tops[n + 1]]))
    return list(zip(starts, ends, strict=True))


def _whole(found: list[tuple[int, int, float, float]], frames: int) -> list[tuple[int, int, float, float]]:
    """Without the first and the last repetition where the ends of the recording cut most of them off."""
    if len(found) < 3:
        return found
    usual = float(np.median([b - a for a, b, *_ in found]))
    ends = (found[0], found[0][0] == 0), (found[-1], found[-1][1] == frames - 1)
    cut = [end and b - a < _MOST * usual and likeness < _SIMILAR for (a, b, _, likeness), end in ends]
    return found[cut[0] : len(found) - cut[1]]


def _moving(tops: npt.NDArray[np.int64], near: Sequence[Float]) -> npt.NDArray[np.int64]:
    """Turning points with movement near them: rest seems to turn where slow changes are taken away."""
    ranges = np.array([np.ptp(part) for part in near])
    return tops[ranges >= _LITTLE * np.median(ranges)] if len(tops) else tops


def _axes(x: Float) -> Float:
    """(S, 4) first principal axes of (T, S) signals."""
    x = x - x.mean(axis=0)
    return np.asarray(np.linalg.eigh(x.T @ x)[1][:, :-5:-1])


def too_fast(frames: npt.NDArray[Any], layout: Layout) -> float | None:
    """Seconds of a cycle of (T, P, V, C) frames that is too short to be counted; None if there is none."""
    x = signals(frames, layout).astype(np.float64)
    if len(x) < 2 * _FEWEST or np.ptp(x, axis=0).max() < _MOVES:
        return None
    found = period((x - x.mean(axis=0)) @ _axes(x), 2, _CLEARLY)
    return found / layout.fps if found is not None and found < _FEWEST else None


def period(z: Float, low: int, least: float | None = None) -> int | None:
    """Frames of a cycle, ``low`` or more: the first high peak of the :func:`likeness` of (T, D) components; cycles that
    come three times go before others.

    Peaks are of a correlation of ``least`` at least, by default the smaller the more cycles there are; None if nothing
    recurs.
    """
    from scipy.signal import find_peaks

    longest = len(z) * 2 // 3
    if longest <= low + 2:
        return None
    correlation = likeness(z, longest)
    peaks, _ = find_peaks(correlation, prominence=0.05)
    before, at, after = (correlation[peaks + side] for side in (-1, 0, 1))
    height = at + (after - before) ** 2 / (8 * (2 * at - before - after))  # of a peak between two lags
    cycles = len(z) / np.maximum(peaks, 1)
    enough = np.select([cycles >= n for n in sorted(_RESEMBLES, reverse=True)], sorted(_RESEMBLES.values()))
    high = (peaks >= low) & (height >= (enough if least is None else least))
    for fewest in (3, 0):
        often = high & (cycles >= fewest)
        strong = often & (height >= 0.6 * height[often].max(initial=0.0))
        if strong.any():
            return int(peaks[strong][0])
    return None


def likeness(z: Float, lags: int) -> Float:
    """(lags,) correlation of (T, D) components with themselves that many frames later, both about their own means."""
    size, lag = 1 << (2 * len(z) - 1).bit_length(), np.arange(lags)
    product = np.fft.irfft((np.abs(np.fft.rfft(z, size, axis=0)) ** 2).sum(axis=1), size)[:lags]
    first = np.concatenate([np.zeros((1, z.shape[1])), np.cumsum(z, axis=0)])
    second = np.concatenate([[0.0], np.cumsum((z**2).sum(axis=1))])
    count, early, late = len(z) - lag, first[len(z) - lag], first[-1] - first[lag]
    energy = (
        second[len(z) - lag] - (early**2).sum(axis=1) / count,
        second[-1] - second[lag] - (late**2).sum(axis=1) / count,
    )
    scale = np.sqrt(np.maximum(energy[0] * energy[1], 1e-12))
    return np.asarray((product - (early * late).sum(axis=1) / count) / scale)


def _stretched(part: Float) -> Float:
    at = np.linspace(0, len(part) - 1, _POINTS)
    return np.stack([np.interp(at, np.arange(len(part)), c) for c in part.T], axis=1)
