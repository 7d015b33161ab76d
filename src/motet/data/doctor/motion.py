"""Time and joints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from motet.core.text import counted
from motet.data.doctor.view import Finding, View
from motet.data.inspection import LISTED
from motet.data.inspection.remedies import NOTHING, made, state_rate

SPEEDS = (0.1, 6.0)  # body sizes a second, of the fastest twentieth of joints: what people do
MISSING = 0.2  # share of joints that are absent
STILL = 0.95  # share of frames in which a joint does not move while the body does


def rate(view: View) -> Iterator[Finding]:
    fps = view.archive.fps
    if fps is None:
        evidence = "the archive states no frame rate"
        message = "durations, speeds and the match with other sensors cannot be known"
        yield Finding("frame rate", "note", message, evidence, state_rate(view.archive))
        return
    if view.sensor or view.skeleton.kind != "body" or not np.isfinite(view.size):
        return
    fastest = []
    for index in view.sampled:
        for body in view.bodies(index):
            both = body[1:].any(axis=2) & body[:-1].any(axis=2)
            if both.any():
                steps = np.linalg.norm(np.diff(body, axis=0), axis=2)[both]
                fastest.append(float(np.percentile(steps, 95)))
    if not fastest:
        return
    speed = float(np.median(fastest)) * fps / view.size
    if SPEEDS[0] <= speed <= SPEEDS[1]:
        return
    way = "faster" if speed > SPEEDS[1] else "slower"
    usual = f"people move them {SPEEDS[0]:g} to {SPEEDS[1]:g}"
    evidence = f"at {fps:g} frames/s the fastest joints move {speed:.3g} body sizes a second; {usual}"
    message = f"people move {way} than they can: the frame rate is wrong, or frames are shuffled or still"
    # where a format has no option for the rate, or resamples to it, the files themselves state it
    remedy = f"find out the rate at which the recordings were made; {state_rate(view.archive)}"
    yield Finding("frame rate", "warning", message, evidence, remedy)


def repeated(view: View) -> Iterator[Finding]:
    same = total = 0
    off, distinct = list[int](), list[float]()
    for index in view.sampled:
        clip = view.archive.clip(index)
        if len(clip) < 4:
            continue
        equal = np.asarray((clip[1:] == clip[:-1]).all(axis=(1, 2, 3)) & clip[1:].any(axis=(1, 2, 3)))
        # every second frame or more, and never for long: brought to a higher rate by repetition
        if 0.3 <= equal.mean() <= 0.9 and not (equal[2:] & equal[1:-1] & equal[:-2]).all():
            runs = np.diff(np.flatnonzero(np.concatenate([[True], ~equal, [True]])))
            if runs.max() <= 10:
                off.append(index)
                distinct.append(1 - int(equal.sum()) / len(clip))
        same, total = same + int(equal.sum()), total + len(equal)
    if total and len(off) > 0.2 * len(view.sampled):
        evidence = (
            f"{same / total:.0%} of frames equal the one before, in {len(off)} of {counted(len(view.sampled), 'clip')}"
        )
        message = "recordings were brought to a higher rate by repeating frames: their motion comes in jerks"
        own = float(f"{(view.archive.fps or 0) * float(np.median(distinct)):.3g}")
        remedy = (
            f"go back to the rate of the sensor, about {own:g}: {made(view.archive, 'convert', '--fps', f'{own:g}')}"
        )
        remedy = remedy if own else "state the rate, so that they can be brought to that of the sensor"
        yield Finding("repeated frames", "warning", message, evidence, remedy, **view.about(off))


def joints(view: View) -> Iterator[Finding]:
    """Joints that are absent, and joints that never move while the body does."""
    count = len(view.skeleton)
    seen, frames, still, moving = np.zeros(count), 0, np.zeros(count), 0
    absent, bodies = dict.fromkeys(view.sampled, 0), dict.fromkeys(view.sampled, 0)
    for index in view.sampled:
        for body in view.bodies(index):
            there = body.any(axis=2)
            seen += there.sum(axis=0)
            frames += len(body)
            absent[index], bodies[index] = absent[index] + int((~there).sum()), bodies[index] + there.size
            if len(body) > 1:
                steps = np.linalg.norm(np.diff(body, axis=0), axis=2)
                moves = steps.max(axis=1) > 0
                still += (steps[moves] == 0).sum(axis=0)
                moving += int(moves.sum())
    if not frames:
        return
    share = seen / frames
    # the origin of a capture volume may be a joint, and recordings may be relative to their root
    share[[name == "root" for name in view.skeleton.canonical]] = 1
    carries = {p for _, p in view.skeleton.bones}
    share[[p in (-1, j) and j in carries and not seen[j] for j, p in enumerate(view.skeleton.parents)]] = 1
    gone = [view.skeleton.joints[i] for i in np.flatnonzero(share < 1 - STILL)]
    if gone:
        evidence = f"{', '.join(gone[:LISTED])} absent in at least {STILL:.0%} of {counted(frames, 'body')}"
        message = "joints that are hardly ever there are noise to the encoder"
        remedy = f"leave them out: {made(view.archive, 'select', '--without', *gone)}"
        yield Finding("missing joints", "warning", message, evidence, remedy)
    kept = share[share >= 1 - STILL]
    if not view.sensor and len(kept) and 1 - float(kept.mean()) > MISSING:
        evidence = f"{1 - float(kept.mean()):.0%} of all joints are absent (zero)"
        message = "so many joints are missing that clips differ by what was seen, not by what was done"
        sparse = _worst(absent, bodies)
        remedy = (
            f"leave out the clips that miss most: {made(view.archive, 'select', '--drop-finding', 'missing share')}"
        )
        if len(sparse) > len(absent) // 2:
            sparse, remedy = [], f"{NOTHING} to single clips, most miss as many; fill short gaps before the import"
        yield Finding("missing share", "warning", message, evidence, remedy, **view.about(sparse))
    dead = [] if not moving else np.flatnonzero((still > STILL * moving) & (share >= 1 - STILL)).tolist()
    dead = [i for i in dead if view.skeleton.canonical[i] != "root" and seen[i]]
    if dead and len(dead) < count:
        names = [view.skeleton.joints[i] for i in dead]
        evidence = f"{', '.join(names[:LISTED])}: same place in {STILL:.0%} of frames"
        message = "joints that never move while the body does were not tracked"
        remedy = f"leave them out: {made(view.archive, 'select', '--without', *names)}"
        yield Finding("static joints", "warning", message, evidence, remedy)


def _worst(absent: Mapping[int, int], joints: Mapping[int, int]) -> list[int]:
    """The fewest clips without which the others miss no more than :data:`MISSING` of their joints."""
    order = sorted((row for row in joints if joints[row]), key=lambda row: absent[row] / joints[row])
    share = np.cumsum([absent[row] for row in order]) / np.cumsum([joints[row] for row in order])
    return sorted(order[int((share <= MISSING).sum()) :])
