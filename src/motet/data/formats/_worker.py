"""What runs in a worker process of the importer; apart from it, so that a worker need not import polars and rich."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Sequence
from typing import Any

from motet.core.errors import DataError
from motet.data.formats.base import RawClip, Unit

Outcome = list[RawClip] | str
"""Clips of a unit, or the reason why it cannot be used."""


def read_units(name: str, units: Sequence[Unit], options: Any) -> list[Outcome]:
    """What becomes of each unit under the format ``name``."""
    read = importlib.import_module(f"motet.data.formats.{name.replace('-', '_')}").FORMAT.read
    outcomes: list[Outcome] = []
    for unit in units:
        try:
            outcomes.append(list(read(unit, options)))
        except DataError as error:
            outcomes.append(str(error))
    return outcomes


def ignore_interrupt() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what to do about it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
