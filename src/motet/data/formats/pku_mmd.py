"""PKU-MMD I and II (Liu et al., ACM MM workshop 2017; TOMM 2020): long videos cut into clips by their labels.

``skeleton/VIDEO.txt`` has a line of 150 numbers per frame (2 bodies × 25 joints × x y z in metres, absent = zeros);
``label/VIDEO.txt`` has rows ``class, start, end, confidence``: classes count from 1, frames from 0, and ``end`` is
not part of the clip. A split file has the training videos on its second line and the validation videos on its fourth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats import _text
from motet.data.formats._files import bare, find_files, next_to, read_plain, read_text
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit, units_of

JOINTS, PERSONS, CLASSES = 25, 2, 51
CAMERAS = {"L": 1, "M": 2, "R": 3}
SPLITS = ("cross_subject", "cross_view")
_VIDEO = re.compile(r"(?:\d+|A(?P<session>\d+)N(?P<subject>\d+))-(?P<view>[LMR])")


@dataclass(frozen=True)
class Options:
    """Options of the ``pku-mmd`` format.

    Attributes:
        skeletons: folder of the skeleton files; ``skeleton`` below the source by default.
        labels: folder of the label files; ``label`` below the source by default.
        cross_subject: split file; by default ``cross-subject.txt`` or ``cross_subject_v2.txt`` in or next to the
            source, if it is there. Becomes the clip column ``cross_subject`` with the values ``train`` and ``test``.
        cross_view: the same for the cross-view split.
    """

    skeletons: Path | None = None
    labels: Path | None = None
    cross_subject: Path | None = None
    cross_view: Path | None = None


def discover(source: Path, options: Options) -> Plan:
    if not source.is_dir():
        raise DataError(f"{source} is not a folder with the folders skeleton and label")
    folder = options.skeletons or source / "skeleton"
    labels = options.labels or source / "label"
    for name, path in (("skeletons", folder), ("labels", labels)):
        if not path.is_dir():
            raise DataError(f"{path} is not a folder; say where the {name} are with the option {name}")
    files = find_files(folder, r".+\.txt", what="skeleton files (*.txt)")
    splits = {name: _split(source, name, getattr(options, name)) for name in SPLITS}
    given = {name: training for name, training in splits.items() if training is not None}
    units = [
        Unit(u.name, u.path, (_label_file(labels, u.path), _columns(bare(u.path).stem, given)))
        for u in units_of(files, folder)
    ]
    for name, training in given.items():
        if not any(u.detail[1][name] == "train" for u in units):
            raise ConfigError(
                f"the {name} split file names {counted(len(training), 'training video')} but none is in {folder}"
            )
    by_name = all(u.detail[1].get("subject") is not None for u in units)
    split = "pku-xsub" if "cross_subject" in given or by_name else "pku-xview" if given else None
    return Plan(
        units=units,
        skeleton=layouts.get("kinect-v2"),
        persons=PERSONS,
        fps=30.0,
        class_names=tuple(f"A{i:02d}" for i in range(1, CLASSES + 1)),
        licence="PKU-MMD terms: academic research only, on request from the authors",
        facts={} if split is None else {"split": split},
    )


def _label_file(labels: Path, path: Path) -> Path:
    name = bare(path).name
    return next_to(labels, name) or labels / name


def _split(source: Path, name: str, given: Path | None) -> set[str] | None:
    """Training videos of a split file, None if there is no such file."""
    if given is None:
        usual = [f"{stem}{version}.txt" for stem in (name.replace("_", "-"), name) for version in ("", "_v2")]
        places = (source, source / "split", source.parent)
        given = next((f for p in places for u in usual if (f := next_to(p, u))), None)
        if given is None:
            return None
    lines = [line for line in read_text(given).splitlines() if line.strip()]
    if len(lines) < 4:
        raise DataError(f"{given} is no split file: training videos belong on line 2, validation videos on line 4")
    # split at the comma and strip: a comma or carriage return at the end must not lose the last name
    sides = [{v.strip().removesuffix(".txt") for v in lines[i].split(",") if v.strip()} for i in (1, 3)]
    both = sorted(sides[0] & sides[1])
    if both:
        raise DataError(f"{given}: video {both[0]} is on both sides of the split")
    return sides[0]


def _columns(video: str, splits: Mapping[str, set[str]]) -> dict[str, Column]:
    columns: dict[str, Column] = {"video": video}
    found = _VIDEO.fullmatch(video)
    if found:
        columns["camera"] = CAMERAS[found["view"]]
        if found["subject"]:
            columns |= {"subject": int(found["subject"]), "repetition": int(found["session"])}
    # as in the released code, every video that is not for training is for testing
    return columns | {name: "train" if video in training else "test" for name, training in splits.items()}


def read(unit: Unit, options: Options) -> list[RawClip]:
    label_path, columns = unit.detail
    lines = _text.Lines(read_plain(unit.path), unit.path)
    width = PERSONS * JOINTS * 3
    wrong = next((i for i, count in enumerate(lines.tokens) if count != width), None)
    if wrong is not None:
        raise DataError(
            f"{unit.path}, line {lines.number(wrong)}: {counted(lines.tokens[wrong], 'number')} where {width} are due "
            "(is it cut off?)"
        )
    video = lines.floats(None, width).reshape(-1, PERSONS, JOINTS, 3)
    clips = []
    for index, (action, start, end) in enumerate(_labels(label_path)):
        # a label may end a little behind the recording, as slicing in the released code allows
        if 2 * (end - len(video)) > end - start:
            raise DataError(
                f"{label_path}: row {index + 1} ends at frame {end}, {unit.path} has {counted(len(video), 'frame')}"
            )
        name = f"{bare(unit.path).stem}_{index:03d}"
        clips.append(RawClip(name, video[start:end], columns={"label": action - 1, **columns}))
    return clips


def _labels(path: Path) -> list[tuple[int, int, int]]:
    """(class, start, end) of every row."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            action, start, end = (int(float(v)) for v in line.split(",")[:3])
        except (ValueError, OverflowError) as error:
            raise DataError(f"{path}, line {number}: {line[:60]!r} is not class, start, end, confidence") from error
        if not 1 <= action <= CLASSES:
            raise DataError(f"{path}, line {number}: class {action} is outside 1..{CLASSES}")
        if not 0 <= start < end:
            raise DataError(f"{path}, line {number}: a clip cannot go from frame {start} to {end}")
        rows.append((action, start, end))
    return rows


FORMAT = Format(description="PKU-MMD I/II skeleton and label folders", options=Options, discover=discover, read=read)
