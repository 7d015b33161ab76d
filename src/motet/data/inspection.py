"""What is in an archive, and what is wrong with it (``motet data inspect``).

:func:`inspect` reads every frame once, in chunks, and returns plain data that goes into JSON as it is;
:func:`render` shows the same on a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from motet.data.archive import MotionArchive
from motet.data.convert import estimate_handedness, estimate_up, recipe
from motet.data.skeletons import Skeleton

Mask = npt.NDArray[np.bool_]
Report = dict[str, Any]

CHUNK_VALUES = 8_000_000  # numbers looked at together: 32 MB
LISTED = 20  # clips listed by name for each fault
PROBED_FRAMES = 2000  # frames from which size and axes are judged
FROZEN_SECONDS = 0.2  # a sensor that repeats itself for longer is stuck
FROZEN_FRAMES = 5  # the same where the frame rate is unknown, and the least number
RARE = 0.001  # share of bodies in which a joint that is hardly ever there is seen
WHOLE_SET, MANY = 0.95, 10  # share of clips, and least number of them, from which a fault is one of the set
_OF_NOISE = ("bone-length jumps", "missing joints", "missing bodies", "frozen frames")
BONE_CHANGE = 0.5  # relative to the bone's median in the clip
IMBALANCE = 10.0  # most frequent class against the rarest
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
# largest extent of a skeleton in metres that is believed (lying bodies and half bodies included)
SIZES = {"body": (0.4, 3.5), "hand": (0.04, 0.5)}
TYPICAL = {"body": 1.6, "hand": 0.17}
IMPORTED = {**METRES, "inch": 0.0254}  # units that formats bring to metres


def import_unit(archive: MotionArchive) -> str:
    """The unit that the recordings were taken to be in: as the import was told, else that of the archive."""
    options = archive.source.get("options")
    told = options.get("unit") if isinstance(options, Mapping) else None
    return told if told in IMPORTED and archive.units in METRES else archive.units


def fitting_unit(archive: MotionArchive, size: float) -> str | None:
    """The unit of length under which a body of ``size`` (in the archive's unit) has a usual size; None if none does.

    Usual is within a factor of two of an adult's or a hand's: what is proposed must be right, not only possible.
    """
    typical = TYPICAL[archive.skeleton.kind]
    if not size > 0:
        return None
    recorded = size * METRES[archive.units] / IMPORTED[import_unit(archive)]

    def off(unit: str) -> float:
        return abs(float(np.log2(recorded * IMPORTED[unit] / typical)))

    best = min(IMPORTED, key=off)
    return best if off(best) <= 1 else None


@dataclass
class _Tally:
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


def inspect(archive: MotionArchive, *, verify: bool = True, bone_change: float = BONE_CHANGE) -> Report:
    """Contents, balance, durations and faults of an archive.

    Args:
        archive: what to look at.
        verify: compare every clip with its digest first.
        bone_change: a bone whose length departs from its median in the clip by more than this share has jumped.

    Returns:
        JSON-able data: ``path, hash, bytes, clips, frames, persons, skeleton, channels, units, fps, licence,
        simulated, source, confidence, sensors, verified, duration, balance, faults``. A fault has a name, a level
        (``error``, ``warning`` or ``note``), a message with its remedy, the number of clips and frames concerned,
        and the worst clips by name with their first frame.

    Raises:
        DataError: a clip's data are not what was written; names the clip.
    """
    if verify:
        archive.verify()
    tallies = _scan(archive, bone_change)
    faults = [_frame_fault(archive, name, tally) for name, tally in tallies.items() if tally.rows]
    faults += _never_seen(archive)
    faults += _clip_faults(archive) + _label_faults(archive) + layout_faults(archive) + _notes(archive)
    order = {"error": 0, "warning": 1, "note": 2}
    return {
        "path": str(archive.path),
        "hash": archive.hash,
        "bytes": sum(f.stat().st_size for f in archive.path.rglob("*") if f.is_file()),
        "clips": len(archive),
        "frames": len(archive.frames),
        "persons": archive.persons,
        "skeleton": _skeleton(archive.skeleton),
        "channels": list(archive.channels),
        "units": archive.units,
        "fps": archive.fps,
        "licence": archive.licence,
        "simulated": archive.simulated,
        "source": archive.source,
        "confidence": archive.confidence is not None,
        "sensors": {name: {"clips": len(s), "fps": s.fps} for name, s in archive.sensors.items()},
        "verified": verify,
        "duration": _durations(archive),
        "balance": _balance(archive),
        "faults": sorted(faults, key=lambda f: order[f["level"]]),
    }


def _skeleton(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "name": skeleton.name,
        "kind": skeleton.kind,
        "joints": len(skeleton),
        "up": skeleton.up,
        "right_handed": skeleton.right_handed,
    }


# ---------------------------------------------------------------------------------------------- frames


def _scan(archive: MotionArchive, bone_change: float) -> dict[str, _Tally]:
    """Faults that show in single frames."""
    tallies: dict[str, _Tally] = {}
    shortest = FROZEN_FRAMES if archive.fps is None else max(FROZEN_FRAMES, round(FROZEN_SECONDS * archive.fps))
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
        ever = np.logical_or.reduceat(bodies, starts, axis=0)
        owner = np.repeat(np.arange(len(starts)), np.diff([*starts.tolist(), len(frames)]))
        if archive.skeleton.kind == "sensor":
            nodes = np.logical_or.reduceat(joints, starts, axis=0)
            found["silent sensor"] = ~nodes[owner].all(axis=(1, 2)) & ~empty
        else:
            found["missing bodies"] = (ever[owner] & ~bodies).any(axis=1) & ~empty
            centred = _centred(archive.skeleton, joints, bodies, starts)
            found["missing joints"] = (bodies[:, :, None] & ~joints & ~centred[owner]).any(axis=(1, 2))
            if len(archive.channels) == 3 and archive.skeleton.bones:
                found["bone-length jumps"] = _bone_jumps(frames, joints, starts, archive.skeleton, bone_change)
        for name, bad in found.items():
            tallies.setdefault(name, _Tally()).add(bad, starts, clips)
    return tallies


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
    roots = np.array([p in (-1, j) for j, p in enumerate(skeleton.parents)])
    volume = np.array([name == "root" for name in skeleton.canonical])
    return np.asarray((never & roots) | volume)


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


_FRAME_FAULTS: Mapping[str, tuple[str, str]] = {
    "not finite": ("error", "coordinates are NaN or infinite; import the recordings again"),
    "empty ends": ("note", "nobody is there at the beginning or the end of clips: cut these frames off"),
    "all-zero frames": ("warning", "frames hold nothing; cut them off or leave the clips out"),
    "frozen frames": ("warning", "the same frame over and over: the sensor was stuck or lost the body"),
    "silent sensor": ("warning", "a node of the sensor recorded nothing in the clip"),
    "missing bodies": ("warning", "a body of the clip is absent in some frames"),
    "missing joints": ("note", "joints of a body are absent (zero) in some frames"),
    "bone-length jumps": ("warning", "a bone is much longer or shorter than in the rest of its clip: tracking errors"),
}


def _frame_fault(archive: MotionArchive, name: str, tally: _Tally) -> dict[str, Any]:
    level, message = _FRAME_FAULTS[name]
    if len(tally.rows) > WHOLE_SET * len(archive) and len(archive) >= MANY and name in _OF_NOISE:
        message += f" — in {len(tally.rows) / len(archive):.0%} of the clips: the set is noisy as a whole"
        names = archive.clips["name"]
        row = int(np.argmax(tally.counts))
        worst = {"clip": names[tally.rows[row]], "frames": tally.counts[row], "first": tally.first[row]}
        return {
            **{"name": name, "level": "note", "message": message, "clips": len(tally.rows)},
            **{"frames": sum(tally.counts), "examples": [worst]},
        }
    names = archive.clips["name"]
    worst = np.argsort(-np.array(tally.counts), kind="stable")[:LISTED].tolist()
    return {
        "name": name,
        "level": level,
        "message": message,
        "clips": len(tally.rows),
        "frames": sum(tally.counts),
        "examples": [{"clip": names[tally.rows[i]], "frames": tally.counts[i], "first": tally.first[i]} for i in worst],
    }


def _never_seen(archive: MotionArchive) -> list[dict[str, Any]]:
    """Joints that are absent in every frame, or in nearly all, of recordings whose joints are points of their own.

    A root that is always zero is the origin of recordings that are relative to it, where it carries bones; a joint
    without bones is a root by form only.
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
    carries = {p for _, p in skeleton.bones}
    origin = [
        name == "root" or (skeleton.parents[i] in (-1, i) and i in carries) for i, name in enumerate(skeleton.canonical)
    ]
    rare = [i for i in range(len(skeleton)) if seen[i] <= RARE * bodies and not (origin[i] and not seen[i])]
    if not rare:
        return []
    shown = ", ".join(f"{skeleton.joints[i]} ({seen[i] / bodies:.1%})" for i in rare[:LISTED])
    what = "readings are silent" if skeleton.kind == "sensor" else "joints are never or hardly ever seen"
    more = f" … and {len(rare) - LISTED} more" if len(rare) > LISTED else ""
    message = f"{what} (share of {bodies:,} bodies): {shown}{more}; leave them out of the layout"
    return [_fault("never seen", "warning", message)]


# ----------------------------------------------------------------------------------------------- clips


def _fault(name: str, level: str, message: str, clips: list[str] | None = None) -> dict[str, Any]:
    listed = [{"clip": clip} for clip in (clips or [])[:LISTED]]
    return {"name": name, "level": level, "message": message, "clips": len(clips or []), "examples": listed}


def _clip_faults(archive: MotionArchive) -> list[dict[str, Any]]:
    faults = []
    table = archive.clips
    single = table.filter(pl.col("length") == 1)["name"].to_list()
    if single:
        faults.append(_fault("single frames", "warning", "clips of one frame have no motion; leave them out", single))
    copies = table.filter(pl.col("sha256").is_duplicated())
    if len(copies):
        groups = copies.group_by("sha256", maintain_order=True).agg(pl.col("name"))["name"].to_list()
        message = (
            "clips hold the same data as another; if one trains and one tests, results are too good: leave them out"
        )
        faults.append(_fault("duplicate clips", "warning", message, [" = ".join(g) for g in groups]))
        faults[-1]["clips"] = len(copies)
    return faults


def _label_faults(archive: MotionArchive) -> list[dict[str, Any]]:
    unlabelled = archive.clips.filter(pl.col("label").is_null())["name"].to_list()
    if len(unlabelled) == len(archive):
        return [
            _fault("no labels", "note", "no clip has a label: pretraining and clustering need none, evaluation does")
        ]
    faults = []
    if unlabelled:
        faults.append(_fault("unlabelled clips", "warning", "clips without a label are not evaluated", unlabelled))
    counts = np.bincount(archive.labels[archive.labels >= 0], minlength=len(archive.class_names))
    absent = [n for n, c in zip(archive.class_names, counts, strict=False) if c == 0]
    if absent:
        faults.append(_fault("empty classes", "note", f"classes without a clip: {', '.join(absent[:LISTED])}"))
    present = counts[counts > 0]
    if present.max() > IMBALANCE * present.min():
        most, least = (archive.class_names[int(np.flatnonzero(counts == c)[0])] for c in (present.max(), present.min()))
        faults.append(
            _fault(
                "label imbalance",
                "warning",
                f"{most} has {present.max()} clips, {least} {present.min()}: read accuracy per class",
            )
        )
    return faults


# ---------------------------------------------------------------------------------------------- layout


def layout_faults(archive: MotionArchive) -> list[dict[str, Any]]:
    """Units and axes that the recordings contradict."""
    skeleton = archive.skeleton
    if skeleton.kind == "sensor":
        return []
    sample = archive.frames[:: max(1, len(archive.frames) // PROBED_FRAMES)].astype(np.float64)
    bodies = sample.reshape(-1, *sample.shape[2:])
    bodies = bodies[np.isfinite(bodies).all(axis=(1, 2)) & bodies.any(axis=(1, 2))]
    if not len(bodies):
        return []
    faults = _size_faults(archive, bodies)
    up = estimate_up(bodies, skeleton)
    lying = len(archive.channels) == 2 and up is not None and skeleton.up is not None and up[1] != skeleton.up[1]
    if up is not None and skeleton.up is not None and up != skeleton.up and not lying:  # a picture is never turned
        message = f"bodies stand along {up}, the archive declares {skeleton.up}: import again with the right axis"
        faults.append(_fault("up axis", "warning", message))
    handed = estimate_handedness(bodies, skeleton)
    if handed is not None and handed != skeleton.right_handed:
        words = ("left", "right")
        message = (
            f"feet point backwards in the {words[skeleton.right_handed]}-handed frame that the archive declares; it "
            f"seems {words[handed]}-handed, or left and right joints are swapped: mixing it with other sets would fail"
        )
        faults.append(_fault("handedness", "warning", message))
    return faults


def is_human(skeleton: Skeleton) -> bool:
    """Whether the size of a person can be asked of a layout: animals and marker sets have any."""
    needed = ("mid_hip", "head", "left_shoulder", "left_knee")
    return skeleton.kind == "hand" or all(recipe(name, skeleton) is not None for name in needed)


def _size_faults(archive: MotionArchive, bodies: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    if archive.units not in METRES or not is_human(archive.skeleton):
        return []
    there = (bodies != 0).any(axis=2, keepdims=True)
    high = np.where(there, bodies, -np.inf).max(axis=1)
    low = np.where(there, bodies, np.inf).min(axis=1)
    size = float(np.median((high - low).max(axis=1)))
    least, most = SIZES[archive.skeleton.kind]
    if not size > 0 or least <= size * METRES[archive.units] <= most:
        return []
    fitting = fitting_unit(archive, size)
    guess = f"it is more likely {fitting}" if fitting else "no usual unit fits"
    remedy = "import with that unit"
    if len(archive.channels) < 3:  # metres are rare in two dimensions
        guess, remedy = "two coordinates are more likely those of an image", "import with --unit px"
    elif not fitting:
        remedy = f"import with the factor that gives metres (now the recordings are taken for {import_unit(archive)})"
    message = f"a {archive.skeleton.kind} of {size:.4g} {archive.units} is not plausible; {guess}: {remedy}"
    return [_fault("units", "error", message)]


def _notes(archive: MotionArchive) -> list[dict[str, Any]]:
    notes = []
    if archive.fps is None:
        notes.append(_fault("frame rate", "note", "unknown: durations in seconds cannot be told"))
    if archive.licence == "unknown":
        notes.append(_fault("licence", "note", "unknown: ask before you share anything made of it"))
    skipped = archive.source.get("skipped")
    if isinstance(skipped, list) and skipped:
        files = [str(s.get("file", s)) if isinstance(s, Mapping) else str(s) for s in skipped]
        notes.append(_fault("skipped files", "note", "files that the import left out as unusable", files))
    return notes


def _durations(archive: MotionArchive) -> dict[str, Any]:
    lengths = archive.lengths

    def spread(values: npt.NDArray[Any]) -> dict[str, float]:
        low, median, high = np.percentile(values, [5, 50, 95]).tolist()
        extremes = {"min": float(values.min()), "p5": low, "median": median, "mean": float(values.mean())}
        return {**extremes, "p95": high, "max": float(values.max())}

    seconds = None if not archive.fps else spread(lengths / archive.fps)
    total = None if not archive.fps else float(lengths.sum() / archive.fps)
    return {"frames": spread(lengths), "seconds": seconds, "total_seconds": total}


def _balance(archive: MotionArchive) -> dict[str, dict[str, int]]:
    """Clips per class, person, camera, setup and number of bodies, where they are known."""
    balance: dict[str, dict[str, int]] = {}
    named: dict[str, Callable[[int], str]] = {"label": lambda i: archive.class_names[i]}
    for column in ("label", "subject", "camera", "setup", "persons"):
        values = archive.clips[column].drop_nulls()
        if len(values):
            keys, counts = np.unique(values.to_numpy(), return_counts=True)
            name = named.get(column, str)
            balance[column] = {name(k): int(c) for k, c in zip(keys.tolist(), counts.tolist(), strict=True)}
    return balance


# ---------------------------------------------------------------------------------------------- render


def render(report: Report) -> RenderableType:
    """The report for a terminal (``rich.print``)."""
    parts: list[RenderableType] = [_summary(report)]
    for column, counts in report["balance"].items():
        if len(counts) > 1 or column == "label":
            parts.append(_bars(column, counts))
    parts.append(_fault_table(report["faults"]))
    if "doctor" in report:
        parts.append(_findings(report["doctor"]))
    return Group(*parts)


def _findings(findings: list[dict[str, Any]]) -> RenderableType:
    """What :mod:`motet.data.doctor` found: each finding with its evidence and remedy below it."""
    if not findings:
        return Text("doctor: nothing speaks against training on it", style="green")
    table = Table(title="doctor", title_justify="left", box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        lines = [finding["message"], f"evidence: {finding['evidence']}", f"remedy: {finding['remedy']}"]
        if finding["clips"]:
            lines.append(f"for example: {', '.join(finding['clips'][:3])}")
        severity = finding["severity"]
        table.add_row(Text(severity, style=_STYLES[severity]), Text(finding["name"]), Text("\n".join(lines)))
    return table


def _summary(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    skeleton, spread = report["skeleton"], report["duration"]["frames"]
    handed = "right" if skeleton["right_handed"] else "left"
    axes = f", {skeleton['up']} up, {handed}-handed" if skeleton["up"] else ""
    rows = {
        "archive": report["path"] + (" (simulated: no sensor recorded it)" if report["simulated"] else ""),
        "clips": f"{report['clips']:,} of {report['frames']:,} frames, {report['bytes'] / 1e6:,.1f} MB",
        "layout": f"{skeleton['name']} ({skeleton['kind']}), {skeleton['joints']} joints{axes}",
        "persons": f"up to {report['persons']}",
        "values": f"{', '.join(report['channels'])} in {report['units']}"
        + (", with confidence" if report["confidence"] else ""),
        "rate": "unknown" if report["fps"] is None else f"{report['fps']:g} frames/s",
        "frames": "min {min:.0f}, median {median:.0f}, 95 % {p95:.0f}, max {max:.0f}".format(**spread),
        "licence": report["licence"],
        "content": report["hash"] + (" (verified)" if report["verified"] else ""),
    }
    for name, sensor in report["sensors"].items():
        rate = "unknown rate" if sensor["fps"] is None else f"{sensor['fps']:g} samples/s"
        rows[f"sensor {name}"] = f"beside {sensor['clips']:,} of the clips, {rate}"
    if report["duration"]["seconds"]:
        rows["duration"] = "min {min:.1f} s, median {median:.1f} s, 95 % {p95:.1f} s, max {max:.1f} s".format(
            **report["duration"]["seconds"]
        )
        rows["duration"] += f"; {report['duration']['total_seconds'] / 3600:.2f} h in all"
    for key, value in rows.items():
        table.add_row(Text(key, style="bold"), Text(str(value)))
    return table


def _bars(column: str, counts: Mapping[str, int], width: int = 30) -> Table:
    table = Table(title=f"clips by {column}", title_justify="left", box=None, show_header=False)
    most = max(counts.values())
    shown = list(counts.items())[:LISTED]
    for name, count in shown:
        table.add_row(Text(name), Text(str(count), justify="right"), Text("▇" * max(1, round(width * count / most))))
    if len(counts) > len(shown):
        rest = sum(counts.values()) - sum(c for _, c in shown)
        table.add_row(Text(f"… and {len(counts) - len(shown)} more"), Text(str(rest), justify="right"), Text(""))
    return table


_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def _fault_table(faults: list[dict[str, Any]]) -> RenderableType:
    if not faults:
        return Text("no faults found", style="green")
    table = Table(title="faults", title_justify="left", box=None)
    for heading in ("", "fault", "clips", "frames", "what it means", "for example"):
        table.add_column(heading, overflow="fold")
    for fault in faults:
        examples = []
        for example in fault["examples"][:3]:
            where = f" (from frame {example['first']}, {example['frames']})" if "first" in example else ""
            examples.append(f"{example['clip']}{where}")
        table.add_row(
            Text(fault["level"], style=_STYLES[fault["level"]]),
            Text(fault["name"]),
            Text(str(fault["clips"] or "")),
            Text(str(fault.get("frames", ""))),
            Text(fault["message"]),
            Text(", ".join(examples)),
        )
    return table
