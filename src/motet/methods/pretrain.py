"""Pretraining from a call: what is trained on what, in which directory, once or with several seeds.

The loop itself is :mod:`motet.engine.trainer`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from motet.core.earlier import accepts
from motet.core.errors import ConfigError, MotetNote, MotetWarning, RunError
from motet.core.options import differences
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.inspection.mixed import warn_mixed
from motet.data.loader import warn_cut_off
from motet.data.preprocess import WHOLE, check_method
from motet.data.skeletons import coordinates
from motet.data.splits import Split, default_rule, split
from motet.data.together import Sets, check_pictures, same_skeleton
from motet.data.worn import note_of
from motet.engine.forms import ClipsConfig
from motet.engine.identity import changes, columns
from motet.engine.options import INCIDENTAL, as_started
from motet.engine.run import Run, repeated
from motet.engine.trainer import Trainer
from motet.methods import recipes
from motet.methods.fitting import described_views, fit_to_layout, fit_to_size, fit_to_steps, is_small
from motet.methods.learner import Pretraining, create_run
from motet.methods.material import described, material, opened, sources_of, stored_sources
from motet.methods.model import Model
from motet.methods.positives import check_people, labels_note, neighbours_note, people
from motet.methods.recipe import Recipe, recipe_from_dict
from motet.methods.sensors import Archives, Companion, find_companions, fitted, same_sides
from motet.methods.start import FRESH, Start

Data = str | Path | MotionArchive | Sequence[str | Path | MotionArchive]
"""An archive, or several that train together."""

KIND = "pretrain"
CONFIG, RESULT = ClipsConfig, dict[str, Any]
WEIGHTS = ("model.safetensors",)
"""files of a run that its model is made of, besides config.json; patterns"""


def resolve(
    recipe: str | Recipe,
    archive: MotionArchive,
    options: Mapping[str, Any],
    *,
    start: Start | None = None,
    sets: Sets | None = None,
) -> tuple[Recipe, Split]:
    """The recipe as it will run on an archive, and the clips that train and test.

    A bare name takes the size that fits the number of training clips. Changing ``epochs`` moves the recipe's
    milestones in proportion unless they are given too. A small recipe fits itself to the data
    (:mod:`motet.methods.fitting`).

    Args:
        recipe: name, or a recipe.
        archive: recordings.
        options: what was asked for by name.
        start: encoders to start from; they decide the encoder, the preprocessing and the frames.
        sets: where the archive is several joined ones.

    Raises:
        ConfigError: unknown recipe or option, or a split that this archive cannot give.
    """
    if isinstance(recipe, str) and recipes.is_file(recipe):
        recipe = recipes.get(recipe)  # what it holds was chosen, and is not fitted to the layout again
    if sets is None:
        rule: str | None = str(options.get("split") or _rule_of(recipe) or default_rule(archive))
        parts = split(archive, str(rule))
    else:
        rule, parts = sets.parts.name or None, sets.parts
    size = len(parts.train) if start is None else None  # to start from weights is for small sets
    base = recipe if isinstance(recipe, Recipe) else recipes.get(recipe, size)
    # an own recipe keeps its values, but what needs space cannot be had of an image
    if is_small(base) and (isinstance(recipe, str) or len(archive.channels) < 3):
        live = options.get("causal") or (options.get("encoder") == "gru" and options.get("mode") != "bidirectional")
        base = fit_to_layout(base, archive, parts, named=isinstance(recipe, str), live=bool(live))
    if options.get("as_released"):
        base = recipes.as_released(base)
    bare = options.get("causal") or not options.get("whiten", True)
    without = {"statistics": False} if bare else {}  # no whole clips, or nothing that brings units together
    result = as_started(base.with_options({**without, **options, "split": rule}), options)
    if start is None and options.get("neighbour_views"):
        raise ConfigError(
            "neighbours are found by the features of a start; give one (--start body), or no --neighbour-views"
        )
    if start is not None:
        named = options if isinstance(recipe, str) else {"streams": recipe.streams, **options}
        result = _with_neighbours(start.fitted(result, named), archive, parts, sets, options)
    if "epochs" in options and "milestones" not in options and base.epochs:
        moved = tuple(round(m * result.epochs / base.epochs) for m in base.optimiser.milestones)
        result = result.with_options({"milestones": moved})
    drawn = len(parts.train) if sets is None else sum(sets.shares(result.set_weights))  # in an epoch
    if is_small(result):
        result = fit_to_size(result, drawn, options, named=isinstance(recipe, str))
    if result.steps:
        result = fit_to_steps(result, drawn)
    if result.as_released:  # what the released code derives from the queue follows the queue in force
        queue = result.method.flat().get("queue_size", 0)
        before, after = vars(base.method), vars(base.method.with_queue(queue))
        result = result.with_options({n: v for n, v in after.items() if v != before[n] and n not in options})
    _check_sizes(result, drawn)
    return result, parts


def _with_neighbours(
    recipe: Recipe, archive: MotionArchive, parts: Split, sets: Sets | None, options: Mapping[str, Any]
) -> Recipe:
    """The recipe without views of neighbours where no two people are known, or views by class were asked for."""
    if not recipe.neighbour_views:
        return recipe
    try:
        if recipe.class_views:
            raise ConfigError("second views come from clips of the class or from neighbours; leave one of them out")
        check_people(people(archive, torch.as_tensor(parts.train), sets))
    except ConfigError:
        if "neighbour_views" in options:
            raise
        return recipe.with_options({"neighbour_views": 0.0})
    return recipe


def _neighbours_wanted(recipe: Recipe, start: Start, options: Mapping[str, Any]) -> bool:
    """Whether neighbours are used, or would be by default if people were known."""
    return bool(recipe.neighbour_views or options.get("neighbour_views", start.model.recipe.neighbour_views))


def _rule_of(recipe: str | Recipe) -> str | None:
    return recipe.split if isinstance(recipe, Recipe) else recipes.get(recipe).split


def _check_sizes(recipe: Recipe, clips: int) -> None:
    batch, processes = recipe.batch_size, recipe.loop.processes
    if batch % processes:
        raise ConfigError(
            f"batch_size {batch} cannot be shared by {counted(processes, 'process')}; try --batch-size "
            f"{max(1, batch // processes) * processes}"
        )
    if batch > clips:
        raise ConfigError(
            f"batch_size {batch} is larger than the {counted(clips, 'clip')} of an epoch; lower --batch-size"
        )
    recipe.method.check_sizes(clips, batch)


FEW_STEPS = 4
"""steps an epoch below which a training is warned that its batches are large for its clips."""


def _warn_left_out(recipe: Recipe, clips: int, chosen: bool) -> None:
    """Warn where epochs of few steps say how long it trains, or more than a quarter of the clips is left out.

    Not of the batch of a recipe (``chosen``: it was given) that counts steps: each epoch leaves out other clips. Nor
    where nothing is trained (no epochs).
    """
    if not recipe.epochs or (recipe.steps and not chosen):
        return
    batch = recipe.batch_size
    steps, left = divmod(clips, batch)
    if (steps >= FEW_STEPS or recipe.steps) and left <= clips / 4:
        return
    smaller = 1 << max(0, (clips // FEW_STEPS).bit_length() - 1)  # the power of two that gives as many steps
    hint = f"; try --batch-size {smaller}" if 1 < smaller < batch and smaller % recipe.loop.processes == 0 else ""
    unused = f", {left} of {counted(clips, 'clip')} unused in each" if left else ""
    warnings.warn(
        f"{counted(steps, 'step')} an epoch with batches of {batch}{unused}{hint}",
        MotetWarning,
        stacklevel=4,
    )


@accepts(beside="companions")
def pretrain(
    recipe: str | Recipe,
    data: Data,
    out: str | Path,
    *,
    start: str | PathLike[str] | None = None,
    companions: Archives | None = None,
    pair_by: Sequence[str] = ("name",),
    progress: bool = True,
    **options: Any,
) -> Run:
    """Pretrain on the training clips of an archive, or of several.

    Args:
        recipe: name (``"cmd"``, ``"moco/small"``, ``"cmd/ntu60-xsub"`` …) or a :class:`motet.methods.recipe.Recipe`.
        data: archive; several are joined by the names of their joints and each keeps its own split, and
            ``set_weights`` says how often each is drawn from.
        out: run directory to create.
        start: run, its directory, folder of weights or name of weights (``"body"``, …) whose encoders the training
            starts from; recordings are brought to their layout. By default a small recipe, named as text, starts
            from the weights of the package that read the recordings, unless an option of encoder, preprocessing or
            frames is given; ``"none"``: new encoders.
        companions: archives of other sensors that recorded the same performances, by the name that streams give them
            (``streams=("joint", "vicon:joint")``); what recorded next to the skeletons of ``data`` needs none.
        pair_by: columns of the clips tables that name a performance in all of them.
        progress: show progress on stderr.
        **options: any option of the recipe by its name: ``epochs=20``, ``seed=1``, ``split="odd-even"``, ``hidden=64``,
            ``teachers="consensus"`` …

    Returns:
        The finished run.

    Raises:
        ConfigError, DataError: nothing has been written then; also where the start does not fit recipe or recordings.
        Interrupted: stopped by SIGINT or SIGTERM; the state is saved.
        RunError: the loss is not finite; names term, step and clips. The last checkpoint stays.
    """
    sources = opened(data)
    begin = start_of(recipe, sources, start, {**options, "companions": companions})
    Run(Path(out)).check_free()
    with material(sources, begin, rule_wanted(recipe, options)) as (archive, sets):
        resolved, parts = resolve(recipe, archive, _of_several(sources, archive, options), start=begin, sets=sets)
        check_pictures(sources, resolved.preprocess)
        drawn = len(parts.train) if sets is None else sum(sets.shares(resolved.set_weights))
        _warn_left_out(resolved, drawn, "batch_size" in options)
        if parts.warning:
            warnings.warn(parts.warning, MotetWarning, stacklevel=3)
        for source in sources:
            warn_cut_off(source, archive.fps)
            warn_mixed(source, sized=resolved.preprocess in WHOLE)
        views = described_views(resolved, archive, parts)
        if views:
            warnings.warn(views, MotetNote, stacklevel=3)
        found = find_companions(_recorded(sources, archive), resolved.streams, companions, pair_by)
        for companion in found.values():
            same_sides(parts, companion)
        resolved = fitted(resolved, found, options)
        for name, companion in found.items():
            if said := note_of(resolved.for_sensor(name).preprocess, companion.archive):
                warnings.warn(f"{name}: {said}", MotetNote, stacklevel=3)
        trainer = trainer_of(resolved, archive, parts, sensors=found, progress=progress, start=begin, sets=sets)
        if resolved.class_views:
            warnings.warn(labels_note(archive.labels[parts.train]), MotetNote, stacklevel=3)
        elif progress and begin is not None and _neighbours_wanted(resolved, begin, options):
            others: Any = trainer.learner.others
            note = neighbours_note(people(archive, torch.as_tensor(parts.train), sets), others, resolved)
            if note:
                warnings.warn(note, MotetNote, stacklevel=3)
        facts = described(sources, archive, sets, parts) | ({} if begin is None else begin.facts)
        if found:
            facts["sensors"] = {name: _described(companion) for name, companion in found.items()}
            facts["pair_by"] = list(pair_by)
        run = create_run(out, resolved, archive, facts)
        trainer.fit(run)
    return run


def start_of(
    recipe: str | Recipe,
    sources: Sequence[MotionArchive],
    start: str | PathLike[str] | None,
    options: Mapping[str, Any],
) -> Start | None:
    """What was asked for, what a recipe file names, or the usual start of a recipe known by its name."""
    if start is None and isinstance(recipe, str) and recipes.is_file(recipe):
        start = recipes.start_of_file(recipe)
        if start not in (None, FRESH):
            begin = _named(start, recipe)
            said = f"starts from {start}, which {recipe} names (--start names another)"
            warnings.warn(said, MotetNote, stacklevel=4)
            return begin
    if start is not None:
        return None if start == FRESH else Start.open(start)
    if not isinstance(recipe, str) or recipes.is_file(recipe) or options["companions"]:
        return None
    size = sum(len(split(source, rule_wanted(recipe, options) or default_rule(source)).train) for source in sources)
    base = recipes.get(recipe, size)
    found = Start.usual(base, sources, options) if base.recipe.endswith("/small") else None
    if found is not None:
        most = max(source.persons for source in sources)
        said = f"starts from the weights {found.name}, which read these recordings; --start {FRESH} trains new encoders"
        warnings.warn(said + f" on all {most} of a clip" * (most > found.model.persons), MotetNote, stacklevel=4)
    return found


def _named(start: str, recipe: str) -> Start:
    try:
        return Start.open(start)
    except RunError as error:
        raise RunError(f"{recipe} names a start that is not there (--start names another): {error}") from error


def rule_wanted(recipe: str | Recipe, options: Mapping[str, Any]) -> str | None:
    return options.get("split") or _rule_of(recipe)


def _of_several(
    sources: Sequence[MotionArchive], archive: MotionArchive, options: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Options with what different layouts need: bodies of one size and heading, hands of one size, where these are
    known."""
    if len(sources) == 1 or same_skeleton(sources) or "preprocess" in options:
        return options
    form = "hand" if archive.skeleton.kind == "hand" else "body"
    try:
        check_method(form, archive.skeleton, coordinates(archive.channels))
    except ConfigError:
        return options
    return {**options, "preprocess": form}


def _recorded(sources: Sequence[MotionArchive], archive: MotionArchive) -> MotionArchive:
    """Where other sensors are looked for: in the recordings as they were named, if it is one archive."""
    return sources[0] if len(sources) == 1 else archive


def trainer_of(
    recipe: Recipe,
    archive: MotionArchive,
    parts: Split,
    *,
    sensors: Mapping[str, Companion] | None = None,
    progress: bool = True,
    start: Start | None = None,
    sets: Sets | None = None,
) -> Trainer:
    """The loop of a pretraining, before its first step."""
    return Trainer(
        lambda device: Pretraining(recipe, archive, parts, device, sensors, start=start, sets=sets),
        recipe.loop,
        progress=progress,
    )


def options(run: Run) -> Recipe:
    """The recipe of a run."""
    return recipe_from_dict(run.config["recipe"])


def load(run: Run, device: Any = "cpu") -> Model:
    """The encoders of a run: the final weights, or the latest checkpoint's if it has not finished."""
    return Model.from_run(run, device)


def _described(companion: Companion) -> dict[str, Any]:
    """What config.json says about a sensor."""
    return {
        "path": None if companion.included else str(companion.archive.path.resolve()),
        "hash": companion.archive.hash,
        "columns": columns(companion.archive),
        "skeleton": companion.archive.skeleton.name,
        "lacking": int((companion.rows < 0).sum()),
    }


@accepts(beside="companions")
def resume(
    path: str | PathLike[str],
    *,
    data: str | Path | None = None,
    companions: Archives | None = None,
    devices: int | None = None,
    progress: bool = True,
) -> Run:
    """Continue an interrupted pretraining; the result is bit for bit that of an uninterrupted one.

    Args:
        path: run or its directory.
        data: where the archive is now, if it has moved.
        companions: where archives of other sensors are now, if they have moved.
        devices: processes on this machine, if not as many as before: the same training but for rounding.
        progress: show progress on stderr.

    Raises:
        RunError: no run directory, or its data set has changed.
    """
    run = Run.open(path, "pretrain")
    if run.finished:
        return run
    given = {} if devices is None else {"devices": devices}
    recipe = as_started(run.recipe.with_options(given), given)
    sources = sources_of(run, data)
    begin = Start.of_run(run)
    with material(sources, begin, run.recipe.split) as (archive, sets):
        parts = split(archive, run.split) if sets is None else sets.parts
        _check_sizes(recipe, len(parts.train))
        found = _companions_of(run, _recorded(sources, archive), companions)
        with run.room():
            trainer = trainer_of(recipe, archive, parts, sensors=found, progress=progress, start=begin, sets=sets)
        trainer.resume(run)
        trainer.fit(run)
    return run


def _companions_of(run: Run, archive: MotionArchive, companions: Archives | None) -> dict[str, Companion]:
    """The sensors that a run began with.

    Raises:
        RunError: the recordings of one are not those any more.
    """
    stored = run.config.get("sensors", {})
    places = {name: entry["path"] for name, entry in stored.items() if entry["path"] is not None} | dict(
        companions or {}
    )
    found = find_companions(archive, run.recipe.streams, places, run.config.get("pair_by", ("name",)))
    for name, companion in found.items():
        differ = changes(stored[name], companion.archive)
        if differ:
            raise RunError(
                f"{companion.archive.path} does not hold what the sensor {name} had recorded when {run.path} began: "
                f"{', '.join(differ)} changed"
            )
    return found


@accepts(beside="companions")
def train_seeds(
    recipe: str | Recipe,
    data: Data,
    out: str | Path,
    seeds: Sequence[int],
    *,
    start: str | PathLike[str] | None = None,
    companions: Archives | None = None,
    pair_by: Sequence[str] = ("name",),
    progress: bool = True,
    **options: Any,
) -> list[Run]:
    """Pretrain once per seed into ``out/seed-<n>``; finished runs are kept, interrupted ones resumed.

    Raises:
        RunError: a run of that seed is there already, but of another training.
    """
    shared: dict[str, Any] = {"companions": companions, "progress": progress}
    sources = opened(data)
    place = sources[0].path if len(sources) == 1 else None
    return repeated(
        out,
        seeds,
        lambda seed, folder: pretrain(
            recipe, sources, folder, start=start, pair_by=pair_by, **shared, **{**options, "seed": seed}
        ),
        lambda run, seed: _check_same(run, recipe, sources, {**options, "seed": seed}, companions, pair_by, start),
        lambda run: resume(run.path, data=place, **shared),
    )


def _check_same(
    run: Run,
    recipe: str | Recipe,
    sources: Sequence[MotionArchive],
    options: Mapping[str, Any],
    companions: Archives | None,
    pair_by: Sequence[str],
    start: str | PathLike[str] | None,
) -> None:
    """Refuse to take a run for the training that was asked for when it is another one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MotetNote)
        begin = start_of(recipe, sources, start, {**options, "companions": companions})
    with warnings.catch_warnings(), material(sources, begin, rule_wanted(recipe, options)) as (archive, sets):
        warnings.simplefilter("ignore", MotetWarning)  # the run reported them when it began
        wanted, _ = resolve(recipe, archive, _of_several(sources, archive, options), start=begin, sets=sets)
        there = _recorded(sources, archive)
        wanted = fitted(wanted, find_companions(there, wanted.streams, companions, pair_by), options)
    differ = differences(wanted, run.recipe, ignored=INCIDENTAL)
    kept = stored_sources(run)
    if len(kept) != len(sources) or any(changes(k, a) for k, a in zip(kept, sources, strict=True)):
        named = ", ".join(str(a.path) for a in sources)
        differ.append(f"it was trained on {', '.join(k['path'] for k in kept)}, not on the clips of {named}")
    if run.config.get("start") != (None if begin is None else begin.place):
        differ.append(f"it started from {run.config.get('start', 'fresh encoders')}")
    elif begin is not None and run.config.get("start_digest", begin.digest) != begin.digest:
        differ.append(f"it started from other weights {begin.name}")
    if differ:
        raise RunError(f"{run.path} holds another training ({'; '.join(differ)}); choose another --out or remove it")
