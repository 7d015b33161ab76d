"""UTKinect-Action3D (Xia, Chen and Aggarwal, CVPR Workshops 2012): long recordings, cut into actions by a label file.

``joints_sSS_eEE.txt`` (subject, recording) holds a line a frame: its number and 20 × ``x y z`` in metres (Kinect v1).
Frame numbers have gaps, since not every picture gave a skeleton, and now and then one comes twice. ``actionLabel.txt``
names each recording (``s01_e01``) and below it its actions with first and last frame (``walk: 252 390``; ``NaN`` for
an action that is missing); the numbers are those of the frames, not of the lines. Frames keep their order; where the
numbers pause, frames are absent.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from motet.core.errors import DataError, MotetWarning
from motet.data import layouts
from motet.data.formats import _time
from motet.data.formats._files import bare, find_files, next_to, read_table, read_text, walk
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of

# in the order of the recordings
CLASS_NAMES = (
    "walk",
    "sit down",
    "stand up",
    "pick up",
    "carry",
    "throw",
    "push",
    "pull",
    "wave hands",
    "clap hands",
)
JOINTS = 20
FPS = 15.0  # of the frames that gave a skeleton, about half of the camera's 30
_NAME = re.compile(r"(?i)joints_s(\d{2})_e(\d{2})\.txt")
_LABELS = "actionLabel.txt"
_ACTIONS = {name.replace(" ", ""): label for label, name in enumerate(CLASS_NAMES)}
Actions = Mapping[str, list[tuple[int, int, int]]]


@dataclass(frozen=True)
class Options:
    """Options of the ``utkinect`` format.

    Attributes:
        labels: the label file; ``actionLabel.txt`` in or next to the source by default.
        whole: keep every recording in one piece, without labels; no label file is needed.
    """

    labels: Path | None = None
    whole: bool = False


def read_labels(path: Path) -> Actions:
    """Actions of every recording: (label, first frame, last frame); those marked ``NaN`` are left out.

    Raises:
        DataError: a line that is neither the name of a recording nor an action with two numbers; names it.
    """
    actions: dict[str, list[tuple[int, int, int]]] = {}
    recording: list[tuple[int, int, int]] | None = None
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.replace(":", " ").split()
        if not words:
            continue
        if re.fullmatch(r"s\d{2}_e\d{2}", words[0]) and len(words) == 1:
            recording = actions.setdefault(words[0], [])
            continue
        label = _ACTIONS.get(words[0].lower())
        if label is None or recording is None or len(words) != 3:
            known = ", ".join(_ACTIONS)
            raise DataError(f"{path}, line {number}: neither 's01_e01' nor 'action: first last' with one of {known}")
        if "nan" in (words[1].lower(), words[2].lower()):
            continue
        try:
            first, last = int(words[1]), int(words[2])
        except ValueError as error:
            raise DataError(f"{path}, line {number}: the frames of an action are whole numbers") from error
        if not 0 <= first <= last:
            raise DataError(f"{path}, line {number}: frames {first} to {last} are no stretch of a recording")
        recording.append((label, first, last))
    return actions


def _recording(path: Path) -> str:
    return bare(path).stem.lower().removeprefix("joints_")


def _label_file(source: Path, options: Options) -> Path:
    if options.labels is not None:
        return options.labels
    folder = source if source.is_dir() else source.parent
    found = next_to(folder, _LABELS) or next_to(folder.parent, _LABELS)
    found = found or min((p for p in walk(folder) if bare(p).name.lower() == _LABELS.lower()), default=None)
    if found is None:
        raise DataError(
            f"{source}: {_LABELS}, which cuts the recordings into actions, is neither in nor next to it; "
            "name it with --labels, or keep the recordings whole with --whole"
        )
    return found


def _warn_beyond(labels: Path, actions: Actions, files: Sequence[Path]) -> None:
    """Warn of actions that are labelled beyond the end of their recording: what is there of them is kept."""
    said = []
    for path in files:
        name = _recording(path)
        try:
            end = int(float(read_text(path).rstrip().rsplit("\n", 1)[-1].split()[0]))
        except (DataError, ValueError, IndexError):
            continue  # for *read* to complain of
        said += [
            f"{CLASS_NAMES[label]} of {name} is labelled {first} to {last}, but the recording ends with frame {end}"
            for label, first, last in actions.get(name, ())
            if first <= end < last
        ]
    if said:
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        warnings.warn(f"{labels}: {said[0]}{more}; clips end there", MotetWarning, stacklevel=3)


def discover(source: Path, options: Options) -> Plan:
    files = find_files(source, _NAME.pattern, what="UTKinect files (joints_sSS_eEE.txt)")
    actions: Actions = {}
    if not options.whole:
        labels = _label_file(source, options)
        actions = read_labels(labels)
        _warn_beyond(labels, actions, files)
    return Plan(
        units=[
            Unit(u.name, u.path, None if options.whole else actions.get(_recording(u.path), []))
            for u in units_of(files, source)
        ],
        skeleton=layouts.get("kinect-v1"),
        fps=FPS,
        class_names=() if options.whole else CLASS_NAMES,
        licence="none stated by the authors",
        facts={"split": "odd-even"},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    path = unit.path
    found = _NAME.fullmatch(bare(path).name)
    if found is None:
        raise DataError(f"{path}: the name is not joints_sSS_eEE.txt")
    table = read_table(path, 1 + 3 * JOINTS)
    frames = table[:, 1:].reshape(-1, JOINTS, 3)
    name, columns = _recording(path), {"subject": int(found[1]), "repetition": int(found[2])}
    if unit.detail is None:
        return [RawClip(name, _time.spread(_time.of_order(table[:, 0], path), frames), columns=columns)]
    if not unit.detail:
        raise DataError(f"{path}: the label file has no action of recording {name}")
    clips = []
    for number, (label, first, last) in enumerate(unit.detail):
        inside = (table[:, 0] >= first) & (table[:, 0] <= last)
        if not inside.any():
            raise DataError(f"{path}: no frame lies in {first} to {last}, where {CLASS_NAMES[label]} is labelled")
        there = _time.spread(_time.of_order(table[inside, 0], path), frames[inside])
        clips.append(RawClip(f"{name}_{number:02d}", there, columns={**columns, "label": label, "start": first}))
    return clips


FORMAT = Format(description="UTKinect-Action3D text files", options=Options, discover=discover, read=read)
