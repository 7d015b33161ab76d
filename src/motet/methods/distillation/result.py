"""From the replicas' scores to a summary, and from two results to what one achieved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Annotated, Any, NotRequired, TypedDict

from motet.core.errors import ConfigError
from motet.core.options import Natural
from motet.engine.forms import EnvironmentForm, Number, Numbers, RowForm
from motet.engine.table import Row, spread

METRICS = ("accuracy", "recall", "retrieval_1", "retrieval_5")
WORDS = {
    "accuracy": "accuracy (WA)",
    "recall": "mean recall (UA)",
    "retrieval_1": "R@1",
    "retrieval_5": "R@5",
}


class TableForm(TypedDict):
    """Of what a result comes from."""

    name: str
    rows: Natural
    dropped: NotRequired[Natural]
    whole: NotRequired[Natural]
    absent: NotRequired[dict[str, Natural]]
    training: NotRequired[dict[str, Natural | dict[str, Natural]] | None]
    classes: list[str]
    simulated: NotRequired[bool]


def _square(confusion: list[list[int]]) -> None:
    if {len(row) for row in confusion} != {len(confusion)}:
        raise ConfigError("it must have a row and a column for each class")


class ScoreForm(TypedDict):
    """What a student or teacher reaches on its test rows."""

    accuracy: float
    recall: float
    confusion: Annotated[list[list[Natural]], _square]
    retrieval_1: NotRequired[float]
    retrieval_5: NotRequired[float]


class ReplicaForm(TypedDict):
    """One training."""

    fold: str
    seed: Natural
    train: Natural
    test: Natural
    student: NotRequired[ScoreForm]
    teacher: NotRequired[ScoreForm]


class SpreadForm(TypedDict):
    """Values over seeds."""

    values: list[Number]
    mean: Number
    sd: Number


class SummaryForm(TypedDict):
    """:func:`summary`."""

    student: NotRequired[dict[str, SpreadForm]]
    teacher: NotRequired[dict[str, SpreadForm]]
    recalls: NotRequired[list[Number]]


class CurveForm(TypedDict):
    """An epoch."""

    stage: str
    epoch: Natural
    terms: NotRequired[dict[str, Numbers]]
    curve: NotRequired[dict[str, Numbers]]


class ForecastForm(TypedDict):
    """:func:`motet.methods.distillation.diagnose.diagnose`."""

    probes: dict[str, dict[str, Number]]
    information: dict[str, Number]
    rehearsal: dict[str, Number]
    forecast: str
    says: str


class ResultForm(TypedDict):
    """result.json."""

    method: str
    scored: str
    settings: dict[str, Any]
    table: TableForm
    target: list[str]
    auxiliary: list[str]
    split: str
    validate: bool
    batch_size: NotRequired[Natural]
    seconds: Number
    environment: NotRequired[EnvironmentForm]
    replicas: list[ReplicaForm]
    rows: NotRequired[list[RowForm]]
    summary: SummaryForm
    curves: list[CurveForm] | dict[str, list[CurveForm]]
    forecast: ForecastForm | None
    linear: NotRequired[dict[str, dict[str, Number]]]
    command_alone: NotRequired[str | None]


class PlanFields(TypedDict):
    """What is trained, apart from the settings."""

    target: list[str]
    auxiliary: list[str]
    seeds: NotRequired[list[Natural]]
    split: NotRequired[str | None]
    folds: NotRequired[Natural]
    validate: NotRequired[bool]
    diagnose: NotRequired[bool]
    motion: NotRequired[dict[str, Any]]


def summary(replicas: Sequence[dict[str, Any]], scored: str) -> dict[str, Any]:
    """Values over seeds (each the mean over folds), their mean and sample standard deviation; and per class.

    Returns:
        ``student`` and ``teacher``: metric → {"values", "mean", "sd"}, and under ``pooled_accuracy`` and
        ``pooled_recall`` the same of all folds' test rows counted together; ``recalls``: recall of every class, all
        replicas' test rows together (None where a class is never tested), of whom ``scored`` names.
    """
    found: dict[str, Any] = {}
    if not replicas:
        return found
    seeds = sorted({replica["seed"] for replica in replicas})
    for who in ("student", "teacher"):
        if who not in replicas[0]:
            continue
        found[who] = {}
        for metric in METRICS:
            if metric not in replicas[0][who]:
                continue
            values = [fmean(replica[who][metric] for replica in replicas if replica["seed"] == seed) for seed in seeds]
            found[who][metric] = spread(values)
        pooled = [
            _pooled([replica[who]["confusion"] for replica in replicas if replica["seed"] == seed]) for seed in seeds
        ]
        for place, metric in enumerate(("pooled_accuracy", "pooled_recall")):
            found[who][metric] = spread([pair[place] for pair in pooled])
    confusions = [replica[scored]["confusion"] for replica in replicas]
    right = [sum(c[k][k] for c in confusions) for k in range(len(confusions[0]))]
    count = [sum(sum(c[k]) for c in confusions) for k in range(len(confusions[0]))]
    found["recalls"] = [r / n if n else None for r, n in zip(right, count, strict=True)]
    return found


def rows(
    found: Mapping[str, Any], method: str, target: Sequence[str], auxiliary: Sequence[str]
) -> list[dict[str, Any]]:
    """A :func:`summary` as rows of :class:`motet.engine.table.Row`: student and teacher by every measure."""
    streams = {"student": "+".join(target), "teacher": "+".join((*target, *auxiliary))}
    made = [
        Row(
            protocol="test rows",
            features=method,
            stream=stream,
            metric=metric,
            values=tuple(scores["values"]),
            details={"over": "seeds", "who": who},
        )
        for who, stream in streams.items()
        for metric, scores in found.get(who, {}).items()
    ]
    return [row.to_dict() for row in made]


def _pooled(confusions: Sequence[Sequence[Sequence[int]]]) -> tuple[float, float]:
    """WA and UA of the rows of several folds together."""
    total = [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*confusions, strict=True)]
    right, counts = [row[k] for k, row in enumerate(total)], [sum(row) for row in total]
    recalls = [r / n for r, n in zip(right, counts, strict=True) if n]
    return sum(right) / max(sum(counts), 1), fmean(recalls) if recalls else 0.0


def outcome(result: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    """What was forecast and what distillation achieved.

    Args:
        result: of a method, with a forecast.
        baseline: of the student alone on the same table and division.

    Returns:
        ``forecast`` (unlikely, possible or likely), ``information`` and ``rehearsal`` ({"mean", "error"}) and ``gap``
        of the estimate, None without one; ``achieved``: {"values", "mean", "sd"}, the student's gain in accuracy seed
        by seed (by the means alone if the seeds differ).
    """
    mine, base = (one["summary"]["student"]["accuracy"] for one in (result, baseline))
    seeds = [sorted({replica["seed"] for replica in one["replicas"]}) for one in (result, baseline)]
    gains = [mine["mean"] - base["mean"]]
    if seeds[0] == seeds[1]:
        gains = [a - b for a, b in zip(mine["values"], base["values"], strict=True)]
    found = result["forecast"] or baseline["forecast"] or {}
    said = {name: found.get(name) for name in ("forecast", "information", "rehearsal", "gap")}
    return said | {"achieved": spread(gains)}


def compare(results: Sequence[dict[str, Any]], baseline: dict[str, Any]) -> dict[str, list[float | None]]:
    """Differences of recall per class against a baseline, by method (the per-class chart of AMID, Fig. 3)."""
    base = baseline["summary"]["recalls"]
    return {
        result["method"]: [
            None if a is None or b is None else a - b for a, b in zip(result["summary"]["recalls"], base, strict=True)
        ]
        for result in results
    }
