"""Features that are at hand: of runs whose models are no stream encoders (discoveries, students, graphs)."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor

from motet.core.errors import ConfigError, MotetNote, MotetWarning
from motet.data.archive import MotionArchive
from motet.data.splits import Split
from motet.data.worn import digest_of
from motet.engine.examples import Examples, Floats
from motet.engine.run import Run
from motet.engine.table import WEIGHTS
from motet.evaluate.baselines import others, untrained
from motet.evaluate.clips import LabelledClips
from motet.evaluate.context import Context
from motet.evaluate.features import Encoded, FeatureSet
from motet.evaluate.streamwise import with_concat

if TYPE_CHECKING:
    from motet.methods.model import Model


class Given:
    """Features of all rows, by stream."""

    def __init__(self, features: Mapping[str, Floats], digest: str = "") -> None:
        self._features = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in features.items()}
        self._digest = digest

    def weights_digest(self) -> str:
        """Digest of the features, which stands for that of the weights."""
        return self._digest

    def centre(self, ids: Tensor) -> dict[str, Tensor]:
        """stream → (n, F) of some rows."""
        return {name: x[ids] for name, x in self._features.items()}

    def crops(self, ids: Tensor, start: Tensor, length: Tensor) -> dict[str, Tensor]:
        """Rows have no crops.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("crops are cut from clips, and this run gives features of whole rows: leave crops at 0")

    def earlier(self) -> list[FeatureSet]:
        """None: checkpoints of these runs hold more than features."""
        return []


class _Joined:
    """All streams of encoders side by side, as each of the streams of a model that has others."""

    def __init__(self, features: Encoded, streams: Sequence[str]) -> None:
        self.features, self.streams = features, streams

    def centre(self, ids: Tensor) -> dict[str, Tensor]:
        """stream → (n, F), the same for all."""
        found = self.features.centre(ids)
        whole = list(with_concat(found, tuple(self.features.model.streams)).values())[-1]
        return dict.fromkeys(self.streams, whole)

    def crops(self, ids: Tensor, start: Tensor, length: Tensor) -> dict[str, Tensor]:
        """As of the model that they stand next to.

        Raises:
            ConfigError: always.
        """
        return Given({}).crops(ids, start, length)

    def earlier(self) -> list[FeatureSet]:
        """None."""
        return []


class _NoClips:
    """Stands where a protocol would find clips."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ConfigError("this protocol reads the clips themselves, and this run gives features of whole rows alone")


def labelled_rows(examples: Examples) -> LabelledClips:
    """Both sides of the rows, with classes counted among those that occur."""
    train, test, labels = examples.train, examples.test, examples.labels
    classes, index = np.unique(labels[np.concatenate([train, test])], return_inverse=True)
    index = index.astype(np.int64)
    names = tuple(examples.class_names[i] for i in classes)
    return LabelledClips(examples.rule, train, test, index[: len(train)], index[len(train) :], names, [*examples.notes])


def context(found: Sequence[Examples], clips: LabelledClips, *, seeds: int, baselines: bool, show: bool) -> Context:
    """The context of the examples of one or several repetitions of a run; baselines are the raw rows and, of clips,
    untrained encoders, random convolutions and weights of the package."""
    first = found[0]
    count = max(seeds, len(found)) if baselines and first.reference else 0
    random, more = _references(first, clips, count) if count else ([], dict)
    return Context(
        method=first.method,
        streams=tuple(first.features),
        archive=cast(Any, _NoClips()),
        store=cast(Any, _NoClips()),
        train=torch.from_numpy(clips.train),
        test=torch.from_numpy(clips.test),
        train_labels=clips.train_labels,
        test_labels=clips.test_labels,
        class_names=clips.class_names,
        learned=cast(Any, [Given(one.features, one.digest) for one in found]),
        random=cast(Any, random),
        raw=cast(Any, [Given(first.raw)] if baselines and first.raw else []),
        baselines=more,
        seeds=seeds,
        show=show,
        called=first.path.resolve().name,
        people=first.people,
        hash=first.hash,
    )


def _references(
    first: Examples, clips: LabelledClips, count: int
) -> tuple[list[_Joined], Callable[[], Mapping[str, Sequence[FeatureSet]]]]:
    """What needs no training, next to features of clips: untrained encoders, and the rest when it is asked for."""
    assert first.reference is not None
    (model, name), archive = first.reference, MotionArchive.open(first.path)
    store, train = model.store(archive, np.concatenate([clips.train, clips.test])), torch.from_numpy(clips.train)
    streams = tuple(first.features)

    def joined(encoders: Model) -> _Joined:
        return _Joined(Encoded(encoders, store, archive_hash=digest_of(archive)), streams)

    @cache
    def more() -> Mapping[str, Sequence[FeatureSet]]:
        made = others(model, store, train, archive, None, count)()
        sets: dict[str, Sequence[FeatureSet]] = {
            kind: [_Joined(cast(Any, one), streams) for one in several] for kind, several in made.items()
        }
        return sets | ({f"{WEIGHTS}{name}": [joined(model)]} if name else {})

    return [joined(untrained(model, store, train, seed)) for seed in range(count)], more


@dataclass(frozen=True)
class Ready:
    """What is evaluated: the protocols' context, and what the file says of runs and recordings.

    Attributes:
        context: for the protocols.
        clips: both sides.
        name: of the files.
        runs: directory, recipe and seed of every run.
        archive: path, hash, clips, licence, simulated.
        fewer: the same clips without copies, where that was asked for.
        embeds: weights whose untrained encoders `motet embed` gives, where the run has none; ``""``: none.
        supervised: whether the runs were trained with labels of the recordings (``class_views``).
    """

    context: Context
    clips: LabelledClips
    name: str
    runs: list[dict[str, Any]]
    archive: dict[str, Any]
    fewer: LabelledClips | None = None
    supervised: bool = False
    embeds: str | None = None


def ready(
    runs: Sequence[Run],
    models: Sequence[Any],
    data: str | Path | MotionArchive | None,
    split: str | Split | None,
    *,
    seeds: int,
    baselines: bool,
    show: bool,
) -> Ready:
    """Models that are no stream encoders, on labelled rows.

    Raises:
        ConfigError: a split of rows instead of the name of a rule, or runs that do not repeat one training.
    """
    if isinstance(split, Split):
        raise ConfigError(f"a run of `motet {runs[0].verb}` is evaluated by the name of a rule, not by a split of rows")
    where = data.path if isinstance(data, MotionArchive) else data
    found = [model.examples(run, where, split) for run, model in zip(runs, models, strict=True)]
    first = found[0]
    for run, other in zip(runs[1:], found[1:], strict=True):
        if (other.hash, other.method, *other.train) != (first.hash, first.method, *first.train):
            raise ConfigError(
                f"{run.path} differs from {runs[0].path} in method, data or split; evaluate together only repetitions "
                "of one training"
            )
    clips = labelled_rows(first)
    say(clips, runs, ())
    name = "evaluation" if len(runs) == 1 else f"evaluation-of-{len(runs)}-runs"
    if data is not None or split is not None:
        name += f"-on-{first.path.resolve().stem}-{short(f'{first.hash} {first.rule}')}"
    described = [{"path": str(r.path), "recipe": first.method, "seed": getattr(r.recipe, "seed", 0)} for r in runs]
    made = context(found, clips, seeds=seeds, baselines=baselines, show=show)
    return Ready(
        made, clips, name, described, facts_of(first, len(first.names)), embeds=(first.reference or (None, ""))[1]
    )


def say(clips: LabelledClips, runs: Sequence[Run], changes: Sequence[str]) -> None:
    """What a reader must know, in the file and as warnings."""
    for each in runs:
        if not each.finished:
            clips.notes.append(f"{each.path} has not finished: evaluated after the last checkpoint, not the last epoch")
    for note in clips.notes:
        warnings.warn(note, MotetNote if note in changes else MotetWarning, stacklevel=4)


def facts_of(source: MotionArchive | Examples, count: int) -> dict[str, Any]:
    """What an evaluation says of its recordings."""
    return {
        "path": str(source.path),
        "hash": source.hash,
        "clips": count,
        "licence": source.licence,
        "simulated": source.simulated,
    }


def short(text: str) -> str:
    """Eight digits that stand for a text in the name of a file."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def check(
    names: Sequence[str], takes: Sequence[str], run: Run, *, without_copies: bool = False, centre_by: str | None = None
) -> None:
    """Refuse protocols that need more than features.

    Raises:
        ConfigError: names the protocols that the run can be evaluated by.
    """
    if without_copies:
        raise ConfigError(f"copies are found among clips, and a run of `motet {run.verb}` is evaluated on rows")
    if centre_by is not None:
        raise ConfigError(
            f"--centre-by takes a column of clips, and a run of `motet {run.verb}` is evaluated on rows; leave it out"
        )
    for name in names:
        if name not in takes:
            raise ConfigError(
                f"{name} trains on or encodes clips, and a run of `motet {run.verb}` gives features of whole rows; "
                f"evaluate {run.path} by {', '.join(takes)}"
            )
