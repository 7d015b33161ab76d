"""What a table of a paper is: its rows, the training behind each, what is measured, and the figures that were printed.

A table is data. To add one, write a module of :mod:`motet.reproduce.tables` with ``TABLES``, a tuple of :class:`Table`;
nothing is registered anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["pretrain", "distill", "discover", "graphs"]
Figure = float | tuple[float, float]
TARGET = "TARGET"
"""the second archive, where an option names one"""
BEST = ", best epoch"
"""what the name of a measure is followed by where its best epoch is meant, chosen on the test clips"""


@dataclass(frozen=True)
class Share:
    """A share of a training's epochs: the published epoch over the published number of them."""

    value: float


@dataclass(frozen=True)
class Times:
    """A multiple of the value that an option has without it: sweeps follow settings of another size."""

    value: float


@dataclass(frozen=True)
class Steps:
    """Epochs that make about a number of steps: trainings of the same length on sets of different sizes."""

    value: int


@dataclass(frozen=True)
class BySplit:
    """An option of a protocol that papers set for each data set, known by the beginning of the split rule's name."""

    usual: Any
    by: Mapping[str, Any]

    def of(self, rule: str) -> Any:
        """The value for a split rule."""
        return next((value for start, value in self.by.items() if rule.startswith(start)), self.usual)


@dataclass(frozen=True)
class Training:
    """One training; with several seeds it is several runs.

    Attributes:
        method: recipe family (``cmd``), a recipe (``cmd/small-gru``), or method of the verb that trains.
        options: options that differ from it; values may be :class:`Share`, :class:`Times` and, of epochs,
            :class:`Steps`. ``start`` of a discovery may be another training, which comes first;
            a pretraining starts from new encoders unless ``start`` names weights.
        limits: option → another option that it cannot exceed; a recipe that is too small for it leaves the row out.
        auxiliary: ``distill``: which of the auxiliary modalities helps, counted from 0; None for all of them.
        sensor: ``pretrain``: the sensor of the archive that trains alone.
        choose: ``distill``: settings of which the best on held-out parts of the training sides is taken.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    auxiliary: int | None = None
    sensor: str = ""
    choose: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Measure:
    """One column: what is read from the evaluation of a training.

    Attributes:
        name: title of the column.
        pick: where the value stands. ``pretrain``: ``protocol`` (``linear`` means linear-cached in the small scale),
            ``stream`` (``all`` for all of the run), ``ensemble``, ``metric``, ``sensor`` (whose features are
            evaluated), and any entry of a row's details; or ``diagnostic``, a name of the last line of metrics.jsonl.
            ``distill``: ``who`` and ``metric``. ``discover``:
            ``branch``, ``by`` and ``metric``.
        options: of the protocol, in the paper's scale; values may be :class:`BySplit`.
        small: of the protocol, in the small scale.
        read: what is read from a run's directory instead of all this.
        unit: ``%`` for shares, which are printed in percent; anything else is printed as it is.
    """

    name: str
    pick: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    read: Callable[[Path], float | None] | None = None
    unit: str = "%"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "pick": dict(self.pick), "options": _plain(self.options), "unit": self.unit}


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {k: {"usual": v.usual, "by": dict(v.by)} if isinstance(v, BySplit) else v for k, v in options.items()}


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        name: as the table calls it.
        training: what is trained for it; None for a method that motet does not have, of which only what was printed
            is shown.
        published: (measure, data set) → percent, or (percent, standard deviation).
        pick: what this row reads otherwise than the measures say.
        options: of the protocols, in the paper's scale, where this row's figures were made with others.
        cite: where its figures were printed, if not where the table's were.
        ours: what of its settings no source gives, so that it is this project's choice.
    """

    name: str
    training: Training | None = None
    published: Mapping[tuple[str, str], Figure] = field(default_factory=dict)
    pick: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    cite: str = ""
    ours: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    Attributes:
        name: ``family/name``.
        title: one line.
        kind: which verb trains.
        source: who printed it, and where.
        measures: columns.
        rows: lines.
        settings: ``distill``: settings of the paper's scale.
        ours: what of the settings of all its rows no source gives.
        target: the table needs a second archive (``pretrain``: to transfer to).
        notes: what a reader must know.
        gains: (row, base): lines below the table with the difference of two rows over the same seeds.
    """

    name: str
    title: str
    kind: Kind
    source: str
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    settings: str = "table"
    ours: str = ""
    target: bool = False
    notes: tuple[str, ...] = ()
    gains: tuple[tuple[str, str], ...] = ()

    @property
    def sets(self) -> list[str]:
        """Data sets of the printed figures, in the order of their first appearance."""
        return list(dict.fromkeys(s for row in self.rows for _, s in row.published))


def across(measure: str, sets: tuple[str, ...], *figures: Figure | None) -> dict[tuple[str, str], Figure]:
    """Figures of one measure on several sets; None where none was printed."""
    return {(measure, s): f for s, f in zip(sets, figures, strict=True) if f is not None}


def on_set(data_set: str, **figures: Figure | None) -> dict[tuple[str, str], Figure]:
    """Figures of several measures on one set."""
    return {(m, data_set): f for m, f in figures.items() if f is not None}
