"""Distillation from recordings: video, sound, speech and text, by networks that are frozen or learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from motet.core.lazy import import_lazily

if TYPE_CHECKING:
    from motet.methods.distillation.raw.datasets import DATASETS, Found, index, open_source
    from motet.methods.distillation.raw.extraction import extract
    from motet.methods.distillation.raw.manifest import Item, Manifest
    from motet.methods.distillation.raw.options import Audio, Face, RawOptions, Speech, Text, Video
    from motet.methods.distillation.raw.run import resume, train
    from motet.methods.distillation.raw.student import RawStudent, load

__all__ = [
    "DATASETS",
    "Audio",
    "Face",
    "Found",
    "Item",
    "Manifest",
    "RawOptions",
    "RawStudent",
    "Speech",
    "Text",
    "Video",
    "extract",
    "index",
    "load",
    "open_source",
    "resume",
    "train",
]

import_lazily(
    __name__,
    {
        "datasets": "DATASETS Found index open_source",
        "extraction": "extract",
        "manifest": "Item Manifest",
        "options": "Audio Face RawOptions Speech Text Video",
        "run": "resume train",
        "student": "RawStudent load",
    },
)
