"""NTU RGB+D 60 and 120 ``.skeleton`` text (Shahroudy et al., CVPR 2016; Liu et al., TPAMI 2020).

A file is: the number of frames; per frame the number of bodies; per body a line of 10 tokens (64-bit body id first),
a line with the number of joints (25) and 25 lines of 12 tokens that start with x y z in metres (camera frame, y up).

Which of the listed bodies become the two persons of a clip is :attr:`Options.bodies`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats import _text
from motet.data.formats._files import find_files, read_plain, read_text
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of

Points = npt.NDArray[np.float64]

JOINTS, PERSONS = 25, 2
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")

# CTR-GCN's denoising (Chen et al., ICCV 2021), by name of what each number means
_SHORTEST_BODY = 11  # frames; a body seen for no more is noise
_WIDE = 0.8  # a skeleton wider than this share of its height is suspicious
_WIDE_SHARE = 0.69754  # a body suspicious in this share of its frames is noise


@dataclass(frozen=True)
class Options:
    """Options of the ``ntu`` format.

    Attributes:
        bodies: which listed bodies become the two persons.
            ``tracked``: one slot per body id, the two with the largest energy (sum over x, y, z of the standard
            deviation over their frames), largest first.
            ``as-released``: slots are filled in the order in which each frame lists its bodies, then ranked by
            energy, as in the released CMD and ISC code. Where the order changes between frames one slot mixes two
            people; for comparison with published numbers only.
            ``first-two``: the first two bodies that each frame lists (CrosSCLR, AimCLR).
            ``denoise``: by body id; short and implausibly wide bodies are dropped, fragments of one person are
            joined, empty frames removed, the first mid spine put at the origin (CTR-GCN).
        exclude: text file of sample names to leave out, such as the lists of samples with missing skeletons that
            the data set's authors publish.
    """

    bodies: Literal["tracked", "as-released", "first-two", "denoise"] = "tracked"
    exclude: Path | None = None


@dataclass(frozen=True)
class Recording:
    """The bodies of one file, in the order in which they are listed.

    Attributes:
        frames: number of frames of the recording.
        frame: (M,) frame of each listed body.
        order: (M,) its place within its frame.
        ids: its body id, as written.
        points: (M, 25, 3) x, y, z in metres.
    """

    frames: int
    frame: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    ids: tuple[bytes, ...]
    points: Points


def parse(data: bytes, where: str | Path) -> Recording:
    """Read the text of a ``.skeleton`` file; ``where`` names it in messages.

    Raises:
        DataError: truncated, followed by something else, another number of joints, not text, NaN or infinite.
    """
    lines = _text.Lines(data, where)
    total = len(lines)
    if not total:
        raise DataError(f"{where} is empty")
    counts = lines.counts()

    def count(line: int, what: str) -> int:
        if counts[line] < 0:
            text = lines.token(line)[:20].decode(errors="replace")
            raise DataError(f"{where}, line {lines.number(line)}: {text!r} is not the number of {what}")
        return counts[line]

    frames = count(0, "frames")
    if not 0 < frames < total:  # a frame takes a line at least, so nothing needs to be allocated to see this
        raise DataError(
            f"{where} declares {counted(frames, 'frame')} but has {counted(total - 1, 'line')} after that; it is cut "
            f"off or broken"
        )
    heads: list[int] = []
    frame: list[int] = []
    order: list[int] = []
    cursor = 1
    for index in range(frames):
        if cursor >= total:
            raise DataError(f"{where} ends at frame {index} of {frames}; it is cut off")
        bodies = count(cursor, "bodies")
        cursor += 1
        for body in range(bodies):
            if cursor + 1 + JOINTS >= total:
                raise DataError(f"{where} ends inside frame {index}, body {body} of {bodies}; it is cut off")
            joints = count(cursor + 1, "joints")
            if joints != JOINTS:
                raise DataError(f"{where}, frame {index}: a body has {counted(joints, 'joint')} instead of {JOINTS}")
            heads.append(cursor)
            frame.append(index)
            order.append(body)
            cursor += 2 + JOINTS
    if cursor != total:
        raise DataError(
            f"{where} continues for {counted(total - cursor, 'line')} after its last declared frame ({frames})"
        )
    if not heads:
        raise DataError(f"{where}: no frame shows a body")
    head = np.array(heads, dtype=np.int64)
    rows = (head[:, None] + 2 + np.arange(JOINTS)).ravel()
    for wanted, which in ((10, head), (12, rows)):
        wrong = np.flatnonzero(lines.tokens[which] != wanted)
        if len(wrong):
            line = int(which[wrong[0]])
            raise DataError(
                f"{where}, line {lines.number(line)}: {counted(lines.tokens[line], 'value')} instead of {wanted}"
            )
    points = lines.floats(rows, 3).reshape(len(heads), JOINTS, 3)
    ids = tuple(lines.token(line) for line in heads)
    return Recording(frames, np.array(frame, dtype=np.int64), np.array(order, dtype=np.int64), ids, points)


def energy(points: Points) -> float:
    """Sum over x, y, z of the standard deviation over all joints of the (n, 25, 3) frames that are not zero."""
    seen = points[points.sum(axis=(1, 2)) != 0]
    return float(seen.std(axis=(0, 1)).sum()) if len(seen) else 0.0


def select_bodies(recording: Recording, rule: str) -> Points:
    """(T, 2, 25, 3): the two persons of a recording under ``rule``, see :class:`Options`."""
    if rule == "denoise":
        return _denoised(recording)
    if rule == "first-two":
        return _place(recording, [np.flatnonzero(recording.order == slot) for slot in range(PERSONS)])
    if rule == "as-released":
        groups = [np.flatnonzero(recording.order == slot) for slot in range(4)]
    else:
        groups = list(_by_id(recording))
    # sorted is stable: bodies of equal energy stay in the order in which they appeared
    ranked = sorted(groups, key=lambda rows: -energy(recording.points[rows]))
    return _place(recording, ranked[:PERSONS])


def _by_id(recording: Recording) -> Iterable[npt.NDArray[np.int64]]:
    """Rows of each body id; an id that a frame lists twice counts as two bodies."""
    groups: dict[tuple[bytes, int], list[int]] = {}
    seen: dict[tuple[int, bytes], int] = {}
    for row, (frame, body) in enumerate(zip(recording.frame.tolist(), recording.ids, strict=True)):
        again = seen.get((frame, body), 0)
        seen[frame, body] = again + 1
        groups.setdefault((body, again), []).append(row)
    return (np.array(rows, dtype=np.int64) for rows in groups.values())


def _place(recording: Recording, slots: Iterable[npt.NDArray[np.int64]]) -> Points:
    out = np.zeros((recording.frames, PERSONS, JOINTS, 3))
    for slot, rows in enumerate(slots):
        out[recording.frame[rows], slot] = recording.points[rows]
    return out


def _denoised(recording: Recording) -> Points:
    points, frame = recording.points, recording.frame
    bodies = list(_by_id(recording))
    if len(bodies) > 1:
        bodies = _plausible(points, bodies)
    out = np.zeros((recording.frames, PERSONS, JOINTS, 3))
    free = [np.ones(recording.frames, dtype=bool) for _ in range(PERSONS)]
    for rows in bodies:
        span = slice(int(frame[rows].min()), int(frame[rows].max()) + 1)
        for person in range(PERSONS):
            if free[person][span].all():
                out[frame[rows], person] = points[rows]
                free[person][span] = False
                break
    out = out[out.any(axis=(1, 2, 3))]
    first = int(np.argmax(out[:, 0].any(axis=(1, 2))))
    seen = out.any(axis=(2, 3))
    out[seen] -= out[first, 0, 1]
    return out


def _plausible(points: Points, bodies: list[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.int64]]:
    """Bodies that are no noise, largest motion first."""
    kept = [rows for rows in bodies if len(rows) > _SHORTEST_BODY] or [max(bodies, key=len)]
    left = len(kept)
    moving: list[tuple[float, npt.NDArray[np.int64]]] = []
    for rows in kept:
        body = points[rows]
        motion = float(body.reshape(-1, 3).var(axis=0).sum())
        extent = np.ptp(body, axis=1)
        wide = extent[:, 0] > _WIDE * extent[:, 1]
        if left > 1:
            if wide.mean() >= _WIDE_SHARE:
                left -= 1
                continue
            if wide.any():
                motion = min(motion, float(body[~wide].reshape(-1, 3).var(axis=0).sum()))
        moving.append((motion, rows))
    return [rows for _, rows in sorted(moving, key=lambda pair: -pair[0])]


def sample_columns(name: str) -> dict[str, int] | None:
    """``setup``, ``camera``, ``subject``, ``repetition`` and ``label`` of a sample name, None if it is no such name."""
    found = _NAME.match(name)
    if not found:
        return None
    setup, camera, subject, repetition, action = (int(g) for g in found.groups())
    columns = {"setup": setup, "camera": camera, "subject": subject, "repetition": repetition}
    return {**columns, "label": action - 1}


def discover(source: Path, options: Options) -> Plan:
    files = find_files(source, r".+\.skeleton", what="NTU files (*.skeleton)")
    dropped = 0
    if options.exclude is not None:
        excluded = {m.group() for m in _NAME.finditer(read_text(options.exclude))}
        if not excluded:
            raise ConfigError(f"{options.exclude} names no NTU sample (such as S001C001P001R001A001)")
        kept = [f for f in files if f.name.partition(".")[0] not in excluded]
        if not kept:
            raise DataError(f"{options.exclude} excludes every file of {source}")
        dropped, files = len(files) - len(kept), kept
        if not dropped:
            warnings.warn(f"no file of {source} is named in {options.exclude}", MotetWarning, stacklevel=2)
    highest = max((c["label"] for f in files if (c := sample_columns(f.name))), default=0)
    facts: dict[str, Any] = {"split": "ntu60-xsub" if highest < 60 else "ntu120-xsub", "excluded": dropped}
    return Plan(
        units=units_of(files, source),
        skeleton=layouts.get("kinect-v2"),
        persons=PERSONS,
        fps=30.0,
        class_names=CLASS_NAMES[: 60 if highest < 60 else 120],
        licence="NTU RGB+D terms: academic research only, on request from the authors",
        facts=facts,
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    name = unit.path.name.partition(".")[0]
    columns = sample_columns(name)
    if columns is None or not 0 <= columns["label"] < len(CLASS_NAMES):
        raise DataError(f"{unit.path}: the name is not SsssCcccPpppRrrrAaaa with an action of 1..{len(CLASS_NAMES)}")
    recording = parse(read_plain(unit.path), unit.path)
    return [RawClip(name, select_bodies(recording, options.bodies), columns=columns)]


# fmt: off
CLASS_NAMES = (
    "drink water", "eat meal", "brush teeth", "brush hair", "drop", "pick up", "throw", "sit down", "stand up",
    "clap", "read", "write", "tear up paper", "put on jacket", "take off jacket", "put on a shoe",
    "take off a shoe", "put on glasses", "take off glasses", "put on a hat", "take off a hat", "cheer up",
    "wave hand", "kick something", "reach into pocket", "hop", "jump up", "phone call", "play with phone",
    "type on a keyboard", "point to something", "take a selfie", "check time", "rub two hands", "nod head",
    "shake head", "wipe face", "salute", "put palms together", "cross hands in front", "sneeze or cough", "stagger",
    "fall", "headache", "chest pain", "back pain", "neck pain", "nausea or vomiting", "fan self",
    "punch or slap", "kick other person", "push other person", "pat on back", "point at other person",
    "hug", "give something", "touch pocket", "shake hands", "walk towards", "walk apart",
    "put on headphone", "take off headphone", "shoot at basket", "bounce ball", "tennis bat swing",
    "juggle table tennis ball", "hush", "flick hair", "thumb up", "thumb down", "make OK sign",
    "make victory sign", "staple book", "count money", "cut nails", "cut paper", "snap fingers", "open bottle",
    "sniff", "squat down", "toss a coin", "fold paper", "ball up paper", "play magic cube",
    "apply cream on face", "apply cream on hand", "put on bag", "take off bag", "put object into bag",
    "take object out of bag", "open a box", "move heavy objects", "shake fist", "throw up cap",
    "hands up", "cross arms", "arm circles", "arm swings", "run on the spot", "butt kicks",
    "cross toe touch", "side kick", "yawn", "stretch oneself", "blow nose", "hit with object",
    "wield knife", "knock over", "grab stuff", "shoot with gun", "step on foot", "high-five",
    "cheers and drink", "carry object together", "take a photo", "follow", "whisper", "exchange things",
    "support somebody", "rock-paper-scissors",
)
# fmt: on

FORMAT = Format(description="NTU RGB+D 60/120 .skeleton files", options=Options, discover=discover, read=read)
