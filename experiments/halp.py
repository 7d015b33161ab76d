"""The tables of docs/results/halp.md: HaLP beside its hosts on small real sets, and what it depends on.

    python experiments/halp.py --data ../shared/data --work runs/halp

Trainings are `motet pretrain` commands of their own; what is done already is not done again, so the script can be
stopped and started at will, and each part (--parts) by itself. All figures go into halp.json; the tables, from whatever
is complete, between the markers of halp.md. Settings are those of the small recipes, chosen on held-out training
subjects for MoCo and CMD; none was chosen for HaLP or AimCLR.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from foundation import PRECISION, SETS, TITLES, Set, archive_of, command, epochs_for, finished, train_all
from pages import insert
from scipy.stats import t

from motet.core.environment import hardware
from motet.core.files import write_json
from motet.data.archive import MotionArchive
from motet.engine.table import RANDOM, RAW, percent
from motet.reproduce.compare import Entry, study

# what differs from halp/small on the joint stream; None is the host without the term
ABLATIONS: dict[str, dict[str, dict[str, Any] | None]] = {
    "host": {"MoCo": None, "HaLP": {}},
    "filter": {f: {"filter": f} for f in ("variant-1", "variant-2", "none")},
    "positives G": {str(g): {"positives": g} for g in (1, 10)},
    "start (share of the epochs)": {str(s): {"halp_start": s} for s in (0.0, 0.67, 0.89)},
    "weight μ": {str(m): {"halp_weight": m} for m in (0.5, 2.0)},
    "hardness λ": {str(h): {"hardness": h} for h in (0.0, 1.0)},
    "recent keys": {str(r): {"recent": r} for r in (128,)},
    "prototypes N": {str(n): {"prototypes": n} for n in (5, 40)},
    "no queue": {
        "without HaLP": {"prototypes_from": "batch", "halp_weight": 0.0},
        "batch": {"prototypes_from": "batch"},
        "keys": {"prototypes_from": "keys"},
    },
}
OTHER_HOSTS: dict[str, dict[str, Any]] = {
    "SGD": {"optimiser": "sgd", "lr": 0.05},
    "twice the epochs": {"epochs": 2},
    "four people train": {"split": "subjects:3,7,9,11", "epochs": 2.5},  # about as many steps
}
RATIOS = (0.05, 0.1)


def main_entries(which: Set, archive: MotionArchive) -> list[Entry]:
    """The six methods; AimCLR learns the joint stream, with the GRU and, on skeletons, with its own encoder."""
    epochs = epochs_for(archive, which.steps)
    common = {**which.options, "precision": PRECISION, "epochs": epochs}
    base = {**common, "streams": which.streams}
    rows = [Entry(m, f"{m}/small", base) for m in ("moco", "halp", "cmd", "halp-cmd")]
    joint = {**common, "streams": ("joint",), "encoder": "gru", "attention_drop": False}
    if not archive.skeleton.mirror:
        joint["extreme"] = ("rotate", "noise", "blur", "axis-mask")  # a hand or a watch has no sides to swap
    rows += [Entry(f"{m}, GRU", f"{m}/small", joint) for m in ("aimclr", "halp-aimclr")]
    return rows


def graph_entries(which: Set, archive: MotionArchive) -> list[Entry]:
    """AimCLR as published: with the ST-GCN and its attention drop; half as many steps, each costs ten of the others."""
    common = {**which.options, "precision": PRECISION, "epochs": epochs_for(archive, which.steps // 2)}
    if not archive.skeleton.mirror:
        common["extreme"] = ("rotate", "noise", "blur", "axis-mask")
    return [Entry(m, f"{m}/small", {**common, "streams": ("joint",)}) for m in ("aimclr", "halp-aimclr")]


def ablation_entries(which: Set, archive: MotionArchive) -> list[Entry]:
    """Everything around halp/small, joint stream alone."""
    epochs = epochs_for(archive, which.steps)
    base = {**which.options, "streams": ("joint",), "precision": PRECISION, "epochs": epochs}
    rows = []
    for part, values in ABLATIONS.items():
        for value, change in values.items():
            name = value if part == "host" else f"{part} {value}"
            if change is None:
                rows.append(Entry(name, "moco/small-gru", base))
                continue
            options = dict(change)
            if "halp_start" in options:
                options["halp_start"] = round(options["halp_start"] * epochs)
            rows.append(Entry(name, "halp/small-gru", {**base, **options}))
    return rows


def host_entries(which: Set, archive: MotionArchive) -> list[Entry]:
    """MoCo and HaLP under other conditions."""
    epochs = epochs_for(archive, which.steps)
    base = {**which.options, "streams": ("joint",), "precision": PRECISION}
    rows = []
    for name, change in OTHER_HOSTS.items():
        options = {**base, **change, "epochs": round(epochs * change.get("epochs", 1))}
        rows += [Entry(f"{m}, {name}", f"{m}/small", options) for m in ("moco", "halp")]
    return rows


# part → sets it runs on, what it trains, protocols
PARTS: dict[str, tuple[tuple[str, ...], Any, tuple[str, ...]]] = {
    "methods": (("shrec17", "kard", "ui_prmd", "watch"), main_entries, ("knn", "linear-cached", "semi")),
    "ablations": (("shrec17",), ablation_entries, ("knn", "linear-cached")),
    "conditions": (("shrec17",), host_entries, ("knn", "linear-cached")),
    "graph-encoder": (("kard", "shrec17", "ui_prmd"), graph_entries, ("knn", "linear-cached")),
}


def run_part(part: str, which: Set, args: argparse.Namespace) -> dict[str, Any]:
    """Train and judge one part on one set; what the tables are made of."""
    archive, folder = archive_of(which, args.data, args.work), args.work / which.name
    _, entries, protocols = PARTS[part]
    rows = [Entry(folder_name(e.name), e.recipe, e.options) for e in entries(which, archive)]
    names = {folder_name(e.name): e.name for e in entries(which, archive)}
    jobs = [(e, archive.path, folder / e.name / f"seed-{s}", s) for s in args.seeds for e in rows]
    if not args.judge_only:
        train_all(jobs, args.workers)
    complete = [e for e in rows if finished(folder / e.name, args.seeds)]
    found: dict[str, Any] = {"rows": []}
    # an entry with a split of its own is judged on that split, beside raw features of it
    for group in _by_split(complete):
        one = study(
            group,
            archive,
            folder,
            seeds=args.seeds,
            protocols=protocols,
            progress=False,
            linear_cached={"epochs": 80},
            **({"semi": {"ratios": RATIOS, "repeats": 3, "minimum_steps": 200}} if "semi" in protocols else {}),
        )
        known = {(r["features"], r["split"]) for r in found["rows"]}
        new = [
            {**r, "features": names.get(r["features"], r["features"]), "split": one["split"]["rule"]}
            for r in one["rows"]
        ]
        found = {
            **one,
            "split": found.get("split", one["split"]),
            "rows": found["rows"] + [r for r in new if (r["features"], r["split"]) not in known],
        }
    return {
        "part": part,
        "set": which.name,
        **found,
        "archive": {**found["archive"], "path": which.name},
        "missing": [names[e.name] for e in rows if e not in complete],
        "options": {names[e.name]: {"recipe": e.recipe, **e.options} for e in rows},
        "commands": {names[e.name]: " ".join(command(e, Path(which.name), Path("RUN"), 0)) for e in rows},
        "hardware": hardware(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _by_split(rows: list[Entry]) -> list[list[Entry]]:
    groups: dict[Any, list[Entry]] = {}
    for entry in rows:
        groups.setdefault(entry.options.get("split"), []).append(entry)
    return list(groups.values())


def folder_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-._" else "_" for c in name)


# ------------------------------------------------------------------------------------ tables

COLUMNS = (
    ("kNN joint", "knn", "joint", None),
    ("kNN all", "knn", None, None),
    ("linear joint", "linear-cached", "joint", None),
    ("linear all", "linear-cached", None, None),
    ("semi 5 %", "semi", "joint", 0.05),
    ("semi 10 %", "semi", "joint", 0.1),
)


def value(rows: list[dict[str, Any]], features: str, column: tuple[Any, ...]) -> list[float] | None:
    """The figures of a cell over the seeds; None where nothing was measured."""
    _, protocol, stream, ratio = column
    for row in rows:
        if row["features"] != features or row["protocol"] != protocol or row["metric"] != "accuracy":
            continue
        if ratio is not None and row["details"].get("ratio") != ratio:
            continue
        joint = row["ensemble"] is None and row["stream"] == "joint"
        together = row["ensemble"] in ("concat", "mean-logits")
        if joint if stream == "joint" else together:
            return list(row["values"])
    return None


def cell(values: list[float] | None) -> str:
    return "–" if values is None else percent(values)


def gain(rows: list[dict[str, Any]], features: str, base: str, column: tuple[Any, ...]) -> str:
    """Difference in points over the same seeds; in bold if zero lies outside its 95 % interval (Student's t)."""
    mine, other = value(rows, features, column), value(rows, base, column)
    if mine is None or other is None or len(mine) != len(other):
        return "–"
    each = [100 * (a - b) for a, b in zip(mine, other, strict=True)]
    sure = abs(fmean(each)) > t.ppf(0.975, len(each) - 1) * stdev(each) / len(each) ** 0.5
    shown = f"{fmean(each):+.1f} ± {stdev(each):.1f}"
    return f"**{shown}**" if sure else shown


def methods_table(found: dict[str, Any]) -> list[str]:
    """Features in rows, protocols in columns, then what HaLP adds to each host."""
    rows = found["rows"]
    names = list(dict.fromkeys(r["features"] for r in rows))
    shown = [c for c in COLUMNS if any(value(rows, n, c) for n in names)]
    lines = _head(["features", *(c[0] for c in shown)])
    lines += [_line([n, *(cell(value(rows, n, c)) for c in shown)]) for n in names]
    for base in names:
        halp = "halp" if base == "moco" else f"halp-{base}"
        if halp in names:
            lines.append(_line([f"*{halp} − {base}*", *(gain(rows, halp, base, c) for c in shown)]))
    return lines


def ablations_table(found: dict[str, Any]) -> list[str]:
    rows, shown = found["rows"], [c for c in COLUMNS if c[2] == "joint" and c[3] is None]
    names = [RAW, RANDOM, *(n for n in found["options"] if n not in found["missing"])]
    lines = _head(["joint stream", *(c[0] for c in shown), *(f"{c[0]} over MoCo" for c in shown)])
    for name in names:
        gains = [gain(rows, name, "MoCo", c) if name in found["options"] and name != "MoCo" else "–" for c in shown]
        lines.append(_line([name, *(cell(value(rows, name, c)) for c in shown), *gains]))
    return lines


def conditions_table(found: dict[str, Any]) -> list[str]:
    rows, shown = found["rows"], [c for c in COLUMNS if c[2] == "joint" and c[3] is None]
    lines = _head(["condition", *(f"{c[0]}: {w}" for c in shown for w in ("MoCo", "HaLP", "gain"))])
    for name in OTHER_HOSTS:
        moco, halp = f"moco, {name}", f"halp, {name}"
        cells = [
            text
            for c in shown
            for text in (cell(value(rows, moco, c)), cell(value(rows, halp, c)), gain(rows, halp, moco, c))
        ]
        lines.append(_line([name, *cells]))
    return lines


def _head(titles: list[str]) -> list[str]:
    return [_line(titles), "|---" * len(titles) + "|"]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


TABLES = {
    "methods": methods_table,
    "graph-encoder": methods_table,
    "ablations": ablations_table,
    "conditions": conditions_table,
}
HEADINGS = {
    "methods": "methods",
    "graph-encoder": "AimCLR with the graph encoder",
    "ablations": "what HaLP depends on",
    "conditions": "under other conditions",
}


def fill(path: Path, results: dict[str, Any]) -> None:
    """Write all tables into the page."""
    lines: list[str] = []
    for part in PARTS:
        for found in (f for f in results.values() if f["part"] == part):
            facts = found["split"]
            lines += [
                f"### {TITLES[found['set']]}: {HEADINGS[part]}",
                "",
                f"{facts['train']} training and {facts['test']} test clips, {facts['classes']} classes, seeds "
                f"{found['seeds']}.",
                "",
                *TABLES[part](found),
                "",
            ]
            if found["missing"]:
                lines += [f"Not run yet: {', '.join(found['missing'])}.", ""]
    insert(path, "\n".join(lines), "HaLP")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--work", type=Path, default=Path("runs/halp"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--sets", nargs="+", default=[s.name for s in SETS])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--judge-only", action="store_true", help="train nothing; tables of what is complete")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "halp.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for part in args.parts:
        for which in (s for s in SETS if s.name in PARTS[part][0] and s.name in args.sets):
            results[f"{which.name}-{part}"] = run_part(part, which, args)
            write_json(path, results)
            fill(args.out / "halp.md", results)


if __name__ == "__main__":
    main()
