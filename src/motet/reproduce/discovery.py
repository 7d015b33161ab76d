"""Rows that ``motet discover`` trains."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.edit import select
from motet.engine.identity import digest
from motet.methods import discovery as discover
from motet.methods import recipes
from motet.methods.discovery import methods
from motet.methods.discovery.run import plan
from motet.methods.discovery.settings import AFTER_PRETRAINING, SETTINGS
from motet.methods.discovery.train import PRETRAINED
from motet.methods.pretrain import train_seeds
from motet.methods.start import FRESH
from motet.reproduce.declare import Measure, Row, Training
from motet.reproduce.jobs import Job, Request, Values, folder_of, read_all, settled, words

# options of the verb that are none of the settings
_PLAN = ("source_split", "target_split", "source_classes", "target_classes", "task", "as_released", "recipe")


class Discovery:
    """See :class:`motet.reproduce.jobs.Engine`."""

    def __init__(self, request: Request) -> None:
        self.request = request
        # options of the pretraining of each planned training, in the order of the rows
        self._pretraining: dict[Path, dict[str, Any]] = {}
        self.source = MotionArchive.open(request.data)
        self.target = MotionArchive.open(request.one_target("the archive whose classes are wanted"))
        known = (set(SETTINGS["paper"].to_dict()) - {"seed"}) | set(methods.option_names()) | set(_PLAN)
        for name in request.options:
            if name not in known:
                raise ConfigError(f"discover has no option {name!r}; it has {', '.join(sorted(known))}")
        names = [a.path.resolve().name for a in (self.source, self.target)]
        self.facts: dict[str, Any] = {
            "name": " → ".join(names),
            "path": str(self.source.path),
            "target": str(self.target.path),
            "hash": f"{self.source.hash[:32]}{self.target.hash[:32]}",
            "clips": len(self.target),
            "classes": len(self.target.class_names),
            "simulated": self.source.simulated or self.target.simulated,
        }

    def job(self, row: Row) -> Job:
        assert row.training is not None
        training, settings = row.training, SETTINGS[self.request.scale]
        options = settled(training.options, epochs=settings.finetune_epochs, defaults=settings.to_dict())
        # the number of classes is known in the paper's tables
        options = {"clusters": self._classes(), "method": training.method} | options | dict(self.request.options)
        settings.with_options({k: v for k, v in options.items() if k not in (*_PLAN, "start")})
        facts = (digest(self.source), digest(self.target), self.request.scale, options)
        folder = folder_of(self.request, training, "discover", *facts)
        self._pretraining[folder] = {k: v for k, v in options.items() if k not in AFTER_PRETRAINING}
        given = ["--source", self.source.path, "--target", self.target.path]
        given += [] if "recipe" in options else ["--recipe", self.request.scale]
        given += ["--out", folder / f"seed-{self.request.seeds[0]}"]
        command = shlex.join(["motet", "discover", *map(str, given)])
        begin = options.get("start")
        shown = options | ({"start": self._start_folder(begin) / "seed-0"} if isinstance(begin, Training) else {})
        return Job(training, options, folder, f"{command} {words(shown)}")

    def _classes(self) -> int:
        task, wanted = self.request.options.get("task"), self.request.options.get("target_classes")
        known = None if task is None else discover.TASKS[task].clusters
        if known is not None:
            return known
        return len(wanted) if wanted else len({int(v) for v in self.target.labels} - {-1})

    def _folder(self, job: Job, seed: int) -> Path:
        return job.folder / f"seed-{seed}"

    def done(self, job: Job) -> int:
        return sum((self._folder(job, s) / "result.json").exists() for s in self.request.seeds)

    def _same_pretraining(self, job: Job) -> list[Path]:
        """Folders of other trainings whose pretraining is the same, in the order of the rows."""
        mine = self._pretraining[job.folder]
        return [f for f, options in self._pretraining.items() if f != job.folder and options == mine]

    def _taken_over(self, job: Job, seed: int) -> dict[str, str]:
        """Where the pretraining of another row is there to be taken over, which gives the same bits."""
        if "pretrained" in job.options:
            return {}
        found = (folder / f"seed-{seed}" for folder in self._same_pretraining(job))
        return next(({"pretrained": str(f)} for f in found if (f / PRETRAINED).exists()), {})

    def _start_folder(self, training: Training) -> Path:
        facts = (digest(self.target), self.request.options.get("task"), training.options)
        return folder_of(self.request, training, "start", *facts)

    def _started(self, job: Job, seed: int) -> dict[str, str]:
        """The pretraining that a row begins with: on the target's clips of the discovery, with its frames and size."""
        training = job.options.get("start")
        if not isinstance(training, Training):
            return {}
        found = plan(self.source, self.target, **self._options(job))
        rows, folder = np.union1d(found.parts.train, found.parts.test), self._start_folder(training)
        if not (folder / "clips.motet").exists():
            names = self.target.clips["name"].gather(rows).to_list()
            select(self.target, folder / "clips.motet", keep=names)
        name = training.method if "/" in training.method else f"{training.method}/{self.request.scale}"
        sizes = ("frames", "preprocess", "hidden", "layers") if recipes.get(name).encoder.encoder == "gru" else ()
        same = {n: getattr(found.settings, n) for n in sizes}
        clips = MotionArchive.open(folder / "clips.motet")
        batch = min(recipes.get(name).batch_size, len(found.parts.train))
        steps = len(found.parts.train) // batch
        options = settled(training.options, epochs=found.settings.epochs, defaults={}, per_epoch=steps)
        options |= same | {"split": found.parts.target_split}
        run = train_seeds(name, clips, folder, (seed,), start=FRESH, progress=self.request.progress, **options)[0]
        return {"start": str(run.path)}

    def _plain(self, job: Job) -> dict[str, Any]:
        return {k: v for k, v in job.options.items() if not isinstance(v, Training)}

    def _options(self, job: Job) -> dict[str, Any]:
        """Those of the verb; a recipe that a row names, "" for the default of the verb, or else that of the scale."""
        own = self._plain(job)
        return {**own, "recipe": own.get("recipe", self.request.scale) or None}

    def _run(self, job: Job, out: Any, seed: int, progress: bool, **changes: Any) -> dict[str, Any]:
        call: Mapping[str, Any] = {**self._options(job), **changes, "seed": seed, "progress": progress}
        return discover.run(self.source, self.target, out, **call)

    def estimate(self, job: Job) -> float:
        missing = len(self.request.seeds) - self.done(job)
        if not missing:
            return 0.0
        settings = plan(self.source, self.target, **self._options(job)).settings
        began = time.perf_counter()
        self._run(job, None, self.request.seeds[0], False, epochs=1, finetune_epochs=1)
        order = list(self._pretraining)
        shared = any(order.index(folder) < order.index(job.folder) for folder in self._same_pretraining(job))
        epochs = (0 if shared else settings.epochs) + (settings.finetune_epochs if settings.method.trains else 0)
        return (time.perf_counter() - began) * epochs / (2 if settings.method.trains else 1) * missing

    def train(self, job: Job) -> Job:
        for seed in self.request.seeds:
            folder = self._folder(job, seed)
            if (folder / "config.json").exists():
                discover.resume(
                    folder, source=self.source.path, target=self.target.path, progress=self.request.progress
                )
            else:
                more = self._started(job, seed) | self._taken_over(job, seed)
                self._run(job, folder, seed, self.request.progress, **more)
        return job

    def values(self, job: Job, row: Row, measures: Sequence[Measure]) -> Values:
        found: Values = {m.name: [] for m in measures}
        for seed in self.request.seeds:
            result = json.loads((self._folder(job, seed) / "result.json").read_text())
            for measure in measures:
                pick = {"branch": None, "by": None, **measure.pick, **row.pick}
                same = [r for r in result["rows"] if r["branch"] == pick["branch"] and r["by"] == pick["by"]]
                if "features" in row.pick:  # of no branch
                    same = [r for r in result["baselines"] if r["features"] == row.pick["features"]]
                if same:
                    found[measure.name].append(same[0][pick["metric"]])
        found = {name: values for name, values in found.items() if len(values) == len(self.request.seeds)}
        return found | read_all(measures, [self._folder(job, s) for s in self.request.seeds])

    def baselines(self, job: Job, measures: Sequence[Measure]) -> dict[str, Values]:
        return {}

    def notes(self) -> list[str]:
        return []
