"""What a distillation was trained on: digests of every column of a table, and of the archives behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from motet.core.errors import RunError
from motet.core.options import Natural
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.engine import identity as archives
from motet.methods.distillation.result import PlanFields
from motet.methods.distillation.table import FeatureTable

_CALLED = {"label": "labels", "group": "groups", "ids": "names of rows"}


class SourceForm(TypedDict):
    """An archive of which a table is made."""

    hash: str
    columns: dict[str, str]


class TableIdentity(TypedDict):
    """:func:`identity`."""

    rows: Natural
    columns: dict[str, str]
    archives: dict[str, SourceForm]


class TablePlan(PlanFields):
    """What is trained on which tables or archives."""

    tables: list[str]


class DistillConfig(TypedDict):
    """config.json of a distillation from a table."""

    settings: dict[str, Any]
    plan: TablePlan
    table: NotRequired[TableIdentity | None]


def identity(table: FeatureTable, names: Sequence[str], opened: Sequence[MotionArchive] = ()) -> dict[str, Any]:
    """What config.json says of a table.

    Args:
        table: as it was opened.
        names: modalities in use.
        opened: archives that it was made of. Their frames are preprocessed, which another machine may do a little
            otherwise, so digests are those of the archives.
    """
    columns = {"label": _digest(np.array([*table.class_names, ""])[table.labels]), "ids": _digest(table.ids)}
    for what in ("fold", "split", "group"):
        values = getattr(table, what)
        columns |= {} if values is None else {what: _digest(values)}
    for name in names:
        modality = table.modalities[name]
        parts: list[npt.NDArray[Any]] = [modality.available]
        parts += [] if modality.lengths is None else [modality.lengths]
        parts += [modality.values] if modality.layout is None else []
        columns[name] = _digest(*parts)
    sources = {str(a.path): {"hash": a.hash, "columns": archives.columns(a)} for a in opened}
    return {"rows": len(table), "columns": columns, "archives": sources}


def check_unchanged(run: Path, stored: Mapping[str, Any] | None, found: Mapping[str, Any], name: str) -> None:
    """Refuse to continue on other data; a run of an earlier release did not record them.

    Raises:
        RunError: says what has changed.
    """
    if stored is None:
        return
    before, now = stored["columns"], found["columns"]
    differ = [_CALLED.get(n, n) for n in dict.fromkeys((*before, *now)) if before.get(n) != now.get(n)]
    for (path, was), entry in zip(stored["archives"].items(), found["archives"].values(), strict=False):
        columns = [n for n in was["columns"] if was["columns"][n] != entry["columns"].get(n)]
        differ += [f"the frames of {path}"] if was["hash"] != entry["hash"] else []
        differ += [f"{', '.join(columns)} of {path}"] if columns else []
    if differ or stored["rows"] != found["rows"]:
        said = ", ".join(differ) or f"{counted(stored['rows'], 'row')} then, {found['rows']} now"
        raise RunError(
            f"{name} is not the table that {run} was trained on any more ({said} changed); restore it, or start again "
            "with another --out"
        )


def _digest(*columns: npt.NDArray[Any]) -> str:
    found = hashlib.blake2b(digest_size=8)
    for column in columns:
        found.update(f"{column.shape} {column.dtype.kind}".encode())
        text = column.dtype.kind == "U"  # its width in memory depends on the longest entry of all rows
        found.update(repr(column.tolist()).encode() if text else np.ascontiguousarray(column).tobytes())
    return found.hexdigest()
