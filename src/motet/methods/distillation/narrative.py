"""What result.md and the terminal say: the scores, which rows lacked what, and the student alone next to them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from motet.core.errors import RunError
from motet.core.text import counted
from motet.engine.run import Run
from motet.engine.table import percent
from motet.methods.distillation.folds import Fold
from motet.methods.distillation.linear import below, rows
from motet.methods.distillation.methods import METHODS, is_taught
from motet.methods.distillation.result import METRICS, WORDS, outcome
from motet.methods.distillation.settings import Settings, settings_for
from motet.methods.distillation.table import FeatureTable

_SEEDS = "0 1 2 3 4"
# they shape teacher and auxiliary alone
_NOT_THE_STUDENT = frozenset({"fuse_hidden", "auxiliary_extractor", "several", "project"})


# ---------------------------------------------------------------------------- which rows lack what


def training_side(table: FeatureTable, auxiliaries: Sequence[str], divided: Sequence[Fold]) -> dict[str, Any]:
    """Of the rows that train in any fold: how many there are, how many lack an auxiliary, how many have all.

    Returns:
        ``rows``, ``whole``, ``absent`` (modality → rows).
    """
    rows = np.unique(np.concatenate([fold.train for fold in divided]))
    seen = {name: table.modalities[name].available[rows] for name in auxiliaries}
    whole = np.logical_and.reduce(list(seen.values())) if seen else np.ones(len(rows), dtype=np.bool_)
    absent = {name: int((~there).sum()) for name, there in seen.items()}
    return {"rows": len(rows), "whole": int(whole.sum()), "absent": absent}


def missing(result: dict[str, Any]) -> list[str]:
    """Sentences about modalities that rows lack; none if every row has every one."""
    table, said = result["table"], []
    if table["dropped"]:
        share = _share(table["dropped"], table["rows"] + table["dropped"], "rows")
        said.append(f"{' or '.join(result['target'])} is absent in {share}: they are left out.")
    side = table.get("training")
    if side is None or not uses_teacher(result) or not any(side["absent"].values()):
        return said
    sizes = {replica["fold"]: replica["train"] for replica in result["replicas"]}
    what = "training rows"
    if len(sizes) > 1:
        each = " to ".join(f"{count:,}" for count in sorted({min(sizes.values()), max(sizes.values())}))
        said.append(f"Each fold trains on {each} of {counted(side['rows'], 'row')}.")
        what = f"of the {side['rows']:,}"
    for name, count in side["absent"].items():
        said.append(f"{name} is absent in {_share(count, side['rows'], what)}.")
    use = "what is learned from teacher and auxiliary comes from these; the others teach the student by label alone"
    if result["scored"] == "teacher":
        use = "the teacher learns from these, the others teach nothing"
    said.append(f"{_share(side['whole'], side['rows'], what)} have every modality: {use}.")
    return said


def uses_teacher(result: dict[str, Any]) -> bool:
    """Whether anything but the student was trained."""
    known = METHODS.get(result["method"])
    return known is None or known.uses_teacher


def _share(count: int, total: int, what: str) -> str:
    percents = 100 * count / total
    total_of = "" if what.startswith("of ") else f"of {total:,} "
    return f"{count:,} {total_of}{what} ({percents:.{1 if 0 < percents < 1 or 99 < percents < 100 else 0}f} %)"


# ---------------------------------------------------------------------------- the student alone


def command_alone(
    words: Sequence[str], plan: Any, settings: Settings, out: Path | None, parts: Sequence[tuple[str, object, object]]
) -> str:
    """The command that trains the student alone under the conditions of a run.

    Args:
        words: verb and sources.
        plan: of the run: target, seeds, division.
        settings: of the run.
        out: directory of the run; that of the student alone is named after it.
        parts: prefix of further flags, options and their defaults; what differs is said.
    """
    given = [*words, "--target", *plan.target, "--seeds", *map(str, plan.seeds)]
    given += ["--settings", settings.settings] if settings.settings != "table" else []
    given += ["--split", plan.split] if plan.split is not None else []
    given += ["--folds", str(plan.folds)] if plan.folds != type(plan).folds else []
    given += ["--validate"] if plan.validate else []
    given += ["--method", "alone"]
    student = replace(settings.networks, encoder=encoders_of(settings.networks.encoder, plan.target))
    start = settings_for("alone", settings.settings)
    own = [("", student, start.networks), ("", settings.training, start.training), ("", settings.loop, start.loop)]
    for prefix, options, defaults in (*own, *parts):
        given += _changed(prefix, options, defaults)
    return shlex.join([*given, "--out", f"{out or 'run'}-alone"])


def _changed(prefix: str, options: Any, defaults: Any) -> list[str]:
    found = []
    for one in fields(options):
        value, flag = getattr(options, one.name), one.name.replace("_", "-")
        if value == getattr(defaults, one.name) or one.name in _NOT_THE_STUDENT:
            continue
        if isinstance(value, bool):
            found.append(f"--{prefix}{'' if value else 'no-'}{flag}")
            continue
        found += [f"--{prefix}{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
    return found


def alone_next_to(out: Path | None, result: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """The finished run of the student alone in a directory next to ``out``: of the same sources, target and folds.

    Of several the one with the most seeds and options in common.
    """
    if out is None or not is_taught(result["method"]) or not result["replicas"]:
        return None
    found = []
    try:
        mine = json.loads((out / "config.json").read_text())
        others = sorted(one for one in out.resolve().parent.iterdir() if one.is_dir())
    except (OSError, ValueError):
        return None
    for path in others:
        other = _alone(path, mine, result)
        if other is not None:
            found.append((len(_seeds(result) & _seeds(other)), -len(differing(result, other)), path, other))
    if not found:
        return None
    _, _, path, other = max(found, key=lambda one: one[:2])
    return out.parent / path.name, other


def _alone(path: Path, mine: dict[str, Any], result: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a directory, if it is one of the student alone under the same conditions."""
    try:
        config = json.loads((path / "config.json").read_text())
        if config.get("kind") != mine["kind"] or config["settings"]["name"] != "alone":
            return None
        if any(config["plan"].get(name) != mine["plan"].get(name) for name in ("tables", "source", "target", "motion")):
            return None
        other: dict[str, Any] = Run(path).result()
        same = all(other[name] == result[name] for name in ("split", "validate"))
        same = same and all(other["table"][name] == result["table"][name] for name in ("rows", "classes"))
        return other if same and _folds(other) == _folds(result) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RunError):
        return None  # unfinished, damaged or something else: nothing to compare with


def _seeds(result: dict[str, Any]) -> set[int]:
    return {replica["seed"] for replica in result["replicas"]}


def _folds(result: dict[str, Any]) -> set[tuple[str, int, int]]:
    return {(replica["fold"], replica["train"], replica["test"]) for replica in result["replicas"]}


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Options of the student's network and of training that two results do not share."""
    ours, theirs = ({**one["settings"]["networks"], **one["settings"]["training"]} for one in (first, second))
    for one in (ours, theirs):
        one["encoder"] = encoders_of(one["encoder"], first["target"])
    return [n for n in ours if n not in _NOT_THE_STUDENT and json.dumps(ours[n]) != json.dumps(theirs.get(n))]


def encoders_of(given: Sequence[str], modalities: Sequence[str]) -> tuple[str, ...]:
    """The entries MODALITY=EXTRACTOR of some modalities."""
    return tuple(one for one in given if one.partition("=")[0] in modalities)


# ---------------------------------------------------------------------------- the page


def all_warm_up(settings: dict[str, Any]) -> str | None:
    """What to say of settings whose epochs are all warm-up: they train student and teacher, and nothing of AMID."""
    warm_up, epochs = settings["method"].get("warm_up", 0), settings["training"]["epochs"]
    if not warm_up or epochs > warm_up:
        return None
    every = f"all {counted(epochs, 'epoch')} are" if epochs > 1 else "the only epoch is"
    return (
        f"{every} warm-up; contrast and critics never acted, so this is not {settings['name'].upper()}: raise --epochs "
        f"above {warm_up} or lower --warm-up"
    )


def cautions(result: dict[str, Any], *, compared: bool) -> list[str]:
    """What a reader must know before believing a result: nothing of the method acted, no comparison, no spread.

    Args:
        result: of a distillation.
        compared: whether the student alone stands next to it.
    """
    idle = all_warm_up(result["settings"])
    said = [f"{idle[0].upper()}{idle[1:]}."] if idle else []
    if not result["replicas"]:
        return said
    if not compared and is_taught(result["method"]):
        command = result.get("command_alone")
        how = f"by `{command}`" if command else "with the method `alone`"
        said.append(
            "Whether the auxiliary helped cannot be seen from this alone: train the student alone, under the same "
            f"conditions, {how}."
        )
    if worse := below(result):
        said.append(worse)
    if len(_seeds(result)) == 1:
        said.append(
            f"One seed: there is no spread, and a difference of some points can be chance; take --seeds {_SEEDS}."
        )
    return said


def report(result: dict[str, Any], out: str | Path | None = None) -> str:
    """The result as Markdown.

    Args:
        result: of :func:`motet.methods.distillation.run`.
        out: its directory; a run of the student alone that lies next to it is set next to it.
    """
    alone = alone_next_to(None if out is None else Path(out), result)
    lines = [_heading(result), ""]
    for said in _before(result):
        lines += [said, ""]
    lines += _scores(result)
    if alone is not None:
        lines += _compared(result, *alone)
    for said in cautions(result, compared=alone is not None):
        lines += ["", said]
    return "\n".join(lines)


def _heading(result: dict[str, Any]) -> str:
    name = f"{result['method']}: {' + '.join(result['target'])}"
    if result["auxiliary"] and uses_teacher(result):
        taught = " + " if result["scored"] == "teacher" else ", taught with "
        name += taught + " + ".join(result["auxiliary"])
    where = f"{result['table']['name']}, rule {result['split']}"
    if result["replicas"]:
        where += f", {counted(len({replica['fold'] for replica in result['replicas']}), 'fold')}"
        where += f" × {counted(len(_seeds(result)), 'seed')}"
    return f"**{name}** ({where})"


def _before(result: dict[str, Any]) -> list[str]:
    said = []
    if result["table"].get("simulated"):
        said.append("Simulated: no person was recorded.")
    if result["validate"]:
        said.append("Held-out training rows, for choosing settings; the test rows were not looked at.")
    if result["forecast"] is not None:
        said.append(f"Will it help? {result['forecast']['says']}.")
    lacks = missing(result)
    return [*said, *([" ".join(lacks)] if lacks else [])]


def _scores(result: dict[str, Any]) -> list[str]:
    lines = []
    for who in ("student", "teacher"):
        if who in result["summary"] and not (who == "student" and result["scored"] == "teacher"):
            lines.append(_line(who, result["summary"][who]))
    lines += [f"- {name}: {WORDS['accuracy']} {100 * value:.1f} %" for name, value, _ in rows(result)]
    return lines or ["- trained on every row; nothing was tested"]


def _line(who: str, scores: dict[str, Any]) -> str:
    return f"- {who}: " + ", ".join(f"{WORDS[m]} {percent(scores[m]['values'])}" for m in METRICS if m in scores)


def _compared(result: dict[str, Any], path: Path, alone: dict[str, Any]) -> list[str]:
    gain = outcome(result, alone)["achieved"]
    points = f"{100 * gain['mean']:+.1f}" + (f" ± {100 * gain['sd']:.1f}" if gain["sd"] is not None else "")
    lines = [
        _line(f"student alone (`{path}`)", alone["summary"]["student"]),
        f"- gain over the student alone: {points.replace('-', '−')} points of accuracy",
    ]
    if _seeds(result) != _seeds(alone):
        lines[-1] += " (of the means, as the seeds differ)"
    differ = differing(result, alone)
    if differ:
        flags = ", ".join(f"`--{name.replace('_', '-')}`" for name in differ)
        lines.append(f"- not a fair comparison: the student alone had another {flags}")
    return lines
