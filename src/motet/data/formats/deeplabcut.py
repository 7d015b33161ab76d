"""DeepLabCut: body parts of animals or people in a video, as tables (``.csv``) or the same in HDF5, one file a clip.

Columns have a header of several rows: scorer, individuals (in projects with several animals), bodyparts, coords
(``x, y, likelihood``, or ``x, y, z`` of a triangulated project). Two coordinates are pixels. The first column is the
number of the frame, in labelled data the path of its picture (in one or three columns). Parts that belong to no
individual are further joints of the first one. Of a raw and a filtered table the filtered one is read, of a table and
an HDF5 file of one name the table. The header inside an HDF5 file is a pickle; it is read by an unpickler that knows
plain data only.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import counted
from motet.data.formats import _pickle, _time
from motet.data.formats._files import bare, read_text, stem_of
from motet.data.formats._h5 import Item, read_h5, texts
from motet.data.formats._layout import MOST_JOINTS
from motet.data.formats._people import Identities
from motet.data.formats._points import PointFormat, PointOptions, Recording
from motet.data.formats._sheet import ABSENT

_LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_SCORER = re.compile(r"DLC_.*$")  # what DeepLabCut adds to the video's name
_FILTERED = re.compile(r"(?i)_filtered(?=\.)")
UNSURE, SHARE = 0.6, 0.01
"""likelihood below which DeepLabCut itself takes a body part for a guess (its ``pcutoff``), and the share of guesses
from which they are spoken of"""
Column = tuple[str, str, str]
"""Individual ("" if there is one), body part, coordinate."""


@dataclass(frozen=True)
class Options(PointOptions):
    """Options of the ``deeplabcut`` format.

    Attributes:
        likelihood: below it a body part is absent; by default none is, and files with many unsure ones are named.
        unit: of three coordinates; two are always pixels.
        identities: individuals as they are (``given``), or ``joined`` where one begins where another ended.
    """

    likelihood: float | None = None
    unit: str = "as recorded"
    identities: Identities = "given"


@dataclass(frozen=True)
class Table:
    """Columns, the number of each row's frame, and (rows, columns) values; NaN where a cell is empty."""

    columns: list[Column]
    frames: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


def _frame_number(cells: Sequence[str], row: int) -> float:
    """Number of a frame: the cell's, or the last digits of a picture's name, else the row's."""
    text = next((c for c in reversed(cells) if c.strip()), "")
    try:
        found = float(text)
    except ValueError:
        digits = re.findall(r"\d+", Path(text).stem)
        found = float(digits[-1][-15:]) if digits else float(row)
    return found if np.isfinite(found) else float(row)


def _csv_table(path: Path) -> Table:
    try:
        rows = list(csv.reader(io.StringIO(read_text(path))))
    except csv.Error as error:
        raise DataError(f"{path} is no table ({error})") from error
    header: dict[str, list[str]] = {}
    for number, row in enumerate(rows):
        if not row or row[0] not in _LEVELS:
            break
        if row[0] in header:
            raise DataError(f"{path}, line {number + 1}: a second header line {row[0]}; are two tables joined here?")
        header[row[0]] = row
    if "bodyparts" not in header or "coords" not in header:
        raise DataError(f"{path}: its first lines are not DeepLabCut's header ({', '.join(_LEVELS)})")
    width = len(header["coords"])
    if any(len(level) != width for level in header.values()):
        raise DataError(f"{path}: the lines of its header have different lengths")
    # labelled data have the picture's path in three columns, of which the header leaves two empty
    index = next((i for i, cell in enumerate(header["coords"]) if i and cell), 1)
    if (width - index) // 2 > MOST_JOINTS * 20:
        raise DataError(f"{path}: {counted(width, 'column')}, more than any project has")
    frames, values = [], []
    for number, row in enumerate(rows[len(header) :], len(header) + 1):
        if not any(row):
            continue
        if len(row) != width:
            raise DataError(
                f"{path}, line {number}: {counted(len(row), 'cell')} where {width} are due (is it cut off?)"
            )
        try:
            values.append([np.nan if c.strip().lower() in ABSENT else float(c) for c in row[index:]])
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        frames.append(_frame_number(row[:index], number))
    who = header.get("individuals", [""] * width)
    columns = [(w, p, c) for w, p, c in zip(who, header["bodyparts"], header["coords"], strict=True)][index:]
    return Table(columns, np.array(frames), np.array(values).reshape(-1, len(columns)))


def _h5_table(path: Path) -> Table:
    """The table in an HDF5 file of pandas, in its format ``table`` or ``fixed``."""
    items = read_h5(path, ("*/table", "*/axis0*", "*/axis1*", "*/block0_values"))
    table = next((n for n, item in items.items() if n.endswith("/table") and item.values is not None), None)
    if table is not None:
        found = items[table].values
        names = found.dtype.names or ()
        if "values_block_0" not in names:
            raise DataError(f"{path}: its table has no values_block_0; it is no file of DeepLabCut")
        header = _unpickled(items[table.rpartition("/")[0]], path)
        values = np.asarray(found["values_block_0"], dtype=np.float64).reshape(len(found), -1)
        index = found["index"].tolist() if "index" in names else range(len(found))
    else:
        group = next((n.rpartition("/")[0] for n in items if n.endswith("/block0_values")), None)
        if group is None or not isinstance(items[f"{group}/block0_values"].values, np.ndarray):
            known = "; SLEAP writes such files: import it as sleap" if "node_names" in items else ""
            raise DataError(f"{path}: it holds no table of pandas; it is no file of DeepLabCut{known}")
        values = items[f"{group}/block0_values"].values.astype(np.float64)
        header = _levels(items, group)
        index = items[f"{group}/axis1"].values if f"{group}/axis1" in items else None
        index = range(len(values)) if index is None else list(index)
    if not header or any(len(c) not in (3, 4) for c in header) or len(header) != values.shape[1]:
        raise DataError(
            f"{path}: {len(header)} names for {counted(values.shape[1], 'column')}; it is no file of DeepLabCut"
        )
    frames = [_frame_number(texts([i]), row) for row, i in enumerate(index)]
    return Table([(c[1] if len(c) == 4 else "", c[-2], c[-1]) for c in header], np.array(frames), values)


def _unpickled(item: Item, path: Path) -> list[tuple[str, ...]]:
    stated = item.attributes.get("non_index_axes")
    if not isinstance(stated, bytes):
        raise DataError(f"{path}: its table does not say the names of its columns")
    try:
        [(_, names)] = _pickle.load(io.BytesIO(stated))
        return [tuple(str(t) for t in name) for name in names]
    except Exception as error:  # a damaged pickle may raise anything, and nothing here has side effects
        raise DataError(f"{path}: the names of its columns cannot be read ({error!s:.80})") from error


def _levels(items: Mapping[str, Item], group: str) -> list[tuple[str, ...]]:
    """Names of columns of the format ``fixed``: each level's distinct texts and the places of them."""
    levels = []
    for number in range(4):
        values, places = (items.get(f"{group}/axis0_{kind}{number}") for kind in ("level", "label"))
        if values is None or places is None or not isinstance(places.values, np.ndarray):
            break
        known = texts(values.values)
        levels.append([known[i] if 0 <= i < len(known) else "" for i in places.values.ravel().tolist()])
    return list(zip(*levels, strict=False))


def _read(path: Path, options: Options) -> list[Recording]:
    least = 0.0 if options.likelihood is None else options.likelihood
    if not 0 <= least <= 1:
        raise ConfigError(f"option likelihood is {options.likelihood}; it must be between 0 and 1")
    hdf5 = _is_hdf5(path)
    table = _h5_table(path) if hdf5 else _csv_table(path)
    place = {column: i for i, column in enumerate(table.columns)}
    if not len(table.values) or len(place) < len(table.columns):
        raise DataError(f"{path}: it has no frames, or two columns of one name")
    axes = [a for a in "xyz" if any(c[2] == a for c in table.columns)]
    individuals = [i for i in dict.fromkeys(c[0] for c in table.columns) if i != "single"]
    parts = list(dict.fromkeys(part for who, part, _ in table.columns if who != "single"))
    unique = [p for p in dict.fromkeys(part for who, part, _ in table.columns if who == "single") if p not in parts]
    if not individuals:
        individuals, parts, unique = ["single"], unique, []
    if not parts or axes not in (["x", "y"], ["x", "y", "z"]):
        raise DataError(f"{path}: its columns have no coords x and y")
    wanted = [(i, who, j, part) for i, who in enumerate(individuals) for j, part in enumerate(parts)]
    wanted += [(0, "single", len(parts) + j, part) for j, part in enumerate(unique)]
    timing = _time.of_numbers(table.frames, path)
    points = np.zeros((timing.count, len(individuals), len(parts) + len(unique), len(axes)))
    likelihood = np.zeros(points.shape[:3])
    for i, who, j, part in wanted:
        lacking = [a for a in axes if (who, part, a) not in place]
        if lacking:
            raise DataError(f"{path}: there is no column {who} {part} {lacking[0]}".replace("  ", " "))
        columns = [place[who, part, a] for a in axes]
        found = table.values[:, columns]
        stated = place.get((who, part, "likelihood"))
        sure = np.ones(len(found)) if stated is None else table.values[:, stated]
        seen = np.isfinite(found).all(axis=1) & np.isfinite(sure) & (sure > 0) & (sure >= least)
        points[timing.place, i, j] = np.where(seen[:, None], found, 0)
        likelihood[timing.place, i, j] = np.where(seen, sure, 0)
    if not points.any():
        raise DataError(f"{path}: no body part was seen with a likelihood of at least {least:g}")
    if options.likelihood is None and (likelihood[likelihood > 0] < UNSURE).mean() >= SHARE:
        warnings.warn(
            f"{path}: body parts of a likelihood below {UNSURE} are guesses of DeepLabCut, and {SHARE:.0%} or more of "
            f"them are; they are kept where it put them: --likelihood {UNSURE} leaves them out (0 keeps them unsaid)",
            MotetWarning,
            stacklevel=2,
        )
    named = ", ".join(i for i in individuals if i)
    return [Recording((*parts, *unique), points, likelihood, columns={"individuals": named})]


def _choose(files: Sequence[Path]) -> list[Path]:
    """The files without raw tables that a filtered one goes with, and without HDF5 files that a table goes with."""
    stems = {p.with_name(stem_of(p.name)) for p in files if not _is_hdf5(p)}
    kept = [p for p in files if not _is_hdf5(p) or p.with_name(stem_of(p.name)) not in stems]
    filtered = {p.with_name(_FILTERED.sub("", p.name)) for p in kept if _FILTERED.search(p.name)}
    left = [p for p in kept if p not in filtered]
    if len(left) < len(kept):
        warnings.warn(
            f"{counted(len(kept) - len(left), 'raw file')} left out, because a filtered one lies next to each (e.g. "
            f"{next(iter(filtered)).name})",
            MotetNote,
            stacklevel=4,
        )
    return left


def _is_hdf5(path: Path) -> bool:
    return bare(path).suffix.lower() in (".h5", ".hdf5")


def _stem(name: str) -> str:
    return _SCORER.sub("", stem_of(_FILTERED.sub("", name)))


FORMAT = PointFormat(
    files=r".+\.(csv|h5|hdf5)",
    what="tables of DeepLabCut (*.csv; write them with deeplabcut.analyze_videos_converth5_to_csv) or *.h5",
    read=_read,
    prefix="deeplabcut",
    measure=lambda channels, options: "px" if channels == 2 else options.unit,
    confidence=True,
    choose=_choose,
    stem=_stem,
).format("DeepLabCut tables (.csv) and their HDF5 files (.h5)", Options)
