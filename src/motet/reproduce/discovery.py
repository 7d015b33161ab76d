"""Rows that ``motet discover`` trains."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.methods import discovery as discover
from motet.methods.discovery import methods
from motet.methods.discovery.settings import AFTER_PRETRAINING, SETTINGS
from motet.methods.discovery.train import PRETRAINED
from motet.reproduce.declare import Measure, Row
from motet.reproduce.jobs import Job, Request, Values, folder_of, settled, words

# options of the verb that are none of the settings
_PLAN = ("source_split", "target_split", "source_classes", "target_classes", "task", "as_released")


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
        settings.with_options({k: v for k, v in options.items() if k not in _PLAN})
        facts = (self.source.hash, self.target.hash, self.request.scale, options)
        folder = folder_of(self.request, training, "discover", *facts)
        self._pretraining[folder] = {k: v for k, v in options.items() if k not in AFTER_PRETRAINING}
        given = ["--source", self.source.path, "--target", self.target.path, "--recipe", self.request.scale]
        given += ["--out", folder / f"seed-{self.request.seeds[0]}"]
        command = shlex.join(["motet", "discover", *map(str, given)])
        return Job(training, options, folder, f"{command} {words(options)}")

    def _classes(self) -> int:
        wanted = self.request.options.get("target_classes")
        return len(wanted) if wanted else len({int(v) for v in self.target.labels} - {-1})

    def _folder(self, job: Job, seed: int) -> Any:
        return job.folder / f"seed-{seed}"

    def done(self, job: Job) -> int:
        return sum((self._folder(job, s) / "result.json").exists() for s in self.request.seeds)

    def _alike(self, job: Job) -> list[Path]:
        """Folders of other trainings whose pretraining is the same, in the order of the rows."""
        mine = self._pretraining[job.folder]
        return [f for f, options in self._pretraining.items() if f != job.folder and options == mine]

    def _taken_over(self, job: Job, seed: int) -> dict[str, str]:
        """Where the pretraining of another row is there to be taken over, which gives the same bits."""
        if "pretrained" in job.options:
            return {}
        found = (folder / f"seed-{seed}" for folder in self._alike(job))
        return next(({"pretrained": str(f)} for f in found if (f / PRETRAINED).exists()), {})

    def _run(self, job: Job, out: Any, seed: int, progress: bool, **changes: Any) -> dict[str, Any]:
        call: Mapping[str, Any] = {**job.options, **changes, "seed": seed, "progress": progress}
        return discover.run(self.source, self.target, out, recipe=self.request.scale, **call)

    def estimate(self, job: Job) -> float:
        missing = len(self.request.seeds) - self.done(job)
        if not missing:
            return 0.0
        settings = SETTINGS[self.request.scale].with_options({k: v for k, v in job.options.items() if k not in _PLAN})
        began = time.perf_counter()
        self._run(job, None, self.request.seeds[0], False, epochs=1, finetune_epochs=1)
        order = list(self._pretraining)
        shared = any(order.index(folder) < order.index(job.folder) for folder in self._alike(job))
        epochs = (0 if shared else settings.epochs) + (settings.finetune_epochs if settings.method.trains else 0)
        return (time.perf_counter() - began) * epochs / (2 if settings.method.trains else 1) * missing

    def train(self, job: Job) -> None:
        for seed in self.request.seeds:
            folder = self._folder(job, seed)
            if (folder / "config.json").exists():
                discover.resume(
                    folder, source=self.source.path, target=self.target.path, progress=self.request.progress
                )
            else:
                self._run(job, folder, seed, self.request.progress, **self._taken_over(job, seed))

    def values(self, job: Job, row: Row, measures: Sequence[Measure]) -> Values:
        found: Values = {m.name: [] for m in measures}
        for seed in self.request.seeds:
            result = json.loads((self._folder(job, seed) / "result.json").read_text())
            for measure in measures:
                pick = {**measure.pick, **row.pick}
                same = [r for r in result["rows"] if r["branch"] == pick["branch"] and r["by"] == pick["by"]]
                if same:
                    found[measure.name].append(same[0][pick["metric"]])
        return {name: values for name, values in found.items() if len(values) == len(self.request.seeds)}

    def baselines(self, job: Job, measures: Sequence[Measure]) -> dict[str, Values]:
        return {}

    def notes(self) -> list[str]:
        return []
