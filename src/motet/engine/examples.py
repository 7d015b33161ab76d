"""Labelled rows with the features of a model, for protocols that see features alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.splits import default_rule
from motet.data.splits import split as split_archive

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """What ``motet evaluate`` measures a model on that is no set of stream encoders.

    Attributes:
        path: where the rows come from.
        hash: digest of their content.
        names: (N,).
        labels: (N,) places in ``class_names``, -1 for unknown.
        class_names: K.
        features: stream → (N, F).
        raw: stream → (N, R) what the model saw, for the row of raw features; empty where rows have no common size.
        train, test: rows of the two sides, all of them labelled.
        rule: how they were divided.
        method: name of what was learned.
        people: (N,) whom each row is of, -1 for unknown; None where nothing is known of it.
        licence, simulated: of the recordings.
        notes: what a reader of results must know.
        reference: stream encoders that read the clips, and the name of the weights that they are (``""``: none), in
            whose form untrained ones are evaluated next to the features; None where there are none.
    """

    path: Path
    hash: str
    names: npt.NDArray[np.str_]
    labels: Integers
    class_names: Sequence[str]
    features: Mapping[str, Floats]
    raw: Mapping[str, Floats]
    train: Integers
    test: Integers
    rule: str
    method: str
    people: Integers | None = None
    licence: str = "unknown"
    simulated: bool = False
    notes: Sequence[str] = field(default_factory=tuple)
    reference: tuple[Any, str] | None = None

    def __post_init__(self) -> None:
        """Refuse rows that no accuracy can be had of."""
        if (self.labels < 0).all():
            raise ConfigError(f"{self.path} has no labels; accuracy needs them")
        for name, side in (("training", self.train), ("test", self.test)):
            if not len(side):
                raise ConfigError(
                    f"split {self.rule} of {self.path} leaves no labelled {name} rows; choose another --split"
                )

    @property
    def digest(self) -> str:
        """Digest of the features."""
        sha = hashlib.sha256()
        for name, x in self.features.items():
            sha.update(f"{name} {x.shape}".encode() + np.ascontiguousarray(x).tobytes())
        return sha.hexdigest()


def labelled(rows: Integers, labels: Integers) -> Integers:
    """Those of some rows that have a label."""
    return np.asarray(rows[labels[rows] >= 0], dtype=np.int64)


def of_archive(
    archive: MotionArchive,
    rule: str | None,
    *,
    features: Mapping[str, Floats],
    raw: Mapping[str, Floats],
    method: str,
    notes: Sequence[str] = (),
    reference: tuple[Any, str] | None = None,
) -> Examples:
    """The clips of an archive, divided by a rule of :mod:`motet.data.splits`; by default the archive's own."""
    parts = split_archive(archive, rule or default_rule(archive))
    subjects: Any = archive.clips["subject"] if "subject" in archive.clips.columns else None
    return Examples(
        path=archive.path,
        hash=archive.hash,
        names=archive.clips["name"].to_numpy().astype(np.str_),
        labels=archive.labels,
        class_names=archive.class_names,
        features=features,
        raw=raw,
        train=labelled(parts.train, archive.labels),
        test=labelled(parts.test, archive.labels),
        rule=parts.name,
        method=method,
        people=None if subjects is None else subjects.fill_null(-1).to_numpy().astype(np.int64),
        licence=archive.licence,
        simulated=archive.simulated,
        notes=[*notes, *([parts.warning] if parts.warning else [])],
        reference=reference,
    )
