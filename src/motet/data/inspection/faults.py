"""Faults of clips, labels and layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.text import counted, pasted
from motet.core.units import METRES
from motet.data.archive import MotionArchive
from motet.data.convert import estimate_handedness, estimate_up
from motet.data.inspection.remedies import NOTHING, again, import_command, made, next_to, state_rate
from motet.data.inspection.units import LARGEST, SIZES, TYPICAL, fitting_unit, import_unit, is_human
from motet.data.worn import MIRRORS, note_of

LISTED = 20  # clips listed by name for each fault
PROBED_FRAMES = 2000  # frames from which size and axes are evaluated
IMBALANCE = 10.0  # most frequent class against the rarest
IN_PICTURE = 0.95  # share of x and y between 0 and 1, above which they are those of a picture
FLAT = 1e-3  # depth of the wrist


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what removes it.

    Attributes:
        name: short name.
        level: ``error``, ``warning`` or ``note``.
        message: what is wrong.
        remedy: a command, or what else is to be done; begins with *nothing is to be done* where that is so.
        examples: clips by name, some with their first bad frame and the number of them.
        clips: how many clips have it.
        frames: how many frames, where frames have it.
        rows: the clips that have it.
        extra: of these the ones without which the others are sound.
    """

    name: str
    level: str
    message: str
    remedy: str
    examples: tuple[dict[str, Any], ...] = ()
    clips: int = 0
    frames: int | None = None
    rows: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()

    def report(self) -> dict[str, Any]:
        """As plain data for JSON."""
        frames = {} if self.frames is None else {"frames": self.frames}
        shown = {k: getattr(self, k) for k in ("name", "level", "message", "remedy", "clips")}
        return {**shown, **frames, "examples": list(self.examples)}


def fault(name: str, level: str, message: str, remedy: str, named: Sequence[str] = (), **about: Any) -> Fault:
    listed = tuple({"clip": clip} for clip in named[:LISTED])
    return Fault(name, level, message, remedy, listed, **{"clips": len(named)} | about)


def without(archive: MotionArchive, name: str) -> str:
    """The command that leaves out the clips with a finding."""
    return made(archive, "select", "--drop-finding", name)


def of_clips(archive: MotionArchive, name: str, message: str, rows: Sequence[int]) -> Fault:
    """A warning on clips that are left out by their finding."""
    about = {"rows": tuple(rows), "extra": tuple(rows)}
    listed = archive.clips["name"][list(rows)].to_list()
    return fault(name, "warning", message, without(archive, name), listed, **about)


def clip_faults(archive: MotionArchive) -> list[Fault]:
    faults = []
    single = np.flatnonzero(archive.lengths == 1).tolist()
    if single:
        faults.append(of_clips(archive, "single frames", "clips of one frame have no motion", single))
    copies = archive.clips.with_row_index("row").filter(pl.col("sha256").is_duplicated())
    if len(copies):
        groups = copies.group_by("sha256", maintain_order=True).agg(pl.col("name"))["name"].to_list()
        message = "clips hold the same data as another; if one trains and one tests, results are too good"
        later = copies.filter(~pl.col("sha256").is_first_distinct())["row"].to_list()
        about = {"clips": len(copies), "rows": tuple(copies["row"].to_list()), "extra": tuple(later)}
        name, listed = "duplicate clips", [" = ".join(g) for g in groups]
        faults.append(fault(name, "warning", message, without(archive, name), listed, **about))
    return faults


def label_faults(archive: MotionArchive) -> list[Fault]:
    rows = np.flatnonzero(archive.labels < 0).tolist()
    if len(rows) == len(archive) and len(archive.tracks):
        return []
    if len(rows) == len(archive):
        message = "no clip has a label: pretraining and clustering need none, evaluation does"
        path = archive.path
        words = pasted(path, "labels.csv", "--out", next_to(path))
        along = "labels along time (BORIS, ELAN …) come by --track; " if archive.fps else ""
        remedy = f"{along}with a table labels.csv of columns name and label: motet data label {words}"
        return [fault("no labels", "note", message, remedy)]
    faults = []
    if rows:
        faults.append(of_clips(archive, "unlabelled clips", "clips without a label are not evaluated", rows))
    counts = np.bincount(archive.labels[archive.labels >= 0], minlength=len(archive.class_names))
    absent = [n for n, c in zip(archive.class_names, counts, strict=False) if c == 0]
    if absent:
        message = f"classes without a clip: {', '.join(absent[:LISTED])}"
        faults.append(fault("empty classes", "note", message, f"{NOTHING}: they count nowhere"))
    present = counts[counts > 0]
    if present.max() > IMBALANCE * present.min():
        most, least = (archive.class_names[int(np.flatnonzero(counts == c)[0])] for c in (present.max(), present.min()))
        message = f"{most} has {counted(present.max(), 'clip')}, {least} {present.min()}"
        remedy = f"{NOTHING} but to gather more of the rare ones: read accuracy per class"
        faults.append(fault("label imbalance", "warning", message, remedy))
    return faults


def layout_faults(archive: MotionArchive) -> list[Fault]:
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
        message = f"bodies stand along {up}, the archive declares {skeleton.up}"
        remedy = again(archive, "up", up, f'declare up = "{up}" in the layout')
        faults.append(fault("up axis", "warning", message, remedy))
    handed = estimate_handedness(bodies, skeleton)
    if handed is not None and handed != skeleton.right_handed:
        words = ("left", "right")
        message = (
            f"feet point backwards in the {words[skeleton.right_handed]}-handed frame that the archive declares; it "
            f"seems {words[handed]}-handed, or left and right joints are swapped: mixing it with other sets would fail"
        )
        remedy = again(archive, "right_handed", handed, "declare right_handed in the layout, or negate one axis")
        faults.append(fault("handedness", "warning", message, remedy))
    return faults


def _size_faults(archive: MotionArchive, bodies: npt.NDArray[np.float64]) -> list[Fault]:
    if archive.units not in METRES:
        return []
    there = (bodies != 0).any(axis=2, keepdims=True)
    high = np.where(there, bodies, -np.inf).max(axis=1)
    low = np.where(there, bodies, np.inf).min(axis=1)
    size = float(np.median((high - low).max(axis=1)))
    human = is_human(archive.skeleton)
    least, most = SIZES[archive.skeleton.kind] if human else (0.0, LARGEST)
    if not size > 0:
        return []
    shares = _shares_faults(archive, bodies) if human else []
    if shares or least <= size * METRES[archive.units] <= most:
        return shares
    fitting = fitting_unit(archive, size)
    guess = f"it is more likely {fitting}" if fitting else "no usual unit fits"
    guess += f" (now the recordings are taken for {import_unit(archive)})"
    if len(archive.channels) < 3:  # metres are rare in two dimensions
        guess = "two coordinates are more likely those of an image"
    message = f"a {archive.skeleton.kind} of {size:.4g} {archive.units} is not plausible; {guess}"
    return [fault("units", "error", message, scale_remedy(archive, size))]


def _shares_faults(archive: MotionArchive, bodies: npt.NDArray[np.float64]) -> list[Fault]:
    """Shares of a picture (0 … 1) that are taken for a length: two coordinates, or a hand whose wrist has no depth."""
    joints = bodies[(bodies != 0).any(axis=2)]
    inside = ((joints[:, :2] >= 0) & (joints[:, :2] <= 1)).mean()
    flat = len(archive.channels) < 3
    root = bodies[:, [p == -1 for p in archive.skeleton.parents], 2:]
    no_depth = archive.skeleton.kind == "hand" and bool((np.abs(root) < FLAT).all())  # MediaPipe's origin of depth
    if inside < IN_PICTURE or not (flat or no_depth):
        return []
    message = (
        f"x and y lie between 0 and 1{'' if flat else ', and the wrist has no depth'}: they are more likely shares of "
        f"the picture than {archive.units}"
    )
    remedy = again(archive, "unit", "shares", "say units='shares of the picture' when you write it")
    return [fault("units", "warning", message, remedy)]


def guess_faults(archive: MotionArchive) -> list[Fault]:
    """Body parts where DeepLabCut was guessing, which an import without ``--likelihood`` keeps."""
    if archive.confidence is None or archive.source.get("format") != "deeplabcut":
        return []
    from motet.data.formats.deeplabcut import SHARE, UNSURE  # with scipy, which looking at others can do without

    sure = np.asarray(archive.confidence[:: max(1, len(archive.confidence) // PROBED_FRAMES)])
    share = float((sure[sure > 0] < UNSURE).mean()) if sure.any() else 0.0
    if share < SHARE:
        return []
    message = (
        f"{share:.0%} of the body parts have a likelihood below {UNSURE}: guesses of DeepLabCut, which lie anywhere"
    )
    remedy = again(archive, "likelihood", UNSURE, f"leave out what is below {UNSURE}")
    return [fault("guessed joints", "warning", message, remedy)]


def scale_remedy(archive: MotionArchive, size: float) -> str:
    """What makes a body of ``size``, in the archive's unit, as large as bodies are."""
    if len(archive.channels) < 3:
        return again(archive, "unit", "px", "say units='px' when you write it")
    fitting, otherwise = fitting_unit(archive, size), "bring the coordinates to metres"
    if fitting:
        return again(archive, "unit", fitting, otherwise)
    options = archive.source.get("options")
    scale = options.get("scale") if isinstance(options, Mapping) else None
    kind, typical = archive.skeleton.kind, TYPICAL[archive.skeleton.kind]
    factor = float(f"{(scale or 1.0) * typical / (size * METRES[archive.units]):.2g}")
    command = import_command(archive, scale=factor)
    if command is None:
        return f"{otherwise}, and import again"
    return f"find out the unit; if the {kind} should measure about {typical:g} m: {command}"


def notes(archive: MotionArchive) -> list[Fault]:
    found = []
    if archive.fps is None:
        message = "unknown: durations in seconds cannot be known"
        found.append(fault("frame rate", "note", message, state_rate(archive)))
    if archive.licence == "unknown":
        remedy = f"{NOTHING} to the recordings: ask before you share anything made of them"
        found.append(fault("licence", "note", "unknown", remedy))
    if said := note_of(MIRRORS[0], archive):
        remedy = f"{NOTHING} if that is so, else a table with columns name and side corrects it (--out of data label)"
        found.append(fault("sides", "note", said, remedy))
    skipped = archive.source.get("skipped")
    if isinstance(skipped, list) and skipped:
        files = [str(s.get("file", s)) if isinstance(s, Mapping) else str(s) for s in skipped]
        command = import_command(archive, skip=False)
        remedy = f"correct them or take them away, and {f'import again: {command}' if command else 'import again'}"
        found.append(fault("skipped files", "note", "files that the import left out as unusable", remedy, files))
    return found
