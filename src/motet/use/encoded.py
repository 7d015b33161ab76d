"""A trained encoder as features of moments: the two seconds around each, encoded like a clip of their own.

Weights and configuration are kept as plain arrays and plain data, so that a model made with them needs nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from motet.core.chance import Chance
from motet.core.errors import ConfigError, MotetError
from motet.core.units import METRES
from motet.data import inertial
from motet.data.adapt import into, note_left_out, readings
from motet.data.archive import MotionArchive
from motet.data.loader import resize_positions
from motet.data.preprocess import SENSED, preprocess
from motet.data.skeletons import Skeleton
from motet.encoders.clips import Sharing
from motet.engine.hub import is_hub_id, is_shipped, shipped
from motet.engine.model import load
from motet.engine.tensors import check_size
from motet.methods.faces import StreamEncoders
from motet.methods.frames import SECONDS
from motet.methods.model import Model
from motet.methods.recipe import recipe_from_dict
from motet.use.classifiers import Linear, balanced, thinned
from motet.use.signals import Array, Layout
from motet.use.windows import WINDOWED, Dense

Float = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]
TUNED = "tuned"
ALONG = {"wrist": ("joint[acceleration]", "joint[angular_rate]")}
"""streams of shipped weights that describe the moments of recordings: of ``wrist`` two, in two thirds of the time"""
_BATCH = 480  # windows
_TUNING_STEPS, _TUNING_BATCH, _TUNING_LR = 120, 64, 3e-4


class Encoded:
    """Features of a trained encoder at every tick.

    Args:
        name: of the weights: one of the package, or a run's.
        model: the encoders.
        units: unit of the recordings, brought to the encoder's own.
    """

    reach = SECONDS / 2 + 0.1

    def __init__(self, name: str, model: Model, units: str = "m") -> None:
        self.name, self.model, self.units = name, model, units

    def windows(self, clip: Tensor, fps: float, at: Integers) -> Tensor:
        """(n, T', P, V, C) preprocessed windows of an :meth:`adapted` clip around the frames ``at`` of the recording.

        Beyond the ends the last pose is held.
        """
        length, middle = self.places(fps, at)
        places = np.clip(middle[:, None] + np.arange(length) - length // 2, 0, len(clip) - 1)
        rows = clip[torch.from_numpy(places)]
        lengths = torch.full((len(rows),), length)
        made = preprocess(rows, lengths, self.model.skeleton, self.preprocess)
        early, late, weight = resize_positions(lengths[:1], self.model.clip_frames)
        return torch.lerp(made[:, early[0]], made[:, late[0]], weight[0].float()[:, None, None, None])

    @property
    def preprocess(self) -> str:
        """What is done to each window; of sensors nothing, as recordings are bridged and mirrored as a whole."""
        method = self.model.recipe.preprocess
        return "none" if method in SENSED else method

    def places(self, fps: float, at: Integers) -> tuple[int, Integers]:
        """Frames of a window, and (n,) its middle in an :meth:`adapted` clip for frames ``at`` of the recording."""
        rate = inertial.RATE if self.model.skeleton.name == inertial.LAYOUT else fps
        middle = at if rate == fps else np.round(at * (rate / fps)).astype(np.int64)
        return max(2, round(SECONDS * rate)), middle

    def overlap(self, fps: float, at: Integers) -> tuple[int, int] | None:
        """After how many of a full batch of windows the same frames come once more, and how many frames later.

        None where they do not, where windows are preprocessed one by one, or where the encoders cannot make use of it.
        """
        (length, middle), frames, model = self.places(fps, at), self.model.clip_frames, self.model
        step = int(middle[1] - middle[0]) if len(middle) == _BATCH else 0
        if step < 1 or (np.diff(middle) != step).any() or self.preprocess != "none":
            return None
        shift = math.lcm(length, step * frames) // length
        every = shift * length // (step * frames)
        able = all(isinstance(e, Sharing) and e.shares(frames, shift) for e in model.encoders)
        if not able or _BATCH % every or any(s.startswith("acceleration") for s in model.streams):
            return None
        return every, shift

    def adapted(self, frames: Float, layout: Layout) -> Tensor:
        """(T', P, V, C) frames in the layout, unit and rate of the encoder."""
        model = self.model
        made = into(model.skeleton, layout.skeleton, self.units, layout.fps)(frames[:, : model.persons])
        if made.shape[1] < model.persons:
            made = np.pad(made, ((0, 0), (0, model.persons - made.shape[1]), (0, 0), (0, 0)))
        ours, theirs = METRES.get(self.units), METRES.get(model.units or "")
        scale = ours / theirs if ours and theirs else 1.0
        return torch.from_numpy(np.ascontiguousarray(made * scale, dtype=np.float32))

    @cached_property
    def _folded(self) -> Model:
        return self.model.folded()  # once for all recordings; nothing trains it after it has computed features

    def __call__(self, frames: Float, layout: Layout) -> Array:
        clip, at, model = self.adapted(frames, layout), layout.centres(len(frames)), self._folded
        found = np.empty((len(at), sum(model.sizes.values())), dtype=np.float32)
        for begin in range(0, len(at), _BATCH):
            own = at[begin : begin + _BATCH]
            made = model.features(self.windows(clip, layout.fps, own), overlap=self.overlap(layout.fps, own))
            np.concatenate(made, axis=1, out=found[begin : begin + _BATCH])
        return found

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The weights, by name; with :meth:`describe` all that :meth:`of` needs."""
        return {k: v.numpy() for k, v in self.model.weights().items()}

    def describe(self) -> dict[str, Any]:
        """The configuration as plain data."""
        m = self.model
        return {
            "name": self.name,
            "units": self.units,
            "recipe": m.recipe.to_dict(),
            "data": {
                "skeleton": m.skeleton.to_dict(),
                "persons": m.persons,
                "channels": m.channels,
                "units": m.units,
                "by_name": m.by_name,
            },
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Encoded:
        """What :meth:`describe` and :meth:`arrays` gave."""
        data, weights = facts["data"], {k: torch.from_numpy(np.array(v)) for k, v in arrays.items()}
        skeleton = Skeleton.from_dict(data["skeleton"])
        shape = recipe_from_dict(facts["recipe"]), skeleton, int(data["persons"]), int(data["channels"])
        check_size(lambda: Model(*shape, device="meta").encoders, weights)
        with Chance():
            model = Model(*shape, units=data["units"], by_name=bool(data["by_name"]))
        model.load_weights(weights)
        return cls(str(facts["name"]), model, str(facts["units"]))


def encoded(weights: str, archive: MotionArchive, name: str | None = None) -> Encoded:
    """Shipped weights, a folder of weights or a run as features of an archive's recordings.

    Raises:
        ConfigError: it reads another layout, or is no pretraining.
        RunError: there is none.

    Warns:
        MotetNote: it reads fewer people or hands than clips hold.
    """
    found = _encoded(weights, archive, name)
    note_left_out(archive, found.model)
    return found


def _encoded(weights: str, archive: MotionArchive, name: str | None = None) -> Encoded:
    model = load(weights, kinds=("pretrain",))
    if not isinstance(model, Model):
        known = ", ".join(shipped())
        raise ConfigError(f"{weights} has no weights of its own; choose a run, a folder of weights, or one of {known}")
    model.check(archive)
    if weights in ALONG and is_shipped(weights):  # a run of that name has streams of its own
        model = model.only(ALONG[weights])
    return Encoded(name or weights, model, readings(archive, model.skeleton))


def features_named(name: str, archive: MotionArchive) -> Dense:
    """Features of moments by name: ``raw``, ``statistics``, ``rocket``, shipped weights, a run or a folder of weights.

    Raises:
        ConfigError: there is no such name, or the weights read another layout.
        RunError: a folder that is no run.
    """
    if name in WINDOWED:
        return WINDOWED[name]
    if name not in shipped() and not is_hub_id(name) and not Path(name).exists():
        known = ", ".join([*WINDOWED, *(n for n in shipped() if n not in WINDOWED)])
        raise ConfigError(f"there are no features {name!r}; choose from {known}, or give a run or a folder of weights")
    return encoded(name, archive)


def fitting_weights(archive: MotionArchive) -> list[str]:
    """Names of the shipped weights that read recordings of an archive."""
    found = []
    for name in shipped():
        try:
            _encoded(name, archive)
        except MotetError:
            continue
        found.append(name)
    return found


def tuned(
    start: Encoded,
    recordings: list[Float],
    labels: list[Integers],
    classes: int,
    layout: Layout,
    *,
    features: list[Array],
    seed: int = 0,
    steps: int = _TUNING_STEPS,
) -> tuple[Encoded, Linear]:
    """Fine-tune an encoder: a linear head is fitted on its features first, then both are trained (Kumar et al., ICLR
    2022, https://arxiv.org/abs/2202.10054).

    Args:
        start: the encoder.
        recordings: (T, P, V, C) frames of each.
        labels: (n,) class of each tick of each, -1 = unlabelled.
        classes: K.
        layout: of the recordings.
        features: (n, F) of ``start`` at each tick of each recording.
        seed: of the batches.
        steps: optimiser steps.
    """
    x, y = np.concatenate(features), np.concatenate(labels)
    used = thinned(y)
    head = Linear.fit(x[used], y[used], classes)
    made = Encoded.of(start.describe(), {k: v.copy() for k, v in start.arrays().items()})
    shift, gain = (torch.from_numpy(head.arrays[k]) for k in ("shift", "gain"))
    weight, bias = (nn.Parameter(torch.from_numpy(head.arrays[k].copy())) for k in ("weight", "bias"))
    inputs, moments = [made.adapted(r, layout) for r in recordings], [layout.centres(len(r)) for r in recordings]
    places = [(r, int(t)) for r, own in enumerate(labels) for t in np.flatnonzero(own >= 0)]
    importance = balanced(np.array([labels[r][t] for r, t in places]), classes)
    draw = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW([*made.model.encoders.parameters(), weight, bias], lr=_TUNING_LR, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _TUNING_LR, total_steps=steps)
    encoders = StreamEncoders(made.model)
    made.model.encoders.eval()  # statistics of batch norms stay those of the large set
    for _ in range(steps):
        rows = draw.choice(len(places), size=_TUNING_BATCH, p=importance / importance.sum())
        picked = [places[i] for i in rows]
        clips = torch.cat([made.windows(inputs[r], layout.fps, moments[r][t : t + 1]) for r, t in picked])
        z = torch.cat(encoders(clips), dim=1)
        logits = ((z.float() - shift) * gain).clamp(-8, 8) @ weight + bias
        target = torch.tensor([int(labels[r][t]) for r, t in picked])
        loss = nn.functional.cross_entropy(logits, target, label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    arrays = {**head.arrays, "weight": weight.detach().numpy(), "bias": bias.detach().numpy()}
    return made, Linear(arrays)
