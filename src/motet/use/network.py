"""A small convolution over time that is trained on labels along time and says what happens at every moment.

Residual blocks of dilated convolutions, as one stage of MS-TCN (Farha and Gall, CVPR 2019,
https://arxiv.org/abs/1903.01945), non-causal, with its truncated smoothing loss (Eq. 3-5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from motet.core.chance import Chance
from motet.use.signals import SAMPLES, Array, Layout, signals

Integers = npt.NDArray[np.int64]
KERNEL, DILATIONS = 5, (1, 2, 4, 8, 16)
_WIDTH, _DROP = 48, 0.25
_WINDOW, _BATCH, _LR = 128, 16, 4e-3
_FEWEST_STEPS, _MOST_STEPS, _PASSES = 40, 320, 40
_ROTATION = {"sensor": 0.5, "body": 0.15, "hand": 0.15}  # radians


class _Block(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.wide = nn.Conv1d(width, width, KERNEL, padding=dilation * (KERNEL // 2), dilation=dilation)
        self.norm, self.out = nn.BatchNorm1d(width), nn.Conv1d(width, width, 1)
        self.drop = nn.Dropout(_DROP)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.drop(self.out(functional.relu(self.norm(self.wide(x)))))
        return x + made


class _Net(nn.Module):
    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        self.into = nn.Conv1d(channels, width, KERNEL, padding=KERNEL // 2)
        self.blocks = nn.ModuleList([_Block(width, d) for d in DILATIONS])
        self.head = nn.Conv1d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, T) -> (B, K, T) logits."""
        x = self.into(x)
        for block in self.blocks:
            x = block(x)
        made: Tensor = self.head(x)
        return made


def samples(frames: npt.NDArray[Any], layout: Layout) -> Array:
    """(T', S) signals at about :data:`SAMPLES`, with their changes where they are positions."""
    step = layout.stride
    x = signals(frames, layout)
    pad = -len(x) % step
    x = np.concatenate([x, np.repeat(x[-1:], pad, axis=0)]).reshape(-1, step, x.shape[1]).mean(axis=1)
    if layout.skeleton.kind != "sensor":
        x = np.concatenate([x, np.gradient(x, axis=0) * 5 if len(x) > 1 else x * 0], axis=1)
    return x.astype(np.float32)


class Network:
    """The trained network; ``arrays`` is all that it is made of."""

    name = "network"
    reach = (sum(DILATIONS) + 1) * (KERNEL // 2) / (0.75 * SAMPLES) + 0.1
    """seconds around a moment that count; the rate may lie a quarter below :data:`SAMPLES`."""

    def __init__(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.arrays = arrays
        state = {k.removeprefix("net."): torch.from_numpy(v) for k, v in arrays.items() if k.startswith("net.")}
        width, channels = state["into.weight"].shape[:2]
        self.net = _Net(channels, len(state["head.bias"]), width)
        self.net.load_state_dict(state)
        self.net.eval()
        self.gain = torch.from_numpy(arrays["gain"])[:, None]
        self.shift = torch.from_numpy(arrays["shift"])[:, None]

    def __call__(self, frames: npt.NDArray[Any], layout: Layout) -> Array:
        """(n, K) probabilities at every tick of (T, P, V, C) frames."""
        x = torch.from_numpy(samples(frames, layout).T)
        with torch.no_grad():
            found = self.net(((x - self.shift) * self.gain)[None].clamp(-10, 10))[0].softmax(dim=0).T.numpy()
        step = layout.stride
        centres = np.minimum(np.arange(layout.ticks(len(frames))) * layout.hop + layout.hop / 2, len(frames))
        place = np.clip(centres / step - 0.5, 0, len(found) - 1)
        low = place.astype(np.int64)
        share = (place - low)[:, None].astype(np.float32)
        return np.asarray(found[low] * (1 - share) + found[np.minimum(low + 1, len(found) - 1)] * share)

    @classmethod
    def fit(
        cls,
        recordings: Sequence[npt.NDArray[Any]],
        labels: Sequence[Integers],
        classes: int,
        layout: Layout,
        *,
        seed: int = 0,
        steps: int | None = None,
    ) -> Network:
        """Train from nothing.

        Args:
            recordings: (T, P, V, C) frames of each.
            labels: (T,) class of each frame, -1 = unlabelled.
            classes: K.
            layout: of the recordings.
            seed: of weights, crops and augmentation.
            steps: optimiser steps; None is :func:`fitting_steps` of the data.
        """
        inputs = [samples(r, layout) for r in recordings]
        steps = fitting_steps(sum(map(len, inputs))) if steps is None else steps
        step = layout.stride
        targets = [
            y[np.minimum(np.arange(len(x)) * step + step // 2, len(y) - 1)] for x, y in zip(inputs, labels, strict=True)
        ]
        draw, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        with Chance(seed) as chance:
            net = _Net(inputs[0].shape[1], classes, _WIDTH)
            scaling = _scaling(inputs, layout)
            shares = np.bincount(np.concatenate([t[t >= 0] for t in targets]), minlength=classes) + 1.0
            weight = torch.from_numpy((shares.sum() / classes / shares) ** 0.3).float()
            optimiser = torch.optim.AdamW(net.parameters(), lr=_LR, weight_decay=1e-2)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LR, total_steps=steps)
            for _ in range(steps):
                x, y = _batch(inputs, targets, draw)
                x = _augmented(x, layout, generator)
                loss = _loss(net(((x - scaling[0]) * scaling[1]).clamp(-10, 10)), y, weight)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                chance.rest()
        arrays = {f"net.{k}": v.numpy() for k, v in net.state_dict().items()}
        return cls({**arrays, "shift": scaling[0][:, 0].numpy(), "gain": scaling[1][:, 0].numpy()})


def fitting_steps(count: int) -> int:
    """Optimiser steps that see ``count`` samples about 40 times, at least 40 and at most 320."""
    return min(max(_PASSES * count // (_BATCH * _WINDOW), _FEWEST_STEPS), _MOST_STEPS)


def _scaling(inputs: Sequence[Array], layout: Layout) -> tuple[Tensor, Tensor]:
    """(S, 1) shift and gain of each signal; the three axes of a node share them, so that turning it changes nothing."""
    whole = np.concatenate(list(inputs))
    shift, scale = whole.mean(axis=0), whole.std(axis=0)
    if layout.skeleton.kind == "sensor":
        nodes = len(layout.skeleton) * layout.persons * layout.channels
        shared = np.sqrt((whole[:, :nodes].reshape(len(whole), -1, layout.channels) ** 2).mean(axis=(0, 2)))
        shift[:nodes], scale[:nodes] = 0, np.repeat(shared, layout.channels)
    gain = np.where(scale > 1e-6, 1 / np.maximum(scale, 1e-6), 0).astype(np.float32)
    return torch.from_numpy(shift.astype(np.float32))[:, None], torch.from_numpy(gain)[:, None]


def _batch(inputs: Sequence[Array], targets: Sequence[Integers], draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(B, S, W) crops at uneven tempo and their (B, W) classes, -1 beyond the ends; long recordings come more often."""
    lengths = np.array([len(x) for x in inputs], dtype=float)
    chosen = draw.choice(len(inputs), size=_BATCH, p=lengths / lengths.sum())
    x = np.zeros((_BATCH, _WINDOW, inputs[0].shape[1]), dtype=np.float32)
    y = np.full((_BATCH, _WINDOW), -1, dtype=np.int64)
    for row, index in enumerate(chosen):
        tempo, length = draw.uniform(0.8, 1.25), len(inputs[index])
        start = draw.uniform(-_WINDOW / 4, max(1.0, length - _WINDOW * tempo + _WINDOW / 4))
        at = start + np.arange(_WINDOW) * tempo
        inside = (at >= 0) & (at <= length - 1)
        at = np.clip(at, 0, length - 1)
        low = at.astype(np.int64)
        share = (at - low)[:, None].astype(np.float32)
        x[row] = inputs[index][low] * (1 - share) + inputs[index][np.minimum(low + 1, length - 1)] * share
        y[row, inside] = targets[index][np.round(at).astype(np.int64)][inside]
    return torch.from_numpy(x).transpose(1, 2), torch.from_numpy(y)


def _augmented(x: Tensor, layout: Layout, generator: torch.Generator) -> Tensor:
    """Sensors or bodies turned a little, and sizes drawn: a device sits differently on everyone."""
    size = 1 + 0.1 * torch.randn(len(x), 1, 1, generator=generator)
    x = x * size
    if layout.channels != 3:
        return x
    nodes = len(layout.skeleton) * layout.persons * 3 if layout.skeleton.kind == "sensor" else len(layout.skeleton) * 3
    devices = _devices(layout)
    x = x.clone()
    for device in range(max(devices) + 1):
        turn = _rotations(len(x), _ROTATION[layout.skeleton.kind], generator)
        picked = [3 * i + c for i, d in enumerate(devices) if d == device for c in range(3) if 3 * i + c < nodes]
        part = x[:, picked].view(len(x), -1, 3, x.shape[2])
        x[:, picked] = torch.einsum("bij,bnjt->bnit", turn, part).reshape(len(x), -1, x.shape[2])
    return x


def _devices(layout: Layout) -> list[int]:
    """Number of the device of each node: ``watch_gyroscope`` and ``watch_accelerometer`` turn together."""
    if layout.skeleton.kind != "sensor":
        return [0] * len(layout.skeleton)
    names = [j.rpartition("_")[0] for j in layout.skeleton.joints]
    return [list(dict.fromkeys(names)).index(n) for n in names]


def _rotations(count: int, largest: float, generator: torch.Generator) -> Tensor:
    """(count, 3, 3) turns about random axes by up to ``largest`` radians (Rodrigues)."""
    axis = functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    angle = torch.rand(count, 1, 1, generator=generator) * largest
    cross = torch.linalg.cross(torch.eye(3).expand(count, 3, 3), axis[:, None].expand(count, 3, 3))
    made: Tensor = torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * cross @ cross
    return made


def _loss(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of labelled samples, and MS-TCN's truncated change of log-probabilities (τ = 4, λ = .15)."""
    error = functional.cross_entropy(logits, labels, weight=weight, ignore_index=-1, label_smoothing=0.05)
    log = logits.log_softmax(dim=1)
    change = (log[:, :, 1:] - log[:, :, :-1].detach()).square().clamp(max=16.0)
    whole: Tensor = torch.nan_to_num(error) + 0.15 * change.mean()
    return whole
