"""The kind of format whose files hold named points in every frame: marker sets, animal poses, joint positions.

A format of this kind says how one file is read (:class:`Recording`); what follows from all files together is the same
for each: layout, people, rate, the axis that points up, columns out of names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import counted
from motet.core.units import METRES
from motet.data.formats import _layout, _time
from motet.data.formats._axes import Up, decide_handedness, decide_up, probed, some_frames, up_in_pictures
from motet.data.formats._files import find_files, stem_of
from motet.data.formats._names import NamePattern
from motet.data.formats._people import rejoin
from motet.data.formats._sheet import without_fills
from motet.data.formats._worker import expected
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit, units_of
from motet.data.skeletons import Skeleton


@dataclass(frozen=True)
class PointOptions:
    """Options of every format of named points.

    Attributes:
        skeleton: built-in layout or TOML file whose joints are points of every file; by default the built-in one with
            the names of the first file, else its points, with bones only where the file has them.
        fps: frames per second; files that state another rate are resampled (linear).
        up: axis that points up; ``auto`` takes what the files declare, else what the recordings show.
        right_handed: whether three axes form a right-handed frame; by default as the recordings show.
        pattern: regular expression on the path, with groups ``label``, ``subject`` and so on.
        licence: terms of the recordings.
    """

    skeleton: str | None = None
    fps: float | None = None
    up: Up = "auto"
    right_handed: bool | None = None
    pattern: str | None = None
    licence: str = "unknown"


@dataclass(frozen=True)
class Recording:
    """One recording as its file has it.

    Attributes:
        joints: names of the points.
        points: (T, P, V, C) in the measure of the format; absent = zero.
        scores: (T, P, V) confidences, None if the file has none.
        fps: frames per second, None if the file does not say.
        parents: of the points, None if the file does not say.
        up: axis that points up, None if the file does not say.
        name: tells recordings of one file apart.
        columns: what else the file says of it.
    """

    joints: tuple[str, ...]
    points: npt.NDArray[Any]
    scores: npt.NDArray[Any] | None = None
    fps: float | None = None
    parents: tuple[int, ...] | None = None
    up: str | None = None
    name: str = ""
    columns: Mapping[str, Column] = field(default_factory=dict)


Read = Callable[[Path, Any], Sequence[Recording]]


@dataclass(frozen=True)
class PointFormat:
    """What is particular to a format of this kind.

    Attributes:
        files: regular expression of file names.
        what: the files in words.
        read: a file's recordings.
        prefix: begins the names of layouts made of a file's points.
        measure: unit of the coordinates from the number of them and the options; metres by default.
        confidence: whether the archive stores confidences.
        choose: which of the files are read, and what becomes of the names of clips (files of one recording in
            several stages); all of them by default.
        classes: names of the labels that recordings bring, where names of files do not tell classes.
    """

    files: str
    what: str
    read: Read
    prefix: str
    measure: Callable[[int, Any], str] = lambda channels, options: "m"
    confidence: bool = False
    facts: Mapping[str, Any] = field(default_factory=lambda: {"split": "odd-even"})
    choose: Callable[[Sequence[Path]], Sequence[Path]] = list
    stem: Callable[[str], str] = stem_of
    parents: Callable[[Sequence[str]], Sequence[int] | None] = lambda joints: None
    licence: str | None = None
    classes: tuple[str, ...] = ()

    def format(self, description: str, options: type[PointOptions]) -> Format:
        """The format that the importer knows."""
        return Format(description=description, options=options, discover=self._discover, read=self._read)

    def recordings(self, path: Path, options: Any) -> Sequence[Recording]:
        """Recordings of a file, checked.

        Raises:
            DataError: the file cannot be used; names it.
        """
        with expected(path):
            found = []
            for recording in self.read(path, options):
                _layout.check_joints(len(recording.joints), path)
                shape = (*recording.points.shape[:2], len(recording.joints))
                if recording.points.ndim != 4 or recording.points.shape[:3] != shape or 0 in recording.points.shape:
                    raise DataError(f"{path}: points of shape {recording.points.shape} for {shape[2]} names")
                if recording.points.shape[3] not in (2, 3):
                    raise DataError(
                        f"{path}: {counted(recording.points.shape[3], 'coordinate')} a point; 2 or 3 are read"
                    )
                if not np.isfinite(recording.points).all():
                    raise DataError(f"{path}: a coordinate is infinite")
                points = np.nan_to_num(without_fills(recording.points, path))
                found.append(dataclasses.replace(recording, points=points))
        return found

    def _discover(self, source: Path, options: Any) -> Plan:
        units = units_of(self.choose(find_files(source, self.files, what=self.what)), source)
        names = NamePattern(options.pattern, [u.name for u in units])
        first: Recording | None = None
        where: Path | None = None
        reason: DataError | None = None
        rates: list[tuple[str, float | None]] = []
        persons, clips, readable = 1, {}, []
        wanted = {u.name for u in probed(units)}
        for unit in units:
            try:
                with contextlib.ExitStack() as stack:
                    if first is not None:  # what is noted of the first file holds for all
                        stack.enter_context(warnings.catch_warnings())
                        warnings.simplefilter("ignore", MotetWarning)
                    found = self.recordings(unit.path, options)
            except DataError as error:
                reason = reason or error  # *read* will say so again, and can be asked to continue
                continue
            readable.append(unit)
            for recording in found:
                if first is None:
                    first, where = recording, unit.path
                if recording.points.shape[3] != first.points.shape[3]:
                    continue  # likewise
                persons = max(persons, recording.points.shape[1])
                rates.append((unit.name, recording.fps))
                if unit.name in wanted and set(first.joints) <= set(recording.joints):
                    order = [recording.joints.index(j) for j in first.joints]
                    clips[f"{unit.name} {recording.name}".strip()] = some_frames(recording.points[:, :, order])
        if first is None:
            raise reason or DataError(f"{source} holds nothing that is read")
        skeleton = self._skeleton(first, where, clips, options)
        channels = first.points.shape[3]
        fps = _time.one_rate(rates, options.fps)
        common = {"joints": skeleton.joints, "channels": channels, "fps": fps}
        return Plan(
            units=[Unit(u.name, u.path, {**common, "columns": names.columns(u.name)}) for u in units],
            skeleton=skeleton,
            persons=persons,
            fps=fps,
            measure=self.measure(channels, options),
            channels=("x", "y", "z")[:channels],
            class_names=tuple(names.class_names) or self.classes,
            licence=self.licence or options.licence,
            confidence=self.confidence,
            facts=self.facts,
        )

    def _skeleton(
        self, first: Recording, where: Path | None, clips: Mapping[str, npt.NDArray[Any]], options: Any
    ) -> Skeleton:
        flat = first.points.shape[3] == 2
        parents = first.parents if first.parents is not None else self.parents(first.joints)
        skeleton = _layout.of_names(
            first.joints,
            where,
            parents=parents,
            skeleton=options.skeleton,
            up=first.up or ("-y" if flat else "+z"),
            prefix=self.prefix,
        )
        if skeleton.kind == "sensor":
            return skeleton
        if flat:
            return dataclasses.replace(skeleton, up=up_in_pictures(skeleton, options.up))
        missing = [j for j in skeleton.joints if j not in first.joints]
        if missing and getattr(options, "lacking", None) != "absent":
            return skeleton  # *read* says what is missing
        joints = [*first.joints, *missing]
        order = [joints.index(j) for j in skeleton.joints]
        none = ((0, 0), (0, 0), (0, len(missing)), (0, 0))
        shown = {name: np.pad(points, none)[:, :, order] for name, points in clips.items()}
        up = decide_up(shown, skeleton, asked=options.up, stated=first.up)
        handed = decide_handedness(shown, skeleton, options.right_handed)
        return dataclasses.replace(skeleton, up=up, right_handed=handed)

    def _read(self, unit: Unit, options: Any) -> list[RawClip]:
        detail, found = unit.detail, []
        for recording in self.recordings(unit.path, options):
            recording = _completed(recording, detail["joints"], unit.path, getattr(options, "lacking", None))
            if recording.points.shape[3] != detail["channels"]:
                raise DataError(
                    f"{unit.path} has {counted(recording.points.shape[3], 'coordinate')}, the first file "
                    f"{detail['channels']}"
                )
            order = [recording.joints.index(j) for j in detail["joints"]]
            points = recording.points[:, :, order]
            scores = None if recording.scores is None else recording.scores[:, :, order]
            if scores is None and self.confidence:
                scores = np.asarray(points.any(axis=-1), dtype=np.float32)
            rejoin(points, scores, getattr(options, "identities", "given"), unit.name)
            points, scores = _time.brought(points, scores, recording.fps, options.fps)
            name = self.stem(unit.name)
            stated = {k: v for k, v in detail["columns"].items() if v is not None}  # by the pattern, which goes first
            columns = {**detail["columns"], **recording.columns, **stated}
            with np.errstate(over="ignore"):
                frames = points.astype(np.float32)
            found.append(RawClip(f"{name}/{recording.name}" if recording.name else name, frames, scores, columns))
        return found


def _completed(recording: Recording, joints: Sequence[str], path: Path, lacking: str | None) -> Recording:
    """A recording with joints that it lacks as absent, where that is asked for.

    Raises:
        DataError: it lacks some, and nobody asked, or more than a quarter of them.
    """
    missing = [j for j in joints if j not in recording.joints]
    if not missing:
        return recording
    listed = ", ".join(missing[:5])
    if lacking != "absent" or len(missing) > _layout.NEAR * len(joints):
        more = [j for j in recording.joints if j not in joints]
        has = f"; it has {', '.join(more[:20])} beyond the others" * bool(more)
        name = "OLD" if len(more) != 1 else more[0]
        options = (
            f"--rename {name}={missing[0]} where it is called otherwise, --lacking absent where it was not seen, or "
            if lacking
            else ""
        )
        raise DataError(
            f"{path} lacks {listed}{has}: {options}name a layout of points that all files have with --skeleton"
        )
    warnings.warn(f"{path} lacks {listed}, which counts as not seen", MotetNote, stacklevel=3)
    none = np.zeros((*recording.points.shape[:2], len(missing), recording.points.shape[3]))
    scores = recording.scores if recording.scores is None else np.concatenate([recording.scores, none[..., 0]], axis=2)
    points = np.concatenate([recording.points, none], axis=2)
    return dataclasses.replace(recording, joints=(*recording.joints, *missing), points=points, scores=scores)


def metres(unit: str, path: Path, option: str = "--unit") -> float:
    """Metres of a unit of length as files and options call it.

    Raises:
        DataError: it is unknown; says what to do.
    """
    if unit.lower() not in METRES:
        said = f"its unit is {unit!r}" if unit else "it does not say its unit"
        raise DataError(f"{path}: {said}; give one of {', '.join(METRES)} with {option}")
    return METRES[unit.lower()]


def check_unit(unit: str | None) -> None:
    """Refuse an option ``unit`` that is no unit of length.

    Raises:
        ConfigError: it is none.
    """
    if unit is not None and unit.lower() not in METRES:
        raise ConfigError(f"option unit is {unit!r}; it must be one of {', '.join(METRES)}")
