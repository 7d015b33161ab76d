"""Sensors in the arrays of the compact layout (:mod:`motet.data.formats.npz`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.core.units import AS_RECORDED
from motet.data import layouts
from motet.data.columns import path_name
from motet.data.formats._compact import Array, Compact
from motet.data.formats._sensors import join_nodes, note_pauses
from motet.data.formats._time import in_seconds
from motet.data.formats.base import SensorPlan
from motet.data.skeletons import Skeleton

if TYPE_CHECKING:
    from motet.data.formats.npz import Options


def _nodes(found: Compact, prefix: str) -> tuple[str, ...]:
    """Arrays of a sensor: one of all nodes, or one with three columns for each node of ``imu-2``."""
    if _form(found.arrays.get(prefix)) is not None:
        return (prefix,)
    nodes = tuple(f"{prefix}_{joint}" for joint in layouts.get("imu-2").joints)
    for name in nodes:
        array, time = found.arrays.get(name), found.arrays.get(f"{name}_time")
        if array is None or array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "fiu":
            known = sorted({n.removesuffix("_offset") for n in found.arrays if n.endswith("_offset")})
            raise ConfigError(
                f"{found.path} has no sensor {prefix!r}: neither {prefix!r} (rows, 6) nor {name!r} (rows, 3); "
                f"it has {', '.join(known) or 'no sensors'} (a sensor is named without _accelerometer or _gyroscope)"
            )
        if time is None or time.shape != array.shape[:1] or time.dtype.kind != "f":
            raise found.fail(f"array '{name}_time' is missing or not ({len(array)},) seconds")
    return nodes


def _form(whole: Array | None) -> tuple[int, int] | None:
    """Nodes and readings of each of an array of all nodes of a sensor; None if it is no such array."""
    if whole is None or whole.dtype.kind not in "fiu" or 0 in whole.shape[1:]:
        return None
    return whole.shape[1:] if whole.ndim == 3 else (2, 3) if whole.ndim == 2 and whole.shape[1] == 6 else None


def sensor_plan(found: Compact, prefix: str, rate: float | None) -> SensorPlan:
    """Nodes, readings and unit of a sensor next to the skeletons."""
    nodes, channels = _form(found.arrays.get(prefix)) or (2, 3)
    names = found.names(f"{prefix}_node_names")
    skeleton = nodes_of(found, names, nodes) if names else layouts.get("imu-2")
    if len(skeleton) != nodes:
        raise found.fail(f"array {prefix!r} has {counted(nodes, 'node')}, and '{prefix}_node_names' is missing")
    unit = found.text(f"{prefix}_unit") or AS_RECORDED
    return SensorPlan(skeleton, rate, unit, channels_of(found, channels, f"{prefix}_channel_names"))


def nodes_of(found: Compact, names: Sequence[str], count: int) -> Skeleton:
    """The layout of a sensor's nodes: the built-in one of these names, or one of its own.

    Raises:
        DataError: not as many names as nodes, or one twice.
    """
    if len(names) != count or len(set(names)) != count:
        raise found.fail(f"{counted(len(set(names)), 'distinct name')} for {counted(count, 'node')} of a sensor")
    known = layouts.match(names)
    if known is not None and known.kind == "sensor":
        return known
    return layouts.build(f"sensor-{count}", names, [-1] * count, up=None, kind="sensor")


def channels_of(found: Compact, count: int, array: str = "channel_names") -> tuple[str, ...]:
    """Names of the readings of a node, or of the coordinates of a joint: x, y, z unless the file says it.

    Raises:
        DataError: not as many names as there are readings, or one twice.
    """
    names = tuple(found.names(array)) or ("x", "y", "z")[:count]
    if len(names) != count or len(set(names)) != count:
        raise found.fail(f"{counted(count, 'coordinate')} a joint or node, and {array!r} names {len(set(names))}")
    return names


def sensors_of(found: Compact) -> list[str]:
    """Prefixes of the sensors that recorded next to the skeletons."""
    prefixes = []
    for name in (n.removesuffix("_offset") for n in found.arrays if n.endswith("_offset")):
        values = found.arrays.get(name)
        if values is not None and values.ndim == 3 and f"{name}_node_names" in found.arrays:
            prefixes.append(path_name(name, f"{found.path}: a sensor"))
            continue
        node = next((j for j in layouts.get("imu-2").joints if name.endswith(f"_{j}")), None)
        if values is not None and values.ndim == 2 and values.shape[1] in (3, 6):
            prefix = name if node is None else name.removesuffix(f"_{node}")
            prefixes.append(path_name(prefix, f"{found.path}: a sensor"))
    return list(dict.fromkeys(prefixes))


def sensor_clips(found: Compact, prefix: str, options: Options) -> tuple[list[int], float | None]:
    """Clips during which the sensor recorded, and its rate."""
    if options.sensor_fps <= 0:
        raise ConfigError(f"sensor_fps must be positive, not {options.sensor_fps}")
    nodes = _nodes(found, prefix)
    lengths = []
    for name in nodes:
        lengths.append(np.diff(found.offsets(f"{name}_offset", len(found.arrays[name]))))
        if len(lengths[-1]) != found.clips:
            raise found.fail(f"array '{name}_offset' is for {len(lengths[-1])} of {counted(found.clips, 'clip')}")
        if len(nodes) > 1:
            note_pauses(f"{found.path}, {name}", [_stamps(found, name, i) for i in range(found.clips)])
    clips = [i for i in range(found.clips) if any(n[i] for n in lengths)]
    if not clips:
        raise found.fail(f"the sensor {prefix!r} recorded nothing")
    return clips, options.sensor_fps if len(nodes) > 1 else found.number(f"{nodes[0]}_fps")


def sensor_frames(found: Compact, prefix: str, clip: int, options: Options) -> npt.NDArray[np.float32]:
    """(T, V, C) readings; a node that did not record is zero; T is 0 if none did."""
    nodes = _nodes(found, prefix)
    rows = [slice(*found.arrays[f"{n}_offset"][clip : clip + 2].tolist()) for n in nodes]
    if len(nodes) == 1:
        whole = found.arrays[nodes[0]]
        return whole[rows[0]].reshape(-1, *(_form(whole) or ())).astype(np.float32)
    values = [found.arrays[n][r].astype(np.float64) for n, r in zip(nodes, rows, strict=True)]
    return join_nodes([_stamps(found, n, clip) for n in nodes], values, options.sensor_fps)


def _stamps(found: Compact, node: str, clip: int) -> npt.NDArray[np.float64]:
    """Seconds of the samples of a node in a clip."""
    times = found.arrays[f"{node}_time"][slice(*found.arrays[f"{node}_offset"][clip : clip + 2].tolist())]
    if not np.isfinite(times).all():
        raise found.fail(f"array '{node}_time' is NaN or infinite in clip {clip}")
    return in_seconds(times.astype(np.float64), f"{node}_time", found.path)
