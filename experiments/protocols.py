"""The tables of docs/results/protocols.md: every protocol on raw coordinates, random encoders, MoCo and CMD.

    python experiments/protocols.py --data ../shared/data --work runs/foundation

Trainings are those of foundation.py (give its --work folder and they are found there), with MoCo and CMD in fifteen
common joints beside them for the transfers; what is done already is not done again, so the script can be stopped
and started at will. All figures go into protocols.json; the tables, from whatever is complete, between the markers of
protocols.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from foundation import PRECISION, SETS, TITLES, Set, archive_of, command, epochs_for, train_all
from pages import insert

from motet.core.environment import hardware
from motet.core.files import write_json
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.convert import convert
from motet.data.formats import import_dataset
from motet.engine.run import Run
from motet.engine.table import RANDOM, RAW, Row, percent
from motet.evaluate.runner import run as evaluate
from motet.reproduce.compare import Entry

METHODS = ("moco", "cmd")
# in the joints that all of them have: KARD's fifteen do not give UI-PRMD's twenty-two
JOINTS = "common-15"
TRANSFER_SETS = {
    s.name: s
    for s in (
        Set("bandai2-common-15", "skeleton/bandai2.npz", 400),
        Set("ui_prmd-common-15", "skeleton/ui_prmd_kinect.npz", 400),
        Set("kard-common-15", "skeleton/kard.npz", 400),
    )
}
NAMES = {
    **TITLES,
    "bandai2-common-15": "Bandai Namco 2",
    "ui_prmd-common-15": "UI-PRMD, Kinect",
    "kard-common-15": "KARD",
}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "ensemble": {},
    "retrieval": {},
    "cluster": {},
    "semi": {"repeats": 2, "epochs": 30, "minimum_steps": 200},
}
FINE_TUNING = {"epochs": 20, "minimum_steps": 300}
TRANSFERS = tuple(
    (f"{a}-{JOINTS}", f"{b}-{JOINTS}") for a, b in (("ui_prmd", "kard"), ("bandai2", "ui_prmd"), ("bandai2", "kard"))
)
TUNED = ("head", "network")
ORDER = (RAW, RANDOM, *METHODS)


def opened(which: Set, args: argparse.Namespace) -> MotionArchive:
    """A set's archive; of a transfer in the joints that all have, written once."""
    if which.name not in TRANSFER_SETS:
        return archive_of(which, args.data, args.work)
    path = args.work / "archives" / which.name
    if path.exists():
        return MotionArchive.open(path)
    with tempfile.TemporaryDirectory() as folder:
        assert which.file is not None
        own = import_dataset("npz", args.data / which.file, Path(folder) / "own", progress=False, workers=1)
        joints = layouts.get(JOINTS)
        columns = [c for c in own.clips.columns if c in ("label", "subject", "style")]
        with ArchiveWriter(
            path, skeleton=joints, persons=own.persons, fps=own.fps, units=own.units, class_names=own.class_names
        ) as writer:
            for i, row in enumerate(own.clips.iter_rows(named=True)):
                clip = convert(own.clip(i), own.skeleton, joints)
                writer.add(clip, name=row["name"], **{c: row[c] for c in columns})
    return MotionArchive.open(path)


def trained(which: Set, args: argparse.Namespace) -> dict[str, list[Run]]:
    """MoCo's and CMD's runs on a set, one per seed, as foundation.py trains them."""
    archive, folder = opened(which, args), args.work / which.name
    options = {
        **which.options,
        "streams": which.streams,
        "precision": PRECISION,
        "epochs": epochs_for(archive, which.steps),
    }
    entries = [Entry(m, f"{m}/small", options) for m in METHODS]
    jobs = [(e, archive.path, folder / e.name / f"seed-{s}", s) for s in args.seeds for e in entries]
    train_all(jobs, args.workers)
    args.commands[which.name] = {e.name: " ".join(command(e, Path(which.name), Path("RUN"), 0)) for e in entries}
    return {m: [Run.open(folder / m / f"seed-{s}") for s in args.seeds] for m in METHODS}


def judged(
    which: Set, protocol: str, options: dict[str, Any], args: argparse.Namespace, **more: Any
) -> list[dict[str, Any]]:
    """Rows of raw features, random encoders, MoCo and CMD under one protocol."""
    rows: list[dict[str, Any]] = []
    for method, runs in trained(which, args).items():
        found = evaluate(
            runs,
            [protocol],
            seeds=len(args.seeds),
            baselines=method == METHODS[0],
            progress=False,
            **{protocol: options},
            **more,
        )
        rows += [r for r in found["rows"] if r["protocol"] == protocol]
    return rows


def transfer(source: str, target: str, tuned: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Encoders of one set on another: a layer on all streams, or the whole joint network."""
    where = opened(TRANSFER_SETS[target], args)
    options: dict[str, Any] = {"data": (str(where.path),), "tuned": tuned}
    if tuned == "head":
        options["streams"] = TRANSFER_SETS[source].streams
    else:
        options |= FINE_TUNING
    return judged(TRANSFER_SETS[source], "transfer", options, args)


# ------------------------------------------------------------------------------------ tables

Column = tuple[str, Callable[[Row], bool]]


def _is(row: Row, *, together: bool, **wanted: Any) -> bool:
    """Whether a row is of the joint stream, or of all, with some details or a metric."""
    if (row.ensemble is not None) != together or (not together and row.stream != "joint"):
        return False
    return all(getattr(row, k, row.details.get(k)) == v for k, v in wanted.items())


def columns(protocol: str, rows: Sequence[Row]) -> list[Column]:
    """Titles of a table's columns and which row each of them shows."""
    if protocol == "semi":
        ratios = sorted({r.details["ratio"] for r in rows})
        return [(f"{100 * x:g} %", lambda r, x=x: r.details["ratio"] == x) for x in ratios]
    if protocol == "ensemble":
        return [(e, lambda r, e=e: r.ensemble == e) for e in dict.fromkeys(r.ensemble for r in rows) if e]
    parts = [("joint", False), ("all", True)]
    if protocol == "retrieval":
        return [
            (f"{m} {name}", lambda r, m=m, t=t: _is(r, together=t, metric=m))
            for name, t in parts
            for m in ("R@1", "R@5", "mAP")
        ]
    if protocol == "cluster":
        return [
            (f"{title} {name}", lambda r, m=m, t=t: _is(r, together=t, metric=m, algorithm="spherical k-means"))
            for name, t in parts
            for title, m in (("purity", "purity"), ("Hungarian", "hungarian_accuracy"), ("NMI", "nmi"), ("ARI", "ari"))
        ] + [("HDBSCAN NMI all", lambda r: _is(r, together=True, metric="nmi", algorithm="HDBSCAN"))]
    streams = list(dict.fromkeys(r.stream for r in rows if r.ensemble is None))
    single: list[Column] = [(s, lambda r, s=s: r.ensemble is None and r.stream == s) for s in streams]
    return [*single, ("all", lambda r: r.ensemble is not None)] if len(streams) > 1 else single


def table(found: Sequence[dict[str, Any]], protocol: str) -> list[str]:
    """Features in rows, the protocol's figures in columns."""
    rows = [Row.from_dict(r) for r in found]
    shown = columns(protocol, rows)
    lines = [_line(["features", *(title for title, _ in shown)]), "|---" * (len(shown) + 1) + "|"]
    for name in (n for n in ORDER if any(r.features == n for r in rows)):
        cells = []
        for _, wanted in shown:
            fitting = [r for r in rows if r.features == name and wanted(r)]
            cells.append(percent(fitting[0].values) if fitting else "–")
        lines.append(_line([name, *cells]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


HEADINGS = {
    "semi": "Semi-supervised: the joint network fine-tuned on a share of the labels",
    "ensemble": "Ensembles of all streams",
    "retrieval": "Retrieval",
    "cluster": "Clustering of the test clips",
}
TRANSFER_HEADINGS = {"head": "a layer on frozen encoders", "network": "the joint network fine-tuned"}


def text(results: dict[str, Any]) -> str:
    """All tables that are there."""
    lines: list[str] = []
    for protocol, heading in HEADINGS.items():
        lines += [f"### {heading}", ""]
        for name in (s.name for s in SETS):
            if f"{name}-{protocol}" in results:
                lines += [f"**{NAMES[name]}**", "", *table(results[f"{name}-{protocol}"], protocol), ""]
    lines += ["### Transfer", ""]
    for source, target in TRANSFERS:
        for tuned in TUNED:
            key = f"{source}-to-{target}-{tuned}"
            if key in results:
                title = f"**{NAMES[source]} → {NAMES[target]}, {TRANSFER_HEADINGS[tuned]}**"
                lines += [title, "", *table(results[key], "transfer"), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--work", type=Path, default=Path("runs/foundation"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=1)
    parts = [*PROTOCOLS, "transfer"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    args.commands = {}
    path, page = args.out / "protocols.json", args.out / "protocols.md"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    makers: dict[str, Callable[[], list[dict[str, Any]]]] = {}
    for protocol, options in ((p, o) for p, o in PROTOCOLS.items() if p in args.parts):
        for which in SETS:
            makers[f"{which.name}-{protocol}"] = lambda w=which, p=protocol, o=options: judged(w, p, o, args)
    for source, target in TRANSFERS if "transfer" in args.parts else ():
        for tuned in TUNED:
            makers[f"{source}-to-{target}-{tuned}"] = lambda s=source, t=target, u=tuned: transfer(s, t, u, args)
    for key, make in makers.items():
        if key not in results:
            results[key] = make()
            facts = {"hardware": hardware(), "seeds": args.seeds, "date": datetime.now(UTC).date().isoformat()}
            results["facts"] = facts | {"commands": results.get("facts", {}).get("commands", {}) | args.commands}
            write_json(path, results)
            print(key, flush=True)
        insert(page, text(results), "Protocols")


if __name__ == "__main__":
    main()
