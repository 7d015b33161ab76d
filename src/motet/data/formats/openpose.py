"""OpenPose, COCO, AlphaPose, MMPose and Ultralytics: key points of people in pictures, JSON or YOLO's text files.

Six forms are distinguished by what is in a file:

* OpenPose, a file a frame: an object with ``people`` and their ``pose_keypoints_2d``, called by a number
  (``NAME_000000000012_keypoints.json``, ``000.json``); the files of one folder and NAME are a clip, numbers that are
  missing are absent frames;
* COCO results and AlphaPose, a file a clip: a list of ``{"image_id", "keypoints", "score", "idx"}``; pictures in
  several folders are several clips;
* AlphaPose in OpenPose's or CMU's manner: an object with ``people`` or ``bodies`` for each picture;
* MMPose and Ultralytics: frames with ``instances`` of ``keypoints`` and ``keypoint_scores``, or lists of detections;
* COCO annotations: an object with ``images``, ``annotations`` and ``categories``; those of COCO-WholeBody have feet,
  face and hands as well;
* YOLO's labels (``NAME_12.txt``), a file a frame, in which somebody is seen (:mod:`motet.data.formats._yolo`).

The 133 points of a whole body are kept, or with ``skeleton="coco-17"`` the 17 of the body, or with ``side`` the 21 of a
hand, which OpenPose writes apart (``hand_left_keypoints_2d``); both have the order of MediaPipe's. A hand in space
(``hand_left_keypoints_3d``, and whole bodies of MMPose's RTMW3D) is read with three coordinates in the unit of the
files, which do not say it; of everything else x and y are read. They stay pixels (YOLO's are shares of the picture, and
pixels with ``width`` and ``height``); a joint with confidence 0 is absent. People are followed by the identity that the
file gives (``person_id``, ``track_id``, AlphaPose's ``idx``) or else from place to place
(:mod:`motet.data.formats._people`).
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import counted
from motet.core.units import AS_RECORDED
from motet.data import layouts
from motet.data.formats import _time, _yolo
from motet.data.formats._files import find_files, natural_key, stem_of
from motet.data.formats._json import field, numbers, read_json
from motet.data.formats._names import NamePattern
from motet.data.formats._people import Identities, Sighting, follow, note_joined, sighting
from motet.data.formats._points import check_unit
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit
from motet.data.skeletons import Skeleton

BODY, WHOLE_BODY = 17, 133  # COCO, and COCO-WholeBody: the body, then feet, face and hands
HANDS = {"left": slice(91, 112), "right": slice(112, 133)}  # of a whole body
HAND = "hand-21"
LAYOUTS = {17: "coco-17", 18: "openpose-18", 25: "openpose-25", 26: "halpe-26", WHOLE_BODY: "wholebody-133"}
_FRAME = re.compile(r"(?i)(.*?)[_-]?(\d+)((?:_keypoints|_pose|_alphapose-results)?)\.(?:json|txt)(?:\.gz)?")
_LABELS = re.compile(r"(?i).+\.txt(\.gz)?")
_LAST_NUMBER = re.compile(r"(\d{1,15})(?!.*\d)")
_IDENTITIES = ("person_id", "track_id", "idx")
_WHOLE = ("foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
SPARSE = 50  # numbers for each picture beyond which pictures do not follow each other
SHARES = "shares of the picture"
PICTURE = 50.0  # pixels over which people in a picture extend; nobody does in metres
ANNOTATED = 2.0  # COCO's mark of a visible joint in annotations
Frames = dict[str, list[Sighting]]


@dataclass(frozen=True)
class Options:
    """Options of the ``openpose`` format.

    Attributes:
        skeleton: built-in layout or TOML file; by default the one with as many points (17, 18, 25, 26 or 133).
        side: of the hand that is read in place of the body, of OpenPose's hands and of whole bodies; in space if the
            first file with that hand has it so.
        unit: of a hand in space, as files do not say it.
        persons: people kept of a clip, those seen best; by default 2, with ``side`` 1.
        identities: those of the file as they are (``given``), or ``joined`` where one begins where another ended.
        width: of the picture in pixels; with ``height`` turns the shares of YOLO's labels into pixels.
        height: likewise.
        fps: frames per second.
        pattern: regular expression on the path, with groups ``label``, ``subject`` and so on.
        licence: terms of the recordings.
    """

    skeleton: str | None = None
    side: Literal["left", "right"] | None = None
    unit: str | None = None
    persons: int | None = None
    identities: Identities = "joined"
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    pattern: str | None = None
    licence: str = "unknown"

    @property
    def kept(self) -> int:
        """People kept of a clip."""
        return (1 if self.side else 2) if self.persons is None else self.persons


def _sighting(row: Any, where: str, *, channels: int = 2, annotated: bool = False) -> Sighting | None:
    """A person of points with so many coordinates and a confidence; None if no joint was seen."""
    flat = field(row, "pose_keypoints_2d", "keypoints", "pose_keypoints", "joints")
    if flat is None:
        raise DataError(f"{where}: a person without pose_keypoints_2d or keypoints")
    values = numbers(flat, where, absent=True).ravel()
    more = [field(row, name) for name in _WHOLE]
    if all(isinstance(m, list) for m in more):
        values = np.concatenate([values, *(numbers(m, where, absent=True).ravel() for m in more)])
    if not len(values):
        return None  # hands or a face without a body
    if len(values) % (channels + 1):
        axes = ", ".join("xyz"[:channels])
        raise DataError(f"{where}: a list of {counted(len(values), 'number')} holds no points of {axes} and confidence")
    identity = field(row, *_IDENTITIES)
    while isinstance(identity, list) and identity:  # OpenPose and AlphaPose wrap it
        identity = identity[0]
    known = isinstance(identity, int | str) and identity not in (-1, "-1", "")
    points = values.reshape(-1, channels + 1)
    scores = points[:, channels].clip(0, None) / (ANNOTATED if annotated else 1)
    found = sighting(points[:, :channels], scores, identity if known else None)
    return found if found.points.any() else None


def _hand(person: Any, side: str, space: bool | None = None) -> tuple[list[Any], int] | None:
    """Numbers of a hand that OpenPose wrote apart from the body, and how many coordinates a point has.

    None where there is no such key; nothing but an empty list is in it where OpenPose looked for no hands.
    """
    deep = field(person, f"hand_{side}_keypoints_3d")
    flat = field(person, f"hand_{side}_keypoints_2d", f"hand_{side}_keypoints")
    if deep is None and flat is None:
        return None
    return (deep or [], 3) if (bool(deep) if space is None else space) else (flat or [], 2)


def _note_hands(path: Path, source: Path) -> None:
    """Say that a file of OpenPose holds hands, which are not read."""
    people = None if _LABELS.fullmatch(path.name) else field(read_json(path), "people")
    hands = [_hand(p, side) for p in (people if isinstance(people, list) else ()) for side in HANDS]
    if any(hand[0] for hand in hands if hand):
        said = f"{source} holds hands, too, which are left out; --side left or right reads one in place of the body"
        warnings.warn(said, MotetNote, stacklevel=3)


def _of_people(people: Any, where: str, side: str | None, space: bool | None) -> list[Sighting]:
    if not isinstance(people, list):
        raise DataError(f"{where}: the people are no list")
    rows = [(person, 2) for person in people]
    hands = [_hand(person, side, space) if side else None for person in people]
    if any(hands):
        rows = [({**p, "pose_keypoints_2d": hand[0]}, hand[1]) for p, hand in zip(people, hands, strict=True) if hand]
    return [s for s in (_sighting(row, where, channels=channels) for row, channels in rows) if s is not None]


def read_clips(path: Path, side: str | None = None, space: bool | None = None) -> dict[str, Frames]:
    """Clips of a file that holds more than one frame, by name (empty for the only one): sightings by picture.

    Where hands are written apart from bodies, those of the ``side`` are read, in space or not; by default where they
    are in space.

    Raises:
        DataError: none of the known forms; names file and entry.
    """
    content = read_json(path)
    if isinstance(content, dict) and "annotations" in content:
        return _annotations(content, path)
    pictures: list[tuple[str, list[Sighting]]] = []
    if instances := _instances(content):
        pictures = _mmpose(instances, path, in_space=side is not None and space is not False)
    elif isinstance(content, list):
        for number, row in enumerate(content):
            image = field(row, "image_id", "imgname", "file_name")
            if image is None:
                raise DataError(f"{path}, entry {number}: no image_id, so it is neither COCO results nor AlphaPose")
            found = _sighting(row, f"{path}, entry {number}")
            pictures.append((str(image), [] if found is None else [found]))
    elif isinstance(content, dict) and isinstance(content.get("people"), list):  # one frame, by itself
        pictures.append(("0", _of_people(content["people"], str(path), side, space)))
    elif isinstance(content, dict):
        for name, frame in content.items():
            people = field(frame, "people", "bodies")
            if people is None:
                raise DataError(f"{path}: {str(name)[:40]!r} holds neither people nor bodies; this is no pose file")
            pictures.append((str(name), _of_people(people, f"{path}, {str(name)[:40]}", side, space)))
    clips: dict[str, Frames] = {}
    for name, sightings in pictures:
        folder = name.rpartition("/")[0]
        clips.setdefault(folder, {}).setdefault(name, []).extend(sightings)
    return {f: dict(sorted(frames.items(), key=lambda item: natural_key(item[0]))) for f, frames in clips.items()}


def _instances(content: Any) -> list[Any]:
    """Frames of MMPose (``instances``) or Ultralytics (lists of detections); none in a file of another form."""
    frames = content.get("instance_info") if isinstance(content, dict) else content
    if not isinstance(frames, list):
        return []
    return frames if all(isinstance(f, list) or field(f, "instances") is not None for f in frames) else []


def _mmpose(frames: list[Any], path: Path, *, in_space: bool) -> list[tuple[str, list[Sighting]]]:
    """Frames of MMPose (``{"frame_id", "instances"}``) or of Ultralytics (lists with ``keypoints`` of ``x``, ``y``)."""
    pictures: list[tuple[str, list[Sighting]]] = []
    for number, frame in enumerate(frames):
        where = f"{path}, frame {number}"
        people = frame if isinstance(frame, list) else field(frame, "instances")
        index = field(frame, "frame_id")
        if not isinstance(people, list):
            raise DataError(f"{where}: the instances are no list")
        pictures.append((str(index if isinstance(index, int) else number), [_instance(p, where) for p in people]))
    deep = _has_depth([s for _, people in pictures for s in people])
    if deep and not in_space:
        whole = any(len(s.points) == WHOLE_BODY for _, people in pictures for s in people)
        said = "its points have three coordinates, of which x and y are read, as pixels; import positions in space as "
        said += "npz or csv" + whole * ", or one hand with --side left or right"
        warnings.warn(f"{path}: {said}", MotetWarning, stacklevel=3)
    channels = 2 + (deep and in_space)
    found = [(n, [sighting(s.points[:, :channels], s.scores, s.identity) for s in people]) for n, people in pictures]
    return [(name, [s for s in people if s.points.any()]) for name, people in found]


def _has_depth(people: Sequence[Sighting]) -> bool:
    """Whether third numbers of points are coordinates, as MMPose's estimators in space write them.

    They are not where they repeat the scores, are all the same, or are scores or marks of visibility (0 to 2) of points
    in a picture.
    """
    points = np.concatenate([np.zeros((0, 3)), *(s.points for s in people if s.points.shape[1] == 3)])
    scores = np.concatenate([np.zeros(0), *(s.scores for s in people if s.points.shape[1] == 3)])
    there = np.isfinite(points).all(axis=1)
    points, scores = points[there], scores[there]
    third = points[:, 2]
    if not len(third) or not np.ptp(third) or np.array_equal(third.clip(0, None), scores):
        return False
    return bool(third.min() < 0 or third.max() > ANNOTATED or np.ptp(points[:, :2], axis=0).max() < PICTURE)


def _instance(person: Any, where: str) -> Sighting:
    """A person with all numbers of the points where scores stand apart, else with x and y."""
    marks = field(person, "keypoints")
    if isinstance(marks, dict):
        points = numbers([field(marks, "x"), field(marks, "y")], where, absent=True).T
        scores = field(marks, "visible", "confidence", "conf")
    else:
        points, scores = numbers(marks, where, absent=True), field(person, "keypoint_scores", "scores")
    points = points.reshape(-1, points.shape[-1]).copy() if points.ndim >= 2 else points
    if points.ndim != 2 or points.shape[1] < 2:
        raise DataError(f"{where}: keypoints of shape {points.shape} instead of (points, 2)")
    sure = np.ones(len(points)) if scores is None else numbers(scores, where, absent=True).ravel().clip(0, None)
    if sure.shape != (len(points),):
        raise DataError(f"{where}: {counted(len(sure), 'score')} for {counted(len(points), 'point')}")
    identity = field(person, "track_id", "instance_id")
    return Sighting(points if scores is not None else points[:, :2], sure, identity if type(identity) is int else None)


def _annotations(content: Mapping[str, Any], path: Path) -> dict[str, Frames]:
    images, rows = content.get("images"), content["annotations"]
    if not isinstance(images, list) or not isinstance(rows, list):
        raise DataError(f"{path}: COCO annotations without a list of images")
    names: dict[Any, tuple[str, str]] = {}
    for number, image in enumerate(images):
        key, file = field(image, "id"), field(image, "file_name")
        if not isinstance(key, int | str):
            raise DataError(f"{path}, image {number}: it has no id")
        video = field(image, "vid_id", "video_id")
        name = str(key if file is None else file)
        names[key] = (str(video) if video is not None else name.rpartition("/")[0], name)
    clips: dict[str, Frames] = {}
    for folder, name in sorted(names.values(), key=lambda n: (natural_key(n[0]), natural_key(n[1]))):
        clips.setdefault(folder, {})[name] = []
    for number, row in enumerate(rows):
        where, key = f"{path}, annotation {number}", field(row, "image_id")
        if not isinstance(key, int | str) or key not in names:
            raise DataError(f"{where}: its image_id {str(key)[:30]!r} is none of the images")
        if not field(row, "keypoints"):
            continue  # a box without points
        found = _sighting(row, where, annotated=True)
        if found is not None:
            folder, name = names[key]
            clips[folder][name].append(found)
    return clips


def _read_frame(path: Path, options: Options, space: bool | None) -> list[Sighting]:
    if _LABELS.fullmatch(path.name):
        points = BODY if options.skeleton is None else len(layouts.get(options.skeleton))
        return _yolo.people(path, points, (options.width or 1, options.height or 1))
    people = field(read_json(path), "people")
    if people is None:
        raise DataError(f"{path}: an OpenPose file has an object with 'people'")
    return _of_people(people, str(path), options.side, space)


def _units(source: Path) -> list[Unit]:
    """Clips of one file, and clips of a file a frame."""
    files = find_files(source, r"(?i)(?!classes\.txt|.*readme).+\.(json|txt)", what="key points (*.json, *.txt)")
    units: list[Unit] = []
    sequences: dict[str, list[tuple[int, Path]]] = {}
    by_frame: dict[tuple[Path, str], bool] = {}
    for path in files:
        name = path.name if path == source else path.relative_to(source).as_posix()
        frame = _FRAME.fullmatch(name)
        folder = path.parent
        if frame is None or len(frame[2]) > 15:
            units.append(Unit(name, path, [(0, path)] if _LABELS.fullmatch(name) else None))
            continue
        if not frame[3] and not _LABELS.fullmatch(name):  # any name with a number: the content tells what the files are
            key = (folder, frame[1])
            if key not in by_frame:
                by_frame[key] = _is_frame(path)
            if not by_frame[key]:
                units.append(Unit(name, path))
                continue
        stem = frame[1].rstrip("/_-") or folder.name
        sequences.setdefault(stem, []).append((int(frame[2]), path))
    for stem, frames in sequences.items():
        ordered = sorted(frames)
        units.append(Unit(stem, ordered[0][1], ordered))
    return sorted(units, key=lambda u: natural_key(u.name))


def _is_frame(path: Path) -> bool:
    """Whether a file holds one frame of OpenPose."""
    try:
        content = read_json(path)
    except DataError:
        return False  # *read* will say so
    return isinstance(content, dict) and isinstance(content.get("people"), list)


def _in_time(frames: Mapping[str, list[Sighting]], where: Path) -> list[list[Sighting]]:
    """Sightings of every frame, with nobody in pictures that are missing between numbered ones."""
    found = [_LAST_NUMBER.search(name.rpartition("/")[2]) for name in frames]
    if len(frames) < 2 or any(n is None for n in found) or len({n[1] for n in found if n}) < len(frames):
        return list(frames.values())
    ids = [int(n[1]) for n in found if n]
    if max(ids) - min(ids) > SPARSE * len(ids):
        return list(frames.values())  # pictures of a collection, not of a video
    timing = _time.of_numbers(ids, where)
    people: list[list[Sighting]] = [[] for _ in range(timing.count)]
    for at, sightings in zip(timing.place.tolist(), frames.values(), strict=True):
        people[at] = sightings
    return people


def _clips(unit: Unit, options: Options, space: bool | None = None) -> dict[str, list[list[Sighting]]]:
    """Sightings of every frame of the clips of a unit, by name; see :func:`read_clips`."""
    if unit.detail is not None and unit.detail["frames"] is not None:
        read = {str(number): _read_frame(path, options, space) for number, path in unit.detail["frames"]}
        return {stem_of(unit.name) if _LABELS.fullmatch(unit.name) else unit.name: _in_time(read, unit.path)}
    stem = stem_of(unit.name)
    clips = read_clips(unit.path, options.side, space)
    return {f"{stem}/{f}" if f else stem: _in_time(frames, unit.path) for f, frames in clips.items()}


def _part(
    clips: Mapping[str, list[list[Sighting]]], options: Options, space: bool | None = None
) -> Mapping[str, list[list[Sighting]]]:
    """The same, of whole bodies only the hand, or the body where its layout was asked for; in space or in the picture
    where that is said."""
    if options.side:
        part = HANDS[options.side]
    elif options.skeleton is None or len(layouts.get(options.skeleton)) != BODY:
        return clips
    else:
        part = slice(BODY)

    def cut(s: Sighting) -> Sighting:
        return Sighting(s.points[part], s.scores[part], s.identity) if len(s.points) == WHOLE_BODY else s

    def is_read(s: Sighting) -> bool:
        return bool(s.points.any()) and (space is None or s.points.shape[1] == 2 + space)

    return {name: [[c for c in map(cut, frame) if is_read(c)] for frame in frames] for name, frames in clips.items()}


def _skeleton(count: int, options: Options, where: str) -> Skeleton:
    if options.side:
        if count != len(layouts.get(HAND)):
            raise DataError(f"{where} holds {counted(count, 'point')} a person and no hands; import it without --side")
        return layouts.get(HAND)
    if options.skeleton is None and count not in LAYOUTS:
        known = ", ".join(f"{n} ({layout})" for n, layout in LAYOUTS.items())
        hand = f" ({HAND} if they are a hand's)" if count == len(layouts.get(HAND)) else ""
        raise DataError(
            f"{where} holds {counted(count, 'point')} a person; known are {known}: name a layout with --skeleton{hand}"
        )
    skeleton = layouts.get(options.skeleton or LAYOUTS[count])
    if len(skeleton) != count:
        raise DataError(
            f"{where} holds {counted(count, 'point')} a person, layout {skeleton.name!r} has {len(skeleton)}"
        )
    return skeleton


def _nobody(options: Options, space: bool = False) -> str:
    return f"no {options.side} hand{' in space' * space}" if options.side else "nobody"


def discover(source: Path, options: Options) -> Plan:
    if options.kept < 1:
        raise ConfigError(f"option persons is {options.persons}; it must be at least 1")
    if options.side and options.skeleton:
        raise ConfigError(f"options side and skeleton: a hand is read as {HAND}; leave one of them out")
    if (options.width is None) != (options.height is None) or min(options.width or 1, options.height or 1) < 1:
        raise ConfigError("options width and height are the picture's, in pixels; give both or neither")
    check_unit(options.unit)
    units = _units(source)
    names = NamePattern(options.pattern, [u.name for u in units])
    planned = [Unit(u.name, u.path, {"frames": u.detail, "columns": names.columns(u.name)}) for u in units]
    seen: list[Sighting] = []
    reason = None
    for unit in planned:  # the first file in which somebody is seen tells the layout
        try:
            clips = _part(_clips(unit, options), options)
            seen = [s for frames in clips.values() for frame in frames for s in frame]
        except DataError as error:
            reason = reason or error  # *read* will say so again, and can be asked to continue
        if seen:
            break
    if not seen:
        raise reason or DataError(f"{source}: {_nobody(options)} is seen in any file")
    if not options.side:
        _note_hands(unit.path, source)
    space = any(s.points.shape[1] == 3 for s in seen)
    skeleton = _skeleton(len(seen[0].points), options, unit.name)
    if space and _instances(read_json(unit.path)):  # MMPose writes x mirrored, depth, and height above the lowest point
        skeleton = dataclasses.replace(skeleton, up="+z")
    flat = "px" if options.width or not all(_LABELS.fullmatch(u.path.name) for u in units) else SHARES
    if options.unit and not space:
        raise ConfigError(f"option unit is of a hand in space (side); what is read here is in {flat}")
    return Plan(
        units=[Unit(u.name, u.path, {**u.detail, "space": space}) for u in planned],
        skeleton=skeleton,
        persons=options.kept,
        fps=options.fps,
        measure=(options.unit or AS_RECORDED) if space else flat,
        channels=("x", "y", "z")[: 2 + space],
        class_names=tuple(names.class_names),
        licence=options.licence,
        confidence=True,
        facts={"split": "odd-even"},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    space: bool = unit.detail["space"]
    clips = _part(_clips(unit, options, space), options, space)
    counts = {len(s.points) for frames in clips.values() for frame in frames for s in frame}
    if not counts:
        raise DataError(f"{unit.path}: {_nobody(options, space)} is seen in it")
    if len(counts) > 1:
        raise DataError(f"{unit.path}: people of {' and '.join(map(str, sorted(counts)))} points; one kind is read")
    joints = len(_skeleton(counts.pop(), options, unit.name))
    found = []
    for name, frames in clips.items():
        if any(frames):
            people = follow(frames, joints, 2 + space, options.kept, join=options.identities == "joined")
            if people.joined:
                note_joined(people.joined, name, "joined")
            columns: dict[str, Column] = {**unit.detail["columns"], "people": people.tracks}
            found.append(RawClip(name, people.frames.astype(np.float32), people.confidence, columns))
    return found


FORMAT = Format(
    description="OpenPose, COCO, AlphaPose, MMPose, YOLO key points (.json, .txt)",
    options=Options,
    discover=discover,
    read=read,
)
