"""The loop: stages, epochs and steps of a learner, their interruption and their bit-exact continuation.

Lightning Fabric carries devices, precision and processes; every random draw of the data path is a function of (seed,
epoch, clip, view), so a checkpoint needs no sampler or loader state beyond a step number.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from motet.core.chance import Chance, put_back, states
from motet.core.devices import keep_freed_memory, one_thread, usable
from motet.core.distributed import (
    average_gradients,
    ended_at_once,
    largest_over_ranks,
    lost_peer,
    mean_over_ranks,
    rank,
    reason,
    synchronise,
)
from motet.core.errors import ConfigError, Interrupted, MotetWarning, RunError
from motet.core.forms import checked
from motet.core.progress import LoopProgress
from motet.core.signals import stop_signals
from motet.core.text import counted, in_line, pasted
from motet.core.workers import end_with_parent
from motet.engine.checkpoint import check_of, load_checkpoint, save_checkpoint, upgraded
from motet.engine.forms import CheckpointForm
from motet.engine.learner import Held, Learner, Position
from motet.engine.metrics import Means, append_line, keep_lines
from motet.engine.options import Loop
from motet.engine.run import MISFITS, Run
from motet.engine.tensors import room
from motet.engine.trackers import Trackers

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SAVED_EVERY = 600.0
"""seconds after which a checkpoint is saved, whatever the interval in epochs."""
_STOP, _SAVE = 2, 1
_TRAINING = threading.RLock()  # trainings of one process come one after another: they share threads and signals


def _fabric(loop: Loop) -> Fabric:
    from lightning_fabric import Fabric  # slow to import, and needed by trainings alone
    from lightning_fabric.strategies.ddp import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision it was asked for
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if loop.precision == "bf16" else "32-true"

    class Bare(DDPStrategy):
        """Processes without a wrapper: :func:`average_gradients` knows which parameters a step leaves out."""

        def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
            return module

    strategy = Bare() if loop.processes > 1 else "auto"
    kind, _, number = usable(loop.device).partition(":")
    devices: int | list[int] = [int(number)] if number else loop.devices
    return Fabric(accelerator=kind, devices=devices, num_nodes=loop.nodes, strategy=strategy, precision=precision)


class Trainer:
    """One training in memory: a learner and its position.

    Args:
        make: the learner on a device; called in every process.
        loop: device, processes, precision, intervals.
        progress: show progress on stderr.
    """

    def __init__(self, make: Callable[[torch.device], Learner], loop: Loop, *, progress: bool = True) -> None:
        self.loop, self.show = loop, progress
        self.chance = Chance()
        self.fabric = _fabric(loop)
        if loop.processes == 1:
            self._prepare(make)
            return
        if int(os.environ.get("LOCAL_RANK", "0")):
            end_with_parent()
        with ended_at_once(self._children):
            self.fabric.launch()
            self._prepare(make)
        if self.fabric.device.type == "cpu":
            # from here on gloo tells of a process that died; Lightning would kill this one before it could say so
            self._children().clear()

    def _children(self) -> list[Any]:
        """Processes that this one started, a list that Lightning's observer looks at."""
        found: list[Any] = getattr(self.fabric.strategy.launcher, "procs", [])
        return found

    def _prepare(self, make: Callable[[torch.device], Learner]) -> None:
        if self.fabric.device.type == "cpu":
            keep_freed_memory()
        with self.chance, room():
            self.learner = make(self.fabric.device)
        self.means, self.seconds = Means(), 0.0
        self.line: dict[str, Any] | None = None
        self.lines: list[dict[str, Any]] = []
        self.saved = time.monotonic()
        self._enter(0)

    def _enter(self, stage: int) -> None:
        self.stage = stage
        self.epoch, self.step = self.learner.stages[stage].first, 0
        with self.chance, room():
            self.learner.begin_stage(self.learner.stages[stage])
        self._wrap()

    def _wrap(self) -> None:
        if self.loop.processes > 1:
            synchronise(self.learner)
        self.module = self.fabric.setup_module(self.learner)

    @property
    def at(self) -> Position:
        """The present position."""
        return Position(self.learner.stages[self.stage], self.epoch, self.step)

    def _steps(self, stage: int) -> int:
        """Steps of all stages before one."""
        return sum(s.epochs * s.steps for s in self.learner.stages[:stage])

    @property
    def done(self) -> int:
        """Steps done so far, over all stages."""
        at = self.at
        return self._steps(self.stage) + (at.epoch - at.stage.first) * at.stage.steps + at.step

    def seconds_per_step(self, steps: int) -> float:
        """Median time of a step as the last epochs will have it; the trainer is of no use after."""
        stage = self.learner.stages[self.stage]
        self.epoch = max(stage.first, stage.end - 1)
        self.learner.fill()
        self.learner.enter_epoch(self.at)
        self.module.train()
        taken = []
        for number in range(steps + 1):
            self.step = number % stage.steps
            began = time.perf_counter()
            with self.chance:
                self.one_step()
            taken.append(time.perf_counter() - began)
        return median(taken[1:])  # the first is cold

    # ------------------------------------------------------------------ on disk

    def state(self) -> dict[str, Any]:
        """Everything that a bit-exact continuation needs."""
        with self.chance:
            rng, cuda_rng = states()
        return {
            "learner": self.learner.state(),
            "stage": self.stage,
            "epoch": self.epoch,
            "step": self.step,
            "means": self.means.state(),
            "seconds": self.seconds,
            "line": self.line,
            "rng": rng,
            "cuda_rng": cuda_rng,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`.

        Raises:
            RunError: the checkpoint is of another training.
        """
        try:
            state = upgraded(state, self.learner.stages)
            checked(CheckpointForm, state, "its state")
            self.stage, self.epoch, self.step = (int(state[name]) for name in ("stage", "epoch", "step"))
            if not (self.at.stage.first <= self.epoch <= self.at.stage.end and self.step <= self.at.stage.steps):
                raise ValueError(f"it is at epoch {self.epoch}, step {self.step} of stage {self.at.stage.name}")
            self.learner.restore(state["learner"], self.learner.stages[self.stage])
            self._wrap()
            self.means.restore(state["means"])
            self.seconds, self.line = state["seconds"], state["line"]
            with self.chance:
                put_back((state["rng"], state["cuda_rng"]))
        except MISFITS as error:
            raise RunError(
                f"the checkpoint does not fit this run ({in_line(error)}); start again with another --out"
            ) from error

    def resume(self, run: Run) -> None:
        """Continue from the latest checkpoint of a run, if it has one.

        Raises:
            RunError: it had checkpoints, and they are gone or damaged.
        """
        if run.checkpoints:
            state = load_checkpoint(run.checkpoints)
            check_of(run, state)
            self.restore(state)
        elif run.metrics():
            raise RunError(
                f"{run.path} has trained {counted(len(run.metrics()), 'epoch')}, but its checkpoints are gone: it "
                "cannot be continued; start again with another --out"
            )
        else:
            warnings.warn(
                f"{run.path} has no checkpoint yet, so its training starts from the beginning",
                MotetWarning,
                stacklevel=3,
            )

    def _checkpoint(self, run: Run | None) -> None:
        if run is not None and rank() == 0:
            save_checkpoint(run, self.done, self.state(), self.loop.keep_checkpoints)
        self.fabric.barrier()
        self.saved = time.monotonic()

    # ------------------------------------------------------------------ the loop

    def fit(self, run: Run | None) -> Run | None:
        """Train to the end of the last stage and let the learner write what it has learned.

        Args:
            run: where to; None keeps nothing on disk.

        Raises:
            Interrupted: stopped by a signal; the state is saved.
            RunError: a loss is not finite, another process of the training is gone, or writes into the same run.
        """
        small = self.fabric.device.type == "cpu" and self.learner.small
        with stop_signals() as stopped, _TRAINING, one_thread(small):  # first of all: a signal must find it resumable
            try:
                with _locked(run), self.chance, torch.enable_grad():  # a program may have turned gradients off
                    self._fit(run, stopped)
            except RuntimeError as error:
                if not lost_peer(error):
                    raise
                there = "continue from the last checkpoint"
                there = there if run is not None and run.checkpoints else "start from the beginning (no epoch finished)"
                command = f": `motet resume {pasted(run.path)}`" if run is not None else ""
                raise RunError(
                    f"another process of the training has stopped ({reason(error)}); its own message says why. Start "
                    f"all of them again to {there}{command}"
                ) from error
        return run

    def _fit(self, run: Run | None, stopped: list[int]) -> None:
        learner = self.learner
        if run is not None and rank() == 0:
            finished = sum(s.epochs for s in learner.stages[: self.stage]) + self.epoch - self.at.stage.first
            keep_lines(run, finished, self.line)
        show = LoopProgress(self._steps(len(learner.stages)), self.done, show=self.show and rank() == 0)
        learner.say = show.say
        self.saved = time.monotonic()
        with Trackers(run if rank() == 0 else None, self.loop.all_trackers) as self.trackers, show:
            while True:
                self._stage(run, show, stopped)
                learner.end_stage(learner.stages[self.stage], run if rank() == 0 else None)
                if self.stage + 1 == len(learner.stages):
                    break
                self._enter(self.stage + 1)
        if run is not None and rank() == 0:
            learner.finish(run)
        self.fabric.barrier()

    def _stage(self, run: Run | None, show: LoopProgress, stopped: list[int]) -> None:
        stage = self.learner.stages[self.stage]
        while self.epoch < stage.end:
            self._epoch(run, show, stopped)
            at = Position(stage, self.epoch, stage.steps)
            line = self._line(at)
            self.means, self.seconds, self.line = Means(), 0.0, line
            self.lines.append(line)
            self.epoch, self.step = self.epoch + 1, 0
            wanted = self._wanted(stopped)
            # the first epoch is saved too, so that a kill soon after the beginning does not cost all of it
            first = self.stage == 0 and at.epoch == stage.first
            if at.every(self.loop.checkpoint_every, times=10) or first or wanted:
                self._checkpoint(run)
            if run is not None and rank() == 0:
                append_line(run, line)
                self.trackers.log(line)
            show.epoch(self._label(at), self._shown(line["terms"]), self._speed(at, line["seconds"]), line.get("knn"))
            if wanted & _STOP and not (at.last and self.stage + 1 == len(self.learner.stages)):
                self._leave(run, stopped)

    def _epoch(self, run: Run | None, show: LoopProgress, stopped: list[int]) -> None:
        at, learner = self.at, self.learner
        if at.step == 0:
            learner.begin_epoch(at)
        learner.enter_epoch(at)
        self.module.train()
        label = self._label(at)
        while self.step < at.stage.steps:
            began = time.perf_counter()
            losses = self.one_step()
            self.chance.rest()
            self.step += 1
            self.seconds += time.perf_counter() - began
            show.step(label, self._shown(losses), self._speed(self.at, self.seconds))
            wanted, interval = self._wanted(stopped), self.loop.checkpoint_steps
            due = interval and self.step % interval == 0
            if (wanted or due) and self.step < at.stage.steps:
                self._checkpoint(run)
                if wanted & _STOP:
                    self._leave(run, stopped)

    def one_step(self) -> dict[str, Any]:
        """One step of the optimiser at the present position; the value of each term, () or (replicas,)."""
        at, learner = self.at, self.learner
        batch = learner.batch(at)
        learner.observed = {}
        terms: dict[str, Tensor] = self.module(Held(batch))
        active = learner.active(batch)
        weights = learner.weights(at)
        parts = [terms[n] if weights is None else weights[n] * terms[n] for n in terms if weights is None or weights[n]]
        if not parts:
            raise ConfigError("every term has weight 0; nothing would be learned")
        total = torch.stack(parts)
        numbers = _numbers(terms, learner.observed)
        losses = {name: numbers[name] for name in terms}
        bad = [name for name, value in losses.items() if not np.isfinite(_of(value, active)).all()]
        if bad:
            values = [f"{name} = {self._worst(losses[name], active)}" for name in bad]
            self._not_finite(f"the loss is not finite ({', '.join(values)})", batch)
        learner.optimiser.zero_grad()
        self.fabric.backward(total.sum())
        average_gradients(p for p in learner.parameters() if p.requires_grad)
        moved = {n: p.grad for n, p in learner.named_parameters() if p.grad is not None}
        if not get_total_norm(moved.values()).isfinite():
            names = [name for name, grad in moved.items() if not grad.isfinite().all()]
            what = f"the loss is finite but its gradient is not (in {', '.join(names) or 'its norm'})"
            self._not_finite(what, batch)
        learner.move(batch)
        self.means.add("terms", losses, active)
        later = learner.after_step(batch)
        if later:
            self.means.add("later", _numbers(later, {}), active)
        seen = {n: numbers[n] for n in learner.observed if np.isfinite(numbers[n]).all()}
        self.means.add("diagnostics", seen, active)
        return losses

    def _worst(self, value: Any, active: Sequence[bool] | None) -> str:
        """A value that is not finite, with the replicas that have it."""
        if not np.ndim(value):
            return str(float(value))
        wrong = [i for i, v in enumerate(value) if not np.isfinite(v) and (active is None or active[i])]
        return f"{value[wrong[0]]} in {', '.join(self.learner.replicas[i] for i in wrong)}"

    def _not_finite(self, what: str, batch: Any) -> None:
        at = self.at
        rows = self.learner.rows(batch)
        raise RunError(
            f"{what} in {self._where(at)}, step {at.step + 1}. {rows}{' ' if rows else ''}The weights were not moved; "
            f"{self.learner.advice}"
        )

    def _line(self, at: Position) -> dict[str, Any]:
        """The entry of an epoch in metrics.jsonl."""
        learner = self.learner
        terms, diagnostics = self.means.of("terms"), self.means.of("diagnostics")
        weights = learner.weights(at)
        inside = dict.fromkeys(terms, 1.0) if weights is None else {n: weights[n] for n in terms if weights.get(n)}
        line: dict[str, Any] = {
            "epoch": at.epoch + 1,
            "stage": at.stage.name,
            "step": self.done,
            "loss": _plain(sum(w * terms[n] if w != 1.0 else terms[n] for n, w in inside.items())),
            "terms": {name: _plain(value) for name, value in (terms | self.means.of("later")).items()},
            "lr": learner.lr(at),
            "samples_per_second": self._speed(at, self.seconds),
            "seconds": self.seconds,
            "memory_mb": _peak_memory(self.fabric.device),
        }
        if diagnostics:
            line["diagnostics"] = {name: _plain(value) for name, value in diagnostics.items()}
        more = learner.end_epoch(at)
        line["terms"] |= more.pop("terms", {})
        return line | more

    def _speed(self, at: Position, seconds: float) -> float:
        return at.step * at.stage.rows / max(seconds, 1e-9)

    def _label(self, at: Position) -> str:
        name = f"{at.stage.name}, " if len(self.learner.stages) > 1 else ""
        return f"{name}epoch {at.epoch + 1}/{at.stage.end}"

    def _where(self, at: Position) -> str:
        return f"epoch {at.epoch + 1}" + (f" of stage {at.stage.name}" if len(self.learner.stages) > 1 else "")

    @staticmethod
    def _shown(losses: Mapping[str, Any]) -> dict[str, float]:
        """The first terms, for a line of progress; the mean over replicas."""
        return {name: float(np.mean(value)) for name, value in list(losses.items())[:8]}

    def _wanted(self, stopped: list[int]) -> int:
        """Whether to stop or to save, agreed by all processes."""
        due = time.monotonic() - self.saved > SAVED_EVERY
        return int(largest_over_ranks(_STOP * bool(stopped) + _SAVE * due, self.fabric.device))

    def _leave(self, run: Run | None, stopped: list[int]) -> None:
        number = stopped[0] if stopped else signal.SIGTERM  # another process caught it
        name, at = signal.Signals(number).name, self.at
        where = f"{self._where(at)}, after step {at.step} of {at.stage.steps}"
        kept = f"continue with `motet resume {pasted(run.path)}`" if run else "nothing was kept: there is no --out"
        error = Interrupted(f"stopped by {name} in {where}; {kept}")
        error.status = 128 + number
        raise error


@contextmanager
def _locked(run: Run | None) -> Iterator[None]:
    """One writer for a run, the first process for all."""
    if run is None or rank():
        yield
        return
    with run.lock():
        yield


def _numbers(terms: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Any]:
    """Values of scalars and of (replicas,) on the CPU, means over processes; one transfer for all."""
    values = {**terms, **more}
    kind = next(iter(values.values())).dtype
    flat = mean_over_ranks(torch.cat([v.detach().reshape(-1).to(kind) for v in values.values()])).cpu()
    together = flat.double().numpy()
    found, start = {}, 0
    for name, value in values.items():
        count = value.numel()
        found[name] = together[start] if value.ndim == 0 else together[start : start + count]
        start += count
    return found


def _of(value: Any, active: Sequence[bool] | None) -> Any:
    """The entries of the replicas that take a step."""
    return value if active is None or not np.ndim(value) else value[np.asarray(active)]


def _plain(value: Any) -> Any:
    """A mean for JSON: a number, or one of six digits for each replica."""
    return float(value) if not np.ndim(value) else [round(float(v), 6) for v in value]


def _peak_memory(device: torch.device) -> float:
    """MB: of the GPU where there is one, else resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    unit = 2**20 if sys.platform == "darwin" else 2**10  # kilobytes, on macOS bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
