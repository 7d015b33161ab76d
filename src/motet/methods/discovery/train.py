"""A discovery as the loop of :mod:`motet.engine.trainer` trains it: pretraining, then fine-tuning on its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from motet.core.chance import states
from motet.core.distributed import from_first, own_part, world_size
from motet.core.errors import ConfigError
from motet.core.files import written
from motet.core.rng import CounterRNG
from motet.core.text import counted
from motet.data.loader import Batches, batches
from motet.engine.checkpoint import CHECKPOINT_VERSION
from motet.engine.learner import Learner, Position, Stage, load_optimiser, make_optimiser, set_rate
from motet.engine.options import Optimiser
from motet.engine.run import Run
from motet.methods.discovery.clusters import estimate, features, initialise, joined
from motet.methods.discovery.data import Clips
from motet.methods.discovery.methods.base import Batch
from motet.methods.discovery.scores import branch_scores, classifier_scores
from motet.methods.discovery.settings import Settings
from motet.methods.discovery.step import Discovery
from motet.methods.discovery.views import Strength, changed, mask_parts, whole_clips

PRETRAINED = "pretrained.pt"
"""file in a run directory: the state at the end of pretraining."""
FEW_STEPS = 100
"""steps of pretraining below which an estimated number of clusters is said to depend on them."""
SMALL_ENCODER = 128
"""hidden units up to which one thread is as fast as several."""
# views of the keyed draws; the source has one of its own because its clips' ids are those of another archive
_STUDENTS, _TEACHERS, _SOURCE, _SOURCE_AGAIN = (0, 2), (1, 3), 4, 5


@dataclass(frozen=True)
class Drawn:
    """A batch, and the rows of both archives that it is of."""

    batch: Batch
    ids: Tensor
    source_ids: Tensor


class Discovering(Learner):
    """One discovery in memory.

    Args:
        settings: options.
        clips: of both archives.

    Attributes:
        discovery: the branches.
        clusters: K, None until it is given or estimated.
        estimated: evidence of an estimated K.
        pretrained: scores after pretraining.
        initialised: how often the target classifiers were started; 0 or 1.
        fine: whether pretraining is over.
    """

    advice = "look at the clips with `motet data inspect`, or lower --lr"

    def __init__(self, settings: Settings, clips: Clips) -> None:
        super().__init__()
        self.settings, self.clips = settings, clips
        device = clips.source.device
        torch.manual_seed(settings.seed)
        own = clips.target[1]
        self.discovery = Discovery.build(
            settings,
            clips.source.skeleton,
            own.skeleton,
            persons=(clips.source.data.shape[1], own.data.shape[1]),
            channels=(clips.source.data.shape[3], own.data.shape[3]),
            clips=len(clips.train),
            source_classes=len(clips.sides.source_classes),
        ).to(device)
        rows = min(settings.batch_size, len(clips.train))
        self.source_rows = min(settings.batch_size, len(clips.sides.source))
        if min(rows, self.source_rows) < world_size():
            raise ConfigError(
                f"a step of {counted(min(rows, self.source_rows), 'clip')} cannot be shared by "
                f"{counted(world_size(), 'process')}; take fewer processes"
            )
        steps = len(clips.train) // rows
        self.stages = [Stage("pretrain", settings.epochs, steps, rows=rows)]
        if settings.method.trains:
            self.stages.append(Stage("finetune", settings.finetune_epochs, steps, rows=rows, first=settings.epochs))
        self.clusters = settings.clusters
        self.estimated: dict[str, Any] | None = None
        self.pretrained: list[dict[str, Any]] = []
        self.initialised = 0
        self.fine = False
        self._source_order = lru_cache(maxsize=1)(self._source_batches)

    @property
    def small(self) -> bool:  # type: ignore[override]
        return self.settings.encoder == "gru" and self.settings.hidden <= SMALL_ENCODER

    # ------------------------------------------------------------------ stages

    def begin_stage(self, stage: Stage) -> None:
        self.fine = stage.name == "finetune"
        if self.fine:
            self.switch()
            return
        options = self.settings
        self.optimiser: torch.optim.Optimizer = make_optimiser(
            Optimiser(options.optimiser, options.lr, options.momentum, options.weight_decay),
            [p for p in self.discovery.parameters() if p.requires_grad],
        )

    def end_stage(self, stage: Stage, run: Run | None) -> None:
        """Keep the state at the end of pretraining, for runs that take it over."""
        if stage.name == "pretrain" and run is not None and not self.initialised:
            self._keep(stage, run)
        if stage is self.stages[-1]:
            self.switch()  # of a method that has no fine-tuning

    def _keep(self, stage: Stage, run: Run) -> None:
        at = {"stage": 0, "epoch": stage.end, "step": 0, "means": {}, "seconds": 0.0, "line": None}
        chance = dict(zip(("rng", "cuda_rng"), states(), strict=True))
        with written(run.path / PRETRAINED) as partial:
            torch.save({"version": CHECKPOINT_VERSION, "learner": self.state(), **at, **chance}, partial)

    def switch(self) -> None:
        """Between the stages, once: the number of clusters, and the target classifiers from spherical k-means."""
        if self.initialised:
            return
        clips = self.clips
        if self.clusters is None:
            self.estimated = from_first(self._estimate)
            self.clusters = int(self.estimated["clusters"])
            steps = self.stages[0].epochs * self.stages[0].steps
            if steps < FEW_STEPS and not self.settings.start:
                few = f"{counted(steps, 'step')} of pretraining only"
                self.estimated["says"] += (
                    f"; the features come of {few}, and the number depends on it: train longer, or try --clusters"
                )
            self.say(str(self.estimated["says"]))
        self.pretrained = from_first(self.scores)
        initialise(self.discovery, clips.target, clips.train, self.clusters)
        if self.discovery.labelling.says:
            self.say(self.discovery.labelling.says)
        self.pretrained += from_first(self._at_start)
        self._train_classifiers()
        self.initialised += 1

    def _estimate(self) -> dict[str, Any]:
        pair = features(self.discovery, self.clips.target, self.clips.train)
        return estimate(joined(pair), seed=self.settings.seed)

    def _at_start(self) -> list[dict[str, Any]]:
        """Rows of scores of the classifiers where they start, if there is a fine-tuning."""
        clips = self.clips
        if len(clips.scored) < 2 or not self.settings.method.trains:
            return []
        name = self.settings.method.name
        return classifier_scores(self.discovery, clips.target, clips.scored, clips.scored_labels, name)

    def _train_classifiers(self) -> None:
        new = [p for b in self.discovery.pair for p in b.student["clusters"].parameters()]
        new += list(self.discovery.labelling.parameters())
        self.optimiser.add_param_group({"params": new})

    def scores(self) -> list[dict[str, Any]]:
        """Rows of scores on the target's clips with a known class."""
        clips = self.clips
        if len(clips.scored) < 2 or self.clusters is None:
            return []
        settings, what = self.settings, (clips.scored, clips.scored_labels, self.clusters)
        return branch_scores(self.discovery, clips.target, *what, settings.seed, settings.method.name)

    # ------------------------------------------------------------------ a step

    def begin_epoch(self, at: Position) -> None:
        if self.fine:
            self.discovery.labelling.begin_epoch()

    def enter_epoch(self, at: Position) -> None:
        settings = self.settings
        set_rate(self.optimiser, settings.finetune_lr if self.fine else settings.lr)
        self._order = batches(self.clips.train, at.stage.rows, seed=settings.seed, epoch=at.epoch)
        self.discovery.progress = (at.epoch - settings.epochs) / max(1, settings.finetune_epochs)

    def batch(self, at: Position) -> Drawn:
        return self.batch_of(self._order[at.step], at)

    def terms(self, batch: Drawn) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.discovery(batch.batch, fine=self.fine)
        return found

    def after_step(self, batch: Drawn) -> Mapping[str, Tensor]:
        self.discovery.labelling.after_step()
        return {}

    def rows(self, batch: Drawn) -> str:
        clips = self.clips
        target = ", ".join(clips.names[1].gather(batch.ids.numpy()))
        source = ", ".join(clips.names[0].gather(batch.source_ids.numpy()))
        return f"Clips of the target: {target}; of the source: {source}."

    def _source_batches(self, epoch: int) -> Batches:
        return batches(self.clips.source.ids, self.source_rows, seed=self.settings.seed, epoch=epoch)

    def batch_of(self, ids: Tensor, at: Position) -> Drawn:
        """What a step on some clips of the target sees; a function of seed, epoch and step alone."""
        settings, clips = self.settings, self.clips
        device = clips.source.device
        always = {"scale": settings.scale, "noise": settings.noise}
        calm = Strength(settings.weak_shear, settings.weak_padding, **always)
        weak = replace(calm, mask=settings.mask_always)
        strong = Strength(settings.strong_shear, settings.strong_padding, settings.mask, **always)
        student = strong if self.fine else weak
        own = own_part(ids)
        rows = own.to(device)

        def view(branch: int, number: int, strength: Strength) -> tuple[Tensor, Tensor]:
            store = clips.target[branch]
            keyed = CounterRNG(settings.seed, at.epoch, rows, number)
            whole = changed(
                whole_clips(store, own, settings.frames), keyed, strength, store.skeleton, store.coordinates
            )
            return whole, mask_parts(whole, keyed, strength.mask, store.skeleton)

        students = [view(b, _STUDENTS[b], student) for b in (0, 1)]
        teachers = [view(b, _TEACHERS[b], calm)[0] for b in (0, 1)]
        per_epoch = len(clips.source.ids) // self.source_rows
        round_, place = divmod(at.epoch * at.stage.steps + at.step, per_epoch)
        source_ids: Tensor = self._source_order(round_)[place]
        own_source = own_part(source_ids)
        whole = whole_clips(clips.source, own_source, settings.frames)

        def source_view(number: int) -> tuple[Tensor, Tensor]:
            keyed = CounterRNG(settings.seed, round_, own_source.to(device), number)
            made = changed(whole, keyed, weak, clips.source.skeleton, clips.source.coordinates)
            return made, mask_parts(made, keyed, weak.mask, clips.source.skeleton)

        source, source_seen = source_view(_SOURCE)
        again = source_view(_SOURCE_AGAIN)[1] if self.fine and settings.method.source_views > 1 else None
        made = Batch(
            source,
            source_seen,
            clips.source_labels(source_ids),
            (students[0][0], students[1][0]),
            (students[0][1], students[1][1]),
            (teachers[0], teachers[1]),
            clips.places(ids),
            again,
        )
        return Drawn(made, ids, source_ids)

    # ------------------------------------------------------------------ on disk

    def end_epoch(self, at: Position) -> dict[str, Any]:
        every = self.settings.evaluate_every
        return {"scores": from_first(self.scores)} if every and (at.epoch + 1) % every == 0 else {}

    def state(self) -> dict[str, Any]:
        return {
            "discovery": self.discovery.state_dict(),
            "labelling": self.discovery.labelling.state(),
            "optimiser": self.optimiser.state_dict(),
            "clusters": self.clusters,
            "estimated": self.estimated,
            "pretrained": self.pretrained,
            "initialised": self.initialised,
        }

    def restore(self, state: Mapping[str, Any], stage: Stage) -> None:
        if state["initialised"]:
            pair = self.discovery.pair
            self.discovery.add_classifiers([torch.zeros(state["clusters"], b.features) for b in pair])
            self._train_classifiers()
            # before that there is none, and the pretraining may be that of another method
            self.discovery.labelling.restore(state["labelling"])
        self.discovery.load_state_dict(_renamed(state["discovery"]))
        load_optimiser(self.optimiser, state["optimiser"])
        for name in ("clusters", "estimated", "pretrained", "initialised"):
            setattr(self, name, state[name])
        self.fine = stage.name == "finetune"
        if self.fine:
            self.switch()


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under their present names; earlier releases kept the heads of UNO next to the branches."""
    return {f"labelling.{k}" if k.startswith("heads.") else k: v for k, v in weights.items()}
