"""Transfer: encoders pretrained on one set, judged on another, across skeleton layouts too.

As CMD's transfer to PKU-MMD II (Mao et al., ECCV 2022): the whole network is fine-tuned on all training clips of the
other set, from the joint stream; ``tuned="head"`` leaves the encoder as it is and trains the layer alone.

The other set's joints are derived by their canonical names where its layout is another (:mod:`motet.data.convert`), its
unit is brought to that of the pretraining set, persons are added (absent) or left out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from motet.core.distributed import agreed, rank
from motet.core.errors import ConfigError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.convert import convert
from motet.data.skeletons import Skeleton
from motet.data.splits import default_rule, split
from motet.engine.table import Row
from motet.evaluate.clips import labelled_clips, seen_in_training
from motet.evaluate.context import Context
from motet.evaluate.tuning import Share, Tuning, tuned_rows
from motet.methods.model import Model

_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}


@dataclass(frozen=True)
class Options(Tuning):
    """Options of the protocol."""

    data: tuple[str, ...] = ()
    """archives to transfer to; by default the one that is evaluated (--data), if another one than that of the
    pretraining."""
    split: str | None = None
    """rule that says who trains and who tests there, by default the archive's own standard."""


def check(context: Context, options: Options) -> None:
    """Raise ConfigError where there is no archive to transfer to, before anything is computed."""
    run = context.learned[0].run
    assert run is not None
    options.chosen(context)
    if not options.data and context.archive.hash == run.config["data"].get("hash"):
        raise ConfigError("transfer needs another archive than that of the pretraining; name it by --transfer.data")


def evaluate(context: Context, options: Options) -> list[Row]:
    """For each archive rows of the learned encoders, of random ones (trained from scratch) and of raw features.

    Raises:
        ConfigError: no archive to transfer to, or one whose joints do not give those of the model.
    """
    run = context.learned[0].run
    assert run is not None
    check(context, options)
    rows: list[Row] = []
    for path in options.data or ("",):
        there = context
        if path:
            there = _there(context, MotionArchive.open(path), options.split, run.config["data"].get("units"), run.path)
        name = Path(path).name or context.called
        whole = torch.arange(len(there.train))
        share = Share([whole] * context.seeds, {"target": f"to {name}", "classes": len(there.class_names)})
        rows += tuned_rows("transfer", there, options, [share], "seeds")
    return rows


def _there(context: Context, archive: MotionArchive, rule: str | None, units: str | None, folder: Path) -> Context:
    model = context.learned[0].model
    parts = split(archive, rule or default_rule(archive))
    clips = labelled_clips(archive, parts)
    name = archive.path.resolve().name
    context.notes.append(f"{name}: split {parts.name}, {len(clips.train)} training and {len(clips.test)} test clips")
    context.notes.extend(f"{name}: {note}" for note in clips.notes)
    known = [seen_in_training(f.run, archive, clips.test) for f in context.learned if f.run is not None]
    context.notes.extend(f"{name}: {note}" for note in dict.fromkeys(known) if note)
    return context.on(adapted(archive, model, folder / "features", units=units, notes=context.notes), clips)


def adapted(
    archive: MotionArchive, model: Model, folder: Path, *, units: str | None = None, notes: list[str] | None = None
) -> MotionArchive:
    """The archive in the layout that a model reads; the archive itself if it is in it already.

    Args:
        archive: any recordings.
        model: what is to read them.
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
    same_joints = _layout(archive.skeleton) == _layout(skeleton)
    if same_joints and archive.persons == persons and scale == 1.0:
        return archive
    said = [] if same_joints else [f"joints of {archive.skeleton.name} converted to {skeleton.name}"]
    said += [] if scale == 1.0 else [f"{archive.units} scaled to {units}"]
    said += [] if archive.persons == persons else [f"{archive.persons} persons made {persons}"]
    if notes is not None:
        notes.append(f"{archive.path.resolve().name}: {', '.join(said)}")
    facts = repr((archive.hash, skeleton.to_dict(), persons, scale, _labels_digest(archive)))
    path = folder / f"adapted-{hashlib.sha256(facts.encode()).hexdigest()[:24]}"
    if not path.exists() and rank() == 0:
        _write_adapted(archive, path, skeleton, persons, units or archive.units, scale)
    agreed(None)  # the other processes wait for the first
    return MotionArchive.open(path)


def _write_adapted(
    archive: MotionArchive, path: Path, skeleton: Skeleton, persons: int, units: str, scale: float
) -> None:
    same_joints = _layout(archive.skeleton) == _layout(skeleton)
    columns = [c for c in archive.clips.columns if c not in ("name", "offset", "length", "persons", "sha256")]
    with ArchiveWriter(
        path,
        skeleton=skeleton,
        persons=persons,
        fps=archive.fps,
        units=units,
        channels=archive.channels,
        class_names=archive.class_names,
        source={"adapted": str(archive.path), "hash": archive.hash},
        licence=archive.licence,
        simulated=archive.simulated,
    ) as writer:
        for index, row in enumerate(archive.clips.iter_rows(named=True)):
            frames = archive.clip(index)[:, :persons]
            frames = frames if same_joints else convert(frames, archive.skeleton, skeleton)
            writer.add(np.asarray(frames * scale), name=row["name"], **{c: row[c] for c in columns})


def _layout(skeleton: Skeleton) -> tuple[object, ...]:
    return skeleton.joints, skeleton.up, skeleton.right_handed


def _scale(theirs: str, ours: str | None) -> float:
    """Factor from one unit of length to another; 1 where one is no unit of length."""
    if ours not in _METRES or theirs not in _METRES:
        return 1.0
    return _METRES[theirs] / _METRES[ours]


def _labels_digest(archive: MotionArchive) -> str:
    return hashlib.sha256(archive.labels.tobytes() + repr(archive.class_names).encode()).hexdigest()
