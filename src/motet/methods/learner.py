"""A pretraining as the loop of :mod:`motet.engine.trainer` trains it: clips in, terms of the method out."""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motet.core.distributed import gather_rows, rank, world_size
from motet.core.errors import ConfigError, MotetWarning
from motet.core.files import written
from motet.core.rng import CounterRNG
from motet.data.archive import MotionArchive
from motet.data.augment import check_options
from motet.data.loader import Batches, ClipStore, augmented_views, batches
from motet.data.splits import Split, split
from motet.data.together import Sets
from motet.engine.identity import identity
from motet.engine.learner import Learner, Position, Stage, load_optimiser, make_optimiser, set_rate
from motet.engine.monitor import online_knn, spread
from motet.engine.options import encoder_options
from motet.engine.run import Run
from motet.methods.base import Clips, Layout, Streams
from motet.methods.model import Model
from motet.methods.positives import Classes, Neighbours, Others, lessen, neighbours, people, views_of_neighbours
from motet.methods.recipe import Recipe
from motet.methods.sensors import Companion, Feed, layout
from motet.methods.start import Start
from motet.methods.whitening import check_actors, whiten

MODULE = "motet.methods.pretrain"
"""where runs of a pretraining are read."""
SMALL_ENCODER = 128
"""hidden units up to which one thread is as fast as several."""


@dataclass(frozen=True)
class Batch:
    """What a step sees.

    Attributes:
        ids: (B,) rows of the main archive.
        views: augmented clips of the main archive, each (B, T, P, V, C), before the method changes them.
        clips: what the streams see of them, with those of other sensors.
        present: sensor → (B,) bool, for those that some clip lacks; None without further sensors.
        epoch: counted from 0.
    """

    ids: Tensor
    views: tuple[Tensor, ...]
    clips: tuple[Clips, ...]
    present: Mapping[str, Tensor] | None
    epoch: int


class Pretraining(Learner):
    """One pretraining.

    Args:
        recipe: what to train.
        archive: recordings.
        parts: which clips train.
        device: where.
        sensors: recordings of other sensors, by name.
        start: encoders to start from.
        sets: which clips come from which archive, where there are several.

    Attributes:
        network: the module of the method.
        store: the training clips.
    """

    advice = "look at the clips with `motet data inspect`, or lower --lr"

    def __init__(
        self,
        recipe: Recipe,
        archive: MotionArchive,
        parts: Split,
        device: torch.device,
        sensors: Mapping[str, Companion] | None = None,
        *,
        start: Start | None = None,
        sets: Sets | None = None,
    ) -> None:
        super().__init__()
        self.recipe, self.archive, self.parts, self.device = recipe, archive, parts, device
        self.sensors = dict(sensors or {})
        torch.manual_seed(recipe.seed)
        channels = len(archive.channels)
        self.feeds = {n: Feed(c, recipe, parts.train, device) for n, c in self.sensors.items()}
        self._check_sensors()
        self.network = self._make_network()
        self.start = start
        if start is not None:
            start.into(self.network)
        self.network.to(device)
        self.sets = sets
        self.store = ClipStore(archive, parts.train, preprocess=recipe.preprocess, device=device)
        self.who = people(archive, self.store.ids, sets) if start is not None and recipe.neighbour_views else None
        self.others = self._others()
        rows = torch.arange(len(archive.clips))
        self.people = people(archive, rows, sets) if recipe.method.within_person() else None
        if self.people is not None:
            recipe.method.check_people(self.people[self.store.ids.cpu()])
        if recipe.whiten:
            check_actors(recipe.whiten_by, recipe.preprocess, archive.skeleton, channels)
        steps = sum(self._shares()) // recipe.batch_size
        self.stages = [Stage("pretrain", recipe.epochs, steps, rows=recipe.batch_size)]
        recipe.method.check_schedule(steps, recipe.epochs, recipe.batch_size)
        check_options(recipe.augment, self.store.skeleton, channels)
        recipe.method.check_layout(self.store.skeleton, channels)
        self.monitored = _monitored(parts, archive, recipe.seed)
        self._looks = _looks(recipe, self.stages[0], sum(map(len, self.monitored)))
        self.warned = False
        self._order: Batches | None = None
        self._test: dict[str, ClipStore | Feed] = {}

    @property
    def small(self) -> bool:  # type: ignore[override]
        encoder = self.recipe.encoder
        return encoder.encoder in ("tcn", "transformer") or encoder.hidden <= SMALL_ENCODER

    def _check_sensors(self) -> None:
        recipe, gaps = self.recipe, [name for name, feed in self.feeds.items() if feed.gaps]
        if self.feeds and recipe.class_views:
            raise ConfigError("views of other clips are of one sensor; leave --class-views out, or other sensors")
        if self.feeds and recipe.method.clips > 2:
            raise ConfigError(f"{recipe.method.title} distorts skeletons; streams of other sensors need another recipe")
        if not gaps:
            return
        lacking = f"some training clips lack the sensor {gaps[0]}"
        if not recipe.method.allows_gaps:
            raise ConfigError(
                f"{lacking}, which {recipe.method.title} does not allow for; use moco, mcl, crossclr or cmd"
            )
        if recipe.loop.processes > 1:
            raise ConfigError(f"{lacking}; such a set trains on one process only: leave --devices out")

    def _others(self) -> Others | None:
        """Where second views are cut from, if not from the clips themselves."""
        recipe = self.recipe
        if recipe.class_views:
            if recipe.method.clips < 2:
                raise ConfigError(f"{recipe.method.title} sees one view of a clip; leave --class-views out")
            return Classes(self.store, recipe.class_views, recipe.seed)
        if self.start is None or self.who is None or not views_of_neighbours(recipe, self.sensors):
            return None
        began, own = self.model(), self.start.model
        began.recipe = replace(began.recipe, whiten=own.recipe.whiten, statistics=own.recipe.statistics)
        began.whitening = {s: part.to(self.device) for s, part in own.whitening.items() if s in began.streams}
        pairs = neighbours(began.encode(self.store, self.store.ids), self.who)
        return Neighbours(self.store, pairs, recipe.neighbour_views, recipe.seed)

    def _make_network(self) -> Streams:
        recipe, archive = self.recipe, self.archive
        main = Layout(archive.skeleton, archive.persons, len(archive.channels), encoder_options(recipe.encoder))
        layouts = {"": main} | {name: layout(recipe, companion) for name, companion in self.sensors.items()}
        gaps = any(feed.gaps for feed in self.feeds.values())
        return recipe.method.build(recipe.streams, layouts, epochs=recipe.epochs, gaps=gaps)

    # ------------------------------------------------------------------ a step

    def begin_stage(self, stage: Stage) -> None:
        self.optimiser = make_optimiser(
            self.recipe.optimiser, [p for p in self.network.parameters() if p.requires_grad]
        )

    def enter_epoch(self, at: Position) -> None:
        recipe = self.recipe
        order = batches(self._drawn(at.epoch), recipe.batch_size, seed=recipe.seed, epoch=at.epoch)
        self._order = order.shard(rank(), world_size())

    def _shares(self) -> list[int]:
        """Clips of each archive in an epoch."""
        return [len(self.store)] if self.sets is None else self.sets.shares(self.recipe.set_weights)

    def _drawn(self, epoch: int) -> Tensor:
        """Clips of an epoch: all, or of each of several archives its share, others in every epoch."""
        if self.sets is None:
            return self.store.ids
        member = torch.from_numpy(self.sets.member)[self.store.ids]
        drawn = []
        for number, share in enumerate(self._shares()):
            own = self.store.ids[member == number]
            drawn.append(own[CounterRNG(self.recipe.seed, epoch, own, -3).order("sets")[:share]])
        return torch.cat(drawn)

    def batch(self, at: Position) -> Batch:
        assert self._order is not None
        rate = self.recipe.optimiser.lr_at(at.epoch + at.step / at.stage.steps, self.recipe.epochs)
        set_rate(self.optimiser, rate)  # type: ignore[arg-type]
        return self.batch_of(self._order[at.step], at.epoch)

    def batch_of(self, ids: Tensor, epoch: int) -> Batch:
        """What a step on some clips sees."""
        views = self._views(ids, epoch)
        keyed = [CounterRNG(self.recipe.seed, epoch, ids.to(self.store.device), view) for view in range(len(views))]
        seen = self.recipe.method.transform(views, keyed, self.store.skeleton)
        if not self.feeds:
            return Batch(ids, views, seen, None, epoch)
        both: list[dict[str, Tensor]] = [{"": clip} for clip in seen]
        for name, feed in self.feeds.items():
            for clip, of_sensor in zip(both, feed.views(ids, epoch=epoch, views=len(both)), strict=True):
                clip[name] = of_sensor
        present = {name: feed.present(ids) for name, feed in self.feeds.items() if feed.gaps}
        return Batch(ids, views, tuple(both), present, epoch)

    def _views(self, ids: Tensor, epoch: int) -> tuple[Tensor, ...]:
        """The augmented clips of the main archive in a step, each (B, T, P, V, C)."""
        recipe = self.recipe
        return augmented_views(
            self.store,
            ids,
            recipe.augment,
            seed=recipe.seed,
            epoch=epoch,
            frames=recipe.frames,
            views=recipe.method.clips,
            second=None if self.others is None else self.others.others(ids, epoch),
        )

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        owners = batch.ids if self.others is None else self.others.of(batch.ids)
        if self.people is not None:
            owners = torch.stack([owners, self.people[batch.ids.cpu()].to(owners)], dim=1)
        losses = self.network.losses(batch.clips, batch.epoch, batch.present, owners)
        self.observed = self.network.observed
        return losses

    def fill(self) -> None:
        self.network.fill()

    def rows(self, batch: Batch) -> str:
        largest = torch.stack([view.detach().abs().flatten(1).amax(1) for view in batch.views]).amax(0)
        largest, rows = gather_rows(largest), gather_rows(batch.ids.to(largest.device)).cpu()
        # clips that can have caused it come first: coordinates that are not finite, then the largest ones
        order = largest.nan_to_num(math.inf, posinf=math.inf).argsort(descending=True).cpu()
        names = self.archive.clips["name"].gather(rows[order].numpy())
        return (
            f"Clips of the batch, those with the largest coordinates (up to {float(largest.max()):.3g}) first: "
            f"{', '.join(names)}."
        )

    def state(self) -> dict[str, Any]:
        return {"host": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any], stage: Stage) -> None:
        self.network.load_state_dict(state["host"])
        self.begin_stage(stage)
        load_optimiser(self.optimiser, state["optimiser"])

    # ------------------------------------------------------------------ a look at the features

    def end_epoch(self, at: Position) -> dict[str, Any]:
        if not at.every(self.recipe.loop.monitor_every, times=self._looks):
            return {}
        train, test = self.monitored
        features = self.model().encode(self.store, train)
        for name, feed in self.feeds.items():
            own = feed.own(train)
            if len(own):
                of_sensor = self.model(name).encode(feed.store, own)
                features |= {f"{name}:{view}": f for view, f in of_sensor.items()}
        found: dict[str, Any] = {"spread": {s: spread(f) for s, f in features.items()}}
        flat = [s for s, value in found["spread"].items() if value < 1e-3]
        if flat and at.epoch >= max(3, self.recipe.epochs // 5) and not self.warned:
            self.warned = True
            warnings.warn(
                f"features of {', '.join(flat)} have collapsed: all clips look the same to the encoder. Lower --lr, "
                "weaken the augmentation (--shear, --mask, --corruption) or look at the clips: `motet data inspect`",
                MotetWarning,
                stacklevel=2,
            )
        if len(test):
            there = self._test.get("")
            if not isinstance(there, ClipStore):
                there = ClipStore(self.archive, test, preprocess=self.recipe.preprocess, device=self.device)
                self._test[""] = there
            others = self.model().encode(there, test)
            labels = self.store.labels_of(train), there.labels_of(test)
            main = {s: f for s, f in features.items() if s in others}
            if self.sets is None:
                found["knn"] = online_knn(main, others, *labels) | self._knn_of_sensors(features)
            else:
                found["knn"] = self._knn_of_sets(main, others, *labels)
        return found

    def _knn_of_sets(
        self, train: Mapping[str, Tensor], test: Mapping[str, Tensor], train_labels: Tensor, test_labels: Tensor
    ) -> dict[str, float]:
        """The online kNN of all streams together inside each archive, by its name."""
        assert self.sets is not None
        member = torch.from_numpy(self.sets.member)
        found = {}
        for number, name in enumerate(self.sets.names):
            rows, others = ((member[side] == number).nonzero()[:, 0].to(self.device) for side in self.monitored)
            if len(rows) and len(others):
                known, asked = ({s: f[own] for s, f in side.items()} for side, own in ((train, rows), (test, others)))
                score = online_knn(known, asked, train_labels[rows], test_labels[others])
                found[name] = score.get("all", next(iter(score.values())))
        return found

    def _knn_of_sensors(self, features: Mapping[str, Tensor]) -> dict[str, float]:
        """The online kNN of every other sensor's streams, on the clips that it recorded."""
        train, test = self.monitored
        found: dict[str, float] = {}
        for name, companion in self.sensors.items():
            feed = self.feeds[name]
            if not len(feed.own(test)) or not len(feed.own(train)):
                continue
            there = self._test.get(name)
            if not isinstance(there, Feed):
                there = self._test[name] = Feed(companion, self.recipe, test, self.device)
            model = self.model(name)
            own = {view: features[f"{name}:{view}"] for view in model.streams}
            others = model.encode(there.store, there.own(test))
            labels = feed.store.labels_of(feed.own(train)), there.store.labels_of(there.own(test))
            found |= {f"{name}:{view}": value for view, value in online_knn(own, others, *labels).items()}
        return found

    # ------------------------------------------------------------------ what is kept

    def model(self, sensor: str = "") -> Model:
        """The encoders of one sensor's streams, as they are now."""
        archive = self.sensors[sensor].archive if sensor else self.archive
        return Model(
            self.recipe.for_sensor(sensor) if sensor else self.recipe,
            archive.skeleton,
            archive.persons,
            len(archive.channels),
            encoders=[e for e, of in zip(self.network.encoders, self.network.sensor_of, strict=True) if of == sensor],
            device=self.device,
        )

    def finish(self, run: Run) -> None:
        """Each other sensor's encoders as a run of its own, to be used without the rest; then those of the main one.

        Those that began somewhere go part of the way back to it (``keep_start``).
        """
        for name, companion in self.sensors.items():
            folder = run.path / "sensors" / name
            shutil.rmtree(folder, ignore_errors=True)
            parts = split(companion.archive, self.parts.name)
            facts = {"split": parts.name, "train_clips": len(parts.train), "test_clips": len(parts.test)}
            facts["trained_in"] = str(run.path)
            own = create_run(folder, self.recipe.for_sensor(name), companion.archive, facts)
            feed = self.feeds[name]
            self._write(self.model(name), feed.store, own, None)
        model = self.model()
        if self.start is not None and self.recipe.keep_start:
            model = self.start.blended(model, self.recipe.keep_start)
        self._write(model, self.store, run, self.who)

    def _write(self, model: Model, store: ClipStore, run: Run, who: Tensor | None) -> None:
        recipe = model.recipe
        if recipe.whiten:
            whiten(model, store, store.ids, seed=recipe.seed, shrinkage=recipe.whiten, by=recipe.whiten_by)
            if who is not None:
                lessen(model, store, who)
        with written(run.path / "model.safetensors") as partial:
            model.save(partial)


def create_run(path: Any, recipe: Recipe, archive: MotionArchive, facts: Mapping[str, Any]) -> Run:
    """Start the run directory of a pretraining; ``facts`` go into its config next to recipe and data set.

    Raises:
        RunError: the directory exists and holds something.
    """
    return Run.create(path, "pretrain", MODULE, {"recipe": recipe.to_dict(), "data": identity(archive), **facts})


MOST_LOOKS, FEWEST_LOOKS = 20, 3
LOOK_SHARE = 0.05
"""of the work of a training that looks at its features may cost."""
STEP_PASSES = 4.0
"""passes through an encoder that a clip of a step costs: the query's, twice as much for its gradient, the key's."""


def _looks(recipe: Recipe, stage: Stage, clips: int) -> int:
    """How often the features are looked at where nothing else is asked for."""
    trained = STEP_PASSES * stage.epochs * stage.steps * stage.rows * recipe.frames
    look = clips * (recipe.encode_frames or recipe.frames)
    return max(FEWEST_LOOKS, min(MOST_LOOKS, int(LOOK_SHARE * trained / max(1, look))))


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
