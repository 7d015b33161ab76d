"""Training from recordings: every fold with every seed, one after the other, to a result like that of a table."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypedDict

import torch

from motet._version import __version__
from motet.core.environment import environment
from motet.core.errors import ConfigError, DataError, RunError
from motet.core.files import write_json
from motet.core.options import Bounds, Options
from motet.core.text import counted, several
from motet.core.workers import first_process
from motet.engine.forms import stored_json
from motet.engine.options import as_started, asked
from motet.engine.run import Run
from motet.engine.trainer import Trainer
from motet.methods.distillation.folds import Fold, default_rule, folds
from motet.methods.distillation.narrative import command_alone, training_side
from motet.methods.distillation.networks import Shape
from motet.methods.distillation.raw import media
from motet.methods.distillation.raw.checkpoints import digest
from motet.methods.distillation.raw.datasets import open_source
from motet.methods.distillation.raw.extraction import extract
from motet.methods.distillation.raw.feeder import RawFeeder, Source, stand_in
from motet.methods.distillation.raw.manifest import Item, Manifest
from motet.methods.distillation.raw.networks import weights_of
from motet.methods.distillation.raw.options import RawOptions, kind_of
from motet.methods.distillation.raw.student import RawStudent, save_student
from motet.methods.distillation.raw.student import load as load_student
from motet.methods.distillation.raw.threads import decoders, number_of
from motet.methods.distillation.raw.trainer import RawDistillation, RawDistillations, place_of
from motet.methods.distillation.replicas import Replicas
from motet.methods.distillation.result import PlanFields, ReplicaForm, ResultForm, rows, summary
from motet.methods.distillation.run import begun, curves, reported, warn_of
from motet.methods.distillation.scores import evaluate
from motet.methods.distillation.settings import Settings, settings_for, settings_from_dict
from motet.methods.distillation.table import FeatureTable, usable

KIND, MODULE = "distill-raw", "motet.methods.distillation.raw.run"


class StoredPlan(PlanFields):
    """What is trained on which recordings."""

    source: str


class CONFIG(TypedDict):
    """config.json."""

    settings: dict[str, Any]
    plan: StoredPlan
    networks: dict[str, Any]
    samples: dict[str, str]


RESULT = ResultForm
WEIGHTS = ("replicas/*/student.safetensors",)
"""files of a run that its model is made of, besides config.json; patterns"""
_SHOWN = 5  # bad recordings in a message


@dataclass(frozen=True)
class RawPlan(Options):
    """What is trained, apart from settings and networks.

    Attributes:
        source: manifest or folder.
        target, auxiliary: modalities.
        trained: those whose networks learn; the others are frozen, and their features are extracted once.
        seeds, split, folds, validate: as of :class:`motet.methods.distillation.run.Plan`.
        mark_absent: recordings of frozen modalities that cannot be read are absent instead of an error.
        workers: threads that decode.
    """

    source: str
    target: tuple[str, ...]
    auxiliary: tuple[str, ...]
    trained: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    split: str | None = None
    folds: Annotated[int, Bounds(least=2)] = 5
    validate: bool = False
    mark_absent: bool = False
    workers: Annotated[int, Bounds(least=0)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.target:
            raise ConfigError("no target modality was named")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"seeds are {self.seeds}; they must be different and not negative")
        names = (*self.target, *self.auxiliary)
        for name in self.trained:
            if name not in names:
                raise ConfigError(f"modality {name} is to be trained, but is neither target nor auxiliary")
        for name in self.target:
            if name not in self.trained:
                raise ConfigError(
                    f"the target {name} is frozen; train it, or take `motet distill extract` and distil the table"
                )


def train(
    source: str | Path,
    target: str | Sequence[str],
    auxiliary: str | Sequence[str] = (),
    out: str | Path = "",
    *,
    method: str = "amid",
    settings: str | Settings = "table",
    networks: RawOptions | None = None,
    train_auxiliary: bool = False,
    seeds: Sequence[int] = (0,),
    split: str | None = None,
    folds: int = 5,
    validate: bool = False,
    mark_absent: bool = False,
    workers: int | None = None,
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Train a student that sees recordings of the target modalities with the help of auxiliary ones.

    Args:
        source: manifest (CSV), or a folder with one folder per class.
        target: what the student sees; its networks learn.
        auxiliary: what helps in training only.
        out: run directory to create.
        method, settings, seeds, split, folds, validate: as of :func:`motet.methods.distillation.run`.
        networks: options of the networks that see recordings.
        train_auxiliary: the auxiliary networks learn, too; by default they are frozen and need weights, as in the
            paper.
        mark_absent: recordings of frozen modalities that cannot be read are absent instead of an error.
        workers: threads that decode; by default one per processor, with 0 the calling thread does.
        progress: show progress.
        options: any option of the settings by its name (``epochs``, ``device`` …).

    Returns:
        The result, also written to ``result.json``, in the form of :func:`motet.methods.distillation.run`. Test
        samples are tested
        by all their clips: probabilities and representations are averaged.

    Raises:
        DataError: a recording cannot be read, or the samples cannot be divided.
        ConfigError: options that do not exist or do not fit.
        RunError: ``out`` exists, or a loss or gradient is not finite; names the term, the step and its samples.
        Interrupted: a signal arrived; the state is saved.
    """
    chosen = settings_for(method, settings) if isinstance(settings, str) else settings
    chosen = as_started(chosen.with_options(options), asked(options))
    targets, others = several(target), several(auxiliary)
    trained = (*targets, *others) if train_auxiliary else targets
    if train_auxiliary and chosen.networks.auxiliary_extractor == "table":
        chosen = chosen.with_options({"auxiliary_extractor": "trained"})
    networks = networks or RawOptions()
    place = Path(source).resolve()
    plan = RawPlan(
        str(place),
        targets,
        others,
        trained,
        tuple(seeds),
        split,
        folds,
        validate,
        mark_absent,
        number_of(workers),
    )
    if not out:
        raise ConfigError("nowhere to keep the result; name a run directory by --out")
    _check_processes(plan, chosen)
    run = Run(Path(out))
    run.check_free()
    manifest = open_source(place)
    _checked(manifest, plan)
    _readable(manifest, plan)
    content: dict[str, Any] = {"settings": chosen.to_dict(), "plan": dataclasses.asdict(plan)}
    content |= {"networks": networks.to_dict(), "samples": _samples(manifest, plan, networks)}
    warn_of(chosen)
    run = Run.create(out, "distill-raw", MODULE, content)
    try:
        return _run(manifest, plan, chosen, networks, run, progress, resumed=False)
    except (ConfigError, DataError):
        if first_process() and not (run.metrics() or run.checkpoints or any(run.path.glob("features*"))):
            shutil.rmtree(run.path)  # nothing was begun: the same command, corrected, starts it
        raise


def resume(path: str | Path, *, progress: bool = True, devices: int | None = None) -> dict[str, Any]:
    """Continue an interrupted training; the result is that of one that was never interrupted.

    Args:
        path: run directory.
        progress: show progress.
        devices: processes on this machine, if not as many as before: the same training but for rounding.

    Raises:
        RunError: not a directory of one, or samples or weights have changed since.
    """
    run = Run.open(path, "distill-raw")
    if run.finished:
        return reported(run.path)
    if (run.path / "lanes").is_dir():
        raise RunError(f"{path} was begun by an earlier version, which kept its state otherwise; {run.renewal}")
    given = {} if devices is None else {"devices": devices}
    try:
        plan = RawPlan.from_dict(run.config["plan"])
        settings, networks = (
            as_started(options(run).with_options(given), given),
            RawOptions.from_dict(run.config["networks"]),
        )
    except ConfigError as error:
        raise RunError(f"{run.path / 'config.json'} is damaged ({error}); {run.renewal}") from error
    settings, manifest = as_started(settings, given), open_source(plan.source)
    _check_processes(plan, settings)
    if _samples(manifest, plan, networks) != run.config["samples"]:
        raise RunError(f"{plan.source} or the weights have changed since {path} was begun; train into a new directory")
    return _run(manifest, plan, settings, networks, run, progress, resumed=True)


def options(run: Run) -> Settings:
    """The settings of a run."""
    return settings_from_dict(run.config["settings"])


def load(run: Run, device: Any = "cpu") -> RawStudent:
    """The first student of a run; see :func:`motet.methods.distillation.raw.student.load`."""
    return load_student(run.path).to(device)


def _check_processes(plan: RawPlan, settings: Settings) -> None:
    spoken = [name for name in plan.trained if kind_of(name) in ("speech", "text")]
    if spoken and settings.loop.processes > 1:
        raise ConfigError(
            f"the network of {spoken[0]} pads and drops by the batch, so it trains on one process; leave --devices and "
            "--nodes out"
        )


def _samples(manifest: Manifest, plan: RawPlan, networks: RawOptions) -> dict[str, str]:
    names = (*plan.target, *plan.auxiliary)
    kinds = dict.fromkeys(kind_of(name) for name in names)
    return {"manifest": manifest.digest(names)} | {k: digest(weights_of(networks.of(k))) for k in kinds}


def _checked(manifest: Manifest, plan: RawPlan) -> FeatureTable:
    """The samples with stand-in columns; files, folds and modalities are there."""
    names = (*plan.target, *plan.auxiliary)
    table = usable(manifest.table({n: stand_in(manifest.items(n)) for n in names}), plan.target, plan.auxiliary)
    folds(table, plan.split, plan.folds, validate=plan.validate)
    return table


def _readable(manifest: Manifest, plan: RawPlan) -> None:
    """Open every recording that will be trained on; better now than in the middle of an epoch."""
    wrong: list[str] = []
    for name in (n for n in plan.trained if kind_of(n) != "text"):
        kind, items = kind_of(name), [i for i in manifest.items(name) if i is not None]
        with decoders(plan.workers) as pool:
            wrong += [said for said in pool.map(lambda item, kind=kind: _wrong(item, kind), items) if said]
    if wrong:
        some = "; ".join(wrong[:_SHOWN])
        raise DataError(
            f"{counted(len(wrong), 'recording')} cannot be read: {some}{' …' if len(wrong) > _SHOWN else ''}; repair "
            "them, or take their paths out of the manifest"
        )


def _wrong(item: Item, kind: str) -> str:
    try:
        media.check(item, kind)
    except DataError as error:
        return str(error)
    return ""


def _run(
    manifest: Manifest,
    plan: RawPlan,
    settings: Settings,
    networks: RawOptions,
    run: Run,
    progress: bool,
    *,
    resumed: bool,
) -> dict[str, Any]:
    if first_process():
        _extract(manifest, plan, networks, settings, run.path, progress)

    @cache
    def samples() -> tuple[FeatureTable, FeatureTable, list[Fold]]:
        """All samples, those in use and their folds; only when the processes have met, so that features are there."""
        opened = _table(manifest, plan, run.path)
        table = usable(opened, plan.target, plan.auxiliary)
        return opened, table, folds(table, plan.split, plan.folds, validate=plan.validate)

    source = Source({name: manifest.items(name) for name in plan.trained}, plan.workers)

    def make(device: torch.device) -> RawDistillations:
        _, table, divided = samples()
        tested = (plan.split or default_rule(table)) != "all" or plan.validate

        def one(fold: Fold, seed: int) -> RawDistillation:
            return learner_of(table, fold, seed, plan, settings, networks, source, device)

        def done(learner: RawDistillation, place: Path) -> None:
            _finish_pair(learner, place, table, tested=tested)

        return RawDistillations(one, [(fold, seed) for fold in divided for seed in plan.seeds], done, finish)

    def finish(learner: RawDistillation, run: Run) -> None:
        result = _result(run, learner, *samples(), plan, settings, networks)
        write_json(run.path / "result.json", result)
        reported(run.path)

    try:
        with run.room():
            trainer = Trainer(make, settings.loop, progress=progress)
        if resumed:
            trainer.resume(run)
        trainer.fit(run)
    finally:
        source.close()
    return run.result()


def _result(
    run: Run,
    learner: RawDistillation,
    opened: FeatureTable,
    table: FeatureTable,
    divided: Sequence[Fold],
    plan: RawPlan,
    settings: Settings,
    networks: RawOptions,
) -> dict[str, Any]:
    pairs = [(fold, seed) for fold in divided for seed in plan.seeds]
    files = [place_of(run.path, *pair) / "replica.json" for pair in pairs]
    scores = [found for file in files if (found := stored_json(file, ReplicaForm | None)) is not None]
    lines = run.metrics()
    return {
        "motet": __version__,
        "method": settings.name,
        "scored": settings.method.scored,
        "settings": settings.to_dict(),
        "networks": networks.to_dict(),
        "table": {
            "name": Path(plan.source).stem,
            "rows": len(table),
            "dropped": len(opened) - len(table),
            "whole": int(learner.feeder.whole.sum()),
            "absent": {m: int((~table.modalities[m].available).sum()) for m in plan.auxiliary},
            "training": training_side(table, plan.auxiliary, divided),
            "classes": list(table.class_names),
        },
        "target": list(plan.target),
        "auxiliary": list(plan.auxiliary),
        "trained": list(plan.trained),
        "split": plan.split or default_rule(table),
        "validate": plan.validate,
        "batch_size": learner.batch_size,
        "seconds": round(sum(line["seconds"] for line in lines), 3),
        "environment": environment() | begun(run.path),
        "replicas": scores,
        "summary": (found := summary(scores, settings.method.scored)),
        "rows": rows(found, settings.name, plan.target, plan.auxiliary),
        "curves": {f"{fold.name}, seed {seed}": _curves_of(lines, fold, seed) for fold, seed in pairs},
        "forecast": None,
        "command_alone": _command_alone(plan, settings, networks, run.path),
    }


def _curves_of(lines: Sequence[dict[str, Any]], fold: Fold, seed: int) -> list[dict[str, Any]]:
    """The epochs of one fold with one seed, by the names of its own stages."""
    prefix = f"{fold.name}, seed {seed}: "
    return [
        line | {"stage": line["stage"].removeprefix(prefix)}
        for line in curves(lines)
        if line["stage"].startswith(prefix)
    ]


def learner_of(
    table: FeatureTable,
    fold: Fold,
    seed: int,
    plan: RawPlan,
    settings: Settings,
    networks: RawOptions,
    source: Source,
    device: torch.device,
) -> RawDistillation:
    """A fresh learner of one fold and one seed."""
    names = (*plan.target, *plan.auxiliary)
    shape = Shape(
        {m: table.modalities[m].size for m in names},
        frozenset(m for m in names if table.modalities[m].lengths is not None),
        plan.target,
        plan.auxiliary,
        len(table.class_names),
    )
    replicas = Replicas((fold,), (seed,))
    standardise = settings.networks.standardise
    feeder = RawFeeder(table, shape, replicas, device, source, standardise=standardise)
    return RawDistillation(settings, shape, feeder, replicas, networks)


def _finish_pair(learner: RawDistillation, place: Path, table: FeatureTable, *, tested: bool) -> None:
    """Scores and student of one fold with one seed; the scores last, their presence says that it is done."""
    stored = place / "replica.json"
    if stored.exists():
        return
    place.mkdir(parents=True, exist_ok=True)
    learner.feeder.windows = None  # every clip from here on
    scores = [None]
    if tested:
        scores = evaluate(learner.main.outputs, learner.feeder, learner.folded, learner.shape.classes)  # type: ignore[assignment]
    if learner.settings.method.scored == "student":  # the teacher's own method trains none
        save_student(place / "student.safetensors", learner, table.class_names)
    write_json(stored, scores[0])


def _command_alone(plan: RawPlan, settings: Settings, networks: RawOptions, out: Path) -> str:
    """How to train the student alone under the same conditions."""
    plain = RawOptions()
    kinds = dict.fromkeys(map(kind_of, plan.target))
    parts = [(f"{kind}.", networks.of(kind), plain.of(kind)) for kind in kinds]
    return command_alone(["motet", "distill", "raw", plan.source], plan, settings, out, parts)


def _extract(
    manifest: Manifest, plan: RawPlan, networks: RawOptions, settings: Settings, out: Path, progress: bool
) -> None:
    """Features of the frozen networks, once for all."""
    frozen, file = [name for name in plan.auxiliary if name not in plan.trained], out / "features.npz"
    if frozen and not file.exists():
        how = {"mark_absent": plan.mark_absent, "device": settings.loop.device, "workers": plan.workers}
        extract(manifest, file, frozen, networks, progress=progress, **how)  # type: ignore[arg-type]


def _table(manifest: Manifest, plan: RawPlan, out: Path) -> FeatureTable:
    """Features of the frozen networks, and stand-in columns of what is trained."""
    stand_ins, file = {name: stand_in(manifest.items(name)) for name in plan.trained}, out / "features.npz"
    return manifest.table(stand_ins | (FeatureTable.open(file).modalities if file.exists() else {}))
