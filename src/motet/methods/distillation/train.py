"""A distillation as the loop of :mod:`motet.engine.trainer` trains it: every fold and seed in one pass, stage by stage.

A stage trains one set of networks. Most methods have one; a frozen teacher or frozen auxiliary extractors are trained
in stages before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from motet.core.distributed import from_first, own_part, whole, world_size
from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.engine.learner import Learner, Position, Stage
from motet.engine.run import Run
from motet.methods.distillation.methods.alone import Alone
from motet.methods.distillation.methods.base import Batch, Context, Method
from motet.methods.distillation.methods.teacher import Teacher
from motet.methods.distillation.networks import WEIGHTS, Ensemble, Inputs, Outputs, Shape
from motet.methods.distillation.optimise import ReplicaOptimiser
from motet.methods.distillation.replicas import Feeder, Replicas, batches, steps
from motet.methods.distillation.replicated import idle_stay
from motet.methods.distillation.scores import curve
from motet.methods.distillation.settings import Settings

_LOOKS = 20  # at the test rows in a stage, for the curves, where no interval is given
_NAMED = 8  # rows in a message


@dataclass
class Phase:
    """Networks that learn together, in one stage.

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

    def learn(self, on: bool) -> None:
        """Training mode, or that of use; what is frozen stays in use."""
        self.networks.train(on)
        auxiliary = self.networks.auxiliary
        if auxiliary is not None and not any(p.requires_grad for p in auxiliary.extractors.parameters()):
            auxiliary.extractors.eval()


class Distillation(Learner):
    """A distillation of a table.

    Args:
        settings: see :class:`motet.methods.distillation.settings.Settings`.
        shape: modalities in use.
        feeder: their rows.
        replicas: folds and seeds.
        batch_size: rows per step, if smaller than that of the settings.
        dtype: of all weights.

    Attributes:
        finished: called with the learner and its run when training has ended.
    """

    advice = "lower --lr or the weight of the term"

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
        super().__init__()
        self.settings, self.shape, self.feeder, self.folded, self.dtype = settings, shape, feeder, replicas, dtype
        self.replicas = [
            f"{fold.name}, seed {seed}"
            for fold, seed in zip(replicas.replica_folds, replicas.replica_seeds, strict=True)
        ]
        self.device = feeder.device
        self.finished: Callable[[Distillation, Run], None] | None = None
        self.train_rows = replicas.train.to(self.device)
        self.batch_size = min(batch_size or settings.training.batch_size, int(replicas.train_counts.min()))
        if self.batch_size < world_size():
            raise ConfigError(
                f"a batch of {counted(self.batch_size, 'row')} cannot be shared by "
                f"{counted(world_size(), 'process')}; take fewer processes"
            )
        if self.batch_size < 2:
            raise ConfigError(f"a batch of {self.batch_size} row compares nothing; use more rows or a larger batch")
        self.phases = self._phases()
        for phase in self.phases:
            phase.networks.to(self.device, self.dtype).eval()
            phase.method.attach(phase.networks, phase.teacher)
            _move(phase.method, self.device, self.dtype)
        # a frozen teacher is the networks of an earlier phase, so every module is here once
        self.modules_of_phases = nn.ModuleList(
            nn.ModuleDict({"networks": phase.networks, "method": phase.method}) for phase in self.phases
        )
        longest = int(steps(replicas.train_counts, self.batch_size).max())
        rows = self.batch_size * len(replicas)
        self.stages = [Stage(phase.name, settings.training.epochs, longest, rows) for phase in self.phases]
        self.here = self.phases[0]
        self._batches: list[tuple[Tensor, list[bool]]] = []
        self._outputs = Outputs()

    # ------------------------------------------------------------------ what is trained

    def _phases(self) -> list[Phase]:
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
            raise ConfigError(
                f"method {self.settings.name} needs an auxiliary modality; name one by --auxiliary, or train without "
                "by --method alone"
            )
        phases = []
        seeds, frozen = self.folded.replica_seeds, None
        build = partial(Ensemble, seeds, self.shape, options)
        if taught and options.auxiliary_extractor == "frozen":
            others = replace(self.shape, targets=self.shape.auxiliaries, auxiliaries=())
            alone = Ensemble(seeds, others, options, name="auxiliary.", teacher=False)
            phases.append(Phase("auxiliary", alone, Alone().build(context)))
        if method.fixed_teacher:
            frozen = build(name="teacher.")
            phases.append(Phase("teacher", frozen, Teacher().build(context)))
        joint = taught and not method.fixed_teacher
        phases.append(Phase("main", build(teacher=joint), method, frozen))
        return phases

    def _check_teachable(self, context: Context) -> None:
        for fold, rows in zip(self.folded.replica_folds, context.rows, strict=True):
            if not rows.any():
                names = ", ".join((*self.shape.targets, *self.shape.auxiliaries))
                raise DataError(
                    f"{self.feeder.name}, {fold.name}: no training row has all of {names}, so there is no teacher; "
                    "leave an auxiliary out or divide the rows otherwise"
                )

    def _context(self) -> Context:
        counts, rows = self.folded.train_counts.to(self.device), self.train_rows
        real = torch.arange(rows.shape[1], device=self.device) < counts[:, None]
        return Context(
            seeds=self.folded.replica_seeds,
            features=self.settings.networks.features,
            classes=self.shape.classes,
            labels=self.feeder.labels[rows],
            rows=self.feeder.whole[rows] & real,
            counts=counts,
            batch_size=self.batch_size,
            epochs=self.settings.training.epochs,
        )

    @property
    def main(self) -> Phase:
        """The last phase."""
        return self.phases[-1]

    # ------------------------------------------------------------------ stages and epochs

    def begin_stage(self, stage: Stage) -> None:
        """Freeze what was trained before, hand extractors over, make the optimiser."""
        number = self.stages.index(stage)
        for earlier in self.phases[:number]:
            earlier.networks.requires_grad_(False)
        self.here = here = self.phases[number]
        if here.networks.auxiliary is not None and self.phases[0].name == "auxiliary":
            source = self.phases[0].networks.student.extractors
            here.networks.auxiliary.extractors.load_state_dict(source.state_dict())
            here.networks.auxiliary.extractors.requires_grad_(False)
        self.optimiser = self._optimiser()

    def _optimiser(self) -> Any:
        """Main optimiser of the present stage."""
        training = self.settings.training

        def make(parameters: list[Tensor]) -> torch.optim.Optimizer:
            decay = training.weight_decay
            if training.optimiser == "sgd":
                # not fused: that form fails where some weights have their first gradient after others (warm-up)
                return torch.optim.SGD(parameters, lr=training.lr, momentum=training.momentum, weight_decay=decay)
            return torch.optim.AdamW(parameters, lr=training.lr, weight_decay=decay, fused=True)

        return ReplicaOptimiser([*self.here.networks.parameters(), *self.here.method.own_parameters()], make)

    def enter_epoch(self, at: Position) -> None:
        training = self.settings.training
        factor = training.factor(at.epoch)
        self.optimiser.set_rate(training.lr * factor)  # type: ignore[attr-defined]
        self.here.method.scale_rate(factor)
        orders = self.folded.orders(at.epoch, self.feeder.labels.cpu(), training.per_class)
        self._batches = list(batches(orders, self.folded.train_counts, self.batch_size))

    def lr(self, at: Position) -> float:
        return self.settings.training.lr * self.settings.training.factor(at.epoch)

    def train(self, mode: bool = True) -> Distillation:
        """Training mode for what learns in the present stage; everything else stays in use."""
        super().train(False)
        self.here.learn(mode)
        return self

    # ------------------------------------------------------------------ a step

    def batch(self, at: Position) -> Batch:
        place, active = self._batches[at.step]
        place = place.to(self.device)
        rows = self.train_rows.gather(1, place)
        return Batch(self.feeder.labels[rows], self.feeder.whole[rows], place, active, at.epoch)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """Networks see this process's rows, the method those of all."""
        labels, seen, index = (own_part(x, 1) for x in (batch.labels, batch.rows, batch.index))
        own = replace(batch, labels=labels, rows=seen, index=index)
        undropped = self.feeder.inputs(self.train_rows.gather(1, own.index), self.needed(self.here))
        inputs = self._dropped(undropped, own) if self.settings.networks.dropout else undropped
        with idle_stay(self.here.networks, batch.active):
            found = self.here.outputs(inputs, undropped)
        self._outputs = _each(found, lambda x: whole(x, batch.index.shape[1], 1), but=WEIGHTS)
        return self.here.method.terms(self._outputs, batch)

    def weights(self, at: Position) -> Mapping[str, float]:
        return self.here.method.weights(at.epoch)

    def active(self, batch: Batch) -> Sequence[bool]:
        return batch.active

    def move(self, batch: Batch) -> None:
        self.optimiser.step(batch.active)  # type: ignore[call-arg]

    def after_step(self, batch: Batch) -> Mapping[str, Tensor]:
        found, self._outputs = self._outputs, Outputs()
        # in the precision of the weights, whatever autocast made of them
        return self.here.method.after_step(_each(found, lambda x: x.to(self.dtype)), batch)

    def needed(self, here: Phase) -> tuple[str, ...]:
        """Modalities that a phase sees."""
        alone = here.networks.auxiliary is None and here.teacher is None
        return here.networks.student.modalities if alone else (*self.shape.targets, *self.shape.auxiliaries)

    def _dropped(self, inputs: Inputs, batch: Batch) -> Inputs:
        """Whole features (all frames of a channel) are dropped; what is left is scaled up.

        Frozen extractors see everything: they are past training.
        """
        found = dict(inputs.values)
        rate, keyed = self.settings.networks.dropout, batch.draws(self.folded.replica_seeds)
        least = round(rate * 2**16) - 2**15
        frozen = self.here.networks.auxiliary is not None and self.settings.networks.auxiliary_extractor == "frozen"
        for name, x in inputs.values.items():
            if frozen and name in self.shape.auxiliaries:
                continue
            width = x.shape[-1]
            # four numbers of 16 bits from every word: hashing would otherwise be a fifth of a step
            numbers = keyed.words(f"dropout {name}", -(-width // 4)).view(torch.int16)[:, :width]
            scale = (numbers.view(*x.shape[:2], width) >= least).to(x.dtype) / (1 - rate)
            found[name] = x * (scale if x.ndim == 3 else scale[:, :, None])
        return Inputs(found, inputs.lengths)

    def rows(self, batch: Batch) -> str:
        index = self.train_rows.gather(1, batch.index)[0].tolist()
        more = f" and {len(index) - _NAMED} more" if len(index) > _NAMED else ""
        whose = f" of {self.replicas[0]}" if len(self.replicas) > 1 else ""
        return f"Rows{whose}: {', '.join(str(self.feeder.ids[n]) for n in index[:_NAMED])}{more}."

    # ------------------------------------------------------------------ what follows

    def end_epoch(self, at: Position) -> dict[str, Any]:
        self.train(False)
        found = self.here.method.end_of_epoch(at.epoch)
        line: dict[str, Any] = {"terms": {name: _rounded(value) for name, value in found.items()}}
        if at.every(self.settings.loop.monitor_every, times=_LOOKS):
            line["curve"] = from_first(lambda: curve(self.here.outputs, self.here.networks, self.feeder, self.folded))
        return line

    def state(self) -> dict[str, Any]:
        """Modules phase by phase, and the optimiser of the present one."""
        return {
            "modules": [module.state_dict() for module in self.modules_of_phases],
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: Mapping[str, Any], stage: Stage) -> None:
        self.begin_stage(stage)
        for module, saved in zip(self.modules_of_phases, state["modules"], strict=True):
            module.load_state_dict(saved)
        self.optimiser.load_state_dict(state["optimiser"])

    def finish(self, run: Run) -> None:
        self.train(False)
        if self.finished is not None:
            self.finished(self, run)


def _each(outputs: Outputs, change: Callable[[Tensor], Tensor], but: Sequence[str] = ()) -> Outputs:
    """Outputs with every tensor changed, but for some."""

    def of(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(of, value))
        return change(value) if isinstance(value, Tensor) else value

    return replace(outputs, **{f.name: of(getattr(outputs, f.name)) for f in fields(outputs) if f.name not in but})


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
