"""Distillation of one table: from options to a result and a student on disk."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from motet._version import __version__
from motet.core.devices import one_thread
from motet.core.distributed import from_first, rank
from motet.core.environment import environment
from motet.core.errors import ConfigError, MotetWarning, RunError
from motet.core.files import write_json, written
from motet.core.options import Bounds, Options
from motet.core.text import counted, several
from motet.data.archive import MotionArchive
from motet.engine.options import as_started, asked
from motet.engine.run import Run
from motet.engine.trainer import Trainer
from motet.methods.distillation.diagnose import diagnose
from motet.methods.distillation.folds import default_rule, folds
from motet.methods.distillation.identity import DistillConfig, check_unchanged, identity
from motet.methods.distillation.linear import linear
from motet.methods.distillation.motion import Motion, is_archive, open_table, resolved, rule_of, simulated
from motet.methods.distillation.narrative import all_warm_up, command_alone, report, training_side
from motet.methods.distillation.networks import Shape
from motet.methods.distillation.replicas import Feeder, Replicas
from motet.methods.distillation.result import ResultForm, rows, summary
from motet.methods.distillation.scores import evaluate
from motet.methods.distillation.settings import Settings, settings_for, settings_from_dict
from motet.methods.distillation.student import Student, save_student
from motet.methods.distillation.student import load as load_student
from motet.methods.distillation.table import FeatureTable, check_numbers, usable, warn_of_constants
from motet.methods.distillation.train import Distillation

KIND, MODULE = "distill", "motet.methods.distillation.run"
CONFIG, RESULT = DistillConfig, ResultForm
WEIGHTS = ("student.safetensors",)
"""files of a run that its model is made of, besides config.json; patterns"""
Tables = str | Path | FeatureTable | MotionArchive | Sequence[str | Path | MotionArchive]
_COLLAPSED = 0.98  # mean cosine of different classes


@dataclass(frozen=True)
class Plan(Options):
    """What is trained, apart from the settings.

    Attributes:
        tables: paths of the table, or of motion archives.
        target, auxiliary: modalities.
        seeds: one replica per fold and seed.
        split, folds, validate: see :func:`motet.methods.distillation.folds.folds`.
        diagnose: whether to estimate beforehand what the auxiliary adds.
        motion: how clips of archives become rows.
    """

    tables: tuple[str, ...]
    target: tuple[str, ...]
    auxiliary: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    split: str | None = None
    folds: Annotated[int, Bounds(least=2)] = 5
    validate: bool = False
    diagnose: bool = True
    motion: Motion = field(default_factory=Motion)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"seeds are {self.seeds}; they must be different and not negative")


def run(
    table: Tables,
    target: str | Sequence[str],
    auxiliary: str | Sequence[str] = (),
    out: str | Path | None = None,
    *,
    method: str = "amid",
    settings: str | Settings = "table",
    seeds: Sequence[int] = (0,),
    split: str | None = None,
    folds: int = 5,
    validate: bool = False,
    diagnose: bool = True,
    motion: Motion | None = None,
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Train a student that sees the target modalities with the help of auxiliary ones; all folds and seeds at once.

    Args:
        table: ``.npz`` file of features or motion archive (``NAME=DIRECTORY`` gives it a name), several of them, or
            an open table; see :func:`motet.methods.distillation.open_table`.
        target: what the student sees, in training and in use.
        auxiliary: what helps in training only.
        out: run directory to create; None keeps nothing.
        method: amid, nce (AMID with CCL's contrast), kd, fitnets, crd, crcd, gmc, ccl, alone, or teacher.
        settings: ``table``, ``ucf51``, ``activitynet``, ``iemocap``, or own ones.
        seeds: of initial weights and batch orders.
        split: who tests: ``fold``, ``split``, ``group``, ``leave-one-group-out``, ``random`` or ``all``; of motion
            archives also any rule of :mod:`motet.data.splits`. By default what the table has.
        folds: how many, where the rule leaves it open.
        validate: test on a held-out part of every training side, to choose settings without the test rows.
        diagnose: first estimate what the auxiliary adds to the target.
        motion: how clips of motion archives become rows.
        progress: show progress.
        options: any option of the settings by its name (``epochs``, ``temperature``, ``features``, ``device`` …).

    Returns:
        The result, also written to ``result.json``; its keys are described in the documentation of AMID.

    Raises:
        DataError: the table cannot be used; the message names table, modality and row.
        ConfigError: options that do not exist or do not fit the table.
        RunError: ``out`` exists, or a loss or gradient is not finite; names the term, the step and its rows.
        Interrupted: a signal arrived; the state is saved.
    """
    chosen = settings_for(method, settings) if isinstance(settings, str) else settings
    chosen = as_started(chosen.with_options(options), asked(options))
    paths = _paths(table)
    given = (paths, several(target), several(auxiliary), tuple(seeds), split, folds, validate, diagnose)
    plan = Plan(*given, motion or Motion())
    if isinstance(table, FeatureTable):
        check_numbers(table, (*plan.target, *plan.auxiliary))
    opened = table if isinstance(table, FeatureTable) else _opened(plan)
    out = None if out is None else Path(out)
    if out is not None:
        Run(out).check_free()
    return _Experiment(opened, plan, chosen, progress).start(out)


def resume(path: str | Path, *, progress: bool = True, devices: int | None = None) -> dict[str, Any]:
    """Continue an interrupted distillation; the result is that of one that was never interrupted.

    Args:
        path: run directory.
        progress: show progress.
        devices: processes on this machine, if not as many as before: the same training but for rounding.

    Raises:
        RunError: not a directory of one, or the table has changed since.
    """
    run = Run.open(path, "distill")
    if run.finished:
        return reported(run.path)
    plan, given = _plan(run), {} if devices is None else {"devices": devices}
    settings = as_started(options(run).with_options(given), given)
    with run.room():
        experiment = _Experiment(_opened(plan), plan, settings, progress)
    check_unchanged(run.path, run.config.get("table"), experiment.identity(), " and ".join(plan.tables))
    return experiment.resume(run)


def reported(out: Path) -> dict[str, Any]:
    """The result of a finished run; its page is written again, as a run of the student alone may be new."""
    result = Run.open(out).result()
    with written(out / "result.md") as partial:
        partial.write_text(report(result, out) + "\n")
    return result


def options(run: Run) -> Settings:
    """The settings of a run."""
    return settings_from_dict(run.config["settings"])


def load(run: Run, device: Any = "cpu") -> Student:
    """The first student of a run; see :func:`motet.methods.distillation.student.load` for others."""
    return load_student(run.path).to(device)


def _plan(run: Run) -> Plan:
    stored = run.config["plan"]
    as_recorded = {"preprocess": "first-frame", "sensor_preprocess": "none"}  # what runs of earlier versions do not say
    try:
        return Plan.from_dict(stored | {"motion": as_recorded | stored.get("motion", {})})
    except ConfigError as error:
        raise RunError(f"{run.path / 'config.json'} is damaged ({error}); {run.renewal}") from error


def _paths(table: Tables) -> tuple[str, ...]:
    if isinstance(table, FeatureTable):
        return (table.name,)
    several = [table] if isinstance(table, str | Path | MotionArchive) else table
    return tuple(resolved(one.path if isinstance(one, MotionArchive) else one) for one in several)


def _opened(plan: Plan) -> FeatureTable:
    names = (*plan.target, *plan.auxiliary)
    return open_table(plan.tables, names, plan.motion, rule_of(plan.split, plan.tables)[1])


def learner_of(table: FeatureTable, plan: Plan, settings: Settings, device: torch.device | str = "cpu") -> Distillation:
    """A fresh learner of a table whose rows all have the targets."""
    divided = folds(table, rule_of(plan.split, plan.tables)[0], plan.folds, validate=plan.validate)
    names = (*plan.target, *plan.auxiliary)
    shape = Shape(
        sizes={m: table.modalities[m].size for m in names},
        sequences=frozenset(m for m in names if table.modalities[m].lengths is not None),
        targets=plan.target,
        auxiliaries=plan.auxiliary,
        classes=len(table.class_names),
        layouts={m: layout for m in names if (layout := table.modalities[m].layout) is not None},
    )
    replicas = Replicas(tuple(divided), plan.seeds)
    feeder = Feeder(table, shape, replicas, torch.device(device), standardise=settings.networks.standardise)
    return Distillation(settings, shape, feeder, replicas)


class _Experiment:
    """A table, a plan and settings on their way to a result."""

    def __init__(self, opened: FeatureTable, plan: Plan, settings: Settings, progress: bool) -> None:
        self.opened, self.plan, self.settings, self.progress = opened, plan, settings, progress
        self.table = usable(opened, plan.target, plan.auxiliary)
        self.names = (*plan.target, *plan.auxiliary)
        self.forecast: dict[str, Any] | None = None
        self.result: dict[str, Any] = {}
        self.trainer = Trainer(self._learner, settings.loop, progress=progress)

    def _learner(self, device: torch.device) -> Distillation:
        learner = learner_of(self.table, self.plan, self.settings, device)
        learner.finished = self._finish
        return learner

    def identity(self) -> dict[str, Any]:
        """What config.json says of the table."""
        archives = [MotionArchive.open(_bare(place)) for place in self.plan.tables if is_archive(place)]
        return identity(self.opened, self.names, archives)

    def start(self, out: Path | None) -> dict[str, Any]:
        """Train from the beginning."""
        warn_of(self.settings)
        warn_of_constants(self.table, self.names)
        run = None
        if out is not None:
            content: dict[str, Any] = {"settings": self.settings.to_dict(), "plan": dataclasses.asdict(self.plan)}
            run = Run.create(out, "distill", MODULE, content | {"table": self.identity()})
        return self._train(run)

    def resume(self, run: Run) -> dict[str, Any]:
        """Continue from the latest checkpoint."""
        self.trainer.resume(run)
        return self._train(run)

    def _train(self, run: Run | None) -> dict[str, Any]:
        learner = self.trainer.learner
        assert isinstance(learner, Distillation)
        if self.plan.diagnose and self.plan.auxiliary:
            out = None if run is None else run.path
            self.forecast = from_first(lambda: _forecast(self.table, self.plan, learner.folded, out, self.progress))
        self.trainer.fit(run)
        if run is None:
            learner.train(False)
            self._finish(learner, None)
        elif rank():
            self.result = run.result()
        _warn_of_collapse(learner, self.result["curves"])
        return self.result

    def _finish(self, learner: Distillation, run: Run | None) -> None:
        """Scores of all replicas; the student and the result on disk, the result last."""
        lines = self.trainer.lines if run is None else run.metrics()
        self.result = self._result(learner, lines, None if run is None else run.path)
        if run is None:
            return
        if self.settings.method.scored == "student":  # the teacher's own method trains none
            save_student(run.path / "student.safetensors", learner, self.table, self.plan.motion)
        write_json(run.path / "result.json", self.result)
        reported(run.path)

    def _result(self, learner: Distillation, lines: Sequence[dict[str, Any]], out: Path | None) -> dict[str, Any]:
        plan, settings, table = self.plan, self.settings, self.table
        rule = plan.split or default_rule(table)
        tested = rule != "all" or plan.validate
        outputs = learner.main.outputs
        scores = evaluate(outputs, learner.feeder, learner.folded, learner.shape.classes) if tested else []
        return {
            "motet": __version__,
            "method": settings.name,
            "scored": settings.method.scored,
            "settings": settings.to_dict(),
            "table": {
                "name": "+".join(Path(p).stem for p in plan.tables),
                "rows": len(table),
                "dropped": len(self.opened) - len(table),
                "whole": int(learner.feeder.whole.sum()),
                "absent": {m: int((~table.modalities[m].available).sum()) for m in plan.auxiliary},
                "training": training_side(table, plan.auxiliary, learner.folded.folds),
                "classes": list(table.class_names),
                "simulated": simulated(plan.tables),
            },
            "target": list(plan.target),
            "auxiliary": list(plan.auxiliary),
            "split": rule,
            "validate": plan.validate,
            "batch_size": learner.batch_size,
            "seconds": round(sum(line.get("seconds", 0.0) for line in lines), 3),
            "environment": environment() | begun(out),
            "replicas": scores,
            "summary": (found := summary(scores, settings.method.scored)),
            "rows": rows(found, settings.name, plan.target, plan.auxiliary),
            "curves": curves(lines),
            "forecast": self.forecast,
            "linear": linear(table, plan.target, plan.auxiliary, learner.folded.folds) if tested else {},
            "command_alone": _command_alone(plan, settings, out),
        }


def curves(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a result keeps of the metrics: terms and test curves by stage and epoch."""
    return [{n: line[n] for n in ("stage", "epoch", "terms", "curve") if n in line} for line in lines]


def _bare(place: str) -> str:
    """Path of an archive that may have been given a name."""
    return place if Path(place).is_dir() else place.partition("=")[2]


def begun(out: Path | None) -> dict[str, Any]:
    """The command that began a run; one that continues it does not repeat it."""
    try:
        return {"command": json.loads((out / "environment.json").read_text())["command"]} if out is not None else {}
    except (OSError, ValueError, KeyError):
        return {}


def _command_alone(plan: Plan, settings: Settings, out: Path | None) -> str | None:
    """How to train the student alone under the same conditions; None if the table is in memory only."""
    if not all(is_archive(table) or Path(table).is_file() for table in plan.tables):
        return None
    return command_alone(["motet", "distill", *plan.tables], plan, settings, out, [("", plan.motion, Motion())])


def warn_of(settings: Settings) -> None:
    """Options that leave nothing of a method, or make it worse."""
    idle = all_warm_up(settings.to_dict())
    for said in (*settings.method.cautions(), *([idle] if idle else [])):
        warnings.warn(said, MotetWarning, stacklevel=4)


def _warn_of_collapse(learner: Distillation, lines: Sequence[dict[str, Any]]) -> None:
    """Nearly one representation for different classes in the last epoch."""
    last = lines[-1]["terms"].get("cosine_others", [])
    replicas = zip(learner.folded.replica_folds, learner.folded.replica_seeds, last, strict=bool(last))
    fallen = [(fold.name, seed, value) for fold, seed, value in replicas if value > _COLLAPSED]
    if fallen:
        fold, seed, value = fallen[0]
        warnings.warn(
            f"teacher and student give all classes nearly one representation (mean cosine of different classes "
            f"{value:.3f} in {fold}, seed {seed}; {len(fallen)} of {counted(len(learner.folded), 'training')}): lower "
            "--contrast-student, --contrast-auxiliary and --adversarial, or the rate",
            MotetWarning,
            stacklevel=4,
        )


def _forecast(table: FeatureTable, plan: Plan, replicas: Replicas, out: Path | None, progress: bool) -> dict[str, Any]:
    stored = out / "forecast.json" if out is not None else None
    if stored is not None and stored.exists():
        found: dict[str, Any] = json.loads(stored.read_text())
        return found
    # rows that train somewhere: with one split these are its training rows, with folds all of them
    rows = np.unique(np.concatenate([fold.train for fold in replicas.folds]))
    with one_thread():
        found = diagnose(table.rows(rows), plan.target, plan.auxiliary, progress=progress)
    if stored is not None:
        write_json(stored, found)
    return found
