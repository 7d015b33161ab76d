"""The HTML report: one self-contained file in which skeletons move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from motet.core.lazy import import_lazily

if TYPE_CHECKING:
    from motet.report.data import ClipMap, Confusion, Curve, Fact, Motion, ReportData, Row
    from motet.report.gather import gather, write
    from motet.report.page import build

__all__ = ["ClipMap", "Confusion", "Curve", "Fact", "Motion", "ReportData", "Row", "build", "gather", "write"]

import_lazily(
    __name__,
    {"data": "ClipMap Confusion Curve Fact Motion ReportData Row", "gather": "gather write", "page": "build"},
)
