"""Faults that show in single frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.inspection.faults import LISTED, Fault, fault, without
from motet.data.inspection.held import clipped_readings, lost_joints, stuck_readings
from motet.data.inspection.remedies import NOTHING, made
from motet.data.inspection.swaps import swapped
from motet.data.skeletons import Skeleton

Mask = npt.NDArray[np.bool_]

CHUNK_VALUES = 8_000_000  # numbers looked at together: 32 MB
FROZEN_SECONDS = 0.2  # a sensor that repeats itself for longer is stuck
FROZEN_FRAMES = 5  # the same where the frame rate is unknown, and the least number
STUTTER = 2  # steps in which nothing changes: recordings are noisy, so a frame three times is a repetition
RARE = 0.001  # share of bodies in which a joint that is hardly ever there is seen
WHOLE_SET, MANY = 0.5, 10  # share of clips, and least number of them, from which a fault is one of the set
_OF_NOISE = (
    *("bone-length jumps", "missing joints", "missing bodies", "frozen frames", "stuttering frames"),
    *("lost joints", "stuck readings", "clipped readings"),
)
BONE_CHANGE = 0.5  # relative to the bone's median in the clip


@dataclass
class Tally:
    """Clips with a fault: how many frames, and the first."""

    rows: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)

    def add(self, bad: Mask, starts: npt.NDArray[np.int64], clips: range) -> None:
        """Take the frames of a chunk; ``starts`` are the offsets of its clips in it."""
        frames = np.flatnonzero(bad)
        if not len(frames):
            return
        owner = np.searchsorted(starts, frames, side="right") - 1
        which, first, counts = np.unique(owner, return_index=True, return_counts=True)
        self.rows += [clips[i] for i in which.tolist()]
        self.counts += counts.tolist()
        self.first += (frames[first] - starts[which]).tolist()


def scan(archive: MotionArchive, bone_change: float) -> dict[str, Tally]:
    """Faults that show in single frames."""
    tallies: dict[str, Tally] = {}
    for clips, starts, found in masks(archive, bone_change):
        for name, bad in found.items():
            tallies.setdefault(name, Tally()).add(bad, starts, clips)
    return tallies


def masks(
    archive: MotionArchive, bone_change: float = BONE_CHANGE
) -> Iterator[tuple[range, npt.NDArray[np.int64], dict[str, Mask]]]:
    """(rows of the table, start of each clip, bad frames by fault), in chunks of whole clips."""
    fps = archive.fps
    shortest = FROZEN_FRAMES if fps is None else max(FROZEN_FRAMES, round(FROZEN_SECONDS * fps))
    sensor = archive.skeleton.kind == "sensor"
    largest = _largest(archive) if sensor else np.zeros(0)
    for clips, frames, starts in _chunks(archive):
        finite = np.isfinite(frames).all(axis=(1, 2, 3))
        joints = (frames != 0).any(axis=3)
        bodies = joints.any(axis=2)
        empty = ~bodies.any(axis=1)
        ends = _at_ends(empty, starts)
        found: dict[str, Mask] = {
            "not finite": ~finite,
            "empty ends": ends,
            "all-zero frames": empty,
            "frozen frames": _frozen(frames, starts, shortest) & ~empty,
        }
        found["stuttering frames"] = _frozen(frames, starts, STUTTER) & ~empty & ~found["frozen frames"]
        ever = np.logical_or.reduceat(bodies, starts, axis=0)
        owner = np.repeat(np.arange(len(starts)), np.diff([*starts.tolist(), len(frames)]))
        if sensor:
            nodes = np.logical_or.reduceat(joints, starts, axis=0)
            found["silent sensor"] = ~nodes[owner].all(axis=(1, 2)) & ~empty
            found["stuck readings"] = stuck_readings(frames, joints, starts, fps)
            found["clipped readings"] = clipped_readings(frames, starts, largest)
        else:
            found["swapped bodies"] = swapped(frames, joints, starts)
            found["missing bodies"] = (ever[owner] & ~bodies).any(axis=1) & ~empty
            centred = _centred(archive.skeleton, joints, bodies, starts)
            found["missing joints"] = (bodies[:, :, None] & ~joints & ~centred[owner]).any(axis=(1, 2))
            found["lost joints"] = lost_joints(frames, joints, starts, archive.skeleton, shortest, fps)
            if len(archive.channels) == 3 and archive.skeleton.bones:
                found["bone-length jumps"] = _bone_jumps(frames, joints, starts, archive.skeleton, bone_change)
        yield clips, starts, found


def _largest(archive: MotionArchive) -> npt.NDArray[np.floating[Any]]:
    """(V,) largest magnitude of the readings of each node."""
    found = np.zeros(len(archive.skeleton))
    for _, frames, _ in _chunks(archive):
        found = np.maximum(found, np.where(np.isfinite(frames), np.abs(frames), 0).max(axis=(0, 1, 3)))
    return found


def _at_ends(empty: Mask, starts: npt.NDArray[np.int64]) -> Mask:
    """Frames without anybody before the first or after the last in which somebody is."""
    out = np.zeros_like(empty)
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(empty)], strict=True):
        seen = np.flatnonzero(~empty[start:end])
        if len(seen):
            out[start : start + seen[0]] = True
            out[start + seen[-1] + 1 : end] = True
    return out


def _centred(skeleton: Skeleton, joints: Mask, bodies: Mask, starts: npt.NDArray[np.int64]) -> Mask:
    """(clips, P, V) joints that are the origin by definition: zero is a place there, not an absence.

    Those are the root of a capture volume, and a root joint that is at zero in every frame of a clip (the recordings
    are relative to it) while the rest of the body is there.
    """
    never = ~np.logical_or.reduceat(joints, starts, axis=0) & np.logical_or.reduceat(bodies, starts, axis=0)[..., None]
    volume = np.array([name == "root" for name in skeleton.canonical])
    return np.asarray((never & _roots(skeleton)) | volume)


def _roots(skeleton: Skeleton) -> Mask:
    """(V,) joints that recordings may be relative to; a joint without bones is a root by form only."""
    carries = {parent for _, parent in skeleton.bones}
    return np.array([parent in (-1, joint) and joint in carries for joint, parent in enumerate(skeleton.parents)])


def _chunks(archive: MotionArchive) -> Iterator[tuple[range, npt.NDArray[Any], npt.NDArray[np.int64]]]:
    """(rows of the table, their frames (F, P, V, C), start of each clip in them)."""
    offsets, ends = archive.offsets, archive.offsets + archive.lengths
    budget = max(1, CHUNK_VALUES // int(np.prod(archive.frames.shape[1:])))
    first = 0
    while first < len(archive):
        last = max(first + 1, int(np.searchsorted(ends, offsets[first] + budget, side="right")))
        frames = archive.frames[offsets[first] : ends[last - 1]].astype(np.float32, copy=False)
        yield range(first, last), frames, offsets[first:last] - offsets[first]
        first = last


def _frozen(frames: npt.NDArray[Any], starts: npt.NDArray[np.int64], shortest: int) -> Mask:
    """Frames in runs of at least ``shortest`` + 1 equal ones (clips of equal frames throughout included)."""
    same = np.zeros(len(frames), dtype=np.bool_)
    same[1:] = (frames[1:] == frames[:-1]).all(axis=(1, 2, 3))
    same[starts] = False
    edges = np.flatnonzero(np.diff(same.astype(np.int8), prepend=0, append=0))
    begin, end = edges[0::2], edges[1::2]
    long = end - begin >= shortest
    marks = np.zeros(len(frames) + 1, dtype=np.int64)
    np.add.at(marks, begin[long] - 1, 1)  # the frame that the run repeats is one of it
    np.add.at(marks, end[long], -1)
    return np.asarray(np.cumsum(marks[:-1]) > 0)


def _bone_jumps(
    frames: npt.NDArray[Any], joints: Mask, starts: npt.NDArray[np.int64], skeleton: Skeleton, change: float
) -> Mask:
    """Frames in which a bone's length departs from its median in the clip.

    Noise is a larger share of a short bone, so a bone counts as at least half as long as the skeleton's mean bone.
    """
    child, parent = np.array(skeleton.bones).T
    steps = frames[:, :, child] - frames[:, :, parent]
    lengths = np.sqrt(np.einsum("fpbc,fpbc->fpb", steps, steps))
    there = joints[:, :, child] & joints[:, :, parent]
    jumped = np.zeros(len(frames), dtype=np.bool_)
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(frames)], strict=True):
        for person in range(frames.shape[1]):
            usable = there[start:end, person]
            seen = np.flatnonzero(usable.any(axis=1))
            if not len(seen):
                continue
            bones = np.where(usable[seen], lengths[start:end, person][seen], np.nan)
            some = usable[seen].any(axis=0)  # bones that are seen at all
            bones = bones[:, some]
            # nanmedian is many times slower, so it is kept for the clips that need it
            median = np.median(bones, axis=0) if usable[seen][:, some].all() else np.nanmedian(bones, axis=0)
            scale = np.maximum(median, median.mean() / 2)
            if scale.any():
                with np.errstate(invalid="ignore"):
                    jumped[start + seen] |= (np.abs(bones - median) > change * scale).any(axis=1)
    return jumped


FRAME_FAULTS: Mapping[str, tuple[str, str]] = {
    "not finite": ("error", "coordinates are NaN or infinite"),
    "empty ends": ("note", "nobody is there at an end of clips"),
    "all-zero frames": ("warning", "frames hold nothing"),
    "frozen frames": ("warning", "the same frame over and over: the sensor was stuck or lost the body"),
    "stuttering frames": ("note", "a frame three times or more, as its successors were lost"),
    "silent sensor": ("warning", "a node of the sensor recorded nothing in the clip"),
    "stuck readings": ("warning", "a reading stays the same while others of its node change"),
    "clipped readings": ("note", "readings are cut off at the end of the sensor's range"),
    "swapped bodies": ("warning", "two bodies are all at once where the other one was: the tracker mistook them"),
    "missing bodies": ("warning", "a body of the clip is absent in some frames"),
    "missing joints": ("note", "joints of a body are absent (zero) in some frames"),
    "lost joints": ("warning", "a joint stays where it is while the body moves, then jumps: it was lost"),
    "bone-length jumps": ("warning", "a bone is much longer or shorter than in the rest of its clip: tracking errors"),
}
CUT_OUT = (
    *("all-zero frames", "frozen frames", "stuttering frames", "lost joints", "stuck readings", "clipped readings"),
    *("missing bodies", "bone-length jumps"),
)
"""faults of few frames, which are cut out of long recordings"""


def frame_fault(archive: MotionArchive, name: str, tally: Tally) -> Fault:
    level, message = FRAME_FAULTS[name]
    names, listed = archive.clips["name"], LISTED
    if len(tally.rows) > WHOLE_SET * len(archive) and len(archive) >= MANY and name in _OF_NOISE:
        message += f" — in {len(tally.rows) / len(archive):.0%} of the clips: the set is noisy as a whole"
        level, listed = "note", 1
    worst = np.argsort(-np.array(tally.counts), kind="stable")[:listed].tolist()
    examples = [{"clip": names[tally.rows[i]], "frames": tally.counts[i], "first": tally.first[i]} for i in worst]
    return Fault(
        name=name,
        level=level,
        message=message,
        remedy=_remedy(archive, name, tally),
        examples=tuple(examples),
        clips=len(tally.rows),
        frames=sum(tally.counts),
        rows=tuple(tally.rows),
        extra=tuple(tally.rows),
    )


def _remedy(archive: MotionArchive, name: str, tally: Tally) -> str:
    """Empty ends are cut off, bad frames cut out of recordings without labels, clips left out if most are sound."""
    if name == "empty ends" or (name == "all-zero frames" and _only_at_ends(archive, tally.rows)):
        return made(archive, "select", "--trim")
    if name in CUT_OUT and not (archive.labels >= 0).any():
        return made(archive, "select", "--cut-finding", name)
    if name == "swapped bodies":
        return f"correct who is who in the tracker and import again, or leave them out: {without(archive, name)}"
    if len(tally.rows) <= WHOLE_SET * len(archive):
        return without(archive, name)
    if name == "not finite":
        return "import the recordings again"
    few = f" (`{without(archive, name)}` keeps the others alone)" if len(tally.rows) < len(archive) else ""
    return f"{NOTHING} to single clips, as most have it: it is how they were recorded{few}"


def _only_at_ends(archive: MotionArchive, rows: Sequence[int]) -> bool:
    """Whether all frames that hold nothing are at ends of clips, or make up a whole clip."""
    for row in rows:
        empty = ~archive.clip(row).any(axis=(1, 2, 3))
        inside = np.diff(np.flatnonzero(~empty))
        if (inside > 1).any():
            return False
    return True


def never_seen(archive: MotionArchive) -> list[Fault]:
    """Joints that are absent in every frame, or in nearly all, of recordings whose joints are points of their own.

    A root that is always zero is the origin of recordings that are relative to it, where it carries bones.
    """
    skeleton = archive.skeleton
    seen = np.zeros(len(skeleton), dtype=np.int64)
    bodies = 0
    for _, frames, _ in _chunks(archive):
        there = (frames != 0).any(axis=3)
        seen += there.sum(axis=(0, 1))
        bodies += int(there.any(axis=2).sum())
    if not bodies:
        return []
    origin = _roots(skeleton) | [name == "root" for name in skeleton.canonical]
    rare = [i for i in range(len(skeleton)) if seen[i] <= RARE * bodies and not (origin[i] and not seen[i])]
    if not rare:
        return []
    shown = ", ".join(f"{skeleton.joints[i]} ({seen[i] / bodies:.1%})" for i in rare[:LISTED])
    what = "readings are silent" if skeleton.kind == "sensor" else "joints are never or hardly ever seen"
    more = f" … and {len(rare) - LISTED} more" if len(rare) > LISTED else ""
    message = f"{what} (share of {counted(bodies, 'body')}): {shown}{more}"
    if skeleton.kind == "body":
        message += "; weights read bodies with such joints, but not layouts without them"
    remedy = f"leave them out: {made(archive, 'select', '--without', *(skeleton.joints[i] for i in rare))}"
    return [fault("never seen", "warning", message, remedy)]
