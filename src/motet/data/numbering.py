"""Numbers of people, cameras, setups and repetitions that mean the same in several archives, and in a table."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from motet.core.errors import ConfigError, MotetNote
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.formats._files import natural_key
from motet.data.formats._names import NUMBERS, numbered, subject_numbers

_SHOWN = 5


def agreed(sources: Sequence[MotionArchive]) -> dict[str, dict[str, int | None]]:
    """Column → name → number, of the columns in which archives give a name two numbers, or a number two names.

    Where numbers of people have no names and are in archives of several origins, that is noted.
    """
    found: dict[str, dict[str, int | None]] = {}
    for column in NUMBERS:
        pairs = {pair for source in sources for pair in _pairs(source, column)}
        names = sorted({name for _, name in pairs if name is not None}, key=natural_key)
        if not any(name is None for _, name in pairs):
            if not len(pairs) == len({number for number, _ in pairs}) == len(names):
                found[column] = dict(zip(names, subject_numbers(names), strict=True))
        elif column == "subject":
            _note(sources)
    return found


def _pairs(source: MotionArchive, column: str) -> set[tuple[int, str | None]]:
    """Numbers of a column and the names that they stand for."""
    clips = source.clips
    names = clips[f"{column}_name"] if f"{column}_name" in clips.columns else [None] * len(clips)
    return {(number, name) for number, name in zip(clips[column], names, strict=True) if number is not None}


def _note(sources: Sequence[MotionArchive]) -> None:
    """Say which people of two archives count as the same, unless both come from the same recordings."""
    holder: dict[int, MotionArchive] = {}
    for source in sources:
        shared = []
        for number in sorted({number for number, _ in _pairs(source, "subject")}):
            other = holder.setdefault(number, source)
            origin = (other.source.get("path"), source.source.get("path"))
            if other is not source and (origin[0] is None or origin[0] != origin[1]):
                shared.append((number, other))
        if shared:
            listed = ", ".join(str(number) for number, _ in shared[:_SHOWN]) + " …" * (len(shared) > _SHOWN)
            warnings.warn(
                f"{counted(len(shared), 'subject')} ({listed}) of {shared[0][1].path} and {source.path} count as the "
                "same people; if they are others, give them numbers of their own first: `motet data label ARCHIVE "
                "TABLE --out ARCHIVE` with a column subject",
                MotetNote,
                stacklevel=4,
            )


def named(rows: Mapping[str, dict[str, Any]], source: MotionArchive, table: str) -> None:
    """Numbers in place of names of people, cameras …, which go into columns of their own (``subject_name``); of names
    that clips had, the new numbers take the place of those that they contradict.

    Args:
        rows: what a table says of clips, by their names; changed in place.
        source: the archive of the clips.
        table: what the table is called.

    Raises:
        ConfigError: names of some clips, while others of the archive have numbers.
    """
    for column in NUMBERS:
        texts = {name: str(row[column]).strip() for name, row in rows.items() if row.get(column) is not None}
        numbers = numbered(texts.values())
        if numbers is None:
            _rename(rows, source, column)
            continue
        clips = zip(source.clips["name"], source.clips[column], strict=True)
        other = next((name for name, number in clips if number is not None and name not in texts), None)
        if other is not None:
            raise ConfigError(f"{table}: column {column} holds names, but not of clip {other!r}, which has a number")
        for name, text in texts.items():
            rows[name] |= {column: numbers[text], f"{column}_name": text}


def _rename(rows: Mapping[str, dict[str, Any]], source: MotionArchive, column: str) -> None:
    """Call clips with another number than before by it, where their old name has two numbers now or the number two
    names: by these a merge would undo what a table says."""
    also = f"{column}_name"
    if also not in source.clips.columns:
        return
    clips = source.clips.select("name", column, also).rows()
    pairs = {(rows.get(clip, {}).get(column, number), name) for clip, number, name in clips if name is not None}
    for clip, number, name in clips:
        row = rows.get(clip, {})
        new = row.get(column, number)
        if new != number and also not in row and sum(new == n or name == m for n, m in pairs) > 1:
            row[also] = None if new is None else str(new)


def changed(row: Mapping[str, Any], numbers: Mapping[str, Mapping[str, int | None]]) -> dict[str, int | None]:
    """What of a clip's columns changes under numbers of :func:`agreed`."""
    return {column: names[row[f"{column}_name"]] for column, names in numbers.items() if row.get(column) is not None}
