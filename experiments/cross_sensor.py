"""The tables of docs/results/cross_sensor.md: sensors that teach each other, against each sensor alone.

    python experiments/cross_sensor.py --data ../shared/data/skeleton --work runs/cross_sensor

Per set and sensor: MoCo and CMD on the streams of this sensor alone, and CMD on the streams of both. Every row is
judged on the one sensor, so the other helps in pretraining only. All trainings have the same number of steps. What is
done already is not done again, so the script can be stopped and started at will; tables are written from whatever is
complete. About forty minutes on one idle core.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from pages import insert

from motet.core.environment import hardware
from motet.core.files import write_json
from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset
from motet.data.splits import default_rule, split
from motet.engine.run import Run
from motet.engine.table import RANDOM, RAW, Row, percent
from motet.evaluate.runner import run as evaluate
from motet.methods.pretrain import train_seeds

PROTOCOLS = ("knn", "linear-cached")
ALONE, TOGETHER = ("moco", "cmd"), "cmd, both sensors"


@dataclass(frozen=True)
class Set:
    """A set of two sensors.

    Attributes:
        name: of the set.
        title: for readers.
        file: recordings of the main archive.
        sensor: name of the other sensor.
        other: its recordings, where they are a file of their own.
        pair_by: columns that name a performance.
        per_sensor: options of the other sensor.
    """

    name: str
    title: str
    file: str
    sensor: str
    other: str | None = None
    pair_by: tuple[str, ...] = ("name",)
    per_sensor: tuple[str, ...] = ()
    names: tuple[str, str] = field(default=("skeleton", "sensor"))


SETS = (
    Set("utd_mhad", "UTD-MHAD", "utd_mhad.npz", "inertial", names=("skeleton", "inertial sensor")),
    Set("smartfall", "SmartFallMM, young", "smartfallmm_young.npz", "watch", names=("skeleton", "watch")),
    Set(
        "ui_prmd",
        "UI-PRMD",
        "ui_prmd_kinect.npz",
        "vicon",
        "ui_prmd_vicon.npz",
        ("subject", "label", "repetition", "quality"),
        names=("Kinect", "Vicon"),
    ),
)


def archive_of(file: str, args: argparse.Namespace) -> MotionArchive:
    path = args.work / "archives" / Path(file).stem
    if not path.exists():
        import_dataset("npz", args.data / file, path, progress=False, workers=1)
    return MotionArchive.open(path)


def epochs_for(archive: MotionArchive, steps: int) -> int:
    """Epochs that make about the given number of steps."""
    clips = len(split(archive, default_rule(archive)).train)
    return math.ceil(steps / (clips // min(64, clips)))


def trainings(which: Set, args: argparse.Namespace) -> list[tuple[str, str, MotionArchive, dict[str, Any]]]:
    """(row, sensor or empty for the main archive or both, archive, call) of every training."""
    main = archive_of(which.file, args)
    other = main.sensors[which.sensor] if which.other is None else archive_of(which.other, args)
    rule = {"split": default_rule(main), "precision": args.precision}
    found = []
    for place, archive in ((which.names[0], main), (which.names[1], other)):
        options = {**rule, "streams": ("joint", "motion"), "epochs": epochs_for(archive, args.steps)}
        if place == which.names[1] and which.per_sensor:
            options |= {p.split(":", 1)[1].split("=")[0]: json.loads(p.split("=", 1)[1]) for p in which.per_sensor}
        found += [(method, place, archive, options) for method in ALONE]
    both = {
        **rule,
        "streams": ("joint", "motion", f"{which.sensor}:joint", f"{which.sensor}:motion"),
        "epochs": epochs_for(main, args.steps),
        "per_sensor": which.per_sensor,
        "pair_by": which.pair_by,
        "beside": {} if which.other is None else {which.sensor: other.path},
    }
    return [*found, (TOGETHER, "both", main, both)]


def judged(runs: Sequence[Run], folder: Path, args: argparse.Namespace, *, baselines: bool) -> list[Row]:
    found = evaluate(
        list(runs),
        PROTOCOLS,
        seeds=len(args.seeds),
        baselines=baselines,
        json=folder.with_suffix(".json"),
        markdown=folder.with_suffix(".md"),
        progress=False,
        linear_cached={"epochs": 80},
    )
    return [Row.from_dict(r) for r in found["rows"]]


def run_set(which: Set, args: argparse.Namespace) -> dict[str, Any]:
    """Train and judge one set."""
    rows: dict[str, dict[str, dict[str, Any]]] = {place: {} for place in which.names}
    facts: dict[str, Any] = {}
    for row, place, archive, call in trainings(which, args):
        folder = args.work / which.name / f"{row}-{place}".replace(", ", "-").replace(" ", "-")
        recipe = f"{row.split(',')[0]}/small"
        runs = train_seeds(recipe, archive, folder, args.seeds, progress=False, **call)
        places = {place: runs}
        if place == "both":
            inner = [Run.open(r.path / "sensors" / which.sensor) for r in runs]
            places = dict(zip(which.names, (runs, inner), strict=True))
            facts["lacking"] = runs[0].config["sensors"][which.sensor]["lacking"]
            facts["clips"] = len(archive)
        for name, these in places.items():
            first = not rows[name]
            for one in judged(
                these, folder.with_name(f"{folder.name}-on-{name.replace(' ', '-')}"), args, baselines=first
            ):
                kind = one.features if one.features in (RAW, RANDOM) else row
                rows[name].setdefault(kind, {})[f"{one.protocol} {one.stream}"] = list(one.values)
            facts.setdefault("splits", {})[name] = {
                k: these[0].config[k] for k in ("split", "train_clips", "test_clips")
            }
        print(which.name, row, place, flush=True)
    return {"title": which.title, "sensors": which.names, "rows": rows, **facts}


def gain(rows: Mapping[str, Mapping[str, list[float]]], column: str) -> str:
    """Both sensors minus CMD of one, over the same seeds, in points."""
    change = [100 * (a - b) for a, b in zip(rows[TOGETHER][column], rows["cmd"][column], strict=True)]
    return f"{fmean(change):+.1f} ± {stdev(change):.1f}" if len(change) > 1 else f"{fmean(change):+.1f}"


def table(found: Mapping[str, Any]) -> list[str]:
    """One table of a set: a block of rows per sensor."""
    lines = []
    for place in found["sensors"]:
        rows, facts = found["rows"][place], found["splits"][place]
        order = [k for k in (RAW, RANDOM, *ALONE, TOGETHER) if k in rows]
        columns = [c for c in rows[order[-1]] if all(c in rows[k] for k in order)]
        heads = [c.replace("linear-cached", "linear").replace("+", " + ") for c in columns]
        lines += [
            f"**Judged on the {place}**: {facts['train_clips']} training and {facts['test_clips']} test clips, rule "
            f"`{facts['split']}`.",
            "",
            "| features | " + " | ".join(heads) + " |",
            "|---" * (len(heads) + 1) + "|",
            *("| " + " | ".join([k, *(percent(rows[k][c]) for c in columns)]) + " |" for k in order),
            "| *both − one* | " + " | ".join(gain(rows, c) for c in columns) + " |",
            "",
        ]
    return lines


def tables(results: Mapping[str, Any]) -> str:
    """Everything between the markers of the page."""
    lines = []
    for found in results.values():
        lacking = f"{found['lacking']} of {found['clips']} clips lack the {found['sensors'][1]}."
        lines += [f"### {found['title']}", "", *([lacking, ""] if found["lacking"] else []), *table(found)]
    missing = [s.title for s in SETS if s.name not in results]
    lines += [f"Not run yet: {', '.join(missing)}.", ""] if missing else []
    machine = next((r["hardware"] for r in results.values() if "hardware" in r), hardware())
    lines.append(f"{machine['cpu']}, {machine['threads']} threads, torch {torch.__version__}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the compact sets (.npz)")
    parser.add_argument("--work", type=Path, default=Path("runs/cross_sensor"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--sets", nargs="+", choices=[s.name for s in SETS], default=[s.name for s in SETS])
    parser.add_argument("--tables", action="store_true", help="run nothing, write the tables again")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "cross_sensor.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for which in (s for s in SETS if s.name in args.sets and not args.tables):
        facts = {"steps": args.steps, "seeds": args.seeds, "hardware": hardware(), "date": _today()}
        results[which.name] = run_set(which, args) | facts
        results = {s.name: results[s.name] for s in SETS if s.name in results}
        write_json(path, results)
        insert(args.out / "cross_sensor.md", tables(results), "Sensors that teach each other")
    insert(args.out / "cross_sensor.md", tables(results), "Sensors that teach each other")


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


if __name__ == "__main__":
    main()
