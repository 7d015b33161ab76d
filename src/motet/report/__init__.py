"""The HTML report: one self-contained file in which skeletons move."""

from motet.report.data import ClipMap, Confusion, Curve, Fact, Motion, ReportData, Row
from motet.report.gather import gather, write
from motet.report.page import build

__all__ = ["ClipMap", "Confusion", "Curve", "Fact", "Motion", "ReportData", "Row", "build", "gather", "write"]
