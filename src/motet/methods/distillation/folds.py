"""Who trains and who tests: published folds, a published split, groups, or random folds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.text import counted
from motet.methods.distillation.table import FeatureTable

RULES = ("fold", "split", "group", "leave-one-group-out", "random", "all")
_TOO_GOOD = "a person or session on both sides makes the result too good"
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fold:
    """Row numbers of one division of the table."""

    name: str
    train: Rows
    test: Rows


def default_rule(table: FeatureTable) -> str:
    """The table's own folds, else its split, else groups, else random folds."""
    for rule in ("fold", "split", "group"):
        if getattr(table, rule) is not None:
            return rule
    return "random"


def folds(table: FeatureTable, rule: str | None = None, count: int = 5, *, validate: bool = False) -> list[Fold]:
    """Divisions of the table.

    Args:
        table: rows to divide.
        rule: ``fold`` and ``split`` follow the columns of the table; ``group`` makes ``count`` folds that keep a group
            together; ``leave-one-group-out`` one fold per group; ``random`` ``count`` folds with equal shares of the
            classes; ``all`` trains on every row and tests none. None is :func:`default_rule`.
        count: number of folds where the rule leaves it open.
        validate: for choosing settings: every fold's test rows are put aside, and a part of its *training* rows (the
            next fold, or one of ``count`` parts by group) is tested instead.

    Raises:
        ConfigError: no such rule, or the table has no such column.
        DataError: a group is on both sides of a fold, a side is empty, or a class is never trained.
    """
    rule = rule or default_rule(table)
    if rule not in RULES:
        raise ConfigError(f"there is no rule {rule!r}; choose one of {', '.join(RULES)}")
    found = _divide(table, rule, count)
    if validate:
        found = _held_out(table, rule, count, found)
    checked = [(one.name, _check(table, one, rule)) for one in found]
    _warn_of_groups([(name, said) for name, said in checked if said], f"{table.name}, rule {rule}")
    return found


def _divide(table: FeatureTable, rule: str, count: int) -> list[Fold]:
    rows = np.arange(len(table))
    if rule == "all":
        return [Fold("all", rows, rows[:0])]
    if rule == "random":
        return _by_number(_dealt(table.labels, count), "fold")
    column = getattr(table, "group" if rule == "leave-one-group-out" else rule)
    if column is None:
        raise ConfigError(f"{table.name} has no column for the rule {rule}; choose another by --split")
    if rule == "split":
        other = np.flatnonzero(~np.isin(column, ("train", "test", "val")))
        if len(other):
            found = f"split of {table.where(int(other[0]))} is {str(column[other[0]])!r}"
            raise DataError(f"{table.name}: {found}, not train, val or test")
        return [Fold("test", np.flatnonzero(column == "train"), np.flatnonzero(column == "test"))]
    if rule == "fold":
        return _by_number(column, "fold")
    names, number = np.unique(column, return_inverse=True)
    if rule == "leave-one-group-out":
        return [Fold(f"group {name}", rows[number != n], rows[number == n]) for n, name in enumerate(names)]
    return _by_number(_dealt_groups(number, count, table.name)[number], "fold")


def _by_number(number: npt.NDArray[np.int64], word: str) -> list[Fold]:
    rows = np.arange(len(number))
    return [Fold(f"{word} {n}", rows[number != n], rows[number == n]) for n in np.unique(number)]


def _dealt(labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Every class dealt out to the folds like cards; always the same way."""
    if count < 2:
        raise ConfigError(f"{counted(count, 'fold')}; there must be at least 2")
    order = np.argsort(np.random.default_rng(0).permutation(len(labels)), kind="stable")
    dealt = np.empty(len(labels), dtype=np.int64)
    by_class = order[np.argsort(labels[order], kind="stable")]
    dealt[by_class] = np.arange(len(labels)) % count
    return dealt


def _dealt_groups(number: npt.NDArray[np.int64], count: int, table: str) -> npt.NDArray[np.int64]:
    """Fold of every group: the largest first, each to the fold with the fewest rows."""
    sizes = np.bincount(number)
    if len(sizes) < 2 or count < 2:
        groups = f"{len(sizes)} group{'s' * (len(sizes) != 1)}"
        raise ConfigError(
            f"{table}: {groups} cannot make {counted(count, 'fold')}; --split random divides without regard to groups"
        )
    load, home = np.zeros(min(count, len(sizes))), np.empty(len(sizes), dtype=np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        home[group] = load.argmin()
        load[home[group]] += sizes[group]
    return home


def _held_out(table: FeatureTable, rule: str, count: int, found: list[Fold]) -> list[Fold]:
    inner: list[Fold] = []
    for place, one in enumerate(found):
        if len(found) > 1:
            following = found[(place + 1) % len(found)]
            test = np.setdiff1d(following.test, one.test)
            inner.append(Fold(one.name, np.setdiff1d(one.train, test), test))
            continue
        part = table.rows(one.train)
        inner_rule = "group" if table.group is not None else "random"
        parts = _divide(part, inner_rule, count)
        inner += [Fold(f"{one.name}, part {n}", one.train[p.train], one.train[p.test]) for n, p in enumerate(parts)]
    return inner


def _check(table: FeatureTable, fold: Fold, rule: str) -> str | None:
    """What is to be warned of: where random folds put a group on both sides."""
    on_both = None
    where = f"{table.name}, rule {rule}, {fold.name}"
    if not len(fold.train) or (not len(fold.test) and rule != "all"):
        raise DataError(f"{where}: no row {'trains' if not len(fold.train) else 'tests'}")
    if table.group is not None:
        both = np.intersect1d(table.group[fold.train], table.group[fold.test])
        if len(both):
            row = int(fold.test[np.flatnonzero(table.group[fold.test] == both[0])[0]])
            on_both = f"group {both[0]} is in training and in test, such as {table.where(row)}"
            if rule != "random":  # there it was asked for
                raise DataError(f"{where}: {on_both}; {_TOO_GOOD}")
    missing = np.setdiff1d(table.labels[fold.test], table.labels[fold.train])
    if len(missing):
        count = int((table.labels == missing[0]).sum())
        side = f"its {counted(count, 'row')} are all on one side; divide by another --split"
        raise DataError(
            f"{where}: class {table.class_names[missing[0]]} is tested but never trained: "
            f"{'it has 1 row; collect more' if count == 1 else side}, or leave the class out (rows labelled '' are)"
        )
    return on_both


def _warn_of_groups(found: list[tuple[str, str]], where: str) -> None:
    """One warning for all folds, by their names and what is wrong with each."""
    if not found:
        return
    others = ", ".join(name for name, _ in found[1:])
    also = f" (the same in {others})" if others else ""
    warnings.warn(f"{where}, {found[0][0]}: {found[0][1]}{also}; {_TOO_GOOD}", MotetWarning, stacklevel=3)
