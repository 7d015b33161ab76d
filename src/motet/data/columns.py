"""What an archive accepts from outside: names, columns and descriptions, checked before they are stored or believed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from motet.core.errors import DataError
from motet.core.options import unboxed
from motet.core.text import counted, printable

STRUCTURE = ("name", "offset", "length", "persons", "sha256")
"""Columns that the archive fills itself."""
WORDS = ("frames", "confidence", "sensors", "tracks")
"""Names that a column cannot have because something else of a clip has them."""
WHOLE = ("label", "subject", "camera", "setup", "repetition")
MOST_CLASSES = 100_000
MOST_PERSONS = 1000
LONGEST_TEXT = 10_000
_PATH_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .+-]{0,63}")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # of Windows, whatever their ending


def path_name(name: str, what: str) -> str:
    """The name, if it can be that of a file or folder on any system.

    Raises:
        DataError: it is empty, too long, or holds anything but letters, digits, blanks and ``_ . + -``; begins with
            ``what``.
    """
    if not _PATH_NAME.fullmatch(name) or name.endswith((".", " ")) or _DEVICES.fullmatch(name):
        raise DataError(
            f"{what} is called {name[:80]!r}, which cannot be the name of a folder; rename it (letters, digits, "
            "_ . + - and blanks)"
        )
    return name


def absent(value: Any) -> bool:
    """Whether a value is none: None, NaN, or what else pandas has for that."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def check_columns(clip: str, columns: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Columns of one clip as they are stored.

    Args:
        clip: its name, for messages.
        columns: values by column.
        classes: their names, empty if they have none.

    Raises:
        DataError: a column that is part of the archive's structure, or a value of a kind that no table holds.
    """
    return {str(name): _value(clip, str(name), value, classes) for name, value in columns.items()}


def _value(clip: str, name: str, value: Any, classes: Sequence[str]) -> Any:
    if name in (*STRUCTURE, *WORDS):
        raise DataError(f"clip {clip}: a column cannot be called {name!r}, which is part of every archive; rename it")
    if not name.isprintable() or not 0 < len(name) <= 200:
        raise DataError(f"clip {clip}: a column cannot be called {name!r:.80}")
    value = None if absent(value) else unboxed(value)
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, float):
        value = None if not np.isfinite(value) else int(value) if name in WHOLE and value.is_integer() else value
    if value is None:
        return None
    if name in WHOLE and not isinstance(value, int):
        raise DataError(f"clip {clip}: {name} is {value!r:.60}, not a whole number{_remedy(name, value, classes)}")
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise DataError(
                f"clip {clip}: {name} is a number of {counted(len(str(abs(value))), 'digit')}, which is too large"
            )
        limit = len(classes) or MOST_CLASSES
        if name == "label" and not 0 <= value < limit:
            named = f"{counted(len(classes), 'class')}" if classes else f"{MOST_CLASSES:,} at most"
            raise DataError(f"clip {clip}: label {value} is none of {named}")
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        return printable(value[:LONGEST_TEXT])
    raise DataError(f"clip {clip}: column {name} holds a {type(value).__name__}; numbers and texts are stored")


def _remedy(name: str, value: Any, classes: Sequence[str]) -> str:
    if not isinstance(value, str):
        return ""
    if name == "label":
        return f": its place in class_names{f', {list(classes).index(value)}' if value in classes else ''}"
    return f"; number them, and keep the name in a column {name}_name"


def check_meta(path: Path, meta: Mapping[str, Any]) -> None:
    """Refuse the description of an archive whose fields are not what their names say: a digest can be forged.

    Raises:
        DataError: names the field.
    """

    def texts(value: Any, most: int) -> bool:
        return isinstance(value, list) and len(value) <= most and all(isinstance(v, str) for v in value)

    def whole(value: Any, least: int, most: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    fps = meta.get("fps")
    sound = {
        "persons": whole(meta.get("persons"), 1, MOST_PERSONS),
        "frames": whole(meta.get("frames"), 0, 2**62),
        "channels": texts(meta.get("channels"), 1000) and bool(meta["channels"]),
        "class_names": texts(meta.get("class_names"), MOST_CLASSES),
        "units": isinstance(meta.get("units"), str),
        "licence": isinstance(meta.get("licence"), str),
        "fps": fps is None or (isinstance(fps, int | float) and not isinstance(fps, bool) and 0 < fps < float("inf")),
        "source": isinstance(meta.get("source"), dict),
        "skeleton": isinstance(meta.get("skeleton"), dict),
        "content_sha256": isinstance(meta.get("content_sha256"), str),
        "clips_sha256": isinstance(meta.get("clips_sha256"), str),
        "sensors": isinstance(meta.get("sensors", {}), dict)
        and all(isinstance(d, str) for d in meta.get("sensors", {}).values()),
    }
    wrong = next((name for name, fine in sound.items() if not fine), None)
    if wrong is not None:
        raise DataError(f"{path}/archive.json: field {wrong!r} is missing or not what it should be")
    for sensor in meta.get("sensors", {}):
        path_name(sensor, f"{path}/archive.json: a sensor")
