"""Columns out of file names: a regular expression whose named groups are the columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from motet.core.errors import ConfigError
from motet.core.text import pasted
from motet.data.columns import STRUCTURE, WORDS
from motet.data.formats._files import natural_key
from motet.data.formats.base import Column

# these columns of an archive are whole numbers; a group of any other name becomes a text column
NOBODY = ("", "?", "unknown")
NUMBERS = ("subject", "camera", "setup", "repetition")


class NamePattern:
    """Reads columns from the names of units.

    Args:
        pattern: regular expression, searched in the unit's name (its path below the source, with ``/``); ``label``
            is the name of the class, ``subject``, ``camera``, ``setup`` and ``repetition`` are numbers.
        names: every unit's name; the classes are the labels that occur in them, naturally sorted.

    Raises:
        ConfigError: not a regular expression, one without named groups, or a name that it does not fit.
    """

    def __init__(self, pattern: str | None, names: Iterable[str]) -> None:
        self.pattern = pattern
        try:
            compiled = re.compile(pattern or "")
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"option pattern is no regular expression: {error}") from error
        if pattern is not None and not compiled.groupindex:
            raise ConfigError(
                f"--pattern {pasted(pattern)} names no column; write groups such as (?P<label>…) or (?P<subject>…)"
            )
        reserved = sorted(set(compiled.groupindex) & {*STRUCTURE, *WORDS})
        if reserved:
            raise ConfigError(
                f"option pattern names the column {reserved[0]}, which is part of every archive; rename it"
            )
        self._groups: dict[str, Mapping[str, str | None]] = {}
        for name in names:
            found = compiled.search(name)
            if found is None:
                raise ConfigError(f"--pattern {pasted(pattern)} does not fit the name {name}")
            self._groups[name] = found.groupdict()
        labels = {g["label"] for g in self._groups.values() if g.get("label") is not None}
        # people and places called by names are numbered, and keep their names in a column of their own
        texts = {key: {g[key] or "" for g in self._groups.values() if key in g} for key in NUMBERS}
        self._numbers = {key: numbered(found) for key, found in texts.items()}
        self.class_names: Sequence[str] = tuple(sorted((x for x in labels if x), key=natural_key))

    def columns(self, name: str) -> dict[str, Column]:
        """Columns of one unit; numbers are the digits of what the group holds.

        Raises:
            ConfigError: a group of a number holds no digits.
        """
        columns: dict[str, Column] = {}
        for key, text in self._groups[name].items():
            if key == "label":
                columns[key] = self.class_names.index(text) if text else None
            elif key in NUMBERS:
                names = self._numbers[key]
                columns[key] = names.get(text or "") if names is not None else _digits(text)
                if names is not None and text and not text.isdecimal():
                    columns[f"{key}_name"] = text
            else:
                columns[key] = text
        return columns


def _digits(text: str | None) -> int | None:
    found = re.search(r"\d{1,18}", text or "", re.ASCII)
    return int(found[0]) if found else None


def numbered(texts: Iterable[str]) -> dict[str, int | None] | None:
    """A number for each name; None where all the texts are numbers."""
    names = sorted(set(texts) - {""}, key=natural_key)
    if not names or all(name.isdecimal() and name.isascii() for name in names):
        return None
    return dict(zip(names, subject_numbers(names), strict=True))


def subject_numbers(names: Sequence[str]) -> list[int | None]:
    """A number for every person: the digits of the name, or else the place in the list, counted from 1.

    ``?`` and the like are nobody in particular: None. Digits are not used if two people would share a number.

    >>> subject_numbers(["kard:03", "kard:10"]), subject_numbers(["Ann", "Bob"]), subject_numbers(["?"])
    ([3, 10], [1, 2], [None])
    """
    digits = [_digits(n) for n in names]
    if None in digits or len(set(digits)) < len(digits):
        digits = [i + 1 for i in range(len(names))]
    return [None if n.strip().lower() in NOBODY else d for n, d in zip(names, digits, strict=True)]
