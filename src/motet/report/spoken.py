"""What a report says about recordings in their own words: streams of sensors, and what `motet data inspect` finds."""

from __future__ import annotations

import re
from dataclasses import replace

from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.inspection import inspect
from motet.report.data import Confusion, Fact, ReportData, Row

INSPECTED = 500_000_000  # numbers; looking at more takes minutes
SIGNALS = {"joint": "signal", "motion": "change", "acceleration": "change of change"}
"""streams that are named after bodies, and what they are of a sensor"""
_MEANINGS = {
    "Streams": "What the model looks at: signal is what the sensor measures, change how that differs from sample to "
    "sample.",
    "Frames": "Every clip is brought to this many samples.",
    "Preprocess": "What is taken out before the encoder.",
}


def findings(archive: MotionArchive) -> list[Fact]:
    """Errors and warnings of `motet data inspect`; nothing of an archive so large that looking takes minutes."""
    if archive.frames.size > INSPECTED:
        return []
    found = [fault for fault in inspect(archive, verify=False)["faults"] if fault["level"] != "note"]
    return [
        Fact(
            fault["name"],
            counted(fault["clips"], "clip") if fault["clips"] else fault["level"],
            f"{fault['message']}; {fault['remedy']}",
        )
        for fault in found
    ]


def stream(text: str, archive: MotionArchive) -> str:
    """A text about streams with those of sensors by their own words: ``watch:motion`` is ``watch change``."""
    kinds = "|".join(SIGNALS)
    if archive.skeleton.kind == "sensor":
        text = re.sub(rf"\b({kinds})\b", lambda m: SIGNALS[m[1]], text)
    sensors = "|".join(map(re.escape, archive.sensors))
    if not sensors:
        return text
    return re.sub(rf"\b({sensors}):({kinds})\b", lambda m: f"{m[1]} {SIGNALS[m[2]]}", text)


def of_sensors(data: ReportData, archive: MotionArchive) -> ReportData:
    """The page of an archive of, or with, sensors: what is named after bodies is called by what sensors have."""
    whole = archive.skeleton.kind == "sensor"
    if not whole and not archive.sensors:
        return data

    def said(text: str) -> str:
        return stream(text, archive)

    def row(old: Row) -> Row:
        called = "raw signals" if whole and old.features == "raw" else old.called
        return replace(old, stream=said(old.stream), called=called)

    def fact(old: Fact) -> Fact:
        meaning = _MEANINGS.get(old.label, old.meaning) if whole else old.meaning
        return Fact(old.label, said(old.value) if old.label == "Streams" else old.value, meaning)

    confusion: Confusion | None = data.confusion
    return replace(
        data,
        rows=[row(old) for old in data.rows],
        recipe=[fact(old) for old in data.recipe],
        confusion=None if confusion is None else replace(confusion, source=said(confusion.source)),
        clip_map=None if data.clip_map is None else replace(data.clip_map, source=said(data.clip_map.source)),
        curves=[replace(c, series={said(name): line for name, line in c.series.items()}) for c in data.curves],
        seen="what the sensor measured" if whole else data.seen,
    )
