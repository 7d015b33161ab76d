"""Why an archive would train badly (``motet data inspect ARCHIVE --doctor``): findings with evidence and remedy.

:mod:`motet.data.inspection` says what is in an archive and which frames are broken; this module judges the whole of it:
size, axes, mirroring, speed, joints that say nothing, clips that leak from training into test, classes that cannot be
learnt. Every check speaks only where the recordings are clear; what cannot be told is not guessed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, get_type_hints

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.data import formats, splits
from motet.data.archive import MotionArchive
from motet.data.convert import estimate_handedness, estimate_up, recipe
from motet.data.formats.base import make_options
from motet.data.inspection import IMBALANCE, LISTED, METRES, SIZES, TYPICAL, fitting_unit, import_unit, is_human

Array = npt.NDArray[np.float64]
Severity = Literal["error", "warning", "note"]

SAMPLED_CLIPS = 500  # clips, evenly spread, from which axes, speed and joints are judged
SAMPLED_BODIES = 4000
COMPARED_CLIPS = 20_000  # clips of which the size is taken, and which are compared with each other
FRAMES = 16  # to which a clip is brought for the comparison
NEAR = 0.002  # of the body's size: clips closer than this, joint by joint, are copies with noise (3 mm of a person)
OVERLAP = 0.3  # share of a clip's frames that another clip holds too
FAR = 6.0  # factor from the usual size that no half body, crouch or child explains
OFF_SCALE = 3.0  # factor between clips in three dimensions
OFF_SCALE_PICTURE = 20.0  # the same in pictures, where people stand near and far
SPEEDS = (0.1, 6.0)  # body sizes a second, of the fastest twentieth of joints: what people do
MISSING = 0.2  # share of joints that are absent
STILL = 0.95  # share of frames in which a joint does not move while the body does
SHORT_FRAMES, SHORT_SECONDS, SHORT_CLIPS = 8, 0.3, 0.1
BENT = 0.2  # of the leg: a knee that is bent as much shows where the front is (less is noise of depth cameras)
AGREEMENT = 0.85  # share of votes by knees that settles handedness


@dataclass(frozen=True)
class Finding:
    """One reason why training would go badly.

    Attributes:
        name: short name of the check.
        severity: ``error`` (results would be wrong), ``warning`` (likely bad), ``note``.
        message: what is wrong and what follows from it.
        evidence: the figures on which it rests.
        remedy: what to do, a command where one does it.
        clips: examples by name.
    """

    name: str
    severity: Severity
    message: str
    evidence: str
    remedy: str
    clips: tuple[str, ...] = field(default=())


def diagnose(archive: MotionArchive, *, rule: str | None = None) -> list[Finding]:
    """Findings on an archive, the worst first; an empty list if there is nothing to say.

    Args:
        rule: split that training and evaluation will use; the archive's default rule if none is given.

    Raises:
        ConfigError: there is no such split, or it does not fit the archive.
    """
    view = _View(archive, rule)
    found = [finding for check in _CHECKS for finding in check(view)]
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda f: order[f.severity])


def declarations(archive: MotionArchive) -> list[Finding]:
    """What matters wherever archives are brought together: a unit that is off by a factor of six or more from a usual
    size, and another axis that points up than is declared. Quick, and without a split."""
    view = _View(archive, "all")
    found = list(_up(view))
    if archive.units in METRES and archive.skeleton.kind in TYPICAL and np.isfinite(view.size):
        off = abs(float(np.log(view.size * METRES[archive.units] / TYPICAL[archive.skeleton.kind])))
        found += _scale(view) if off > np.log(FAR) else ()
    return found


def report(archive: MotionArchive, *, rule: str | None = None) -> list[dict[str, Any]]:
    """:func:`diagnose` as plain data for JSON."""
    return [{**asdict(f), "clips": list(f.clips)} for f in diagnose(archive, rule=rule)]


class _View:
    """The archive, with what several checks need worked out once."""

    def __init__(self, archive: MotionArchive, rule: str | None) -> None:
        self.archive, self.skeleton = archive, archive.skeleton
        self.split = splits.split(archive, rule or splits.default_rule(archive))
        self.names: list[str] = archive.clips["name"].to_list()
        self.spatial = len(archive.channels) == 3
        self.sensor = archive.skeleton.kind == "sensor"
        self.sampled = np.unique(np.linspace(0, len(archive) - 1, SAMPLED_CLIPS).round().astype(int)).tolist()

    def bodies(self, index: int) -> Iterator[Array]:
        """(frames, V, C) of each person of a clip, without the frames in which nobody is there."""
        clip = self.archive.clip(index).astype(np.float64)
        for person in range(clip.shape[1]):
            found = clip[:, person]
            found = found[np.isfinite(found).all(axis=(1, 2)) & found.any(axis=(1, 2))]
            if len(found):
                yield found

    @cached_property
    def sample(self) -> Array:
        """(n, V, C) bodies, evenly from the sampled clips."""
        each = max(4, SAMPLED_BODIES // len(self.sampled))
        rows = [body[:: max(1, len(body) // each)][:each] for i in self.sampled for body in self.bodies(i)]
        return np.concatenate(rows) if rows else np.zeros((0, len(self.skeleton), len(self.archive.channels)))

    @cached_property
    def dead(self) -> list[str]:
        """Coordinates that are the same for all joints of every body."""
        if not len(self.sample):
            return []
        spread = (self.sample - self.sample.mean(axis=1, keepdims=True)).std(axis=(0, 1))
        return [self.archive.channels[i] for i in np.flatnonzero(spread < 1e-6 * max(float(spread.max()), 1e-12))]

    @cached_property
    def compared(self) -> npt.NDArray[np.int64]:
        """Rows of the clips that are compared with each other."""
        return np.unique(np.linspace(0, len(self.archive) - 1, COMPARED_CLIPS).round().astype(np.int64))

    @cached_property
    def sizes(self) -> Array:
        """(compared clips,) median over five frames of the bodies' largest extent; NaN if nobody is there."""
        rows, found = self.compared, []
        steps = (self.archive.lengths[rows, None] - 1) * np.linspace(0.1, 0.9, 5)
        picks = self.archive.offsets[rows, None] + steps.round().astype(np.int64)
        for start in range(0, len(rows), 500):
            frames = self.archive.frames[picks[start : start + 500]].astype(np.float64)
            there = frames.any(axis=-1, keepdims=True)
            high = np.where(there, frames, -np.inf).max(axis=3)
            low = np.where(there, frames, np.inf).min(axis=3)
            extent = (high - low).max(axis=-1).reshape(len(frames), -1)  # -inf where nobody is
            extent[~(extent > 0) | ~np.isfinite(extent)] = np.nan
            known = np.flatnonzero(np.isfinite(extent).any(axis=1))
            out = np.full(len(frames), np.nan)
            out[known] = np.nanmedian(extent[known], axis=1)
            found.append(out)
        return np.concatenate(found)

    @cached_property
    def size(self) -> float:
        """Typical size of a body in the archive's unit; NaN if there is none."""
        known = self.sizes[np.isfinite(self.sizes) & (self.sizes > 0)]
        return float(np.median(known)) if len(known) else np.nan

    def listed(self, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.names[i] for i in rows[:LISTED])

    def again(self, option: str, value: Any, otherwise: str) -> str:
        """The command that imports the recordings again with another option; other words where the format lacks it.

        All else that the import was told is told again.
        """
        command = self.import_command(**{option: value})
        return command or f"{otherwise}, and import again"

    def import_command(self, **changed: Any) -> str | None:
        """The command that made the archive, with some options changed; None where it is not known or would fail."""
        source = self.archive.source
        name, told = str(source.get("format")), source.get("options")
        try:
            kind = formats.get(name).options
            options = {k: v for k, v in (told if isinstance(told, dict) else {}).items() if v is not None} | changed
            chosen = make_options(name, kind, options)
        except ConfigError:
            return None
        words = ["motet", "data", "import", name, str(source.get("path")), str(self.archive.path)]
        hints = get_type_hints(kind)
        for entry in fields(kind):
            chosen_value = getattr(chosen, entry.name)
            if chosen_value != entry.default or entry.name in changed:
                words += _flag(entry.name, chosen_value, switch=hints[entry.name] is bool)
        words += ["--on-error", "skip"] if source.get("skipped") else []
        words += ["--dtype", "float16"] if self.archive.frames.dtype == np.float16 else []
        return shlex.join([*words, "--overwrite"])

    def rule_that(self, suits: Callable[[splits.Split], bool]) -> str | None:
        """The first usual rule, not the one that is judged, that works on this archive and ``suits``."""
        folds = (f"kfold:{count}/1" for count in (5, 4, 3, 2))
        drawn = (f"random-subjects:0.3@{seed}" for seed in range(5))
        for rule in ("odd-even", "random-subjects:0.3@0", *folds, *drawn, "random:0.3@0"):
            try:
                found = splits.split(self.archive, rule)
            except ConfigError:
                continue
            if rule != self.split.name and suits(found):
                return rule
        return None


def _flag(option: str, value: Any, *, switch: bool) -> list[str]:
    """Words of the command line that set an option; ``switch``: it takes no value."""
    name = option.replace("_", "-")
    if switch:
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, tuple):
        return [f"--{name}", *map(str, value)]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return [f"--{name}={value}"] if str(value).startswith("-") else [f"--{name}", str(value)]


# --------------------------------------------------------------------------------------------- scale and axes


def _scale(view: _View) -> Iterator[Finding]:
    units = view.archive.units
    if view.sensor or units not in METRES or not np.isfinite(view.size) or not is_human(view.skeleton):
        return
    least, most = SIZES[view.skeleton.kind]
    if least <= view.size * METRES[units] <= most:
        return
    evidence = f"a {view.skeleton.kind} measures {view.size:.4g} {units}; {least:g} to {most:g} m are plausible"
    if not view.spatial:
        message = "two coordinates are taken for metres; they are more likely those of a picture"
        yield Finding("scale", "error", message, evidence, view.again("unit", "px", "say units='px' when you write it"))
        return
    fitting = fitting_unit(view.archive, view.size)
    guess = f"the coordinates are more likely {fitting}" if fitting else "no usual unit fits"
    message = f"{guess}: noise, crops of the view and transfer to other sets would be off by that factor"
    evidence += f"; the recordings were taken for {import_unit(view.archive)}"
    yield Finding("scale", "error", message, evidence, _scale_remedy(view, fitting))


def _scale_remedy(view: _View, fitting: str | None) -> str:
    otherwise = "bring the coordinates to metres"
    if fitting:
        return view.again("unit", fitting, otherwise)
    told = view.archive.source.get("options")
    scale = told.get("scale") if isinstance(told, dict) else None
    typical = TYPICAL[view.skeleton.kind]
    factor = float(f"{(scale or 1.0) * typical / (view.size * METRES[view.archive.units]):.2g}")
    command = view.import_command(scale=factor)
    if command is None:
        return f"{otherwise}, and import again"
    return f"find out the unit; if the {view.skeleton.kind} should measure about {typical:g} m: {command}"


def _mixed_scale(view: _View) -> Iterator[Finding]:
    if view.sensor or not np.isfinite(view.size):
        return
    limit = OFF_SCALE if view.spatial else OFF_SCALE_PICTURE
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(view.sizes > 0, view.sizes / view.size, np.nan)
    off = np.flatnonzero((ratio > limit) | (ratio < 1 / limit))
    if len(off):
        rows = view.compared[off].tolist()
        evidence = (
            f"{len(off)} of {len(ratio)} clips differ from the median size {view.size:.4g} by more than {limit:g}×"
        )
        message = "clips of different units lie side by side: the encoder would learn the unit"
        remedy = "bring all recordings to one unit before the import, or import those of each unit apart"
        yield Finding("mixed scale", "error", message, evidence, remedy, view.listed(rows))


def _flat(view: _View) -> Iterator[Finding]:
    dead = view.dead
    if dead and not view.sensor:
        evidence = f"{', '.join(dead)} is the same for all joints in {len(view.sample)} frames"
        message = "a coordinate says nothing: these are recordings in fewer dimensions"
        remedy = "import them with two coordinates, so that nothing is turned about the missing one"
        yield Finding("flat axis", "warning", message, evidence, remedy)


def _up(view: _View) -> Iterator[Finding]:
    declared = view.skeleton.up
    if view.sensor or declared is None or not len(view.sample):
        return
    seen = estimate_up(view.sample, view.skeleton)
    if seen is None or seen == declared:
        return
    if not view.spatial and seen[1] != declared[1]:
        return  # a picture is never turned; these people lie
    evidence = f"from hips to head is {seen} in {len(view.sample)} frames, {declared} is declared"
    message = "the wrong axis points up: turns about the vertical would tip bodies over"
    yield Finding(
        "up direction", "error", message, evidence, view.again("up", seen, f'declare up = "{seen}" in the layout')
    )


def _handedness(view: _View) -> Iterator[Finding]:
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
    remedy = view.again("right_handed", seen, otherwise)
    yield Finding("handedness", "error", message, evidence, remedy)


def _handedness_by_knees(view: _View) -> bool | None:
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


# ---------------------------------------------------------------------------------------------- time and joints


def _rate(view: _View) -> Iterator[Finding]:
    fps = view.archive.fps
    if fps is None:
        evidence = "the archive states no frame rate"
        message = "durations, speeds and the match with other sensors cannot be told"
        command = view.import_command(fps=30.0)
        remedy = f"state the rate, if it is 30: {command}" if command else "state the rate and import again"
        yield Finding("frame rate", "note", message, evidence, remedy)
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
    remedy = "find out the rate at which the recordings were made and import them again with it"
    yield Finding("frame rate", "warning", message, evidence, remedy)


def _repeated(view: _View) -> Iterator[Finding]:
    same = total = 0
    off: list[int] = []
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
        same, total = same + int(equal.sum()), total + len(equal)
    if total and len(off) > 0.2 * len(view.sampled):
        evidence = f"{same / total:.0%} of frames equal the one before, in {len(off)} of {len(view.sampled)} clips"
        message = "recordings were brought to a higher rate by repeating frames: their motion comes in jerks"
        remedy = "write them at the sensor's own rate, and state it"
        yield Finding("repeated frames", "warning", message, evidence, remedy, view.listed(off))


def _joints(view: _View) -> Iterator[Finding]:
    """Joints that are absent, and joints that never move while the body does."""
    count = len(view.skeleton)
    seen, frames, still, moving = np.zeros(count), 0, np.zeros(count), 0
    sparse: list[int] = []
    for index in view.sampled:
        absent = bodies = 0
        for body in view.bodies(index):
            there = body.any(axis=2)
            seen += there.sum(axis=0)
            frames += len(body)
            absent, bodies = absent + int((~there).sum()), bodies + there.size
            if len(body) > 1:
                steps = np.linalg.norm(np.diff(body, axis=0), axis=2)
                moves = steps.max(axis=1) > 0
                still += (steps[moves] == 0).sum(axis=0)
                moving += int(moves.sum())
        if bodies and absent > 0.5 * bodies:
            sparse.append(index)
    if not frames:
        return
    share = seen / frames
    # the origin of a capture volume may be a joint, and recordings may be relative to their root
    share[[name == "root" for name in view.skeleton.canonical]] = 1
    carries = {p for _, p in view.skeleton.bones}
    share[[p in (-1, j) and j in carries and not seen[j] for j, p in enumerate(view.skeleton.parents)]] = 1
    gone = [view.skeleton.joints[i] for i in np.flatnonzero(share < 1 - STILL)]
    if gone:
        evidence = f"{', '.join(gone[:LISTED])} absent in at least {STILL:.0%} of {frames:,} bodies"
        message = "joints that are hardly ever there are noise to the encoder"
        remedy = "convert to a layout without them, or leave them out of the recordings"
        yield Finding("missing joints", "warning", message, evidence, remedy)
    kept = share[share >= 1 - STILL]
    if not view.sensor and len(kept) and 1 - float(kept.mean()) > MISSING:
        evidence = f"{1 - float(kept.mean()):.0%} of all joints are absent (zero)"
        message = "so many joints are missing that clips differ by what was seen, not by what was done"
        remedy = "fill short gaps before the import, or leave out the clips that are mostly empty"
        yield Finding("missing share", "warning", message, evidence, remedy, view.listed(sparse))
    dead = [] if not moving else np.flatnonzero((still > STILL * moving) & (share >= 1 - STILL)).tolist()
    dead = [i for i in dead if view.skeleton.canonical[i] != "root" and seen[i]]
    if dead and len(dead) < count:
        evidence = f"{', '.join(view.skeleton.joints[i] for i in dead[:LISTED])}: same place in {STILL:.0%} of frames"
        message = "joints that never move while the body does were not tracked"
        remedy = "leave them out: a layout of your own without them, or common-15"
        yield Finding("static joints", "warning", message, evidence, remedy)


# ------------------------------------------------------------------------------------------------ copies and leaks


def _copies(view: _View) -> Iterator[Finding]:
    pairs = _overlaps(view) | _near(view)
    if not pairs:
        return
    across = _across(pairs, view.split)
    rows = sorted({i for pair in pairs for i in pair})
    if across:
        listed = tuple(f"{view.names[a]} = {view.names[b]}" for a, b in across[:LISTED])
        evidence = f"{len(across)} pairs of clips hold (nearly) the same frames on both sides of {view.split.name}"
        message = "the test knows clips of the training: results are too good"
        whole = view.rule_that(lambda other: not _across(pairs, other))
        remedy = "remove the copies" + (
            f", or keep them on one side: motet pretrain … --split {whole}" if whole else ""
        )
        yield Finding("leaking clips", "error", message, evidence, remedy, listed)
        return
    evidence = (
        f"{len(rows)} of {len(view.archive)} clips hold (nearly) the same frames as another, on one side of the split"
    )
    message = "copies and overlapping windows count more than once, and are false negatives of a contrastive loss"
    remedy = "remove copies; windows of one recording belong on one side of any split"
    yield Finding("duplicate clips", "warning", message, evidence, remedy, view.listed(rows))


def _across(pairs: set[tuple[int, int]], split: splits.Split) -> list[tuple[int, int]]:
    """The pairs of which one clip trains and the other tests."""
    if split.name == "all":
        return []
    train, test = set(split.train.tolist()), set(split.test.tolist())
    return sorted(p for p in pairs if (p[0] in train and p[1] in test) or (p[1] in train and p[0] in test))


def _overlaps(view: _View) -> set[tuple[int, int]]:
    """Pairs of clips of which one holds a good part of the other's frames, bit by bit."""
    frames = view.archive.frames
    flat = frames.reshape(len(frames), -1)
    weights = np.random.default_rng(0).integers(1, 2**63, flat.shape[1], dtype=np.uint64) | np.uint64(1)
    words = np.dtype(f"u{frames.dtype.itemsize}")
    keys = np.empty(len(frames), dtype=np.uint64)
    step = max(1, 4_000_000 // max(1, flat.shape[1]))
    for start in range(0, len(flat), step):
        keys[start : start + step] = (flat[start : start + step].view(words).astype(np.uint64) * weights).sum(axis=1)
    owner = np.repeat(np.arange(len(view.archive)), view.archive.lengths)
    rows = np.unique(np.stack([keys, owner.astype(np.uint64)], axis=1), axis=0)  # a frame counts once in a clip
    rows = rows[rows[:, 0] != 0]  # nobody there
    again = np.flatnonzero(rows[1:, 0] == rows[:-1, 0])
    if not len(again):
        return set()
    pairs, counts = np.unique(np.stack([rows[again, 1], rows[again + 1, 1]], axis=1), axis=0, return_counts=True)
    distinct = np.bincount(rows[:, 1].astype(np.int64), minlength=len(view.archive))
    return {
        (int(a), int(b))
        for (a, b), n in zip(pairs.tolist(), counts.tolist(), strict=True)
        if n >= max(2, OVERLAP * min(distinct[a], distinct[b])) or n == min(distinct[a], distinct[b]) > 1
    }


def _near(view: _View) -> set[tuple[int, int]]:
    """Pairs of clips that are the same but for noise and place, found by sums of coordinates with random weights."""
    if view.sensor or not np.isfinite(view.size):
        return set()
    rows = view.compared
    size = view.archive.persons * len(view.skeleton) * len(view.archive.channels)
    whole = np.zeros((len(rows), FRAMES * size), dtype=np.float32) if FRAMES * size * len(rows) < 5e8 else None
    if whole is None:
        return set()
    for at, index in enumerate(rows.tolist()):
        clip = view.archive.clip(index)
        there = np.asarray(clip.any(axis=3, keepdims=True))
        middle = clip.sum(axis=(0, 1, 2)) / max(1, int(there.sum()))
        picked = np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)
        whole[at] = ((clip[picked] - middle) * there[picked]).ravel() / view.size
    weights = np.random.default_rng(1).normal(size=(FRAMES * size, 2)).astype(np.float32)
    keys = whole @ weights / np.float32(np.sqrt(FRAMES * size))
    order = np.argsort(keys[:, 0], kind="stable")
    limit, joints = 4 * NEAR, FRAMES * view.archive.persons * len(view.skeleton)
    lengths, found = view.archive.lengths, set()
    for place, first in enumerate(order.tolist()):
        for second in order[place + 1 : place + 200].tolist():
            if keys[second, 0] - keys[first, 0] > limit:
                break
            if abs(keys[second, 1] - keys[first, 1]) > limit:
                continue
            away = float(np.square(whole[second] - whole[first]).sum() / joints)
            a, b = sorted((int(rows[first]), int(rows[second])))
            if away < NEAR**2 and lengths[a] > 1 and lengths[b] > 1:
                found.add((a, b))
    return found


def _people(view: _View) -> Iterator[Finding]:
    archive, split = view.archive, view.split
    subjects = archive.clips["subject"].fill_null(-1).to_numpy()
    shared = sorted((set(subjects[split.train].tolist()) & set(subjects[split.test].tolist())) - {-1})
    if split.name == "all" or not shared:
        if (subjects == -1).all() and split.name != "all":
            evidence = f"no clip has a subject; {split.name} draws clips"
            message = "one person may train and test: scores may be optimistic"
            yield Finding("unknown people", "note", message, evidence, _name_people(view))
        return
    known = ", ".join(map(str, shared[:LISTED]))
    people = "1 person" if len(shared) == 1 else f"{len(shared)} people"
    evidence = f"{people} on both sides of {split.name}: {known}"
    message = "people are recognised by their build: scores do not hold for new ones"
    rule = view.rule_that(lambda other: not other.warning)
    remedy = f"motet pretrain … --split {rule}" if rule else "record more people; one person cannot both train and test"
    yield Finding("shared people", "warning", message, evidence, remedy)


def _name_people(view: _View) -> str:
    """How clips get a subject: the command that made the archive, to which a group of the pattern is to be added."""
    told, command = view.archive.source.get("options"), view.import_command()
    if command is None or not isinstance(told, dict) or "pattern" not in told:
        return "give every clip a subject, and import again"
    group = "a group (?P<subject>…)"
    where = f"{group} in its --pattern" if told["pattern"] else f"a --pattern that has {group}"
    return f"where the names of the files tell the person, import again with {where}: {command}"


# ----------------------------------------------------------------------------------------------------- labels


def _classes(view: _View) -> Iterator[Finding]:
    labels, names = view.archive.labels, view.archive.class_names
    if not (labels >= 0).any():
        return
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    present = np.flatnonzero(counts)
    most, least = present[counts[present].argmax()], present[counts[present].argmin()]
    if counts[most] > IMBALANCE * counts[least]:
        evidence = f"{names[most]} has {counts[most]} clips, {names[least]} {counts[least]}"
        message = "accuracy would be that of the frequent classes, and few-label draws may miss the rare ones"
        remedy = "read accuracy per class; draw class-balanced labels, or gather more of the rare ones"
        yield Finding("class imbalance", "warning", message, evidence, remedy)
    if view.split.name == "all":
        return
    sides = _classes_of(view.split, labels)
    for side, other in (("train", "test"), ("test", "train")):
        lacking = sorted(sides[other] - sides[side])
        if lacking:
            evidence = f"{', '.join(names[i] for i in lacking[:LISTED])}: no clip to {side} under {view.split.name}"
            message = "classes that cannot be learnt" if side == "train" else "classes that are never tested"
            severity: Severity = "warning" if side == "train" else "note"
            rule = view.rule_that(lambda other: len(set(map(frozenset, _classes_of(other, labels).values()))) == 1)
            remedy = f"motet pretrain … --split {rule}, which has every class on both sides"
            remedy = remedy if rule else "record these classes with more people, or leave them out"
            yield Finding(f"classes without {side}", severity, message, evidence, remedy)


def _classes_of(split: splits.Split, labels: npt.NDArray[np.int64]) -> dict[str, set[int]]:
    """Classes that have clips on each side."""
    return {n: set(labels[ids].tolist()) - {-1} for n, ids in (("train", split.train), ("test", split.test))}


def _short(view: _View) -> Iterator[Finding]:
    lengths, fps = view.archive.lengths, view.archive.fps
    limit = max(SHORT_FRAMES, 0 if fps is None else SHORT_SECONDS * fps)
    short = np.flatnonzero(lengths < limit)
    if not len(short):
        return
    severity: Severity = "warning" if len(short) > SHORT_CLIPS * len(lengths) else "note"
    evidence = f"{len(short)} of {len(lengths)} clips have fewer than {limit:.0f} frames; the shortest {lengths.min()}"
    message = "crops of so short a clip are one and the same: nothing to contrast"
    remedy = "cut longer clips, or leave these out"
    yield Finding("short clips", severity, message, evidence, remedy, view.listed(short.tolist()))


_CHECKS: tuple[Callable[[_View], Iterator[Finding]], ...] = (
    _scale,
    _mixed_scale,
    _flat,
    _up,
    _handedness,
    _rate,
    _repeated,
    _joints,
    _copies,
    _people,
    _classes,
    _short,
)
