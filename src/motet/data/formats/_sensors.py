"""Nodes of one worn sensor that keep their own clocks, brought onto one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, MotetNote
from motet.core.text import counted, first_of, pasted
from motet.core.units import AS_RECORDED, OF_SENSORS, unit_name
from motet.data.inertial import FORCE, TURN, kind_of

Array = npt.NDArray[np.floating[Any]]

LONGEST_PAUSE = 1.0  # seconds


def stated_unit(unit: str | None, nodes: Sequence[str], recorded: Sequence[str] | None = None) -> str:
    """The unit that an option states of nodes, one or several with commas; unknown where it states none.

    Nodes that recorded (all, unless ``recorded`` names them) and whose readings the only unit cannot be of are noted.

    Raises:
        ConfigError: no unit of a sensor, or neither one nor one for each kind of node or each node.
    """
    name = unit_name(unit or AS_RECORDED)
    parts = name.split(", ")
    if unknown := [part for part in parts if part not in OF_SENSORS]:
        raise ConfigError(
            f"--unit {pasted(str(unit))}: {unknown[0]!r} is no unit of a sensor; known: {', '.join(OF_SENSORS)}"
        )
    kinds = list(dict.fromkeys(map(kind_of, nodes)))
    if len(parts) not in (wanted := sorted({1, len(kinds), len(nodes)})):
        raise ConfigError(
            f"--unit {pasted(str(unit))} gives {counted(len(parts), 'unit')} for {counted(len(nodes), 'node')} "
            f"({', '.join(nodes[:6])}{' …' * (len(nodes) > 6)}); give {' or '.join(map(str, wanted))}"
        )
    own = next((kind for kind, units in (("acc", FORCE), ("gyr", TURN)) if parts[0] in units), None)
    others = {"acc", "gyr", "mag"} - {own} if own and len(parts) == 1 else set()
    silent = [node for node in (nodes if recorded is None else recorded) if kind_of(node) in others]
    if silent:
        warnings.warn(
            f"the unit {name} says nothing of {first_of(silent, 'node')}; give one for each kind of node, e.g. --unit "
            f"{pasted(usual_units(nodes))}",
            MotetNote,
            stacklevel=3,
        )
    return name


def usual_units(nodes: Sequence[str]) -> str:
    """What an option of units may say of nodes.

    >>> usual_units(["phone_accelerometer", "phone_gyroscope", "watch_accelerometer"])
    'g, deg/s'
    """
    kinds = dict.fromkeys(map(kind_of, nodes))
    return ", ".join({"gyr": "deg/s", "mag": "uT"}.get(kind, "g") for kind in kinds)


def join_nodes(
    times: Sequence[Array], values: Sequence[Array], fps: float, *, pauses: bool = False
) -> npt.NDArray[np.float32]:
    """(T, nodes, C) at ``fps`` out of nodes sampled at times of their own, by linear interpolation.

    Of each node the longest run without a step back or a pause counts; of all, the time that they share. A node that
    recorded nothing, or at another time, is zero; T is 0 if none recorded.

    Args:
        times: (n,) seconds of each node.
        values: (n, C) readings of each node.
        fps: samples per second wanted.
        pauses: beyond a pause the recording continues, and in it samples are absent (zero).
    """
    channels = max((v.shape[1] for v in values), default=0)
    if not any(map(len, times)):
        return np.zeros((0, len(times), channels), dtype=np.float32)
    runs = [_longest_run(t, np.inf if pauses else LONGEST_PAUSE) for t in times]
    times = [t[r] for t, r in zip(times, runs, strict=True)]
    values = [v[r] for v, r in zip(values, runs, strict=True)]
    used, start, end = _common_time(times)
    at = start + np.arange(int((end - start) * fps) + 1) / fps
    frames = np.zeros((len(at), len(times), channels), dtype=np.float32)
    for node in used:
        moments, place = np.unique(times[node], return_inverse=True)  # several samples of one moment are averaged
        sums = np.zeros((len(moments), channels))
        np.add.at(sums, place, values[node])
        means = sums / np.bincount(place)[:, None]
        for channel in range(channels):
            frames[:, node, channel] = np.interp(at, moments, means[:, channel])
        after = np.searchsorted(moments, at).clip(1, max(1, len(moments) - 1))
        if pauses and len(moments) > 1:
            frames[(moments[after] - moments[after - 1] > LONGEST_PAUSE) & ~np.isin(at, moments), node] = 0
    return frames


def note_pauses(what: str, times: Sequence[Array]) -> None:
    """Say in how many recordings a clock stops or steps back, as :func:`join_nodes` keeps one stretch of each."""
    left = [len(t) - len(t[_longest_run(t)]) for t in times if len(t)]
    if any(left):
        warnings.warn(
            f"{what}: its clock stops or steps back in {sum(n > 0 for n in left)} of "
            f"{counted(len(left), 'recording')}; of each the longest stretch is kept, which leaves out "
            f"{counted(sum(left), 'sample')}",
            MotetNote,
            stacklevel=3,
        )


def _longest_run(times: Array, pause: float = LONGEST_PAUSE) -> slice:
    """The longest stretch of samples without a step back or a pause: beyond it the times are of another recording."""
    steps = np.diff(times)
    breaks = np.flatnonzero((steps < 0) | (steps > pause)) + 1
    edges = [0, *breaks.tolist(), len(times)]
    longest = int(np.argmax(np.diff(edges)))
    return slice(edges[longest], edges[longest + 1])


def _common_time(times: Sequence[Array]) -> tuple[list[int], float, float]:
    """Nodes that recorded at the same time, and from when to when; one that shares less than half of it is left out."""
    recorded = [i for i, t in enumerate(times) if len(t)]
    first = times[recorded[0]]
    used, start, end = [recorded[0]], float(first[0]), float(first[-1])
    for node in recorded[1:]:
        begin, finish = max(start, float(times[node][0])), min(end, float(times[node][-1]))
        if finish - begin >= (end - start) / 2:
            used, start, end = [*used, node], begin, finish
    return used, start, end
