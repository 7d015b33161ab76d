"""Tables of precomputed features: one array per modality, one row per sample."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError, MotetWarning
from motet.core.text import counted
from motet.methods.distillation.layers import module_name
from motet.methods.distillation.replicated import Layout

Array = npt.NDArray[Any]

_COLUMNS = ("id", "label", "fold", "split", "group", "class_names")
_PREFIXES = ("available_", "mask_", "length_")
_SHOWN = 5  # rows in a message
_PLAIN = {  # columns that are no numbers, and how to write them
    "label": "texts, label=np.array([str(v) for v in labels]), or as integers",
    **{name: f"texts, {name}=np.array([str(v) for v in values])" for name in ("id", "group", "split", "class_names")},
    "fold": "integers, fold=np.array(values, dtype=int)",
}
_LARGEST = 1e30  # squares of larger numbers overflow float32


@dataclass(frozen=True, eq=False)
class Modality:
    """What one sensor gives.

    Attributes:
        values: (N, D) vectors or (N, T, D) sequences, float32; valid frames first, zeros behind them and in rows
            where the modality is absent.
        lengths: (N,) number of valid frames; None for vectors.
        available: (N,) bool.
        layout: what the features of a frame are, if they come from a motion archive.
    """

    values: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64] | None
    available: npt.NDArray[np.bool_]
    layout: Layout | None = None

    @property
    def size(self) -> int:
        """D."""
        return int(self.values.shape[-1])


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Samples seen by several modalities.

    Attributes:
        name: what messages call the table.
        modalities: by name.
        labels: (N,) classes from 0; -1 for unknown, in tables that were opened for use.
        class_names: of all classes.
        ids: (N,) names of the rows; their numbers where the table has no ``id``.
        named: whether the table has an ``id``.
        places: (N,) row numbers of the table as it is stored; None where all rows are still there.
        fold: (N,) number of the fold in which a row is tested, or None.
        split: (N,) "train" or "test", or None.
        group: (N,) who or what must not be on both sides (a person, a session), or None.
    """

    name: str
    modalities: dict[str, Modality]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    ids: npt.NDArray[np.str_]
    fold: npt.NDArray[np.int64] | None = None
    split: npt.NDArray[np.str_] | None = None
    group: npt.NDArray[np.str_] | None = None
    named: bool = True
    places: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def open(cls, *paths: str | Path, labelled: bool = True) -> FeatureTable:
        """Read ``.npz`` files; several are joined by ``id``.

        Keys: ``label`` (N,) integers or texts, in one table at least; every modality an array (N, D) or (N, T, D) under
        its own name; optional ``id``, ``fold``, ``split`` (train, test), ``group``, ``class_names``,
        ``available_<modality>`` (N,), ``mask_<modality>`` (N, T) or ``length_<modality>`` (N,) for padded sequences. A
        label that is an empty text is unknown.

        Args:
            paths: of the files.
            labelled: rows of unknown class are left out, with a warning; False keeps them, with the label -1, for a
                student in use.

        Raises:
            DataError: not such a table; a NaN; rows that do not fit. The message names table, modality and row.
        """
        if not paths:
            raise DataError("no table was named")
        table = join(*(_read(Path(path), labelled) for path in paths))
        return with_labels(table) if labelled else table

    def rows(self, index: npt.NDArray[np.int64]) -> FeatureTable:
        """The table of some rows, in the given order."""

        def take(column: Any) -> Any:
            return None if column is None else column[index]

        return replace(
            self,
            modalities={
                name: Modality(m.values[index], take(m.lengths), m.available[index], m.layout)
                for name, m in self.modalities.items()
            },
            labels=self.labels[index],
            ids=self.ids[index],
            fold=take(self.fold),
            split=take(self.split),
            group=take(self.group),
            places=np.asarray(index) if self.places is None else self.places[index],
        )

    def where(self, row: int) -> str:
        """What messages call a row: its number in the stored table, and its name if the table names rows."""
        number = row if self.places is None else int(self.places[row])
        return f"row {number} (id {self.ids[row]})" if self.named else f"row {number}"

    def modality(self, name: str) -> Modality:
        """One modality.

        Raises:
            DataError: there is none of that name, or no row has it.
        """
        if name not in self.modalities:
            raise DataError(f"{self.name} has no modality {name!r}; it has {', '.join(self.modalities)}")
        found = self.modalities[name]
        if not found.available.any():
            raise DataError(f"{self.name}: modality {name} is absent in every row; leave it out")
        return found


def _read(path: Path, labelled: bool) -> FeatureTable:
    columns = _load(path)
    count = _rows(columns)
    labels, names = np.full(count, -1, dtype=np.int64), tuple[str, ...]()
    if "label" in columns:
        given = columns["label"]
        if not labelled and given.dtype.kind in "if":
            given = np.where(given < 0, -1, given)
        labels, names = _classes(path, given, columns.get("class_names"), least=0 if labelled else -1)
    ids = _ids(path, columns["id"], count) if "id" in columns else None
    side = {name for name in columns if name in _COLUMNS or name.startswith(_PREFIXES)}
    modalities = {name: _modality(path, name, columns, count, ids) for name in columns if name not in side}
    if not modalities:
        raise DataError(f"{path} has no modality: no array of features next to {', '.join(columns) or 'nothing'}")
    for name in side - set(_COLUMNS):
        prefix = next(p for p in _PREFIXES if name.startswith(p))
        if name.removeprefix(prefix) not in modalities:
            raise DataError(f"{path}: {name} speaks of a modality {name.removeprefix(prefix)!r} that is not there")
    return FeatureTable(
        str(path),
        modalities,
        labels,
        names,
        np.arange(count).astype(np.str_) if ids is None else ids,
        _whole(path, "fold", columns, count),
        _text(path, "split", columns, count),
        _text(path, "group", columns, count),
        named=ids is not None,
    )


def _rows(columns: dict[str, Array]) -> int:
    """Number of rows, as the label says, else the names of the rows, else the first array with more than one axis."""
    columns_found = [columns[name] for name in ("label", "id") if name in columns]
    columns_found += [column for column in columns.values() if column.ndim > 1]
    return len(columns_found[0]) if columns_found and columns_found[0].ndim else 0


def with_labels(table: FeatureTable) -> FeatureTable:
    """The rows whose class is known; a warning says how many are left out.

    Raises:
        DataError: it is known of none.
    """
    known = table.labels >= 0
    if known.all():
        return table
    if not known.any():
        raise DataError(
            f"{table.name}: no row has a label (there is no array `label` with classes in it, or no clip has a class); "
            f"distillation learns from labelled rows. Modalities here: {', '.join(table.modalities)}"
        )
    count = int((~known).sum())
    said = f"{table.name}: {count:,} of {counted(len(table), 'row')} have no label and are left out"
    warnings.warn(said, MotetWarning, stacklevel=3)
    return table.rows(np.flatnonzero(known))


def _ids(path: Path, column: Array, count: int) -> npt.NDArray[np.str_]:
    _check_length(path, "id", column, count)
    if column.ndim != 1:
        raise DataError(f"{path}: id has shape {column.shape}; it must be one name per row")
    ids = np.array([str(i) for i in column])
    names, counts = np.unique(ids, return_counts=True)
    twice = names[counts > 1]
    if len(twice):
        rows = np.flatnonzero(ids == twice[0])
        shown = ", ".join(map(str, rows[:_SHOWN])) + (f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")
        raise DataError(
            f"{path}: id {str(twice[0])!r} stands in rows {shown}"
            + (f"; {counted(len(twice), 'id')} stand more than once" if len(twice) > 1 else "")
            + "; give every row an id of its own"
        )
    return ids


def _load(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise DataError(f"there is no table {path}")
    with path.open("rb") as file:
        start = file.read(6)
    if not zipfile.is_zipfile(path):
        what = "one array without a name" if start == b"\x93NUMPY" else "something else, or it is cut off"
        raise DataError(f"{path} is not a table of arrays (.npz): it holds {what}; numpy.savez writes a table")
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: _column(path, name, content) for name in content.files}
    except DataError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a table of arrays (.npz): {error}") from error


def _column(path: Path, name: str, content: Any) -> Array:
    try:
        column: Array = content[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise DataError(
            f"{path}: {name} is an array of Python objects (dtype object), which is never loaded, as it could hold "
            f"code; save {name} as {_PLAIN.get(name, 'an array of numbers')}"
        ) from error
    return column


def _check_length(path: Path, name: str, column: Array, count: int) -> None:
    if column.shape[:1] != (count,):
        raise DataError(f"{path}: {name} has shape {column.shape}, but the table has {counted(count, 'row')}")


def _classes(
    path: Path, labels: Array, names: Array | None, *, least: int
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Classes from 0 and their names; -1 is an empty text, or a number -1 where ``least`` allows it."""
    if not labels.size:
        raise DataError(f"{path} holds no rows")
    if labels.ndim != 1:
        raise DataError(f"{path}: label has shape {labels.shape}; it must be one class per row")
    if labels.dtype.kind in "US":
        texts, numbers = np.unique(labels.astype(np.str_), return_inverse=True)
        unknown = int(len(texts) > 0 and not texts[0])  # the empty text is the first
        return numbers.astype(np.int64) - unknown, tuple(texts[unknown:].tolist())
    if labels.dtype.kind not in "iubf":
        raise DataError(f"{path}: label is of type {labels.dtype}; it must be integers or texts")
    whole = np.isfinite(labels) & (labels == np.round(labels))
    if not whole.all():
        row = int(np.argmin(whole))
        raise DataError(f"{path}: row {row} has the label {labels[row]}; a label must be an integer or a text")
    numbers = labels.astype(np.int64)
    if numbers.min() < least:
        raise DataError(f"{path}: row {int(numbers.argmin())} has the label {numbers.min()}; every row needs a class")
    if names is not None:
        if numbers.max() >= len(names):
            raise DataError(f"{path}: label {numbers.max()} has no name; class_names has {len(names)}")
        return numbers, tuple(str(n) for n in names)
    present, numbers = np.unique(numbers, return_inverse=True)
    unknown = int(present[0] < 0)
    return numbers.astype(np.int64) - unknown, tuple(str(n) for n in present[unknown:])


def _whole(path: Path, name: str, columns: dict[str, Array], count: int) -> npt.NDArray[np.int64] | None:
    if name not in columns:
        return None
    _check_length(path, name, columns[name], count)
    if columns[name].ndim != 1 or columns[name].dtype.kind not in "iu":
        raise DataError(f"{path}: {name} must be one integer per row, not {columns[name].dtype} {columns[name].shape}")
    return columns[name].astype(np.int64)


def _text(path: Path, name: str, columns: dict[str, Array], count: int) -> npt.NDArray[np.str_] | None:
    if name not in columns:
        return None
    _check_length(path, name, columns[name], count)
    return np.array([str(v) for v in columns[name]])


def _modality(
    path: Path, name: str, columns: dict[str, Array], count: int, ids: npt.NDArray[np.str_] | None
) -> Modality:
    values = columns[name]
    _check_length(path, name, values, count)
    if values.ndim not in (2, 3) or values.dtype.kind not in "fiub" or 0 in values.shape[1:]:
        raise DataError(
            f"{path}: {name} is {values.dtype} of shape {values.shape}; a modality is numbers (N, D) or (N, T, D)"
        )
    values = values.astype(np.float32)
    available = np.ones(count, dtype=np.bool_)
    if f"available_{name}" in columns:
        flag = columns[f"available_{name}"]
        if flag.shape != (count,):
            raise DataError(f"{path}: available_{name} has shape {flag.shape}; it must be one flag per row")
        wrong = np.flatnonzero(~np.isin(flag, (0, 1)))
        if len(wrong):
            raise DataError(f"{path}: available_{name} is {flag[wrong[0]]} in row {wrong[0]}; it must be 0 or 1")
        available = flag.astype(np.bool_)
    lengths = _lengths(path, name, columns, values)
    if lengths is not None:
        values, lengths = _pack(values, lengths)
        available = available & (lengths > 0)
    values[~available] = 0
    bad = np.flatnonzero(~(np.abs(values) < _LARGEST).reshape(count, -1).all(axis=1))
    if len(bad):
        where = f"row {bad[0]}" if ids is None else f"row {bad[0]} (id {ids[bad[0]]})"
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise DataError(
            f"{path}: modality {name} is NaN, infinite or beyond {_LARGEST:g} in {where}{more}; fix it, or mark the "
            f"rows in available_{name}"
        )
    return Modality(values, lengths, available)


def _lengths(path: Path, name: str, columns: dict[str, Array], values: Array) -> Array | None:
    """(N, T) validity of frames; None for vectors."""
    if values.ndim == 2:
        return None
    count, frames = values.shape[:2]
    if f"mask_{name}" in columns:
        mask = columns[f"mask_{name}"]
        if mask.shape != (count, frames):
            raise DataError(f"{path}: mask_{name} has shape {mask.shape}; it must be {(count, frames)}")
        return mask.astype(np.bool_)
    if f"length_{name}" in columns:
        length = columns[f"length_{name}"]
        _check_length(path, f"length_{name}", length, count)
        if length.ndim != 1 or length.dtype.kind not in "iu":
            raise DataError(f"{path}: length_{name} must be one integer per row, not {length.dtype} {length.shape}")
        wrong = (length < 0) | (length > frames)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(f"{path}: length_{name} is {length[row]} in row {row}; it must lie in 0..{frames}")
        return np.arange(frames) < length[:, None]
    return np.ones((count, frames), dtype=np.bool_)


def _pack(values: Array, valid: Array) -> tuple[Array, Array]:
    """Valid frames moved to the front, zeros behind them."""
    if not valid.all():
        order = np.argsort(~valid, axis=1, kind="stable")
        values = np.take_along_axis(np.where(valid[:, :, None], values, 0), order[:, :, None], axis=1)
    return values, valid.sum(axis=1).astype(np.int64)


def join(*tables: FeatureTable) -> FeatureTable:
    """One table of the modalities of several; rows are matched by ``id``, other columns are those of the first.

    A class that one table does not tell is that of the other. Tables of which none has ``id`` are matched row by row.

    Raises:
        DataError: one has ids and another has none, other ids, other labels, or one modality twice; the message names
            both tables.
    """
    return reduce(_join, tables)


def _join(first: FeatureTable, second: FeatureTable) -> FeatureTable:
    """Modalities of two tables of the same samples, in the order of the first."""
    if first.named != second.named:
        without, other = (second, first) if first.named else (first, second)
        raise DataError(
            f"{without.name} has no array `id`, so its rows cannot be matched with those of {other.name}, which have "
            f"ids; give {without.name} the same ids"
        )
    if not first.named and len(first) != len(second):
        raise DataError(
            f"{first.name} has {counted(len(first), 'row')}, {second.name} has {len(second)}, and neither has an "
            f"array `id` that tells which belong together; give both the same ids"
        )
    only = sorted(set(first.ids.tolist()) ^ set(second.ids.tolist()))
    if only:
        where = first.name if only[0] in first.ids else second.name
        raise DataError(
            f"{first.name} and {second.name} are not of the same samples: id {only[0]!r} is only in {where}, "
            f"{len(only)} differ in all; give both tables the same ids and mark what is absent in available_<modality>"
        )
    both = set(first.modalities) & set(second.modalities)
    if both:
        raise DataError(f"{first.name} and {second.name} both have a modality {min(both)!r}; rename one")
    place = {name: row for row, name in enumerate(second.ids.tolist())}
    aligned = second.rows(np.array([place[name] for name in first.ids.tolist()]))
    labels, class_names = _joined_labels(first, aligned)
    return replace(
        first,
        name=f"{first.name} + {second.name}",
        modalities=first.modalities | aligned.modalities,
        labels=labels,
        class_names=class_names,
    )


def _joined_labels(first: FeatureTable, second: FeatureTable) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Classes of the same rows in two tables, where both, one or neither knows them; those of the first come first."""
    class_names = tuple(dict.fromkeys((*first.class_names, *second.class_names)))
    ours, theirs = (renumbered(table.labels, table.class_names, class_names) for table in (first, second))
    differ = np.flatnonzero((ours != theirs) & (ours >= 0) & (theirs >= 0))
    if len(differ):
        row = int(differ[0])
        raise DataError(
            f"labels differ: {first.where(row)} is {class_names[ours[row]]} in {first.name}, "
            f"{class_names[theirs[row]]} in {second.name}"
        )
    if (ours >= 0).all() or (theirs < 0).all():
        return first.labels, first.class_names
    return np.where(ours < 0, theirs, ours), class_names


def renumbered(labels: npt.NDArray[np.int64], ours: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.int64]:
    """Classes (N,) counted by ``ours`` → the same counted by the names ``theirs``; -1 for those that are not there."""
    number = {name: n for n, name in enumerate(theirs)}
    table = np.array([*(number.get(name, -1) for name in ours), -1], dtype=np.int64)
    return table[labels]  # the last is that of -1


def check_numbers(table: FeatureTable, names: Sequence[str]) -> None:
    """Whether modalities hold numbers only; of a table that no reader has looked at.

    Raises:
        DataError: NaN, infinite or too large to be squared; names modality and row.
    """
    for name in names:
        seen = table.modality(name)
        fits = (np.abs(seen.values) < _LARGEST).reshape(len(table), -1).all(axis=1) | ~seen.available
        if not fits.all():
            raise DataError(
                f"{table.name}: modality {name} is NaN, infinite or beyond {_LARGEST:g} in "
                f"{table.where(int(np.argmin(fits)))}; fix it, or mark the row as not available"
            )


def warn_of_constants(table: FeatureTable, names: Sequence[str]) -> None:
    """Warn of modalities that are the same in every row that has them, and so tell nothing."""
    for name in names:
        values = table.modalities[name].values[table.modalities[name].available]
        if (values == values[:1]).all():
            warnings.warn(
                f"{table.name}: modality {name} is the same in every row, so it tells nothing of the class; look at "
                "how the table was made",
                MotetWarning,
                stacklevel=4,
            )


def usable(table: FeatureTable, targets: Sequence[str], auxiliaries: Sequence[str]) -> FeatureTable:
    """The rows that have every target; the modalities must exist and be used once.

    Raises:
        DataError: a modality is missing or named twice, two go by one name (a.b, a/b), or only one class is left.
    """
    names = [*targets, *auxiliaries]
    if not targets:
        raise DataError("no target modality was named")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"modality {twice[0]} is named more than once among targets and auxiliaries")
    last = {module_name(name): name for name in names}
    shared = [(name, other) for name in names if (other := last[module_name(name)]) != name]
    if shared:
        raise DataError(f"{table.name}: {' and '.join(shared[0])} would be stored under one name; rename one of them")
    seen = np.logical_and.reduce([table.modality(name).available for name in targets])
    for name in auxiliaries:
        table.modality(name)
    table = table if seen.all() else table.rows(np.flatnonzero(seen))
    if len(np.unique(table.labels)) < 2:
        raise DataError(f"{table.name}: the rows with {', '.join(targets)} are all of one class; two are needed")
    for name in auxiliaries:
        table.modality(name)
    return table
