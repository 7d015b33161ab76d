"""Rows that ``motet graphs`` trains."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from typing import Any

from motet.methods import graphs
from motet.methods.graphs.run import options_for
from motet.reproduce.declare import Measure, Row
from motet.reproduce.jobs import Job, Request, Values, folder_of, read_all, settled, words

_PLAN = ("folds", "device", "as_released")  # options of the verb that are none of the method's


class OnGraphs:
    """See :class:`motet.reproduce.jobs.Engine`. There is one size, the published one."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.graphs = graphs.read_tu(request.data)
        self.facts: dict[str, Any] = {
            "name": self.graphs.name,
            "path": str(request.data),
            "hash": self.graphs.hash,
            "clips": len(self.graphs),
            "classes": len(self.graphs.class_names),
        }

    def _method(self, options: dict[str, Any], training: Any) -> Any:
        released = bool(options.get("as_released", False))
        return options_for(training.method, released, {k: v for k, v in options.items() if k not in _PLAN})

    def job(self, row: Row) -> Job:
        assert row.training is not None
        training = row.training
        base = options_for(training.method, False, {})
        options = settled(training.options, epochs=base.epochs, defaults=vars(base)) | dict(self.request.options)
        self._method(options, training)
        folder = folder_of(self.request, training, "graphs", self.graphs.hash, self.request.seeds, options)
        given = [self.request.data, "--method", training.method, "--out", folder, "--seeds", *self.request.seeds]
        command = shlex.join(["motet", "graphs", *map(str, given)])
        return Job(training, options, folder, f"{command} {words(options)}".strip())

    def done(self, job: Job) -> int:
        if (job.folder / "result.json").exists():
            return len(self.request.seeds)
        return sum((job.folder / f"seed-{s}.json").exists() for s in self.request.seeds)

    def estimate(self, job: Job) -> float:
        missing = len(self.request.seeds) - self.done(job)
        if not missing:
            return 0.0
        epochs = int(self._method(dict(job.options), job.training).epochs)
        # no halp_start here: positives from the first epoch on cost most
        short = {**job.options, "epochs": 1, **({"halp_start": 0} if "halp" in job.training.method else {})}
        began = time.perf_counter()
        graphs.train(self.graphs, self._method(short, job.training), seed=self.request.seeds[0], device="cpu")
        return (time.perf_counter() - began) * epochs * missing

    def train(self, job: Job) -> Job:
        if (job.folder / "result.json").exists():
            return job
        if (job.folder / "config.json").exists():
            graphs.resume(job.folder, progress=self.request.progress)
            return job
        call: dict[str, Any] = {
            "method": job.training.method,
            "seeds": self.request.seeds,
            "progress": self.request.progress,
        }
        graphs.run(self.request.data, job.folder, **call, **job.options)
        return job

    def _rows(self, job: Job) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads((job.folder / "result.json").read_text())["rows"]
        return rows

    def values(self, job: Job, row: Row, measures: Sequence[Measure]) -> Values:
        trained = [r for r in self._rows(job) if r["features"] not in (graphs.RAW, graphs.RANDOM)]
        found = {measure.name: trained[0]["values"] for measure in measures if measure.read is None}
        return found | read_all(measures, [job.folder])

    def baselines(self, job: Job, measures: Sequence[Measure]) -> dict[str, Values]:
        plain = [r for r in self._rows(job) if r["features"] in (graphs.RAW, graphs.RANDOM)]
        return {r["features"]: {measure.name: r["values"] for measure in measures} for r in plain}

    def notes(self) -> list[str]:
        return []
