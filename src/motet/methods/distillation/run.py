"""Distillation of one table: from options to a result and a student on disk."""

from __future__ import annotations

import dataclasses
import json
import signal
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motet._version import __version__
from motet.core.devices import one_thread
from motet.core.devices import usable as usable_device
from motet.core.environment import environment
from motet.core.errors import ConfigError, Interrupted, MotetWarning, RunError
from motet.core.files import write_json, written
from motet.core.progress import TrainingProgress
from motet.core.signals import stop_signals
from motet.data.archive import MotionArchive
from motet.methods.distillation.diagnose import diagnose
from motet.methods.distillation.folds import default_rule, folds
from motet.methods.distillation.motion import Motion, is_archive, open_table, resolved, rule_of, simulated
from motet.methods.distillation.narrative import all_warm_up, command_alone, encoders_of, report, training_side
from motet.methods.distillation.networks import Shape
from motet.methods.distillation.ranges import within
from motet.methods.distillation.replicas import Feeder, Replicas
from motet.methods.distillation.result import summary
from motet.methods.distillation.scores import evaluate
from motet.methods.distillation.settings import Settings, settings_for, settings_from_dict
from motet.methods.distillation.student import save_student
from motet.methods.distillation.table import FeatureTable, check_numbers, usable, warn_of_constants
from motet.methods.distillation.train import Trainer

Tables = str | Path | FeatureTable | MotionArchive | Sequence[str | Path | MotionArchive]
_COLLAPSED = 0.98  # mean cosine of different classes


@dataclass(frozen=True)
class Plan:
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
    folds: int = 5
    validate: bool = False
    diagnose: bool = True
    motion: Motion = field(default_factory=Motion)

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"seeds are {self.seeds}; they must be different and not negative")
        within(self, "folds", least=2)


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
    device: str = "cpu",
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
        device: of the training.
        options: any option of the settings by its name (``epochs``, ``temperature``, ``features`` …).

    Returns:
        The result, also written to ``result.json``; its keys are described in the documentation of AMID.

    Raises:
        DataError: the table cannot be used; the message names table, modality and row.
        ConfigError: options that do not exist or do not fit the table.
        RunError: ``out`` exists, or a term became NaN.
        Interrupted: a signal arrived; the state is saved.
    """
    chosen = settings_for(method, settings) if isinstance(settings, str) else settings
    chosen = chosen.with_options(options)
    paths = _paths(table)
    given = (paths, _names(target), _names(auxiliary), tuple(seeds), split, folds, validate, diagnose)
    plan = Plan(*given, motion or Motion())
    if isinstance(table, FeatureTable):
        check_numbers(table, (*plan.target, *plan.auxiliary))
    opened = table if isinstance(table, FeatureTable) else _opened(plan)
    path, device = None if out is None else _fresh(Path(out)), usable_device(device)
    return _train(opened, plan, chosen, path, device, progress)


def resume(out: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Go on with an interrupted distillation; the result is that of one that was never interrupted.

    Raises:
        RunError: not a directory of one.
    """
    path = Path(out)
    try:
        config = json.loads((path / "config.json").read_text())
        stored: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config["plan"].items()}
        plan = Plan(**{**stored, "motion": Motion.from_dict(stored["motion"])})
        settings, device = settings_from_dict(config["settings"]), config["device"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is not the directory of a distillation ({error}); `motet distill` makes one") from error
    return _train(_opened(plan), plan, settings, path, device, progress)


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _paths(table: Tables) -> tuple[str, ...]:
    if isinstance(table, FeatureTable):
        return (table.name,)
    several = [table] if isinstance(table, str | Path | MotionArchive) else table
    return tuple(resolved(one.path if isinstance(one, MotionArchive) else one) for one in several)


def _opened(plan: Plan) -> FeatureTable:
    names = (*plan.target, *plan.auxiliary)
    return open_table(plan.tables, names, plan.motion, rule_of(plan.split, plan.tables)[1])


def _fresh(out: Path) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} exists already; go on with `motet distill --resume {out}` or choose another --out")
    return out


def _create(out: Path, plan: Plan, settings: Settings, device: str) -> None:
    """Start a run directory, once nothing is wrong with the input."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "environment.json", environment())
    content: dict[str, Any] = {"motet": __version__, "kind": "distill", "device": device}
    content |= {"settings": settings.to_dict(), "plan": dataclasses.asdict(plan)}
    write_json(out / "config.json", content)


def trainer_of(table: FeatureTable, plan: Plan, settings: Settings, device: str = "cpu") -> tuple[Trainer, Shape]:
    """A fresh trainer of a table whose rows all have the targets."""
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
    return Trainer(settings, shape, feeder, replicas), shape


def _train(
    opened: FeatureTable, plan: Plan, settings: Settings, out: Path | None, device: str, progress: bool
) -> dict[str, Any]:
    table = usable(opened, plan.target, plan.auxiliary)
    rule = plan.split or default_rule(table)
    trainer, shape = trainer_of(table, plan, settings, device)
    warn_of(settings)
    warn_of_constants(table, (*plan.target, *plan.auxiliary))
    if out is not None and not (out / "config.json").exists():
        _create(out, plan, settings, device)
    forecast = None
    if plan.diagnose and plan.auxiliary:
        forecast = _forecast(table, plan, trainer.replicas, out, progress)
    if out is not None:
        trainer.restore(out)
    stages, epochs = len(trainer.stages), settings.training.epochs
    show = TrainingProgress(epochs, stages, trainer.stage * epochs + trainer.epoch, show=progress)
    with one_thread(device == "cpu"), stop_signals() as stopped, show:
        if not trainer.run(out, show, stopped):
            _leave(out, stopped, trainer)
    replicas, main = trainer.replicas, trainer.main
    tested = rule != "all" or plan.validate
    scored = evaluate(main.outputs, trainer.feeder, replicas, shape.classes) if tested else []
    result: dict[str, Any] = {
        "motet": __version__,
        "method": settings.name,
        "scored": settings.method.scored,
        "settings": settings.to_dict(),
        "table": {
            "name": "+".join(Path(p).stem for p in plan.tables),
            "rows": len(table),
            "dropped": len(opened) - len(table),
            "whole": int(trainer.feeder.whole.sum()),
            "absent": {m: int((~table.modalities[m].available).sum()) for m in plan.auxiliary},
            "training": training_side(table, plan.auxiliary, replicas.folds),
            "classes": list(table.class_names),
            "simulated": simulated(plan.tables),
        },
        "target": list(plan.target),
        "auxiliary": list(plan.auxiliary),
        "split": rule,
        "validate": plan.validate,
        "batch_size": trainer.batch_size,
        "seconds": round(trainer.seconds, 3),
        "environment": environment() | begun(out),
        "replicas": scored,
        "summary": summary(scored, settings.method.scored),
        "curves": trainer.history,
        "forecast": forecast,
        "command_alone": _command_alone(plan, settings, out),
    }
    _warn_of_collapse(trainer)
    if out is not None:
        if settings.method.scored == "student":  # the teacher's own method trains none
            save_student(out / "student.safetensors", trainer, table, plan.motion)
        write_json(out / "result.json", result)
        with written(out / "result.md") as partial:
            partial.write_text(report(result, out) + "\n")
    return result


def begun(out: Path | None) -> dict[str, Any]:
    """The command that began a run; one that goes on with it does not repeat it."""
    try:
        return {"command": json.loads((out / "environment.json").read_text())["command"]} if out is not None else {}
    except (OSError, ValueError, KeyError):
        return {}


def _command_alone(plan: Plan, settings: Settings, out: Path | None) -> str | None:
    """How to train the student alone under the same conditions; None if the table is in memory only."""
    if not all(is_archive(table) or Path(table).is_file() for table in plan.tables):
        return None
    words = ["motet", "distill", *plan.tables, "--target", *plan.target, "--seeds", *map(str, plan.seeds)]
    words += ["--settings", settings.settings] if settings.settings != "table" else []
    words += ["--split", plan.split] if plan.split is not None else []
    words += ["--folds", str(plan.folds)] if plan.folds != Plan.folds else []
    words += ["--validate"] if plan.validate else []
    networks = dataclasses.replace(settings.networks, encoder=encoders_of(settings.networks.encoder, plan.target))
    start = settings_for("alone", settings.settings)
    parts = (
        ("", networks, start.networks),
        ("", settings.training, start.training),
        ("", plan.motion, Motion()),
    )
    return command_alone(words, out, parts)


def warn_of(settings: Settings) -> None:
    """Options that leave nothing of a method, or make it worse."""
    idle = all_warm_up(settings.to_dict())
    for said in (*settings.method.cautions(), *([idle] if idle else [])):
        warnings.warn(said, MotetWarning, stacklevel=4)


def _warn_of_collapse(trainer: Trainer) -> None:
    """Alike features of unlike classes in the last epoch."""
    last = trainer.history[-1]["terms"].get("cosine_others", [])
    replicas = zip(trainer.replicas.replica_folds, trainer.replicas.replica_seeds, last, strict=bool(last))
    fallen = [(fold.name, seed, value) for fold, seed, value in replicas if value > _COLLAPSED]
    if fallen:
        fold, seed, value = fallen[0]
        warnings.warn(
            f"teacher and student give all classes nearly one representation (mean cosine of different classes "
            f"{value:.3f} in {fold}, seed {seed}; {len(fallen)} of {len(trainer.replicas)} trainings): lower "
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


def _leave(out: Path | None, stopped: Sequence[int], trainer: Trainer) -> None:
    name = signal.Signals(stopped[0]).name
    where = f"after epoch {trainer.epoch} of stage {trainer.stages[trainer.stage].name}"
    advice = f"go on with `motet distill --resume {out}`" if out is not None else "nothing was kept: there is no --out"
    error = Interrupted(f"stopped by {name} {where}; {advice}")
    error.status = 128 + stopped[0]
    raise error
