"""What runs in a worker process of the importer; apart from it, so that a worker need not import polars and rich."""

from __future__ import annotations

import importlib
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from motet.core.errors import DataError, MotetError, MotetWarning
from motet.core.workers import end_with_parent
from motet.data.formats.base import RawClip, Unit

UNEXPECTED = "which its reader did not expect"
"""In messages of errors that a reader let out without a word of its own."""


@dataclass(frozen=True)
class Outcome:
    """What became of a unit.

    Attributes:
        clips: those of the unit; none if it cannot be used.
        reason: why it cannot; empty if it can.
        notes: warnings on the way.
    """

    clips: tuple[RawClip, ...] = ()
    reason: str = ""
    notes: tuple[MotetWarning, ...] = ()


@contextmanager
def expected(what: object) -> Iterator[None]:
    """Turn whatever a damaged file does to its reader into an error that names it.

    Raises:
        DataError: in place of any exception that is not motet's own.
    """
    try:
        yield
    except (MotetError, ImportError):
        raise
    except Exception as error:
        raise DataError(f"{what} cannot be read: {type(error).__name__}, {UNEXPECTED} ({error!s:.100})") from error


def read_units(name: str, units: Sequence[Unit], options: Any) -> list[Outcome]:
    """What becomes of each unit under the format ``name``."""
    read = importlib.import_module(f"motet.data.formats.{name.replace('-', '_')}").FORMAT.read
    outcomes: list[Outcome] = []
    for unit in units:
        clips: tuple[RawClip, ...] = ()
        reason = ""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", MotetWarning)
            try:
                with expected(unit.path):
                    clips = tuple(read(unit, options))
            except DataError as error:
                reason = str(error)
        notes = tuple(w.message for w in caught if isinstance(w.message, MotetWarning))
        outcomes.append(Outcome(clips, reason, notes))
    return outcomes


def ignore_interrupt() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what to do about it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
