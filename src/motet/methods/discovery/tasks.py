"""Known pairs of sets: the tasks of the paper, and small ones."""

from __future__ import annotations

from dataclasses import dataclass

from motet.core.errors import ConfigError


@dataclass(frozen=True)
class Task:
    """A published or a small pair of sets: who is source, who is target, which of their classes count.

    Attributes:
        source, target: names of data sets, for readers.
        source_split, target_split: rules of :mod:`motet.data.splits`; None for an archive's own standard.
        source_classes, target_classes: labels that count, all if empty.
        clusters: K.
        settings: recipe; empty for the one that the archives get without a task.
        preprocess: as in :class:`Settings`.
        note: what must be known about it.
    """

    source: str
    target: str
    source_split: str | None = None
    target_split: str | None = None
    source_classes: tuple[int, ...] = ()
    target_classes: tuple[int, ...] = ()
    clusters: int | None = None
    settings: str = ""
    preprocess: str | None = None
    score: bool = False
    note: str = ""


FIRST, SECOND = tuple(range(5)), tuple(range(5, 10))
TASKS: dict[str, Task] = {
    "ntu60-skeletics": Task("NTU RGB+D 60", "Skeletics", "ntu60-xview", None, clusters=30, settings="paper"),
    "skeletics-pku": Task("Skeletics", "PKU-MMD", None, "pku-xview", clusters=51, settings="paper"),
    "ntu60plus-pku": Task(
        "NTU RGB+D 120 without its first 60 classes",
        "PKU-MMD",
        "ntu120-xsub",
        "pku-xsub",
        source_classes=tuple(range(60, 120)),
        clusters=51,
        settings="paper",
        note="the paper prints 41 classes, but its numbers of clips are those of all 51",
    ),
    "finegym-skeletics": Task("FineGym (VIBE poses)", "Skeletics", clusters=30, settings="paper"),
    "kinetics-ntu60": Task(
        "Kinetics-400 (OpenPose)",
        "NTU RGB+D 60 (2D poses)",
        None,
        "ntu60-xsub",
        clusters=60,
        settings="paper",
        preprocess="center",
        score=True,
        note="the paper does not state the protocol of NTU-60 here",
    ),
    "vicon-kinect": Task("UI-PRMD Vicon", "UI-PRMD Kinect", "odd-even", "odd-even", FIRST, SECOND, 5),
    "vicon-kinect-reverse": Task("UI-PRMD Vicon", "UI-PRMD Kinect", "odd-even", "odd-even", SECOND, FIRST, 5),
    "kinect-vicon": Task("UI-PRMD Kinect", "UI-PRMD Vicon", "odd-even", "odd-even", FIRST, SECOND, 5),
    "kinect-vicon-reverse": Task("UI-PRMD Kinect", "UI-PRMD Vicon", "odd-even", "odd-even", SECOND, FIRST, 5),
    "kard-utkinect": Task("KARD", "UTKinect", "odd-even", "odd-even", clusters=10),
    "kard-florence": Task("KARD", "Florence 3D", "odd-even", "odd-even", clusters=9),
    "ui-prmd-kard": Task("UI-PRMD Kinect", "KARD", "odd-even", "odd-even", clusters=18),
    "smartfall-kard": Task("SmartFallMM, young", "KARD", "odd-even", "odd-even", clusters=18),
    "shrec-halves": Task(
        "SHREC'17",
        "SHREC'17",
        "odd-even",
        "odd-even",
        tuple(range(7)),
        tuple(range(7, 14)),
        7,
        preprocess="first-frame",
        note="hands; seven gestures of one file are the source, the others the target",
    ),
}

# layouts in which the sets of the tasks come
LAYOUTS: dict[str, tuple[str, ...]] = {
    "NTU RGB+D 60": ("kinect-v2",),
    "NTU RGB+D 120 without its first 60 classes": ("kinect-v2",),
    "PKU-MMD": ("kinect-v2",),
    "Skeletics": ("vibe-25",),
    "FineGym (VIBE poses)": ("vibe-25",),
    "Kinetics-400 (OpenPose)": ("openpose-18",),
    "NTU RGB+D 60 (2D poses)": ("coco-17",),
    "UI-PRMD Vicon": ("ui-prmd-39",),
    "UI-PRMD Kinect": ("ui-prmd-22",),
    "KARD": ("nite-15", "common-15"),
    "UTKinect": ("kinect-v1",),
    "Florence 3D": ("florence-15",),
    "SmartFallMM, young": ("azure-kinect-32",),
    "SHREC'17": ("hand-22",),
}


def task_named(name: str) -> Task:
    """A task of :data:`TASKS`.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in TASKS:
        raise ConfigError(f"there is no task {name!r}; choose from {', '.join(TASKS)}")
    return TASKS[name]
