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

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from motet._version import __version__
from motet.core.devices import usable
from motet.core.environment import environment
from motet.core.errors import ConfigError, RunError
from motet.core.files import write_json
from motet.data.archive import MotionArchive
from motet.engine.checkpoint import load_checkpoint
from motet.methods.discovery.checks import check_pair, check_recordings, check_size, check_task
from motet.methods.discovery.data import Clips, class_numbers, fitting, retargetable, sides
from motet.methods.discovery.describe import describe, report
from motet.methods.discovery.model import save_model
from motet.methods.discovery.settings import SETTINGS, Settings, as_released, settings_from_dict
from motet.methods.discovery.tasks import TASKS
from motet.methods.discovery.train import Trainer
from motet.methods.discovery.warm_start import adopt, start, take_over

SMALLEST_BATCH, STEPS = 16, 5  # recipe "small": clips of a batch at least, and steps of an epoch
_CLASSES = ("source_split", "target_split", "source_classes", "target_classes")


def run(
    source: str | Path | MotionArchive,
    target: str | Path | MotionArchive,
    out: str | Path | None = None,
    *,
    clusters: int | None = None,
    recipe: str | Settings | None = None,
    task: str | None = None,
    source_split: str | None = None,
    target_split: str | None = None,
    source_classes: Sequence[int | str] = (),
    target_classes: Sequence[int | str] = (),
    as_released: bool = False,
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Find the classes of an unlabelled archive with the help of a labelled one (CoDT, Liu et al., ECCV 2022).

    Args:
        source: labelled recordings.
        target: recordings whose classes are wanted. Labels, where it has any, only score the result.
        out: run directory to create; without one nothing is kept.
        clusters: how many; estimated after pretraining by default.
        recipe: ``"paper"``, ``"small"`` or :class:`Settings`; by default "small" below 5,000 training clips.
        task: a name of :data:`motet.methods.discovery.TASKS`: splits, classes, clusters and recipe of a known pair of
        sets.
        source_split, target_split: rules of :mod:`motet.data.splits`, by default each archive's standard; a target
        without
            labels, of which nothing can be judged, trains with all its clips.
        source_classes, target_classes: classes that count, by number or name, all by default.
        as_released: follow the released code where it is well defined.
        progress: show progress on stderr.
        **options: fields of :class:`Settings`: ``method="ocm"``, ``epochs=20``, ``seed=1`` …

    Returns:
        What result.json holds: ``rows`` (scores by branch), ``clusters`` (per branch: size, typical clips, neighbours,
        source classes it resembles), ``k``, ``estimated``, ``pretrained`` …

    Raises:
        ConfigError, DataError: nothing has been written then.
        Interrupted: stopped by a signal; the state is saved.
        RunError: ``out`` is in use, or a loss is not finite.
    """
    chosen: dict[str, Any] = {"source_split": source_split, "target_split": target_split}
    archives = _opened(source), _opened(target)
    classes: dict[str, Any] = {
        "source_classes": class_numbers(archives[0], source_classes, "source"),
        "target_classes": class_numbers(archives[1], target_classes, "target"),
    }
    if task is not None:
        if task not in TASKS:
            raise ConfigError(f"there is no task {task!r}; choose from {', '.join(TASKS)}")
        known = TASKS[task]
        chosen = {name: chosen[name] or getattr(known, name) for name in chosen}
        classes = {name: classes[name] or getattr(known, name) for name in classes}
        clusters = clusters or known.clusters
        recipe = recipe or known.settings
        if known.preprocess is not None:
            options.setdefault("preprocess", known.preprocess)
        check_task(task, *archives)
    parts = sides(archives[0], archives[1], **chosen, **classes)
    for archive in archives:
        check_recordings(archive)
    check_pair(*archives, parts.source_classes, classes["target_classes"])
    settings = _settings(recipe, len(parts.train), clusters, as_released, options)
    if settings.start:
        settings = adopt(settings, archives[1])
    elif "preprocess" not in options:
        fits = fitting(settings.preprocess, (*retargetable(*archives), archives[1]))
        settings = replace(settings, preprocess=fits)
    if settings.clusters is not None and settings.clusters > len(parts.train):
        raise ConfigError(
            f"{settings.clusters} clusters of {len(parts.train)} training clips of the target; lower --clusters to at "
            f"most {len(parts.train)}"
        )
    check_size(settings, len(parts.train))
    settings = replace(settings, device=usable(settings.device))
    clips = Clips(*archives, parts, settings.preprocess, settings.device)
    trainer = Trainer(settings, clips, progress=progress)
    if settings.pretrained:
        given = {**chosen, **classes, "source_split": parts.source_split, "target_split": parts.target_split}
        take_over(trainer, given, [a.hash for a in archives])
    elif settings.start:
        start(trainer.discovery, settings)
    folder = None if out is None else Path(out)
    if folder is not None:
        _create(folder, settings, archives, {**chosen, **classes}, clips)
    if progress:
        print(parts.says(archives[1]), file=sys.stderr, flush=True)
    return _finish(trainer, archives, folder)


def resume(
    path: str | Path,
    *,
    source: str | Path | None = None,
    target: str | Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Go on with an interrupted discovery; the result is bit for bit that of an uninterrupted one.

    Args:
        path: run directory.
        source, target: where the archives are now, if they have moved.
        progress: show progress on stderr.

    Raises:
        RunError: no such run, or the archives have changed.
    """
    folder = Path(path)
    config = read_config(folder)
    if (folder / "result.json").exists():
        return read_result(folder)
    archives = _opened(source or config["source"]["path"]), _opened(target or config["target"]["path"])
    for name, archive in zip(("source", "target"), archives, strict=True):
        if archive.hash != config[name]["hash"]:
            raise RunError(f"{archive.path} does not hold the clips that {folder} began with as its {name}")
    settings = settings_from_dict(config["settings"])
    options = {name: config[name] for name in _CLASSES}
    clips = Clips(*archives, sides(archives[0], archives[1], **options), settings.preprocess, settings.device)
    trainer = Trainer(settings, clips, progress=progress)
    checkpoints = sorted((folder / "checkpoints").glob("step-*.pt"))
    if checkpoints:
        trainer.restore(load_checkpoint(checkpoints))
    elif settings.pretrained:
        take_over(trainer, options, [a.hash for a in archives])
    elif settings.start:
        start(trainer.discovery, settings)
    return _finish(trainer, archives, folder)


def read_config(folder: Path) -> dict[str, Any]:
    """Content of a discovery's config.json.

    Raises:
        RunError: the folder is no discovery, or its configuration is damaged.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        if config["kind"] != "discover":
            raise RunError(f"{folder} is a run of another verb; `motet discover --out` makes a discovery")
        config["settings"], config["source"]["path"], config["target"]["path"]
    except OSError as error:
        raise RunError(f"{folder} is not a discovery; `motet discover --out` makes one") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder}/config.json is damaged ({error!r}); discover again") from error
    return config


def read_result(folder: Path) -> dict[str, Any]:
    """Content of a discovery's result.json.

    Raises:
        RunError: it has not finished, or the file is damaged.
    """
    try:
        found: dict[str, Any] = json.loads((folder / "result.json").read_text())
        found["k"], found["clusters"], found["odd_below"]
    except OSError as error:
        raise RunError(f"{folder} has not finished; go on with `motet discover --resume {folder}`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder}/result.json is damaged ({error!r}); discover again") from error
    return found


def _opened(data: str | Path | MotionArchive) -> MotionArchive:
    return data if isinstance(data, MotionArchive) else MotionArchive.open(data)


def _settings(
    recipe: str | Settings | None, clips: int, clusters: int | None, released: bool, options: dict[str, Any]
) -> Settings:
    name = recipe or ("small" if clips < 5000 else "paper")
    if isinstance(name, str) and name not in SETTINGS:
        raise ConfigError(f"there is no recipe {name!r} of discover; choose from {', '.join(SETTINGS)}")
    base = SETTINGS[name] if isinstance(name, str) else name
    if released:
        base = as_released(base)
    if base.name == "small" and isinstance(name, str):
        # a few steps an epoch for the smallest sets too
        base = replace(base, batch_size=min(base.batch_size, max(SMALLEST_BATCH, clips // STEPS)))
    return base.with_options({**options, **({"clusters": clusters} if clusters is not None else {})})


def _create(
    folder: Path, settings: Settings, archives: Sequence[MotionArchive], chosen: dict[str, Any], clips: Clips
) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(
            f"{folder} exists already; go on with `motet discover --resume {folder}` or choose another --out"
        )
    (folder / "checkpoints").mkdir(parents=True)
    write_json(folder / "environment.json", environment())
    told = {
        name: {
            "path": str(archive.path.resolve()),
            "hash": archive.hash,
            "skeleton": archive.skeleton.to_dict(),
            "class_names": archive.class_names,
            "persons": archive.persons,
            "channels": list(archive.channels),
            "units": archive.units,
            "simulated": archive.simulated,
        }
        for name, archive in zip(("source", "target"), archives, strict=True)
    }
    config = {"kind": "discover", "motet": __version__, "settings": settings.to_dict(), **told, **chosen}
    config |= {"source_split": clips.sides.source_split, "target_split": clips.sides.target_split}
    form = clips.meeting
    config["common"] = {
        "skeleton": form.skeleton.to_dict(),
        "channels": list(form.channels),
        "persons": form.persons,
        "scale": form.scale,
    }
    config["known"] = list(clips.sides.source_classes)
    write_json(folder / "config.json", config)


def _finish(trainer: Trainer, archives: Sequence[MotionArchive], out: Path | None) -> dict[str, Any]:
    rows = trainer.train(out)
    clips, settings = trainer.clips, trainer.settings
    found = describe(trainer.discovery, clips, archives[0], archives[1])
    result: dict[str, Any] = {
        "motet": __version__,
        "method": settings.method.name,
        "settings": settings.to_dict(),
        "source": {"name": archives[0].path.stem, "clips": len(clips.sides.source)},
        "target": {"name": archives[1].path.stem, "train": len(clips.train), "judged": len(clips.judged)},
        "simulated": [a.simulated for a in archives],
        "joints": list(clips.meeting.skeleton.canonical),
        "split": {
            "source": clips.sides.source_split,
            "target": clips.sides.target_split,
            "says": clips.sides.says(archives[1]),
        },
        "source_classes": list(clips.sides.source_classes),
        "k": trainer.clusters,
        "estimated": trainer.estimated,
        "pretrained": trainer.pretrained,
        "rows": rows,
        "clusters": found.clusters,
        "odd_below": found.odd_below,
        "environment": environment(),
    }
    if out is not None:
        save_model(out / "model.safetensors", trainer.discovery, found.centres)
        found.table.write_parquet(out / "clusters.parquet")
        found.table.write_csv(out / "clusters.csv")
        (out / "result.md").write_text(report(result) + "\n")
        write_json(out / "result.json", result)
    return result
