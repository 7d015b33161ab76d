"""Rows that ``motet pretrain`` trains and ``motet evaluate`` evaluates."""

from __future__ import annotations

import hashlib
import json
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from motet.core.errors import MotetWarning
from motet.data.archive import MotionArchive
from motet.data.splits import Split, default_rule
from motet.engine.identity import digest
from motet.engine.run import Run
from motet.engine.table import UNTRAINED, is_baseline
from motet.engine.table import Row as EvaluatedRow
from motet.evaluate.runner import run as evaluate
from motet.methods import recipes
from motet.methods.pretrain import resolve, train_seeds, trainer_of
from motet.methods.recipe import Recipe
from motet.methods.start import FRESH
from motet.reproduce.declare import BEST, TARGET, BySplit, Measure, Row, Share, Steps, Times, Training
from motet.reproduce.jobs import Impossible, Job, Request, Values, folder_of, read_all, settled, words

_STEPS = 3  # that are measured for an estimate
# what the time of a step depends on, apart from the machine
_COSTLY = (
    *("method", "streams", "frames", "batch_size", "precision", "device", "devices", "nodes", "encoder", "hidden"),
    *("layers", "mode", "queue_size", "dim", "teachers", "positives", "prototypes", "prototypes_from", "neighbours"),
)
_ROW_FACTS = ("protocol", "stream", "ensemble", "metric")
ARGUMENTS = ("companions", "pair_by", "start")
"""arguments of pretrain that are no options of a recipe."""


class Pretraining:
    """See :class:`motet.reproduce.jobs.Engine`."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.archive = MotionArchive.open(request.data)
        if request.table.target:
            MotionArchive.open(request.one_target("an archive to transfer to"))
        self.facts: dict[str, Any] = {
            "name": self.archive.path.resolve().name,
            "path": str(self.archive.path),
            "hash": self.archive.hash,
            "clips": len(self.archive),
            "classes": len(self.archive.class_names),
            "licence": self.archive.licence,
            "simulated": self.archive.simulated,
        }
        self.rule = str(request.options.get("split") or default_rule(self.archive))
        self._steps: dict[tuple[Any, ...], float] = {}
        self._notes: dict[str, None] = {}

    def job(self, row: Row) -> Job:
        assert row.training is not None
        training, name, archive = row.training, self._recipe(row.training), self._archive(row.training.sensor)
        own = {k: v for k, v in training.options.items() if k not in self.request.options}
        plain = {k: v for k, v in own.items() if not isinstance(v, Share | Times | Steps)}
        base, parts = self._resolved(name, {**plain, **self.request.options}, archive)
        clips = len(parts.train)
        steps = clips // min(base.batch_size, clips)
        options = settled(own, epochs=base.epochs, defaults=base.flat(), per_epoch=steps)
        options |= self.request.options
        if TARGET in options.get("companions", {}).values():
            there = self.request.one_target("the archive of the other sensor")
            options["companions"] = {k: there if v == TARGET else v for k, v in options["companions"].items()}
        resolved, _ = self._resolved(name, options, archive)
        flat = resolved.flat()
        for option, other in training.limits.items():
            if flat[option] > flat[other]:
                raise Impossible(f"{option} {flat[option]} is more than {other} {flat[other]} of {resolved.recipe}")
        if row.pick.get("stream") == "all" and len(resolved.streams) < 2:
            raise Impossible(f"{resolved.recipe} has one stream on these recordings")
        self.facts.setdefault("split", {"rule": parts.name, "train": len(parts.train), "test": len(parts.test)})
        folder = folder_of(self.request, training, "pretrain", digest(archive), name, options)
        seed = self.request.seeds[0]
        given = [name, "--data", archive.path, "--out", folder / f"seed-{seed}", "--seed", seed]
        given += [] if "start" in options else ["--start", FRESH]
        command = shlex.join(["motet", "pretrain", *map(str, given)])
        return Job(training, options, folder, f"{command} {words(options)}".strip())

    def _archive(self, sensor: str) -> MotionArchive:
        """The recordings of a sensor: those of the archive, or the second archive."""
        if not sensor or sensor in self.archive.sensors:
            return self.archive.sensors[sensor] if sensor else self.archive
        return MotionArchive.open(self.request.one_target(f"the archive of {sensor}"))

    def _resolved(
        self, name: str, options: Mapping[str, Any], archive: MotionArchive | None = None
    ) -> tuple[Recipe, Split]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MotetWarning)  # shown once, when the training begins
            known = {k: v for k, v in options.items() if k not in ARGUMENTS}
            return resolve(name, archive or self.archive, known)

    def _recipe(self, training: Training) -> str:
        """Name of the recipe: in the paper's scale that of the data set, known by its split rule, if it has one.

        A method with a slash is a recipe itself."""
        if "/" in training.method:
            return training.method
        if self.request.scale == "small":
            return f"{training.method}/small"
        own = [n for n in recipes.names() if n.split("/")[0] == training.method and recipes.get(n).split == self.rule]
        return own[0] if own else f"{training.method}/paper"

    def done(self, job: Job) -> int:
        return sum((job.folder / f"seed-{s}" / "model.safetensors").exists() for s in self.request.seeds)

    def estimate(self, job: Job) -> float:
        archive = self._archive(job.training.sensor)
        recipe, parts = self._resolved(self._recipe(job.training), job.options, archive)
        if "companions" in job.options or any(":" in s for s in recipe.streams):  # sensors cost what streams of one do
            recipe = recipe.with_options({"streams": tuple(s for s in recipe.streams if ":" not in s)})
        flat = recipe.flat()
        cost = tuple(str(flat.get(name)) for name in _COSTLY)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MotetWarning)
            if cost not in self._steps:
                trainer = trainer_of(recipe, archive, parts, progress=False)
                self._steps[cost] = trainer.seconds_per_step(_STEPS)
        steps = recipe.epochs * (len(parts.train) // recipe.batch_size)
        return self._steps[cost] * steps * (len(self.request.seeds) - self.done(job))

    def train(self, job: Job) -> Job:
        seeds, console = self.request.seeds, Console(stderr=True, quiet=not self.request.progress, highlight=False)
        for number, seed in enumerate(seeds, 1):
            if not (job.folder / f"seed-{seed}" / "model.safetensors").exists():
                console.print(f"{job.training.method}, seed {seed} ({number} of {len(seeds)}):", markup=False)
            train_seeds(
                self._recipe(job.training),
                self._archive(job.training.sensor),
                job.folder,
                (seed,),
                progress=self.request.progress,
                **{"start": FRESH, **job.options},
            )
        return job

    def _evaluated(self, job: Job, measures: Sequence[Measure], *, baselines: bool) -> list[EvaluatedRow]:
        wanted: dict[str, dict[str, Any]] = {}
        for measure in measures:
            protocol = measure.pick.get("protocol")
            if protocol is None:
                continue
            name, options = self._protocol(str(protocol), measure.options, measure.small)
            wanted.setdefault(name, {}).update(options)
        sensor = next((str(m.pick["sensor"]) for m in measures if "sensor" in m.pick), "")
        runs = [Run.open(folder) for folder in self._folders(job, sensor)]
        if not wanted:
            return []
        given: dict[str, Any] = {name.replace("-", "_"): options for name, options in wanted.items() if options}
        # rows of one training that are evaluated by other options have a file of their own
        mark = hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()[:8] if given else ""
        kept = "-".join(filter(None, ("evaluation", "with-baselines" if baselines else "", mark)))
        found = evaluate(
            runs,
            tuple(wanted),
            data=self._archive(sensor),
            seeds=len(self.request.seeds) if baselines else 1,
            baselines=baselines,
            json=job.folder / f"{kept}.json",
            markdown=job.folder / f"{kept}.md",
            progress=self.request.progress,
            **given,
        )
        notes = [*found["notes"], *(n for p in found["protocols"] if p["name"] in wanted for n in p["notes"])]
        self._notes |= dict.fromkeys(notes)
        return [EvaluatedRow.from_dict(row) for row in found["rows"] if row["protocol"] in wanted]

    def _folders(self, job: Job, sensor: str = "") -> list[Path]:
        """The run directories; of a sensor's encoders where a training has those of several."""
        runs = [job.folder / f"seed-{s}" for s in self.request.seeds]
        inner = [run / "sensors" / sensor for run in runs]
        return inner if sensor and job.training.sensor != sensor else runs

    def _protocol(
        self, name: str, options: Mapping[str, Any], small: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """The protocol in this scale, with the options that it has there."""
        given: dict[str, Any] = {}
        if name == "transfer":
            given["data"] = (self.request.one_target("an archive to transfer to"),)
        if self.request.scale == "paper":
            return name, {k: v.of(self.rule) if isinstance(v, BySplit) else v for k, v in options.items()} | given
        return ("linear-cached" if name == "linear" else name), dict(small or {}) | given

    def values(self, job: Job, row: Row, measures: Sequence[Measure]) -> Values:
        picks = {m.name: {**m.pick, **row.pick} for m in measures}
        wanted = [replace(m, pick=picks[m.name], options={**m.options, **row.options}) for m in measures]
        evaluated = self._evaluated(job, wanted, baselines=False)
        own = [r for r in evaluated if not is_baseline(r.features)]
        found = self._picked(wanted, own, self._streams(job)) | self._diagnostics(job, wanted)
        return found | read_all(measures, self._folders(job))

    def _diagnostics(self, job: Job, measures: Sequence[Measure]) -> Values:
        """Means of the last epoch that a method logged about itself."""
        found: Values = {}
        for measure in measures:
            if "diagnostic" not in measure.pick:
                continue
            lines = [Run.open(job.folder / f"seed-{s}").metrics()[-1] for s in self.request.seeds]
            values = [line.get("diagnostics", {}).get(measure.pick["diagnostic"]) for line in lines]
            if None not in values:
                found[measure.name] = values
        return found

    def _streams(self, job: Job) -> tuple[str, ...]:
        return tuple(Run.open(self._folders(job)[0]).recipe.streams)

    def _picked(self, measures: Sequence[Measure], evaluated: Sequence[EvaluatedRow], streams: Sequence[str]) -> Values:
        found: Values = {}
        for measure in measures:
            if "protocol" not in measure.pick:
                continue
            pick = {"metric": "accuracy", "ensemble": None, **measure.pick}
            pick["protocol"] = self._protocol(pick["protocol"], {})[0]
            sensor = pick.pop("sensor", "")
            if pick["stream"] == "all":
                own = [s.removeprefix(f"{sensor}:") for s in streams if s.startswith(f"{sensor}:")]
                pick["stream"] = "+".join(own or [s for s in streams if ":" not in s])
            rows = [r for r in evaluated if all(_fact(r, k) == v for k, v in pick.items())]
            if rows:
                found[measure.name] = list(rows[0].values)
                if rows[0].best_values:
                    found[measure.name + BEST] = list(rows[0].best_values)
        return found

    def baselines(self, job: Job, measures: Sequence[Measure]) -> dict[str, Values]:
        plain = [m for m in measures if m.pick.get("protocol") not in (None, "ensemble")]
        evaluated = self._evaluated(job, plain, baselines=True)
        streams = self._streams(job)
        kinds = dict.fromkeys((*UNTRAINED, *(r.features for r in evaluated if is_baseline(r.features))))
        found = {kind: self._picked(plain, [r for r in evaluated if r.features == kind], streams) for kind in kinds}
        return {kind: values for kind, values in found.items() if values}

    def notes(self) -> list[str]:
        return list(self._notes)


def _fact(row: EvaluatedRow, name: str) -> Any:
    return getattr(row, name) if name in _ROW_FACTS else row.details.get(name)
