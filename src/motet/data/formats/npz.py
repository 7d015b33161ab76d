"""The compact layout: a whole set of clips in one ``.npz``.

==================  =============================================================================================
``pos``             (sum of lengths, V, C), or (…, P, V, C) for several persons: coordinates in metres
``pos_mm``          instead of ``pos``: the same as integers, in millimetres
``offset``          (N + 1,) integers; clip i is ``pos[offset[i]:offset[i + 1]]``
``joint_names``     (V,) text
``parents``         (V,) integers, -1 = root; optional where the joint names are those of a built-in layout
``unit``            text, of ``pos``; metres if it is not there
``kind``            text: ``body``, ``hand`` or ``sensor``, whose nodes stand in place of the joints; ``body`` if it is
                    not there
``up``              text such as ``+y``, with ``right_handed`` (a truth value); else seen in the recordings
``channel_names``   (C,) text; x, y, z if it is not there
``canonical_names`` (V,) text: what other layouts call the joints, where their own names do not say it
``fps``             frames per second, optional
``label``           (N,) integers into ``class_names``, -1 = unknown; optional, like everything below
``subject``         (N,) integers into ``subject_names``, or the names themselves
``view``            (N,) integers into ``view_names``; becomes the camera number and, by name, the column ``view``
``rep``             (N,) repetition, number or text
``frame_label``     (sum of lengths,) integers into ``class_names``, -1 = unlabelled: labels along time, which become
                    the track ``labels``
``interval_track``  (M,) texts, the label track of each interval, with ``interval_clip`` (which clip, from 0),
                    ``interval_start`` and ``interval_end`` in seconds, ``interval_label``, and if known
                    ``interval_rater`` ("" = unknown) and ``interval_certainty`` (NaN = unknown)
``name``            (N,) texts, the names of the clips; ``source`` (N,) texts, where each comes from
``confidence``      (sum of lengths, V), or (…, P, V): how sure each joint is
``licence``         text
any other (N,)      a column of its own; a number if ``<name>_names`` does not exist, else that name (-1, NaN and
                    the smallest 64-bit integer: unknown). ``column_0`` … are called as ``column_titles`` says
``<s>``             (sum of lengths, nodes, readings) of a sensor that recorded next to the skeletons, with its own
                    ``<s>_offset`` (nothing between two offsets: absent), ``<s>_fps``, ``<s>_node_names`` and, if
                    known, ``<s>_channel_names`` and ``<s>_unit``; or (sum of lengths, 6), acceleration and angular rate
``<s>_<node>``      (sum of lengths, 3) with ``<s>_<node>_offset`` and ``…_time`` in seconds: likewise, the nodes
                    ``accelerometer`` and ``gyroscope`` each with its own times
==================  =============================================================================================
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motet.core.errors import ConfigError, DataError, MotetNote
from motet.core.text import counted
from motet.core.units import AS_RECORDED, unit_name
from motet.data import layouts
from motet.data.convert import estimate_handedness, estimate_up
from motet.data.formats import _layout
from motet.data.formats._axes import Up
from motet.data.formats._compact import Array, Compact
from motet.data.formats._compact_sensors import (
    channels_of,
    nodes_of,
    sensor_clips,
    sensor_frames,
    sensor_plan,
    sensors_of,
)
from motet.data.formats._files import find_files
from motet.data.formats.base import Format, Plan, RawClip, Unit
from motet.data.skeletons import AXES, Skeleton

_PROBED_FRAMES = 2000  # enough to see which way is up


@dataclass(frozen=True)
class Options:
    """Options of the ``npz`` format.

    Attributes:
        sensor: import this accompanying sensor (its prefix in the file, e.g. ``inertial`` or ``watch``) instead of
            the skeletons.
        sensor_fps: rate to which sensor nodes with their own times are brought (linear interpolation).
        up: axis that points up; ``auto`` sees it in the recordings, and takes the layout's where it cannot.
        right_handed: whether the axes form a right-handed frame; by default as the recordings show (the feet point
            forward), and takes the layout's where it cannot.
        licence: terms of the recordings, if the file does not tell.
    """

    sensor: str | None = None
    sensor_fps: float = 50.0
    up: Up = "auto"
    right_handed: bool | None = None
    licence: str = "unknown"


def skeleton_of(found: Compact, options: Options) -> Skeleton:
    """Built-in layout with these joint names, or one made of names and parents; axes as the recordings show them."""
    joints = found.names("joint_names")
    count = found.positions().shape[-2]
    _layout.check_joints(count, found.path)
    if len(joints) != count:
        raise found.fail(f"{len(joints)} joint names for {counted(count, 'joint')}")
    kind = found.text("kind") or ("hand" if layouts.is_hand(joints) else "body")
    if kind not in ("body", "hand", "sensor"):
        raise found.fail(f"array 'kind' is {kind!r}; it must be body, hand or sensor")
    if kind == "sensor":
        return nodes_of(found, joints, count)
    skeleton = layouts.match(joints)
    parents = found.arrays.get("parents")
    if skeleton is not None and parents is not None:
        _check_parents(found, skeleton, parents)
    if skeleton is None:
        if parents is None:
            known = _layout.hand_names(joints)
            names = [known.get(joint, joint) for joint in joints]
            skeleton = _layout.of_names(names, found.path, prefix=found.stem, remedy="an array 'parents' or a")
            skeleton = layouts.kept(skeleton, [skeleton.index(name) for name in names])  # in the file's order
            skeleton = dataclasses.replace(skeleton, kind=kind)
        elif parents.shape != (count,) or parents.dtype.kind not in "iu":
            raise found.fail(f"no built-in layout has these joint names, and 'parents' is not ({count},) integers")
        else:
            try:
                canonical = found.names("canonical_names") or None
                name = f"{found.stem}-{count}"
                skeleton = layouts.build(name, joints, [int(p) for p in parents], canonical=canonical, kind=kind)
            except ConfigError as error:
                raise found.fail(str(error)) from error
    return dataclasses.replace(skeleton, **_axes(found, skeleton, options))


def _axes(found: Compact, skeleton: Skeleton, options: Options) -> dict[str, Any]:
    """``up`` and ``right_handed``: as the options say, else the file, else the recordings, else the layout."""
    positions = found.positions()
    sample = positions[:: max(1, len(positions) // _PROBED_FRAMES)]
    sample = sample[np.isfinite(sample).all(axis=tuple(range(1, sample.ndim)))]
    up, handed = found.text("up"), found.arrays.get("right_handed")
    if up not in (None, *AXES) or (handed is not None and (handed.ndim or handed.dtype.kind != "b")):
        raise found.fail(f"'up' must be one of {', '.join(AXES)} and 'right_handed' a truth value")
    if options.up != "auto":
        up = options.up
    right = bool(handed) if options.right_handed is None and handed is not None else options.right_handed
    if right is None:
        seen = estimate_handedness(sample, skeleton)
        right = skeleton.right_handed if seen is None else seen
    return {"up": up or estimate_up(sample, skeleton) or skeleton.up, "right_handed": right}


def _check_parents(found: Compact, skeleton: Skeleton, parents: Array) -> None:
    """Refuse ``parents`` that are no tree, and note those that are another tree than the layout's."""
    if parents.shape != (len(skeleton),) or parents.dtype.kind not in "iu":
        raise found.fail(f"'parents' is {parents.dtype} {parents.shape}, not ({len(skeleton)},) integers")
    theirs = [-1 if p == joint else int(p) for joint, p in enumerate(parents.tolist())]
    try:
        layouts.build(found.stem, skeleton.joints, theirs)
    except ConfigError as error:
        raise found.fail(f"'parents' is no tree ({error})") from error
    ours = [-1 if p == joint else p for joint, p in enumerate(skeleton.parents)]
    other = [skeleton.joints[j] for j, (a, b) in enumerate(zip(theirs, ours, strict=True)) if a != b]
    if other:
        warnings.warn(
            f"{found.path}: 'parents' differs from the built-in layout {skeleton.name}, whose bones are used (parent "
            f"of {', '.join(other[:5])}{' …' if len(other) > 5 else ''})",
            MotetNote,
            stacklevel=3,
        )


def discover(source: Path, options: Options) -> Plan:
    files = find_files(source, r"(?i).+\.npz", what="compact sets (*.npz)")
    if len(files) > 1:
        raise DataError(f"{source} holds {len(files)} .npz files; import one at a time, e.g. {files[0]}")
    path = files[0]
    found = Compact(path)
    columns, names = found.columns(), found.clip_names()
    licence = found.arrays.get("licence")
    stated = str(licence) if licence is not None and licence.ndim == 0 and licence.dtype.kind == "U" else ""
    names = found.clip_names()
    numbers = {c.get("subject") for c in columns}
    parities = {n % 2 for n in numbers if isinstance(n, int)}
    facts: dict[str, Any] = {"split": "odd-even" if len(parities) == 2 else "random:0.3@0"}
    clips: Sequence[int] = range(found.clips)
    if options.sensor is None:
        of_joints = _of_joints(found, options)
        rates = {s: sensor_clips(found, s, options)[1] for s in sensors_of(found)}
        of_joints["sensors"] = {s: sensor_plan(found, s, rate) for s, rate in rates.items()}
    else:
        clips, fps = sensor_clips(found, options.sensor, options)
        facts["without_sensor"] = found.clips - len(clips)
        plan = sensor_plan(found, options.sensor, fps)
        of_joints = {"skeleton": plan.skeleton, "fps": fps, "measure": plan.measure, "channels": plan.channels}
    return Plan(
        units=[Unit(names[i], path, {"clip": i, "columns": columns[i]}) for i in clips],
        light=True,
        class_names=tuple(found.names("class_names")),
        licence=stated or options.licence,
        facts=facts,
        **of_joints,
    )


def _of_joints(found: Compact, options: Options) -> dict[str, Any]:
    """What the plan says of the skeletons, or of the sensor that is in their place."""
    skeleton, positions = skeleton_of(found, options), found.positions()
    sensor, count = skeleton.kind == "sensor", positions.shape[-1]
    if not sensor and count not in (2, 3):
        raise found.fail(f"{counted(count, 'coordinate')} a joint; 2 or 3 are read")
    unit = found.text("unit") if "pos" in found.arrays else None
    return {
        "skeleton": skeleton,
        "persons": positions.shape[1] if positions.ndim == 4 else 1,
        "fps": found.number("fps"),
        "measure": unit_name(unit) if unit else AS_RECORDED if sensor else "m",
        "channels": channels_of(found, count),
        "confidence": found.confidence() is not None,
    }


def read(unit: Unit, options: Options) -> list[RawClip]:
    found = Compact(unit.path)
    clip: int = unit.detail["clip"]
    if options.sensor is not None:
        frames: Array = sensor_frames(found, options.sensor, clip, options)
        sensors, certain = {}, None
    else:
        positions = found.positions()
        frames = positions[slice(*found.arrays["offset"][clip : clip + 2].tolist())]
        if "pos" not in found.arrays:
            frames = frames.astype(np.float32) / 1000
        sensors = {s: sensor_frames(found, s, clip, options) for s in sensors_of(found)}
        sure = found.confidence()
        certain = None if sure is None else sure[slice(*found.arrays["offset"][clip : clip + 2].tolist())]
    columns = {"source": unit.path.name, **unit.detail["columns"]}
    tracks = found.tracks(clip) if options.sensor is None else {}
    return [RawClip(unit.name, frames, certain, columns=columns, sensors=sensors, tracks=tracks)]


FORMAT = Format(description="many clips in one .npz", options=Options, discover=discover, read=read, example="set.npz")
