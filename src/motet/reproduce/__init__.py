"""Tables of the papers on data of one's own, next to the figures that were printed.

``motet.reproduce("cmd/stages", archive)`` is :func:`motet.reproduce.run.reproduce`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from motet.reproduce.declare import Measure, Row, Share, Steps, Table, Times, Training
from motet.reproduce.run import reproduce
from motet.reproduce.tables import all_tables

__all__ = ["Measure", "Row", "Share", "Steps", "Table", "Times", "Training", "all_tables", "reproduce"]


class _Callable(ModuleType):
    """A module that can be called: the verb and its room have one name."""

    def __call__(self, *args: Any, **options: Any) -> dict[str, Any]:
        return reproduce(*args, **options)


sys.modules[__name__].__class__ = _Callable
