"""Recordings in the layout that a model reads: joints by their canonical names, unit, number of persons."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from motet.core.distributed import agreed, rank
from motet.core.errors import ConfigError
from motet.data import inertial
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.convert import convert
from motet.data.inertial import Inertial
from motet.data.skeletons import Skeleton

Float = npt.NDArray[np.floating[Any]]

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}


class Layout(Protocol):
    """What clips have to look like."""

    @property
    def skeleton(self) -> Skeleton: ...

    @property
    def persons(self) -> int: ...

    @property
    def channels(self) -> int: ...


def check_adaptable(archive: MotionArchive, layout: Layout) -> None:
    """Refuse recordings whose joints do not give those of a layout.

    Raises:
        ConfigError: says what is lacking.
    """
    if len(archive.channels) != layout.channels or (archive.skeleton.kind == "sensor") != (
        layout.skeleton.kind == "sensor"
    ):
        other = {"sensor": "; wrist reads sensors", "body": "; body reads bodies in 3D"}.get(archive.skeleton.kind, "")
        raise ConfigError(
            f"{archive.path} holds {archive.skeleton.name} with {len(archive.channels)} coordinates "
            f"({', '.join(archive.channels)}), the model reads {layout.skeleton.name} with {layout.channels}"
            + (other if archive.skeleton.kind != layout.skeleton.kind else "")
            + "; rocket in its place reads recordings of any kind"
        )
    if not same_layout(archive.skeleton, layout.skeleton):
        zeros = np.zeros((1, 1, len(archive.skeleton), layout.channels), np.float32)
        into(layout.skeleton, archive.skeleton, readings(archive, layout.skeleton), archive.fps)(zeros)


def into(target: Skeleton, source: Skeleton, units: str, fps: float | None) -> Callable[[Float], Float]:
    """What brings (T, P, V, C) clips of one layout to another: joints by their names, readings of sensors by their
    kind, unit and rate (:mod:`motet.data.inertial`).

    Args:
        target: layout wanted.
        source: layout of the clips.
        units: of the clips, as :func:`readings` gives them.
        fps: of the clips.
    """
    if same_layout(source, target):
        return np.asarray
    if target.name == inertial.LAYOUT:
        return Inertial.of(source, units, fps)
    return lambda frames: convert(frames, source, target)


def readings(archive: MotionArchive, target: Skeleton) -> str:
    """The unit of an archive, of readings that are to be brought to the layout ``inertial`` each of the two."""
    return inertial.units_of(archive) if target.name == inertial.LAYOUT else archive.units


def written_as(archive: MotionArchive, target: Skeleton) -> dict[str, Any]:
    """Layout, rate and unit of clips that :func:`into` made, as an archive says them."""
    if target.name == inertial.LAYOUT:
        return {"skeleton": target, "fps": inertial.RATE, "units": inertial.UNITS}
    return {"skeleton": target, "fps": archive.fps, "units": archive.units}


@contextmanager
def in_layout(archive: MotionArchive, layout: Layout, ids: Sequence[int] | None = None) -> Iterator[MotionArchive]:
    """The archive in a layout, as a copy that lasts as long as the context; itself if it is in it already.

    Args:
        archive: recordings.
        layout: of the copy.
        ids: archive rows that the copy holds, in this order; all by default.
    """
    if same_layout(archive.skeleton, layout.skeleton) and archive.persons == layout.persons:
        yield archive
        return
    with TemporaryDirectory(prefix="motet-") as folder:
        path = Path(folder) / archive.path.resolve().name
        _write_adapted(archive, path, layout.skeleton, layout.persons, None, 1.0, ids)
        yield MotionArchive.open(path)


def adapted(
    archive: MotionArchive, model: Layout, folder: Path, *, units: str | None = None, notes: list[str] | None = None
) -> MotionArchive:
    """The archive in the layout that a model reads; the archive itself if it is in it already.

    Args:
        archive: any recordings.
        model: what is to read them: its skeleton, persons and channels.
        folder: where the converted archive is kept, named by the digest of all that decides it.
        units: unit of the model's own recordings; None leaves the scale alone.
        notes: takes a line on what was changed.

    Raises:
        ConfigError: the archive's joints do not give those of the model, or its coordinates are others.
    """
    skeleton, persons = model.skeleton, model.persons
    if len(archive.channels) != model.channels:
        raise ConfigError(
            f"{archive.path} has {len(archive.channels)} coordinates ({', '.join(archive.channels)}), the model reads "
            f"{model.channels}; choose a set of the same kind"
        )
    scale = _scale(archive.units, units)
    same_joints = same_layout(archive.skeleton, skeleton)
    if same_joints and archive.persons == persons and scale == 1.0:
        return archive
    said = [] if same_joints else [f"joints of {archive.skeleton.name} converted to {skeleton.name}"]
    said += [] if scale == 1.0 else [f"{archive.units} scaled to {units}"]
    said += [] if archive.persons == persons else [f"{archive.persons} persons made {persons}"]
    if notes is not None:
        notes.append(f"{archive.path.resolve().name}: {', '.join(said)}")
    rates = readings(archive, skeleton), archive.fps
    facts = repr((archive.hash, skeleton.to_dict(), persons, scale, rates, _labels_digest(archive)))
    path = folder / f"adapted-{hashlib.sha256(facts.encode()).hexdigest()[:24]}"
    if not path.exists() and rank() == 0:
        _write_adapted(archive, path, skeleton, persons, units, scale)
    agreed(None)  # the other processes wait for the first
    return MotionArchive.open(path)


def _write_adapted(
    archive: MotionArchive,
    path: Path,
    skeleton: Skeleton,
    persons: int,
    units: str | None,
    scale: float,
    ids: Sequence[int] | None = None,
) -> None:
    change = into(skeleton, archive.skeleton, readings(archive, skeleton), archive.fps)
    form = written_as(archive, skeleton)
    columns = [c for c in archive.clips.columns if c not in ("name", "offset", "length", "persons", "sha256")]
    with ArchiveWriter(
        path,
        **(form if units is None else form | {"units": units}),
        persons=persons,
        channels=archive.channels,
        class_names=archive.class_names,
        source={"adapted": str(archive.path), "hash": archive.hash},
        licence=archive.licence,
        simulated=archive.simulated,
    ) as writer:
        table = archive.clips
        for index in range(len(archive)) if ids is None else ids:
            row = table.row(index, named=True)
            frames = change(archive.clip(index)[:, :persons])
            writer.add(np.asarray(frames * scale), name=row["name"], **{c: row[c] for c in columns})


def same_layout(a: Skeleton, b: Skeleton) -> bool:
    """Whether two layouts have the same joints and axes."""
    return (a.joints, a.up, a.right_handed) == (b.joints, b.up, b.right_handed)


def _scale(theirs: str, ours: str | None) -> float:
    """Factor from one unit of length to another; 1 where one is no unit of length."""
    if ours not in METRES or theirs not in METRES:
        return 1.0
    return METRES[theirs] / METRES[ours]


def _labels_digest(archive: MotionArchive) -> str:
    return hashlib.sha256(archive.labels.tobytes() + repr(archive.class_names).encode()).hexdigest()
