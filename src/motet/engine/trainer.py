"""One pretraining: the loop, its interruption and its bit-exact continuation.

The loop is short on purpose: Lightning Fabric carries devices, precision and processes; every random draw of the data
path is a function of (seed, epoch, clip, view), so a checkpoint needs no sampler or loader state beyond a step number.
"""

from __future__ import annotations

import inspect
import json
import logging
import math
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from motet.core.devices import one_thread, usable
from motet.core.distributed import (
    any_rank,
    ended_at_once,
    gather_rows,
    lost_peer,
    mean_over_ranks,
    rank,
    reason,
    synchronise,
    world_size,
)
from motet.core.errors import ConfigError, Interrupted, MotetWarning, RunError
from motet.core.files import written
from motet.core.progress import TrainingProgress
from motet.core.rng import CounterRNG
from motet.core.signals import stop_signals
from motet.data.archive import MotionArchive
from motet.data.augment import check_options
from motet.data.loader import ClipStore, augmented_views, batches
from motet.data.splits import Split, split
from motet.engine.checkpoint import save_checkpoint
from motet.engine.config import Optimiser, Recipe
from motet.engine.model import Model, encoder_options
from motet.engine.monitor import online_knn, spread
from motet.engine.run import Run
from motet.methods.contrastive import ContrastiveHost
from motet.methods.sensors import Companion, Feed, layout


def make_optimiser(options: Optimiser, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam; one fused pass over all parameters."""
    if options.optimiser == "sgd":
        return torch.optim.SGD(parameters, options.lr, options.momentum, weight_decay=options.weight_decay, fused=True)
    return torch.optim.Adam(parameters, options.lr, weight_decay=options.weight_decay, fused=True)


def _fabric(recipe: Recipe) -> Fabric:
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision it was asked for
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if recipe.precision == "bf16" else "32-true"
    accelerator = usable(recipe.device)
    # keys are gathered and batch norms see all rows, so buffers agree without being sent
    strategy = DDPStrategy(**_KEEP_BUFFERS) if recipe.processes > 1 else "auto"
    return Fabric(
        accelerator=accelerator,
        devices=recipe.devices,
        num_nodes=recipe.nodes,
        strategy=strategy,
        precision=precision,
    )


# newer versions of torch have renamed the option and warn about the old name
_RENAMED = "forward_sync_buffers" in inspect.signature(DistributedDataParallel.__init__).parameters
_KEEP_BUFFERS: dict[str, Any] = {"forward_sync_buffers" if _RENAMED else "broadcast_buffers": False}
SMALL_ENCODER = 128
"""hidden units up to which one thread is as fast as several."""
SAVED_EVERY = 600.0
"""seconds after which the end of an epoch saves a checkpoint, whatever the recipe's interval."""


class Trainer:
    """One pretraining in memory: method, optimiser and position."""

    def __init__(
        self,
        recipe: Recipe,
        archive: MotionArchive,
        parts: Split,
        *,
        progress: bool,
        sensors: Mapping[str, Companion] | None = None,
    ) -> None:
        self.recipe, self.archive, self.parts, self.show = recipe, archive, parts, progress
        self.sensors = dict(sensors or {})
        self.fabric = _fabric(recipe)
        if recipe.processes == 1:
            self._prepare(recipe, archive, parts)
            return
        with ended_at_once(self._children):
            self.fabric.launch()
            self._prepare(recipe, archive, parts)
        if self.fabric.device.type == "cpu":
            # from here on gloo tells of a process that died; Lightning would kill this one before it could say so
            self._children().clear()

    def _children(self) -> list[Any]:
        """Processes that this one started, a list that Lightning's observer looks at."""
        found: list[Any] = getattr(self.fabric.strategy.launcher, "procs", [])
        return found

    def _prepare(self, recipe: Recipe, archive: MotionArchive, parts: Split) -> None:
        torch.manual_seed(recipe.seed)
        channels = len(archive.channels)
        self.feeds = {n: Feed(c, recipe, parts.train, self.fabric.device) for n, c in self.sensors.items()}
        self._check_sensors()
        self.host = self._make_host()
        if recipe.processes > 1:
            synchronise(self.host)
        self.store = ClipStore(archive, parts.train, preprocess=recipe.preprocess, device=self.fabric.device)
        recipe.method.check_schedule(self.steps, recipe.epochs, recipe.batch_size)
        check_options(recipe.augment, self.store.skeleton, channels)
        recipe.method.check_layout(self.store.skeleton, channels)
        parameters = [p for p in self.host.parameters() if p.requires_grad]
        optimiser = make_optimiser(recipe.optimiser, parameters)
        self.module, self.optimiser = self.fabric.setup(self.host, optimiser)
        self.monitored = _monitored(parts, archive, recipe.seed)
        self.epoch, self.step_in_epoch = 0, 0
        self.sums: dict[str, float] = {}
        self.watched: dict[str, list[float]] = {}
        self.seconds = 0.0
        self.collapse_told = False
        self._test_feeds: dict[str, Feed] = {}

    def _check_sensors(self) -> None:
        recipe, gaps = self.recipe, [name for name, feed in self.feeds.items() if feed.gaps]
        if self.feeds and recipe.method.clips > 2:
            raise ConfigError(f"{recipe.method.title} distorts skeletons; streams of other sensors need another recipe")
        if not gaps:
            return
        lacking = f"some training clips lack the sensor {gaps[0]}"
        if not recipe.method.allows_gaps:
            raise ConfigError(
                f"{lacking}, which {recipe.method.title} does not allow for; use moco, mcl, crossclr or cmd"
            )
        if recipe.processes > 1:
            raise ConfigError(f"{lacking}; such a set trains on one process only: leave --devices out")

    def _make_host(self) -> ContrastiveHost:
        recipe, archive = self.recipe, self.archive
        more: dict[str, Any] = {}
        if self.feeds:
            more["sensors"] = {name: layout(recipe, companion) for name, companion in self.sensors.items()}
            more["gaps"] = any(feed.gaps for feed in self.feeds.values())
        return recipe.method.host(
            recipe.streams,
            skeleton=archive.skeleton,
            persons=archive.persons,
            channels=len(archive.channels),
            encoder=encoder_options(recipe.encoder),
            epochs=recipe.epochs,
            **more,
        )

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return len(self.store.ids) // self.recipe.batch_size

    def seconds_per_step(self, steps: int) -> float:
        """Median time of a step as the last epochs will have it, all terms in force; the trainer is of no use after."""
        self.epoch = max(0, self.recipe.epochs - 1)
        self.host.queue.filled.fill_(self.host.queue.size)  # terms that wait for keys do not wait
        order = batches(self.store.ids, self.recipe.batch_size, seed=self.recipe.seed, epoch=self.epoch)
        order = order.shard(rank(), world_size())
        self.module.train()
        taken = []
        for number in range(steps + 1):
            began = time.perf_counter()
            self._step(order[number % len(order)])
            taken.append(time.perf_counter() - began)
        return median(taken[1:])  # the first is cold

    def state(self) -> dict[str, Any]:
        """Everything that a bit-exact continuation needs."""
        return {
            "host": self.host.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "sums": dict(self.sums),
            "watched": {name: list(entry) for name, entry in self.watched.items()},
            "seconds": self.seconds,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        try:
            self.host.load_state_dict(state["host"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.epoch, self.step_in_epoch = state["epoch"], state["step_in_epoch"]
            self.sums, self.seconds = dict(state["sums"]), state["seconds"]
            self.watched = {name: list(entry) for name, entry in state.get("watched", {}).items()}
            torch.set_rng_state(state["rng"])
            if state["cuda_rng"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(state["cuda_rng"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise RunError(f"the checkpoint does not fit this run ({error}); pretrain again") from error

    def train(self, run: Run) -> Run:
        """Train to the last epoch, write the weights and return the run.

        Raises:
            Interrupted: stopped by a signal; the state is saved.
            RunError: a loss is not finite, or another process of the training is gone.
        """
        small = self.fabric.device.type == "cpu" and self.recipe.encoder.hidden <= SMALL_ENCODER
        with stop_signals() as stopped, one_thread(small):  # first of all: a signal must find the run resumable
            try:
                self._train(run, stopped)
            except RuntimeError as error:
                if not lost_peer(error):
                    raise
                there = "go on from the last checkpoint" if run.checkpoints else "begin anew (no epoch was finished)"
                raise RunError(
                    f"another process of the training has stopped ({reason(error)}); its own message says why. Start "
                    f"all of them again to {there}: `motet pretrain --resume {run.path}`"
                ) from error
        return run

    def _train(self, run: Run, stopped: list[int]) -> None:
        truncate_metrics(run, self.epoch)
        done = self.epoch * self.steps + self.step_in_epoch
        every = self.recipe.checkpoint_every or max(1, self.recipe.epochs // 10)
        saved = time.monotonic()
        show = TrainingProgress(self.recipe.epochs, self.steps, done, show=self.show and rank() == 0)
        with show:
            while self.epoch < self.recipe.epochs:
                self._epoch(run, show, stopped)
                self._end_of_epoch(run, show)
                stopping = self._stopping(stopped)
                due = any_rank(time.monotonic() - saved > SAVED_EVERY, self.fabric.device)
                # the first epoch is saved too, so that a kill soon after the beginning does not cost all of it
                if self.epoch % every == 0 or self.epoch in (1, self.recipe.epochs) or stopping or due:
                    self._checkpoint(run)
                    saved = time.monotonic()
                if stopping and self.epoch < self.recipe.epochs:
                    self._leave(run, stopped)
        if rank() == 0:
            self._save_sensors(run)
            with written(run.path / "model.safetensors") as partial:
                self._model().save(partial)
        self.fabric.barrier()

    def _epoch(self, run: Run, show: TrainingProgress, stopped: list[int]) -> None:
        recipe = self.recipe
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.optimiser.lr_at(self.epoch)
        order = batches(self.store.ids, recipe.batch_size, seed=recipe.seed, epoch=self.epoch)
        order = order.shard(rank(), world_size())
        self.module.train()
        while self.step_in_epoch < self.steps:
            began = time.perf_counter()
            losses = self._step(order[self.step_in_epoch])
            self.step_in_epoch += 1
            self.seconds += time.perf_counter() - began
            for name, value in losses.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            show.step(self.epoch, losses, self._speed())
            if self._stopping(stopped) and self.step_in_epoch < self.steps:
                self._checkpoint(run)
                self._leave(run, stopped)

    def _clips(self, ids: Tensor) -> tuple[Tensor, ...]:
        """The augmented clips of the main archive in a step, each (B, T, P, V, C)."""
        recipe = self.recipe
        return augmented_views(
            self.store,
            ids,
            recipe.augment,
            seed=recipe.seed,
            epoch=self.epoch,
            frames=recipe.frames,
            views=recipe.method.clips,
        )

    def _step(self, ids: Tensor) -> dict[str, float]:
        recipe = self.recipe
        views = self._clips(ids)
        rows = ids.to(self.store.device)
        keyed = [CounterRNG(recipe.seed, self.epoch, rows, view) for view in range(len(views))]
        transformed = recipe.method.transform(views, keyed, self.store.skeleton)
        losses: dict[str, Tensor] = self._forward(ids, transformed)
        names, watched = list(losses), self.host.watched
        values = torch.stack(list(losses.values()))
        # one transfer for all numbers of a step
        told = torch.cat([values.detach(), *(value.view(1).to(values.dtype) for value in watched.values())])
        numbers = mean_over_ranks(told).tolist()
        self._watch(dict(zip(watched, numbers[len(names) :], strict=True)))
        numbers = numbers[: len(names)]
        if not all(math.isfinite(v) for v in numbers):
            bad = [f"{name} = {value}" for name, value in zip(names, numbers, strict=True) if not math.isfinite(value)]
            self._not_finite(f"the loss is not finite ({', '.join(bad)})", ids, views)
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(values.sum())
        moved = {n: p.grad for n, p in self.host.named_parameters() if p.grad is not None}
        if not get_total_norm(moved.values()).isfinite():
            bad = [name for name, grad in moved.items() if not grad.isfinite().all()]
            what = f"the loss is finite but its gradient is not (in {', '.join(bad) or 'its norm'})"
            self._not_finite(what, ids, views)
        self.optimiser.step()
        return dict(zip(names, numbers, strict=True))

    def _forward(self, ids: Tensor, clips: Sequence[Tensor]) -> Any:
        """Terms of a step, with the clips of other sensors beside those of the main archive."""
        if not self.feeds:
            return self.module(clips[0], clips[1], self.epoch, *clips[2:])
        both: list[dict[str, Tensor]] = [{"": clip} for clip in clips]
        for name, feed in self.feeds.items():
            for clip, of_sensor in zip(both, feed.views(ids, epoch=self.epoch, views=len(both)), strict=True):
                clip[name] = of_sensor
        present = {name: feed.present(ids) for name, feed in self.feeds.items() if feed.gaps}
        return self.module(both[0], both[1], self.epoch, present=present)

    def _watch(self, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            if math.isfinite(value):
                entry = self.watched.setdefault(name, [0.0, 0])
                entry[0], entry[1] = entry[0] + value, entry[1] + 1

    def _not_finite(self, what: str, ids: Tensor, views: Sequence[Tensor]) -> None:
        largest = torch.stack([view.detach().abs().flatten(1).amax(1) for view in views]).amax(0)
        largest, rows = gather_rows(largest), gather_rows(ids.to(largest.device)).cpu()
        # clips that can have caused it come first: coordinates that are not finite, then the largest ones
        order = largest.nan_to_num(math.inf, posinf=math.inf).argsort(descending=True).cpu()
        names = self.archive.clips["name"].gather(rows[order].numpy())
        raise RunError(
            f"{what} in epoch {self.epoch + 1}, step {self.step_in_epoch + 1}. Clips of the batch, those with the "
            f"largest coordinates (up to {float(largest.max()):.3g}) first: {', '.join(names)}. The weights were not "
            "moved; look at the clips with `motet data inspect`, or lower --lr"
        )

    def _speed(self) -> float:
        return self.step_in_epoch * self.recipe.batch_size / max(self.seconds, 1e-9)

    def _end_of_epoch(self, run: Run, show: TrainingProgress) -> None:
        terms = {name: total / self.steps for name, total in self.sums.items()}
        every = self.recipe.monitor_every or max(1, self.recipe.epochs // 20)
        line: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "step": (self.epoch + 1) * self.steps,
            "loss": sum(terms.values()),
            "terms": terms,
            "lr": self.recipe.optimiser.lr_at(self.epoch),
            "samples_per_second": self._speed(),
            "seconds": self.seconds,
            "peak_memory_mb": _peak_memory(self.fabric.device),
        }
        if self.watched:
            line["watched"] = {name: total / count for name, (total, count) in self.watched.items()}
        if (self.epoch + 1) % every == 0 or self.epoch + 1 == self.recipe.epochs:
            self._monitor(line, show)
        if rank() == 0:
            with (run.path / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            if self.recipe.tensorboard:
                _tensorboard(run, line)
        show.epoch(self.epoch, terms, self._speed())
        self.epoch, self.step_in_epoch, self.sums, self.seconds = self.epoch + 1, 0, {}, 0.0
        self.watched = {}

    def _monitor(self, line: dict[str, Any], show: TrainingProgress) -> None:
        train, test = self.monitored
        features = self._model().encode(self.store, train)
        for name, feed in self.feeds.items():
            own = feed.own(train)
            if len(own):
                of_sensor = self._sensor_model(name).encode(feed.store, own)
                features |= {f"{name}:{view}": f for view, f in of_sensor.items()}
        line["spread"] = {s: spread(f) for s, f in features.items()}
        flat = [s for s, value in line["spread"].items() if value < 1e-3]
        if flat and self.epoch >= max(3, self.recipe.epochs // 5) and not self.collapse_told:
            self.collapse_told = True
            warnings.warn(
                f"features of {', '.join(flat)} have collapsed: all clips look alike to the encoder. Lower --lr, "
                "weaken the augmentation (--shear, --mask, --corruption) or look at the clips: `motet data inspect`",
                MotetWarning,
                stacklevel=2,
            )
        if len(test):
            if not hasattr(self, "_test_store"):
                self._test_store = ClipStore(
                    self.archive, test, preprocess=self.recipe.preprocess, device=self.fabric.device
                )
            others = self._model().encode(self._test_store, test)
            labels = self.store.labels_of(train), self._test_store.labels_of(test)
            main = {s: f for s, f in features.items() if s in others}
            line["knn"] = online_knn(main, others, *labels) | self._knn_of_sensors(features)
            show.knn = "  kNN " + " ".join(f"{100 * v:.1f}" for v in line["knn"].values())

    def _knn_of_sensors(self, features: Mapping[str, Tensor]) -> dict[str, float]:
        """The online kNN of every other sensor's streams, on the clips that it recorded."""
        train, test = self.monitored
        found: dict[str, float] = {}
        for name, companion in self.sensors.items():
            feed = self.feeds[name]
            if not len(feed.own(test)) or not len(feed.own(train)):
                continue
            if name not in self._test_feeds:
                self._test_feeds[name] = Feed(companion, self.recipe, test, self.fabric.device)
            there = self._test_feeds[name]
            model = self._sensor_model(name)
            own = {view: features[f"{name}:{view}"] for view in model.streams}
            others = model.encode(there.store, there.own(test))
            labels = feed.store.labels_of(feed.own(train)), there.store.labels_of(there.own(test))
            found |= {f"{name}:{view}": value for view, value in online_knn(own, others, *labels).items()}
        return found

    def _sensor_model(self, name: str) -> Model:
        archive = self.sensors[name].archive
        return Model(
            self.recipe.for_sensor(name),
            archive.skeleton,
            archive.persons,
            len(archive.channels),
            encoders=[e for e, of in zip(self.host.encoders, self.host.sensor_of, strict=True) if of == name],
            device=self.fabric.device,
        )

    def _save_sensors(self, run: Run) -> None:
        """Each other sensor's encoders as a run of its own, to be judged and used without the rest."""
        for name, companion in self.sensors.items():
            folder = run.path / "sensors" / name
            shutil.rmtree(folder, ignore_errors=True)
            parts = split(companion.archive, self.parts.name)
            facts = {"split": parts.name, "train_clips": len(parts.train), "test_clips": len(parts.test)}
            own = Run.create(
                folder, self.recipe.for_sensor(name), companion.archive, {**facts, "trained_in": str(run.path)}
            )
            with written(own.path / "model.safetensors") as partial:
                self._sensor_model(name).save(partial)

    def _model(self) -> Model:
        recipe, archive = self.recipe, self.archive
        return Model(
            recipe,
            archive.skeleton,
            archive.persons,
            len(archive.channels),
            encoders=[e for e, of in zip(self.host.encoders, self.host.sensor_of, strict=True) if not of],
            device=self.fabric.device,
        )

    def _checkpoint(self, run: Run) -> None:
        if rank() == 0:
            step = self.epoch * self.steps + self.step_in_epoch
            save_checkpoint(run, step, self.state(), self.recipe.keep_checkpoints)
        self.fabric.barrier()

    def _stopping(self, stopped: list[int]) -> bool:
        return any_rank(bool(stopped), self.fabric.device)

    def _leave(self, run: Run, stopped: list[int]) -> None:
        number = stopped[0] if stopped else signal.SIGTERM  # another process caught it
        name = signal.Signals(number).name
        where = f"epoch {self.epoch + 1}, after step {self.step_in_epoch} of {self.steps}"
        error = Interrupted(f"stopped by {name} in {where}; go on with `motet pretrain --resume {run.path}`")
        error.status = 128 + number
        raise error


def _monitored(parts: Split, archive: MotionArchive, seed: int) -> tuple[Tensor, Tensor]:
    """Labelled clips for the online kNN: at most 4,000 of the training side and 1,000 of the test side."""

    def some(ids: Any, most: int) -> Tensor:
        known = torch.as_tensor(ids[archive.labels[ids] >= 0])
        if len(known) <= most:
            return known
        order = CounterRNG(seed, 0, known, -2).order("monitor")
        return known[order[:most]].sort().values

    # a clip that trains says nothing as a test clip
    train, test = some(parts.train, 4000), some(np.setdiff1d(parts.test, parts.train), 1000)
    if len(train) == 0:  # unlabelled: nothing to classify, but collapse still shows
        return torch.as_tensor(parts.train[:4000]), test[:0]
    return train, test


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


def truncate_metrics(run: Run, epochs: int) -> None:
    """Drop metrics of epochs that will be trained again after a resume."""
    path = run.path / "metrics.jsonl"
    if rank() == 0 and path.exists():
        kept = [line for line in path.read_text().splitlines() if _epoch_of(line) <= epochs]
        with written(path) as partial:
            partial.write_text("".join(line + "\n" for line in kept))


def _epoch_of(line: str) -> float:
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):  # a line cut short by a kill
        return math.inf


def _tensorboard(run: Run, line: Mapping[str, Any]) -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("--tensorboard needs a package that is not installed: pip install tensorboard") from error
    with SummaryWriter(str(run.path / "tensorboard")) as writer:
        flat = {"loss": line["loss"], "lr": line["lr"]}
        flat |= {f"terms/{k}": v for k, v in line["terms"].items()}
        flat |= {f"knn/{k}": v for k, v in line.get("knn", {}).items()}
        flat |= {f"watched/{k}": v for k, v in line.get("watched", {}).items()}
        for name, value in flat.items():
            writer.add_scalar(name, value, line["epoch"])
