"""Linear classifiers on frozen features, many trained side by side.

A *unit* is a feature set (a run, a random encoder, raw features) with a seed of its own. All units, streams, learning
rates and both ways to use several streams are axes of one weight tensor, so a step is two batched matrix products
however many classifiers there are. Gradients are written out: of softmax regression they are one line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.evaluate.flags import flag

ORDER_VIEW = -2  # key of the probes' batch orders; views 0, 1 … are the views of pretraining
_EVAL_ROWS = 2048


@dataclass(frozen=True)
class Schedule:
    """How a probe is trained; the defaults are the official linear protocol of CMD (Mao et al., ECCV 2022)."""

    epochs: int = 80
    batch_size: int = 64
    lr: tuple[float, ...] = (0.1,)
    """learning rate; several are tried side by side and each is reported as a row of its own."""
    momentum: float = 0.9
    weight_decay: float = 0.0
    drops: tuple[int, ...] | None = None
    """epochs after which the rate is multiplied by 0.1; by default 5/8 and 7/8 of all epochs: 50 and 70 of 80."""
    check_every: int = 5
    """epochs between looks at the test clips, for the best-epoch column only."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "check_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{flag(self, name)} is {getattr(self, name)}; it must be at least 1")
        if not self.lr or min(self.lr) <= 0 or not all(map(math.isfinite, self.lr)):
            raise ConfigError(f"{flag(self, 'lr')} is {self.lr}; it must be one or more positive numbers")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"{flag(self, 'momentum')} is {self.momentum}; it must lie in [0, 1)")
        if self.weight_decay < 0:
            raise ConfigError(f"{flag(self, 'weight_decay')} is {self.weight_decay}; it must be 0 or more")

    def factor(self, epoch: int) -> float:
        """What the rate is multiplied by in an epoch, counted from 0."""
        drops = (self.epochs * 5 // 8, self.epochs * 7 // 8) if self.drops is None else self.drops
        return float(0.1 ** sum(epoch >= d for d in drops))

    def checks(self, epoch: int) -> bool:
        """Whether the test clips are looked at after this epoch; always after the last."""
        return (epoch + 1) % self.check_every == 0 or epoch + 1 == self.epochs


@dataclass(frozen=True)
class Chunk:
    """Clips in the memory of the device, a multiple of the batch size except at the end of an epoch.

    Attributes:
        ids: (n,) clip ids, the key of the units' orders.
        features: (Q, S, n, F) of Q feature sets and S streams; narrower streams end in zeros.
        labels: (n,) class indices.
    """

    ids: Tensor
    features: Tensor
    labels: Tensor


@dataclass
class Scores:
    """Test results of all classifiers after one epoch; every tensor is (U, heads, L): units, heads, learning rates.

    The heads are the S streams alone and, with S > 1, ``mean-logits`` (trained jointly) and ``late-fusion``.
    """

    top1: Tensor
    top5: Tensor


@dataclass
class Result:
    """What :func:`train` returns.

    Attributes:
        heads: (streams used, ensemble or None) of each head.
        last: scores after the last epoch.
        best: (U, heads, L) best top-1 share over the checks.
        best_epoch: (U, heads, L) number of epochs at that check.
        confusion: (U, heads, L, K, K) counts (true, predicted) after the last epoch.
    """

    heads: list[tuple[str, str | None]]
    last: Scores
    best: Tensor
    best_epoch: Tensor
    confusion: Tensor


def head_names(streams: Sequence[str], fusions: Iterable[str] = ("late-fusion",)) -> list[tuple[str, str | None]]:
    """(stream or streams, ensemble) of each head, in the order of :class:`Scores`."""
    names: list[tuple[str, str | None]] = [(s, None) for s in streams]
    if len(streams) > 1:
        names += [("+".join(streams), name) for name in ("mean-logits", *fusions)]
    return names


def fusion_weight(stream: str) -> float:
    """Weight of a stream in late fusion (AimCLR, Guo et al., AAAI 2022): .4 for differences over time, else .6."""
    return 0.4 if stream.split("[")[0] in ("motion", "bone_motion", "acceleration") else 0.6


@dataclass
class Probes:
    """The classifiers' weights, momenta and arithmetic.

    Args:
        sets: feature set of each unit, index into the Q axis of the features.
        seeds: seed of each unit: its initial weights (N(0, 0.01), biases 0) and its batch order.
        streams: names of the S streams.
        width: F.
        classes: K.
        schedule: see :class:`Schedule`.
        fusions: ways to add the scores of separately trained streams: name and weight of each stream; by default
            ``late-fusion`` with the weights of :func:`fusion_weight`.
    """

    sets: Sequence[int]
    seeds: Sequence[int]
    streams: Sequence[str]
    width: int
    classes: int
    schedule: Schedule
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    fusions: Mapping[str, Sequence[float]] | None = None

    def __post_init__(self) -> None:
        units, streams, rates = len(self.sets), len(self.streams), len(self.schedule.lr)
        # kinds: a classifier of each stream alone and, with several streams, one trained on the mean of all logits
        self.kinds = 2 if streams > 1 else 1
        # every rate starts from the same weights
        start = [self._initial(seed) for seed in self.seeds]
        weight = torch.stack(start).to(self.device, self.dtype)[:, :, :, :, None, :]
        shape = (units, streams, self.width, self.kinds, rates, self.classes)
        self.weight = weight.expand(shape).reshape(units * streams, self.width, -1).contiguous()
        self.bias = torch.zeros(units * streams, 1, self.weight.shape[2], device=self.device, dtype=self.dtype)
        self.momentum = torch.zeros_like(self.weight), torch.zeros_like(self.bias)
        rate = torch.tensor(self.schedule.lr, device=self.device, dtype=self.dtype)[None, :, None]
        self.rate = rate.expand(self.kinds, rates, self.classes).reshape(-1)
        fusions = self.fusions or {"late-fusion": [fusion_weight(s) for s in self.streams]}
        self.head_names = head_names(self.streams, fusions)
        self.fusion = torch.tensor(list(fusions.values()), device=self.device, dtype=self.dtype)
        self.set_index = torch.tensor(self.sets, device=self.device)

    def _initial(self, seed: int) -> Tensor:
        """(S, F, kinds, K)."""
        generator = torch.Generator().manual_seed(seed)
        shape = (len(self.streams), self.kinds, self.width, self.classes)
        return torch.randn(shape, generator=generator, dtype=torch.float32).mul_(0.01).transpose(1, 2)

    def _scores(self, x: Tensor) -> Tensor:
        """(U·S, B, F) → (U, S, B, kinds, L, K) logits of each stream's share."""
        units, streams, rates = len(self.sets), len(self.streams), len(self.schedule.lr)
        return torch.baddbmm(self.bias, x, self.weight).view(units, streams, -1, self.kinds, rates, self.classes)

    def gather(self, features: Tensor, rows: Tensor) -> Tensor:
        """(Q, S, n, F) and (U, B) rows → (U·S, B, F)."""
        _, streams, count, width = features.shape
        group = self.set_index[:, None] * streams + torch.arange(streams, device=self.device)
        index = group[:, :, None] * count + rows[:, None, :]
        return features.reshape(-1, width).index_select(0, index.flatten()).view(-1, rows.shape[1], width)

    def step(self, x: Tensor, y: Tensor, factor: float) -> None:
        """One SGD step of every classifier on the mean cross-entropy of its batch.

        Args:
            x: (U·S, B, F) features.
            y: (U, B) class indices.
            factor: multiplies the learning rates.
        """
        logits = self._scores(x)
        streams, batch = logits.shape[1], logits.shape[2]
        if self.kinds == 2:
            # the joint classifiers see the mean over streams; d mean / d share = 1 / S
            logits[:, :, :, 1] = logits[:, :, :, 1].mean(dim=1, keepdim=True)
        slope = logits.softmax(dim=-1)
        target = y[:, None, :, None, None, None].expand(*slope.shape[:-1], 1)
        slope.scatter_add_(-1, target, slope.new_full((1,), -1.0).expand(target.shape))
        slope /= batch
        if self.kinds == 2:
            slope[:, :, :, 1] /= streams
        slope = slope.view(len(x), batch, -1)
        weight_momentum, bias_momentum = self.momentum
        torch.baddbmm(weight_momentum, x.transpose(1, 2), slope, beta=self.schedule.momentum, out=weight_momentum)
        bias_momentum.mul_(self.schedule.momentum).add_(slope.sum(dim=1, keepdim=True))
        if self.schedule.weight_decay:
            weight_momentum.add_(self.weight, alpha=self.schedule.weight_decay)
            bias_momentum.add_(self.bias, alpha=self.schedule.weight_decay)
        if len(self.schedule.lr) == 1:
            self.weight.add_(weight_momentum, alpha=-factor * self.schedule.lr[0])
        else:
            self.weight.addcmul_(weight_momentum, self.rate, value=-factor)
        self.bias.addcmul_(bias_momentum, self.rate, value=-factor)

    def run_chunk(self, chunk: Chunk, epoch: int) -> None:
        """Steps over a chunk, each unit in an order of its own."""
        orders = [CounterRNG(s, epoch, chunk.ids, ORDER_VIEW).order("probe") for s in self.seeds]
        order = torch.stack(orders).to(self.device)
        factor = self.schedule.factor(epoch)
        for start in range(0, order.shape[1], self.schedule.batch_size):
            rows = order[:, start : start + self.schedule.batch_size]
            self.step(self.gather(chunk.features, rows), chunk.labels[rows], factor)

    def heads(self, features: Tensor) -> Tensor:
        """(Q, S, m, F) test features → (U, heads, L, m, K) scores, heads as :func:`head_names`."""
        rows = torch.arange(features.shape[2], device=self.device).expand(len(self.sets), -1)
        logits = self._scores(self.gather(features, rows)).permute(0, 1, 3, 4, 2, 5)
        alone = logits[:, :, 0]
        if self.kinds == 1:
            return alone
        joint = logits[:, :, 1].mean(dim=1, keepdim=True)
        late = torch.einsum("us...,fs->uf...", alone, self.fusion)
        return torch.cat([alone, joint, late], dim=1)

    def evaluate(self, features: Tensor, labels: Tensor) -> tuple[Scores, Tensor]:
        """Scores and confusion counts on test features (Q, S, m, F) with labels (m,)."""
        shape = (len(self.sets), len(self.head_names), len(self.schedule.lr))
        right, right5 = (torch.zeros(shape, dtype=torch.int64, device=self.device) for _ in range(2))
        confusion = torch.zeros(*shape, self.classes**2, dtype=torch.int64, device=self.device)
        for start in range(0, features.shape[2], _EVAL_ROWS):
            scores = self.heads(features[:, :, start : start + _EVAL_ROWS])
            y = labels[start : start + _EVAL_ROWS]
            if not scores.isfinite().all():
                raise ConfigError("the linear probe diverged; lower its learning rate (--linear.lr)")
            predicted = scores.argmax(dim=-1)
            right += (predicted == y).sum(dim=-1)
            top = scores.topk(min(5, self.classes), dim=-1).indices
            right5 += (top == y[:, None]).any(dim=-1).sum(dim=-1)
            cell = y * self.classes + predicted
            confusion.scatter_add_(-1, cell, torch.ones_like(cell))
        count = features.shape[2]
        shares = Scores(right.double().cpu() / count, right5.double().cpu() / count)
        return shares, confusion.view(*shape, self.classes, self.classes).cpu()


def train(
    probes: Probes,
    epoch_chunks: Callable[[int], Iterable[Chunk]],
    test_features: Tensor,
    test_labels: Tensor,
    epochs: Iterable[int] | None = None,
) -> Result:
    """Train all classifiers and evaluate them.

    Args:
        probes: fresh classifiers.
        epoch_chunks: the training clips of an epoch (counted from 0), in chunks.
        test_features: (Q, S, m, F).
        test_labels: (m,) class indices.
        epochs: what to iterate over, all epochs by default (a progress display wraps them).
    """
    looks: list[tuple[int, Scores]] = []
    confusion = torch.zeros(0)
    for epoch in range(probes.schedule.epochs) if epochs is None else epochs:
        for chunk in epoch_chunks(epoch):
            probes.run_chunk(chunk, epoch)
        if probes.schedule.checks(epoch):
            scores, confusion = probes.evaluate(test_features, test_labels)
            looks.append((epoch + 1, scores))
    best, which = torch.stack([scores.top1 for _, scores in looks]).max(dim=0)
    best_epoch = torch.tensor([epoch for epoch, _ in looks])[which]
    return Result(probes.head_names, looks[-1][1], best, best_epoch, confusion)
