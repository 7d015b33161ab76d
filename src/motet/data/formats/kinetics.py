"""Kinetics-skeleton (Yan et al., ST-GCN, AAAI 2018): OpenPose on 300-frame clips of Kinetics-400, a JSON file a clip.

``kinetics_train/ID.json`` holds ``data`` (a list of ``{"frame_index", "skeleton": [{"pose": 36, "score": 18}]}``, up
to five people, coordinates as shares of the picture) with ``label`` and ``label_index``; ``kinetics_train_label.json``
next to the folder says of every clip whether it has a skeleton. Coordinates become pixels of the 340 × 256 pictures on
which the authors ran OpenPose; people, whom the files do not distinguish, are followed from frame to frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats._files import bare, files_in, find_files, stem_of
from motet.data.formats._json import field, numbers, read_json
from motet.data.formats._people import Sighting, follow, sighting
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of

JOINTS = 18
MOST_CLASSES = 10_000
LONGEST = 10_000  # frames; the authors' clips have at most 300
_LABELS = "_label.json"


@dataclass(frozen=True)
class Options:
    """Options of the ``kinetics`` format.

    Attributes:
        persons: people kept of a clip, those seen best.
        width: pixels of the pictures.
        height: likewise.
    """

    persons: int = 2
    width: int = 340
    height: int = 256


def _listed(source: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What the label files say of each clip, by the folder's name and the clip's."""
    listed = {}
    folders = [source] if source.is_dir() else []
    files = {p for folder in (*folders, source.parent) for p in files_in(folder)}
    for path in sorted(p for p in files if bare(p).name.lower().endswith(_LABELS)):
        content = read_json(path)
        if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
            raise DataError(f"{path}: a label file has an object for each clip")
        for clip, row in content.items():
            listed[bare(path).name[: -len(_LABELS)], str(clip)] = row
    return listed


def _label(row: Any) -> tuple[int, str] | None:
    index, name = field(row, "label_index"), field(row, "label")
    whole = isinstance(index, int) and not isinstance(index, bool)
    return (index, name) if whole and 0 <= index < MOST_CLASSES and isinstance(name, str) else None


def discover(source: Path, options: Options) -> Plan:
    if min(options.persons, options.width, options.height) < 1:
        raise ConfigError("options persons, width and height must be at least 1")
    files = find_files(source, r".+(?<!_label)\.json", what="Kinetics-skeleton files (ID.json)")
    listed = _listed(source)
    units, without = [], 0
    names: dict[int, str] = {}
    for unit in units_of(files, source):
        row = listed.get((unit.path.parent.name, bare(unit.path).stem))
        if row is not None and row.get("has_skeleton") is False:
            without += 1
            continue
        label = _label(row) if row is not None else None
        if row is None:
            try:
                label = _label(read_json(unit.path))
            except DataError:
                label = None  # *read* will say so, and can be asked to continue
        if label is not None:
            names.setdefault(*label)
        units.append(Unit(unit.name, unit.path, _side(unit.path)))
    classes = max(names, default=-1) + 1
    sides = {u.detail for u in units}
    return Plan(
        units=units,
        skeleton=layouts.get("openpose-18"),
        persons=options.persons,
        fps=30.0,
        measure="px",
        channels=("x", "y"),
        class_names=tuple(names.get(i, str(i)) for i in range(classes)),
        licence="CC BY 4.0 (annotations of Kinetics); the skeletons' terms are not stated",
        confidence=True,
        facts={
            "split": "column:split=train,val" if sides == {"train", "val"} else "random:0.3@0",
            "without_skeleton": without,
        },
    )


def _side(path: Path) -> str | None:
    return next((s for s in ("train", "val") if path.parent.name.endswith(s)), None)


def read(unit: Unit, options: Options) -> list[RawClip]:
    path = unit.path
    content = read_json(path)
    data = field(content, "data")
    if not isinstance(data, list) or not data:
        raise DataError(f"{path}: an object with a list 'data' is due; this clip has no skeleton")
    found: dict[int, list[Sighting]] = {}
    for number, frame in enumerate(data):
        where = f"{path}, frame {number}"
        index, people = field(frame, "frame_index"), field(frame, "skeleton")
        if type(index) is not int or not 0 <= index < LONGEST or not isinstance(people, list):
            raise DataError(f"{where}: no frame_index below {LONGEST} with a list 'skeleton'")
        sightings = [_sighting(person, where, options) for person in people]
        found[index] = [s for s in sightings if s.points.any()]
    if not any(found.values()):
        raise DataError(f"{path}: nobody is seen in it")
    frames = [found.get(i, []) for i in range(min(found), max(found) + 1)]
    people = follow(frames, JOINTS, 2, options.persons)
    label = _label(content)
    columns = {"label": None if label is None else label[0], "split": unit.detail, "people": people.tracks}
    return [RawClip(stem_of(unit.name), people.frames, people.confidence, columns)]


def _sighting(person: Any, where: str, options: Options) -> Sighting:
    pose, score = (numbers(field(person, key), where, absent=True) for key in ("pose", "score"))
    if pose.shape != (2 * JOINTS,) or score.shape != (JOINTS,):
        raise DataError(
            f"{where}: a person has {counted(pose.size, 'number')} and {counted(score.size, 'score')}, not 36 and 18"
        )
    points = pose.reshape(JOINTS, 2) * (options.width, options.height)
    return sighting(points, score.clip(0, None))


FORMAT = Format(description="Kinetics-skeleton of ST-GCN (.json)", options=Options, discover=discover, read=read)
