"""GraphCL from a folder of graphs to a table: train, evaluate with what is not trained, keep encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, NotRequired, TypedDict

import torch

from motet.core.distributed import from_first
from motet.core.environment import environment
from motet.core.errors import ConfigError, RunError
from motet.core.files import write_json, written
from motet.core.options import Bounds, Natural
from motet.core.text import counted
from motet.engine.forms import EnvironmentForm, Number, RowForm, stored_json
from motet.engine.learner import Stage
from motet.engine.options import Loop, as_started, asked
from motet.engine.run import Run
from motet.engine.table import Row, percent
from motet.engine.trainer import Trainer
from motet.methods.graphs.data import Graphs, read_tu
from motet.methods.graphs.method import METHODS, GraphCL
from motet.methods.graphs.svm import check_folds, svm_accuracy
from motet.methods.graphs.train import GraphLearner, GraphModel, fresh

RAW, RANDOM = "label counts", "random encoder"
KIND, MODULE = "graphs", "motet.methods.graphs.run"
"""where runs of graphs are read."""


class PlaceForm(TypedDict):
    """Where the graphs are."""

    path: str | None
    hash: str


class CONFIG(TypedDict):
    """config.json."""

    data: PlaceForm
    method: str
    options: dict[str, Any]
    seeds: list[Natural]
    folds: Annotated[int, Bounds(least=2)]
    baselines: bool
    device: str


class RESULT(CONFIG):
    """result.json."""

    name: str
    graphs: Natural
    classes: list[str]
    environment: NotRequired[EnvironmentForm]
    rows: list[RowForm]
    history: dict[str, list[dict[str, Number]]]


WEIGHTS = ("seed-*.safetensors",)
"""files of a run that its model is made of, besides config.json; patterns"""


def run(
    data: str | Path | Graphs,
    out: str | Path | None = None,
    *,
    method: str = "graphcl",
    as_released: bool = False,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    folds: int = 10,
    baselines: bool = True,
    device: str = "cpu",
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Train GraphCL on a set of graphs with every seed, and evaluate the encoders by a support vector machine.

    Args:
        data: folder of a TU graph set, or an open set.
        out: run directory to create; None keeps nothing.
        method: ``graphcl`` or ``halp-graphcl``.
        as_released: the quirks of the released code too.
        seeds: of trainings; the folds of a seed's cross-validation follow it.
        folds: of the cross-validation.
        baselines: evaluate label counts and encoders with initial weights too.
        device: auto, cpu, cuda or mps.
        progress: show progress on stderr.
        options: any option of the method by its name (``epochs``, ``augmentations`` …), or of
            :class:`motet.engine.options.Loop` (``precision``, ``trackers`` …).

    Returns:
        The result, also written to ``result.json``: ``rows`` are of :class:`motet.engine.table.Row`, ``values`` a mean
        over folds for each seed; ``history`` the losses of every seed.

    Raises:
        DataError: the folder cannot be read.
        ConfigError: options that do not exist or do not fit.
        RunError: ``out`` exists, or a loss is no longer finite.
        Interrupted: stopped by a signal; the state is saved, and ``motet resume`` continues inside the epoch.
    """
    looped = {f.name: options.pop(f.name) for f in fields(Loop) if f.name in options}
    loop = as_started(Loop(device=device).with_options(looped), asked(looped))
    chosen = options_for(method, as_released, options)
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds are {tuple(seeds)}; they must be different and not negative")
    graphs = data if isinstance(data, Graphs) else read_tu(data)
    check_folds(graphs.labels.numpy(), folds)
    chosen.check_count(len(graphs))
    plan = {
        "data": {"path": None if isinstance(data, Graphs) else str(Path(data).resolve()), "hash": graphs.hash},
        "method": method,
        "options": asdict(chosen),
        "seeds": list(seeds),
        "folds": folds,
        "baselines": baselines,
        "device": device,
        "loop": loop.to_dict(),
    }
    if out is not None:
        Run(Path(out)).check_free()
    trainer, learner = _trainer(graphs, chosen, plan, loop, progress)
    run = None if out is None else Run.create(out, "graphs", MODULE, plan)
    trainer.fit(run)
    return learner.result if run is None else run.result()


def resume(
    path: str | Path, *, progress: bool = True, data: str | Path | None = None, devices: int | None = None
) -> dict[str, Any]:
    """Continue an interrupted :func:`run`; the result is bit for bit that of an uninterrupted one.

    Args:
        path: run directory.
        progress: show progress on stderr.
        data: where the graphs are now, if they have moved.
        devices: processes on this machine, if not as many as before: the same training but for rounding.

    Raises:
        RunError: not the directory of one, or its graphs are not those any more.
    """
    run = Run.open(path, "graphs")
    if run.finished:
        return run.result()
    chosen, plan = options(run), run.config
    folder = data or plan["data"]["path"]
    if folder is None:
        raise RunError(f"{path} was trained on graphs of a program; call motet.graphs.run with another directory")
    graphs = read_tu(folder)
    if graphs.hash != plan["data"]["hash"]:
        raise RunError(f"{folder} has changed since {path} was begun; start again with another --out")
    given = {} if devices is None else {"devices": devices}
    # runs of earlier versions know the device alone
    loop = Loop.from_dict(plan.get("loop", {"device": plan["device"]})).with_options(given)
    with run.room():
        trainer, _ = _trainer(graphs, chosen, plan, as_started(loop, given), progress)
    trainer.resume(run)
    trainer.fit(run)
    return run.result()


def options(run: Run) -> GraphCL:
    """What a run was trained with.

    Raises:
        RunError: its configuration is not one of graphs.
    """
    try:
        return replace(METHODS[run.config["method"]], **_tuples(run.config["options"]))
    except (KeyError, TypeError, ConfigError) as error:
        raise RunError(f"{run.path}/config.json is damaged ({error!r}); {run.renewal}") from error


def load(out: str | Path | Run, device: str | torch.device = "cpu", *, seed: int | None = None) -> GraphModel:
    """The encoder of one seed of a run, by default of its first.

    Raises:
        RunError: there is none.
    """
    path = out.path if isinstance(out, Run) else Path(out)
    if seed is None:
        seed = Run.open(path, "graphs").config["seeds"][0]
    return GraphModel.load(_encoder(path, seed), device)


def options_for(method: str, as_released: bool, options: dict[str, Any]) -> GraphCL:
    """Options of a method; those given win over what ``as_released`` sets.

    Raises:
        ConfigError: no such method or option, or a value that does not fit.
    """
    if method not in METHODS:
        raise ConfigError(f"method {method!r} is none of {', '.join(METHODS)}")
    base = METHODS[method].released() if as_released else METHODS[method]
    known = {f.name for f in fields(base)}
    unknown = sorted(set(options) - known)
    if unknown:
        owners = [name for name, other in METHODS.items() if unknown[0] in {f.name for f in fields(other)}]
        hint = f"method {owners[0]!r} has it" if owners else f"there are {', '.join(sorted(known))}"
        raise ConfigError(f"{method} has no option {unknown[0]!r}; {hint}")
    chosen = replace(base, **_tuples(options))
    chosen.validate()
    return chosen


def _tuples(options: dict[str, Any]) -> dict[str, Any]:
    """Options as a dataclass holds them; JSON and callers have lists."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}


class _SeedForm(TypedDict):
    """seed-N.json."""

    accuracy: dict[str, float]
    history: list[dict[str, Any]]


def _encoder(path: Path, seed: int) -> Path:
    return path / f"seed-{seed}.safetensors"


def _trainer(
    graphs: Graphs, chosen: GraphCL, plan: dict[str, Any], loop: Loop, progress: bool
) -> tuple[Trainer, Evaluated]:
    learners: list[Evaluated] = []

    def make(device: torch.device) -> Evaluated:
        learners.append(Evaluated(graphs, chosen, plan, device))
        return learners[0]

    return Trainer(make, loop, progress=progress), learners[0]


class Evaluated(GraphLearner):
    """The training, and what its encoders are worth: evaluated seed by seed.

    Attributes:
        result: what ``result.json`` holds, once all seeds are trained.
    """

    def __init__(self, graphs: Graphs, options: GraphCL, plan: dict[str, Any], device: torch.device) -> None:
        super().__init__(graphs, options, plan["seeds"], device, plan.get("loop", {}).get("monitor_every", 0))
        self.plan, self.found = plan, dict[int, dict[str, Any]]()

    def end_stage(self, stage: Stage, run: Run | None) -> None:
        seed = self.seed_of(stage)
        self.found[seed] = {"accuracy": from_first(lambda: self._accuracy(seed)), "history": self.history}
        if run is not None:
            self.model().save(_encoder(run.path, seed))
            write_json(run.path / f"seed-{seed}.json", self.found[seed])
        self.say(f"{self.graphs.name}, {stage.name}: {_line(self.found[seed])}")

    def _accuracy(self, seed: int) -> dict[str, float]:
        """Mean accuracy over the folds, of the encoder and of what is not trained."""
        graphs, features = self.graphs, {self.options.title: self.model().transform(self.graphs)}
        if self.plan["baselines"]:
            untrained = GraphModel(
                fresh(graphs, self.options, seed).encoder, graphs.node_labels, self.options.self_loops
            )
            features |= {RANDOM: untrained.transform(graphs), RAW: graphs.counts().numpy()}
        labels, folds = graphs.labels.numpy(), self.plan["folds"]
        return {name: fmean(svm_accuracy(x, labels, folds=folds, seed=seed)) for name, x in features.items()}

    def finish(self, run: Run) -> None:
        write_json(run.path / "result.json", self._result(run))
        with written(run.path / "result.md") as partial:
            partial.write_text(report(self.result) + "\n")

    @property
    def result(self) -> dict[str, Any]:
        return self._result(None)

    def _result(self, run: Run | None) -> dict[str, Any]:
        for seed in self.seeds:
            if seed not in self.found and run is not None:
                self.found[seed] = stored_json(run.path / f"seed-{seed}.json", _SeedForm)
        found = [self.found[seed] for seed in self.seeds]
        return {
            **{
                name: self.plan[name] for name in ("data", "method", "options", "seeds", "folds", "baselines", "device")
            },
            "name": self.graphs.name,
            "graphs": len(self.graphs),
            "classes": list(self.graphs.class_names),
            "environment": environment(),
            "rows": [self._row(name, [one["accuracy"][name] for one in found]) for name in found[0]["accuracy"]],
            "history": {str(seed): one["history"] for seed, one in zip(self.seeds, found, strict=True)},
        }

    def _row(self, name: str, values: list[float]) -> dict[str, Any]:
        details = {"over": "seeds", "folds": self.plan["folds"]}
        return Row("support vector machine", name, "graph", tuple(values), details=details).to_dict()


def _line(one: dict[str, Any]) -> str:
    return ", ".join(f"{name} {100 * value:.1f}" for name, value in one["accuracy"].items())


def report(result: dict[str, Any]) -> str:
    """The table of a result, Markdown."""
    lines = [
        f"{result['name']}: {counted(result['graphs'], 'graph')}, {counted(len(result['classes']), 'class')}; "
        f"support vector machine, {result['folds']}-fold cross-validation, {counted(len(result['seeds']), 'seed')}.",
        "",
        "| features | accuracy |",
        "|---|---|",
        *(f"| {row['features']} | {percent(row['values'])} |" for row in result["rows"]),
    ]
    return "\n".join(lines)
