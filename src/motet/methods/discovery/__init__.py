"""Discover the actions of an unlabelled archive with the help of a labelled one (CoDT, Liu et al., ECCV 2022).

``motet.methods.discovery(source, target, out)`` is :func:`motet.methods.discovery.run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from motet.core.lazy import LazyPackage, import_lazily
from motet.losses.clustering import Plan
from motet.methods.discovery import methods
from motet.methods.discovery.settings import SETTINGS, Settings, as_released
from motet.methods.discovery.tasks import TASKS, Task

METHODS: dict[str, str] = {name: methods.get(name).summary for name in methods.names()}
"""names of the methods, and what each does."""

if TYPE_CHECKING:
    from motet.methods.discovery.clusters import estimate
    from motet.methods.discovery.joints import CommonLayout, Retargeted, common_skeleton
    from motet.methods.discovery.labels import export_labels, label_archive, name_clusters
    from motet.methods.discovery.model import Found, load
    from motet.methods.discovery.rounding import balanced_labels
    from motet.methods.discovery.run import resume, run, run_seeds

__all__ = [
    "METHODS",
    "SETTINGS",
    "TASKS",
    "CommonLayout",
    "Found",
    "Plan",
    "Retargeted",
    "Settings",
    "Task",
    "as_released",
    "balanced_labels",
    "common_skeleton",
    "estimate",
    "export_labels",
    "label_archive",
    "load",
    "name_clusters",
    "resume",
    "run",
    "run_seeds",
]


class _Callable(LazyPackage):
    """A module that can be called: the verb and its room have one name."""

    def __call__(self, *args: Any, **options: Any) -> dict[str, Any]:
        from motet.methods.discovery.run import run

        return run(*args, **options)


import_lazily(
    __name__,
    {
        "clusters": "estimate",
        "joints": "CommonLayout Retargeted common_skeleton",
        "labels": "export_labels label_archive name_clusters",
        "model": "Found load",
        "rounding": "balanced_labels",
        "run": "resume run run_seeds",
    },
    _Callable,
)
