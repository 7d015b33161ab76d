"""One call from run directories to a table."""

from __future__ import annotations

import os
import pkgutil
import shlex
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from motet._version import __version__
from motet.core.devices import usable
from motet.core.distributed import agreed, rank
from motet.core.environment import hardware
from motet.core.errors import ConfigError, DataError, MotetWarning, RunError
from motet.core.files import written
from motet.core.options import Count, convert
from motet.core.text import pasted
from motet.data.adapt import check_adaptable, left_out
from motet.data.adapted import adapted
from motet.data.archive import MotionArchive
from motet.data.loader import cut_off
from motet.data.splits import Split, default_rule
from motet.data.splits import split as split_archive
from motet.data.worn import note_of
from motet.engine import hub
from motet.engine.hub import FOLDER, called
from motet.engine.run import Run, collect
from motet.engine.table import Row
from motet.evaluate import given, stored
from motet.evaluate.advice import advice
from motet.evaluate.clips import labelled_clips, labels_used, rule_of, seen_in_training
from motet.evaluate.clips import without_copies as strictly
from motet.evaluate.context import Context
from motet.evaluate.flags import flag
from motet.evaluate.given import Ready, facts_of, say, short
from motet.evaluate.parts import Parts
from motet.evaluate.results import shown_confusion, with_options, write
from motet.evaluate.stored import Entry
from motet.evaluate.variants import COPIES, centring, check_centred, variants
from motet.methods.model import Model
from motet.methods.rocket import ROCKET

_Chosen = Mapping[str, tuple[ModuleType, Any]]  # protocols that were asked for: module and options


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
    protocols: Sequence[str] = ("knn", "ridge"),
    *,
    data: str | Path | MotionArchive | None = None,
    split: str | Split | None = None,
    seeds: int = 1,
    json: str | Path | None = None,
    markdown: str | Path | None = None,
    baselines: bool = True,
    without_copies: bool = False,
    centre_by: str | None = None,
    again: bool = False,
    device: str = "auto",
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Evaluate the features of one or several runs on the labelled clips of an archive.

    The files are written after every protocol. What they hold already for the same weights, clips and options is kept:
    protocols that were asked for before stay in the table, one that is done is not done again.

    Args:
        run: a run of any verb, its directory, the name of weights (``"body"``, …), or several of them (one
            training repeated with other seeds): mean ± sd over runs then. A directory of run
            directories counts as all of them.
        protocols: names of protocols, see :func:`protocols`.
        data: archive, table or folder of graphs; by default what trained the (first) run.
        split: rule that says who trains and who tests, or a split itself (:func:`motet.data.splits.validation` gives
            one that leaves the test clips alone); by default the rule of the (first) run.
        seeds: how many initialisations of the random encoder and of the probes.
        json, markdown: where to write a further copy; ``evaluation.json`` and ``.md`` in the run directory are written
            in any case (of several runs: ``evaluation-of-<n>-runs`` in the first; on other clips than the run's own:
            ``evaluation-on-…``).
        baselines: also evaluate random encoders and raw coordinates.
        without_copies: also give every figure without the test clips that are copies of training clips: byte for byte,
            but for noise, or windows with frames in common. Rows of these have ``details["subset"]``.
        centre_by: column of the clips, such as ``"subject"``: also give every figure with features less the mean of
            that person's clips, which needs no label; protocols that train on clips are refused. Rows of these have
            ``details["subset"]``, too.
        again: evaluate again even what is there.
        device: auto, cpu, cuda …
        progress: show progress on stderr.
        **options: per protocol, its ``Options`` or a mapping, e.g. ``linear={"epochs": 20}``; ``linear_cached=…``.

    Returns:
        The object that is written as JSON, see :mod:`motet.evaluate.results`.

    Raises:
        ConfigError: protocols, options, archive, split and runs that do not exist or do not fit together.
        RunError: a run that cannot be read.
    """
    seeds = convert(Count, seeds, "seeds")
    runs = _runs(run)
    chosen = _resolve(protocols, options)
    place = usable(device)
    models = [r.model(place) for r in runs]
    said: dict[str, Any] = {"seeds": seeds, "baselines": baselines, "show": progress}
    takes = [n for n in _names() if hasattr(protocol(n), "FEATURES_ALONE")]
    if isinstance(models[0], Model):
        check_centred(centre_by, list(chosen), takes)
        ready = _of_clips(runs, models, chosen, data, split, without_copies=without_copies, **said)
    else:
        given.check(list(chosen), takes, runs[0], without_copies=without_copies, centre_by=centre_by)
        ready = given.ready(runs, models, data, split, **said)
    for module, values in chosen.values():  # what is impossible is refused before anything is computed
        if hasattr(module, "check"):
            module.check(ready.context, values)
    decides: dict[str, Any] = {
        "seeds": seeds,
        "baselines": baselines,
        "without_copies": without_copies,
        "centre_by": centre_by,
    }
    words = _words(runs, data, split, **decides)
    evaluation = _Evaluation(ready, chosen, kept_in(runs[0]), (json, markdown), words, decides)
    return evaluation.run(again)


class _Evaluation:
    """Protocols on clips that are ready, and the files that hold their rows.

    Args:
        ready: features and clips.
        chosen: protocols and their options.
        folder: where the files are.
        copies: further places of the JSON and of the Markdown.
        words: of the command, before those of a protocol.
        decides: what else an entry depends on.
    """

    def __init__(
        self,
        ready: Ready,
        chosen: _Chosen,
        folder: Path,
        copies: tuple[str | Path | None, str | Path | None],
        words: tuple[str, str],
        decides: Mapping[str, Any],
    ) -> None:
        self.ready, self.chosen, self.folder, self.words = ready, chosen, folder, words
        self.base, self.seeds = stored.base_key(ready.context), decides["seeds"]
        groups, self.notes = centring(ready, decides["centre_by"])
        decides = {**decides, "groups": groups}
        self.keys = {n: stored.entry_key(self.base, n, values, **decides) for n, (_, values) in chosen.items()}
        self.files = [folder / f"{ready.name}{suffix}" for suffix in (".json", ".md")]
        self.copies = copies
        self.kept: list[str] = []
        self.variants = variants(ready, decides["centre_by"], groups)

    def run(self, again: bool) -> dict[str, Any]:
        """Every protocol that is not done already; all of them ``again``."""
        for name in self.chosen:
            if again or not self._done(self.entries(), name):  # another evaluation may have added to it
                self._one(name, again)
            else:
                self.kept.append(name)
        return self.save(self.entries())

    def entries(self) -> dict[str, Entry]:
        """What the file holds for these weights and clips."""
        return agreed(stored.read(self.files[0], self.base))

    def save(self, entries: Mapping[str, Entry]) -> dict[str, Any]:
        """Write the files; returns what is written as JSON. Rows that were there stand under today's command."""
        for name in self.kept:
            entries[name].command = self._line(name)
        rows = [row for entry in entries.values() for row in entry.rows]
        evaluation = self._facts() | {
            "command": stored.command(list(entries.values())),
            "seconds": sum(e.seconds for e in entries.values()),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "kept": self.kept,
            "missing": [n for n in self.chosen if not self._done(entries, n)],
            "summary": self._advice(rows),
            **stored.merged(entries),
        }
        if rank() == 0:
            write(evaluation, *self.files)
            for copy, original in zip(self.copies, self.files, strict=True):
                if copy is not None and Path(copy).resolve() != original.resolve():
                    with written(Path(copy)) as partial:
                        partial.write_bytes(original.read_bytes())
        return evaluation

    def _advice(self, rows: Sequence[Row]) -> str:
        embeds = self.ready.embeds
        run = called(Path(self.ready.runs[0]["path"])) if embeds is None else embeds
        return advice(rows, len(self.ready.clips.test), run=run, supervised=self.ready.supervised)

    def _done(self, entries: Mapping[str, Entry], name: str) -> bool:
        return name in entries and entries[name].key == self.keys[name]

    def _facts(self) -> dict[str, Any]:
        clips = self.ready.clips
        sizes = {"train": len(clips.train), "test": len(clips.test), "classes": len(clips.class_names)}
        return {
            "motet": __version__,
            "torch": torch.__version__,
            "key": self.base,
            "runs": self.ready.runs,
            "archive": self.ready.archive,
            "split": {"rule": clips.rule, **sizes},
            "seeds": self.seeds,
            "hardware": hardware(),
            "notes": clips.notes,
            "class_names": list(clips.class_names),
            "majority": float((clips.test_labels == np.bincount(clips.train_labels).argmax()).mean()),
        }

    def _one(self, name: str, again: bool) -> None:
        (module, values), context = self.chosen[name], self.ready.context
        started = time.monotonic()
        context.notes.clear()
        context.records.clear()
        finished = self._parts(name, ".parts.json")
        if again:
            finished.drop()
        rows = module.evaluate(replace(context, parts=finished), values)
        for number, (subset, other) in enumerate(self.variants.items()):
            if subset == COPIES and len(other.test) == len(context.test) and name != "transfer":
                continue
            rest = self._parts(name, f".{number}.parts.json")
            found = module.evaluate(replace(other, parts=rest), values)
            rows = [*rows, *(replace(r, details={**r.details, "subset": subset}, confusion=None) for r in found)]
            rest.drop()
        rows = with_options(rows, _changed(module, values))
        taken = time.monotonic() - started
        entry = Entry(name, self.keys[name], self._line(name), self.seeds, taken, rows, shown_confusion(rows))
        found_notes = list(dict.fromkeys(context.notes))  # of each variant the same
        entry.notes, entry.record = [*found_notes, *self.notes], dict(context.records) or None
        for note in found_notes:
            warnings.warn(f"{name}: {note}", MotetWarning, stacklevel=4)
        self.save(self.entries() | {name: entry})
        finished.drop()

    def _line(self, name: str) -> tuple[str, str, str]:
        return *self.words, _flags(name, *self.chosen[name])

    def _parts(self, name: str, suffix: str) -> Parts:
        return Parts(self.folder / "features" / f"{name}-{self.keys[name][:24]}{suffix}")


def kept_in(run: Run) -> Path:
    """Where the files of an evaluation go: the run directory, or for weights of the package a folder of the cache."""
    if run.path.resolve().parent != FOLDER.resolve():
        return run.path
    root = Path(os.environ.get("MOTET_CACHE") or Path.home() / ".cache" / "motet")
    return root / "evaluations" / run.path.name


_names = protocols  # a parameter of run() has the same name


def _of_clips(
    runs: Sequence[Run],
    models: Sequence[Model],
    chosen: _Chosen,
    data: str | Path | MotionArchive | None,
    split: str | Split | None,
    *,
    without_copies: bool,
    seeds: int,
    baselines: bool,
    show: bool,
) -> Ready:
    """Encoders on the clips of an archive."""
    archive = _recordings(runs[0], data, chosen)
    _same_shape(runs, models)
    readable, changes = _readable(runs[0], models[0], archive, chosen)
    parts = split if isinstance(split, Split) else split_archive(archive, _rule(split, runs[0], archive, chosen))
    clips = labelled_clips(archive, parts, answered=set(chosen) != {"cluster"})
    fewer = strictly(archive, clips) if without_copies else None
    supervised = list(filter(None, dict.fromkeys(labels_used(r, archive) for r in runs)))
    seen = filter(None, dict.fromkeys(seen_in_training(r, archive, clips.test) for r in runs))
    cut = cut_off(archive, np.concatenate([clips.train, clips.test]), models[0].rate)
    changes.extend(filter(None, [note_of(models[0].recipe.preprocess, archive)]))
    clips.notes.extend([*changes, *seen, *supervised, *filter(None, [cut])])
    say(clips, runs, changes)
    context = Context.build(
        runs,
        models,
        readable,
        clips,
        seeds=seeds,
        baselines=baselines,
        show=show,
        called=archive.path.resolve().name,
        folder=kept_in(runs[0]) / "features" if kept_in(runs[0]) != runs[0].path else None,
    )
    described = [{"path": str(r.path), "recipe": r.recipe.recipe, "seed": r.recipe.seed} for r in runs]
    facts = facts_of(archive, len(archive))
    return Ready(context, clips, _name(runs, archive, parts), described, facts, fewer, supervised=bool(supervised))


def _recordings(run: Run, data: str | Path | MotionArchive | None, chosen: _Chosen) -> MotionArchive:
    """The archive to evaluate. Transfer alone asks nothing of the recordings of the pretraining, so where these are
    not at hand the first set that is transferred to takes their place."""
    if isinstance(data, MotionArchive):
        return data
    try:
        return run.archive(data)
    except (RunError, DataError):
        targets = chosen["transfer"][1].data if list(chosen) == ["transfer"] else ()
        if data is not None or not targets:
            raise
        return MotionArchive.open(targets[0])


def _readable(run: Run, model: Model, archive: MotionArchive, chosen: _Chosen) -> tuple[MotionArchive, list[str]]:
    """The archive in the layout of the model, and what was changed; nothing is, but for transfer.

    Raises:
        ConfigError: another layout and other protocols than transfer.
    """
    if list(chosen) == ["transfer"]:
        notes: list[str] = []
        copy = adapted(archive, model, kept_in(run) / "features", units=model.units, notes=notes)
        return copy, [] if chosen["transfer"][1].data else notes  # of sets that it names the protocol says so itself
    try:
        model.check(archive)
    except ConfigError as error:
        check_adaptable(archive, model)  # what cannot be converted is refused without the hint
        raise ConfigError(
            f"{error}. Transfer converts them: motet evaluate {pasted(called(run.path))} --protocols transfer "
            f"--transfer.data {pasted(archive.path)}"
        ) from None
    said = left_out(archive, model)
    return archive, [said] if said else []


def _rule(split: str | None, run: Run, archive: MotionArchive, chosen: _Chosen) -> str:
    """The rule that was asked for, that of the run or of the archive.

    Transfer alone to another set goes by its own option, or by the standard of that set.
    """
    if split is None and list(chosen) == ["transfer"] and archive.hash != run.config["data"].get("hash"):
        return chosen["transfer"][1].split or default_rule(archive)
    return rule_of(split, run, archive)


def _name(runs: Sequence[Run], archive: MotionArchive, parts: Split) -> str:
    """Name of the files: other clips than those of the run's own split have files of their own."""
    name = "evaluation" if len(runs) == 1 else f"evaluation-of-{len(runs)}-runs"
    if archive.hash == runs[0].config["data"].get("hash") and parts.name == runs[0].split:
        return name
    return f"{name}-on-{archive.path.resolve().name}-{short(f'{archive.hash} {parts.name}')}"


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
        for key, value in values.items():  # one value where several are possible
            if isinstance(getattr(module.Options(), key), tuple) and not isinstance(value, tuple):
                values[key] = (float(value) if isinstance(value, int) and key == "lr" else value,)
        found[name] = (module, module.Options(**values))
    return found


def _runs(given: Run | str | Path | Sequence[Run | str | Path]) -> list[Run]:
    items = [given] if isinstance(given, str | PathLike) or not isinstance(given, Iterable) else list(given)
    if any(str(item) == ROCKET for item in items):
        raise ConfigError(
            "random convolutions are a row of every evaluation; name weights, or a run (of `pretrain --epochs 0`, say)"
        )
    runs = [r for item in items for r in ([item] if isinstance(item, Run) else collect(hub.found(item)))]
    if not runs:
        raise ConfigError("no run was given; name the directory of one, e.g. runs/cmd")
    return runs


def _same_shape(runs: Sequence[Run], models: Sequence[Model]) -> None:
    def shape(model: Model) -> tuple[Any, ...]:
        recipe = model.recipe
        return (
            recipe.method,
            recipe.class_views,
            recipe.neighbour_views,
            recipe.keep_start,
            recipe.epochs > 0,
            model.streams,
            recipe.frames,
            model.clip_frames,
            recipe.preprocess,
            recipe.encoder,
            model.skeleton.joints,
        )

    for run, model in zip(runs[1:], models[1:], strict=True):
        if shape(model) != shape(models[0]):
            raise ConfigError(
                f"{run.path} differs from {runs[0].path} in method, class or neighbour views, start, "
                "streams, frames, preprocessing, encoder or skeleton; evaluate together only repetitions of one "
                "training"
            )
    rules = {run.split for run in runs}
    if len(rules) > 1:
        raise ConfigError(
            f"the runs were trained on different splits ({', '.join(sorted(rules))}); evaluate them apart"
        )


def _words(
    runs: Sequence[Run],
    data: str | Path | MotionArchive | None,
    parts: str | Split | None,
    *,
    seeds: int,
    baselines: bool,
    without_copies: bool,
    centre_by: str | None,
) -> tuple[str, str]:
    """The command line that gives the same table, before and after the names of the protocols."""
    words: list[str] = []
    if data is not None:
        words += ["--data", str(data.path if isinstance(data, MotionArchive) else data)]
    if parts is not None:
        words += ["--split", parts.name if isinstance(parts, Split) else parts]
    words += ["--seeds", str(seeds)] if seeds != 1 else []
    words += [] if baselines else ["--no-baselines"]
    words += ["--without-copies"] if without_copies else []
    words += ["--centre-by", centre_by] if centre_by else []
    return shlex.join(["motet", "evaluate", *(called(r.path) for r in runs)]), shlex.join(words)


def _changed(module: ModuleType, values: Any) -> dict[str, Any]:
    """Options of a protocol that differ from its defaults."""
    standard = asdict(module.Options())
    return {key: value for key, value in asdict(values).items() if value != standard[key]}


def _flags(name: str, module: ModuleType, values: Any) -> str:
    """The same as on the command line."""
    standard, words = asdict(module.Options()), []
    for key, value in _changed(module, values).items():
        if isinstance(standard[key], bool):
            words.append(f"--{name}.{'' if value else 'no-'}{key.replace('_', '-')}")
        else:
            words.append(flag(values, key))
            words += map(str, value) if isinstance(value, tuple) else [str(value)]
    return shlex.join(words)
