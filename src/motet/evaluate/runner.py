"""One call from run directories to a table."""

from __future__ import annotations

import pkgutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from motet._version import __version__
from motet.archive import MotionArchive
from motet.errors import ConfigError, MotetWarning
from motet.evaluate.context import Context
from motet.evaluate.features import Encoded, FeatureSet, Raw
from motet.evaluate.results import Row, shown_confusion, write
from motet.runs import Run, collect, hardware
from motet.splits import Split
from motet.splits import split as split_archive

if TYPE_CHECKING:
    from motet.model import Model

Integers = npt.NDArray[np.int64]


def protocols() -> list[str]:
    """Names of all protocols: the modules of this package that have ``Options`` and ``evaluate``."""
    package = import_module("motet.evaluate")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return [name.replace("_", "-") for name in names if _is_protocol(import_module(f"motet.evaluate.{name}"))]


def _is_protocol(module: ModuleType) -> bool:
    return hasattr(module, "Options") and hasattr(module, "evaluate")


def protocol(name: str) -> ModuleType:
    """The module of a protocol.

    Raises:
        ConfigError: no such protocol; lists what there is.
    """
    if name in protocols():
        return import_module(f"motet.evaluate.{name.replace('-', '_')}")
    raise ConfigError(f"there is no protocol {name!r}; choose from {', '.join(protocols())}")


def run(
    run: Run | str | Path | Sequence[Run | str | Path],
    protocols: Sequence[str] = ("knn", "linear"),
    *,
    data: str | Path | MotionArchive | None = None,
    split: str | Split | None = None,
    seeds: int = 1,
    json: str | Path | None = None,
    markdown: str | Path | None = None,
    baselines: bool = True,
    device: str = "auto",
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Judge the features of one or several runs on the labelled clips of an archive.

    Args:
        run: a run, its directory, or several of them (one training repeated with other seeds): mean ± sd over runs
            then. A directory of run directories counts as all of them.
        protocols: names of protocols, see :func:`protocols`.
        data: archive; by default the one that trained the (first) run.
        split: rule that says who trains and who tests, or a split itself (:func:`motet.splits.validation` gives one
            that leaves the test clips alone); by default the rule of the (first) run.
        seeds: how many initialisations of the random encoder and of the probes.
        json, markdown: where to write; by default ``evaluation.json`` and ``.md`` in the run directory (of several
            runs: ``evaluation-of-<n>-runs`` in the first).
        baselines: also judge random encoders and raw coordinates.
        device: auto, cpu, cuda …
        progress: show progress on stderr.
        **options: per protocol, its ``Options`` or a mapping, e.g. ``linear={"epochs": 20}``; ``linear_cached=…``.

    Returns:
        The object that is written as JSON, see :mod:`motet.evaluate.results`.

    Raises:
        ConfigError: protocols, options, archive, split and runs that do not exist or do not fit together.
        RunError: a run that cannot be read.
    """
    started = time.monotonic()
    chosen = _resolve(protocols, options)
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}; it must be at least 1")
    runs = _runs(run)
    archive = data if isinstance(data, MotionArchive) else runs[0].archive(data)
    parts = split if isinstance(split, Split) else split_archive(archive, split or runs[0].split)
    clips = _clips(archive, parts)
    for note in clips.notes:
        warnings.warn(note, MotetWarning, stacklevel=2)
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    models = [r.model(place) for r in runs]
    _same_shape(runs, models)
    context = _context(runs, models, archive, clips, seeds=seeds, baselines=baselines, show=progress)
    rows: list[Row] = []
    for module, values in chosen.values():
        rows += module.evaluate(context, values)
    evaluation = {
        "motet": __version__,
        "torch": torch.__version__,
        "command": _command(runs, protocols, chosen, data, split, seeds, baselines),
        "runs": [{"path": str(r.path), "recipe": r.recipe.recipe, "seed": r.recipe.seed} for r in runs],
        "archive": {
            "path": str(archive.path),
            "hash": archive.hash,
            "clips": len(archive),
            "licence": archive.licence,
            "simulated": archive.simulated,
        },
        "split": {
            "rule": parts.name,
            "train": len(clips.train),
            "test": len(clips.test),
            "classes": len(clips.class_names),
        },
        "seeds": seeds,
        "hardware": hardware(),
        "seconds": time.monotonic() - started,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "notes": clips.notes,
        "class_names": list(clips.class_names),
        "rows": [row.to_dict() for row in rows],
        "confusion": shown_confusion(rows),
    }
    name = "evaluation" if len(runs) == 1 else f"evaluation-of-{len(runs)}-runs"
    write(
        evaluation,
        runs[0].path / f"{name}.json" if json is None else Path(json),
        runs[0].path / f"{name}.md" if markdown is None else Path(markdown),
    )
    return evaluation


def _resolve(names: Sequence[str], options: Mapping[str, Any]) -> dict[str, tuple[ModuleType, Any]]:
    """Module and options of each protocol."""
    if isinstance(names, str):
        names = (names,)
    if not names:
        raise ConfigError(f"no protocol was chosen; choose from {', '.join(protocols())}")
    chosen = {name: protocol(name) for name in names}
    unknown = set(options) - {name.replace("-", "_") for name in chosen}
    if unknown:
        raise ConfigError(f"unknown option {', '.join(sorted(unknown))}; options belong to a protocol: linear={{…}}")
    found = {}
    for name, module in chosen.items():
        given = options.get(name.replace("-", "_"), {})
        if is_dataclass(given):
            if type(given) is not module.Options:
                raise ConfigError(f"options of {name} must be its Options, not {type(given).__name__}")
            found[name] = (module, given)
            continue
        allowed = [f.name for f in fields(module.Options)]
        for key in given:
            if key not in allowed:
                raise ConfigError(f"protocol {name} has no option {key!r}; it has {', '.join(allowed)}")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        if isinstance(rate := values.get("lr"), float | int):
            values["lr"] = (float(rate),)
        found[name] = (module, module.Options(**values))
    return found


def _runs(given: Run | str | Path | Sequence[Run | str | Path]) -> list[Run]:
    items = [given] if isinstance(given, Run | str | Path) else list(given)
    runs = [r for item in items for r in ([item] if isinstance(item, Run) else collect(item))]
    if not runs:
        raise ConfigError("no run was given; name the directory of one, e.g. runs/cmd")
    return runs


def _same_shape(runs: Sequence[Run], models: Sequence[Model]) -> None:
    def shape(model: Model) -> tuple[Any, ...]:
        recipe = model.recipe
        return (recipe.method, model.streams, recipe.frames, recipe.preprocess, recipe.encoder, model.skeleton.joints)

    for run, model in zip(runs[1:], models[1:], strict=True):
        if shape(model) != shape(models[0]):
            raise ConfigError(
                f"{run.path} differs from {runs[0].path} in method, streams, frames, preprocessing, encoder or "
                "skeleton; evaluate together only repetitions of one training"
            )
    rules = {run.split for run in runs}
    if len(rules) > 1:
        raise ConfigError(
            f"the runs were trained on different splits ({', '.join(sorted(rules))}); evaluate them apart"
        )


@dataclass(frozen=True)
class _Clips:
    train: Integers
    test: Integers
    train_labels: Integers
    test_labels: Integers
    class_names: tuple[str, ...]
    notes: list[str]


def _clips(archive: MotionArchive, parts: Split) -> _Clips:
    """Labelled clips of both sides, their class indices, and what a reader of the table has to know about them."""
    rule = parts.name
    train, test = (np.asarray(side, dtype=np.int64) for side in (parts.train, parts.test))
    shared = np.intersect1d(train, test)
    if len(shared):
        name = archive.clips["name"][int(shared[0])]
        raise ConfigError(f"split {rule} of {archive.path} puts {len(shared)} clips on both sides, the first is {name}")
    notes = [parts.warning] if parts.warning else []
    labels = archive.labels
    if (labels < 0).all():
        raise ConfigError(f"{archive.path} has no labels; accuracy needs them: import it with labels")
    unlabelled = int((labels[train] < 0).sum() + (labels[test] < 0).sum())
    if unlabelled:
        notes.append(f"{unlabelled} clips without a label were left out")
    train, test = train[labels[train] >= 0], test[labels[test] >= 0]
    for name, side in (("training", train), ("test", test)):
        if len(side) == 0:
            raise ConfigError(f"split {rule} of {archive.path} leaves no labelled {name} clips; choose another --split")
    unseen = np.setdiff1d(labels[test], labels[train])
    if len(unseen):
        count = int(np.isin(labels[test], unseen).sum())
        names = ", ".join(archive.class_names[i] for i in unseen)
        notes.append(f"{count} test clips of {len(unseen)} classes without a training clip can only be wrong: {names}")
    digests = archive.clips["sha256"].to_numpy()
    copies = int(np.isin(digests[test], digests[train]).sum())
    if copies:
        notes.append(f"{copies} test clips are exact copies of training clips, so figures are too good")
    classes, index = np.unique(labels[np.concatenate([train, test])], return_inverse=True)
    return _Clips(
        train,
        test,
        index[: len(train)].astype(np.int64),
        index[len(train) :].astype(np.int64),
        tuple(archive.class_names[i] for i in classes),
        notes,
    )


def _context(
    runs: Sequence[Run],
    models: Sequence[Model],
    archive: MotionArchive,
    clips: _Clips,
    *,
    seeds: int,
    baselines: bool,
    show: bool,
) -> Context:
    first = models[0]
    store = first.store(archive, np.concatenate([clips.train, clips.test]))
    facts: dict[str, Any] = {"archive_hash": archive.hash, "folder": None}

    def encoded(model: Model, run: Run, learned: bool) -> FeatureSet:
        return Encoded(model, store, **(facts | {"folder": run.path / "features"}), run=run if learned else None)

    count = max(seeds, len(runs)) if baselines else 0
    return Context(
        method=first.recipe.recipe.split("/")[0],
        streams=tuple(first.streams),
        store=store,
        train=torch.from_numpy(clips.train),
        test=torch.from_numpy(clips.test),
        train_labels=clips.train_labels,
        test_labels=clips.test_labels,
        class_names=clips.class_names,
        learned=[encoded(m, r, True) for m, r in zip(models, runs, strict=True)],
        random=[encoded(first.untrained(seed), runs[0], False) for seed in range(count)],
        raw=[Raw(first, store)] if baselines else [],
        seeds=seeds,
        frames=first.recipe.frames,
        device=first.device,
        show=show,
    )


def _command(
    runs: Sequence[Run],
    names: Sequence[str],
    chosen: Mapping[str, tuple[ModuleType, Any]],
    data: str | Path | MotionArchive | None,
    parts: str | Split | None,
    seeds: int,
    baselines: bool,
) -> str:
    """The command line that gives the same table."""
    words = ["motet evaluate", *(str(r.path) for r in runs), "--protocols", *chosen]
    if data is not None:
        words += ["--data", str(data.path if isinstance(data, MotionArchive) else data)]
    if parts is not None:
        words += ["--split", parts.name if isinstance(parts, Split) else parts]
    words += ["--seeds", str(seeds)] if seeds != 1 else []
    words += [] if baselines else ["--no-baselines"]
    for name, (module, values) in chosen.items():
        standard = asdict(module.Options())
        for key, value in asdict(values).items():
            if value != standard[key]:
                shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
                words.append(f"--{name}.{key.replace('_', '-')} {shown}")
    return " ".join(words)
