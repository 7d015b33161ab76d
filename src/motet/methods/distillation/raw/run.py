"""Training from recordings: every fold with every seed, one after the other, to a result like that of a table."""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from motet._version import __version__
from motet.core import devices
from motet.core.environment import environment
from motet.core.errors import ConfigError, DataError, Interrupted, RunError
from motet.core.files import write_json, written
from motet.core.progress import TrainingProgress
from motet.core.signals import stop_signals
from motet.methods.distillation.folds import Fold, default_rule, folds
from motet.methods.distillation.narrative import command_alone, encoders_of, report, training_side
from motet.methods.distillation.networks import Shape
from motet.methods.distillation.ranges import within
from motet.methods.distillation.raw import media
from motet.methods.distillation.raw.checkpoints import digest
from motet.methods.distillation.raw.datasets import open_source
from motet.methods.distillation.raw.extraction import extract
from motet.methods.distillation.raw.feeder import RawFeeder, Source, stand_in
from motet.methods.distillation.raw.manifest import Item, Manifest
from motet.methods.distillation.raw.networks import weights_of
from motet.methods.distillation.raw.options import RawOptions, kind_of
from motet.methods.distillation.raw.student import save_student
from motet.methods.distillation.raw.threads import decoders, number_of
from motet.methods.distillation.raw.trainer import RawTrainer
from motet.methods.distillation.replicas import Replicas
from motet.methods.distillation.result import summary
from motet.methods.distillation.run import begun, warn_of
from motet.methods.distillation.scores import evaluate
from motet.methods.distillation.settings import Settings, settings_for, settings_from_dict
from motet.methods.distillation.table import FeatureTable, usable

_SHOWN = 5  # bad recordings in a message


@dataclass(frozen=True)
class RawPlan:
    """What is trained, apart from settings and networks.

    Attributes:
        source: manifest or folder.
        target, auxiliary: modalities.
        trained: those whose networks learn; the others are frozen, and their features are extracted once.
        seeds, split, folds, validate: as of :class:`motet.methods.distillation.run.Plan`.
        mark_absent: recordings of frozen modalities that cannot be read are absent instead of an error.
        device: of the networks.
        workers: threads that decode.
    """

    source: str
    target: tuple[str, ...]
    auxiliary: tuple[str, ...]
    trained: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    split: str | None = None
    folds: int = 5
    validate: bool = False
    mark_absent: bool = False
    device: str = "cpu"
    workers: int = 1

    def __post_init__(self) -> None:
        if not self.target:
            raise ConfigError("no target modality was named")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"seeds are {self.seeds}; they must be different and not negative")
        within(self, "folds", least=2)
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
    device: str = "cpu",
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
        device: of the networks.
        workers: threads that decode; by default one per processor, with 0 the calling thread does.
        progress: show progress.
        options: any option of the settings by its name.

    Returns:
        The result, also written to ``result.json``, in the form of :func:`motet.methods.distillation.run`. Test
        samples are tested
        by all their clips: probabilities and representations are averaged.

    Raises:
        DataError: a recording cannot be read, or the samples cannot be divided.
        ConfigError: options that do not exist or do not fit.
        RunError: ``out`` exists, or a term became NaN.
        Interrupted: a signal arrived; the state is saved.
    """
    chosen = settings_for(method, settings) if isinstance(settings, str) else settings
    chosen = chosen.with_options(options)
    targets, others = _names(target), _names(auxiliary)
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
        devices.usable(device),
        number_of(workers),
    )
    if not out:
        raise ConfigError("nowhere to keep the result; name a run directory by --out")
    path = Path(out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} exists already; go on with `motet distill raw --resume {path}` or choose another --out")
    manifest = open_source(place)
    _checked(manifest, plan)
    _readable(manifest, plan)
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "environment.json", environment())
    content: dict[str, Any] = {"motet": __version__, "kind": "distill-raw", "settings": chosen.to_dict()}
    content |= {"plan": dataclasses.asdict(plan), "networks": networks.to_dict()}
    content["samples"] = _samples(manifest, plan, networks)
    write_json(path / "config.json", content)
    return _run(manifest, plan, chosen, networks, path, progress)


def resume(out: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Go on with an interrupted training; the result is that of one that was never interrupted.

    Raises:
        RunError: not a directory of one, or samples or weights have changed since.
    """
    path = Path(out)
    try:
        config = json.loads((path / "config.json").read_text())
        if config["kind"] != "distill-raw":
            raise KeyError(config["kind"])
        stored: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config["plan"].items()}
        plan = RawPlan(**stored)
        settings, networks = settings_from_dict(config["settings"]), RawOptions.from_dict(config["networks"])
        samples = config["samples"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is not the directory of a training from recordings ({error})") from error
    manifest = open_source(plan.source)
    if _samples(manifest, plan, networks) != samples:
        raise RunError(f"{plan.source} or the weights have changed since {path} was begun; train into a new directory")
    return _run(manifest, plan, settings, networks, path, progress)


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


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
            f"{len(wrong)} recordings cannot be read: {some}{' …' if len(wrong) > _SHOWN else ''}; mend them, or take "
            "their paths out of the manifest"
        )


def _wrong(item: Item, kind: str) -> str:
    try:
        media.check(item, kind)
    except DataError as error:
        return str(error)
    return ""


def _run(
    manifest: Manifest, plan: RawPlan, settings: Settings, networks: RawOptions, out: Path, progress: bool
) -> dict[str, Any]:
    opened = _table(manifest, plan, networks, out, progress)
    table = usable(opened, plan.target, plan.auxiliary)
    rule = plan.split or default_rule(table)
    divided = folds(table, plan.split, plan.folds, validate=plan.validate)
    warn_of(settings)
    source = Source({name: manifest.items(name) for name in plan.trained}, plan.workers)
    replicas = [(fold, seed) for fold in divided for seed in plan.seeds]
    done: list[dict[str, Any]] = []
    try:
        with stop_signals() as stopped:
            for fold, seed in replicas:
                place = out / "replicas" / f"{fold.name.replace(' ', '-').replace('/', '-')}-seed-{seed}"
                done.append(
                    _replica(table, fold, seed, plan, settings, networks, source, place, progress, stopped, rule)
                )
    finally:
        source.close()
    scored = [line["result"] for line in done if line["result"]]
    result: dict[str, Any] = {
        "motet": __version__,
        "method": settings.name,
        "scored": done[0]["scored"],
        "settings": settings.to_dict(),
        "networks": networks.to_dict(),
        "table": {
            "name": Path(plan.source).stem,
            "rows": len(table),
            "dropped": len(opened) - len(table),
            "whole": done[0]["whole"],
            "absent": {m: int((~table.modalities[m].available).sum()) for m in plan.auxiliary},
            "training": training_side(table, plan.auxiliary, divided),
            "classes": list(table.class_names),
        },
        "target": list(plan.target),
        "auxiliary": list(plan.auxiliary),
        "trained": list(plan.trained),
        "split": rule,
        "validate": plan.validate,
        "batch_size": done[0]["batch_size"],
        "seconds": round(sum(line["seconds"] for line in done), 3),
        "environment": environment() | begun(out),
        "replicas": scored,
        "summary": summary(scored, done[0]["scored"]),
        "curves": {f"{f.name}, seed {s}": line["curves"] for (f, s), line in zip(replicas, done, strict=True)},
        "forecast": None,
        "command_alone": _command_alone(plan, settings, networks, out),
    }
    write_json(out / "result.json", result)
    with written(out / "result.md") as partial:
        partial.write_text(report(result, out) + "\n")
    return result


def _command_alone(plan: RawPlan, settings: Settings, networks: RawOptions, out: Path) -> str:
    """How to train the student alone under the same conditions."""
    words = ["motet", "distill", "raw", plan.source, "--target", *plan.target, "--seeds", *map(str, plan.seeds)]
    words += ["--settings", settings.settings] if settings.settings != "table" else []
    words += ["--split", plan.split] if plan.split is not None else []
    words += ["--folds", str(plan.folds)] if plan.folds != RawPlan.folds else []
    words += ["--validate"] if plan.validate else []
    student = dataclasses.replace(settings.networks, encoder=encoders_of(settings.networks.encoder, plan.target))
    start, plain = settings_for("alone", settings.settings), RawOptions()
    parts: list[tuple[str, object, object]] = [("", student, start.networks)]
    parts.append(("", settings.training, start.training))
    parts += [
        (f"{kind}.", getattr(networks, kind), getattr(plain, kind)) for kind in dict.fromkeys(map(kind_of, plan.target))
    ]
    return command_alone(words, out, parts)


def _table(manifest: Manifest, plan: RawPlan, networks: RawOptions, out: Path, progress: bool) -> FeatureTable:
    """Features of the frozen networks, extracted once, and stand-in columns of what is trained."""
    frozen = [name for name in plan.auxiliary if name not in plan.trained]
    stand_ins = {name: stand_in(manifest.items(name)) for name in plan.trained}
    if not frozen:
        return manifest.table(stand_ins)
    file = out / "features.npz"
    if not file.exists():
        options = {
            "mark_absent": plan.mark_absent,
            "device": plan.device,
            "workers": plan.workers,
            "progress": progress,
        }
        extract(manifest, file, frozen, networks, **options)  # type: ignore[arg-type]
    features = FeatureTable.open(file)
    return manifest.table(stand_ins | features.modalities)


def _replica(
    table: FeatureTable,
    fold: Fold,
    seed: int,
    plan: RawPlan,
    settings: Settings,
    networks: RawOptions,
    source: Source,
    place: Path,
    progress: bool,
    stopped: Sequence[int],
    rule: str,
) -> dict[str, Any]:
    """Train and test one fold and seed, or read what was found when that was done before."""
    stored = place / "replica.json"
    if stored.exists():
        found: dict[str, Any] = json.loads(stored.read_text())
        return found
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
    feeder = RawFeeder(table, shape, replicas, torch.device(plan.device), source, standardise=standardise)
    trainer = RawTrainer(settings, shape, feeder, replicas, networks)
    place.mkdir(parents=True, exist_ok=True)
    trainer.restore(place)
    stages, epochs = len(trainer.stages), settings.training.epochs
    with TrainingProgress(epochs, stages, trainer.stage * epochs + trainer.epoch, show=progress) as show:
        show.say(f"{fold.name}, seed {seed}")
        if not trainer.run(place, show, stopped):
            _leave(place.parent.parent, stopped, trainer, fold, seed)
    feeder.windows = None  # every clip from here on
    tested = rule != "all" or plan.validate
    scored = evaluate(trainer.main.outputs, feeder, replicas, shape.classes) if tested else [None]
    if settings.method.scored == "student":  # the teacher's own method trains none
        save_student(place / "student.safetensors", trainer, table.class_names)
    line = {
        "result": scored[0],
        "scored": settings.method.scored,
        "whole": int(feeder.whole.sum()),
        "batch_size": trainer.batch_size,
        "seconds": trainer.seconds,
        "curves": trainer.history,
    }
    write_json(stored, line)
    return line


def _leave(out: Path, stopped: Sequence[int], trainer: RawTrainer, fold: Fold, seed: int) -> None:
    name = signal.Signals(stopped[0]).name
    where = f"after epoch {trainer.epoch} of stage {trainer.stages[trainer.stage].name} ({fold.name}, seed {seed})"
    error = Interrupted(f"stopped by {name} {where}; go on with `motet distill raw --resume {out}`")
    error.status = 128 + stopped[0]
    raise error
