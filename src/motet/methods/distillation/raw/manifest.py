"""Manifests: which recordings belong to which sample, one row each, as a CSV file."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from motet.core.errors import DataError
from motet.core.files import written
from motet.core.text import cell, counted, from_cell
from motet.methods.distillation.raw.options import KINDS, kind_of
from motet.methods.distillation.table import FeatureTable, Modality

_FACTS = ("id", "label", "split", "fold", "group")
_TIMES = ("start_", "end_")


def _unguarded(row: dict[Any, Any]) -> dict[Any, Any]:
    return {name: from_cell(value) if isinstance(value, str) else value for name, value in row.items()}


@dataclass(frozen=True)
class Item:
    """One recording, or a part of it.

    Attributes:
        content: path of the file; of a text the text itself.
        start, end: seconds from the beginning of the file; None is its beginning, its end.
    """

    content: str
    start: float | None = None
    end: float | None = None

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return self.content
        return f"{self.content} ({self.start or 0:g} s to {'the end' if self.end is None else f'{self.end:g} s'})"


@dataclass
class Manifest:
    """Samples and their recordings.

    Attributes:
        name: what messages call it.
        ids: unique names of the samples.
        labels: classes, as texts.
        modalities: by name, one item per sample; None where the sample has none.
        split: ``train``, ``val`` or ``test``; fold: number; group: who must not be on both sides; None if not given.
        class_names: in the order of the labels' numbers; by default sorted.
    """

    name: str
    ids: list[str]
    labels: list[str]
    modalities: dict[str, list[Item | None]]
    split: list[str] | None = None
    fold: list[int] | None = None
    group: list[str] | None = None
    class_names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        self.class_names = self.class_names or tuple(sorted(set(self.labels)))

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read a CSV file with the columns ``label`` and at least one modality.

        A modality's name begins with ``video``, ``audio``, ``speech`` or ``text``; its column holds paths relative to
        the manifest (of a text the text itself), empty where a sample has none. ``start_<modality>`` and
        ``end_<modality>`` are seconds. ``id``, ``split``, ``fold`` and ``group`` are as in a table of features.

        Raises:
            DataError: not such a file; names the row and the column.
        """
        path = Path(path)
        try:
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file, strict=True)
                rows, names = [_unguarded(row) for row in reader], list(reader.fieldnames or ())
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a manifest (CSV): {error}") from error
        modalities = [n for n in names if n.split("_")[0] in KINDS]
        known = {*_FACTS, *modalities, *(f"{t}{m}" for t in _TIMES for m in modalities)}
        other = [n for n in names if n not in known]
        if other:
            raise DataError(
                f"{path}: column {other[0]!r} is neither one of {', '.join(_FACTS)}, nor a modality (its name must "
                f"begin with {', '.join(KINDS)}), nor start_ or end_ of one"
            )
        if "label" not in names or not modalities or not rows:
            lacks = "column label" if "label" not in names else "modality" if not modalities else "row"
            raise DataError(f"{path} has no {lacks}")
        for number, row in enumerate(rows, start=2):
            if None in row or None in row.values():
                raise DataError(f"{path}, line {number}: it has not as many fields as the header")
            if not row["label"]:
                raise DataError(f"{path}, line {number}: the label is empty")
        ids = [row["id"] for row in rows] if "id" in names else [str(n) for n in range(len(rows))]
        _check_unique(path, ids)
        here = path.resolve().parent
        return cls(
            str(path),
            ids,
            [row["label"] for row in rows],
            {m: [_item(path, here, n, m, row) for n, row in enumerate(rows, start=2)] for m in modalities},
            _split(path, rows) if "split" in names else None,
            [_whole(path, n, row["fold"]) for n, row in enumerate(rows, start=2)] if "fold" in names else None,
            [row["group"] for row in rows] if "group" in names else None,
        )

    def write(self, path: str | Path) -> None:
        """Write the CSV file; paths below its folder become relative to it."""
        path = Path(path)
        here = path.resolve().parent
        timed = [f"{t}{m}" for m in self.modalities for t in _TIMES if _has(self.modalities[m], t)]
        facts = [f for f in ("split", "fold", "group") if getattr(self, f) is not None]
        with written(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "label", *facts, *self.modalities, *timed])
            for row in range(len(self)):
                line: list[object] = [self.ids[row], self.labels[row], *(getattr(self, f)[row] for f in facts)]
                for name, items in self.modalities.items():
                    item = items[row]
                    text = kind_of(name) == "text"
                    line.append("" if item is None else item.content if text else _relative(item.content, here))
                for name in timed:
                    side, _, modality = name.partition("_")
                    line.append(getattr(self.modalities[modality][row], side, None))
                writer.writerow(["" if v is None else cell(v) if isinstance(v, str) else v for v in line])

    def digest(self, modalities: Sequence[str]) -> str:
        """SHA-256 of the samples and of the named modalities' items."""
        facts = [self.ids, self.labels, self.split, self.fold, self.group, self.class_names]
        parts = repr((facts, [(m, self.modalities[m]) for m in modalities]))
        return hashlib.sha256(parts.encode()).hexdigest()

    def items(self, modality: str) -> list[Item | None]:
        """Items of a modality.

        Raises:
            DataError: there is no such modality, or a file that it names is not there.
        """
        if modality not in self.modalities:
            raise DataError(f"{self.name} has no modality {modality!r}; it has {', '.join(self.modalities)}")
        items = self.modalities[modality]
        if all(item is None for item in items):
            raise DataError(f"{self.name}: modality {modality} is absent in every row; leave it out")
        if kind_of(modality) != "text":
            missing = [item.content for item in items if item is not None and not Path(item.content).is_file()]
            if missing:
                raise DataError(
                    f"{self.name}: {counted(len(missing), 'file')} of modality {modality} are not there, the first "
                    f"is {missing[0]}"
                )
        return items

    def table(self, modalities: dict[str, Modality]) -> FeatureTable:
        """The samples as a table that holds the given modalities."""
        number = {name: n for n, name in enumerate(self.class_names)}
        return FeatureTable(
            self.name,
            modalities,
            np.array([number[label] for label in self.labels], dtype=np.int64),
            self.class_names,
            np.array(self.ids),
            None if self.fold is None else np.array(self.fold, dtype=np.int64),
            None if self.split is None else np.array(self.split),
            None if self.group is None else np.array(self.group),
        )


def _check_unique(path: Path, ids: list[str]) -> None:
    seen: set[str] = set()
    for number, name in enumerate(ids, start=2):
        if name in seen or not name:
            raise DataError(f"{path}, line {number}: id {name!r} is {'there already' if name else 'empty'}")
        seen.add(name)


def _item(path: Path, here: Path, line: int, modality: str, row: dict[str, str]) -> Item | None:
    content = row[modality]
    if not content:
        return None
    if kind_of(modality) != "text":
        content = str(here / content)
    start, end = (_seconds(path, line, f"{side}{modality}", row) for side in _TIMES)
    if end is not None and end <= (start or 0):
        raise DataError(f"{path}, line {line}: {modality} ends at {end:g} s, before it starts")
    return Item(content, start, end)


def _seconds(path: Path, line: int, name: str, row: dict[str, str]) -> float | None:
    text = row.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise DataError(f"{path}, line {line}: {name} is {text!r}; it must be seconds, 0 or more")
    return value


def _whole(path: Path, line: int, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise DataError(f"{path}, line {line}: fold is {text!r}; it must be a whole number") from error


def _split(path: Path, rows: list[dict[str, str]]) -> list[str]:
    for line, row in enumerate(rows, start=2):
        if row["split"] not in ("train", "val", "test"):
            raise DataError(f"{path}, line {line}: split is {row['split']!r}, not train, val or test")
    return [row["split"] for row in rows]


def _has(items: Sequence[Item | None], side: str) -> bool:
    return any(item is not None and getattr(item, side.removesuffix("_")) is not None for item in items)


def _relative(content: str, here: Path) -> str:
    path = os.path.abspath(content)  # noqa: PTH100 - ten times as fast as to resolve thousands of paths
    return Path(path[len(str(here)) + 1 :]).as_posix() if path.startswith(f"{here}{os.sep}") else path
