"""A discovery from two archives to a run directory.

::

    config.json          settings, both archives, which of their clips count
    environment.json     versions, hardware, command line
    metrics.jsonl        one line per epoch
    checkpoints/         step-<n>.pt; everything that a bit-exact resume needs
    pretrained.pt        the same at the end of pretraining, for ``pretrained=`` of other runs
    model.safetensors    both students with their classifiers
    clusters.parquet/.csv   one row per target clip: its cluster by each branch
    result.json/.md      scores, and what each cluster is like
    names.json           names that a reader gave to clusters (`motet clusters`)
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from motet._version import __version__
from motet.core.devices import usable
from motet.core.distributed import rank
from motet.core.environment import environment
from motet.core.errors import ConfigError, MotetNote, RunError
from motet.core.files import write_json
from motet.core.options import differences
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.clip_table import csv_text
from motet.data.heading import turned_animals
from motet.data.preprocess import ANIMAL
from motet.data.worn import MIRRORS, note_of
from motet.engine.identity import changes, identity
from motet.engine.options import INCIDENTAL, as_started, asked
from motet.engine.run import Run, repeated
from motet.engine.trainer import Trainer
from motet.methods.discovery import model
from motet.methods.discovery.baselines import baselines, lost, verdict
from motet.methods.discovery.checks import check_pair, check_recordings, check_size, check_task
from motet.methods.discovery.data import Clips, Sides, class_numbers, fitting, retargetable, sides
from motet.methods.discovery.describe import describe, report
from motet.methods.discovery.forecast import forecast
from motet.methods.discovery.joints import CommonLayout, scored
from motet.methods.discovery.settings import SETTINGS, Settings, as_released, settings_from_dict
from motet.methods.discovery.stored import CONFIG, KIND, MODULE, RESULT, read_config, read_result
from motet.methods.discovery.tasks import task_named
from motet.methods.discovery.train import Discovering
from motet.methods.discovery.warm_start import adopt, fits, pretraining_of, refining, start
from motet.methods.recipes.shipped import SKELETONS

__all__ = ["CONFIG", "KIND", "RESULT"]
WEIGHTS = ("model.safetensors", "result.json", "names.json")
"""files of a run that its model is made of, besides config.json; patterns"""
SMALLEST_BATCH, STEPS = 16, 5  # recipes but "paper": clips of a batch at least, and steps of an epoch
NETWORK = {
    *("encoder", "streams", "hidden", "layers", "width", "feature_size", "kernel", "heads", "patch"),
    *("frames", "preprocess", "start"),
}
"""options that say which networks see what; where one is given, weights of the package are no default"""
_CLASSES = ("source_split", "target_split", "source_classes", "target_classes")


@dataclass(frozen=True)
class Plan:
    """What is trained on what.

    Attributes:
        source, target: archives.
        parts: which of their clips count.
        settings: options, resolved.
        choice: the rules and classes that ``parts`` follow, for config.json.
        form: what both branches read, where weights say so.
    """

    source: MotionArchive
    target: MotionArchive
    parts: Sides
    settings: Settings
    choice: dict[str, Any]
    form: CommonLayout | None = None

    def trainer(self, progress: bool) -> Trainer:
        """The loop, before its first step."""
        archives, settings = (self.source, self.target), self.settings

        def make(device: torch.device) -> Discovery:
            clips = Clips(*archives, self.parts, settings.preprocess, device, self.form, score=settings.score)
            return Discovery(settings, clips, archives)

        return Trainer(make, settings.loop, progress=progress)


class Discovery(Discovering):
    """A discovery that writes what it has found.

    Attributes:
        result: what result.json holds, once training has finished.
    """

    def __init__(self, settings: Settings, clips: Clips, archives: tuple[MotionArchive, MotionArchive]) -> None:
        super().__init__(settings, clips)
        self.archives = archives
        self.result: dict[str, Any] = {}

    def finish(self, run: Run | None) -> None:
        self.switch()
        self.result, found = _result(self)
        if run is None:
            return
        model.save_model(run.path / "model.safetensors", self.discovery, found.centres)
        found.table.write_parquet(run.path / "clusters.parquet")
        (run.path / "clusters.csv").write_text(csv_text(found.table), encoding="utf-8")
        (run.path / "result.md").write_text(report(self.result) + "\n")
        write_json(run.path / "result.json", self.result)


def run(
    source: str | Path | MotionArchive,
    target: str | Path | MotionArchive,
    out: str | Path | None = None,
    *,
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Find the classes of an unlabelled archive with the help of a labelled one (CoDT, Liu et al., ECCV 2022).

    Args:
        source: labelled recordings.
        target: recordings whose classes are wanted. Labels, where it has any, only score the result.
        out: run directory to create; without one nothing is kept.
        clusters: how many; estimated after pretraining by default.
        recipe: a name of weights (``"body"``, …), ``"paper"``, ``"small"`` or :class:`Settings`; by default that of
            the weights of the package that read both archives if no option asks for other networks, or that of a
            ``start`` with convolutions or a transformer ("body" of anything but hands and pictures), else "small" below
            5,000 training clips.
        task: a name of :data:`motet.methods.discovery.TASKS`: splits, classes, clusters and recipe of a known pair of
        sets.
        source_split, target_split: rules of :mod:`motet.data.splits`, by default each archive's standard; a target
        without
            labels, of which nothing can be evaluated, trains with all its clips.
        source_classes, target_classes: classes that count, by number or name, all by default.
        as_released: follow the released code where it is well defined.
        progress: show progress on stderr.
        **options: fields of :class:`Settings` and of its method: ``method="ocm"``, ``epochs=20``, ``seed=1`` …

    Returns:
        What result.json holds: ``rows`` (scores by branch), ``clusters`` (per branch: size, typical clips, neighbours,
        source classes it resembles), ``k``, ``estimated``, ``pretrained`` …

    Raises:
        ConfigError, DataError: nothing has been written then.
        Interrupted: stopped by a signal; the state is saved.
        RunError: ``out`` is in use, or a loss is not finite.
    """
    found = plan(source, target, **options)
    folder = None if out is None else Run(Path(out))
    if folder is not None:
        folder.check_free()
    trainer = found.trainer(progress)
    _begin(trainer, found)
    learner = trainer.learner
    assert isinstance(learner, Discovery)
    if folder is not None:
        folder = _create(folder.path, found, learner)
    if progress:
        said = found.parts.says(found.target), forecast(learner)
        if not rank():
            print(*said, sep="\n", file=sys.stderr, flush=True)
    return _fit(trainer, folder)


def _begin(trainer: Trainer, found: Plan) -> None:
    """Take over a pretraining or the weights of another run, where the settings say so."""
    if found.settings.pretrained:
        hashes = found.source.hash, found.target.hash
        state = pretraining_of(found.settings, found.choice, hashes)
        trainer.restore({**state, "learner": {**state["learner"], "clusters": found.settings.clusters}})
    elif found.settings.start:
        assert isinstance(trainer.learner, Discovery)
        start(trainer.learner.discovery, found.settings, trainer.learner.clips)


def _fit(trainer: Trainer, run: Run | None) -> dict[str, Any]:
    trainer.fit(run)
    learner = trainer.learner
    assert isinstance(learner, Discovery)
    if run is not None:
        return read_result(run.path)
    learner.finish(None)
    return learner.result


def run_seeds(
    source: str | Path | MotionArchive,
    target: str | Path | MotionArchive,
    out: str | Path,
    seeds: Sequence[int],
    *,
    progress: bool = True,
    **options: Any,
) -> list[Run]:
    """One discovery per seed into ``out/seed-<n>``; finished ones are kept, interrupted ones continued.

    Args:
        source, target, progress, options: as for :func:`run`.
        out: directory of the runs.
        seeds: which.

    Raises:
        RunError: a run of that seed is there already, but of another training.
    """
    places: dict[str, Any] = {
        name: x if isinstance(x, str | Path) else x.path for name, x in (("source", source), ("target", target))
    }
    return repeated(
        out,
        seeds,
        lambda seed, folder: run(source, target, folder, progress=progress, **{**options, "seed": seed}),
        lambda there, seed: _check_same(there, plan(source, target, **{**options, "seed": seed})),
        lambda there: resume(there.path, progress=progress, **places),
    )


def _check_same(there: Run, wanted: Plan) -> None:
    """Refuse to take a run for the training that was asked for when it is another one."""
    differ = differences(wanted.settings, there.recipe, ignored=INCIDENTAL)
    for side, archive in (("source", wanted.source), ("target", wanted.target)):
        differ += [f"its {side} had other clips"] if there.config[side]["hash"] != archive.hash else []
    if differ:
        raise RunError(f"{there.path} holds another training ({'; '.join(differ)}); choose another --out or remove it")


def plan(
    source: str | Path | MotionArchive,
    target: str | Path | MotionArchive,
    *,
    clusters: int | None = None,
    recipe: str | Settings | None = None,
    task: str | None = None,
    source_split: str | None = None,
    target_split: str | None = None,
    source_classes: Sequence[int | str] = (),
    target_classes: Sequence[int | str] = (),
    as_released: bool = False,
    **options: Any,
) -> Plan:
    """What :func:`run` would train, resolved and checked; the arguments are those of :func:`run`.

    Raises:
        ConfigError, DataError: what is wrong with the options or the archives.
    """
    chosen: dict[str, Any] = {"source_split": source_split, "target_split": target_split}
    archives = _opened(source), _opened(target)
    classes: dict[str, Any] = {
        "source_classes": class_numbers(archives[0], source_classes, "source"),
        "target_classes": class_numbers(archives[1], target_classes, "target"),
    }
    known = None if task is None else task_named(task)
    if task is not None and known is not None:
        chosen = {name: chosen[name] or getattr(known, name) for name in chosen}
        classes = {name: classes[name] or getattr(known, name) for name in classes}
        clusters = clusters or known.clusters
        recipe = recipe or known.settings
        if known.score and all(map(scored, archives)):
            options.setdefault("score", True)
        check_task(task, *archives)
    parts = sides(archives[0], archives[1], **chosen, **classes)
    for archive in archives:
        check_recordings(archive)
    check_pair(*archives, parts.source_classes, classes["target_classes"])
    recipe = recipe or _default(archives, len(parts.train), as_released, options)
    settings = _settings(recipe, len(parts.train), clusters, as_released, options)
    if known is not None and known.preprocess and not settings.start and "preprocess" not in options:
        options["preprocess"] = known.preprocess  # weights bring their own
        settings = replace(settings, preprocess=known.preprocess)
    settings, form = _read_by(settings, archives, options)
    if settings.clusters is not None and settings.clusters > len(parts.train):
        raise ConfigError(
            f"{counted(settings.clusters, 'cluster')} of {counted(len(parts.train), 'training clip')} of the target; "
            f"lower --clusters to at most {len(parts.train)}"
        )
    if settings.score:
        CommonLayout.of(*archives, score=True)  # says what they lack
    check_size(settings, len(parts.train))
    settings = as_started(replace(settings, device=usable(settings.device)), asked(options))
    choice = {**chosen, **classes, "source_split": parts.source_split, "target_split": parts.target_split}
    return Plan(*archives, parts, settings, choice, form)


def _read_by(
    settings: Settings, archives: tuple[MotionArchive, MotionArchive], options: Mapping[str, Any]
) -> tuple[Settings, CommonLayout | None]:
    """Settings whose networks can read the archives, and the form that both branches read, where weights say so."""
    if settings.start:
        if "start" not in options and options.keys() & NETWORK:
            refused = sorted(options.keys() & NETWORK)[0].replace("_", "-")
            raise ConfigError(
                f"the recipe {settings.name} starts from the weights {settings.start}, which decide --{refused}; leave "
                "it out, or choose --recipe small"
            )
        settings, form = adopt(settings, *archives)
        if form is not None and settings.score:
            raise ConfigError(f"{settings.start} reads positions alone; leave --score out, or choose --recipe small")
        allowed = fitting(settings.preprocess, archives) if settings.preprocess == MIRRORS[0] else settings.preprocess
    elif "preprocess" in options:
        return settings, None
    else:
        form, allowed = None, fitting(settings.preprocess, (*retargetable(*archives), archives[1]))
    turned = [turned_animals(allowed)] if allowed == ANIMAL else []
    for said in dict.fromkeys([*turned, *filter(None, (note_of(allowed, archive) for archive in archives))]):
        warnings.warn(said, MotetNote, stacklevel=4)
    return replace(settings, preprocess=allowed), form


def resume(
    path: str | Path,
    *,
    source: str | Path | None = None,
    target: str | Path | None = None,
    devices: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Continue an interrupted discovery; the result is bit for bit that of an uninterrupted one.

    Args:
        path: run directory.
        source, target: where the archives are now, if they have moved.
        devices: processes on this machine, if not as many as before: the same training but for rounding.
        progress: show progress on stderr.

    Raises:
        RunError: no such run, or the archives have changed.
    """
    stored = Run.open(path, KIND)
    config = read_config(stored.path)
    if stored.finished:
        return read_result(stored.path)
    archives = _opened(source or config["source"]["path"]), _opened(target or config["target"]["path"])
    for name, archive in zip(("source", "target"), archives, strict=True):
        if differ := changes(config[name], archive):
            raise RunError(
                f"{archive.path} does not hold the clips that {stored.path} began with as its {name}: "
                f"{', '.join(differ)} changed"
            )
    choice = {name: config[name] for name in _CLASSES}
    form = CommonLayout.from_dict(config["common"]) if config.get("one_form") else None
    given = {} if devices is None else {"devices": devices}
    settings = as_started(options(stored).with_options(given), given)
    found = Plan(*archives, sides(*archives, **choice), settings, choice, form)
    with stored.room():
        trainer = found.trainer(progress)
    if not stored.checkpoints:
        _begin(trainer, found)
    if stored.checkpoints or not found.settings.pretrained:
        trainer.resume(stored)
    return _fit(trainer, stored)


def options(run: Run) -> Settings:
    """The options of a run."""
    return settings_from_dict(run.config["settings"])


def load(run: Run, device: str | torch.device = "cpu") -> model.Found:
    """The branches of a finished run."""
    return model.load(run.path).to(device)


def _opened(data: str | Path | MotionArchive) -> MotionArchive:
    return MotionArchive.open(data)


def _default(archives: tuple[MotionArchive, MotionArchive], clips: int, released: bool, options: dict[str, Any]) -> str:
    """The recipe where none was asked for: of the pretraining taken over, of weights that fit, or by size."""
    if options.get("pretrained"):
        name = str(read_config(Path(options["pretrained"]))["settings"]["name"])
        if name in SETTINGS:
            return name
    own = NETWORK & set(options)
    if options.get("start") and own <= {"start", "preprocess"} and not released:
        name = refining(options["start"])
        if name:
            return name
    if not released and not own and not options.get("score"):
        for name in SKELETONS:
            if fits(name, *archives):
                return name
    return "small" if clips < 5000 else "paper"


def _settings(
    name: str | Settings, clips: int, clusters: int | None, released: bool, options: dict[str, Any]
) -> Settings:
    if isinstance(name, str) and name not in SETTINGS:
        raise ConfigError(f"there is no recipe {name!r} of discover; choose from {', '.join(SETTINGS)}")
    base = SETTINGS[name] if isinstance(name, str) else name
    if released:
        base = as_released(base)
    if base.name != "paper" and isinstance(name, str):
        # a few steps an epoch for the smallest sets too
        base = replace(base, batch_size=min(base.batch_size, max(SMALLEST_BATCH, clips // STEPS)))
    return base.with_options({**options, **({"clusters": clusters} if clusters is not None else {})})


def _create(folder: Path, found: Plan, learner: Any) -> Run:
    clips = learner.clips
    form = clips.layout
    return Run.create(
        folder,
        KIND,
        MODULE,
        {
            "settings": found.settings.to_dict(),
            "source": identity(found.source),
            "target": identity(found.target),
            **found.choice,
            "common": form.to_dict(),
            "one_form": clips.given,
            "known": list(clips.sides.source_classes),
        },
    )


def _result(learner: Discovery) -> tuple[dict[str, Any], Any]:
    """What result.json holds, and the description of the clusters."""
    clips, settings, archives = learner.clips, learner.settings, learner.archives
    found = describe(learner.discovery, clips, *archives)
    rows = learner.scores()
    scored_clips = clips.scored, clips.scored_labels
    others = baselines(archives[1], *scored_clips, learner.clusters or 1, settings.seed, clips.train) if rows else []
    result: dict[str, Any] = {
        "motet": __version__,
        "method": settings.method.name,
        "settings": settings.to_dict(),
        "source": {"name": archives[0].path.stem, "clips": len(clips.sides.source)},
        "target": {"name": archives[1].path.stem, "train": len(clips.train), "scored": len(clips.scored)},
        "simulated": [a.simulated for a in archives],
        "joints": list(clips.layout.skeleton.canonical),
        "split": {
            "source": clips.sides.source_split,
            "target": clips.sides.target_split,
            "says": clips.sides.says(archives[1]),
        },
        "source_classes": list(clips.sides.source_classes),
        "k": learner.clusters,
        "estimated": learner.estimated,
        "sizes": learner.discovery.labelling.says,
        "pretrained": learner.pretrained,
        "rows": rows,
        "baselines": others,
        "warning": " ".join(
            filter(None, (verdict(rows, others, archives[1].path.name), lost(learner.pretrained, rows)))
        ),
        "clusters": found.clusters,
        "outlier_below": found.outlier_below,
        "environment": environment(),
    }
    return result, found
