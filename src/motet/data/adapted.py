"""Copies of archives in the layout that a model reads, for as long as they are needed or kept in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from motet.core.distributed import agreed, rank
from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.data.adapt import Layout, factor, into, note_left_out, readings, same_layout, written_as
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.skeletons import Skeleton
from motet.data.worn import digest_of

REVISION = 2
"""raised when the same recordings are brought to another form than before"""


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
    note_left_out(archive, layout)
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
            f"{archive.path} has {counted(len(archive.channels), 'coordinate')} ({', '.join(archive.channels)}), the "
            f"model reads {model.channels}; choose a set of the same kind"
        )
    scale = factor(archive.units, units)
    same_joints = same_layout(archive.skeleton, skeleton)
    if same_joints and archive.persons == persons and scale == 1.0:
        return archive
    said = [] if same_joints else [f"joints of {archive.skeleton.name} converted to {skeleton.name}"]
    said += [] if scale == 1.0 else [f"{archive.units} scaled to {units}"]
    said += [] if archive.persons == persons else [f"{counted(archive.persons, 'person')} made {persons}"]
    if notes is not None:
        notes.append(f"{archive.path.resolve().name}: {', '.join(said)}")
    note_left_out(archive, model)
    rates = readings(archive, skeleton), archive.fps
    facts = repr((REVISION, digest_of(archive), skeleton.to_dict(), persons, scale, rates, _labels_digest(archive)))
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
    own = {"split": archive.source["split"]} if "split" in archive.source else {}  # the rule of the set, by default
    with ArchiveWriter(
        path,
        **(form if units is None else form | {"units": units}),
        persons=persons,
        channels=archive.channels,
        class_names=archive.class_names,
        source={"adapted": str(archive.path), "hash": archive.hash, **own},
        licence=archive.licence,
        simulated=archive.simulated,
    ) as writer:
        table = archive.clips
        for index in range(len(archive)) if ids is None else ids:
            row = table.row(index, named=True)
            frames = change(archive.clip(index)[:, :persons])
            writer.add(np.asarray(frames * scale), name=row["name"], **{c: row[c] for c in columns})


def _labels_digest(archive: MotionArchive) -> str:
    return hashlib.sha256(archive.labels.tobytes() + repr(archive.class_names).encode()).hexdigest()
