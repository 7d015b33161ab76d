"""The three stages of a discovery, their interruption and their bit-exact continuation."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from motet.core.errors import Interrupted, RunError
from motet.core.files import written
from motet.core.progress import TrainingProgress
from motet.core.rng import CounterRNG
from motet.core.signals import stop_signals
from motet.data.loader import Batches, batches
from motet.engine.checkpoint import CHECKPOINT_VERSION, save_checkpoint
from motet.engine.learner import make_optimiser
from motet.engine.metrics import keep_lines
from motet.engine.options import Optimiser
from motet.engine.run import Run
from motet.engine.trainer import SAVED_EVERY
from motet.methods.discovery.clusters import estimate, features, initialise, joined
from motet.methods.discovery.data import Clips
from motet.methods.discovery.methods.base import Batch
from motet.methods.discovery.scores import judge
from motet.methods.discovery.settings import Settings
from motet.methods.discovery.step import Discovery
from motet.methods.discovery.views import Strength, changed, mask_parts, whole_clips

PRETRAINED = "pretrained.pt"
"""file in a run directory: the state at the end of pretraining."""
FEW_STEPS = 100
"""steps of pretraining below which an estimated number of clusters is said to depend on them."""
# views of the keyed draws; the source has one of its own because its clips' ids are those of another archive
_STUDENTS, _TEACHERS, _SOURCE, _SOURCE_AGAIN = (0, 2), (1, 3), 4, 5


class Trainer:
    """One discovery in memory: branches, optimiser and position.

    Attributes:
        clusters: K, None until it is given or estimated.
        estimated: evidence of an estimated K.
        pretrained: scores after pretraining.
        initialised: how often the target classifiers were started; 0 or 1.
    """

    def __init__(self, settings: Settings, clips: Clips, *, progress: bool) -> None:
        self.settings, self.clips, self.show = settings, clips, progress
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
        self.optimiser = make_optimiser(
            Optimiser(settings.optimiser, settings.lr, settings.momentum, settings.weight_decay),
            [p for p in self.discovery.parameters() if p.requires_grad],
        )
        self.batch = min(settings.batch_size, len(clips.train))
        self.source_batch = min(settings.batch_size, len(clips.sides.source))
        self.steps = len(clips.train) // self.batch
        self.stages = settings.epochs, settings.finetune_epochs if settings.method.trains else 0
        self.clusters = settings.clusters
        self.estimated: dict[str, Any] | None = None
        self.pretrained: list[dict[str, Any]] = []
        self.initialised = 0
        self.epoch, self.step_in_epoch = 0, 0
        self.sums: dict[str, float] = {}
        self.seconds = 0.0
        self._source_order = lru_cache(maxsize=1)(self._source_batches)

    @property
    def epochs(self) -> int:
        """Epochs of both stages."""
        return sum(self.stages)

    @property
    def fine(self) -> bool:
        """Whether pretraining is over."""
        return self.epoch >= self.stages[0]

    def state(self) -> dict[str, Any]:
        """Everything that a bit-exact continuation needs."""
        return {
            "discovery": self.discovery.state_dict(),
            "labelling": self.discovery.labelling.state(),
            "optimiser": self.optimiser.state_dict(),
            "clusters": self.clusters,
            "estimated": self.estimated,
            "pretrained": self.pretrained,
            "initialised": self.initialised,
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "sums": dict(self.sums),
            "seconds": self.seconds,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`.

        Raises:
            RunError: the checkpoint is of another discovery.
        """
        try:
            if state["initialised"]:
                pair = self.discovery.pair
                self.discovery.add_classifiers([torch.zeros(state["clusters"], b.features) for b in pair])
                self._train_classifiers()
            self.discovery.load_state_dict(_renamed(state["discovery"]))
            self.discovery.labelling.restore(state["labelling"])
            self.optimiser.load_state_dict(state["optimiser"])
            for name in ("clusters", "estimated", "pretrained", "initialised", "epoch", "step_in_epoch", "seconds"):
                setattr(self, name, state[name])
            self.sums = dict(state["sums"])
            torch.set_rng_state(state["rng"])
            if state["cuda_rng"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(state["cuda_rng"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise RunError(f"the checkpoint does not fit this run ({error}); discover again") from error

    def train(self, out: Path | None) -> list[dict[str, Any]]:
        """All stages up to the end; scores of the finished branches.

        Args:
            out: run directory; without one nothing is written.

        Raises:
            Interrupted: by SIGINT or SIGTERM; the state is saved.
            RunError: a loss is not finite; names it and the clips.
        """
        run = None if out is None else Run(out)
        if run is not None:
            keep_lines(run, self.epoch, None)
        every = self.settings.checkpoint_every or max(1, self.epochs // 10)
        saved = time.monotonic()
        done = self.epoch * self.steps + self.step_in_epoch
        show = TrainingProgress(self.epochs, self.steps, done, show=self.show)
        with stop_signals() as stopped, show:
            while self.epoch < self.epochs:
                if self.fine:
                    self.switch(show, run)
                self._epoch(run, show, stopped)
                self._end_of_epoch(run, show)
                due = time.monotonic() - saved > SAVED_EVERY
                if run is not None and (self.epoch % every == 0 or self.epoch == self.epochs or stopped or due):
                    self._checkpoint(run)
                    saved = time.monotonic()
                if stopped and self.epoch < self.epochs:
                    self._leave(run, stopped)
            self.switch(show, run)
        return self._judge()

    def switch(self, show: TrainingProgress | None = None, run: Run | None = None) -> None:
        """Between the stages, once: the number of clusters, and the target classifiers from spherical k-means.

        The state before it stays in the run directory, for runs that take its pretraining over.
        """
        if self.initialised:
            return
        if run is not None:
            with written(run.path / PRETRAINED) as partial:
                torch.save({"version": CHECKPOINT_VERSION, **self.state()}, partial)
        clips = self.clips
        if self.clusters is None:
            pair = features(self.discovery, clips.target, clips.train)
            self.estimated = estimate(joined(pair), seed=self.settings.seed)
            self.clusters = int(self.estimated["clusters"])
            steps = self.stages[0] * self.steps
            if steps < FEW_STEPS and not self.settings.start:
                few = f"{steps} step{'s' if steps != 1 else ''} of pretraining only"
                self.estimated["says"] += (
                    f"; the features come of {few}, and the number depends on it: train longer, or try --clusters"
                )
            if show is not None:
                show.say(str(self.estimated["says"]))
        self.pretrained = self._judge()
        initialise(self.discovery, clips.target, clips.train, self.clusters)
        self._train_classifiers()
        self.initialised += 1

    def _train_classifiers(self) -> None:
        new = [p for b in self.discovery.pair for p in b.student["clusters"].parameters()]
        new += list(self.discovery.labelling.parameters())
        self.optimiser.add_param_group({"params": new})

    def _judge(self) -> list[dict[str, Any]]:
        clips = self.clips
        if len(clips.judged) < 2 or self.clusters is None:
            return []
        return judge(self.discovery, clips.target, clips.judged, clips.judged_labels, self.clusters, self.settings.seed)

    def _source_batches(self, epoch: int) -> Batches:
        return batches(self.clips.source.ids, self.source_batch, seed=self.settings.seed, epoch=epoch)

    def _epoch(self, run: Run | None, show: TrainingProgress, stopped: list[int]) -> None:
        settings = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = settings.finetune_lr if self.fine else settings.lr
        order = batches(self.clips.train, self.batch, seed=settings.seed, epoch=self.epoch)
        self.discovery.train()
        self.discovery.progress = (self.epoch - self.stages[0]) / max(1, self.stages[1])
        if self.fine and self.step_in_epoch == 0:
            self.discovery.labelling.begin_epoch()
        while self.step_in_epoch < self.steps:
            began = time.perf_counter()
            losses = self._step(order[self.step_in_epoch])
            self.step_in_epoch += 1
            self.seconds += time.perf_counter() - began
            for name, value in losses.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            speed = self.step_in_epoch * self.batch / max(self.seconds, 1e-9)
            show.step(self.epoch, losses, speed)
            if stopped and self.step_in_epoch < self.steps:
                if run is not None:
                    self._checkpoint(run)
                self._leave(run, stopped)

    def _step(self, ids: Tensor) -> dict[str, float]:
        batch, source_ids = self.make_batch(ids)
        losses = self.discovery(batch, fine=self.fine)
        values = torch.stack(list(losses.values()))
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(values.sum())
        numbers = dict(zip(losses, values.tolist(), strict=True))
        moved = [p.grad for p in self.discovery.parameters() if p.grad is not None]
        finite = math.isfinite(sum(numbers.values()))
        if not finite or not bool(torch.nn.utils.get_total_norm(moved).isfinite()):
            told = ", ".join(f"{k} = {v:.4g}" for k, v in numbers.items())
            raise RunError(
                f"{'the gradient' if finite else 'the loss'} is not finite in epoch {self.epoch + 1}, step "
                f"{self.step_in_epoch + 1} ({told}); target clips (rows) {ids[:8].tolist()} …, source clips "
                f"{source_ids[:8].tolist()} …. The weights were not moved; look at the clips with `motet data "
                "inspect`, or lower --lr"
            )
        self.optimiser.step()
        self.discovery.labelling.after_step()
        return numbers

    def make_batch(self, ids: Tensor) -> tuple[Batch, Tensor]:
        """The step's clips, and the rows of its source clips; a function of seed, epoch and step alone."""
        settings, clips = self.settings, self.clips
        device = clips.source.device
        always = {"scale": settings.scale, "noise": settings.noise}
        calm = Strength(settings.weak_shear, settings.weak_padding, **always)
        weak = replace(calm, mask=settings.mask_always)
        strong = Strength(settings.strong_shear, settings.strong_padding, settings.mask, **always)
        student = strong if self.fine else weak
        rows = ids.to(device)

        def view(branch: int, number: int, strength: Strength) -> tuple[Tensor, Tensor]:
            store = clips.target[branch]
            keyed = CounterRNG(settings.seed, self.epoch, rows, number)
            whole = changed(whole_clips(store, ids, settings.frames), keyed, strength, store.skeleton)
            return whole, mask_parts(whole, keyed, strength.mask, store.skeleton)

        students = [view(b, _STUDENTS[b], student) for b in (0, 1)]
        teachers = [view(b, _TEACHERS[b], calm)[0] for b in (0, 1)]
        per_epoch = len(clips.source.ids) // self.source_batch
        round_, place = divmod(self.epoch * self.steps + self.step_in_epoch, per_epoch)
        source_ids: Tensor = self._source_order(round_)[place]
        whole = whole_clips(clips.source, source_ids, settings.frames)

        def source_view(number: int) -> tuple[Tensor, Tensor]:
            keyed = CounterRNG(settings.seed, round_, source_ids.to(device), number)
            made = changed(whole, keyed, weak, clips.source.skeleton)
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
        return made, source_ids

    def _end_of_epoch(self, run: Run | None, show: TrainingProgress) -> None:
        terms = {name: total / self.steps for name, total in self.sums.items()}
        every = self.settings.evaluate_every
        line: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "stage": "finetune" if self.fine else "pretrain",
            "loss": sum(terms.values()),
            "terms": terms,
            "seconds": self.seconds,
        }
        if every and (self.epoch + 1) % every == 0:
            line["scores"] = self._judge()
        if run is not None:
            with (run.path / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        show.epoch(self.epoch, terms, self.steps * self.batch / max(self.seconds, 1e-9))
        self.epoch, self.step_in_epoch, self.sums, self.seconds = self.epoch + 1, 0, {}, 0.0

    def _checkpoint(self, run: Run) -> None:
        step = self.epoch * self.steps + self.step_in_epoch
        save_checkpoint(run, step, self.state(), self.settings.keep_checkpoints)

    def _leave(self, run: Run | None, stopped: list[int]) -> None:
        name = signal.Signals(stopped[0]).name
        advice = f"go on with `motet discover --resume {run.path}`" if run else "nothing was kept: there is no --out"
        error = Interrupted(
            f"stopped by {name} in epoch {self.epoch + 1}, after step {self.step_in_epoch} of {self.steps}; {advice}"
        )
        error.status = 128 + stopped[0]
        raise error


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under their present names; earlier releases kept the heads of UNO beside the branches."""
    return {f"labelling.{k}" if k.startswith("heads.") else k: v for k, v in weights.items()}
