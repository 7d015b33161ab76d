"""The tables of docs/results/codt.md: CoDT's modules, their variants and its rivals on pairs of small real sets.

    python experiments/codt.py --data ../shared/data --work runs/codt --out docs/results

Runs that share a task, a seed and the options of pretraining share the pretraining itself (``--pretrained``, bit for
bit the same as pretraining again). Every cell is a run directory; what is done is not done again and what was
interrupted goes on, so the script can be stopped and started at will. Whatever is complete is written to codt.json, and
as tables between the markers of codt.md; what is not complete is named.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pages import insert
from torch import Tensor

import motet
from motet.core.environment import hardware
from motet.core.files import write_json
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.formats import import_dataset
from motet.engine.run import Run
from motet.memory.kmeans import spherical_kmeans
from motet.methods import discovery as discover
from motet.methods.discovery.clusters import estimate, joined
from motet.methods.discovery.data import Clips, fitting, retargetable, sides
from motet.methods.discovery.views import whole_clips
from motet.metrics.clusters import cluster_scores

FILES = {
    "UI-PRMD Vicon": "ui_prmd_vicon",
    "UI-PRMD Kinect": "ui_prmd_kinect",
    "KARD": "kard",
    "UTKinect": "utkinect",
    "Florence 3D": "florence3d",
    "SmartFallMM, young": "smartfallmm_young",
    "SHREC'17": "shrec17_hand_train",
}
METRICS = ("purity", "hungarian_accuracy", "nmi", "ari")
RESTARTS = 10
SENSORS = ("vicon-kinect", "kinect-vicon")  # tasks whose two sets are one exercise programme seen by two sensors
IMBALANCED = ("vicon-kinect", "ui-prmd-kard")
KEPT = (1.0, 0.6, 0.35, 0.2)  # shares of their training clips that the classes of an imbalanced target keep, in turn


@dataclass(frozen=True)
class Entry:
    """A row of a table.

    Attributes:
        title: its name.
        options: of :func:`motet.methods.discovery.run`, beside those of the task.
        start: "cmd" to begin with the encoder of a CMD pretraining.
        by: which of a result's rows count.
    """

    title: str
    options: dict[str, Any] = field(default_factory=dict)
    start: str = ""
    by: str = "classifier"

    @property
    def folder(self) -> str:
        """Name of its run directory."""
        words = [self.start, *(f"{k}-{v}" for k, v in self.options.items())]
        return "_".join(w for w in words if w) or "codt"


BASE = Entry("BM, k-means", {"method": "bm"}, by="kmeans")
FROM_CMD = Entry("BM from CMD, k-means", {"method": "bm"}, "cmd", "kmeans")
ENTRIES = (
    BASE,
    Entry("BM + OCM", {"method": "ocm"}),
    Entry("CoDT: + OCM + CCM"),
    Entry("CoDT with CCM-FP", {"pairs": "features"}),
    Entry("CoDT with CCM-PF", {"pairs": "cosine"}),
    Entry("CoDT, exactly balanced labels", {"rounding": "balanced"}),
    FROM_CMD,
    Entry("CoDT from CMD", {}, "cmd"),
    Entry("SeLa", {"method": "sela"}),
    Entry("UNO", {"method": "uno"}),
    Entry("MMT", {"method": "mmt"}),
    Entry("AutoNovel", {"method": "autonovel"}),
)


@dataclass(frozen=True)
class Study:
    """A task with its archives and where its runs are.

    Attributes:
        name: a name of ``discover.TASKS``.
        source, target: archives.
        folder: of its runs.
        common: options of every run.
        steps: of MoCo and CMD.
    """

    name: str
    source: MotionArchive
    target: MotionArchive
    folder: Path
    common: dict[str, Any]
    steps: int

    def rows(self) -> discover.data.Sides:
        """Who is source, who trains, who is judged."""
        known = discover.TASKS[self.name]
        names = ("source_split", "target_split", "source_classes", "target_classes")
        return sides(self.source, self.target, **{n: getattr(known, n) for n in names})


def archive(data: Path, work: Path, name: str) -> MotionArchive:
    """A set by its name in the tasks, imported once."""
    path = work / "archives" / f"{FILES[name]}.motet"
    if not path.exists():
        import_dataset("npz", data / "skeleton" / f"{FILES[name]}.npz", path, progress=False)
    return MotionArchive.open(path)


def subset(archive: MotionArchive, rows: npt.NDArray[np.int64], path: Path) -> MotionArchive:
    """Some clips of an archive as one of their own, written once."""
    if path.exists():
        return MotionArchive.open(path)
    options = {"units": archive.units, "fps": archive.fps, "class_names": archive.class_names}
    with ArchiveWriter(path, skeleton=archive.skeleton, channels=archive.channels, **options) as writer:
        for i in rows.tolist():
            row = archive.clips.row(i, named=True)
            writer.add(archive.clip(i), name=row["name"], label=row["label"], subject=row["subject"])
    return MotionArchive.open(path)


def single(out: Path, source: MotionArchive, target: MotionArchive, options: dict[str, Any]) -> dict[str, Any]:
    """One discovery, or the rest of it, or its result."""
    if (out / "config.json").exists():
        return discover.resume(out, source=source.path, target=target.path, progress=False)
    began = time.process_time()
    found = discover.run(source, target, out, progress=False, **options)
    write_json(out / "seconds.json", round(time.process_time() - began, 1))
    return found


def discovered(study: Study, entry: Entry, seed: int) -> dict[str, Any]:
    """An entry's result; its pretraining is that of the base with the same start."""
    folder = study.folder / f"seed-{seed}"
    options: dict[str, Any] = {"task": study.name, "seed": seed, **study.common}
    if entry.start:
        options["start"] = str(pretrained(study, entry.start, seed).path)
    base = FROM_CMD if entry.start else BASE
    out = folder / base.folder
    found = single(out, study.source, study.target, {**options, **base.options})
    if entry is not base:
        options["pretrained"] = str(out)
        out = folder / entry.folder
        found = single(out, study.source, study.target, {**options, **entry.options})
    return found


def pretrained(study: Study, method: str, seed: int) -> Run:
    """MoCo or CMD on the target's training clips of the task's classes."""
    parts = study.rows()
    labels = "-".join(map(str, discover.TASKS[study.name].target_classes)) or "all"
    name = f"{study.target.path.stem}-{labels}"
    root = study.folder.parent / "features"
    clips = subset(study.target, np.union1d(parts.train, parts.test), root / f"{name}.motet")
    out = root / f"{name}-{method}-{seed}"
    if (out / "model.safetensors").exists():
        return Run.open(out)
    if (out / "config.json").exists():
        return motet.methods.pretrain.resume(out, progress=False)
    batch = min(64, len(parts.train))
    epochs = -(-study.steps // (len(parts.train) // batch))
    settings = settings_of(study)
    options: dict[str, Any] = {"streams": ("joint",)} if method == "moco" else {}
    options |= {name: getattr(settings, name) for name in ("frames", "preprocess", "hidden", "layers")}
    return motet.pretrain(
        f"{method}/small", clips, out, epochs=epochs, seed=seed, split="odd-even", progress=False, **options
    )


def settings_of(study: Study) -> discover.Settings:
    """What a discovery of the task runs with."""
    known = discover.TASKS[study.name]
    settings = discover.SETTINGS["small"].with_options(study.common)
    archives = (*retargetable(study.source, study.target), study.target)
    return settings.with_options({"preprocess": fitting(known.preprocess or settings.preprocess, archives)})


def clustered(features: Tensor, labels: npt.NDArray[np.int64], clusters: int, seed: int) -> dict[str, float]:
    """Means over ten starts of spherical k-means."""
    found = [
        cluster_scores(
            labels, spherical_kmeans(features, clusters, iterations=100, seed=RESTARTS * seed + r).assignment
        )
        for r in range(RESTARTS)
    ]
    return {m: fmean(f[m] for f in found) for m in METRICS}


def raw(study: Study, seed: int) -> list[dict[str, Any]]:
    """K-means on the coordinates of the preprocessed clips, less their mean."""
    settings = settings_of(study)
    clips = Clips(study.source, study.target, study.rows(), settings.preprocess, "cpu")
    found = []
    for branch, store in zip(("B0", "B1"), clips.target, strict=True):
        x = whole_clips(store, clips.judged, settings.frames).flatten(1)
        scores = clustered(
            x - x.mean(dim=0), clips.judged_labels.numpy(), discover.TASKS[study.name].clusters or 2, seed
        )
        found.append({"branch": branch, "by": "kmeans", **scores})
    return found


def by_features(study: Study, method: str, seed: int) -> list[dict[str, Any]]:
    """K-means on the joint stream's features of MoCo or CMD."""
    model, parts = pretrained(study, method, seed).model(), study.rows()
    store = model.store(study.target, parts.test)
    features = model.encode(store, torch.from_numpy(parts.test))["joint"]
    labels = study.target.labels[parts.test]
    scores = clustered(features, labels, discover.TASKS[study.name].clusters or 2, seed)
    return [{"branch": "B1", "by": "kmeans", **scores}]


def main_rows(study: Study) -> dict[str, Callable[[int], list[dict[str, Any]]]]:
    """Title of each row of a task's table → its scores of a seed, by branch."""

    def of(entry: Entry) -> Callable[[int], list[dict[str, Any]]]:
        def scores(seed: int) -> list[dict[str, Any]]:
            return [r for r in discovered(study, entry, seed)["rows"] if r["by"] == entry.by]

        return scores

    return {
        "raw coordinates, k-means": lambda seed: raw(study, seed),
        "MoCo features, k-means": lambda seed: by_features(study, "moco", seed),
        "CMD features, k-means": lambda seed: by_features(study, "cmd", seed),
        **{entry.title: of(entry) for entry in ENTRIES},
    }


def sensor_purity(study: Study, entry: Entry, seed: int) -> float:
    """How far clusters of both sets together only tell the sensors apart; one half would be not at all.

    K-means, ten clusters for the ten exercises, on the shared branch's features of all clips of both sets.
    """
    discovered(study, entry, seed)
    model = discover.load(study.folder / f"seed-{seed}" / entry.folder)
    return _purity([torch.from_numpy(model.shared(a)) for a in (study.source, study.target)])


def raw_sensor_purity(study: Study, preprocess: str) -> float:
    """The same of the preprocessed coordinates."""
    settings = discover.SETTINGS["small"].with_options(study.common)
    parts = []
    for shown in retargetable(study.source, study.target):
        store = motet.data.loader.ClipStore(shown, preprocess=preprocess)
        parts.append(whole_clips(store, store.ids, settings.frames).flatten(1))
    mean = torch.cat(parts).mean(dim=0)
    return _purity([x - mean for x in parts])


def _purity(features: Sequence[Tensor]) -> float:
    count = min(len(f) for f in features)
    some = torch.cat([f[torch.linspace(0, len(f) - 1, count).long()] for f in features])
    made = spherical_kmeans(some, 10, iterations=100, restarts=10)
    return cluster_scores(np.repeat([0, 1], count), made.assignment)["purity"]


def unbalanced(study: Study, seed: int) -> dict[str, list[dict[str, Any]]]:
    """The target loses most training clips of some classes; its test clips stay as they are."""
    parts, seed_folder = study.rows(), study.folder / f"seed-{seed}"
    labels, keep = study.target.labels, [parts.test]
    counts = []
    for place, label in enumerate(np.unique(labels[parts.train])):
        rows = parts.train[labels[parts.train] == label]
        counts.append(max(2, round(KEPT[place % len(KEPT)] * len(rows))))
        keep.append(rows[np.linspace(0, len(rows) - 1, counts[-1]).round().astype(int)])
    target = subset(study.target, np.sort(np.concatenate(keep)), study.folder / "unbalanced.motet")
    options: dict[str, Any] = {"task": study.name, "seed": seed, **study.common}
    base = seed_folder / "unbalanced-bm"
    found = {"BM, k-means": single(base, study.source, target, {**options, "method": "bm"})["rows"]}
    found["BM, k-means"] = [r for r in found["BM, k-means"] if r["by"] == "kmeans"]
    shares = tuple(c / sum(counts) for c in counts)
    kinds: dict[str, dict[str, Any]] = {
        "equal sizes": {},
        "sizes half free (balance 0.5)": {"balance": 0.5},
        "sizes nearly free (balance 0.1)": {"balance": 0.1},
        "true sizes (shares)": {"shares": shares},
        "true sizes, exactly": {"shares": shares, "rounding": "balanced"},
    }
    for number, (title, extra) in enumerate(kinds.items()):
        out = seed_folder / f"unbalanced-{number}"
        result = single(out, study.source, target, {**options, **extra, "pretrained": str(base)})
        found[f"CoDT, {title}"] = [r for r in result["rows"] if r["by"] == "classifier"]
    return found


def unknown(study: Study, seed: int) -> dict[str, Any]:
    """The estimated number of clusters of a pretraining, and what twice the true number gives."""
    discovered(study, BASE, seed)
    known = discover.TASKS[study.name]
    base = study.folder / f"seed-{seed}" / BASE.folder
    model = discover.load(base)
    pair = [x[torch.from_numpy(study.rows().train)] for x in model.features(study.target)]
    found = estimate(joined(pair), seed=seed)
    options = {"task": study.name, "seed": seed, **study.common, "pretrained": str(base)}
    out = study.folder / f"seed-{seed}" / "over"
    twice = single(out, study.source, study.target, {**options, "clusters": 2 * (known.clusters or 1)})
    rows = [r for r in twice["rows"] if r["by"] == "classifier"]
    return {"true": known.clusters, "estimated": found["clusters"], "evidence": found["evidence"], "rows": rows}


def shown(values: Sequence[float]) -> str:
    """Mean and sample standard deviation in percent."""
    percent = [100 * v for v in values]
    return f"{fmean(percent):.1f} ± {stdev(percent):.1f}" if len(percent) > 1 else f"{percent[0]:.1f}"


def lines(found: dict[str, dict[str, list[dict[str, Any]]]]) -> Iterator[str]:
    """Rows of Markdown from title → seed → scores by branch."""
    yield "| method | branch | purity | Hungarian | NMI | ARI |"
    yield "|---|---|---|---|---|---|"
    for title, seeds in found.items():
        for branch in ("B0", "B1", "B0+B1"):
            rows = [r for scores in seeds.values() for r in scores if r["branch"] == branch]
            if rows:
                cells = " | ".join(shown([r[m] for r in rows]) for m in METRICS)
                yield f"| {title} | {branch} | {cells} |"


def overview(figures: dict[str, Any]) -> Iterator[str]:
    """Rows of Markdown: means over the tasks that are complete, and over how many of them a method is above BM."""
    tasks = {
        name: found
        for name, found in figures["tasks"].items()
        if all(len(seeds) == len(figures["seeds"]) for seeds in found.values())
    }
    if not tasks:
        return

    def mean(name: str, title: str, branch: str, metric: str) -> float | None:
        rows = [r[metric] for scores in tasks[name][title].values() for r in scores if r["branch"] == branch]
        return fmean(rows) if rows else None

    yield f"### All {len(tasks)} tasks"
    yield ""
    yield "| method | Hungarian B0 | NMI B0 | Hungarian B1 | NMI B1 | tasks above BM, B1 |"
    yield "|---|---|---|---|---|---|"
    base = {name: mean(name, BASE.title, "B1", "hungarian_accuracy") or 0 for name in tasks}
    for title in next(iter(tasks.values())):
        cells = []
        for branch in ("B0", "B1"):
            for metric in ("hungarian_accuracy", "nmi"):
                each = [mean(name, title, branch, metric) for name in tasks]
                known = [x for x in each if x is not None]
                cells.append(f"{100 * fmean(known):.1f}" if len(known) == len(tasks) else "–")
        above = sum((mean(name, title, "B1", "hungarian_accuracy") or 0) > base[name] for name in tasks)
        cells.append("–" if title == BASE.title else f"{above} of {len(tasks)}")
        yield f"| {title} | {' | '.join(cells)} |"
    yield ""


def text(figures: dict[str, Any]) -> str:
    """All tables as Markdown."""
    parts = [*overview(figures)]
    for name, found in figures["tasks"].items():
        known = discover.TASKS[name]
        missing = [t for t, seeds in found.items() if len(seeds) < len(figures["seeds"])]
        parts += [f"### {known.source} → {known.target} (`{name}`, {known.clusters} clusters)", "", *lines(found), ""]
        parts += [f"Not complete: {', '.join(missing)}.", ""] if missing else []
    for name, found in figures["unbalanced"].items():
        parts += [f"### A target that is not balanced (`{name}`)", "", *lines(found), ""]
    if figures["sensors"]:
        parts += ["### Clusters of both sensors together: share of the commoner sensor", ""]
        parts += ["| features | " + " | ".join(f"`{t}`" for t in figures["sensors"]) + " |"]
        parts += ["|---" * (1 + len(figures["sensors"])) + "|"]
        for title in next(iter(figures["sensors"].values())):
            cells = [shown(list(v[title].values())) if v.get(title) else "–" for v in figures["sensors"].values()]
            parts.append(f"| {title} | " + " | ".join(cells) + " |")
        parts.append("")
    if figures["unknown"]:
        parts += ["### The number of clusters", ""]
        parts += ["| task | classes | estimated, by seed | twice the classes: purity / Hungarian / NMI of B0 | of B1 |"]
        parts += ["|---|---|---|---|---|"]
        for name, seeds in figures["unknown"].items():
            cells = []
            for branch in ("B0", "B1"):
                rows = [r for one in seeds.values() for r in one["rows"] if r["branch"] == branch]
                cells.append(" / ".join(shown([r[m] for r in rows]) for m in METRICS[:3]))
            estimates = ", ".join(str(one["estimated"]) for one in seeds.values())
            parts.append(f"| `{name}` | {next(iter(seeds.values()))['true']} | {estimates} | {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


class Ledger:
    """codt.json, filled cell by cell; a cell that is there is not made again."""

    def __init__(self, path: Path, seeds: Sequence[int], common: dict[str, Any]) -> None:
        self.path = path
        kinds = ("tasks", "unbalanced", "sensors", "unknown")
        self.figures: dict[str, Any] = {"seeds": list(seeds), "options": common, **{k: {} for k in kinds}}
        if path.exists():
            self.figures |= json.loads(path.read_text())
        self.figures |= {"seeds": sorted({*self.figures["seeds"], *seeds}), "hardware": hardware(), "options": common}

    def cell(self, *keys: str, make: Callable[[], Any]) -> Any:
        """The value at a path of keys, made and saved if it is missing."""
        place = self.figures
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        if keys[-1] not in place:
            began = time.process_time()
            place[keys[-1]] = make()
            write_json(self.path, self.figures)
            print(f"{' / '.join(keys)}: {time.process_time() - began:.0f} s", flush=True)
        return place[keys[-1]]


def fill(ledger: Ledger, study: Study, seed: int) -> None:
    """All cells of a task and a seed."""
    at = str(seed)
    for title, scores in main_rows(study).items():
        ledger.cell("tasks", study.name, title, at, make=lambda f=scores: f(seed))
    ledger.cell("unknown", study.name, at, make=lambda: unknown(study, seed))
    if study.name in SENSORS:
        for preprocess in ("first-frame", "yaw"):
            title = f"raw coordinates, {preprocess}"
            ledger.cell("sensors", study.name, title, at, make=lambda p=preprocess: raw_sensor_purity(study, p))
        for entry in ENTRIES:
            ledger.cell("sensors", study.name, entry.title, at, make=lambda e=entry: sensor_purity(study, e, seed))
    if study.name in IMBALANCED:
        made: dict[str, Any] = {}
        known = ledger.figures["unbalanced"].get(study.name, {})
        if not known or any(at not in seeds for seeds in known.values()):
            made = unbalanced(study, seed)
        for title, rows in made.items():
            ledger.cell("unbalanced", study.name, title, at, make=lambda r=rows: r)


def main() -> None:
    """Make what is missing, write the tables after every task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    at_hand = [n for n, t in discover.TASKS.items() if t.source in FILES and t.target in FILES]
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--tasks", nargs="+", default=at_hand, choices=at_hand)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200, help="of MoCo and CMD")
    parser.add_argument("--tables", action="store_true", help="make nothing, write the tables again")
    parser.add_argument("--options", type=json.loads, default={}, help="of every run, as JSON: '{\"epochs\": 5}'")
    given = parser.parse_args()
    torch.set_num_threads(1)
    ledger = Ledger(given.out / "codt.json", given.seeds, given.options)
    for seed in given.seeds if not given.tables else ():
        for name in given.tasks:
            known = discover.TASKS[name]
            pair = [archive(given.data, given.work, n) for n in (known.source, known.target)]
            fill(ledger, Study(name, pair[0], pair[1], given.work / name, given.options, given.steps), seed)
            insert(given.out / "codt.md", text(ledger.figures), "CoDT")
    insert(given.out / "codt.md", text(ledger.figures), "CoDT")


if __name__ == "__main__":
    main()
