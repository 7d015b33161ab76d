"""Scale and axes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from motet.core.text import counted
from motet.core.units import AS_RECORDED, METRES, stated
from motet.data.convert import estimate_handedness, estimate_up, recipe
from motet.data.doctor.view import Array, Finding, View
from motet.data.inertial import FORCE
from motet.data.inspection import SIZES, fitting_unit, import_unit, is_human
from motet.data.inspection.faults import scale_remedy
from motet.data.inspection.gravity import NEAR, STEADY, accelerometers, spans
from motet.data.inspection.remedies import NOTHING, again, import_command, made

OFF_SCALE = 3.0  # factor between clips in three dimensions
OFF_SCALE_PICTURE = 20.0  # the same in pictures, where people stand near and far
BENT = 0.2  # of the leg: a knee that is bent as much shows where the front is (less is noise of depth cameras)
AGREEMENT = 0.85  # share of votes by knees that settles handedness

OFF_GRAVITY = 2.0  # factor from gravity in the unit that is stated
# mean acceleration against its mean size, below which gravity is not in it (0.1 where the mean is taken away; with it
# 0.7 to 0.97 of six sets)
LOOSE = 0.35


def scale(view: View) -> Iterator[Finding]:
    units = view.archive.units
    if view.sensor or units not in METRES or not np.isfinite(view.size) or not is_human(view.skeleton):
        return
    least, most = SIZES[view.skeleton.kind]
    if least <= view.size * METRES[units] <= most:
        return
    remedy = scale_remedy(view.archive, view.size)
    evidence = f"a {view.skeleton.kind} measures {view.size:.4g} {units}; {least:g} to {most:g} m are plausible"
    if not view.spatial:
        message = "two coordinates are taken for metres; they are more likely those of a picture"
        yield Finding("scale", "error", message, evidence, remedy)
        return
    fitting = fitting_unit(view.archive, view.size)
    guess = f"the coordinates are more likely {fitting}" if fitting else "no usual unit fits"
    message = f"{guess}: noise, crops of the view and transfer to other sets would be off by that factor"
    evidence += f"; the recordings were taken for {import_unit(view.archive)}"
    yield Finding("scale", "error", message, evidence, remedy)


def unknown(view: View) -> Iterator[Finding]:
    archive = view.archive
    command = import_command(archive, unit="g, deg/s") if view.sensor else None
    if command is not None and stated(archive.units, archive.skeleton.kind) is None:
        message = "the unit of the sensors is unknown: models of other units cannot be refused, and `wrist` guesses it"
        remedy = f"find it out; if it is g and deg/s: {command}"
        yield Finding("unit", "note", message, f"units of the archive: {archive.units}", remedy)


def gravity(view: View) -> Iterator[Finding]:
    """An acceleration that is steady over seconds is mostly gravity, whose size shows the unit."""
    parts = view.archive.units.split(", ")
    stated_as = {unit for unit in parts if unit in FORCE}
    nodes = accelerometers(view.skeleton)
    nodes = nodes or list(range(len(view.skeleton))) * (len(parts) == 1)
    if not view.sensor or not view.spatial or not nodes or len(stated_as) != 1:
        return
    (unit,) = stated_as
    size, steady = _steady(view, nodes)
    off = size * FORCE[unit] / FORCE["g"]
    fitting = [u for u, f in FORCE.items() if 1 / NEAR < size * f / FORCE["g"] < NEAR]
    # a small one that fits no unit may be the offset of a sensor without gravity
    if steady < STEADY or 1 / OFF_GRAVITY <= off <= OFF_GRAVITY or not (fitting or off > 1):
        return
    meant = fitting[0] if fitting else AS_RECORDED
    guess = f"the readings are more likely in {meant}" if fitting else "no usual unit fits"
    message = f"{guess}: models of other units would take them for {off:.2g} times what they are"
    evidence = f"gravity measures {size:.3g} {unit}; it is {FORCE['g'] / FORCE[unit]:.4g}"
    units = ", ".join(meant if part == unit else part for part in parts)
    yield Finding("gravity", "error", message, evidence, again(view.archive, "unit", units, f"state {units}"))


def no_gravity(view: View) -> Iterator[Finding]:
    """What phones call linear or user acceleration points nowhere for long."""
    nodes = accelerometers(view.skeleton)
    if not view.sensor or not view.spatial or not nodes:
        return
    size, steady = _steady(view, nodes)
    if size > 0 and steady < LOOSE:
        message = (
            "an acceleration without gravity (linear, user acceleration): `wrist` has learnt with it and is worth less"
        )
        evidence = (
            f"over two seconds {steady:.0%} of it points one way; of one with gravity it is {STEADY:.0%} and more"
        )
        other = "import the accelerometer itself if you have it, else train without the weights (--start none)"
        yield Finding("no gravity", "warning", message, evidence, f"{NOTHING} to these recordings: {other}")


def _steady(view: View, nodes: list[int]) -> tuple[float, float]:
    """Medians over spans of two seconds: size of an acceleration, and what of it does not turn; 0 where none is."""
    bodies = (body[:, nodes] for i in view.sampled for body in view.bodies(i))
    found = [np.zeros((0, 2)), *(spans(body, view.archive.fps) for body in bodies)]
    every = np.concatenate(found)
    return (float(np.median(every[:, 0])), float(np.median(every[:, 1]))) if len(every) else (0.0, 0.0)


def mixed_scale(view: View) -> Iterator[Finding]:
    if view.sensor or not np.isfinite(view.size):
        return
    limit = OFF_SCALE if view.spatial else OFF_SCALE_PICTURE
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(view.sizes > 0, view.sizes / view.size, np.nan)
    off = np.flatnonzero((ratio > limit) | (ratio < 1 / limit))
    if len(off):
        rows = view.compared[off].tolist()
        evidence = (
            f"{len(off)} of {counted(len(ratio), 'clip')} differ from the median size {view.size:.4g} by more "
            f"than {limit:g}×"
        )
        message = "clips of different units lie side by side: the encoder would learn the unit"
        remedy = (
            f"import those of each unit apart, or leave them out: "
            f"{made(view.archive, 'select', '--drop-finding', 'mixed scale')}"
        )
        yield Finding("mixed scale", "error", message, evidence, remedy, **view.about(rows))


def flat(view: View) -> Iterator[Finding]:
    dead = view.dead
    if 0 < len(dead) < len(view.archive.channels) and not view.sensor:  # one joint has all of them
        evidence = f"{', '.join(dead)} is the same for all joints in {counted(len(view.sample), 'frame')}"
        message = "a coordinate says nothing: these are recordings in fewer dimensions"
        remedy = f"leave it out, so that nothing is turned about it: {made(view.archive, 'select', '--without', *dead)}"
        yield Finding("flat axis", "warning", message, evidence, remedy)


def up(view: View) -> Iterator[Finding]:
    declared = view.skeleton.up
    if view.sensor or declared is None or not len(view.sample):
        return
    seen = estimate_up(view.sample, view.skeleton)
    if seen is None or seen == declared:
        return
    if not view.spatial and seen[1] != declared[1]:
        return  # a picture is never turned; these people lie
    evidence = f"from hips to head is {seen} in {counted(len(view.sample), 'frame')}, {declared} is declared"
    message = "the wrong axis points up: turns about the vertical would tip bodies over"
    yield Finding(
        "up direction",
        "error",
        message,
        evidence,
        again(view.archive, "up", seen, f'declare up = "{seen}" in the layout'),
    )


def handedness(view: View) -> Iterator[Finding]:
    if view.sensor or not view.spatial or view.dead or not len(view.sample):
        return
    seen, by = estimate_handedness(view.sample, view.skeleton), "feet point"
    if seen is None:
        seen, by = _handedness_by_knees(view), "knees bend"
    if seen is None or seen == view.skeleton.right_handed:
        return
    words = ("left-handed", "right-handed")
    evidence = f"{by} forward if the axes are {words[seen]}; {words[not seen]} is declared"
    message = "recordings are mirrored, or left and right joints are swapped: other sets would not fit"
    otherwise = "declare right_handed in the layout, or negate one axis"
    remedy = again(view.archive, "right_handed", seen, otherwise)
    yield Finding("handedness", "error", message, evidence, remedy)


def _handedness_by_knees(view: View) -> bool | None:
    """Handedness where feet are unknown: left is up × forward, and knees bend forward."""
    skeleton = view.skeleton
    legs = [[f"{s}_{n}" for n in ("hip", "knee", "ankle")] for s in ("left", "right")]
    wanted = ["head", "mid_hip", "left_shoulder", "right_shoulder", *legs[0], *legs[1]]
    made = {n: recipe(n, skeleton) for n in wanted}
    if skeleton.kind != "body" or any(m is None for m in made.values()):
        return None
    needed = sorted({i for m in made.values() for i in m or ()})
    there = np.asarray(view.sample[:, needed].any(axis=2))
    bodies = view.sample[there.all(axis=1)]

    def at(name: str) -> Array:
        return np.asarray(bodies[:, list(made[name] or ())].mean(axis=1))

    up, left = at("head") - at("mid_hip"), at("left_shoulder") - at("right_shoulder")
    votes: list[float] = []
    for hip, knee, ankle in legs:
        leg = at(ankle) - at(hip)
        length = np.linalg.norm(leg, axis=1)
        along = ((at(knee) - at(hip)) * leg).sum(axis=1) / np.maximum(length**2, 1e-12)
        forward = at(knee) - at(hip) - along[:, None] * leg
        bent = np.linalg.norm(forward, axis=1) > BENT * length
        votes += (np.cross(up, forward) * left).sum(axis=1)[bent].tolist()
    if len(votes) < 100:
        return None
    share = float((np.array(votes) > 0).mean())
    return True if share >= AGREEMENT else False if share <= 1 - AGREEMENT else None
