"""The tables of docs/results/graphs.md: GraphCL and HaLP on it, on TU graph sets.

    python experiments/graphs.py --data GRAPHS --work runs/graphs
    python experiments/graphs.py --data GRAPHS --work runs/graphs --sets MUTAG PROTEINS

GRAPHS holds a folder, or a DS.tar.xz, for each set. Settings are the defaults for every set: nothing was tuned. A seed
that is done is not done again, so the script can be stopped and started at will; the tables are written from whatever
is complete.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from pages import insert

from motet.core.environment import hardware
from motet.core.files import write_json
from motet.engine.table import percent
from motet.methods import graphs

SETS = ("MUTAG", "PROTEINS", "DD", "NCI1")
# HaLP's supplement, Table 8: mean and standard deviation over five seeds
PUBLISHED = {
    "GraphCL": {"NCI1": (77.87, 0.41), "PROTEINS": (74.39, 0.45), "DD": (78.62, 0.40), "MUTAG": (86.80, 1.3)},
    "HaLP on GraphCL": {"NCI1": (78.88, 0.41), "PROTEINS": (74.65, 0.70), "DD": (79.20, 0.60), "MUTAG": (89.35, 1.2)},
}
# (name, method, as released)
VARIANTS = (
    ("graphcl", "graphcl", False),
    ("halp-graphcl", "halp-graphcl", False),
    ("graphcl-released", "graphcl", True),
    ("halp-graphcl-released", "halp-graphcl", True),
)
TITLES = {
    "graphcl": "GraphCL",
    "halp-graphcl": "HaLP on GraphCL",
    "graphcl-released": "GraphCL as released",
    "halp-graphcl-released": "HaLP on GraphCL as released",
}


def folder_of(name: str, args: argparse.Namespace) -> Path | None:
    """The unpacked set; None where there is none."""
    for folder in (args.data / name, args.work / "data" / name):
        if folder.is_dir():
            return folder
    packed = args.data / f"{name}.tar.xz"
    if not packed.exists():
        return None
    with tarfile.open(packed) as file:
        file.extractall(args.work / "data", filter="data")
    return args.work / "data" / name


def trained(name: str, folder: Path, variant: tuple[str, str, bool], args: argparse.Namespace) -> None:
    """Have the result of a variant on a set in its directory; seeds that are there are not trained again."""
    title, method, released = variant
    out = args.work / f"{name}-{title}"
    if (out / "config.json").exists():
        if not (out / "result.json").exists():
            graphs.resume(out)
        return
    # what is not trained is the same for every variant, but for the loops of the released code
    more = {} if released else {"loss": "both-ways"}
    graphs.run(folder, out, method=method, as_released=released, **more, seeds=args.seeds, baselines=title == "graphcl")


def gain(rows: dict[str, list[float]], released: bool) -> str:
    """HaLP minus GraphCL over the same seeds and folds, in points."""
    tail = "-released" if released else ""
    change = [100 * (a - b) for a, b in zip(rows["halp-graphcl" + tail], rows["graphcl" + tail], strict=True)]
    return f"{fmean(change):+.1f} ± {stdev(change):.1f}" if len(change) > 1 else f"{fmean(change):+.1f}"


def table(found: dict[str, Any]) -> list[str]:
    """One row per kind of features, one column per set."""
    names = list(found["sets"])
    kinds = ["label counts", "random encoder", *TITLES]
    lines = [f"| features | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for kind in kinds:
        cells = [found["sets"][n]["rows"].get(kind) for n in names]
        if any(cells):
            lines.append(
                f"| {TITLES.get(kind, kind)} | {' | '.join('–' if c is None else percent(c) for c in cells)} |"
            )
    for released in (False, True):
        needed = {f"{m}{'-released' if released else ''}" for m in ("graphcl", "halp-graphcl")}
        cells = [
            gain(found["sets"][n]["rows"], released) if needed <= set(found["sets"][n]["rows"]) else "–" for n in names
        ]
        if set(cells) != {"–"}:
            lines.append(f"| *gain of HaLP{', as released' if released else ''}* | {' | '.join(cells)} |")
    for method, values in PUBLISHED.items():
        cells = ["{:.2f} ± {:.2f}".format(*values[n]) if n in values else "–" for n in names]
        lines.append(f"| *{method}, published* | {' | '.join(cells)} |")
    return lines


def page(found: dict[str, Any]) -> str:
    sets = ", ".join(f"{n} ({s['graphs']} graphs)" for n, s in found["sets"].items())
    missing = [n for n in SETS if n not in found["sets"]]
    lines = [
        f"TU graph sets: {sets}.",
        "Accuracy in percent of an RBF support vector machine on the 96 features of the encoder, 10-fold",
        "cross-validation with the cost chosen inside each training side; mean ± standard deviation over",
        f"{max(len(s['seeds']) for s in found['sets'].values())} seeds, each with its own folds. Last epoch.",
        "The settings are [the defaults](../methods/graphcl.md) with `--loss both-ways` for every set; nothing was",
        "tuned. *Gain* is the difference over the same seeds and folds. Published figures are those of HaLP's",
        "supplement (Table 8), whose augmentations per set and whose HaLP settings are not given.",
        "",
        *table(found),
        "",
        *([f"Not measured yet: {', '.join(missing)}.", ""] if missing else []),
        "```bash",
        f"python experiments/graphs.py --data GRAPHS --work runs/graphs --sets {' '.join(found['sets'])}",
        "```",
        "",
        f"{found['hardware']['cpu']}, {found['hardware']['threads']} thread, torch {found['torch']}, {found['date']}.",
        "Every seed: [graphs.json](graphs.json).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/graphs"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--variants", nargs="+", choices=[v[0] for v in VARIANTS], default=[v[0] for v in VARIANTS])
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.sets:
        folder = folder_of(name, args)
        if folder is None:
            print(f"{name}: neither a folder nor {name}.tar.xz in {args.data}, left out")
            continue
        for variant in VARIANTS:
            if variant[0] in args.variants:
                trained(name, folder, variant, args)
                publish(args)
    publish(args)


def publish(args: argparse.Namespace) -> None:
    """Write the tables of all results that are complete, whichever call made them."""
    found: dict[str, Any] = {"sets": {}, "published": PUBLISHED, "hardware": hardware(), "torch": torch.__version__}
    found["date"] = datetime.now(UTC).date().isoformat()
    for name in SETS:
        for title, _, _ in VARIANTS:
            path = args.work / f"{name}-{title}" / "result.json"
            if path.exists():
                add(found, name, title, json.loads(path.read_text()))
    if found["sets"]:
        write_json(args.out / "graphs.json", found)
        insert(args.out / "graphs.md", page(found), "GraphCL, and HaLP on it")


def add(found: dict[str, Any], name: str, title: str, result: dict[str, Any]) -> None:
    """One result into the table of its set."""
    start = {"graphs": result["graphs"], "seeds": result["seeds"], "rows": {}, "options": {}}
    entry = found["sets"].setdefault(name, start)
    if result["seeds"] != entry["seeds"]:
        raise SystemExit(
            f"{name}: {title} has the seeds {result['seeds']}, others {entry['seeds']}; use one --work each"
        )
    entry["options"][title] = result["options"]
    for row in result["rows"]:
        kind = row["features"] if row["features"] in (graphs.RAW, graphs.RANDOM) else title
        entry["rows"][kind] = row["values"]


if __name__ == "__main__":
    main()
