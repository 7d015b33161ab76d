"""Random numbers that are a pure function of (seed, epoch, clip, view, name of the draw).

There is no generator whose state a draw would advance, so a clip's draws do not depend on which clips share its
batch, on their order, on the device, on the number of processes or on what was drawn before. The numbers are those
of SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): every
(seed, epoch, clip, view, name) starts its own stream, whose i-th word is a hash of the i-th counter.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

_WORD = 1 << 64
_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)


def _signed(word: int) -> int:
    """The int64 with the bits of an unsigned word; torch has no full uint64 arithmetic."""
    word %= _WORD
    return word - _WORD if word >= _WORD // 2 else word


def _mix(word: int) -> int:
    """SplitMix64 finaliser of one unsigned word."""
    word %= _WORD
    for shift, multiplier in zip(_SHIFTS, (*_MULTIPLIERS, 1), strict=True):
        word = ((word ^ (word >> shift)) * multiplier) % _WORD
    return word


def _shift_right(words: Tensor, bits: int) -> Tensor:
    """Logical shift; torch shifts int64 arithmetically, so the copies of the sign bit are masked off."""
    return (words >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _mix_(words: Tensor) -> Tensor:
    """SplitMix64 finaliser of int64 words, in place; the product wraps around modulo 2^64."""
    for shift, multiplier in zip(_SHIFTS, (*_MULTIPLIERS, 1), strict=True):
        words.bitwise_xor_(_shift_right(words, shift))
        if multiplier != 1:
            words.mul_(_signed(multiplier))
    return words


def _name_word(name: str) -> int:
    """A word for the name of a draw; unlike :func:`hash` the same in every process."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, eq=False)
class Keyed:
    """Draws for a batch of clips; row b of every result depends on ``ids[b]`` alone.

    Args:
        seed: seed of the run, any integer.
        epoch: epoch of the training, any integer.
        ids: (B,) int64, clip ids (rows of the archive); results live on its device.
        view: index of the view, so that two views of a clip in one epoch differ.
    """

    seed: int
    epoch: int
    ids: Tensor
    view: int = 0

    def __post_init__(self) -> None:
        if self.ids.dtype != torch.int64 or self.ids.ndim != 1:
            raise TypeError(f"ids must be int64 of shape (B,), not {self.ids.dtype} of shape {tuple(self.ids.shape)}")

    def words(self, name: str, count: int) -> Tensor:
        """(B, count) int64, 64 independent random bits each; fewer of them are a prefix of more."""
        key = 0
        for part in (self.seed, self.epoch, self.view, _name_word(name)):
            key = _mix(key + _GAMMA + part % _WORD)
        starts = _mix_(self.ids * _signed(_GAMMA) + _signed(key))
        counters = torch.arange(1, count + 1, device=self.ids.device) * _signed(_GAMMA)
        return _mix_(starts[:, None] + counters)

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(B, *shape) float32, uniform on [low, high): ``high`` itself is never returned."""
        unit = _shift_right(self.words(name, math.prod(shape)), 40).to(torch.float32).mul_(2.0**-24)
        if (low, high) != (0.0, 1.0):
            # the affine map may round up to `high`, which a crop ratio of 1 for example must not do
            below = torch.nextafter(torch.tensor(high, dtype=torch.float32), torch.tensor(low, dtype=torch.float32))
            unit = unit.mul_(high - low).add_(low).clamp_(max=below.item())
        return unit.view(-1, *shape)

    def normal(self, name: str, *shape: int) -> Tensor:
        """(B, *shape) float32, standard normal (Box & Muller 1958; both numbers of a pair come from one word)."""
        count = math.prod(shape)
        words = self.words(name, (count + 1) // 2)
        # 32 bits for the radius, so that the tails reach 6.7 sd; 24 bits for the angle
        radius = _shift_right(words, 32).to(torch.float64).add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_().float()
        angle = (words & 0xFFFFFF).to(torch.float32).mul_(2.0**-24 * 2 * math.pi)
        pairs = torch.cat([torch.cos(angle).mul_(radius), torch.sin(angle).mul_(radius)], dim=1)
        return pairs[:, :count].reshape(-1, *shape)

    def choice(self, name: str, n: int, k: int) -> Tensor:
        """(B, n) bool with exactly k true in every row, every subset equally likely.

        Raises:
            ValueError: k outside 0..n.
        """
        if not 0 <= k <= n:
            raise ValueError(f"cannot choose {k} of {n}")
        order = self.words(name, n).argsort(dim=1, stable=True)
        return torch.zeros(order.shape, dtype=torch.bool, device=order.device).scatter_(1, order[:, :k], True)

    def integers(self, name: str, high: Tensor) -> Tensor:
        """Integers uniform on [0, high), one for each element of ``high`` (B,) int64, 1 <= high <= 2^31."""
        word = _shift_right(self.words(name, 1)[:, 0], 32)
        return (word * high) >> 32

    def order(self, name: str) -> Tensor:
        """(B,) permutation of the rows of ``ids``, the same set of ids giving the same sequence of ids."""
        words = self.words(name, 1)[:, 0]
        return words.argsort(stable=True)
