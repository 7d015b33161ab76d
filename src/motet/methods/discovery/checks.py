"""What is wrong with archives before anything is trained or labelled, in the words of :mod:`motet.data.doctor`."""

from __future__ import annotations

import warnings

import numpy as np

from motet.core.errors import DataError, MotetWarning
from motet.core.text import counted
from motet.data import doctor, layouts
from motet.data.archive import MotionArchive
from motet.methods.discovery.settings import Settings
from motet.methods.discovery.tasks import LAYOUTS, TASKS


def check_recordings(archive: MotionArchive) -> None:
    """Look whether the recordings are what the archive declares them to be: something moves, axes, unit.

    A wrong up axis or unit is warned of, with the remedy: bodies may lie, and only the owner knows.

    Raises:
        DataError: every coordinate of every clip is zero or missing.
    """
    if not any(np.nan_to_num(archive.clip(index)).any() for index in range(len(archive))):
        raise DataError(
            f"{archive.path}: every coordinate of its {counted(len(archive), 'clip')} is zero or missing, so there "
            f"is nothing to find classes in; look at the recordings (`motet data inspect`) and import them again"
        )
    for finding in doctor.declarations(archive):
        warnings.warn(
            f"{archive.path}: {finding.message} ({finding.evidence}). Clusters of it mean little; {finding.remedy}",
            MotetWarning,
            stacklevel=3,
        )


def check_pair(source: MotionArchive, target: MotionArchive, known: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Warn where classes of the target are those that the source teaches.

    Args:
        source, target: the archives.
        known: labels of the source that train.
        wanted: labels of the target that count; empty for all.
    """
    if source.hash != target.hash:
        return
    # without labels nothing is evaluated, yet every class is taught all the same
    both = sorted(set(known) & set(wanted or known))
    if not both:
        return
    names = ", ".join(source.class_names[c] for c in both[:5]) + (" …" if len(both) > 5 else "")
    warnings.warn(
        f"{target.path} holds the clips of the source, and classes of both are the same ({names}): these are learned "
        "from their labels, not found, and the scores say nothing. Give recordings of other actions as the target, or "
        "part the classes by --source-classes and --target-classes",
        MotetWarning,
        stacklevel=3,
    )


def check_task(name: str, source: MotionArchive, target: MotionArchive) -> None:
    """Warn where an archive has another layout than the set that a task is about."""
    task = TASKS[name]
    for side, words, archive in (("source", task.source, source), ("target", task.target, target)):
        expected = LAYOUTS[words]
        if all(layouts.get(n).canonical != archive.skeleton.canonical for n in expected):
            warnings.warn(
                f"task {name} expects {words} (layout {' or '.join(expected)}) as its {side}, {archive.path} has the "
                f"layout {archive.skeleton.name}: it runs with splits, classes and clusters that are meant for other "
                "recordings; leave --task out for sets of your own",
                MotetWarning,
                stacklevel=3,
            )


def check_size(settings: Settings, clips: int) -> None:
    """Warn of settings that leave nothing to learn from ``clips`` training clips of the target."""
    faults = []
    if settings.frames == 1:
        faults.append("--frames 1 leaves no motion, only a pose")
    if min(settings.batch_size, clips) == 1:
        faults.append("batches of one clip have nothing to be distinguished from; raise --batch-size")
    if settings.clusters is not None and settings.clusters > clips / 2:
        faults.append(
            f"{counted(settings.clusters, 'cluster')} of {counted(clips, 'training clip')} leave fewer than two "
            f"clips a cluster; lower --clusters"
        )
    for fault in faults:
        warnings.warn(fault, MotetWarning, stacklevel=3)
