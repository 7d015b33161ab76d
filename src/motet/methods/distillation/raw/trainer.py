"""The loop of :mod:`motet.methods.distillation.train` with networks that read recordings as the shared extractors of
modalities."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from motet.core.progress import TrainingProgress
from motet.methods.distillation.networks import Ensemble, Inputs, Outputs
from motet.methods.distillation.raw.feeder import RawFeeder, Rows
from motet.methods.distillation.raw.networks import RawNetwork, build
from motet.methods.distillation.raw.options import RawOptions
from motet.methods.distillation.replicas import batches
from motet.methods.distillation.settings import Settings
from motet.methods.distillation.train import Stage, Trainer


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

    def step(self, active: Sequence[bool]) -> None:
        """Move all by their gradients, and forget these."""
        if all(active):
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def set_rate(self, rate: float) -> None:
        """Learning rate from now on."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        return self.optimiser.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimiser.load_state_dict(state)


class RawStage(Stage):
    """A stage that is tested by reading recordings: clips one by one, answers averaged over a sample."""

    feeder: RawFeeder
    needed: tuple[str, ...]
    batch: int

    def outputs(self, inputs: Inputs, whole: Inputs | None = None) -> Outputs:
        if isinstance(inputs, Rows):
            return self._tested(inputs.rows)
        self._learn(True)
        return super().outputs(inputs, whole)

    def _learn(self, on: bool) -> None:
        """Networks that learn are in training mode; frozen ones never are."""
        self.networks.train(on)
        self.method.train(on)
        for module in self.networks.modules():
            if isinstance(module, Extractor) and not any(p.requires_grad for p in module.parameters()):
                module.eval()
        if self.teacher is not None:
            self.teacher.eval()

    def _tested(self, rows: Tensor) -> Outputs:
        """Mean representation over the clips of a sample, and logarithm of the mean probabilities."""
        self._learn(False)
        parts: dict[str, list[Tensor]] = {}
        wanted = ("student", "teacher", "student_logits", "teacher_logits")
        with torch.no_grad():
            for count, inputs in self.feeder.clips(rows[0], self.needed):
                found = [
                    super(RawStage, self).outputs(_cut(inputs, n, self.batch)) for n in range(0, count, self.batch)
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


class RawTrainer(Trainer):
    """One fold and one seed, trained from recordings.

    Args:
        settings: of the distillation; its dropout is not used.
        shape, feeder, replicas: as of :class:`motet.methods.distillation.train.Trainer`.
        options: of the raw networks.
    """

    feeder: RawFeeder

    def __init__(self, settings: Settings, shape: Any, feeder: RawFeeder, replicas: Any, options: RawOptions) -> None:
        self.options, self.seed = options, replicas.seeds[0]
        super().__init__(settings.with_options({"dropout": 0.0}), shape, feeder, replicas)

    def _stages(self) -> list[Stage]:
        made: list[Stage] = []
        for number, stage in enumerate(super()._stages()):
            with self._chance(number, -1):
                for networks in (stage.networks, stage.teacher):
                    # a frozen teacher is the network of an earlier stage, which has its extractors already
                    if networks is not None and all(networks is not earlier.networks for earlier in made):
                        self._read_recordings(networks)
            raw = RawStage(stage.name, stage.networks, stage.method, stage.teacher)
            raw.feeder, raw.needed, raw.batch = self.feeder, self._needed(stage), self.options.video.batch
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

    def _chance(self, *numbers: int) -> Any:
        return _Chance(zlib.crc32(repr((self.seed, *numbers)).encode()), self.device)

    def _optimiser(self) -> Any:
        self._hand_over()
        here, training = self.stages[self.stage], self.settings.training
        every = [p for p in (*here.networks.parameters(), *here.method.own_parameters()) if p.requires_grad]
        if training.optimiser == "sgd":
            decay = training.weight_decay
            return WholeOptimiser(
                torch.optim.SGD(every, lr=training.lr, momentum=training.momentum, weight_decay=decay)
            )
        return WholeOptimiser(torch.optim.AdamW(every, lr=training.lr, weight_decay=training.weight_decay))

    def _one_epoch(self, show: TrainingProgress) -> None:
        orders = self.replicas.orders(self.epoch, self.feeder.labels.cpu(), self.settings.training.per_class)
        places = batches(orders, self.replicas.train_counts, self.batch_size)
        needed = self._needed(self.stages[self.stage])
        self.feeder.plan(self.epoch, (self.replicas.train.gather(1, place) for place, _ in places), needed)
        try:
            # dropout inside the networks draws from torch's generator: an epoch begins at its own place
            with self._chance(self.stage, self.epoch):
                super()._one_epoch(show)
        finally:
            self.feeder.drop()


class _Chance:
    """torch's generators at a place of their own, put back afterwards."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed = seed
        self.fork = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])

    def __enter__(self) -> None:
        self.fork.__enter__()
        torch.manual_seed(self.seed)

    def __exit__(self, *error: Any) -> None:
        self.fork.__exit__(*error)
