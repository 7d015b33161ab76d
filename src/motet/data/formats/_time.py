"""Time: from stamps or frame numbers to a rate and the place of each row, and from one rate to another.

Every reader whose files have stamps or numbers of frames asks here, so that one rule holds for all: the rate is that
of the whole recording (rounded stamps do not bias it), a row lies where its stamp is on that clock, what is missing
between two frames becomes absent frames, and recordings of different rates are refused unless they are to be resampled.
Stamps that keep no rate, as they jitter or the rate changes, are resampled as :mod:`motet.data.timing` does.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote
from motet.data.timing import LONGEST_GAP as LONGEST_HOLE
from motet.data.timing import clock

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
TimeUnit = Literal["auto", "s", "ms", "us", "ns"]

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
SAME_RATE = 0.01  # relative difference below which two rates are one
TIDY = 2e-4  # relative difference that rounding of stamps explains in any recording
COARSE = 0.5  # share of the stamps that several rows repeat, beyond which the clock is coarse
GAP = 1.5  # usual steps that are more than a step
FEW = 4  # steps that say nothing of all
IRREGULAR = 0.2  # share of such steps beyond which stamps are irregular and only pauses count as gaps
SLOWEST = 2.0  # seconds between two rows that are no longer believed
JITTER = 0.05  # relative differences of rates between recordings with irregular stamps
PAUSE = 10.0  # usual steps that are a gap in irregular stamps
ALIGNED = 0.12  # root mean square of frames by which stamps may be off those of a rate
LOOSE = 0.005  # relative difference of the rate that irregular stamps are resampled at
LONGEST_GAP = 50_000  # absent frames that are filled in, and LONGEST_SHARE for each frame that is there
LONGEST_SHARE = 20
_PARTED = r"\W*(\b|_|(?-i:(?<=[a-z])(?=[A-Z])))"  # before a unit: time_ms, time (ms), timeMs
_UNIT = r"([mun]?s|\w*sec(onds)?|(milli|micro|nano)s?)"
_TIME = r"(time|zeit(stempel)?|temps|tiempo|tempo|tijd|tid|czas)"  # as spreadsheets of other languages have it
COLUMN = re.compile(
    rf"(?i)((((unix|epoch)[ _]?)?{_TIME}[ _]?(stamps?)?|t|seconds|sec|(seconds|time)[ _]elapsed|elapsed([ _]time)?)"
    rf"{_PARTED}{_UNIT}?|(unix|epoch){_PARTED}{_UNIT})\W*"
)
"""How a column of stamps is called as a rule."""
_NAMED_UNIT = re.compile(
    r"(?i)(?:^|[^a-z0-9])(ns|nsec|nano\w*|us|usec|µs|μs|micro\w*|ms|msec|milli\w*|s|sec|secs|seconds?)(?:[^a-z0-9]|$)"
)
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")


@dataclass(frozen=True)
class Timing:
    """Where the rows of a recording lie.

    Attributes:
        fps: frames per second; None if one row or numbers alone tell nothing of it.
        place: (rows,) frame of each row, from 0; rows of one moment share it.
        count: number of frames.
        gaps: (frame before, absent frames) of each gap.
        error: relative uncertainty of the rate.
        moments: (count,) seconds of frames that keep no rate, to be resampled (:func:`spread`, :func:`brought`); else
            None.
    """

    fps: float | None
    place: Index
    count: int
    gaps: tuple[tuple[int, int], ...] = ()
    error: float = 0.0
    moments: Array | None = None


def seconds(texts: Sequence[str], column: str, where: str | Path, unit: TimeUnit | None = None) -> Array:
    """(rows,) seconds of stamps: numbers in any unit, ISO 8601 or times of day; NaN for an empty one.

    The unit of numbers is the one asked for, else the one that the column's name ends with, else the one under which
    the rate is between 1 and 1000 a second. What name and values do not both say is noted, but for seconds that no name
    says. ``unit`` is None where the reader has no option for it.

    Raises:
        DataError: names the row (from 1) that is none of these.
    """
    filled = [i for i, text in enumerate(texts) if text.strip()]
    values = np.full(len(texts), np.nan)
    numeric = bool(filled) and _number(texts[filled[0]]) is not None
    for i in filled:
        found = _number(texts[i]) if numeric else _moment(texts[i])
        if found is None or not np.isfinite(found):
            kind = "number" if numeric else "time, number or date (ISO 8601)"
            remedy = "" if unit is None else "; pass --time '' and --fps to leave the column out"
            if unit is not None and re.fullmatch(r"\d+,\d+", texts[i].strip()):
                remedy = "; for decimal commas pass --decimal ,"
            raise DataError(f"{where}, column {column}, row {i + 1}: {texts[i]!r:.40} is no {kind}{remedy}")
        values[i] = found
    return in_seconds(values, f"column {column}", where, unit) if numeric else values


def in_seconds(values: Array, called: str, where: str | Path, unit: TimeUnit | None = None) -> Array:
    """Stamps in seconds; their unit is found as :func:`seconds` finds it."""
    named, seen = unit_of_name(called), _unit_of_values(values)
    chosen = unit if unit not in ("auto", None) else (named or seen)
    if unit in ("auto", None) and named != seen and (named or seen != "s"):
        remedy = "write them in seconds" if unit is None else "say so with --time-unit"
        warnings.warn(
            f"{where}: the stamps in {called} are taken for {WORDS[chosen]}; {remedy} if they are not",
            MotetNote,
            stacklevel=3,
        )
    with np.errstate(over="ignore"):
        return np.asarray(values * SECONDS[chosen])


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _moment(text: str) -> float | None:
    text = re.sub(r"^(\d{4})[/.](\d\d)[/.](\d\d)(?=\D)", r"\1-\2-\3", text.strip())
    clock = _CLOCK.fullmatch(text)
    if clock:
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3].replace(",", "."))
    try:
        found = datetime.fromisoformat(re.sub(r"(?<=:\d\d),(?=\d)", ".", text.replace(" UTC", "+00:00")))
        # without a zone it is some clock's time, in which an hour of summer time may not be skipped
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def unit_of_name(column: str) -> str | None:
    """The unit that a column's name states: ``time_ms``, ``t (s)``, ``Timestamp [ns]``, ``timestampMs``."""
    found = _NAMED_UNIT.search(re.sub(r"[_\-]|(?<=[a-z])(?=[A-Z])", " ", column))
    if found is None:
        return None
    word = found[1].lower().replace("µ", "u").replace("μ", "u")
    return next(
        u
        for u in ("ns", "us", "ms", "s")
        if word.startswith((u, {"ns": "nano", "us": "micro", "ms": "milli"}.get(u, u)))
    )


def _unit_of_values(values: Array) -> str:
    known = np.unique(values[np.isfinite(values)])
    steps = np.diff(known)
    if not len(steps):
        return "s"
    step = float(np.median(steps))
    for unit, epoch in (("ns", 1e18), ("us", 1e15), ("ms", 1e12), ("s", 1e9)):  # since 1970, as of 2001 to 2096
        if epoch <= known[0] and known[-1] < 4 * epoch and step * SECONDS[unit] < SLOWEST:
            return unit
    return "s" if step < 1 else "ms" if step < 1000 else "us" if step < 1e6 else "ns"


def counts_frames(values: Array) -> bool:
    """Whether numbers called times are numbers of frames: whole, and mostly one apart."""
    known = np.unique(values[np.isfinite(values)])
    steps = np.diff(known)
    return bool(
        len(steps) and (known == np.floor(known)).all() and (steps == 1).mean() >= 0.5 and np.abs(known).max() < 1e9
    )


def of_stamps(times: Array, where: str | Path) -> Timing:
    """Rate and places of rows stamped with seconds, in any order; rows of one stamp are one frame.

    The usual step is the slope of the stamps over the numbers of their frames (least squares), so that rounding of
    single stamps does not matter. Steps are whole; where they add up to another time than the stamps say, each row
    lies at the frame of that clock that is nearest to its stamp. Where no clock fits, the rows keep their stamps.

    Raises:
        DataError: a stamp is missing, or a gap is longer than the recording could be.
    """
    if not np.isfinite(times).all():
        raise DataError(f"{where}: row {int(np.argmin(np.isfinite(times))) + 1} has no time")
    distinct, inverse = np.unique(times, return_inverse=True)
    steps = np.diff(distinct)
    if not len(steps):
        return Timing(None, np.zeros(len(times), np.int64), 1)
    quantum, usual = _resolution(distinct), float(np.median(steps))
    step, limit = _usual_step(steps, usual, quantum)
    gap = steps > limit * step + quantum
    if limit == GAP:
        step = _slope(distinct, np.concatenate([[0], np.cumsum(gap)])) or step
    places = np.concatenate([[0], np.cumsum(np.where(gap, np.maximum(np.round(steps / step), 2), 1))])
    _check_gaps(places, where, [f"{t - distinct[0]:.4g} s" for t in distinct[:-1][gap]], gap)
    exact, allowed = limit == GAP, max(3 * ALIGNED, quantum / step / 2 + ALIGNED)
    if not _agree(distinct, places, step, 3 * ALIGNED):
        tried = [_aligned(distinct, guess, first) for guess in (step, usual) for first in (8, 24, 72)]
        found, on, off = min(tried, key=lambda f: f[2].std())
        if _one_each(on) and (off.std() < ALIGNED or float(np.abs(off).max()) < min(allowed, 0.45)):
            step, places, exact = found, on, True
        elif not _agree(distinct, places, step, allowed if gap.any() else 1.0):
            step = found if off.std() < 2 * ALIGNED else _usual_step(steps, usual, quantum, PAUSE)[0]
            fps = tidy_rate(1 / step, LOOSE)
            return Timing(fps, inverse.astype(np.int64), len(distinct), error=JITTER, moments=distinct)
    more = np.diff(places).astype(np.int64) - 1
    gaps = tuple((int(places[i]), int(more[i])) for i in np.flatnonzero(more))
    error = max(quantum / float(steps[more == 0].sum() or step), 0.0 if exact else JITTER)
    fps = tidy_rate(1 / step, error / 2 if exact else 0)
    return Timing(fps, places[inverse].astype(np.int64), int(places[-1]) + 1, gaps, error)


def _usual_step(steps: Array, usual: float, quantum: float, limit: float = GAP) -> tuple[float, float]:
    """Mean of the steps that are no gaps, and beyond how many of them a step is a gap."""
    step = usual
    for _ in range(20):
        gap = steps > limit * step + quantum
        if limit == GAP and gap.mean() > IRREGULAR and gap.sum() > FEW:
            limit, step = PAUSE, float(steps[steps <= np.percentile(steps, 95)].mean())
            continue
        now = float(steps[~gap].mean()) if (~gap).any() else step
        if now == step:
            break
        step = now
    return step, limit


def _agree(times: Array, places: Array, step: float, most: float) -> bool:
    """Whether frames of a constant rate lie no further than ``most`` frames from the stamps."""
    off = (times - times[0]) / step - places
    return bool(np.abs(off - np.median(off)).max() <= most)


def _aligned(times: Array, step: float, first: int) -> tuple[float, Array, Array]:
    """Step of the clock that rising stamps lie on, the frame nearest to each, and how many frames it is off.

    A line through the ``first`` stamps says where the next half as many lie, and so on.
    """
    start, count = float(times[0]), min(first, len(times))
    while True:
        places = np.round((times[:count] - start) / step)
        step = _slope_over(places, times[:count]) or step
        start = float(times[0] + (times[:count] - times[0]).mean() - step * places.mean())
        if count == len(times):
            break
        count = min(count + count // 2, len(times))
    exact = (times - start) / step
    places = np.round(exact)
    return step, places - places[0], exact - places


def _slope_over(places: npt.NDArray[Any], times: Array) -> float:
    """Seconds from frame to frame (least squares); 0 where there is no telling."""
    centred = places - places.mean()
    square = float(centred @ centred)
    return max(0.0, float(centred @ (times - times[0])) / square) if square else 0.0


def _one_each(places: Array) -> bool:
    """Whether each row has a frame of its own and few frames are missing."""
    steps = np.diff(places)
    return bool((steps >= 1).all() and ((steps > 1).mean() <= IRREGULAR or (steps > 1).sum() <= FEW))


def of_both(numbers: Array, times: Array | None, where: str | Path) -> Timing:
    """Rate and places of rows with numbers of frames and stamps; a gap that one of them hides is one nevertheless.

    An exporter that numbers the rows it writes hides what is missing; one that computes stamps from a rate does so too.
    """
    found = of_numbers(numbers, where)
    if times is None:
        return found
    stamped = of_stamps(times, where)
    if stamped.moments is not None:
        step = _slope_over(found.place, times)
        if step and _agree(times, found.place - found.place[0], step, 1.0):
            return replace(found, fps=tidy_rate(1 / step, LOOSE), error=stamped.error)
        return stamped if len(np.unique(numbers)) == stamped.count else replace(found, fps=stamped.fps, error=JITTER)
    if stamped.count > found.count and len(np.unique(numbers)) == len(np.unique(times)):
        return stamped
    if stamped.count >= found.count or stamped.fps is None:
        return replace(found, fps=stamped.fps, error=stamped.error)
    return replace(found, fps=tidy_rate((found.count - 1) / float(np.ptp(times)), stamped.error), error=stamped.error)


def of_order(numbers: Array, where: str | Path) -> Timing:
    """Places of rows that keep their order, with absent frames where their numbers or stamps pause."""
    steps = np.diff(numbers)
    moving = steps[steps > 0]
    if not len(moving):
        return Timing(None, np.arange(len(numbers)), len(numbers))
    usual = float(np.median(moving))
    gap = steps > GAP * usual
    if gap.mean() > IRREGULAR:
        gap = steps > PAUSE * usual
    places = np.concatenate([[0], np.cumsum(np.where(gap, np.round(steps / usual), 1))]).astype(np.int64)
    _check_gaps(places, where, [f"{n:.12g}" for n in numbers[:-1][gap]], gap)
    return Timing(1 / usual, places, int(places[-1]) + 1)


def apart(times: Array) -> Array:
    """Stamps of rows in their order, those that a coarse clock repeats spread evenly until its next step."""
    distinct, first, counts = np.unique(times, return_index=True, return_counts=True)
    if len(distinct) < 3 or (counts > 1).mean() < COARSE or (np.diff(times) < 0).any():
        return times
    usual = float(np.median(np.diff(distinct)))
    width = np.append(np.minimum(np.diff(distinct), usual), usual)
    within = np.arange(len(times)) - np.repeat(first, counts)
    # a clock that is read in the middle of its step leaves fewer rows in the first and the last
    size = np.repeat(np.maximum(counts, np.median(counts[1:-1])), counts)
    late = np.where(np.arange(len(times)) < counts[0], size - counts[0], 0)
    return np.asarray(np.repeat(distinct, counts) + (within + late) / size * np.repeat(width, counts))


def _resolution(times: Array) -> float:
    """The step to which stamps were rounded: the coarsest power of ten that all are multiples of, at most 0.1 s."""
    since = times - times[0]
    for digits in range(1, 7):
        if np.allclose(since, np.round(since, digits), rtol=0, atol=1e-7 * 10.0 ** -min(digits, 3)):
            return float(10.0**-digits)
    return 0.0


def _slope(times: Array, stretch: npt.NDArray[Any]) -> float:
    """Seconds from frame to frame: the slope of times over their order, in stretches without a gap (least squares)."""
    count = np.bincount(stretch)
    order = np.arange(len(times), dtype=np.float64)
    order -= (np.bincount(stretch, order) / count)[stretch]
    since = times - (np.bincount(stretch, times - times[0]) / count)[stretch] - times[0]
    square = float(order @ order)
    return float(order @ since) / square if square else 0.0


def tidy_rate(rate: float, error: float = 0.0) -> float:
    """The roundest rate within 1/5000, or ``error`` (relative): stamps are rounded, and 59.98 a second are 60."""
    for digits in (0, 1, 2, 3):
        found = float(round(rate, digits))
        if found > 0 and abs(found - rate) <= max(TIDY, error) * rate:
            return found
    return float(rate)


def of_numbers(numbers: Iterable[float], where: str | Path) -> Timing:
    """Places of rows by the number of their frame, in any order; numbers that rise by a constant step count as one.

    Raises:
        DataError: a gap is longer than the recording could be; names it.
    """
    distinct, inverse = np.unique(np.array(list(numbers), dtype=np.float64), return_inverse=True)
    steps = np.diff(distinct)
    if not len(steps):
        return Timing(None, np.zeros(len(inverse), np.int64), 1)
    usual, counts = np.unique(steps, return_counts=True)
    step = float(usual[np.argmax(counts)])  # the smallest of the most frequent
    if counts.max() < FEW and (distinct == np.floor(distinct)).all():
        step = 1.0  # too few to be a stride
    places = (distinct - distinct[0]) / step
    if step <= 0 or (places != np.floor(places)).any():
        whole = (distinct == np.floor(distinct)).all()
        places = distinct - distinct[0] if whole else np.arange(len(distinct), dtype=np.float64)
    gap = np.diff(places) > 1
    _check_gaps(places, where, [f"frame {n:.12g}" for n in distinct[:-1][gap]], gap)
    gaps = tuple((int(places[i]), int(places[i + 1] - places[i]) - 1) for i in np.flatnonzero(gap))
    return Timing(None, places[inverse].astype(np.int64), int(places[-1]) + 1, gaps)


def _check_gaps(places: npt.NDArray[Any], where: str | Path, names: Sequence[str], gap: npt.NDArray[np.bool_]) -> None:
    absent = np.diff(places)[gap] - 1
    if len(absent) and float(absent.sum()) > LONGEST_GAP + LONGEST_SHARE * len(places):
        worst = int(np.argmax(absent))
        raise DataError(
            f"{where}: {absent[worst]:.0f} frames are missing after {names[worst]}, of a recording of {len(places)}; "
            "cut it there, or repair the numbers"
        )


def spread(timing: Timing, rows: npt.NDArray[Any], where: str | Path = "") -> npt.NDArray[Any]:
    """(frames, …) of (rows, …) at their places; zero where no row is. Resampling is noted of ``where``."""
    out = np.zeros((timing.count, *rows.shape[1:]), dtype=rows.dtype)
    out[timing.place] = rows
    if timing.moments is None or not timing.fps:
        return out
    if where:
        note_loose(str(where), timing.fps)
    return _on_clock(out if out.ndim > 2 else out[..., None], timing.moments, timing.fps).reshape(-1, *rows.shape[1:])


def resample(frames: npt.NDArray[Any], rate: float, wanted: float, *, absent: bool = True) -> npt.NDArray[Any]:
    """(T', …, C) at ``wanted`` frames/s by linear interpolation, T' = ⌊(T − 1)·wanted/rate⌋ + 1.

    A point (all of the last axis zero) that is absent in one of the two frames is absent between them,
    unless ``absent`` is False: then zero is a place.
    """
    count = int((len(frames) - 1) * wanted / rate + 1e-6) + 1
    at = np.minimum(np.arange(count) * (rate / wanted), len(frames) - 1)
    return _between(frames, np.where(np.abs(at - np.round(at)) < 1e-9, np.round(at), at), absent)


def _between(frames: npt.NDArray[Any], at: Array, absent: bool = True) -> npt.NDArray[Any]:
    """(n, …, C) at fractions of frames."""
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, len(frames) - 1)
    part = (at - low).reshape(-1, *[1] * (frames.ndim - 1))
    there = (frames != 0).any(axis=-1, keepdims=True) | (not absent)
    both = (there[low] | (part == 1)) & (there[high] | (part == 0))
    return np.where(both, frames[low] * (1 - part) + frames[high] * part, 0)


def _on_clock(frames: npt.NDArray[Any], moments: Array, wanted: float) -> npt.NDArray[Any]:
    """(T', …, C) at ``wanted`` frames/s of frames with stamps of their own; absent in longer holes, at any rate."""
    at = np.interp(clock([moments], wanted), moments, np.arange(len(moments)))
    out = _between(frames, at)
    steps = np.append(np.diff(moments), 0)
    longest = max(LONGEST_HOLE, (1 + GAP) * float(np.median(steps[:-1])))
    out[(steps[np.floor(at).astype(np.int64)] > longest) & (at % 1 > 0)] = 0
    return out


def brought(
    frames: npt.NDArray[Any], scores: npt.NDArray[Any] | None, rate: Timing | float | None, wanted: float | None
) -> tuple[npt.NDArray[Any], Any]:
    """Frames and their confidences at the rate asked for, if the recording states another or keeps none."""
    timing = rate if isinstance(rate, Timing) else Timing(rate, np.arange(len(frames)), len(frames))
    fps = timing.fps
    if timing.moments is not None and fps:
        both = [f if f is None else _on_clock(f, timing.moments, wanted or fps) for f in (frames, _column(scores))]
    elif not wanted or not fps or abs(fps - wanted) * max(len(frames), 1 / SAME_RATE) <= fps:
        return frames, scores
    else:
        both = [f if f is None else resample(f, fps, wanted) for f in (frames, _column(scores))]
    assert both[0] is not None
    return both[0], None if both[1] is None else both[1][..., 0]


def _column(scores: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
    return None if scores is None else scores[..., None]


def one_rate(rates: Iterable[tuple[str, Timing | float | None]], wanted: float | None) -> float | None:
    """The rate of an archive: the one wanted, or that of all its files; recordings that keep none are noted.

    Args:
        rates: name of each file and its rate, None where it does not say.
        wanted: rate asked for, to which the files are brought.

    Raises:
        ConfigError: the rate asked for is not positive.
        DataError: the files differ by more than they are sure of, and none is asked for.
    """
    rates = list(rates)
    if wanted is not None and not 0 < wanted < 1e6:
        raise ConfigError(f"option fps is {wanted:g}; it must be positive")
    fps = wanted or _common_rate(rates)
    loose = [name for name, r in rates if isinstance(r, Timing) and r.moments is not None]
    if loose and fps:
        note_loose(f"{loose[0]}{f' and {len(loose) - 1} more' * (len(loose) > 1)}", fps)
    return fps


def note_loose(names: str, fps: float) -> None:
    """Say of recordings whose stamps keep no rate that they are resampled."""
    warnings.warn(
        f"the stamps of {names} keep no rate (they jitter, or it changes), so readings are interpolated at {fps:.4g} a "
        "second",
        MotetNote,
        stacklevel=4,
    )


def _common_rate(rates: Sequence[tuple[str, Timing | float | None]]) -> float | None:
    """The rate of recordings that keep one, else the median of those that are resampled at any rate."""
    loose = [r.fps for _, r in rates if isinstance(r, Timing) and r.moments is not None and r.fps]
    known = [
        (name, r.fps, r.error) if isinstance(r, Timing) else (name, r, 0.0)
        for name, r in rates
        if (r.fps if isinstance(r, Timing) else r) is not None and not (isinstance(r, Timing) and r.moments is not None)
    ]
    if not known:
        return tidy_rate(float(np.median(loose)), LOOSE) if loose else None
    surest, fps, _ = min(known, key=lambda k: k[2])
    for name, rate, error in known:
        if rate is not None and fps is not None and abs(rate - fps) > max(SAME_RATE, error) * fps:
            raise DataError(
                f"{surest} has {fps:.4g} frames/s and {name} {rate:.4g}, and an archive has one rate; resample them "
                "with --fps"
            )
    return fps
