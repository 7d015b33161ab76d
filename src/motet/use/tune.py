"""Settings of a pretraining, chosen on held-out training people; what is best becomes a recipe file.

Part of the training people is held out, and no test clip is read. Settings are tried one at a time: each value is
trained on the other people and scored by kNN and ridge regression on those held out, and stays if it is better than the
best so far. Every trial is written down, so that the same command continues where it was stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from motet._version import __version__
from motet.core.errors import ConfigError, Interrupted, RunError
from motet.core.files import write_json
from motet.core.progress import clock, say
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.splits import Split, validation
from motet.engine.identity import identity
from motet.evaluate.ridge import Ridge
from motet.evaluate.streamwise import with_concat
from motet.methods.fitting import fit_to_steps
from motet.methods.learner import Pretraining
from motet.methods.material import material
from motet.methods.pretrain import resolve, rule_wanted, start_of, trainer_of
from motet.methods.recipe import Recipe, option_names
from motet.methods.start import FRESH, Start
from motet.metrics.knn import knn_accuracy

SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "steps": (600,),
    "crop_minimum": (0.7, 0.3),
    "bones": (0.0, 0.35),
    "negatives": ("person",),
    "temperature": (0.07, 0.2),
    "shear": (0.15, 0.5),
    "speed": (0.0, 0.25),
    "lr": (1e-3, 4e-3),
    "key_momentum": (0.97, 0.995),
    "width": (96,),
    "noise": (0.0, 0.05),
    "distill_weight": (0.5, 2.0),
    "hidden_share": (0.4, 0.75),
}
"""what is tried where a recipe has the option, the most promising first."""
STATE, RECIPE = "tuning.json", "recipe.json"


@dataclass(frozen=True)
class Trial:
    """One setting.

    Attributes:
        changes: options that differ from the recipe.
        knn, ridge: accuracy on the held-out people, a fraction.
        seconds: how long it took.
    """

    changes: Mapping[str, Any]
    knn: float
    ridge: float
    seconds: float

    @property
    def score(self) -> float:
        """What is compared: the mean of both."""
        return fmean((self.knn, self.ridge))


@dataclass(frozen=True)
class Tuned:
    """What :func:`tune` found.

    Attributes:
        recipe: the best as a recipe, to be trained on all training people.
        best: its trial; its score chose it, so it is a little too good.
        first: the trial of the recipe as it came.
        trials: all.
        path: the recipe file.
        start: what the encoders started from, which the file says, too; None: new encoders.
    """

    recipe: Recipe
    best: Trial
    first: Trial
    trials: Sequence[Trial]
    path: Path
    start: str | None = None


def tune(
    recipe: str,
    data: str | Path | MotionArchive,
    out: str | Path,
    *,
    trials: int = 12,
    fraction: float = 0.3,
    settings: Mapping[str, Sequence[Any]] | None = None,
    start: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> Tuned:
    """Try settings of a recipe on held-out training people and keep the best as a file.

    Args:
        recipe: its name, or a recipe file.
        data: archive with labels.
        out: folder for ``tuning.json`` (every trial) and ``recipe.json``; one that holds the same search continues.
        trials: how many settings are tried next to the recipe itself.
        fraction: share of the training clips whose people are held out.
        settings: values to try, by option; :data:`SETTINGS` by default.
        start: what the encoders start from, as of :func:`motet.pretrain`: by default a small recipe starts from the
            weights of the package that read the recordings, unless a setting speaks of the encoder; ``"none"``: new
            encoders.
        progress: show on stderr what is tried and the time left.
        **options: fixed options of the recipe, ``split`` among them.

    Raises:
        ConfigError: no labels on the training side, or an option that the recipe has not.
        RunError: the folder holds another search.
        Interrupted: stopped; what was tried is kept.
    """
    archive = MotionArchive.open(data)
    if trials < 1:
        raise ConfigError(f"trials is {trials}; it must be at least 1")
    begin = start_of(recipe, [archive], start, {**(settings or {}), **options, "companions": None})
    with material([archive], begin, rule_wanted(recipe, options)) as (made, _):
        base, parts = resolve(recipe, made, options, start=begin)
        given = _settings(recipe, base, settings, options, begin)
        held = validation(parts, made, fraction, base.seed)
        if (made.labels[held.train] < 0).all() or (made.labels[held.test] < 0).all():
            raise ConfigError(f"{archive.path}: no training clip is labelled, and settings need labels")
        facts = _facts(base, archive, held, given, begin)
        search = _Search(Path(out), base, made, held, facts, begin, show=progress)
        found = search.run(trials, given, lambda more: _resolved(recipe, made, held, {**options, **more}, begin))
        best = max(found, key=lambda trial: trial.score)  # the first of equals: fewer changes
        chosen, _ = resolve(recipe, made, {**options, **best.changes}, start=begin)
    kept = chosen if "split" in options else chosen.with_options({"split": None})
    path = Path(out) / RECIPE
    place = FRESH if begin is None else begin.place
    write_json(path, {"motet": __version__, "recipe": kept.to_dict(), "start": place})
    return Tuned(kept, best, found[0], found, path, None if begin is None else begin.name)


def _settings(
    recipe: str,
    base: Recipe,
    settings: Mapping[str, Sequence[Any]] | None,
    options: Mapping[str, Any],
    start: Start | None,
) -> Mapping[str, Sequence[Any]]:
    """What is tried: of the usual settings those that the recipe has; a start has its own encoder."""
    names = option_names(base)
    unknown = [name for name in settings or () if name not in names]
    if unknown:
        raise ConfigError(
            f"{base.recipe} has no option {unknown[0]!r} to try; `motet pretrain {recipe} --help` lists all"
        )
    fixed = {*options, *(() if start is None else base.encoder.keywords)}
    if "epochs" in options:
        fixed.add("steps")  # which would say the length of the training in their place
    return settings or {name: values for name, values in SETTINGS.items() if name in names and name not in fixed}


def _facts(
    base: Recipe, archive: MotionArchive, held: Split, settings: Mapping[str, Sequence[Any]], start: Start | None
) -> dict[str, Any]:
    """What decides a search."""
    known = identity(archive)
    return {
        "recipe": base.to_dict(),
        "data": {k: known[k] for k in ("path", "hash", "columns")},
        "split": held.name,
        "held_out": held.description,
        "clips": [len(held.train), len(held.test)],
        "settings": {name: list(values) for name, values in settings.items()},
        "start": None if start is None else start.name,
    }


def _resolved(
    recipe: str, archive: MotionArchive, held: Split, options: Mapping[str, Any], start: Start | None
) -> Recipe:
    """The recipe of a trial, in the size that the people who are left allow."""
    made, _ = resolve(recipe, archive, options, start=start)
    count = len(held.train)
    made = made.with_options({"batch_size": min(made.batch_size, count), "monitor_every": 10**9})
    return fit_to_steps(made, count) if made.steps else made


class _Search:
    """A search and its file."""

    def __init__(
        self,
        out: Path,
        base: Recipe,
        archive: MotionArchive,
        held: Split,
        facts: Mapping[str, Any],
        start: Start | None,
        *,
        show: bool,
    ) -> None:
        self.out, self.base, self.archive, self.held, self.start, self.show = out, base, archive, held, start, show
        self.facts = json.loads(json.dumps(facts))
        self.done = self._read()

    def _read(self) -> list[Trial]:
        path = self.out / STATE
        if not path.exists():
            if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
                raise RunError(f"{self.out} exists already and holds no search; choose another --out")
            return []
        try:
            stored = json.loads(path.read_text())
            found = [Trial(**trial) for trial in stored.pop("trials")]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunError(f"{path} is damaged ({error!r}); choose another --out") from error
        if stored != {"motet": __version__, **self.facts}:
            raise RunError(f"{self.out} holds another search (other data, recipe or settings); choose another --out")
        return found

    def run(self, trials: int, settings: Mapping[str, Sequence[Any]], resolved: Any) -> list[Trial]:
        """The recipe itself, then one setting after the other; trials that are done are taken from the file."""
        found: list[Trial] = []
        planned = min(trials, sum(map(len, settings.values()))) + 1
        steps = self._changes(found, settings)
        for number in range(planned):
            changes = next(steps, None)
            if changes is None:
                break
            known = next((t for t in self.done if dict(t.changes) == json.loads(json.dumps(changes))), None)
            if known is None:
                known = self._trial(changes, resolved(changes))
                self.done.append(known)
                self._write()
            found.append(known)
            self._say(found, planned - number - 1)
        return found

    def _changes(self, found: list[Trial], settings: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
        """What each trial changes: the best so far and one value more."""
        yield {}
        current = self.base.flat()
        for name, values in settings.items():
            for value in values:
                if value != current[name]:
                    best = max(found, key=lambda trial: trial.score)
                    yield {**best.changes, name: value}

    def _trial(self, changes: Mapping[str, Any], recipe: Recipe) -> Trial:
        began = time.monotonic()
        trainer = trainer_of(recipe, self.archive, self.held, progress=False, start=self.start)
        try:
            trainer.fit(None)
        except Interrupted as error:
            kept = f"stopped with {counted(len(self.done), 'trial')} kept; the same command continues from there"
            stopped = Interrupted(kept)
            stopped.status = error.status
            raise stopped from error
        learner = trainer.learner
        assert isinstance(learner, Pretraining)
        model = learner.model()
        sides, labels = [], []
        for ids in (self.held.train, self.held.test):
            known = ids[self.archive.labels[ids] >= 0]
            store = model.store(self.archive, known)
            sides.append(list(with_concat(model.encode(store, store.ids), model.streams).values())[-1])
            labels.append(self.archive.labels[known])
        people = self.archive.clips["subject"].fill_null(-1).to_numpy()[self.held.train]
        groups = people[self.archive.labels[self.held.train] >= 0]
        near = knn_accuracy(sides[0], labels[0], sides[1], labels[1])
        fitted = Ridge.fit(sides[0], labels[0], groups=groups)
        right = float((fitted.predict(sides[1]) == labels[1]).mean())
        return Trial(dict(changes), near, right, time.monotonic() - began)

    def _write(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(self.out / STATE, {"motet": __version__, **self.facts, "trials": [vars(t) for t in self.done]})

    def _say(self, found: Sequence[Trial], more: int) -> None:
        if not self.show:
            return
        last, best = found[-1], max(found, key=lambda trial: trial.score)
        left = clock(fmean(t.seconds for t in found) * more)
        say(f"{shown(last.changes)}: {scores(last)}  (best {scores(best)}; {left} left)")


def shown(changes: Mapping[str, Any]) -> str:
    """Changes as options of a command line."""
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in changes.items()) or "as it is"


def scores(trial: Trial) -> str:
    """A trial's two accuracies, percent."""
    return f"kNN {100 * trial.knn:.1f} ridge {100 * trial.ridge:.1f}"
