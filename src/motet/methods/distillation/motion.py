"""Motion archives as modalities: skeletons, what recorded next to them, and several archives of the same clips.

An archive gives a modality for its skeletons and one for each of its sensors; nodes of a sensor are modalities too.
Clips of several archives are paired by what they say of themselves. Every clip is brought to a fixed number of frames
and becomes a row of a :class:`motet.methods.distillation.FeatureTable`; a clip that an archive or a sensor lacks is
absent there.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.options import Frames, Options
from motet.core.text import counted
from motet.data import splits
from motet.data.archive import MotionArchive
from motet.data.heading import all_ways, turned_animals
from motet.data.loader import ClipStore
from motet.data.preprocess import ANIMAL, METHODS, SENSED
from motet.data.skeletons import Skeleton
from motet.data.worn import MIRRORS, axis_in, method_for, note_on
from motet.methods.distillation.folds import RULES
from motet.methods.distillation.replicated import Layout
from motet.methods.distillation.table import FeatureTable, Modality, join, with_labels

Ids = npt.NDArray[np.int64]
_KEYS = ("label", "subject", "camera", "setup", "repetition", "view", "quality", "style", "side", "start")
AUTO = "auto"
_BLOCK = 512  # clips that are preprocessed together


@dataclass(frozen=True)
class Motion(Options):
    """How clips of an archive become rows.

    Attributes:
        frames: of a clip of skeletons, after a linear resize.
        sensor_frames: of what a sensor recorded during a clip.
        preprocess: of skeletons: one of :data:`motet.data.preprocess.METHODS`; ``auto`` is animal of animals that
            point in all directions, and first-frame of all others.
        sensor_preprocess: of sensors: ``mirror`` bridges lost samples and mirrors what was worn on the left where the
            clips say so (:mod:`motet.data.worn`), ``bridge`` only bridges; none takes readings as recorded.
        pair_by: columns of the clips by which several archives are paired; by default those of label, subject, camera,
            setup, repetition and the like that all of them have, else the clips' names.
    """

    frames: Frames = 64
    sensor_frames: Frames = 128
    preprocess: str = AUTO
    sensor_preprocess: str = MIRRORS[0]
    pair_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preprocess not in (AUTO, *METHODS):
            raise ConfigError(f"preprocess {self.preprocess!r} is none of {', '.join((AUTO, *METHODS))}")
        if self.sensor_preprocess not in (*SENSED, "none"):
            raise ConfigError(f"sensor_preprocess {self.sensor_preprocess!r} is none of {', '.join(SENSED)}, none")


@dataclass(frozen=True, eq=False)
class Part:
    """What of an archive is a modality.

    Attributes:
        archive: the clips.
        sensor: name of the sensor next to the skeletons; None is the archive's own frames.
        node: a node of a sensor; None is all of them.
    """

    archive: MotionArchive
    sensor: str | None = None
    node: str | None = None

    @property
    def source(self) -> MotionArchive:
        """The archive that holds the frames."""
        return self.archive if self.sensor is None else self.archive.sensors[self.sensor]

    def modality(self, motion: Motion, known: str | None = None) -> Modality:
        """(N, T, P · V · C) of the archive's N clips; what the options leave to the recordings is done as ``known``,
        by default as these allow."""
        source = self.source
        method, frames = motion.preprocess, motion.frames
        if source.skeleton.kind == "sensor":
            method, frames = known or _sensed(source, motion.sensor_preprocess), motion.sensor_frames
            if method != "none" and (said := note_on(axis_in(method, source), source)):
                warnings.warn(said, MotetNote, stacklevel=3)
        elif method == AUTO and known:
            method = known
        elif method == AUTO:
            method = ANIMAL if all_ways(source) else "first-frame"
            if method == ANIMAL:
                warnings.warn(f"{source.path.name}: {turned_animals(method)}", MotetNote, stacklevel=3)
        rows = np.arange(len(source)) if self.sensor is None else self.archive.sensor_rows(self.sensor)
        seen = rows >= 0
        store = ClipStore(source, rows[seen], preprocess=method, max_frames=int(source.lengths.max()))
        nodes = list(range(len(source.skeleton))) if self.node is None else [source.skeleton.index(self.node)]
        size = source.persons * len(nodes) * len(source.channels)
        values = np.zeros((len(rows), frames, size), dtype=np.float32)
        places = np.flatnonzero(seen)
        for start in range(0, len(places), _BLOCK):
            part = slice(start, start + _BLOCK)
            ids = torch.as_tensor(rows[places[part]])
            whole = store.windows(ids, torch.zeros_like(ids), store.lengths_of(ids), frames)
            values[places[part]] = whole[:, :, :, nodes].flatten(2).numpy()
        skeleton = store.skeleton if self.node is None else _single(store.skeleton, self.node)
        layout = Layout(skeleton, source.persons, len(source.channels), method)
        return Modality(values, np.where(seen, frames, 0).astype(np.int64), seen, layout)


def _sensed(source: MotionArchive, asked: str) -> str:
    """The preprocessing of a sensor, with its axis."""
    return method_for(source) if asked == MIRRORS[0] else asked


def _single(skeleton: Skeleton, node: str) -> Skeleton:
    """The layout of one node of a sensor."""
    return Skeleton(name=f"{skeleton.name}:{node}", joints=(node,), parents=(-1,), up=skeleton.up, kind=skeleton.kind)


def parts_of(archive: MotionArchive, name: str | None = None) -> dict[str, Part]:
    """The modalities of an archive.

    Without a name its skeletons are ``skeleton``, a sensor has its own name and a node ``<sensor>.<node>``; of an
    archive of a sensor alone they are ``sensor`` and the names of its nodes. With a name they are ``<name>``,
    ``<name>.<sensor>``, ``<name>.<sensor>.<node>`` and ``<name>.<node>``.
    """
    senses = archive.skeleton.kind == "sensor"
    before = f"{name}." if name else ""
    found = {name or ("sensor" if senses else "skeleton"): Part(archive)}
    if senses:
        found |= {f"{before}{node}": Part(archive, None, node) for node in archive.skeleton.joints}
    for sensor, recording in archive.sensors.items():
        found[f"{before}{sensor}"] = Part(archive, sensor)
        found |= {f"{before}{sensor}.{node}": Part(archive, sensor, node) for node in recording.skeleton.joints}
    return found


def is_archive(source: str | Path) -> bool:
    """Whether a source is a motion archive: ``NAME=DIRECTORY`` or a directory."""
    return _named(str(source))[0] is not None or Path(source).is_dir()


def _named(source: str) -> tuple[str | None, str]:
    """``NAME=PATH`` → name and path; a path that exists is one, whatever is in it."""
    name, sign, path = source.partition("=")
    return (name, path) if sign and name and not Path(source).exists() else (None, source)


def resolved(source: str | Path) -> str:
    """A source with its path made absolute."""
    name, path = _named(str(source))
    return f"{name}={Path(path).resolve()}" if name else str(Path(path).resolve())


def opened(source: str | Path) -> tuple[str | None, MotionArchive]:
    """Name and archive of a source."""
    name, path = _named(str(source))
    return name, MotionArchive.open(path)


def simulated(sources: Sequence[str | Path]) -> bool:
    """Whether a program made the clips of any archive."""
    return any(opened(source)[1].simulated for source in sources if is_archive(source))


def open_table(
    sources: Sequence[str | Path],
    names: Sequence[str],
    motion: Motion,
    split: str | None = None,
) -> FeatureTable:
    """Feature tables (.npz), motion archives, or both, as one table.

    Args:
        sources: files, directories of archives, or ``NAME=DIRECTORY`` of an archive that gets a name; tables and
            archives are joined by ``id``, which is a clip's name.
        names: the modalities in use; no others are read from archives.
        motion: how clips become rows.
        split: a rule of :mod:`motet.data.splits`, for the column ``split``.

    Raises:
        DataError: sources that do not fit each other; the message names them.
        ConfigError: options that do not fit.
    """
    tables = [source for source in sources if not is_archive(source)]
    archives = [opened(source) for source in sources if is_archive(source)]
    if not archives:
        return FeatureTable.open(*tables)
    joined = [FeatureTable.open(*tables, labelled=False)] if tables else []
    parts = _all_parts(archives)
    known = [*parts, *(name for table in joined for name in table.modalities)]
    missing = [name for name in names if name not in known]
    if missing:
        where = " + ".join(str(source) for source in sources)
        raise DataError(f"{where} has no modality {missing[0]!r}; it has {', '.join(known)}")
    return with_labels(join(*joined, paired(archives, {n: parts[n] for n in names if n in parts}, motion, split)))


def modalities_of(sources: Sequence[str | Path]) -> list[str]:
    """Names of the modalities of feature tables and archives; errors as :func:`open_table`."""
    archives = [opened(source) for source in sources if is_archive(source)]
    tables = [FeatureTable.open(source, labelled=False) for source in sources if not is_archive(source)]
    return [*_all_parts(archives), *(name for table in tables for name in table.modalities)]


def rule_of(split: str | None, sources: Sequence[str | Path]) -> tuple[str | None, str | None]:
    """A rule of ``motet distill`` → that of the folds, and that of archives if it is one."""
    if split is None or split in RULES or not any(is_archive(source) for source in sources):
        return split, None
    return "split", split


def _all_parts(archives: Sequence[tuple[str | None, MotionArchive]]) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for name, archive in archives:
        for modality, part in parts_of(archive, name).items():
            if modality in parts:
                raise DataError(
                    f"{parts[modality].archive.path} and {archive.path} both have a modality {modality!r}; give each a "
                    f"name: NAME={archive.path}"
                )
            parts[modality] = part
    return parts


def paired(
    sources: Sequence[tuple[str | None, MotionArchive]],
    parts: Mapping[str, Part],
    motion: Motion,
    split: str | None = None,
) -> FeatureTable:
    """Archives of the same clips as one table: a row for every clip that any of them has, -1 where none has a label.

    Args:
        sources: the archives.
        parts: the modalities of the table; the first is what the student sees, so a split rule reads its archive.
        motion, split: see :func:`open_table`.

    Raises:
        DataError: clips that cannot be paired; the message names archive, columns and clip.
    """
    archives = [archive for _, archive in sources]
    places = _pairs(archives, motion.pair_by)
    homes = {m: next(n for n, archive in enumerate(archives) if archive is part.archive) for m, part in parts.items()}
    first = next(iter(homes.values()), 0)
    labels, class_names = _labels(archives, places)
    return FeatureTable(
        " + ".join(str(archive.path) for archive in archives),
        {name: _at(part.modality(motion), places[homes[name]]) for name, part in parts.items()},
        labels,
        class_names,
        np.array(_first_known([a.clips["name"].to_list() for a in archives], places), dtype=np.str_),
        split=_split(archives[first], places[first], split),
        group=_groups(archives, places),
    )


def _at(modality: Modality, rows: Ids) -> Modality:
    """Rows of a modality; -1 is an absent one."""
    there = rows >= 0
    take = np.where(there, rows, 0)
    available = modality.available[take] & there
    values = modality.values[take]
    values[~available] = 0
    assert modality.lengths is not None
    return Modality(values, np.where(available, modality.lengths[take], 0), available, modality.layout)


def _key_columns(archives: Sequence[MotionArchive]) -> list[str]:
    """Columns by which clips may be distinguished, in all archives complete."""
    return [c for c in _KEYS if all(c in a.clips.columns and not a.clips[c].null_count() for a in archives)]


def _keys(archive: MotionArchive, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """What every clip says of itself; a class by its name, as archives may count classes otherwise."""
    lists = []
    for column in columns:
        values = archive.clips[column].to_list()
        if column == "label":
            values = [None if v is None else archive.class_names[v] for v in values]
        lists.append(values)
    return list(zip(*lists, strict=True))


def _twice(keys: Sequence[tuple[Any, ...]]) -> tuple[int, int] | None:
    """The first two places of the same key."""
    seen: dict[tuple[Any, ...], int] = {}
    for place, key in enumerate(keys):
        if key in seen:
            return seen[key], place
        seen[key] = place
    return None


def _pairs(archives: Sequence[MotionArchive], pair_by: Sequence[str]) -> list[Ids]:
    """Of every archive the row of each clip that any of them has, -1 where it has none."""
    for archive in archives:
        missing = [c for c in pair_by if c not in archive.clips.columns]
        if missing:
            raise DataError(
                f"{archive.path} has no column {missing[0]!r} to pair by; it has {', '.join(archive.clips.columns)}"
            )
    columns = list(pair_by) or _key_columns(archives)
    ambiguous = not columns or any(_twice(_keys(archive, columns)) for archive in archives)
    if len(archives) == 1 or (ambiguous and not pair_by):
        columns = ["name"]
    keys = [_keys(archive, columns) for archive in archives]
    said = ", ".join(columns)
    for archive, found in zip(archives, keys, strict=True):
        twice = _twice(found)
        if twice:
            first, second = (archive.clips["name"][n] for n in twice)
            raise DataError(f"{archive.path}: clips {first} and {second} have the same {said}; pair by more columns")
    order = list(dict.fromkeys(key for found in keys for key in found))
    places = []
    for found in keys:
        row = {key: n for n, key in enumerate(found)}
        places.append(np.array([row.get(key, -1) for key in order], dtype=np.int64))
    _check_pairs(archives, keys, places, said)
    return places


def _check_pairs(
    archives: Sequence[MotionArchive], keys: Sequence[Sequence[tuple[Any, ...]]], places: Sequence[Ids], said: str
) -> None:
    first = archives[0]
    for other, found, rows in zip(archives[1:], keys[1:], places[1:], strict=True):
        both = int(((places[0] >= 0) & (rows >= 0)).sum())
        fewest = min(len(first), len(other))
        lone = next((n for n, key in enumerate(found) if key not in set(keys[0])), None)
        example = "" if lone is None else f", e.g. clip {other.clips['name'][lone]} ({_described(found[lone])})"
        if not both:
            raise DataError(
                f"{first.path} and {other.path} are not of the same clips: none agree in {said}{example}; say by "
                "--pair-by which columns tell which clips belong together"
            )
        if 2 * both < fewest:
            warnings.warn(
                f"only {both} of {counted(fewest, 'clip')} of {first.path} and {other.path} agree in "
                f"{said}{example}; the others count as absent",
                MotetWarning,
                stacklevel=4,
            )
    for archive, rows in zip(archives, places, strict=True):
        _check_facts(archives[0], places[0], archive, rows, said)


def _check_facts(first: MotionArchive, ours: Ids, other: MotionArchive, theirs: Ids, said: str) -> None:
    """Paired clips must agree in class and person."""
    both = (ours >= 0) & (theirs >= 0)
    for what in ("label", "subject"):
        mine, his = _keys(first, [what]), _keys(other, [what])
        for a, b in zip(ours[both], theirs[both], strict=True):
            if None not in (mine[a][0], his[b][0]) and mine[a] != his[b]:
                names = first.clips["name"][int(a)], other.clips["name"][int(b)]
                raise DataError(
                    f"{first.path} and {other.path} are misaligned: clips {names[0]} and {names[1]} agree in {said}, "
                    f"but their {what} is {mine[a][0]} and {his[b][0]}; say by --pair-by which columns tell which "
                    "clips belong together"
                )


def _described(key: tuple[Any, ...]) -> str:
    return ", ".join(str(value) for value in key)


def _first_known(columns: Sequence[Sequence[Any]], places: Sequence[Ids]) -> list[Any]:
    """Of every row the value of the first archive that has one."""
    found: list[Any] = [None] * len(places[0])
    for values, rows in zip(columns, places, strict=True):
        for n, row in enumerate(rows):
            if found[n] is None and row >= 0:
                found[n] = values[row]
    return found


def _labels(archives: Sequence[MotionArchive], places: Sequence[Ids]) -> tuple[Ids, tuple[str, ...]]:
    names = list(dict.fromkeys(name for archive in archives for name in archive.class_names))
    number = {name: n for n, name in enumerate(names)}
    known = _first_known([[key[0] for key in _keys(archive, ["label"])] for archive in archives], places)
    return np.array([-1 if name is None else number[name] for name in known], dtype=np.int64), tuple(names)


def _groups(archives: Sequence[MotionArchive], places: Sequence[Ids]) -> npt.NDArray[np.str_] | None:
    """People; where they are unknown, or there is one, the recordings that windows were cut from."""
    people = _first_known([archive.clips["subject"].to_list() for archive in archives], places)
    cut = _first_known([splits.recordings_of(archive).tolist() for archive in archives], places)
    windows = 1 < len(set(cut)) < len(cut) and (None in people or len(set(people)) == 1)
    known = cut if windows else people
    return None if None in known else np.array([str(v) for v in known], dtype=np.str_)


def _split(archive: MotionArchive, rows: Ids, rule: str | None) -> npt.NDArray[np.str_] | None:
    """Sides by a rule of archives; a clip on neither side is ``val``, which no fold uses."""
    if rule is None:
        return None
    parts = splits.split(archive, rule)
    side = np.full(len(archive), "val", dtype="<U5")
    side[parts.train], side[parts.test] = "train", "test"
    return np.where(rows >= 0, side[np.where(rows >= 0, rows, 0)], "val").astype(np.str_)


def modality_of(
    source: MotionArchive | Mapping[str, MotionArchive], name: str, motion: Motion, layout: Layout
) -> Modality:
    """A modality of an archive for a student in use.

    Args:
        source: the archive, or archives by the name that they had in training.
        name: of the modality in training; of an archive that had a name then and stands alone now, the name is implied.
        motion: as in training.
        layout: what the student was trained on.

    Raises:
        DataError: there is none of that name, or its clips are laid out otherwise.
    """
    found: dict[str, Part] = {}
    for given, archive in source.items() if isinstance(source, Mapping) else [(None, source)]:
        found |= parts_of(archive, given)
    if name not in found and not isinstance(source, Mapping):
        implied = parts_of(source, name.split(".")[0]).get(name)
        if implied is not None and implied.source.skeleton.kind == layout.skeleton.kind:
            found[name] = implied
    if name not in found:
        raise DataError(f"the student needs the modality {name}; given were {', '.join(found)}")
    part = found[name]
    ours, theirs = (layout.skeleton.joints, layout.persons, layout.channels), _laid_out(part)
    if ours != theirs:
        other = "" if len(ours[0]) != len(theirs[0]) else ", and not the same joints"
        raise DataError(
            f"{part.source.path} cannot be the modality {name}: it has clips of {part.source.skeleton.name} "
            f"({counted(len(theirs[0]), 'joint')}, {counted(theirs[1], 'person')}, {counted(theirs[2], 'channel')}), "
            f"the student was trained on {layout.skeleton.name} ({counted(len(ours[0]), 'joint')}, "
            f"{counted(ours[1], 'person')}, {counted(ours[2], 'channel')}){other}; give it an archive of that sensor"
        )
    return part.modality(motion, layout.preprocess)


def _laid_out(part: Part) -> tuple[tuple[str, ...], int, int]:
    """Joints, persons and channels."""
    joints = part.source.skeleton.joints if part.node is None else (part.node,)
    return joints, part.source.persons, len(part.source.channels)
