"""MediaPipe and TensorFlow.js estimators of poses and hands: JSON, one file a clip, a frame an entry.

Read are the forms in which people save what the estimators return: a list of frames (or an object with ``frames``),
each a list of landmarks, or an object with ``keypoints``, ``landmarks`` or ``pose_landmarks`` (one person or several),
``hand_landmarks`` or ``hands``, ``left_hand_landmarks`` and ``right_hand_landmarks``, or null where nobody was seen. A
landmark is an object with ``x, y`` and perhaps ``z``, ``visibility`` or ``score``, or a list of such numbers. 33
landmarks are MediaPipe Pose, 21 a hand, 17 MoveNet's COCO points.

Coordinates in pixels and as shares of the picture (0 … 1) are distinguished by their size and never taken for metres;
only world landmarks (``pose_world_landmarks``, ``keypoints3D`` …) are metres.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats import _time
from motet.data.formats._files import find_files, stem_of
from motet.data.formats._json import field, numbers, read_json
from motet.data.formats._layout import hand_names
from motet.data.formats._names import NamePattern
from motet.data.formats._people import People, Sighting, follow
from motet.data.formats._time import Timing
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit, units_of
from motet.data.skeletons import Skeleton

LAYOUTS = {33: "mediapipe-33", 21: "hand-21", 17: "coco-17"}
_IMAGE = (
    *("keypoints", "landmarks", "pose_landmarks", "poseLandmarks"),
    *("hand_landmarks", "handLandmarks", "multi_hand_landmarks", "multiHandLandmarks"),
)
_WORLD = (
    *("keypoints3D", "pose_world_landmarks", "poseWorldLandmarks", "worldLandmarks", "world_landmarks"),
    *("hand_world_landmarks", "handWorldLandmarks", "multi_hand_world_landmarks", "multiHandWorldLandmarks"),
)
_ANY = {*_IMAGE, *_WORLD}
_PEOPLE = ("people", "poses", "persons", "hands")
_SIDES = ("handedness", "handednesses", "multi_handedness", "multiHandedness", "hand")
_OF_SIDE = re.compile(r"(?i)(left|right)(?:_?hand)?(_?world)?(?:_?landmarks)?")
_SCORES = ("score", "visibility")
_STAMP = re.compile(r"(?i)(time_?(stamps?)?|t|ts)(_?(in_?)?([mun]?s|\w*sec(onds)?))?")
SHARES = 2.0  # coordinates below are shares of the picture; landmarks outside of it go a little beyond 1


@dataclass(frozen=True)
class Options:
    """Options of the ``mediapipe`` format.

    Attributes:
        landmarks: those in the picture, or those in metres around the hips or the middle of a hand (``world``), where
            a file has both.
        width: of the picture in pixels; with ``height`` turns shares of the picture into pixels.
        height: likewise.
        persons: people or hands kept of a clip, those seen best; of two hands that files tell apart the left one comes
            first.
        side: of the hand that is read, where files say which is which; also in place of a body.
        fps: frames per second.
        pattern: regular expression on the path, with groups ``label``, ``subject`` and so on.
        licence: terms of the recordings.
    """

    landmarks: Literal["image", "world"] = "image"
    width: int | None = None
    height: int | None = None
    persons: int = 1
    side: Literal["left", "right"] | None = None
    fps: float | None = None
    pattern: str | None = None
    licence: str = "unknown"


def read_frames(path: Path, wanted: str, hand: str | None = None) -> tuple[list[list[Sighting]], Timing | None]:
    """People of every frame, each (V, 2 or 3) as they are written, and the timing where entries have stamps.

    The identity of a hand is its side, ``left`` or ``right``, where the file says it; ``hand`` is the side wanted.

    Raises:
        DataError: none of the known forms, or landmarks whose number changes; names file, frame and landmark.
    """
    content = read_json(path, lines=True)
    frames = field(content, "frames", "data", "poses") if isinstance(content, dict) else content
    timing: Timing | None = None
    if isinstance(content, dict) and frames is None:  # one frame, or frames under their numbers
        numbered = content and all(str(k).isdecimal() and len(str(k)) < 12 for k in content)
        one = set(content) & _ANY
        timing = _time.of_numbers([int(k) for k in content], path) if numbered else None
        frames = _between(list(content.values()), timing) if timing else [content] if one else None
    elif isinstance(frames, list):
        timing = _stated(frames, path)
        frames = _between(frames, timing) if timing else frames
    if not isinstance(frames, list) or not frames:
        raise DataError(f"{path}: neither a list of frames nor an object with 'frames'")
    found = [_people(frame, wanted, f"{path}, frame {number}", hand) for number, frame in enumerate(frames)]
    if hand and any(found):
        found = [[s for s in sightings if s.identity == hand] for sightings in found]
        if not any(found):
            raise DataError(f"{path}: no frame says that a hand is the {hand} one")
    shapes = {s.points.shape for sightings in found for s in sightings}
    if not shapes:
        other = "image" if wanted == "world" else "world"
        if any(_people(frame, other, f"{path}, frame {number}", hand) for number, frame in enumerate(frames)):
            what = {"world": "world landmarks", "image": "landmarks in the picture"}[wanted]
            raise DataError(f"{path} holds no {what}; use --landmarks {other}")
        raise DataError(f"{path}: nobody was seen in any frame")
    if len(shapes) > 1:
        counts = " and ".join(f"{counted(v, 'landmark')} of {counted(c, 'coordinate')}" for v, c in sorted(shapes))
        raise DataError(f"{path} holds {counts}; a clip must have one kind")
    rate = field(content, "fps", "frame_rate", "frameRate")
    if type(rate) in (int, float) and 0 < rate < 1e6 and (timing is None or timing.fps is None):
        timing = Timing(float(rate), np.arange(len(frames)), len(frames))
    return found, timing


def _between(entries: list[Any], timing: Timing) -> list[Any]:
    """Frames of entries at their places, null between them; several entries of one frame are several people."""
    found: list[list[Any]] = [[] for _ in range(timing.count)]
    for at, entry in zip(timing.place.tolist(), entries, strict=True):
        found[at].append(entry)
    return [{"people": entries} if len(entries) > 1 else entries[0] if entries else None for entries in found]


def _stated(entries: list[Any], path: Path) -> Timing | None:
    """Places of entries that state a number (``frame``, ``frame_index`` …) or a time; None where not all do."""
    if len(entries) < 2:
        return None
    numbers = [field(e, "frame", "frame_index", "frameIndex", "frame_id", "frame_number") for e in entries]
    called = next((k for k in entries[0] if _STAMP.fullmatch(k)), "") if isinstance(entries[0], dict) else ""
    stamps = [field(e, called) for e in entries]
    timed = all(type(s) in (int, float) and abs(s) < 1e300 for s in stamps)
    times = _time.in_seconds(np.array(stamps, dtype=np.float64), called, path) if timed else None
    if all(type(n) is int for n in numbers):
        return _time.of_both(np.array(numbers, dtype=np.float64), times, path)
    return None if times is None else _time.of_stamps(times, path)


def _people(frame: Any, wanted: str, where: str, hand: str | None) -> list[Sighting]:
    names = _WORLD if wanted == "world" else _IMAGE
    if isinstance(frame, list) and frame and isinstance(frame[0], dict) and set(frame[0]) & _ANY:
        return [s for person in frame for s in _people(person, wanted, where, hand)]  # each an object
    if isinstance(frame, dict):
        people = field(frame, *_PEOPLE)
        if isinstance(people, dict | list):
            return [
                s for p in ([people] if isinstance(people, dict) else people) for s in _people(p, wanted, where, hand)
            ]
        known = set(frame) & _ANY
        sided = [(match, marks) for name, marks in frame.items() if (match := _OF_SIDE.fullmatch(name))]
        if sided and (hand or not known):
            held = [(m[1].lower(), marks) for m, marks in sided if bool(m[2]) == (wanted == "world") and marks]
            return [replace(s, identity=side) for side, marks in held for s in _sightings(marks, where)]
        if frame and not known and wanted == "image" and isinstance(bare := _bare(frame), list):
            return _sightings(bare, where)
        if frame and not known:
            raise DataError(f"{where}: an object without {', '.join(_IMAGE[:3])} ({', '.join(map(str, frame))[:60]})")
        marks, stated = field(frame, *names), field(frame, *_SIDES)
    else:
        marks, stated = frame if wanted == "image" else None, None
    if not marks:
        return []
    found = _sightings(marks, where)
    sides = [_side(each) for each in (stated if isinstance(stated, list) else [stated])]
    if len(sides) != len(found):
        return found
    return [replace(sighting, identity=side) for sighting, side in zip(found, sides, strict=True)]


def _side(stated: Any) -> str | None:
    """``left`` or ``right`` out of what is said of a hand: a word, or a classifier's categories, the best first."""
    for _ in range(4):
        if isinstance(stated, list) and stated:
            stated = stated[0]
        elif isinstance(stated, dict):
            stated = field(stated, "category_name", "categoryName", "label", "classification", "categories")
    word = stated.lower() if isinstance(stated, str) else None
    return word if word in ("left", "right") else None


def _sightings(marks: Any, where: str) -> list[Sighting]:
    """One person's landmarks, or those of several."""
    marks = _bare(marks)
    if not isinstance(marks, list) or not marks:
        raise DataError(f"{where}: the landmarks are no list")
    if all(type(m) in (int, float) for m in marks):
        marks = _rows(marks)
    marks = [_bare(m) for m in marks]
    first = marks[0]
    several = isinstance(first, list) and first and not isinstance(first[0], int | float)
    return [_sighting(person, where) for person in (marks if several else [marks])]


def _rows(flat: list[float]) -> list[list[float]]:
    """Landmarks that were written as one list of numbers; it is left as it is where it is of no known length."""
    sizes = [axes for joints in LAYOUTS for axes in (2, 3, 4) if joints * axes == len(flat)]
    return [flat[i : i + sizes[0]] for i in range(0, len(flat), sizes[0])] if sizes else [flat]


def _bare(marks: Any) -> Any:
    """Landmarks out of the object around them: of MessageToDict, or by their numbers or names."""
    inner = field(marks, "landmark", "landmarks", "keypoints")
    if inner is not None:
        return inner
    if isinstance(marks, dict) and len(marks) > 2 and all(isinstance(m, dict | list) for m in marks.values()):
        names = list(marks)
        if all(n.isdecimal() for n in names):
            return [marks[n] for n in sorted(names, key=int)]
        plain = [_plain_name(n) for n in names]
        place, called = _landmark_names(), hand_names(plain)
        if set(plain) <= set(place) or called:
            at = {n: place[called.get(p, p)] for n, p in zip(names, plain, strict=True)}
            return [marks[n] for n in sorted(names, key=lambda n: at[n])]
    return marks


def _plain_name(name: str) -> str:
    return re.sub(r"^(pose|hand)landmark\.", "", name.lower().replace(" ", "_").replace("-", "_"))


@cache
def _landmark_names() -> dict[str, int]:
    """Place of landmarks of a body by their names, and of a hand by their canonical names."""
    hand = {name: i for i, name in enumerate(layouts.get("hand-21").canonical)}
    return hand | {name: i for i, name in enumerate(layouts.get("mediapipe-33").joints)}


def _sighting(marks: Any, where: str) -> Sighting:
    if not isinstance(marks, list) or not marks:
        raise DataError(f"{where}: the landmarks are no list")
    rows, scores = [], []
    for number, mark in enumerate(marks):
        at = f"{where}, landmark {number}"
        if isinstance(mark, dict):
            rows.append([mark.get(axis) for axis in ("x", "y", "z") if axis in mark])
            score = field(mark, *_SCORES)
            scores.append(1.0 if score is None else score)
        elif isinstance(mark, list) and 2 <= len(mark) <= 5:  # x, y [, z [, visibility [, presence]]]
            rows.append(mark[:3])
            scores.append(mark[3] if len(mark) > 3 else 1.0)
        else:
            raise DataError(f"{at}: neither an object with x, y nor a list of 2 to 5 numbers")
    points = numbers(rows, where, absent=True)
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise DataError(f"{where}: landmarks without x and y")
    sure = numbers(scores, where, absent=True).clip(0, None)
    gone = ~np.isfinite(points).all(axis=1)  # a landmark without confidence stays
    points[gone], sure[gone] = 0, 0
    return Sighting(points, np.nan_to_num(sure))


@dataclass(frozen=True)
class _Kind:
    """What a file holds: number of landmarks and coordinates, and whether they are shares of the picture."""

    joints: int
    channels: int
    shares: bool


def _kind(frames: Sequence[Sequence[Sighting]]) -> _Kind:
    points = np.stack([s.points for sightings in frames for s in sightings])
    shares = bool(np.percentile(np.abs(points[..., :2]), 95) <= SHARES)
    return _Kind(points.shape[1], points.shape[2], shares)


def _layout(kind: _Kind, name: str) -> Skeleton:
    if kind.joints not in LAYOUTS:
        known = ", ".join(map(str, LAYOUTS))
        raise DataError(f"{name} holds {counted(kind.joints, 'landmark')}; layouts are known for {known}")
    return layouts.get(LAYOUTS[kind.joints])


def discover(source: Path, options: Options) -> Plan:
    if (options.width is None) != (options.height is None) or min(options.width or 1, options.height or 1) < 1:
        raise ConfigError("options width and height are the picture's, in pixels; give both or neither")
    if options.persons < 1:
        raise ConfigError(f"option persons is {options.persons}; it must be at least 1")
    units = units_of(find_files(source, r"(?i).+\.(jsonl?|ndjson)", what="JSON files"), source)
    names = NamePattern(options.pattern, [u.name for u in units])
    kinds: Counter[_Kind] = Counter()
    reason: DataError | None = None
    skeletons, crowded = {}, 0
    rates: list[tuple[str, Timing | None]] = []
    for unit in units:
        try:
            frames, timing = read_frames(unit.path, options.landmarks, options.side)
            kind = _kind(frames)
            skeletons[kind.joints] = _layout(kind, unit.name)
            kinds[kind] += 1
            crowded += max(map(len, frames)) > options.persons
            rates.append((unit.name, timing))
        except DataError as error:
            reason = reason or error  # *read* will say so again, and can be asked to continue
    if not kinds:
        raise reason or DataError(f"{source} holds no landmarks")
    # files of several estimators: the joints and coordinates that all have
    skeleton = skeletons[min(skeletons)]
    channels = ("x", "y", "z")[: min(k.channels for k in kinds)]
    _note(source, kinds, skeleton, channels, options)
    if crowded and skeleton.kind == "hand":
        warnings.warn(
            f"{counted(crowded, 'file')} of {len(units)} in {source} show more hands at a time than are kept "
            f"({options.persons}, those seen best); --persons 2 keeps both, --side left or right takes one of them",
            MotetNote,
            stacklevel=2,
        )
    fps = _time.one_rate(rates, options.fps)
    common = {"skeleton": skeleton.name, "channels": len(channels), "fps": fps}
    return Plan(
        units=[Unit(u.name, u.path, {**common, "columns": names.columns(u.name)}) for u in units],
        skeleton=skeleton,
        persons=options.persons,
        fps=fps,
        measure=_measure(options, kinds),
        channels=channels,
        class_names=tuple(names.class_names),
        licence=options.licence,
        confidence=True,
        facts={"split": "odd-even", "landmarks": {str(k.joints): n for k, n in sorted(kinds.items(), key=str)}},
    )


def _note(source: Path, kinds: Counter[_Kind], skeleton: Skeleton, channels: Sequence[str], options: Options) -> None:
    """Say what becomes of files that are not of one kind."""
    shares = sum(n for k, n in kinds.items() if k.shares)
    if options.landmarks == "image" and options.width is None and 0 < shares < kinds.total():
        warnings.warn(
            f"{source} mixes units: {shares} of {counted(kinds.total(), 'file')} hold shares of the picture, the "
            f"others pixels; bring all to pixels with --width and --height of the picture",
            MotetWarning,
            stacklevel=3,
        )
    joints = Counter({k.joints: 0 for k in kinds})
    for kind, count in kinds.items():
        joints[kind.joints] += count
    if len(joints) > 1 or len({k.channels for k in kinds}) > 1:
        held = " and ".join(f"{counted(v, 'landmark')} ({counted(n, 'file')})" for v, n in sorted(joints.items()))
        warnings.warn(
            f"the files of {source} hold {held}; what all share is kept: the {counted(len(skeleton), 'joint')} of "
            f"{skeleton.name} with {', '.join(channels)} (import them apart to keep more)",
            MotetNote,
            stacklevel=3,
        )


def _measure(options: Options, kinds: Counter[_Kind]) -> str:
    if options.landmarks == "world":
        return "m"
    shares = {k.shares and options.width is None for k in kinds}
    return "px, or shares of the picture" if len(shares) > 1 else "shares of the picture" if True in shares else "px"


def _followed(frames: Sequence[Sequence[Sighting]], kind: _Kind, persons: int) -> People:
    """Everybody of a clip, the one seen best first; of two hands whose sides are known the left one."""

    def only(*sides: object) -> list[list[Sighting]]:
        return [[replace(s, identity=None) for s in f if not sides or s.identity in sides] for f in frames]

    sides = {s.identity for sightings in frames for s in sightings}
    if persons != 2 or sides != {"left", "right"}:
        return follow(only(), kind.joints, kind.channels, persons)
    each = [follow(only(side), kind.joints, kind.channels, 1) for side in ("left", "right")]
    return People(
        np.concatenate([e.frames for e in each], axis=1),
        np.concatenate([e.confidence for e in each], axis=1),
        max(map(len, frames)),
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    from motet.data.convert import convert

    frames, timing = read_frames(unit.path, options.landmarks, options.side)
    kind, target = _kind(frames), layouts.get(unit.detail["skeleton"])
    skeleton = _layout(kind, unit.name)
    people = _followed(frames, kind, options.persons)
    points, confidence = people.frames[..., : unit.detail["channels"]], people.confidence
    if timing is not None:
        wanted = options.fps or (timing.moments is not None and unit.detail["fps"]) or None
        points, confidence = _time.brought(points, confidence, timing, wanted)
    if options.landmarks == "image" and kind.shares and options.width and options.height:
        # the depth of MediaPipe Pose is on the scale of x
        points = points * np.array([options.width, options.height, options.width], np.float32)[: points.shape[-1]]
    if skeleton.name != target.name:
        try:
            points = convert(points, skeleton, target)
            confidence = convert(confidence[..., None], skeleton, target)[..., 0]
        except ConfigError as error:
            raise DataError(
                f"{unit.path} holds {counted(kind.joints, 'landmark')}, other files {len(target)}: {error}"
            ) from error
    columns: dict[str, Column] = {**unit.detail["columns"], "people": people.tracks}
    if options.landmarks == "image":
        columns["coordinates"] = "px" if options.width or not kind.shares else "shares of the picture"
    name = stem_of(unit.name)
    return [RawClip(name, points, confidence, columns)]


FORMAT = Format(
    description="MediaPipe and TensorFlow.js poses and hands (.json)", options=Options, discover=discover, read=read
)
