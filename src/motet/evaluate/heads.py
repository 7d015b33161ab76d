"""Linear heads on subsets of frozen features, many trained side by side.

A head has some features, some of their rows and a seed. Heads may have different numbers of rows, as the heads
of several shares of the labels do: they take their steps together, and one that has no batch left in an epoch rests.
Each does exactly the steps that it would do alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.evaluate.probe import ORDER_VIEW, Schedule


@dataclass(frozen=True)
class Head:
    """What one head is trained on.

    Attributes:
        group: index of its features.
        rows: (n,) int64 rows of the training features that it sees.
        seed: its initial weights (N(0, 0.01), bias 0) and its batch order.
    """

    group: int
    rows: Tensor
    seed: int


def train_heads(
    features: Tensor,
    labels: Tensor,
    heads: Sequence[Head],
    *,
    classes: int,
    schedule: Schedule,
    epochs: Sequence[int] | None = None,
    progress: Iterable[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Softmax regression by SGD, every head by itself.

    Args:
        features: (G, n, F).
        labels: (n,) class indices.
        heads: what is trained.
        classes: K.
        schedule: batch size, momentum, weight decay, drops and the (one) learning rate.
        epochs: of each head, where they differ from the schedule's; rates drop at the same shares of them.
        progress: what to iterate over for a display, as many items as the longest head has epochs.

    Returns:
        (L, F, K) weights and (L, 1, K) biases in the order of ``heads``.

    Raises:
        ConfigError: a head without rows, or more than one learning rate.
    """
    if len(schedule.lr) != 1:
        raise ConfigError("heads on subsets have one learning rate")
    for head in heads:
        if len(head.rows) == 0:
            raise ConfigError("a head has no clips to learn from")
    lasts = list(epochs) if epochs is not None else [schedule.epochs] * len(heads)
    batch, device = schedule.batch_size, features.device
    # most batches first: the heads that have a batch left are always the first ones
    order = sorted(range(len(heads)), key=lambda i: (-len(heads[i].rows), -lasts[i]))
    ordered = [heads[i] for i in order]
    last = [lasts[i] for i in order]
    start = torch.stack([_initial(head.seed, features.shape[2], classes) for head in ordered])
    weight, bias = start.to(device, features.dtype), features.new_zeros(len(heads), 1, classes)
    velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    flat = features.reshape(-1, features.shape[2])
    offsets = torch.tensor([head.group for head in ordered], device=device) * features.shape[1]
    for epoch in range(max(last)) if progress is None else progress:
        at_work = [i for i, end in enumerate(last) if epoch < end]
        whole = len(at_work) == len(heads)
        rates = torch.tensor(
            [schedule.lr[0] * _factor(schedule, epoch, last[i]) for i in at_work], device=device, dtype=features.dtype
        )[:, None, None]
        orders = [_epoch_order(ordered[i], epoch) for i in at_work]
        picked = torch.tensor(at_work, device=device)
        # heads that are done rest: the others work on a copy of their own for this epoch
        w, b, vw, vb = (t if whole else t[picked].contiguous() for t in (weight, bias, velocity[0], velocity[1]))
        sizes = [len(rows) for rows in orders]
        longest = max(sizes)
        table = torch.zeros(len(orders), longest, dtype=torch.int64)
        for i, rows in enumerate(orders):
            table[i, : len(rows)] = rows
        table, counts = table.to(device), torch.tensor(sizes, device=device)
        for begin in range(0, longest, batch):
            active = sum(size > begin for size in sizes)
            rows = table[:active, begin : begin + batch]
            present = torch.arange(begin, begin + rows.shape[1], device=device) < counts[:active, None]
            x = flat.index_select(0, (rows + offsets[picked[:active], None]).flatten()).view(*rows.shape, -1)
            _step(x, labels[rows], present, rates[:active], schedule, w[:active], b[:active], vw[:active], vb[:active])
        if not whole:
            for target, source in zip((weight, bias, *velocity), (w, b, vw, vb), strict=True):
                target[picked] = source
    if not bool(weight.isfinite().all()):
        raise ConfigError("a linear head diverged; lower its learning rate")
    back = torch.tensor(order, device=device).argsort()
    return weight[back], bias[back]


def _step(
    x: Tensor,
    y: Tensor,
    present: Tensor,
    rate: Tensor,
    schedule: Schedule,
    weight: Tensor,
    bias: Tensor,
    weight_velocity: Tensor,
    bias_velocity: Tensor,
) -> None:
    """One SGD step of heads (A, B, F), (A, B) on the mean cross-entropy of their present rows; all in place."""
    slope = torch.baddbmm(bias, x, weight).softmax(dim=-1)
    slope.scatter_add_(-1, y[..., None], slope.new_full((1,), -1.0).expand(*y.shape, 1))
    share = present.to(slope.dtype)
    slope.mul_((share / share.sum(dim=1, keepdim=True))[..., None])
    weight_velocity.baddbmm_(x.transpose(1, 2), slope, beta=schedule.momentum)
    bias_velocity.mul_(schedule.momentum).add_(slope.sum(dim=1, keepdim=True))
    if schedule.weight_decay:
        weight_velocity.add_(weight, alpha=schedule.weight_decay)
        bias_velocity.add_(bias, alpha=schedule.weight_decay)
    weight.addcmul_(weight_velocity, rate, value=-1)
    bias.addcmul_(bias_velocity, rate, value=-1)


def _initial(seed: int, width: int, classes: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(width, classes, generator=generator).mul_(0.01)


def _epoch_order(head: Head, epoch: int) -> Tensor:
    rows = head.rows.cpu()
    return rows[CounterRNG(head.seed, epoch, rows, ORDER_VIEW).order("head")]


def _factor(schedule: Schedule, epoch: int, epochs: int) -> float:
    """The schedule's drops, moved in proportion for a head of another length."""
    return schedule.factor(epoch * schedule.epochs // epochs)
