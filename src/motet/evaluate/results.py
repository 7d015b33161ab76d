"""What an evaluation says: rows of one schema, as JSON and as a Markdown table.

The JSON object::

    motet, torch, command        versions, and the command that gives the same table
    key                          digest of whom and what was evaluated: weights, clips, labels
    runs                         directory, recipe and seed of every run that was evaluated
    archive                      path, hash, clips, licence, simulated
    split                        rule, train, test (numbers of clips), classes
    seeds, hardware, seconds, date
    summary                      one line: which features to use; empty where nothing was compared
    notes                        what a reader has to know: clips left out, classes without training clips …
    majority                     accuracy of always answering the most frequent class of the training clips
    class_names                  names of the confusion matrix's rows and columns
    protocols                    name, key, command, seeds, seconds, notes and record of each protocol in the table
    kept                         protocols that were asked for and whose rows were there already
    missing                      protocols that were asked for and are not done yet; empty in a whole table
    rows                         see :class:`Row`
    confusion                    protocol, features, stream, ensemble, matrix [true][predicted] (counts over all values)
    confusions                   the same by protocol, where it has one

Shares are fractions, 0 … 1; tables print percent. The headline is the last epoch; the best epoch was chosen on the test
clips and stands in a column of its own.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.files import written
from motet.core.text import counted
from motet.engine.hub import called
from motet.engine.table import Row, percent

Integers = npt.NDArray[np.int64]

# options that rows tell by a detail or column of their own
_NAMED_BY = {
    "lr": "lr",
    "ratios": "ratio",
    "data": "target",
    "tuned": "tuned",
    "way": "episodes",
    "shots": "episodes",
    "counts": "per_class",
    "standardise": "standardised",
    "streams": "over",  # in a column of every row
}


def with_options(rows: Sequence[Row], changed: Mapping[str, Any]) -> list[Row]:
    """Rows that name the options that were changed, so that none passes for a result of the defaults.

    Args:
        rows: of one protocol.
        changed: its options that differ from the defaults, with their values.
    """
    found = []
    for row in rows:
        named = [
            name.replace("_", " ") + ("" if value is True else f" {_plain(value)}")
            for name, value in changed.items()
            if _NAMED_BY.get(name) not in row.details
        ]
        found.append(replace(row, details={**row.details, "options": named}) if named else row)
    return found


def _plain(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(map(_plain, value))
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value}"


def confusion_matrix(truth: Integers, predicted: Integers, classes: int) -> Integers:
    """(K, K) counts, rows are the true classes."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def shown_confusion(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The confusion matrix of an evaluation: of the linear protocol if there was one, else of any other."""
    having = [row for row in rows if row.confusion is not None]
    having.sort(key=lambda row: ("linear", "linear-cached").index(row.protocol) if "linear" in row.protocol else 9)
    if not having:
        return None
    row = having[0]
    facts = {k: getattr(row, k) for k in ("protocol", "features", "stream", "ensemble")}
    return facts | {"matrix": row.confusion}


def markdown(evaluation: Mapping[str, Any]) -> str:
    """The table, and above it what one has to know to read and to repeat it."""
    archive, split = evaluation["archive"], evaluation["split"]
    simulated = ", **simulated: no person was recorded**" if archive["simulated"] else ""
    runs = ", ".join(f"`{called(Path(r['path']))}` ({r['recipe']}, seed {r['seed']})" for r in evaluation["runs"])
    hardware, kept = evaluation["hardware"], evaluation.get("kept")  # none of an earlier version
    machine = f"{hardware['cpu']}, {counted(hardware['threads'], 'thread')}" + (
        f", {hardware['gpu']}" if hardware["gpu"] else ""
    )
    lines = [
        f"# Evaluation of {', '.join(dict.fromkeys(r['recipe'] for r in evaluation['runs']))}",
        "",
        f"- Command: `{evaluation['command']}`",
        f"- Runs: {runs}",
        f"- Data: `{archive['path']}`, {counted(archive['clips'], 'clip')}, {archive['hash'][:12]}, "
        f"licence: {archive['licence']}{simulated}",
        f"- Split: {split['rule']}, {split['train']} training and {counted(split['test'], 'test clip')}, "
        f"{counted(split['classes'], 'class')}",
        *(
            [f"- Always the most frequent class: {100 * evaluation['majority']:.1f} %"]
            if "majority" in evaluation
            else []
        ),
        f"- Seeds of the protocols: {_seeds(evaluation['protocols'])}",
        f"- Machine: {machine}; torch {evaluation['torch']}, motet {evaluation['motet']}; "
        f"{evaluation['seconds']:.0f} s",
        *_notes(evaluation),
        *([f"- Kept from an earlier evaluation: {', '.join(kept)}; `--again` evaluates again"] if kept else []),
        *([f"- **Unfinished**: {', '.join(evaluation['missing'])} not done yet"] if evaluation["missing"] else []),
        *([f"- **{evaluation['summary']}**"] if evaluation.get("summary") else []),
        "",
        "Percent, mean ± sd over the number of values in the last column; accuracy is the share of the test clips. The "
        "headline is the last epoch; the best epoch is chosen on the test clips themselves, so it is too good.",
        "",
    ]
    return "\n".join([*lines, *_tables(evaluation), *_classes(evaluation)]) + "\n"


def _notes(evaluation: Mapping[str, Any]) -> list[str]:
    """What a reader has to know, once where several protocols say the same."""
    of: dict[str, list[str]] = {}
    for entry in evaluation["protocols"]:
        for note in entry["notes"]:
            of.setdefault(note, []).append(entry["name"])
    return [
        *(f"- Note: {note}" for note in evaluation["notes"]),
        *(f"- Note on {', '.join(names)}: {note}" for note, names in of.items()),
    ]


def _classes(evaluation: Mapping[str, Any]) -> list[str]:
    """Accuracy of each class, from the confusion matrix that is shown, and what it is taken for most often."""
    shown, names = evaluation.get("confusion"), evaluation["class_names"]
    if not shown:
        return []
    lines = ["", f"Each class by {shown['protocol']}, {shown['features']}, {shown['stream']}:", ""]
    lines += ["| class | answers | accuracy | most often taken for |", "|---|---|---|---|"]
    for place, counts in enumerate(np.asarray(shown["matrix"])):
        total, right = int(counts.sum()), int(counts[place])
        if not total:
            continue
        wrong = np.where(np.arange(len(counts)) == place, 0, counts)
        other = f"{names[int(wrong.argmax())]} ({100 * wrong.max() / total:.1f} %)" if wrong.any() else "–"
        lines.append(f"| {names[place]} | {total} | {100 * right / total:.1f} | {other} |")
    return lines


def _tables(evaluation: Mapping[str, Any]) -> list[str]:
    rows = [Row.from_dict(row) for row in evaluation["rows"]]
    accuracy = [row for row in rows if row.metric == "accuracy"]
    lines = _accuracy_table(accuracy) if accuracy else []
    for protocol in dict.fromkeys(row.protocol for row in rows if row.metric != "accuracy"):
        lines += ["", *_measures_table([r for r in rows if r.protocol == protocol and r.metric != "accuracy"])]
    return lines


def excerpt(evaluation: Mapping[str, Any], *, run: str) -> str:
    """The table for a model card: what was evaluated, by which command, without paths of this machine.

    Args:
        evaluation: content of an evaluation.json.
        run: what the command calls the weights.
    """
    archive, split = evaluation["archive"], evaluation["split"]
    name = _name_of(archive["path"])
    runs = {r["path"] for r in evaluation["runs"]}
    commands = []
    for command in evaluation["command"].split(" && "):
        words = []
        for word in shlex.split(command):
            words += [run] if word in runs else [_name_of(word) if word == archive["path"] or _is_path(word) else word]
            if word in runs and "--data" not in command:  # weights come without their recordings
                words += ["--data", name]
        commands.append(shlex.join(words))
    lines = [
        f"- Command: `{' && '.join(commands)}`",
        f"- Data: {name}, {counted(archive['clips'], 'clip')}, {archive['hash'][:12]}"
        + (", **simulated: no person was recorded**" if archive["simulated"] else ""),
        f"- Split: {split['rule']}, {split['train']} training and {counted(split['test'], 'test clip')}, "
        f"{counted(split['classes'], 'class')}",
        *_notes(evaluation),
        "",
        "Percent; the headline is the last epoch.",
        "",
        *_tables(evaluation),
    ]
    return "\n".join(lines) + "\n"


def _name_of(path: str) -> str:
    return PurePath(path).name or path


def _is_path(word: str) -> bool:
    """A path that says where things lie on this machine; a rule such as ``kfold:5/1`` is none."""
    return PurePath(word).is_absolute() or word.startswith(("..", "~"))


def _count(row: Row) -> str:
    return f"{len(row.values)} {row.details['over']}" if len(row.values) > 1 else "1"


def _accuracy_table(rows: Sequence[Row]) -> list[str]:
    lines = [
        "| protocol | features | stream | ensemble | metric | last epoch | best epoch | values |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        facts = (row.label, row.features, row.stream, row.ensemble or "–", row.metric)
        lines.append("| " + " | ".join((*facts, percent(row.values), percent(row.best_values), _count(row))) + " |")
    return lines


def _measures_table(rows: Sequence[Row]) -> list[str]:
    """Several measures of the same thing side by side."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    table: dict[tuple[str, str, str, str], dict[str, Row]] = {}
    for row in rows:
        table.setdefault((row.label, row.features, row.stream, row.ensemble or "–"), {})[row.metric] = row
    names = ["protocol", "features", "stream", "ensemble", *(m.replace("_", " ") for m in metrics), "values"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for facts, found in table.items():
        cells = [percent(found[m].values) if m in found else "–" for m in metrics]
        lines.append("| " + " | ".join([*facts, *cells, _count(next(iter(found.values())))]) + " |")
    return lines


def _seeds(entries: Sequence[Mapping[str, Any]]) -> str:
    counts = dict.fromkeys(entry["seeds"] for entry in entries)
    if len(counts) == 1:
        return str(next(iter(counts)))
    return "; ".join(f"{c} ({', '.join(e['name'] for e in entries if e['seeds'] == c)})" for c in counts)


def write(evaluation: Mapping[str, Any], json_path: Path, markdown_path: Path) -> None:
    """Both files, each of them whole or not at all."""
    for path, text in ((json_path, json.dumps(evaluation, indent=1) + "\n"), (markdown_path, markdown(evaluation))):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written(path) as partial:
            partial.write_text(text)
