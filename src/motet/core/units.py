"""Units of length and of sensors, and how they are spelled."""

from __future__ import annotations

import re

METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "in": 0.0254, "inch": 0.0254, "ft": 0.3048}
"""unit -> metres."""
PICTURE = ("px", "shares of the picture")
OF_SENSORS = ("m/s^2", "g", "mg", "rad/s", "deg/s", "uT", "µT", "mT", "gauss", "rad", "deg", "m/s", "as recorded")
"""what a reading of a sensor may be in; of several nodes one for all, or with commas one for each."""
AS_RECORDED = "as recorded"
"""unit of an archive where nobody said."""
_METRE, _SECOND, _PER = r"\b(?i:met(?:er|re)s?|m)", r"(?i:sec(?:ond)?s?|s)", r"\s*(?:/|\bper\b)\s*"
_INVERSE = rf"[\s.·⋅*]*{_SECOND}\s*\^?\s*\(?-"
SPELLINGS = {
    "m/s^2": rf"{_METRE}(?:{_PER}{_SECOND}(?:\s*(?:\^|\*\*)?\s*2|{_PER}{_SECOND})|{_INVERSE}2\)?)",
    "mg": r"\bmg\b|(?i:milli-?g(?:ravity)?)",
    "g": r"\bg\b",
    "deg/s": rf"(?:(?i:\bd(?:eg(?:ree)?s?)?)|°)(?:{_PER}{_SECOND}|{_INVERSE}1\)?)|\b(?i:dps)\b",
    "rad/s": rf"(?i:rad(?:ian)?s?)(?:{_PER}{_SECOND}|{_INVERSE}1\)?)",
    "m": r"(?i:met(?:er|re)s?|m)",
    "cm": r"(?i:centimet(?:er|re)s?|cm)",
    "mm": r"(?i:millimet(?:er|re)s?|mm)",
    "inch": r"(?i:inch(?:es)?)",
    "ft": r"(?i:ft|foot|feet)",
    "px": r"(?i:px|pixels?)",
    PICTURE[1]: r"(?i:shares?(?: of the picture)?|normali[sz]ed)",
}
"""unit -> regular expression of how it is written; see :func:`plain`."""


def stated(units: str | None, kind: str) -> str | None:
    """The unit of recordings of a kind, None where nobody said: for sensors an import once took metres then.

    >>> stated("m", "body"), stated("m", "sensor"), stated("g", "sensor"), stated("as recorded", "sensor")
    ('m', None, 'g', None)
    """
    return None if kind == "sensor" and units in (*METRES, AS_RECORDED) else units


def plain(text: str) -> str:
    """The text without brackets around it, superscripts and signs of minus as they are typed."""
    return text.translate(str.maketrans("²¹⁻−–", "21---")).strip(" ()[]")


def unit_name(text: str) -> str:
    """A unit, or several with commas between, in one spelling; what is not known stays as it is.

    >>> [unit_name(text) for text in ("m/s²", "m s-2", "m/s/s", "°/s", "g,dps", "Meters", "µT")]
    ['m/s^2', 'm/s^2', 'm/s^2', 'deg/s', 'g, deg/s', 'm', 'µT']
    """
    parts = [part.strip() for part in re.split(r"[,;]", text)]
    return ", ".join(next((u for u, form in SPELLINGS.items() if re.fullmatch(form, plain(p))), p) for p in parts)
