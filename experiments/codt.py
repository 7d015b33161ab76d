"""docs/results/codt.md: CoDT's modules, their variants and its baselines on pairs of small real sets.

Rows of one table share their pretraining, which is bit for bit what each would have done by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.foundation import GRU
from experiments.sets import KEPT, imbalanced
from motet.data import edit
from motet.data.archive import MotionArchive
from motet.methods import discovery as discover
from motet.methods.discovery import baselines
from motet.methods.discovery.baselines import RAW, UNTRAINED
from motet.reproduce import Measure, Row, Steps, Table, Training
from motet.reproduce.measures import CLUSTERS, clusters, estimated, sensor_purity
from motet.reproduce.page import Found, Page, Part, means
from motet.reproduce.sources import derived, npz

FILES = {
    "UI-PRMD Vicon": "ui_prmd_vicon",
    "UI-PRMD Kinect": "ui_prmd_kinect",
    "KARD": "kard",
    "UTKinect": "utkinect",
    "Florence 3D": "florence3d",
    "SmartFallMM, young": "smartfallmm_young",
    "SHREC'17": "shrec17_hand_train",
}
TASKS = {n: t for n, t in discover.TASKS.items() if t.source in FILES and t.target in FILES}
HANDS = "shrec"
SENSORS = ("vicon-kinect", "kinect-vicon")  # one exercise programme seen by two sensors
IMBALANCED = ("vicon-kinect", "ui-prmd-kard")
CMD = Training(GRU["cmd"], {"epochs": Steps(200)})
KMEANS, LAYER = "kmeans", "classifier"


def scores() -> tuple[Measure, ...]:
    """Of both branches."""
    return tuple(Measure(f"{t} {b}", {"branch": b, "metric": m}) for b in ("B0", "B1") for t, m in CLUSTERS)


def row(title: str, method: str, by: str = LAYER, **options: Any) -> Row:
    """A row of discovery."""
    return Row(title, Training(method, options), pick={"by": by})


ROWS = (
    row("BM, k-means", "bm", KMEANS),
    row("BM + OCM", "ocm"),
    row("CoDT: + OCM + CCM", "codt"),
    row("CoDT with CCM-FP", "codt", pairs="features"),
    row("CoDT with CCM-PF", "codt", pairs="cosine"),
    row("CoDT, exactly balanced labels", "codt", rounding="balanced"),
    row("BM from CMD, k-means", "bm", KMEANS, start=CMD),
    row("CoDT from CMD", "codt", start=CMD),
    row("SeLa", "sela"),
    row("UNO", "uno"),
    row("MMT", "mmt"),
    row("AutoNovel", "autonovel"),
)


def part(task: str, name: str, title: str, measures: tuple[Measure, ...], rows: tuple[Row, ...]) -> Part:
    """A table of a task; of those called imbalanced, on a target whose classes differ in size."""
    table = Table(f"codt/{task}-{name}", title, "discover", "this project", measures, rows)
    source, target = npz(FILES[TASKS[task].source]), npz(FILES[TASKS[task].target])
    target = imbalanced(task, target, source) if name.endswith("imbalanced") else target
    return Part(table, source, target, options={"task": task})


def main_part(task: str) -> Part:
    """All rows of a task; of two sensors also what their clusters say about the sensor."""
    known = TASKS[task]
    sensor = (Measure("share of the commoner sensor", read=sensor_purity),) if task in SENSORS else ()
    measures = (*scores(), *sensor)
    return part(task, "methods", f"{known.source} → {known.target} ({task}, {known.clusters} clusters)", measures, ROWS)


def number_of_clusters(task: str) -> Part:
    """The estimated number of clusters, and what twice the true number gives."""
    twice = 2 * (TASKS[task].clusters or 1)
    rows = (row("BM", "bm", KMEANS), row("CoDT, twice the clusters", "codt", clusters=twice))
    measures = (*scores(), Measure("estimated clusters", read=estimated, unit=""))
    return part(task, "number", f"The number of clusters: {task}, {TASKS[task].clusters} classes", measures, rows)


WEIGHTS = baselines.WEIGHTS + "body"
ITSELF = {"recipe": ""}  # what the verb takes without one


def plain(*features: str) -> tuple[Row, ...]:
    """k-means without a discovery."""
    return tuple(Row(f"k-means, {name}", Training("codt", ITSELF), pick={"features": name}) for name in features)


def default(task: str) -> Part:
    """What `motet discover` does by itself, and k-means without it; of hands also what a pretraining on them gives."""
    known = TASKS[task]
    rows = (
        *plain(RAW, UNTRAINED, baselines.WEIGHTS + "hand" if HANDS in task else WEIGHTS),
        row("motet discover", "codt", **ITSELF),
        row("the same before fine-tuning", "codt", **ITSELF, finetune_epochs=0),
        *((row("after motet pretrain cmd", "codt", **ITSELF, start=Training("cmd/small")),) if HANDS in task else ()),
    )
    title = f"The default: {known.source} → {known.target} ({task}, {known.clusters} clusters)"
    return part(task, "default", title, scores(), rows)


def default_imbalanced(task: str) -> Part:
    """The default on a target whose classes differ in size."""
    half = row("motet discover --balance 0.5", "codt", **ITSELF, balance=0.5)
    rows = (*plain(RAW, WEIGHTS), row("motet discover", "codt", **ITSELF), half)
    return part(task, "default-imbalanced", f"The default on a target that is not balanced: {task}", scores(), rows)


def features(task: str) -> Part:
    """k-means on raw coordinates and on features of MoCo and CMD, with the clips and sizes of the discoveries."""
    known, settings = TASKS[task], discover.SETTINGS["small"]

    def chosen(archive: MotionArchive, path: Path) -> object:
        labels = ", ".join(map(str, known.target_classes or range(len(archive.class_names))))
        return edit.select(archive, path, where=f"label in ({labels})")

    options: dict[str, Any] = {n: getattr(settings, n) for n in ("frames", "hidden", "layers")}
    options |= {"preprocess": known.preprocess or settings.preprocess, "epochs": Steps(200), "split": "odd-even"}
    rows = (
        Row("MoCo features, k-means", Training(GRU["moco"], {**options, "streams": ("joint",)})),
        Row("CMD features, k-means", Training(GRU["cmd"], options)),
    )
    title = f"k-means on features of {known.target}: {task}"
    table = Table(f"codt/{task}-features", title, "pretrain", "this project", clusters("joint"), rows)
    return Part(table, derived(f"{task}-target", npz(FILES[known.target]), chosen))


def imbalance(task: str) -> Part:
    """Balanced labels on a target whose classes differ in size."""
    # both targets have as many training clips of every class
    sizes = [KEPT[i % len(KEPT)] for i in range(TASKS[task].clusters or 1)]
    true = tuple(size / sum(sizes) for size in sizes)
    rows = (
        row("BM, k-means", "bm", KMEANS),
        row("CoDT, equal sizes", "codt"),
        row("CoDT, sizes half free (balance 0.5)", "codt", balance=0.5),
        row("CoDT, sizes nearly free (balance 0.1)", "codt", balance=0.1),
        row("CoDT, true sizes (shares)", "codt", shares=true),
        row("CoDT, true sizes, exactly", "codt", shares=true, rounding="balanced"),
    )
    return part(task, "imbalanced", f"A target that is not balanced: {task}", scores(), rows)


def summary(found: Sequence[Found]) -> list[str]:
    """Means over the tasks: of the default, over those too whose layout the weights read."""
    measures = [f"{m} {b}" for b in ("B0", "B1") for m in ("NMI", "Hungarian")]
    default, methods = ([f for f in found if f["table"].endswith(end)] for end in ("-default", "-methods"))
    bodies = [f for f in default if HANDS not in f["table"]]
    return [
        *means(default, "The default, all tasks", measures, base=f"k-means, {RAW}"),
        *means(bodies, "The default, tasks of bodies", measures, base=f"k-means, {WEIGHTS}"),
        *means(methods, "All tasks, GRU", measures, base="BM, k-means"),
    ]


MAKERS: tuple[tuple[Callable[[str], Part], Sequence[str]], ...] = (
    (default, tuple(TASKS)),
    (default_imbalanced, IMBALANCED),
    (main_part, tuple(TASKS)),
    (features, tuple(TASKS)),
    (imbalance, IMBALANCED),
    (number_of_clusters, tuple(TASKS)),
)
PAGE = Page(
    "codt",
    "CoDT and its baselines on small real sets",
    tuple(make(task) for make, tasks in MAKERS for task in tasks),
    summary,
)
