"""Rows that ``motet distill`` trains."""

from __future__ import annotations

import hashlib
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from motet.core.errors import ConfigError, MotetWarning
from motet.data.archive import MotionArchive
from motet.engine.identity import digest
from motet.engine.run import Run
from motet.methods.distillation import Motion, open_table, resume, run, settings_for
from motet.methods.distillation.linear import rows as linear_rows
from motet.methods.distillation.methods import METHODS
from motet.methods.distillation.networks import Networks
from motet.methods.distillation.settings import Training as Schedule
from motet.methods.distillation.table import usable
from motet.reproduce.declare import Measure, Row, Training
from motet.reproduce.jobs import Impossible, Job, Request, Values, folder_of, read_all, settled, words

_PLAN = ("split", "folds", "validate", "device", "diagnose")  # options of the verb that are none of the settings
_MOTION = tuple(f.name for f in fields(Motion))
HELD_OUT_SEEDS = (10,)
"""of the trainings that choose settings"""


class Distillation:
    """See :class:`motet.reproduce.jobs.Engine`. All seeds and folds train in one pass."""

    def __init__(self, request: Request) -> None:
        self.request = request
        if not request.target or not request.auxiliary:
            raise ConfigError(
                f"table {request.table.name} needs --target, the student's modality, and --auxiliary, those that help"
            )
        parts: list[Any] = [*METHODS.values(), Networks, Schedule]
        known = {f.name for part in parts for f in fields(part)}
        for name in request.options:
            if name not in known and name not in (*_PLAN, *_MOTION):
                raise ConfigError(f"no method of {request.table.name} has an option {name!r}")
        self.sources = _sources(request.data)
        named = (*request.target, *request.auxiliary)
        table = usable(open_table(self.sources, named, Motion()), request.target, request.auxiliary)
        self.facts: dict[str, Any] = {
            "name": request.data.name,
            "path": str(request.data),
            "hash": _hash(self.sources),
            "clips": len(table),
            "classes": len(table.class_names),
            "target": list(request.target),
            "auxiliary": list(request.auxiliary),
        }

    def _settings(self) -> str:
        return self.request.table.settings if self.request.scale == "paper" else "table"

    def _auxiliary(self, training: Training) -> tuple[str, ...]:
        if training.auxiliary is None:
            return self.request.auxiliary
        if len(self.request.auxiliary) < 2:
            raise Impossible("it needs two auxiliary modalities; with one, the rows of both are what there is")
        return (self.request.auxiliary[training.auxiliary],)

    def job(self, row: Row) -> Job:
        assert row.training is not None
        return self._job(row.training, self._chosen(row.training))

    def _job(self, training: Training, chosen: Mapping[str, Any]) -> Job:
        options, auxiliary = self._options(training, chosen), self._auxiliary(training)
        facts = (self.facts["hash"], self.request.target, auxiliary, self._settings(), self.request.seeds)
        own = (training.choose, self._options(training, {})) if training.choose else (options,)
        folder = folder_of(self.request, training, "distill", training.method, *facts, *own)
        given = ["motet", "distill", *self.sources, "--target", *self.request.target]
        given += ["--auxiliary", *auxiliary, "--method", training.method]
        given += ["--settings", self._settings(), "--out", str(folder)]
        command = shlex.join([*given, "--seeds", *map(str, self.request.seeds)])
        return Job(training, options, folder, f"{command} {words(options)}".strip())

    def _options(self, training: Training, chosen: Mapping[str, Any]) -> dict[str, Any]:
        settings = settings_for(training.method, self._settings())
        defaults = vars(settings.method) | vars(settings.training) | vars(settings.networks)
        own = settled(training.options, epochs=settings.training.epochs, defaults=defaults | dict(chosen))
        # an option of the whole table counts where the row's method has it
        own |= {k: v for k, v in self.request.options.items() if k in (*defaults, *_PLAN, *_MOTION)}
        options = dict(chosen) | own
        settings.with_options({k: v for k, v in options.items() if k not in (*_PLAN, *_MOTION)})
        return options

    def _held_out(self, training: Training, number: int) -> Path:
        """Where the training of one of the settings to choose from is kept; rows with the same settings share it."""
        facts = (self.facts["hash"], self.request.target, self._auxiliary(training), self._settings())
        options = self._options(Training(training.method), training.choose[number])
        return folder_of(self.request, training, "held-out", training.method, *facts, options)

    def _chosen(self, training: Training) -> Mapping[str, Any]:
        """The setting that is best on the held-out parts; the first until all of them have been trained."""
        if not training.choose:
            return {}
        runs = [Run(self._held_out(training, n)) for n in range(len(training.choose))]
        if not all((run.path / "result.json").exists() for run in runs):
            return training.choose[0]
        results = [run.result() for run in runs]
        reached = [r["summary"][r["scored"]]["accuracy"]["mean"] for r in results]
        return training.choose[reached.index(max(reached))]

    def _try_settings(self, training: Training) -> None:
        for number, setting in enumerate(training.choose):
            folder = self._held_out(training, number)
            job = Job(training, self._options(Training(training.method), setting), folder, "")
            self._train(job, seeds=HELD_OUT_SEEDS, validate=True, diagnose=False)

    def done(self, job: Job) -> int:
        return len(self.request.seeds) if (job.folder / "result.json").exists() else 0

    def _call(self, job: Job) -> dict[str, Any]:
        motion = {k: v for k, v in job.options.items() if k in _MOTION}
        return {
            "method": job.training.method,
            "settings": self._settings(),
            "seeds": self.request.seeds,
            "diagnose": False,
            "motion": Motion(**motion),
            **{k: v for k, v in job.options.items() if k not in motion},
        }

    def estimate(self, job: Job) -> float:
        if self.done(job):
            return 0.0
        settings = settings_for(job.training.method, self._settings())
        epochs = int(job.options.get("epochs", settings.training.epochs))
        # the epochs after the warm-up cost more than those before it
        short = {"epochs": 1, **({"warm_up": 0} if hasattr(settings.method, "warm_up") else {})}
        auxiliary = self._auxiliary(job.training)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MotetWarning)  # no warm-up is for the clock only
            call = {**self._call(job), **short, "progress": False, "diagnose": False}
            found = run(self.sources, self.request.target, auxiliary, **call)
        return float(found["seconds"]) * epochs

    def train(self, job: Job) -> Job:
        if job.training.choose:
            self._try_settings(job.training)
            job = self._job(job.training, self._chosen(job.training))
        self._train(job)
        return job

    def _train(self, job: Job, **changes: Any) -> None:
        if (job.folder / "result.json").exists():
            return
        if (job.folder / "config.json").exists():
            resume(job.folder, progress=self.request.progress)
            return
        auxiliary = self._auxiliary(job.training)
        call = {**self._call(job), "progress": self.request.progress, **changes}
        run(self.sources, self.request.target, auxiliary, job.folder, **call)

    def values(self, job: Job, row: Row, measures: Sequence[Measure]) -> Values:
        result = Run(job.folder).result()
        found: Values = {}
        for measure in measures:
            pick = {"who": None, "metric": None, **measure.pick, **row.pick}
            scores = result["summary"].get(pick["who"], {}).get(pick["metric"])
            if scores is not None and not (pick["who"] == "student" and result["scored"] == "teacher"):
                found[measure.name] = scores["values"]
        return found | read_all(measures, [job.folder])

    def baselines(self, job: Job, measures: Sequence[Measure]) -> dict[str, Values]:
        """Linear models of the target and of all modalities, where the student's accuracy stands."""
        wanted = [m.name for m in measures if m.pick.get("who") == "student" and m.pick.get("metric") == "accuracy"]
        found = linear_rows(Run(job.folder).result()) if wanted else []
        return {name: {m: [accuracy] for m in wanted} for name, accuracy, _ in found}

    def notes(self) -> list[str]:
        return []


def _sources(data: Path) -> list[str]:
    """A table, an archive, or the archives in a folder, each by its own name.

    Raises:
        ConfigError: a folder without any.
    """
    if not data.is_dir() or (data / "archive.json").exists():
        return [str(data)]
    found = [f"{path.stem}={path}" for path in sorted(data.iterdir()) if path.is_dir()]
    if not found:
        raise ConfigError(
            f"{data} holds no archive; name a feature table, an archive or a folder of archives by --data"
        )
    return found


def _hash(sources: Sequence[str]) -> str:
    """Of what a table or archives hold, labels and people included."""
    opened = [Path(s) if Path(s).is_file() else MotionArchive.open(s.partition("=")[2] or s) for s in sources]
    parts = [hashlib.sha256(o.read_bytes()).hexdigest() if isinstance(o, Path) else digest(o) for o in opened]
    return parts[0] if len(parts) == 1 else hashlib.sha256(" ".join(parts).encode()).hexdigest()
