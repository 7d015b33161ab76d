"""Colours of classes and groups, in figures and on the page of the application."""

from __future__ import annotations

COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#b5598f", "#c98500", "#3fa0d8"),
    *("#7a6a53", "#8f8400", "#5b4fa3", "#c0392b", "#2f7d6d", "#a05195"),
)
"""twelve that people with colour-blindness can tell apart in pairs"""
GREY = "#a9adb2"
"""of what has no class"""


def colour(number: int) -> str:
    """Of a class, as CSS: :data:`COLOURS`, then further hues."""
    return COLOURS[number] if number < len(COLOURS) else f"hsl({number * 137.508 % 360:.1f} 52% 48%)"
