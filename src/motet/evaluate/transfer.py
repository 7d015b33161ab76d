"""Transfer: encoders pretrained on one set, evaluated on another, across skeleton layouts too.

As CMD's transfer to PKU-MMD II (Mao et al., ECCV 2022): the whole network is fine-tuned on all training clips of the
other set, from the joint stream; ``tuned="head"`` leaves the encoder as it is and trains the layer alone.

The other set's joints are derived by their canonical names where its layout is another (:mod:`motet.data.convert`), its
unit is brought to that of the pretraining set, persons are added (absent) or left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.data.adapted import adapted
from motet.data.archive import MotionArchive
from motet.data.splits import default_rule, split
from motet.engine.table import Row
from motet.evaluate.clips import labelled_clips, seen_in_training, without_copies
from motet.evaluate.context import Context
from motet.evaluate.tuning import Share, Tuning, tuned_rows


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
    if context.without_copies:
        clips = without_copies(archive, clips)
    name = archive.path.resolve().name
    context.notes.append(
        f"{name}: split {parts.name}, {len(clips.train)} training and {counted(len(clips.test), 'test clip')}"
    )
    context.notes.extend(f"{name}: {note}" for note in clips.notes)
    known = [seen_in_training(f.run, archive, clips.test) for f in context.learned if f.run is not None]
    context.notes.extend(f"{name}: {note}" for note in dict.fromkeys(known) if note)
    return context.on(adapted(archive, model, folder / "features", units=units, notes=context.notes), clips)
