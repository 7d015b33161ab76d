"""Sensors that recorded at once, each with the stamps of its own clock, in one ``.npz``.

======================  =========================================================================================
``<s>``                 (sum of lengths, C) readings of stream ``<s>`` (``phone``, ``watch`` …), C a multiple of 3
``<s>_time_ms``         (sum of lengths,) time stamps in milliseconds, or ``<s>_time`` in seconds, of one clock
``<s>_offset``          (N + 1,) integers; recording i is ``<s>[offset[i]:offset[i + 1]]``
``<s>_label``           (sum of lengths,) integers into ``class_names``, -1 = unlabelled; optional
``recording``           (N,) text: what the recordings are called, optional
``subject``             (N,) people, text or numbers, optional
``class_names``         (K,) text
``licence``             text, optional
======================  =========================================================================================

Every recording is brought to a stated rate on the time that its streams share: linear between neighbouring samples,
absent (zero) in gaps. Each three readings become a node (``phone_accelerometer``, ``phone_gyroscope`` …), and labels
the track ``labels``, by the nearest sample of the stream that ``--labels-of`` names. Clocks that run apart are noticed
where movements or ends say so (:mod:`motet.data.drift`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import counted
from motet.data import layouts
from motet.data.drift import MOST, SHORTEST, drift, ends, unseen
from motet.data.formats import _time
from motet.data.formats._compact import Arrays, load_arrays
from motet.data.formats._files import bare, find_files
from motet.data.formats._names import subject_numbers
from motet.data.formats._sensors import stated_unit
from motet.data.formats.base import Format, Plan, RawClip, Unit
from motet.data.timing import LONGEST_GAP, clock, nearest, resample

Array = npt.NDArray[Any]
_TRIADS = ("accelerometer", "gyroscope", "magnetometer")
_UNITS = ("_time_ms", "_time")
SHARED = 0.5  # share of the longer recording that all clocks must have in common


@dataclass(frozen=True)
class Options:
    """Options of the ``streams`` format.

    Attributes:
        streams: which streams to import, all by default.
        fps: samples per second to which stamps are brought.
        labels_of: stream whose labels count; by default the last one chosen.
        longest_gap: seconds without a sample beyond which readings count as absent.
        clock: streams whose clock is fast or slow, and how many seconds it counts in one, e.g. ``watch=1.01``; their
            stamps are brought back, from the first of each recording on.
        unit: of the readings, one or one for each kind of node, such as ``m/s^2, rad/s``; unknown by default.
        licence: terms of the recordings, if the file does not say.
    """

    streams: tuple[str, ...] = ()
    fps: float = 50.0
    labels_of: str | None = None
    longest_gap: float = LONGEST_GAP
    clock: tuple[str, ...] = ()
    unit: str | None = None
    licence: str = "unknown"


def _names(path: Path, arrays: Arrays) -> list[str]:
    """Streams of the file: whatever has readings, offsets and stamps."""
    candidates = [n.removesuffix("_offset") for n in arrays if n.endswith("_offset")]
    found = [n for n in candidates if n in arrays and any(f"{n}{u}" in arrays for u in _UNITS)]
    if not found:
        raise DataError(f"{path}: no stream: an array <s> with <s>_offset and <s>_time_ms or <s>_time")
    return found


def _chosen(path: Path, arrays: Arrays, options: Options) -> list[str]:
    known = _names(path, arrays)
    chosen = list(options.streams) or known
    for name in [*chosen, *([options.labels_of] if options.labels_of else [])]:
        if name not in known:
            raise ConfigError(f"{path} has no stream {name!r}; it has {', '.join(known)}")
    return chosen


def _stamps(path: Path, arrays: Arrays, name: str) -> npt.NDArray[np.float64]:
    unit = next(u for u in _UNITS if f"{name}{u}" in arrays)
    stamps = arrays[f"{name}{unit}"]
    if stamps.shape != arrays[name].shape[:1] or stamps.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: array '{name}{unit}' is not one time stamp for each of {counted(len(arrays[name]), 'sample')}"
        )
    found = stamps.astype(np.float64)
    return found * 1e-3 if unit == "_time_ms" else _time.in_seconds(found, f"{name}_time", path)


def _clocks(path: Path, arrays: Arrays, options: Options) -> dict[str, float]:
    """Seconds that the clock of each stream counts in one, where they are stated.

    Raises:
        ConfigError: not NAME=FACTOR, no such stream, or a factor that no clock has.
    """
    found = {}
    for text in options.clock:
        name, _, factor = text.rpartition("=")
        try:
            found[name] = float(factor)
        except ValueError as error:
            raise ConfigError(f"--clock {text!r} is not STREAM=FACTOR, e.g. watch=1.01") from error
        known = _names(path, arrays)
        if name not in known:
            raise ConfigError(f"--clock {text!r}: {path} has no stream {name!r}; it has {', '.join(known)}")
        if not 0.5 <= found[name] <= 2:
            raise ConfigError(f"--clock {text!r}: a clock counts 0.5 to 2 seconds in one; 1.01 is 1 % fast")
    return found


def _times(path: Path, arrays: Arrays, name: str, index: int, clocks: Mapping[str, float]) -> tuple[Array, slice]:
    """Seconds of the readings of a stream in a recording, by a clock that is right, and which rows they are."""
    rows = slice(*_offsets(path, arrays, name)[index : index + 2].tolist())
    stamps = _stamps(path, arrays, name)[rows]
    if name in clocks and len(stamps):
        stamps = stamps.min() + (stamps - stamps.min()) / clocks[name]
    return stamps, rows


def _offsets(path: Path, arrays: Arrays, name: str) -> npt.NDArray[np.int64]:
    values, offsets = arrays[name], arrays[f"{name}_offset"]
    if values.ndim != 2 or values.shape[1] % 3 or not values.shape[1] or values.dtype.kind not in "fiu":
        raise DataError(f"{path}: array {name!r} is {values.dtype} {values.shape}, not (samples, a multiple of 3)")
    rises = (
        offsets.ndim == 1 and offsets.dtype.kind in "iu" and len(offsets) > 1 and bool((np.diff(offsets) >= 0).all())
    )
    if not rises or offsets[0] < 0 or offsets[-1] > len(values):
        raise DataError(
            f"{path}: array '{name}_offset' does not rise from 0 to the {counted(len(values), 'sample')} there are"
        )
    return offsets.astype(np.int64)


def _texts(arrays: Arrays, name: str, count: int) -> list[str] | None:
    found = arrays.get(name)
    return None if found is None or found.shape != (count,) else [str(v) for v in found.tolist()]


def _classes(path: Path, arrays: Arrays) -> tuple[str, ...]:
    found = arrays.get("class_names", np.zeros(0))
    if found.ndim != 1:
        raise DataError(f"{path}: array 'class_names' is not a list of names")
    return tuple(str(n) for n in found.tolist())


def discover(source: Path, options: Options) -> Plan:
    if not options.fps > 0:
        raise ConfigError(f"fps is {options.fps}; it must be positive")
    files = find_files(source, r"(?i).+\.npz", what="file of streams (*.npz)")
    if len(files) > 1:
        raise DataError(f"{source} holds {len(files)} .npz files; import one at a time, e.g. {files[0]}")
    path = files[0]
    arrays = load_arrays(path)
    chosen = _chosen(path, arrays, options)
    counts = {name: len(_offsets(path, arrays, name)) - 1 for name in chosen}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{n} {c}" for n, c in counts.items())
        raise DataError(f"{path}: streams have different numbers of recordings ({said})")
    count = next(iter(counts.values()))
    names = _texts(arrays, "recording", count) or [f"{bare(path).stem}_{i:05d}" for i in range(count)]
    clocks = _clocks(path, arrays, options)
    _note_ends(path, {n: _lasting(path, arrays, n, clocks) for n in chosen}, clocks)
    joints = [f"{n}_{t}" for n in chosen for t in _triads(arrays[n].shape[1])]
    people = _texts(arrays, "subject", count)
    known = list(dict.fromkeys(people or ()))
    numbers = dict(zip(known, subject_numbers(known), strict=True))
    who = [{} if people is None else {"subject": numbers[p], "subject_name": p} for p in people or [""] * count]
    licence = arrays.get("licence")
    return Plan(
        units=[Unit(names[i], path, {"recording": i, "columns": who[i]}) for i in range(count)],
        skeleton=layouts.build("streams-" + "-".join(chosen), joints, [-1] * len(joints), kind="sensor", up=None),
        fps=options.fps,
        measure=stated_unit(options.unit, joints),
        class_names=_classes(path, arrays),
        licence=str(licence) if licence is not None and licence.ndim == 0 else options.licence,
        light=True,
        facts={"streams": chosen, "split": "odd-even"},
    )


def _note_ends(path: Path, lasting: Mapping[str, Sequence[float]], clocks: Mapping[str, float]) -> None:
    """Warn of clocks that run apart by the ends of recordings, and note where nothing can tell."""
    first, *others = lasting
    for name in others:
        share = ends(lasting[first], lasting[name])
        if share is not None:
            said = f"the longer a recording, the {'longer' if share > 0 else 'shorter'} it lasts there"
            _warn(f"{path}: in {counted(len(lasting[name]), 'recording')}", first, name, share, said, clocks)
            continue
        short = sum(min(pair) < SHORTEST for pair in zip(lasting[first], lasting[name], strict=True))
        if not short:
            continue
        most = unseen(lasting[first], lasting[name])
        known = most if most is not None and most <= MOST else None
        by_ends = f"by the ends of all they do by {100 * known:.2f} % at most" if known else "nothing else says it"
        warnings.warn(
            f"{path}: {counted(short, 'recording')} of less than {SHORTEST:g} s, too short for movements to show "
            f"whether clocks of {first} and {name} run apart; {by_ends}",
            MotetNote,
            stacklevel=3,
        )


def _lasting(path: Path, arrays: Arrays, name: str, clocks: Mapping[str, float]) -> list[float]:
    """Seconds from the first to the last stamp of every recording."""
    stamps, offsets = _stamps(path, arrays, name) / clocks.get(name, 1.0), _offsets(path, arrays, name).tolist()
    return [float(np.ptp(stamps[a:b])) if b > a else np.nan for a, b in pairwise(offsets)]


def _triads(columns: int) -> list[str]:
    count = columns // 3
    return list(_TRIADS[:count]) if count <= len(_TRIADS) else [f"node{i + 1}" for i in range(count)]


def read(unit: Unit, options: Options) -> list[RawClip]:
    arrays, index = load_arrays(unit.path), int(unit.detail["recording"])
    times: list[Array] = []
    values: list[Array] = []
    chosen, clocks = _chosen(unit.path, arrays, options), _clocks(unit.path, arrays, options)
    for name in chosen:
        stamps, rows = _times(unit.path, arrays, name, index, clocks)
        readings = arrays[name][rows].astype(np.float64)
        if len(stamps) < 2 or not np.isfinite(stamps).all() or not np.isfinite(readings).all():
            raise DataError(f"{unit.path}, recording {unit.name}: stream {name!r} is empty, NaN or infinite")
        order = np.argsort(stamps, kind="stable")
        times.append(stamps[order])
        values.append(readings[order])
    at = clock(times, options.fps)
    _check_shared(unit, chosen, times, at, options.fps)
    _note_drifts(unit, chosen, times, values, clocks)
    joined = np.concatenate(
        [resample(t, v, at, longest_gap=options.longest_gap) for t, v in zip(times, values, strict=True)], axis=1
    )
    frames = joined.reshape(len(at), -1, 3)
    tracks = _labels(unit, arrays, options, chosen, index, at)
    return [RawClip(unit.name, frames, columns={"source": unit.path.name, **unit.detail["columns"]}, tracks=tracks)]


def _check_shared(unit: Unit, chosen: Sequence[str], times: Sequence[Array], at: Array, fps: float) -> None:
    longest = max(float(t[-1] - t[0]) for t in times)
    if len(at) < SHARED * longest * fps or len(at) < 2:
        raise DataError(
            f"{unit.path}, recording {unit.name}: clocks of {' and '.join(chosen)} run apart: they share "
            f"{len(at) / fps:.1f} of {longest:.1f} s; correct the stamps or import one with --streams"
        )


def _note_drifts(
    unit: Unit, chosen: Sequence[str], times: Sequence[Array], values: Sequence[Array], clocks: Mapping[str, float]
) -> None:
    for name, stamps, readings in zip(chosen[1:], times[1:], values[1:], strict=True):
        found = drift([times[0], stamps], [values[0], readings])
        if found is not None:
            said = "their movements agree with that and not without"
            _warn(f"{unit.path}, recording {unit.name}", chosen[0], name, found.share, said, clocks)


def _warn(where: str, first: str, name: str, share: float, said: str, clocks: Mapping[str, float]) -> None:
    factor = clocks.get(name, 1.0) * (1 + share)
    warnings.warn(
        f"{where}: the clock of {name} runs {100 * abs(share):.1f} % {'fast' if share > 0 else 'slow'} against that of "
        f"{first} ({said}); if {first} is right, pass --clock {name}={factor:.4g}",
        MotetWarning,
        stacklevel=3,
    )


def _labels(
    unit: Unit, arrays: Arrays, options: Options, chosen: Sequence[str], index: int, at: Array
) -> dict[str, list[str | None]]:
    name = options.labels_of or chosen[-1]
    labels, classes = arrays.get(f"{name}_label"), arrays.get("class_names")
    if labels is None or classes is None:
        return {}
    if labels.shape != arrays[name].shape[:1] or labels.dtype.kind not in "iu" or labels.max() >= len(classes):
        raise DataError(
            f"{unit.path}: array '{name}_label' is not one index into class_names for each sample; "
            "add the missing names or correct the labels"
        )
    stamps, rows = _times(unit.path, arrays, name, index, _clocks(unit.path, arrays, options))
    order = np.argsort(stamps, kind="stable")
    found = nearest(stamps[order], labels[rows][order], at)
    return {"labels": [None if n < 0 else str(classes[n]) for n in found.tolist()]}


FORMAT = Format(
    description="sensors with their own time stamps in one .npz",
    options=Options,
    discover=discover,
    read=read,
    example="sensors.npz",
)
