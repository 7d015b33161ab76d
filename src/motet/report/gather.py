"""A run directory → what its report shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from motet.core.errors import ConfigError, RunError
from motet.core.files import written
from motet.core.places import CLASSIFIER, kind_of
from motet.core.text import counted, pasted
from motet.data import catalogue
from motet.data.archive import MotionArchive
from motet.data.splits import Split
from motet.data.splits import split as split_archive
from motet.engine.run import Run, collect
from motet.engine.table import RANDOM, RAW, ROCKET, STATISTICS, WEIGHTS, distinctions
from motet.evaluate import cluster_scores
from motet.report import discovery, distillation, maps, spoken, timeline
from motet.report.data import MAX_POINTS, ClipMap, Confusion, Curve, Fact, Motion, ReportData, Row
from motet.report.diagnostics import diagnostic_curves
from motet.report.page import build

NEIGHBOURS = 5
UNLABELLED_GROUPS = 10  # clusters where no labels say how many kinds of movement there are

# What an option means, for a reader who never trained a model; options without an entry are in config.json only.
OPTION_MEANINGS = {
    "streams": "What the model looks at: joint is where joints are, bone how limbs point, motion how all of it moves.",
    "frames": "Every clip is brought to this many frames.",
    "preprocess": "How position and direction of the person in the room are taken out.",
    "epochs": "How many times the training went through all training clips.",
    "batch_size": "Clips looked at together in one step.",
    "encoder": "Kind of network: gru reads a clip frame by frame, stgcn as a graph of joints.",
    "hidden": "Size of the network.",
    "queue_size": "How many earlier clips a clip is compared with.",
    "temperature": "How sharply similar and dissimilar are distinguished.",
    "teachers": "Who teaches a stream: every other one by itself, or all others together.",
    "optimiser": "How the network is improved step by step.",
    "lr": "Size of the steps at the start.",
    "seed": "Number that all chance in the training comes from; the same seed gives the same result.",
}
CURVE_MEANINGS = {
    "loss": "What training makes smaller. Its level says nothing by itself; it should fall and flatten out.",
    "terms": "The parts that the loss is the sum of.",
    "knn": "A quick check on some labelled clips while training runs. It steers nothing.",
    "spread": "0 when all clips look the same to the network, which means failure; higher is more varied.",
    "lr": "How large the steps are.",
}


def write(
    run: Run | str | Path,
    out: str | Path,
    *,
    data: str | Path | MotionArchive | None = None,
    split: str | None = None,
    clips: int = MAX_POINTS,
    seed: int = 0,
    baseline: str | Path | None = None,
) -> Path:
    """Write the report of a run as one HTML file.

    Args:
        run: a run, its directory, or a directory of runs that repeat one training (the map shows the first then); or
            the directory of a distillation, whose page shows results instead of a map, or of a discovery, whose page
            shows its clusters; or a model of `motet fit` (with ``data``) or an archive, whose page shows label tracks,
            or without one the labels of clips, along time.
        out: file to write; a page of motet that is there is replaced, only when the new one is complete.
        data: archive, if it is not where it was during training, or another one of the same skeleton.
        split: rule that says which clips are test clips; the run's own by default.
        clips: at most so many test clips are shown on the map, every class in proportion.
        seed: of the map, the clusters and the choice of clips; equal seeds give equal pages.
        baseline: for a distillation: the run of another method, with which results and classes are compared.

    Returns:
        Path of the file.

    Raises:
        RunError: the run has no weights, or a file of it is damaged.
        ConfigError: archive or split do not fit the run, ``clips`` is less than 1, or ``out`` is there and no page of
            motet.
    """
    _refuse_other(Path(out))
    if clips < 1:
        raise ConfigError(f"clips is {clips}; a report shows at least one clip")
    if not isinstance(run, Run) and (kind_of(run) == CLASSIFIER or (Path(run) / "archive.json").exists()):
        return _save(timeline.page(run, data), Path(out))
    runs = [run] if isinstance(run, Run) else collect(run)
    kind = runs[0].kind
    if baseline is not None and kind not in COMPARED:
        raise ConfigError(f"a baseline is for distillations; {runs[0].path} is a run of `motet {runs[0].verb}`")
    if kind not in PAGES:
        raise ConfigError(f"{runs[0].path} is no training: there is nothing to show; `motet embed` takes it")
    if kind != "pretrain":  # whose page shows recordings that can be named
        runs[0].need_history()
    with runs[0].fitting("shown"):
        page = PAGES[kind](runs, Asked(data, split, clips, seed, baseline))
    return _save(page, Path(out))


@dataclass(frozen=True)
class Asked:
    """What the caller of :func:`write` wants of the page; a kind of run takes of it what means something for it."""

    data: str | Path | MotionArchive | None
    split: str | None
    clips: int
    seed: int
    baseline: str | Path | None


def _encoders(runs: Sequence[Run], asked: Asked) -> str:
    return build(gather(runs, data=asked.data, split=asked.split, clips=asked.clips, seed=asked.seed))


def _graphs(runs: Sequence[Run], asked: Asked) -> str:
    return build(graphs(runs[0]))


PAGES: Mapping[str, Callable[[Sequence[Run], Asked], str]] = {
    "pretrain": _encoders,
    "discover": lambda runs, asked: discovery.page(runs[0].path, asked.data),
    "distill": lambda runs, asked: distillation.page(runs[0].path, asked.baseline),
    "distill-raw": lambda runs, asked: distillation.page(runs[0].path, asked.baseline),
    "graphs": _graphs,
}
"""the page of every kind of run"""
_OURS = b'<meta name="generator" content="motet">', b"<footer>Made by motet "
"""marks of a page: of today, and of earlier versions"""
COMPARED = ("distill", "distill-raw")
"""kinds whose page compares two runs"""


def _refuse_other(out: Path) -> None:
    """Only pages of motet are replaced: a report needs no ``--overwrite``."""
    if not out.exists():
        return
    if out.is_dir():
        raise ConfigError(f"{out} is a folder; --out takes the name of a page, such as {out / 'report.html'}")
    if not any(mark in out.read_bytes() for mark in _OURS):
        raise ConfigError(f"{out} is no page of motet, so it is not overwritten; choose another name, or remove it")


def _save(page: str, out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    with written(out) as partial:
        partial.write_text(page, encoding="utf-8")
    return out


def gather(
    runs: Sequence[Run],
    *,
    data: str | Path | MotionArchive | None = None,
    split: str | None = None,
    clips: int = MAX_POINTS,
    seed: int = 0,
) -> ReportData:
    """Collect everything that the report of one or several repeated runs shows; arguments as of :func:`write`."""
    run = runs[0]
    archive = data if isinstance(data, MotionArchive) else run.archive(data)
    parts = split_archive(archive, split or run.split)
    shown = np.asarray(parts.test)
    chosen = shown[maps.stratified(archive.labels[shown], clips, seed)]
    method = run.recipe.method.title
    evaluation = _evaluation(runs)
    notes = [f"Training has not finished: this page shows epoch {_epochs(run)} of {run.recipe.epochs}."]
    notes = [] if run.finished else notes
    notes += [f"The split: {parts.warning}."] if parts.warning else []
    notes += _evaluation_notes(evaluation, runs, archive, parts)
    data_set = catalogue.title(archive.path.name, archive.source)
    page = ReportData(
        title=f"{method} on {data_set}",
        method=method,
        recipe=_recipe(run, len(runs)),
        dataset=_dataset(archive, parts),
        licence=archive.licence,
        simulated=archive.simulated,
        class_names=archive.class_names,
        rows=[] if evaluation is None else _rows(evaluation, method),
        test_clips=None if evaluation is None else evaluation.content["split"]["test"],
        guess=None if evaluation is None else 100 / max(evaluation.content["split"]["classes"], 1),
        curves=_curves(run),
        confusion=None if evaluation is None else _confusion(evaluation, method),
        clip_map=_map(run, archive, chosen, len(shown), method, seed),
        motion=Motion(
            archive.skeleton,
            archive.channels,
            [archive.clip(int(i)) for i in chosen],
            archive.fps,
            archive.units,
        ),
        command=_commands(run, evaluation),
        reproduce=_reproduce(run, archive, seed),
        notes=notes,
        findings=spoken.findings(archive),
    )
    return spoken.of_sensors(page, archive)


def graphs(run: Run) -> ReportData:
    """What the page of a run of `motet graphs` shows: its table, how training went, and how to repeat it."""
    result, options = run.result(), run.recipe
    rows = [
        Row(
            protocol="svm",
            features={RANDOM: "random", "label counts": "raw"}.get(row["features"], row["features"]),
            stream="graph",
            values=tuple(100 * v for v in row["values"]),
            over="seeds",
            called="label counts" if row["features"] == "label counts" else "",
        )
        for row in result["rows"]
    ]
    named = {f.name: getattr(options, f.name) for f in fields(options)}
    environment = _environment(run)
    return ReportData(
        title=f"{options.title} on {result['name']}",
        method=options.title,
        recipe=[
            Fact("Method", options.title),
            *(Fact(n.replace("_", " ").capitalize(), _text(v)) for n, v in named.items()),
        ],
        dataset=[
            Fact("Graphs", f"{result['graphs']:,}"),
            Fact("Classes", f"{len(result['classes'])}", ", ".join(result["classes"])),
            Fact("Evaluation", f"{result['folds']}-fold cross-validation", "by a support vector machine"),
        ],
        rows=rows,
        test_clips=result["graphs"],
        guess=100 / max(len(result["classes"]), 1),
        curves=_curves(run),
        command="\n".join(
            filter(None, [environment.get("command"), f"motet report {pasted(run.path)} --out report.html"])
        ),
        reproduce=[
            Fact("Seeds", ", ".join(map(str, result["seeds"])), "of the trainings and of the folds"),
            Fact("Graphs", str(result["data"]["hash"]), "Digest of all graphs: equal digests mean equal data."),
            Fact("Run", str(run.path), "config.json there holds every option."),
        ],
        noun="graph",
        seen="the graphs",
    )


def _epochs(run: Run) -> int:
    lines = run.metrics()
    return int(lines[-1]["epoch"]) if lines else 0


@dataclass(frozen=True)
class _Evaluation:
    path: Path
    content: Mapping[str, Any]


def _evaluation(runs: Sequence[Run]) -> _Evaluation | None:
    """What `motet evaluate` wrote for these runs: all of them together, else the first alone."""
    names = [f"evaluation-of-{len(runs)}-runs.json"] if len(runs) > 1 else []
    for name in (*names, "evaluation.json"):
        path = runs[0].path / name
        if path.exists():
            try:
                content = json.loads(path.read_text())
                content["rows"], content["split"]["test"], content["split"]["classes"], content["archive"]["hash"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise RunError(
                    f"{path} is damaged ({error!r}); run `motet evaluate {pasted(runs[0].path)}` again"
                ) from error
            return _Evaluation(path, content)
    return None


def _evaluation_notes(
    evaluation: _Evaluation | None, runs: Sequence[Run], archive: MotionArchive, parts: Split
) -> list[str]:
    where = pasted(*(run.path for run in runs))
    if evaluation is None:
        shared = bool(np.intersect1d(parts.train, parts.test).size)
        rule = " --split RULE" if shared else ""
        hint = f" (a rule that keeps clips apart for testing; {parts.name} does not)" if shared else ""
        return [
            "This run has not been evaluated, so nothing here says how good it is. "
            f"Run: motet evaluate {where} --protocols knn linear{rule}{hint}, then write this report again."
        ]
    content = evaluation.content
    notes = [f"From the evaluation: {note}." for note in content.get("notes", ())]
    if content["archive"]["hash"] != archive.hash or content["split"].get("rule") not in (None, parts.name):
        notes.append("The comparison was measured on other clips than those of the map (another archive or split).")
    return notes


def _features(name: str, method: str) -> str:
    if name == RAW or name.startswith(WEIGHTS):
        return name
    return {RANDOM: "random", ROCKET: "rocket", STATISTICS: "statistics"}.get(name, method)


def _rows(evaluation: _Evaluation, method: str) -> list[Row]:
    rows = []
    rates: dict[str, set[float]] = {}
    for row in evaluation.content["rows"]:
        rates.setdefault(row["protocol"], set()).add(row["details"].get("lr", 0.0))
    for row in evaluation.content["rows"]:
        details, measure = row["details"], row["metric"]
        setting = [f"lr {details['lr']:g}"] if len(rates[row["protocol"]]) > 1 else []
        setting += [*distinctions(details), *([] if measure == "accuracy" else [measure])]
        rows.append(
            Row(
                protocol=row["protocol"],
                features=_features(row["features"], method),
                stream=row["stream"],
                values=tuple(100 * v for v in row["values"]),
                best_values=tuple(100 * v for v in row["best_values"]),
                ensemble=row["ensemble"],
                setting=", ".join(setting),
                over=str(details.get("over", "")),
                accuracy=measure == "accuracy",
            )
        )
    return rows


def _confusion(evaluation: _Evaluation, method: str) -> Confusion | None:
    content = evaluation.content
    stored = content.get("confusion")
    if not stored:
        return None
    row = Row(stored["protocol"], _features(stored["features"], method), stored["stream"], (), (), stored["ensemble"])
    return Confusion(np.array(stored["matrix"]), content["class_names"], f"{row.protocol}, {row.features}, {row.where}")


def _map(
    run: Run, archive: MotionArchive, chosen: npt.NDArray[np.int64], total: int, method: str, seed: int
) -> ClipMap:
    """Encode the chosen clips with the trained model, all streams side by side, each of length one."""
    model = run.model()
    store = model.store(archive, chosen)
    streams = model.encode(store, torch.as_tensor(chosen))
    features = np.concatenate([maps.unit_rows(f.cpu().numpy()) for f in streams.values()], axis=1)
    labels = archive.labels[chosen]
    known = labels >= 0
    groups = len(np.unique(labels[known])) or UNLABELLED_GROUPS
    clusters = maps.cluster(features, groups, seed)
    neighbours, similarities = maps.nearest(features, NEIGHBOURS)
    return ClipMap(
        xy=maps.positions(features, seed),
        labels=labels,
        clusters=clusters,
        names=[archive.clips["name"][int(i)] for i in chosen],
        files=archive.clips["source"].fill_null("")[chosen].to_list(),
        neighbours=neighbours,
        similarities=similarities,
        total=total,
        source=f"{method} features of {' + '.join(streams)}",
        scores=cluster_scores(labels[known], clusters[known]) if known.any() else {},
    )


def _curves(run: Run) -> list[Curve]:
    lines = run.metrics()

    def series(key: str, factor: float = 1.0) -> dict[str, list[tuple[float, float]]]:
        found: dict[str, list[tuple[float, float]]] = {}
        for line in lines:
            value = line.get(key)
            values = value if isinstance(value, dict) else {} if value is None else {key: value}
            for name, number in values.items():
                found.setdefault(name.replace("/", " "), []).append((line["epoch"], factor * number))
        return found

    titles = [
        ("loss", "Loss", 1.0),
        ("terms", "Parts of the loss", 1.0),
        ("knn", "Nearest-neighbour accuracy (%)", 100.0),
        ("spread", "Variety of the features", 1.0),
        ("lr", "Learning rate", 1.0),
    ]
    meanings = CURVE_MEANINGS | {"loss": CURVE_MEANINGS["loss"] + _starts(lines)}
    curves = [Curve(title, meanings[key], "epoch", series(key, factor)) for key, title, factor in titles]
    return [curve for curve in curves if curve.series] + diagnostic_curves(lines)


def _starts(lines: Sequence[Mapping[str, Any]]) -> str:
    """Where parts of the loss start after the first epoch: the curve jumps there."""
    first: dict[str, int] = {}
    for line in lines:
        for name, value in line.get("terms", {}).items():
            if value:  # a part that waits is 0
                first.setdefault(name.split("/")[0], int(line["epoch"]))
    late = [f"{part} in epoch {epoch}" for part, epoch in first.items() if epoch > lines[0]["epoch"]]
    return f" It jumps where a part starts to count: {', '.join(late)}." if late else ""


def _options(node: Any) -> dict[str, Any]:
    """Every option of a recipe by its unique name."""
    found: dict[str, Any] = {}
    for entry in fields(node):
        value = getattr(node, entry.name)
        found |= _options(value) if hasattr(value, "__dataclass_fields__") else {entry.name: value}
    return found


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(_text, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _recipe(run: Run, count: int) -> list[Fact]:
    options = _options(run.recipe)
    method = run.recipe.method
    facts = [Fact("Method", f"{method.title} ({run.recipe.recipe})", method.meaning)]
    facts += [
        Fact(name.replace("_", " ").capitalize(), _text(options[name]), meaning)
        for name, meaning in OPTION_MEANINGS.items()
        if name in options and (name != "hidden" or name in run.recipe.encoder.keywords)
    ]
    if count > 1:
        facts.append(Fact("Repetitions", str(count), "Trainings with other seeds; map and curves are of the first."))
    return facts


def _dataset(archive: MotionArchive, parts: Split) -> list[Fact]:
    fps = archive.fps
    seconds = f", {archive.lengths.sum() / fps / 60:,.1f} minutes" if fps else ""
    skeleton = archive.skeleton
    what, rows = ("sensor nodes", "Samples") if skeleton.kind == "sensor" else ("joints", "Frames")
    size = f"{skeleton.name}, {len(skeleton)} {what}" + (
        f", up to {counted(archive.persons, 'person')}" if archive.persons > 1 else ""
    )
    known = archive.labels[archive.labels >= 0]
    subjects = archive.clips["subject"].drop_nulls().n_unique()
    facts = [
        Fact("Archive", archive.path.name, f"{counted(len(archive), 'clip')}{seconds}"),
        Fact("Training clips", f"{len(parts.train):,}"),
        Fact("Test clips", f"{len(parts.test):,}", "Clips that the training did not see."),
        Fact("Split", parts.name, parts.description),
        Fact("Layout", size),
        Fact(f"{rows} a second", "unknown" if fps is None else f"{fps:g}"),
        Fact("Classes", f"{len(np.unique(known))}" if len(known) else "no labels"),
    ]
    if parts.name == "all":
        facts[2] = Fact("Test clips", f"{len(parts.test):,}", "The same clips: nothing was held back.")
    read = archive.source.get("path")
    facts += [Fact("Read from", str(read))] if read else []
    return facts + ([Fact("People", str(subjects))] if subjects else [])


def _commands(run: Run, evaluation: _Evaluation | None) -> str:
    asked = _environment(run).get("command")
    commands = [asked or f"motet pretrain --from-run {pasted(run.path)} --data {pasted(run.data)} --out NEW-RUN"]
    commands += [evaluation.content["command"]] if evaluation and evaluation.content.get("command") else []
    return "\n".join([*commands, f"motet report {pasted(run.path)} --out report.html"])


def _environment(run: Run) -> dict[str, Any]:
    path = run.path / "environment.json"
    try:
        content = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError):
        content = {}  # facts for the reader only; a page without them is better than none
    return content if isinstance(content, dict) else {}


def _reproduce(run: Run, archive: MotionArchive, seed: int) -> list[Fact]:
    found = _environment(run)
    versions = ", ".join(f"{name} {found[name]}" for name in ("motet", "torch", "python") if found.get(name))
    machine = ", ".join(str(found[name]) for name in ("cpu", "gpu", "platform") if found.get(name))
    facts = [
        Fact("Seed", str(run.recipe.seed), "of the training"),
        Fact("Seed of this page", str(seed), "of the choice of clips, the map and the groups"),
        Fact("Recordings", archive.hash, "Digest of all clips and the joint layout: equal digests mean equal data."),
        Fact("Run", str(run.path), "config.json there holds every option."),
    ]
    facts += [Fact("Versions", versions)] if versions else []
    facts += [Fact("Machine", machine)] if machine else []
    return facts
