"""GraphCL from a folder of graphs to a table: train, judge beside what is not trained, keep encoders."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from motet._version import __version__
from motet.core.environment import environment
from motet.core.errors import ConfigError, RunError
from motet.core.files import write_json, written
from motet.core.progress import clock
from motet.engine.table import percent
from motet.methods.graphs.data import Graphs, read_tu
from motet.methods.graphs.method import METHODS, GraphCL
from motet.methods.graphs.svm import check_folds, svm_accuracy
from motet.methods.graphs.train import GraphModel, fresh, train

RAW, RANDOM = "label counts", "random encoder"
SAID_EVERY = 5.0  # seconds between lines on progress


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
    """Train GraphCL on a set of graphs with every seed, and judge the encoders by a support vector machine.

    Args:
        data: folder of a TU graph set, or an open set.
        out: run directory to create; None keeps nothing.
        method: ``graphcl`` or ``halp-graphcl``.
        as_released: the quirks of the released code too.
        seeds: of trainings; the folds of a seed's cross-validation follow it.
        folds: of the cross-validation.
        baselines: judge label counts and encoders with initial weights beside it.
        device: of the training.
        progress: say how far it is.
        options: any option of the method by its name (``epochs``, ``augmentations`` …).

    Returns:
        The result, also written to ``result.json``: ``rows`` holds ``features``, ``values`` (a mean over folds for each
        seed, fractions), ``mean`` and ``sd`` (over seeds); ``history`` the losses of every seed.

    Raises:
        DataError: the folder cannot be read.
        ConfigError: options that do not exist or do not fit.
        RunError: ``out`` exists, or a loss is no longer finite.
    """
    chosen = options_for(method, as_released, options)
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds are {tuple(seeds)}; they must be different and not negative")
    graphs = data if isinstance(data, Graphs) else read_tu(data)
    check_folds(graphs.labels.numpy(), folds)
    chosen.tell(len(graphs))
    path = None if out is None else Path(out)
    plan = {
        "motet": __version__,
        "kind": "graphs",
        "data": {"path": None if isinstance(data, Graphs) else str(Path(data).resolve()), "hash": graphs.hash},
        "method": method,
        "options": asdict(chosen),
        "seeds": list(seeds),
        "folds": folds,
        "baselines": baselines,
        "device": device,
    }
    if path is not None:
        _create(path, plan)
    return _run(graphs, chosen, plan, path, progress)


def resume(out: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Train the seeds that an interrupted :func:`run` has not finished; the result is as if it had not been stopped.

    Raises:
        RunError: not the directory of one, or its graphs are not those any more.
    """
    path = Path(out)
    try:
        plan = json.loads((path / "config.json").read_text())
        _check_kind(path, plan)
        stored = _tuples(plan["options"])
        chosen = replace(METHODS[plan["method"]], **stored)
        folder, digest = plan["data"]["path"], plan["data"]["hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is not the directory of graphs ({error!r}); `motet graphs` makes one") from error
    if folder is None:
        raise RunError(f"{path} was trained on graphs of a program; call motet.graphs.run with another directory")
    graphs = read_tu(folder)
    if graphs.hash != digest:
        raise RunError(f"{folder} has changed since {path} was begun; start anew with another --out")
    return _run(graphs, chosen, plan, path, progress)


def _check_kind(path: Path, plan: Any) -> None:
    """Raise RunError for the directory of another verb."""
    if isinstance(plan, dict) and plan.get("kind", "pretrain" if "recipe" in plan else "graphs") != "graphs":
        verb = plan.get("kind", "pretrain")
        hint = f"; go on with `motet pretrain --resume {path}`" if verb == "pretrain" else ""
        raise RunError(f"{path} is a run of `motet {verb}`, not of `motet graphs`{hint}")


def load(out: str | Path, seed: int = 0) -> GraphModel:
    """The encoder of one seed of a run directory.

    Raises:
        RunError: there is none.
    """
    return GraphModel.load(_encoder(Path(out), seed))


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


def _create(path: Path, plan: dict[str, Any]) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} exists already; go on with `motet graphs --resume {path}` or choose another --out")
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "environment.json", environment())
    write_json(path / "config.json", plan)


def _encoder(path: Path, seed: int) -> Path:
    return path / f"seed-{seed}.safetensors"


def _run(graphs: Graphs, options: GraphCL, plan: dict[str, Any], path: Path | None, progress: bool) -> dict[str, Any]:
    found = []
    for number, seed in enumerate(plan["seeds"], 1):
        watch = _watch(number, plan["seeds"], options.epochs) if progress else None
        found.append(_seed(graphs, options, plan, seed, path, watch))
        if progress:
            print(f"{graphs.name}, seed {seed} ({number} of {len(plan['seeds'])}): {_line(found[-1])}", flush=True)
    result = {
        **plan,
        "name": graphs.name,
        "graphs": len(graphs),
        "classes": list(graphs.class_names),
        "environment": environment(),
        "rows": [_row(name, [one["accuracy"][name] for one in found]) for name in found[0]["accuracy"]],
        "history": {str(seed): one["history"] for seed, one in zip(plan["seeds"], found, strict=True)},
    }
    if path is not None:
        write_json(path / "result.json", result)
        with written(path / "result.md") as partial:
            partial.write_text(report(result) + "\n")
    return result


def _watch(number: int, seeds: Sequence[int], epochs: int) -> Callable[[dict[str, float]], None]:
    """Says on stderr every few seconds how far a seed is, and how long it and the seeds after it still take."""
    started = said = time.monotonic()

    def watch(line: dict[str, float]) -> None:
        nonlocal said
        now, epoch = time.monotonic(), int(line["epoch"])
        if now - said < SAID_EVERY:
            return
        said = now
        left = (now - started) / epoch * (epochs * (len(seeds) - number + 1) - epoch)
        where = f"seed {seeds[number - 1]} ({number} of {len(seeds)}), epoch {epoch}/{epochs}"
        print(f"{where}, training {clock(left)} left, loss {line['loss']:.3f}", file=sys.stderr, flush=True)

    return watch


def _seed(
    graphs: Graphs,
    options: GraphCL,
    plan: dict[str, Any],
    seed: int,
    path: Path | None,
    watch: Callable[[dict[str, float]], None] | None,
) -> dict[str, Any]:
    """Losses and accuracies of one seed, from the disk if they are there."""
    stored = None if path is None else path / f"seed-{seed}.json"
    if stored is not None and stored.exists():
        before: dict[str, Any] = json.loads(stored.read_text())
        return before
    model, history = train(graphs, options, seed=seed, device=plan["device"], watch=watch)
    features = {options.title: model.transform(graphs)}
    if plan["baselines"]:
        untrained = GraphModel(fresh(graphs, options, seed).encoder, graphs.node_labels, options.self_loops)
        features |= {RANDOM: untrained.transform(graphs), RAW: graphs.counts()}
    labels, accuracy = graphs.labels.numpy(), {}
    for name, x in features.items():
        accuracy[name] = fmean(svm_accuracy(x.numpy(), labels, folds=plan["folds"], seed=seed))
    one = {"accuracy": accuracy, "history": history}
    if path is not None and stored is not None:
        model.save(_encoder(path, seed))
        write_json(stored, one)  # last: its presence says that the seed is done
    return one


def _line(one: dict[str, Any]) -> str:
    return ", ".join(f"{name} {100 * value:.1f}" for name, value in one["accuracy"].items())


def _row(name: str, values: list[float]) -> dict[str, Any]:
    sd = stdev(values) if len(values) > 1 else None
    return {"features": name, "metric": "accuracy", "values": values, "mean": fmean(values), "sd": sd}


def report(result: dict[str, Any]) -> str:
    """The table of a result, Markdown."""
    lines = [
        f"{result['name']}: {result['graphs']} graphs, {len(result['classes'])} classes; support vector machine, "
        f"{result['folds']}-fold cross-validation, {len(result['seeds'])} seeds.",
        "",
        "| features | accuracy |",
        "|---|---|",
        *(f"| {row['features']} | {percent(row['values'])} |" for row in result["rows"]),
    ]
    return "\n".join(lines)
