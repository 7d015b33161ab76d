"""The learner of :mod:`motet.methods.distillation.train` with networks that read recordings as the shared extractors
of modalities, and several of them one after the other."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from motet.core.chance import Chance
from motet.core.distributed import own_part
from motet.engine.learner import Learner, Position, Stage, load_optimiser, set_rate
from motet.engine.run import Run
from motet.methods.distillation.folds import Fold
from motet.methods.distillation.methods.base import Batch
from motet.methods.distillation.networks import Ensemble, Inputs, Outputs, Shape
from motet.methods.distillation.raw.feeder import RawFeeder, Rows
from motet.methods.distillation.raw.networks import RawNetwork, build
from motet.methods.distillation.raw.options import RawOptions
from motet.methods.distillation.replicas import Replicas
from motet.methods.distillation.settings import Settings
from motet.methods.distillation.train import Distillation, Phase


class Extractor(nn.Module):
    """A raw network in the place of an extractor: (1, B, …) → (1, B, D).

    Features that are D already are the representation itself (AMID's video student); others are mapped linearly.
    """

    def __init__(self, network: RawNetwork, features: int) -> None:
        super().__init__()
        self.network = network
        same = network.feature_size == features
        self.head: nn.Module = nn.Identity() if same else nn.Linear(network.feature_size, features)
        self.hidden_size = network.feature_size

    @property
    def last(self) -> nn.Module:
        """The layer that takes the hidden features, (B, hidden_size)."""
        return self.head

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        found: Tensor = self.head(self.network(x[0], None if lengths is None else lengths[0]))
        return found[None]


class WholeOptimiser:
    """A torch optimiser of networks without a leading axis of replicas; stands where a replica optimiser would.

    Args:
        optimiser: of what learns; frozen weights are not in it, so they do not decay.
    """

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self.optimiser = optimiser

    def step(self, active: Sequence[bool] = (True,)) -> None:
        """Move all by their gradients, and forget these."""
        if all(active):
            self.optimiser.step()
        self.zero_grad()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.optimiser.zero_grad(set_to_none=True)

    def set_rate(self, rate: float) -> None:
        """Learning rate from now on."""
        set_rate(self.optimiser, rate)

    def state_dict(self) -> dict[str, Any]:
        return self.optimiser.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_optimiser(self.optimiser, state)


class RawPhase(Phase):
    """A phase that is tested by reading recordings: clips one by one, answers averaged over a sample."""

    feeder: RawFeeder
    needed: tuple[str, ...]
    batch: int

    def outputs(self, inputs: Inputs, whole: Inputs | None = None) -> Outputs:
        return self._tested(inputs.rows) if isinstance(inputs, Rows) else super().outputs(inputs, whole)

    def learn(self, on: bool) -> None:
        """Networks that learn are in training mode; frozen ones never are."""
        super().learn(on)
        self.method.train(on)
        for module in self.networks.modules():
            if isinstance(module, Extractor) and not any(p.requires_grad for p in module.parameters()):
                module.eval()

    def _tested(self, rows: Tensor) -> Outputs:
        """Mean representation over the clips of a sample, and logarithm of the mean probabilities."""
        self.learn(False)
        parts: dict[str, list[Tensor]] = {}
        wanted = ("student", "teacher", "student_logits", "teacher_logits")
        with torch.no_grad():
            for count, inputs in self.feeder.clips(rows[0], self.needed):
                found = [
                    super(RawPhase, self).outputs(_cut(inputs, n, self.batch)) for n in range(0, count, self.batch)
                ]
                for name in wanted:
                    values = [getattr(f, name) for f in found]
                    if values[0] is None:
                        continue
                    value = torch.cat(values, dim=1)
                    if name.endswith("logits"):
                        value = value.softmax(dim=2)
                    parts.setdefault(name, []).append(value.mean(dim=1))
        whole = {name: torch.stack(values, dim=1) for name, values in parts.items()}
        return Outputs(
            student=whole.get("student"),
            teacher=whole.get("teacher"),
            student_logits=_logarithm(whole.get("student_logits")),
            teacher_logits=_logarithm(whole.get("teacher_logits")),
        )


def _logarithm(probabilities: Tensor | None) -> Tensor | None:
    return None if probabilities is None else probabilities.log()


def _cut(inputs: Inputs, start: int, count: int) -> Inputs:
    part = slice(start, start + count)
    values = {name: x[:, part] for name, x in inputs.values.items()}
    return Inputs(values, {name: x[:, part] for name, x in inputs.lengths.items()})


class RawDistillation(Distillation):
    """One fold and one seed, trained from recordings.

    Args:
        settings: of the distillation; its dropout is not used.
        shape, feeder, replicas: as of :class:`motet.methods.distillation.train.Distillation`.
        options: of the raw networks.
    """

    feeder: RawFeeder
    small = False

    def __init__(
        self, settings: Settings, shape: Shape, feeder: RawFeeder, replicas: Replicas, options: RawOptions
    ) -> None:
        self.options, self.seed = options, replicas.seeds[0]
        super().__init__(settings.with_options({"dropout": 0.0}), shape, feeder, replicas)

    def _phases(self) -> list[Phase]:
        made: list[Phase] = []
        for number, phase in enumerate(super()._phases()):
            with Chance(self._draw(number, -1)):
                for networks in (phase.networks, phase.teacher):
                    # a frozen teacher is the network of an earlier phase, which has its extractors already
                    if networks is not None and all(networks is not earlier.networks for earlier in made):
                        self._read_recordings(networks)
            raw = RawPhase(phase.name, phase.networks, phase.method, phase.teacher)
            raw.feeder, raw.needed, raw.batch = self.feeder, self.needed(phase), self.options.video.batch
            made.append(raw)
        return made

    def _read_recordings(self, networks: Ensemble) -> None:
        """Put raw networks in the place of the extractors of stand-in columns."""
        parts = [networks.student.extractors]
        if networks.auxiliary is not None:
            parts.append(networks.auxiliary.extractors)
        for extractors in parts:
            for name in (n for n in self.feeder.source.items if n in extractors):
                network = self.feeder.source.readers[name] = build(name, self.options)
                extractors[name] = Extractor(network, self.settings.networks.features).to(self.device)

    def _draw(self, *numbers: int) -> int:
        """Seed of torch's generators for a purpose."""
        return zlib.crc32(repr((self.seed, *numbers)).encode())

    def _optimiser(self) -> Any:
        here, training = self.here, self.settings.training
        every = [p for p in (*here.networks.parameters(), *here.method.own_parameters()) if p.requires_grad]
        if training.optimiser == "sgd":
            decay = training.weight_decay
            return WholeOptimiser(
                torch.optim.SGD(every, lr=training.lr, momentum=training.momentum, weight_decay=decay)
            )
        return WholeOptimiser(torch.optim.AdamW(every, lr=training.lr, weight_decay=training.weight_decay))

    def begin_epoch(self, at: Position) -> None:
        # dropout inside the networks draws from torch's generators, whose states are in the checkpoints
        torch.manual_seed(self._draw(self.stages.index(at.stage), at.epoch))

    def enter_epoch(self, at: Position) -> None:
        super().enter_epoch(at)
        coming = (self.folded.train.gather(1, own_part(place, 1)) for place, _ in self._batches[at.step :])
        self.feeder.plan(at.epoch, coming, self.needed(self.here))

    def end_epoch(self, at: Position) -> dict[str, Any]:
        self.feeder.drop()
        return super().end_epoch(at)


class RawDistillations(Learner):
    """Every fold with every seed, one after the other; each has stages of its own.

    Args:
        make: the learner of a fold and a seed.
        pairs: folds and seeds.
        done: what follows the last stage of a pair: called with its learner, its place on disk, the run.

    Attributes:
        inner: the present learner; earlier ones are let go.
    """

    small = False
    advice = Distillation.advice

    def __init__(
        self,
        make: Callable[[Fold, int], RawDistillation],
        pairs: Sequence[tuple[Fold, int]],
        done: Callable[[RawDistillation, Path], None],
        finished: Callable[[RawDistillation, Run], None],
    ) -> None:
        super().__init__()
        self.make, self.pairs, self.done, self.finished = make, list(pairs), done, finished
        self.inner, self.number = make(*self.pairs[0]), 0
        self.per_pair = len(self.inner.stages)
        batch = self.inner.settings.training.batch_size
        self.stages = []
        for fold, seed in self.pairs:
            rows = min(batch, len(fold.train))
            for stage in self.inner.stages:
                name = f"{fold.name}, seed {seed}: {stage.name}"
                self.stages.append(replace(stage, name=name, steps=len(fold.train) // rows, rows=rows))

    def begin_stage(self, stage: Stage) -> None:
        number, phase = divmod(self.stages.index(stage), self.per_pair)
        if number != self.number:
            del self.inner  # before the next one is made
            self.inner, self.number = self.make(*self.pairs[number]), number
        self.inner.begin_stage(self.inner.stages[phase])
        self.replicas, self.optimiser = self.inner.replicas, self.inner.optimiser

    def _inside(self, at: Position) -> Position:
        return replace(at, stage=self.inner.stages[self.stages.index(at.stage) % self.per_pair])

    def begin_epoch(self, at: Position) -> None:
        self.inner.begin_epoch(self._inside(at))

    def enter_epoch(self, at: Position) -> None:
        self.inner.enter_epoch(self._inside(at))

    def batch(self, at: Position) -> Batch:
        return self.inner.batch(self._inside(at))

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        return self.inner.terms(batch)

    def weights(self, at: Position) -> Mapping[str, float]:
        return self.inner.weights(self._inside(at))

    def active(self, batch: Batch) -> Sequence[bool]:
        return self.inner.active(batch)

    def move(self, batch: Batch) -> None:
        self.inner.move(batch)

    def after_step(self, batch: Batch) -> Mapping[str, Tensor]:
        return self.inner.after_step(batch)

    def end_epoch(self, at: Position) -> dict[str, Any]:
        return self.inner.end_epoch(self._inside(at))

    def end_stage(self, stage: Stage, run: Run | None) -> None:
        number, phase = divmod(self.stages.index(stage), self.per_pair)
        if run is not None and phase + 1 == self.per_pair:
            self.inner.train(False)
            self.done(self.inner, place_of(run.path, *self.pairs[number]))

    def state(self) -> dict[str, Any]:
        return self.inner.state()

    def restore(self, state: Mapping[str, Any], stage: Stage) -> None:
        self.begin_stage(stage)
        self.inner.restore(state, self.inner.stages[self.stages.index(stage) % self.per_pair])
        self.optimiser = self.inner.optimiser

    def finish(self, run: Run) -> None:
        self.finished(self.inner, run)

    def lr(self, at: Position) -> float:
        return self.inner.lr(self._inside(at))

    def rows(self, batch: Batch) -> str:
        return self.inner.rows(batch)


def place_of(out: Path, fold: Fold, seed: int) -> Path:
    """Where a run keeps what one fold with one seed gave."""
    return out / "replicas" / f"{fold.name.replace(' ', '-').replace('/', '-')}-seed-{seed}"
