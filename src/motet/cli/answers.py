"""Verbs that answer questions about recordings: fit, predict."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from motet.cli.parse import parse, write_result


@dataclass
class Fit:
    """Learn a classifier from a label track or labelled clips; says how often it will be wrong on new people."""

    archive: tyro.conf.Positional[Path]
    out: Path
    """folder to create"""
    track: str | None = None
    """label track to learn; by default the only one, or the labels of clips"""
    candidates: tuple[str, ...] = ("raw+linear", "statistics+linear", "statistics+trees", "rocket+linear", "network")
    """what to choose from"""
    folds: int = 5
    """of the cross-validation over people"""
    unlabelled: Literal["ignore", "none"] = "ignore"
    """what unlabelled moments of labelled recordings are: unknown, or none of the classes"""
    seed: int = 0
    json: Path | None = None
    """write expected error, choice and candidates as one JSON object"""
    overwrite: bool = False
    """replace a model that is there"""
    quiet: bool = False
    """no progress"""


def fit(args: Sequence[str]) -> int:
    """motet fit ARCHIVE --out MODEL"""
    given = parse(Fit, args, "motet fit")
    from motet.use.fit import fit as make

    options = dict(vars(given))
    json, quiet = options.pop("json"), options.pop("quiet")
    model = make(options.pop("archive"), options.pop("out"), progress=not quiet, **options)
    expected = model.config["expected"]
    print(
        f"{given.out}: {model.config['chosen']}, {len(model.classes)} classes; expected on new {expected['by']}: "
        f"{100 * expected['accuracy']:.1f} % right (worst {100 * expected['worst']:.1f} %)"
    )
    write_result(json, model.config)
    return 0


@dataclass
class Predict:
    """Who does what, when: bouts of every recording as a table; without an archive, frames from standard input."""

    model: tyro.conf.Positional[Path]
    archive: tyro.conf.Positional[Path | None] = None
    """recordings; without it, one JSON frame a line is read from standard input and decisions are printed"""
    out: Path | None = None
    """CSV to write: recording, start, end, label, probability"""
    track: str | None = None
    """also store the bouts as this label track of the archive"""
    lag: float = 1.0
    """from standard input: seconds of later evidence that a decision waits for"""
    json: Path | None = None
    """write the time of each class in each recording as one JSON object"""
    overwrite: bool = False
    """replace a file or track that is there"""


def predict(args: Sequence[str]) -> int:
    """motet predict MODEL ARCHIVE --out BOUTS.csv"""
    given = parse(Predict, args, "motet predict")
    from motet.core.errors import ConfigError
    from motet.use.predict import live_lines
    from motet.use.predict import predict as make

    if given.archive is None:
        if given.out is not None or given.track is not None:
            raise ConfigError("--out and --track need an archive: `motet predict MODEL ARCHIVE --out BOUTS.csv`")
        for line in live_lines(given.model, sys.stdin, lag=given.lag):
            print(line, flush=True)
        return 0
    if given.out is None and given.track is None:
        raise ConfigError("say where the bouts go: --out BOUTS.csv, --track NAME, or both")
    bouts = make(given.model, given.archive, given.out, track=given.track, overwrite=given.overwrite)
    print(f"{given.out or given.archive}: {len(bouts)} bouts of {bouts['recording'].n_unique()} recordings")
    time = bouts.with_columns(seconds=bouts["end"] - bouts["start"]).group_by("recording", "label", maintain_order=True)
    write_result(given.json, {"seconds": time.sum().select("recording", "label", "seconds").to_dicts()})
    return 0
