"""Distillation between modalities on tables of features: teach with every sensor, deploy with one."""

from __future__ import annotations

from motet.distill.diagnose import diagnose
from motet.distill.motion import Motion, open_table
from motet.distill.run import resume, run
from motet.distill.settings import RECIPES, Settings, settings_for
from motet.distill.student import Student, load
from motet.distill.table import FeatureTable

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
