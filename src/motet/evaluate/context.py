"""What every protocol is given: the clips, their labels and the feature sets to evaluate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.progress import tracked
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore
from motet.data.worn import digest_of
from motet.engine.hub import FOLDER
from motet.engine.table import FRESH, RANDOM, RAW, ROCKET, Row, is_baseline
from motet.evaluate.baselines import others, untrained
from motet.evaluate.centred import Centred
from motet.evaluate.clips import LabelledClips
from motet.evaluate.features import Encoded, FeatureSet, Raw
from motet.evaluate.parts import Parts
from motet.evaluate.probe import fusion_weight

if TYPE_CHECKING:
    from motet.engine.run import Run
    from motet.methods.model import Model

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """One evaluation.

    Attributes:
        method: name of what was learned, the ``features`` of its rows.
        streams: stream names.
        archive: the recordings.
        store: all clips of both sides.
        train, test: archive rows, int64 on the CPU.
        train_labels, test_labels: class indices into ``class_names``.
        class_names: the K classes that occur.
        learned: one feature set per run.
        random: untrained encoders, one per initialisation; empty without baselines.
        raw: one raw feature set, or none.
        baselines: gives further features that need no training, by their name in tables: random convolutions, one set
            per initialisation, for sensors statistics and spectrum, and the weights of the package that read the
            recordings. Made when a protocol first asks for them.
        seeds: number of probe seeds.
        frames: frames that an encoder sees.
        small: whether the recipe is one for hundreds or thousands of clips; options left open follow it.
        device: where features live.
        show: whether to show progress.
        notes: what a protocol found that a reader must know; it may append.
        records: what a protocol wants kept next to its rows (clips that it drew …), any JSON; it may add.
        called: name of the archive in tables; ``archive`` may be a copy in the layout of the encoders.
        parts: what a protocol has finished already, if it was interrupted.
        without_copies: test clips that are copies of training clips are left out, of other archives too.
        people: (N,) whom each archive row is of, -1 where unknown; None where nothing is known of it.
        hash: digest of the recordings.
        preprocess: how the encoders' clips were preprocessed.
    """

    method: str
    streams: tuple[str, ...]
    archive: MotionArchive
    store: ClipStore
    train: Tensor
    test: Tensor
    train_labels: npt.NDArray[np.int64]
    test_labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    learned: Sequence[Encoded]
    random: Sequence[Encoded] = ()
    raw: Sequence[Raw] = ()
    baselines: Callable[[], Mapping[str, Sequence[FeatureSet]]] = dict
    seeds: int = 1
    frames: int = 64
    small: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    show: bool = False
    notes: list[str] = field(default_factory=list)
    records: dict[str, Any] = field(default_factory=dict)
    called: str = ""
    parts: Parts = field(default_factory=Parts)
    without_copies: bool = False
    people: npt.NDArray[np.int64] | None = None
    hash: str = ""
    preprocess: str = ""

    @classmethod
    def build(
        cls,
        runs: Sequence[Run],
        models: Sequence[Model],
        archive: MotionArchive,
        clips: LabelledClips,
        *,
        seeds: int,
        baselines: bool,
        show: bool,
        called: str = "",
        folder: Path | None = None,
    ) -> Context:
        """The context of some runs of one training, evaluated on an archive of their layout; features go to ``folder``,
        by default one in the run."""
        first = models[0]
        store = first.store(archive, np.concatenate([clips.train, clips.test]))
        given, folder = folder, folder or runs[0].path / "features"

        def encoded(model: Model, run: Run | None) -> Encoded:
            place = folder if run is None or given is not None else run.path / "features"
            return Encoded(model, store, archive_hash=digest_of(archive), folder=place, run=run)

        count = max(seeds, len(runs)) if baselines else 0
        train = torch.from_numpy(clips.train)
        return cls(
            method=_called(runs[0], first),
            streams=tuple(first.streams),
            **_of_clips(archive, store, train, clips),
            learned=[encoded(m, r) for m, r in zip(models, runs, strict=True)],
            random=[encoded(untrained(first, store, train, seed), None) for seed in range(count)],
            raw=[Raw(first, store)] if baselines else [],
            baselines=others(first, store, train, archive, folder, count),
            seeds=seeds,
            frames=first.recipe.frames,
            small="/small" in first.recipe.recipe,
            device=first.device,
            show=show,
            called=called or archive.path.resolve().name,
            preprocess=first.recipe.preprocess,
        )

    def on(self, archive: MotionArchive, clips: LabelledClips) -> Context:
        """The same encoders, evaluated on the clips of another archive of the same layout."""
        store = self.learned[0].model.store(archive, np.concatenate([clips.train, clips.test]))
        train = torch.from_numpy(clips.train)

        def moved(features: Encoded) -> Encoded:
            return Encoded(features.model, store, archive_hash=digest_of(archive), folder=features.folder)

        return replace(
            self,
            **_of_clips(archive, store, train, clips),
            learned=[moved(f) for f in self.learned],
            random=[moved(f) for f in self.random],
            raw=[Raw(f.model, store) for f in self.raw],
            baselines=others(self.learned[0].model, store, train, archive, self.learned[0].folder, len(self.random)),
        )

    def row(self, protocol: str, features: str, stream: str, values: Iterable[float], **more: Any) -> Row:
        """A row of one stream, or of several side by side."""
        ensemble = None if stream in self.streams else "concat"
        return Row(protocol, features, stream, tuple(values), ensemble, **more)

    def centred(self, groups: npt.NDArray[np.int64]) -> Context:
        """The same, every feature less the mean of its group; for protocols that ask for nothing but features.

        Args:
            groups: (N,) number of the group of each archive row.
        """
        ids = torch.cat([self.train, self.test])

        def less(sets: Sequence[FeatureSet]) -> Any:
            return [Centred(features, ids, groups) for features in sets]

        def baselines() -> Mapping[str, Sequence[FeatureSet]]:
            return {kind: less(sets) for kind, sets in self.baselines().items()}

        made = {"learned": less(self.learned), "random": less(self.random), "raw": less(self.raw)}
        return replace(self, baselines=baselines, **made)

    @property
    def fusion_weights(self) -> dict[str, float]:
        """Weight of each stream in late fusion."""
        return {s: fusion_weight(s) for s in self.streams}

    def groups(self) -> Iterator[tuple[str, Sequence[FeatureSet]]]:
        """(features, sets) of each block of rows, the learned ones first."""
        blocks: tuple[tuple[str, Sequence[FeatureSet]], ...] = (
            (self.method, self.learned),
            (RANDOM, self.random),
            (RAW, self.raw),
            *self.baselines().items(),
        )
        for kind, sets in blocks:
            if sets:
                yield kind, sets

    def over(self, kind: str, *, probe_seeds: bool) -> str:
        """What the values of a row differ in."""
        if kind in (RANDOM, ROCKET):
            return "initialisations"
        if is_baseline(kind):
            return "probe seeds" if probe_seeds else ""
        if len(self.learned) > 1:
            return "runs"
        return "probe seeds" if probe_seeds else "run"

    def track(self, items: Sequence[T], what: str) -> Iterable[T]:
        """Iterate with progress on stderr."""
        return tracked(items, what, show=self.show)


def _of_clips(archive: MotionArchive, store: ClipStore, train: Tensor, clips: LabelledClips) -> dict[str, Any]:
    """What a context says of the clips that are evaluated."""
    return {
        "archive": archive,
        "store": store,
        "train": train,
        "test": torch.from_numpy(clips.test),
        "train_labels": clips.train_labels,
        "test_labels": clips.test_labels,
        "class_names": clips.class_names,
        "people": people(archive),
        "hash": digest_of(archive),
    }


def _called(run: Run, model: Model) -> str:
    """What rows call what a run learned: its method, the name of weights of the package, or that it did not train."""
    if run.path.resolve().parent == FOLDER.resolve():
        return run.path.name
    if not model.recipe.epochs and "start" not in run.config:
        return FRESH
    return model.recipe.recipe.split("/")[0]


def people(archive: MotionArchive) -> npt.NDArray[np.int64] | None:
    """(N,) subject of each clip, -1 where unknown; None where the clips name no people."""
    if "subject" not in archive.clips.columns:
        return None
    return archive.clips["subject"].fill_null(-1).to_numpy().astype(np.int64)
