"""Text from outside: shown on a terminal and written into tables without doing anything there."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def printable(text: str) -> str:
    r"""The text with control characters written out, so that a terminal shows them and does nothing else.

    >>> printable("a\x1b[2Jb\n")
    'a\\x1b[2Jb\\n'
    """
    if text.isprintable():
        return text
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    joiners = "\u200c\u200d"  # which some scripts are written with
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in hidden and c not in joiners else c
        for c in text
    )


def shown(text: str) -> str:
    """:func:`printable` of each line of a message."""
    return "\n".join(map(printable, text.split("\n")))


def pasted(*words: object) -> str:
    r"""Words of a command as a shell takes them back: paths with spaces, names with quotes, patterns with backslashes.

    >>> print("motet resume", pasted("my run"), "--pattern", pasted(r"(?P<label>\w+)"))
    motet resume 'my run' --pattern '(?P<label>\w+)'
    """
    return shlex.join(map(str, words))


def in_line(error: object, most: int = 300) -> str:
    """What an error of another library says, in one line: torch lists every tensor on a line of its own."""
    return " ".join(str(error).split())[:most]


def counted(amount: int, noun: str, several: str = "") -> str:
    """A number with its noun: ``1 clip``, ``2,000 clips``, ``3 batches``, ``3 epochs``, ``4 bodies``, ``2 people``.

    Args:
        amount: how many.
        noun: what one is called.
        several: what others are called; by default the noun in its regular plural.
    """
    for ending, many in ((r"[^aeiou]y$", "ies"), (r"(s|x|[^o]ch)$", "es")):
        if not several and re.search(ending, noun):
            several = noun.removesuffix("y") + many
    return f"{amount:,} {noun if amount == 1 else several or noun + 's'}"


def enumerated(words: Iterable[str]) -> str:
    """The words as they are enumerated in a sentence.

    >>> enumerated(["body", "hand", "wrist"])
    'body, hand and wrist'
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def first_of(names: Sequence[str], noun: str, most: int = 5) -> str:
    """The first of many names, and how many others there are.

    >>> first_of(["a", "b"], "clip"), first_of(list("abcdefgh"), "clip")
    ('a, b', 'a, b, c, d, e and 3 other clips')
    """
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {counted(left, f'other {noun}')}" if left > 0 else "")


def several(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple; one may be given by itself."""
    return (names,) if isinstance(names, str) else tuple(names)


def span(seconds: float) -> str:
    """A time in the unit that fits: ``45 s``, ``12 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def file_name(name: str, taken: set[str]) -> str:
    r"""A file's name, without its ending, from a name that may hold anything: no path, none of those that are taken.

    >>> taken = set()
    >>> [file_name(name, taken) for name in ("../a", "a", "A", "b:c", "con")]
    ['_a', 'a', 'A-2', 'b_c', 'con_']

    Args:
        name: of a clip or recording.
        taken: names of the files before it in lower case, as some file systems see them; this one is added.
    """
    bare = re.sub(r"[^\w .+-]", "_", name).strip(" .").encode()[:200].decode(errors="ignore").rstrip(" .") or "clip"
    bare += "_" * bool(_DEVICE.fullmatch(bare))
    found = next(n for n in (bare, *(f"{bare}-{k}" for k in range(2, len(taken) + 3))) if n.casefold() not in taken)
    taken.add(found.casefold())
    return found


def plain(value: Any) -> Any:
    """Plain data with every text in it :func:`printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def cell(text: str) -> str:
    """Text for a cell of a CSV file: what a spreadsheet would compute begins with an apostrophe.

    >>> cell("=HYPERLINK(1)"), cell("-1.5"), cell("walk")
    ("'=HYPERLINK(1)", '-1.5', 'walk')
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_cell(text: str) -> str:
    """Inverse of :func:`cell`."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text[1:]) else text
