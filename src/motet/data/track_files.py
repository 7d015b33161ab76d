"""Labels along time as other programs keep them: tables, ELAN, BORIS, Audacity, one label a frame.

Everything is brought to rows of :mod:`motet.data.tracks` (recording, start, end, label, rater, certainty) and back. A
track of several raters has a tier each in ELAN (``TRACK (RATER)``, its ANNOTATOR is the rater), a column ``Observer``
in BORIS, a file each in Audacity (``RECORDING (RATER).txt``), which has no place for certainty.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.text import counted, file_name, from_cell
from motet.data import frame_labels
from motet.data.clip_table import csv_text
from motet.data.frame_labels import records, too_many
from motet.data.tracks import overlapping, table

Rows = list[dict[str, Any]]
MAX_BYTES = 200_000_000
CERTAINTY = "certainty"
"""of ELAN: ends the names of tiers that hold how certain the annotations of another tier are."""
_COLUMNS = {
    "recording": ("recording", "file", "clip", "name", "observation id", "media file name", "media"),
    "start": ("start", "start (s)", "begin", "onset", "start_s", "start time", "begin time - ss.msec", "from"),
    "end": ("end", "end (s)", "stop", "stop (s)", "offset", "end_s", "end time", "end time - ss.msec", "to"),
    "label": (
        *("label", "behavior", "behaviour", "class", "activity", "annotation", "event"),
        *("text", "value", "state", "repetition", "what"),
    ),
    "rater": ("rater", "annotator", "observer", "coder", "annotated by"),
    "certainty": frame_labels.CERTAIN,
    "status": ("status", "behavior status", "behaviour status"),
    "time": ("time", "time (s)"),
    "kind": ("behavior type", "behaviour type", "type"),
    "subject": ("subject",),
    "category": ("behavioral category", "behavioural category", "category"),
    "modifiers": ("modifiers", "modifier #1"),
    "film": ("media duration (s)", "total length"),
}
APART = ("subject", "category", "modifiers")
"""what tells states apart that one observer of BORIS sees at the same time."""
_WAYS = ((), ("category",), ("label",), ("label", "modifiers"))


def read(
    path: str | Path,
    *,
    form: str | None = None,
    fps: float | None = None,
    frames: int | None = None,
    longest: float | None = None,
) -> dict[str, Rows]:
    """Labels of a file by track; tracks without a name of their own are called ``""``.

    Args:
        path: the file.
        form: one of :data:`FORMS`; by the file's ending and content by default.
        fps: frames per second, for one label a frame.
        frames: of the recording that the file is about: one label a frame must be as many; any number by default.
        longest: seconds of the longest recording: stamps do not last longer, which tells their unit.

    Returns:
        Rows with ``recording`` (the file's stem where it names none), ``start`` and ``end`` in seconds,
        ``label``, ``rater`` and ``certainty`` or None; of BORIS also ``subject``, ``category`` and
        ``modifiers`` where it has them (:func:`apart`), and ``film``, what it says of the film's seconds; of
        stamps ``stamps`` (:mod:`motet.data.frame_labels`). Whether they fit recordings is checked where they
        are saved.

    Raises:
        DataError: names the file, and the line where one is wrong.
        ConfigError: no such form, or a frame rate is missing.
    """
    path = Path(path)
    if form is not None and form not in FORMS:
        raise ConfigError(f"there is no form {form!r} of labels; choose from {', '.join(FORMS)}")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} has more than {MAX_BYTES // 10**6} MB, which no file of labels needs")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    chosen = form or _guess(path, text)
    try:
        if chosen == "frames":
            return _frames(path, text, fps, frames=frames, longest=longest)
        return FORMS[chosen](path, text, fps)
    except csv.Error as error:
        raise DataError(f"{path} is no file of labels ({error})") from error


def _guess(path: Path, text: str) -> str:
    if path.suffix.lower() == ".eaf" or "<ANNOTATION_DOCUMENT" in text[:2000]:
        return "elan"
    first = next((line for line in text.splitlines() if line.strip()), "")
    if re.fullmatch(r"\s*[\d.]+\t[\d.]+(\t.*)?", first):
        return "audacity"
    if _boris_header(text.splitlines()) is not None:
        return "boris"
    return "table" if _names(first) & set(_COLUMNS["start"]) else "frames"


def _names(line: str) -> set[str]:
    return {cell.strip(' "').lower() for cell in re.split(r"[,;\t]", line)}


def _boris_header(lines: Sequence[str], most: int = 60) -> int | None:
    """Where the header of a table of BORIS lies: below the facts about the observation, where it has some."""
    needed = {"observation id", "subject", "status", "behavior type"}
    for at, line in enumerate(lines[:most]):
        names = _names(line)
        if names & {"behavior", "behaviour"} and names & needed:
            return at
    return None


def _table(path: Path, text: str, fps: float | None) -> dict[str, Rows]:
    rows = []
    for line, cells in _records(path, text, need=("start", "end", "label")):
        rows.append(_row(path, line, cells, cells["start"], cells["end"]))
    return {"": rows}


def _boris(path: Path, text: str, fps: float | None) -> dict[str, Rows]:
    """Aggregated events (a start and a stop in each row), or tabular events (START and STOP in rows of their own)."""
    lines = text.splitlines(keepends=True)
    at = _boris_header(lines) or 0
    named = re.search(r'^"?observation id"?[,;\t]\s*"?([^",;\t\r\n]+)', "".join(lines[:at]), re.I | re.M)
    about = {"recording": named[1].strip()} if named else {}
    records = [(n, about | cells) for n, cells in _records(path, "".join(lines[at:]), need=("label",), before=at)]
    # newer versions of BORIS say START and STOP in the column of the behaviour's kind
    kinds = {cells.get("kind", "").upper() for _, cells in records}
    column = "kind" if {"START", "STOP"} & kinds else "status"
    states = [one for one in records if "POINT" not in (one[1].get(c, "").upper() for c in ("kind", "status"))]
    points = len(records) - len(states)
    if points and not states:
        raise DataError(
            f"{path} has POINT events only, which last no time; make them state events, or write their ends"
        )
    if points:
        left = f"{path}: {counted(points, 'POINT event')} left out, for points last no time"
        warnings.warn(left, MotetWarning, stacklevel=2)
    if states and column in states[0][1]:
        return {"": _started(path, states, column)}
    if states and not {"start", "end"} <= set(states[0][1]):
        raise DataError(f"{path} has no columns Start (s) and Stop (s), and none that says START and STOP")
    return {"": [_state(path, n, cells, cells["start"], cells["end"]) for n, cells in states]}


def _state(path: Path, line: int, cells: Mapping[str, str], start: str, end: str) -> dict[str, Any]:
    return _row(path, line, cells, start, end) | {name: cells[name] for name in (*APART, "film") if cells.get(name)}


def apart(rows: Rows, frame: float, seen: Collection[str] = ()) -> tuple[dict[str, Rows], tuple[str, ...]]:
    """States of BORIS in tracks of which none overlaps itself: one, or one for each subject, category, behaviour …

    Args:
        rows: of :func:`read`.
        frame: seconds of a frame.
        seen: who the recordings show; subjects of these names have tracks of their own.

    Returns:
        Rows by what tells their track apart, ``""`` where one is enough or nothing helps; and by what they were parted.
    """
    subjects = {row.get("subject") for row in rows}
    known = not subjects.isdisjoint(seen)
    several = ("subject",) * (known or len(subjects) > 1)
    for way in (*[()] * (not known), *((*several, *way) for way in _WAYS)):
        if not all(any(row.get(name) for row in rows) for name in way):
            continue
        found: dict[str, Rows] = {}
        for row in rows:
            name = " ".join(filter(None, (row.get(key) or "" for key in way)))
            found.setdefault(re.sub(r"[^\w .+-]", "_", name) or "others", []).append(row)
        if not any(overlapping(table(own), frame) for own in found.values()):
            return (found, way) if way else ({"": rows}, way)
    return {"": rows}, ()


def _started(path: Path, records: Sequence[tuple[int, dict[str, str]]], column: str) -> Rows:
    """Intervals of events that say START and STOP in a column."""
    rows: Rows = []
    running: dict[tuple[str, ...], tuple[int, dict[str, str]]] = {}
    for line, cells in records:
        key = tuple(cells.get(name, "") for name in ("recording", "rater", "label", "subject", "modifiers"))
        status = cells[column].upper()
        if status == "START":
            if key in running:
                raise DataError(
                    f"{path}, line {line}: {cells['label']!r} starts again and has not stopped since line "
                    f"{running[key][0]}; add its STOP"
                )
            running[key] = line, cells
        elif status == "STOP":
            same = next((other for other in running if other[:4] == key[:4]), None) if key not in running else key
            if same is None:
                raise DataError(f"{path}, line {line}: {cells['label']!r} stops without having started")
            begun = running.pop(same)[1]
            rows.append(_state(path, line, begun | cells, begun.get("time", ""), cells.get("time", "")))
    if running:
        line, cells = next(iter(running.values()))
        raise DataError(f"{path}, line {line}: {cells['label']!r} starts and never stops; add its STOP")
    return rows


def _audacity(path: Path, text: str, fps: float | None) -> dict[str, Rows]:
    rows = []
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip() or line.startswith("\\"):  # frequencies of spectral labels
            continue
        cells = line.rstrip("\n").split("\t")
        if len(cells) < 3:
            raise DataError(f"{path}, line {number}: {line[:60]!r} is not start, end and label with tabs between")
        rows.append(_row(path, number, {"label": cells[2]}, cells[0], cells[1]))
    return {"": rows}


def _frames(path: Path, text: str, fps: float | None, **known: Any) -> dict[str, Rows]:
    return frame_labels.read(path, text, fps, titles=_COLUMNS["label"], **known)


def _elan(path: Path, text: str, fps: float | None) -> dict[str, Rows]:
    """ELAN's .eaf: time-aligned annotations of every tier."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{path} declares a document type, which ELAN does not write; it is not read")
    try:
        root = ET.fromstring(text)
        slots = {s.attrib["TIME_SLOT_ID"]: s.attrib.get("TIME_VALUE") for s in root.iter("TIME_SLOT")}
        certain = {
            one.attrib["ANNOTATION_REF"]: float(text)
            for tier in root.iter("TIER")
            if tier.attrib["TIER_ID"].endswith(f" {CERTAINTY}")
            for one in tier.iter("REF_ANNOTATION")
            if re.fullmatch(r"0|1|[01]?\.\d+", text := one.findtext("ANNOTATION_VALUE") or "")
        }
        found: dict[str, Rows] = {}
        for tier in root.iter("TIER"):
            rater = tier.attrib.get("ANNOTATOR", "").strip() or None
            for one in tier.iter("ALIGNABLE_ANNOTATION"):
                times = [slots[one.attrib[f"TIME_SLOT_REF{n}"]] for n in (1, 2)]
                label = (one.findtext("ANNOTATION_VALUE") or "").strip()
                if None in times or not label:
                    continue  # not aligned in time, or left empty
                start, end = (int(t) / 1000 for t in times if t is not None)
                row = {"recording": path.stem, "start": start, "end": end, "label": label, "rater": rater}
                row["certainty"] = certain.get(one.attrib["ANNOTATION_ID"])
                found.setdefault(_track(tier.attrib["TIER_ID"], rater), []).append(row)
    except (ET.ParseError, KeyError, ValueError) as error:
        raise DataError(f"{path} is not a sound ELAN file ({error})") from error
    return found


def _track(tier: str, rater: str | None) -> str:
    """The track that a tier of a rater belongs to: its name without the rater's.

    >>> [_track(tier, "kim") for tier in ("gait (kim)", "gait@kim", "gait_kim", "gait kim", "kim", "kimono")]
    ['gait', 'gait', 'gait', 'gait', '', 'kimono']
    """
    match = re.fullmatch(rf"(?:(.*?)[ _@-]+)?\(?{re.escape(rater)}\)?", tier) if rater else None
    return match[1] or "" if match else tier


FORMS: dict[str, Callable[[Path, str, float | None], dict[str, Rows]]] = {
    "table": _table,
    "elan": _elan,
    "boris": _boris,
    "audacity": _audacity,
    "frames": _frames,
}
"""forms of labels that are read."""


def _records(path: Path, text: str, *, need: Sequence[str], before: int = 0) -> Iterable[tuple[int, dict[str, str]]]:
    """Rows of a table by the meaning of their columns, with line numbers; ``before`` lines of the file come first."""
    reader = records(text)
    header = [cell.strip().lower() for cell in next(reader, [])]
    place: dict[str, int] = {}
    for meaning, names in _COLUMNS.items():
        column = next((header.index(name) for name in names if name in header), None)
        if column is not None:
            place[meaning] = column
    missing = [name for name in need if name not in place]
    if missing:
        raise DataError(
            f"{path} has no column {' or '.join(_COLUMNS[missing[0]][:3])}; it has {', '.join(header)[:200]}"
        )
    for row in reader:
        if any(cell.strip() for cell in row[len(header) :]):
            wrong = too_many(row, header)
            raise DataError(f"{path}, line {before + reader.line_num}: {wrong}; put a cell with a comma in quotes")
        if any(cell.strip() for cell in row):
            found = {m: from_cell(row[i].strip()) if i < len(row) else "" for m, i in place.items()}
            if "label" in found:
                found["label"] = _own(header[place["label"]], found["label"])
            yield before + reader.line_num, found


def _own(column: str, cell: str) -> str:
    """The label in a cell; tables of ``motet segment`` and ``motet count`` have numbers in columns of their own."""
    if column == "repetition":
        return column
    return f"state {cell}" if column == "state" and cell.isdigit() else cell


def _row(path: Path, line: int, cells: Mapping[str, str], start: str, end: str) -> dict[str, Any]:
    certainty = cells.get("certainty", "")
    return {
        "recording": cells.get("recording") or path.stem,
        "start": _seconds(path, line, start),
        "end": _seconds(path, line, end),
        "label": cells["label"].strip(),
        "rater": cells.get("rater") or None,
        "certainty": _number(path, line, certainty) if certainty else None,
    }


def _seconds(path: Path, line: int, text: str) -> float:
    """Seconds from ``12.5``, ``1:02.5`` or ``0:01:02.5``."""
    parts = text.split(":")
    if len(parts) > 3 or not text:
        raise DataError(f"{path}, line {line}: {text!r} is not a time; write seconds or h:mm:ss")
    total = 0.0
    for part in parts:
        total = 60 * total + _number(path, line, part)
    return total


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError as error:
        raise DataError(f"{path}, line {line}: {text!r} is not a number") from error


# ----------------------------------------------------------------------------------------------------------- writing


def write(
    rows: pl.DataFrame, form: str, *, name: str = "labels", durations: Mapping[str, float] | None = None
) -> dict[str, str]:
    """A track as files of another program: text by file name.

    Args:
        rows: a track, see :class:`motet.data.tracks.Tracks`.
        form: ``table`` (one CSV), ``elan``, ``audacity`` (one file a recording), ``boris`` (aggregated events).
        name: of the track, for the file or the tier.
        durations: seconds of each recording; recordings without labels get a file too.

    Raises:
        ConfigError: no such form.
    """
    if form not in WRITERS:
        raise ConfigError(f"labels are not written as {form!r}; choose from {', '.join(WRITERS)}")
    return WRITERS[form](rows, name, durations or {})


def _write_table(rows: pl.DataFrame, name: str, durations: Mapping[str, float]) -> dict[str, str]:
    return {f"{name}.csv": csv_text(rows)}


def _write_boris(rows: pl.DataFrame, name: str, durations: Mapping[str, float]) -> dict[str, str]:
    columns = {
        "Observation id": pl.col("recording"),
        "Observer": pl.col("rater"),
        "Subject": pl.lit("No focal subject"),
        "Behavior": pl.col("label"),
        "Behavior type": pl.lit("STATE"),
        "Start (s)": pl.col("start"),
        "Stop (s)": pl.col("end"),
        "Duration (s)": pl.col("end") - pl.col("start"),
        "Certainty": pl.col("certainty"),
    }
    return {f"{name}.csv": csv_text(rows.select(**columns))}


def file_names(names: Iterable[str]) -> dict[str, str]:
    """What the file of each recording (or rater) is called, without its ending: its own name where a file can be.

    >>> file_names(["a/b", "a_b", "c"])
    {'a_b': 'a_b', 'c': 'c', 'a/b': 'a_b-2'}
    """
    taken: set[str] = set()
    ordered = sorted(dict.fromkeys(names), key=lambda name: file_name(name, set()) != name)
    return {name: file_name(name, taken) for name in ordered}


def named_by(stem: str, recordings: Mapping[str, str]) -> tuple[str, str | None]:
    """Recording and rater that a file is about, from its name without the ending.

    Args:
        stem: of :func:`write`, or a recording's name; with the ending of its file, too (``day.csv``).
        recordings: of :func:`file_names`.

    Returns:
        the stem itself where it is no recording's, nor the end of the path of one alone.
    """
    ends = Counter(name.rpartition("/")[2] for name in recordings)
    own = {end: name for name in recordings if ends[end := name.rpartition("/")[2]] == 1}
    own |= {file: name for name, file in recordings.items()} | {name: name for name in recordings}
    ended = re.fullmatch(r"(.+)\.[A-Za-z]\w{0,4}", stem)
    if stem not in own and ended and ended[1] in own:
        stem = ended[1]
    rated = re.fullmatch(r"(.+) \((.+)\)", stem)
    if stem not in own and rated and rated[1] in own:
        return own[rated[1]], rated[2]
    return own.get(stem, stem), None


def _write_audacity(rows: pl.DataFrame, name: str, durations: Mapping[str, float]) -> dict[str, str]:
    files, found = file_names([*durations, *rows["recording"]]), dict[str, str]()
    raters = file_names(rows["rater"].drop_nulls())
    for recording, file in files.items():
        own = rows.filter(recording=recording)
        for (rater,), part in own.group_by("rater", maintain_order=True):
            stem = file if rater is None else f"{file} ({raters[str(rater)]})"
            labels = part["label"].str.replace_all(r"[\t\r\n]", " ")
            lines = zip(part["start"], part["end"], labels, strict=True)
            found[f"{stem}.txt"] = "".join(f"{start:.6f}\t{end:.6f}\t{label}\n" for start, end, label in lines)
        if own.is_empty():
            found[f"{file}.txt"] = ""
    return found


def _write_elan(rows: pl.DataFrame, name: str, durations: Mapping[str, float]) -> dict[str, str]:
    files = file_names([*durations, *rows["recording"]])
    return {f"{file}.eaf": _eaf(rows.filter(recording=own).to_dicts(), name) for own, file in files.items()}


def _eaf(rows: Rows, name: str) -> str:
    root = ET.Element("ANNOTATION_DOCUMENT", AUTHOR="", DATE="2000-01-01T00:00:00+00:00", FORMAT="3.0", VERSION="3.0")
    header = ET.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    ET.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(2 * len(rows))
    order = ET.SubElement(root, "TIME_ORDER")
    raters, certain = list(dict.fromkeys(row["rater"] for row in rows)) or [None], False
    for rater in raters:
        own = [(n, row) for n, row in enumerate(rows, 1) if row["rater"] == rater]
        tier_name = name if len(raters) == 1 or rater is None else f"{name} ({rater})"
        by = {} if rater is None else {"ANNOTATOR": rater}
        tier = ET.SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": "default-lt", "TIER_ID": tier_name} | by)
        for number, row in own:
            slots = {f"TIME_SLOT_REF{n}": f"ts{2 * number - 2 + n}" for n in (1, 2)}
            for slot, time in zip(slots.values(), (row["start"], row["end"]), strict=True):
                ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(round(1000 * time)))
            _annotation(tier, "ALIGNABLE_ANNOTATION", row["label"], ANNOTATION_ID=f"a{number}", **slots)
        sure = [(n, row["certainty"]) for n, row in own if row["certainty"] is not None]
        if sure:
            certain = True
            name_of = {"TIER_ID": f"{tier_name} {CERTAINTY}", "PARENT_REF": tier_name}
            tier = ET.SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": CERTAINTY} | name_of | by)
            for number, share in sure:
                ids = {"ANNOTATION_ID": f"a{len(rows) + number}", "ANNOTATION_REF": f"a{number}"}
                _annotation(tier, "REF_ANNOTATION", f"{share:.6f}", **ids)
    described = {"GRAPHIC_REFERENCES": "false", "TIME_ALIGNABLE": "true", "LINGUISTIC_TYPE_ID": "default-lt"}
    ET.SubElement(root, "LINGUISTIC_TYPE", described)
    if certain:
        constrained = {
            "TIME_ALIGNABLE": "false",
            "LINGUISTIC_TYPE_ID": CERTAINTY,
            "CONSTRAINTS": "Symbolic_Association",
        }
        ET.SubElement(root, "LINGUISTIC_TYPE", described | constrained)
        words = "1-1 association with a parent annotation"
        ET.SubElement(root, "CONSTRAINT", STEREOTYPE="Symbolic_Association", DESCRIPTION=words)
    ET.indent(root)
    buffer = io.BytesIO()
    ET.ElementTree(root).write(buffer, encoding="UTF-8", xml_declaration=True)
    return buffer.getvalue().decode() + "\n"


def _annotation(tier: ET.Element, kind: str, value: str, **attributes: str) -> None:
    one = ET.SubElement(ET.SubElement(tier, "ANNOTATION"), kind, attributes)
    ET.SubElement(one, "ANNOTATION_VALUE").text = value


WRITERS: dict[str, Callable[[pl.DataFrame, str, Mapping[str, float]], dict[str, str]]] = {
    "table": _write_table,
    "elan": _write_elan,
    "boris": _write_boris,
    "audacity": _write_audacity,
}
"""forms of labels that are written."""
