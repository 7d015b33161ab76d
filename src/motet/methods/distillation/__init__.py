"""Distillation between modalities on tables of features: teach with every sensor, deploy with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from motet.core.lazy import import_lazily

if TYPE_CHECKING:
    from motet.methods.distillation.diagnose import diagnose
    from motet.methods.distillation.motion import Motion, open_table
    from motet.methods.distillation.run import resume, run
    from motet.methods.distillation.settings import RECIPES, Settings, settings_for
    from motet.methods.distillation.student import Student, load
    from motet.methods.distillation.table import FeatureTable

__all__ = [
    "RECIPES",
    "FeatureTable",
    "Motion",
    "Settings",
    "Student",
    "diagnose",
    "load",
    "open_table",
    "resume",
    "run",
    "settings_for",
]

import_lazily(
    __name__,
    {
        "diagnose": "diagnose",
        "motion": "Motion open_table",
        "run": "resume run",
        "settings": "RECIPES Settings settings_for",
        "student": "Student load",
        "table": "FeatureTable",
    },
)
