"""The loop: every fold and seed of an experiment in one pass, stage by stage, with bit-exact resume.

A stage trains one set of networks. Most methods have one; a frozen teacher or frozen auxiliary extractors are trained
in stages before it. Checkpoints are written between epochs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError, DataError, RunError
from motet.core.files import written
from motet.core.progress import TrainingProgress
from motet.engine.checkpoint import CHECKPOINT_VERSION, load_checkpoint
from motet.methods.distillation.methods.alone import Alone
from motet.methods.distillation.methods.base import Batch, Context, Method
from motet.methods.distillation.methods.teacher import Teacher
from motet.methods.distillation.networks import Ensemble, Inputs, Outputs, Shape
from motet.methods.distillation.optimise import ReplicaOptimiser
from motet.methods.distillation.replicas import Feeder, Replicas, batches, steps
from motet.methods.distillation.replicated import idle_stay
from motet.methods.distillation.scores import curve
from motet.methods.distillation.settings import Settings

_KEPT = 2  # checkpoints
_SHOWN = 4  # terms in a line of progress


@dataclass
class Stage:
    """Networks that learn together.

    Attributes:
        name: main, teacher or auxiliary.
        networks: whose parameters the main optimiser moves (with the method's own).
        method: the terms.
        teacher: frozen ensemble that gives the teacher's part of the outputs, if the method wants one.
    """

    name: str
    networks: Ensemble
    method: Method
    teacher: Ensemble | None = None

    def outputs(self, inputs: Inputs, whole: Inputs | None = None) -> Outputs:
        """Outputs of networks and method; a frozen teacher sees ``whole``, the inputs without dropout."""
        found: Outputs = self.networks(inputs)
        if self.teacher is not None:
            with torch.no_grad():
                given: Outputs = self.teacher(inputs if whole is None else whole)
            found.teacher, found.teacher_logits = given.teacher, given.teacher_logits
            found.teacher_slope, found.auxiliary = given.teacher_slope, given.auxiliary
        return self.method.complete(found)

    def modules(self) -> nn.ModuleDict:
        """What a checkpoint holds."""
        return nn.ModuleDict({"networks": self.networks, "method": self.method})


class Trainer:
    """State of a distillation.

    Args:
        settings: see :class:`motet.methods.distillation.settings.Settings`.
        shape: modalities in use.
        feeder: their rows.
        replicas: folds and seeds.
        batch_size: rows per step, if smaller than that of the settings.
        dtype: of all weights.
    """

    def __init__(
        self,
        settings: Settings,
        shape: Shape,
        feeder: Feeder,
        replicas: Replicas,
        *,
        batch_size: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.settings, self.shape, self.feeder, self.replicas, self.dtype = settings, shape, feeder, replicas, dtype
        self.device = feeder.device
        self.train_rows = replicas.train.to(self.device)
        self.batch_size = min(batch_size or settings.training.batch_size, int(replicas.train_counts.min()))
        if self.batch_size < 2:
            raise ConfigError(f"a batch of {self.batch_size} row compares nothing; use more rows or a larger batch")
        self.stages = self._stages()
        for stage in self.stages:
            stage.networks.to(self.device, self.dtype).eval()
            stage.method.attach(stage.networks, stage.teacher)
            _move(stage.method, self.device, self.dtype)
        self.stage, self.epoch = 0, 0
        self.history: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.optimiser = self._optimiser()

    # ------------------------------------------------------------------ what is trained

    def _stages(self) -> list[Stage]:
        context = self._context()
        taught = self.settings.method.uses_teacher
        if taught:
            self._check_teachable(context)
        method = self.settings.method.build(context)
        options = self.settings.networks
        for given in options.encoder:
            if given.partition("=")[0] not in self.shape.sequences:
                known = ", ".join(sorted(self.shape.sequences)) or "none"
                raise ConfigError(f"encoder {given!r} is for a modality of sequences in use; there are {known}")
        if taught and not self.shape.auxiliaries:
            raise ConfigError(f"method {self.settings.name} needs an auxiliary modality; name one by --auxiliary")
        stages = []
        seeds, frozen = self.replicas.replica_seeds, None
        build = partial(Ensemble, seeds, self.shape, options)
        if taught and options.auxiliary_extractor == "frozen":
            others = replace(self.shape, targets=self.shape.auxiliaries, auxiliaries=())
            alone = Ensemble(seeds, others, options, name="auxiliary.", teacher=False)
            stages.append(Stage("auxiliary", alone, Alone().build(context)))
        if method.fixed_teacher:
            frozen = build(name="teacher.")
            stages.append(Stage("teacher", frozen, Teacher().build(context)))
        joint = taught and not method.fixed_teacher
        stages.append(Stage("main", build(teacher=joint), method, frozen))
        return stages

    def _check_teachable(self, context: Context) -> None:
        for fold, rows in zip(self.replicas.replica_folds, context.rows, strict=True):
            if not rows.any():
                names = ", ".join((*self.shape.targets, *self.shape.auxiliaries))
                raise DataError(
                    f"{self.feeder.name}, {fold.name}: no training row has all of {names}, so there is no teacher; "
                    "leave an auxiliary out or divide the rows otherwise"
                )

    def _context(self) -> Context:
        counts, rows = self.replicas.train_counts.to(self.device), self.train_rows
        real = torch.arange(rows.shape[1], device=self.device) < counts[:, None]
        return Context(
            seeds=self.replicas.replica_seeds,
            features=self.settings.networks.features,
            classes=self.shape.classes,
            labels=self.feeder.labels[rows],
            rows=self.feeder.whole[rows] & real,
            counts=counts,
            batch_size=self.batch_size,
            epochs=self.settings.training.epochs,
        )

    def _hand_over(self) -> None:
        """Extractors that were trained first and are frozen now."""
        here = self.stages[self.stage]
        if here.networks.auxiliary is not None and self.stages[0].name == "auxiliary":
            source = self.stages[0].networks.student.extractors
            here.networks.auxiliary.extractors.load_state_dict(source.state_dict())
            here.networks.auxiliary.extractors.requires_grad_(False)

    def _optimiser(self) -> ReplicaOptimiser:
        """Main optimiser of the present stage."""
        self._hand_over()
        here, training = self.stages[self.stage], self.settings.training

        def make(parameters: list[Tensor]) -> torch.optim.Optimizer:
            decay = training.weight_decay
            if training.optimiser == "sgd":
                # not fused: that form fails where some weights have their first gradient after others (warm-up)
                return torch.optim.SGD(parameters, lr=training.lr, momentum=training.momentum, weight_decay=decay)
            return torch.optim.AdamW(parameters, lr=training.lr, weight_decay=decay, fused=True)

        return ReplicaOptimiser([*here.networks.parameters(), *here.method.own_parameters()], make)

    # ------------------------------------------------------------------ an epoch

    def run(self, out: Path | None, show: TrainingProgress, stopped: Sequence[int] = ()) -> bool:
        """Train to the end; False if a signal stopped it, after a checkpoint."""
        epochs = self.settings.training.epochs
        while self.stage < len(self.stages):
            while self.epoch < epochs:
                began = time.perf_counter()
                self._one_epoch(show)
                self.seconds += time.perf_counter() - began
                last = self.epoch == epochs
                if out is not None and (last or stopped or self.epoch % self.settings.training.checkpoint_every == 0):
                    self.save(out)
                if stopped and not (last and self.stage + 1 == len(self.stages)):
                    return False
            if self.stage + 1 == len(self.stages):
                return True
            self.stages[self.stage].networks.requires_grad_(False)
            self.stage, self.epoch = self.stage + 1, 0
            self.optimiser = self._optimiser()
        return True

    def _one_epoch(self, show: TrainingProgress) -> None:
        here, training = self.stages[self.stage], self.settings.training
        factor = training.factor(self.epoch)
        self.optimiser.set_rate(training.lr * factor)
        here.method.scale_rate(factor)
        orders = self.replicas.orders(self.epoch, self.feeder.labels.cpu(), training.per_class)
        sums: dict[str, Tensor] = {}
        began, rows = time.perf_counter(), 0
        self._learn(here, on=True)
        for place, active in batches(orders, self.replicas.train_counts, self.batch_size):
            moving = torch.tensor(active, device=self.device)
            for name, value in self.step(here, place.to(self.device), active).items():
                sums[name] = sums.get(name, 0.0) + torch.where(moving, value, 0.0)
            rows += self.batch_size * sum(active)
        count = steps(self.replicas.train_counts, self.batch_size).to(self.device)
        terms = {name: value / count for name, value in sums.items()}
        speed = rows / max(time.perf_counter() - began, 1e-9)
        self._learn(here, on=False)
        self._check_finite(terms)
        terms |= here.method.end_of_epoch(self.epoch)
        self.epoch += 1
        line: dict[str, Any] = {"stage": here.name, "epoch": self.epoch}
        line |= {"terms": {name: _rounded(value) for name, value in terms.items()}}
        every = max(1, training.epochs // training.checks)
        if self.epoch % every == 0 or self.epoch == training.epochs:
            line["curve"] = curve(here.outputs, here.networks, self.feeder, self.replicas)
        self.history.append(line)
        show.done = self.stage * show.epochs + self.epoch - 1
        show.step(self.epoch - 1, {}, speed)
        few = list(terms.items())[:_SHOWN]
        show.epoch(self.epoch - 1, {name: float(value.mean()) for name, value in few}, speed)

    @staticmethod
    def _learn(here: Stage, *, on: bool) -> None:
        """Training mode, or that of use, in which networks are outside of an epoch; what is frozen stays in use."""
        here.networks.train(on)
        auxiliary = here.networks.auxiliary
        if auxiliary is not None and not any(p.requires_grad for p in auxiliary.extractors.parameters()):
            auxiliary.extractors.eval()

    def step(self, here: Stage, place: Tensor, active: list[bool]) -> dict[str, Tensor]:
        """One step of the active replicas on the rows at (G, B) places of their training sides; terms, (G,) each."""
        rows = self.train_rows.gather(1, place)
        batch = Batch(self.feeder.labels[rows], self.feeder.whole[rows], place, active, self.epoch)
        whole = self.feeder.inputs(rows, self._needed(here))
        inputs = self._dropped(whole, here, batch) if self.settings.networks.dropout else whole
        with idle_stay(here.networks, active):
            outputs = here.outputs(inputs, whole)
        terms = here.method.terms(outputs, batch)
        here.method.total(terms, self.epoch).sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step(active)
        logged = {name: value.detach() for name, value in terms.items()}
        return logged | here.method.after_step(outputs, batch)

    def _needed(self, here: Stage) -> tuple[str, ...]:
        alone = here.networks.auxiliary is None and here.teacher is None
        return here.networks.student.modalities if alone else (*self.shape.targets, *self.shape.auxiliaries)

    def _dropped(self, inputs: Inputs, here: Stage, batch: Batch) -> Inputs:
        """Whole features (all frames of a channel) are dropped; what is left is scaled up.

        Frozen extractors see everything: they are past training.
        """
        found = dict(inputs.values)
        rate, keyed = self.settings.networks.dropout, batch.draws(self.replicas.replica_seeds)
        least = round(rate * 2**16) - 2**15
        frozen = here.networks.auxiliary is not None and self.settings.networks.auxiliary_extractor == "frozen"
        for name, x in inputs.values.items():
            if frozen and name in self.shape.auxiliaries:
                continue
            width = x.shape[-1]
            # four numbers of 16 bits from every word: hashing would otherwise be a fifth of a step
            numbers = keyed.words(f"dropout {name}", -(-width // 4)).view(torch.int16)[:, :width]
            scale = (numbers.view(*x.shape[:2], width) >= least).to(x.dtype) / (1 - rate)
            found[name] = x * (scale if x.ndim == 3 else scale[:, :, None])
        return Inputs(found, inputs.lengths)

    def _check_finite(self, terms: dict[str, Tensor]) -> None:
        for name, value in terms.items():
            bad = (~value.isfinite()).nonzero().flatten().tolist()
            if bad:
                fold, seed = self.replicas.replica_folds[bad[0]].name, self.replicas.replica_seeds[bad[0]]
                raise RunError(
                    f"the term {name} is not finite in epoch {self.epoch + 1} ({fold}, seed {seed}); lower --lr or the "
                    "weight of the term"
                )

    # ------------------------------------------------------------------ on disk

    def state(self) -> dict[str, Any]:
        """Everything that a bit-exact resume needs."""
        return {
            "stage": self.stage,
            "epoch": self.epoch,
            "history": json.dumps(self.history),
            "seconds": self.seconds,
            "modules": [stage.modules().state_dict() for stage in self.stages],
            "optimiser": self.optimiser.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        for stage, saved in zip(self.stages, state["modules"], strict=True):
            stage.modules().load_state_dict(saved)
        self.stage, self.epoch = state["stage"], state["epoch"]
        for stage in self.stages[: self.stage]:
            stage.networks.requires_grad_(False)
        self.history, self.seconds = json.loads(state["history"]), state["seconds"]
        self.optimiser = self._optimiser()
        self.optimiser.load_state_dict(state["optimiser"])

    def save(self, out: Path) -> None:
        """Write a checkpoint and the metrics; older checkpoints go."""
        folder = out / "checkpoints"
        folder.mkdir(exist_ok=True)
        number = self.stage * self.settings.training.epochs + self.epoch
        with written(folder / f"step-{number:08d}.pt") as partial_file:
            torch.save({"version": CHECKPOINT_VERSION, **self.state()}, partial_file)
        for old in sorted(folder.glob("step-*.pt"))[:-_KEPT]:
            old.unlink()
        with written(out / "metrics.jsonl") as partial_file:
            partial_file.write_text("".join(json.dumps(line) + "\n" for line in self.history))

    def restore(self, out: Path) -> None:
        """Go on from the latest checkpoint, if there is one."""
        found = sorted((out / "checkpoints").glob("step-*.pt"))
        if found:
            self.load(load_checkpoint(found))

    @property
    def main(self) -> Stage:
        """The last stage."""
        return self.stages[-1]


def _move(method: Method, device: torch.device, dtype: torch.dtype) -> None:
    """Parameters and single-precision buffers to ``dtype``; double-precision statistics stay."""
    for module in method.modules():
        for name, parameter in module.named_parameters(recurse=False):
            module._parameters[name] = nn.Parameter(parameter.detach().to(device, dtype))
        for name, buffer in module.named_buffers(recurse=False):
            kind = dtype if buffer.dtype == torch.float32 else buffer.dtype
            module._buffers[name] = buffer.to(device, kind)


def _rounded(value: Tensor) -> list[float]:
    return [round(v, 6) for v in value.double().tolist()]
