"""Columns out of file names: a regular expression whose named groups are the columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from motet.core.errors import ConfigError
from motet.data.formats.base import Column, natural_key

# these columns of an archive are whole numbers; a group of any other name becomes a text column
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
                f"option pattern {pattern!r} names no column; write groups such as (?P<label>…) or (?P<subject>…)"
            )
        self._groups: dict[str, Mapping[str, str | None]] = {}
        for name in names:
            found = compiled.search(name)
            if found is None:
                raise ConfigError(f"option pattern {pattern!r} does not fit the name {name}")
            self._groups[name] = found.groupdict()
        labels = {g["label"] for g in self._groups.values() if g.get("label") is not None}
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
                columns[key] = self._number(name, key, text)
            else:
                columns[key] = text
        return columns

    def _number(self, name: str, key: str, text: str | None) -> int | None:
        if text is None:
            return None
        digits = re.search(r"\d+", text, re.ASCII)
        if digits is None:
            raise ConfigError(
                f"option pattern {self.pattern!r}: group {key} of {name} is {text!r}, which has no number; "
                f"give the group another name to keep it as text"
            )
        return int(digits[0])
