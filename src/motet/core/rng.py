"""Random numbers that are a pure function of (seed, epoch, clip, view, name of the draw).

There is no generator whose state a draw would advance, so a clip's draws do not depend on which clips share its
batch, on their order, on the device, on the number of processes or on what was drawn before. The numbers are those
of SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): every
(seed, epoch, clip, view) starts at its own point, every name at an offset from it, and the i-th word of a draw is a
hash of the i-th counter from there.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

_WORD = 1 << 64
_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)
_VIEW_STEP = 0xD1342543DE82EF95  # any odd word far from the golden ratio's


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


def _shift_right(words: Tensor, bits: int, out: Tensor | None = None) -> Tensor:
    """Logical shift; torch shifts int64 arithmetically, so the copies of the sign bit are masked off."""
    return torch.bitwise_right_shift(words, bits, out=out).bitwise_and_((1 << (64 - bits)) - 1)


def _mix_(words: Tensor) -> Tensor:
    """SplitMix64 finaliser of int64 words, in place; the product wraps around modulo 2^64."""
    scratch = torch.empty_like(words)
    for shift, multiplier in zip(_SHIFTS, (*_MULTIPLIERS, 1), strict=True):
        words.bitwise_xor_(_shift_right(words, shift, scratch))
        if multiplier != 1:
            words.mul_(_signed(multiplier))
    return words


@lru_cache(maxsize=128)
def _counters(name: str, count: int, device: torch.device) -> Tensor:
    """(count,) offsets of a named draw's words; unlike :func:`hash` the name's digest is the same in every process."""
    first = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    return torch.arange(1, count + 1, device=device).mul_(_signed(_GAMMA)).add_(_signed(first))


@lru_cache(maxsize=8)
def _quantiles(device: torch.device) -> Tensor:
    """(2^16,) float32 quantiles of the standard normal at the middles of equal shares, scaled to unit variance."""
    share = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    quantiles: Tensor = torch.special.ndtri(share)
    return (quantiles / quantiles.square().mean().sqrt()).to(device, torch.float32)


@dataclass(frozen=True, eq=False)
class CounterRNG:
    """Draws for a batch of clips; row b of every result depends on ``ids[b]`` alone.

    Args:
        seed: seed of the run, any integer.
        epoch: epoch of the training, any integer.
        ids: (B,) int64, clip ids (rows of the archive); results live on its device.
        view: index of the view, so that two views of a clip in one epoch differ; or one index for each row, (B,) int64,
            so that several views can be drawn in one call.
    """

    seed: int
    epoch: int
    ids: Tensor
    view: int | Tensor = 0

    def __post_init__(self) -> None:
        if self.ids.dtype != torch.int64 or self.ids.ndim != 1:
            raise TypeError(f"ids must be int64 of shape (B,), not {self.ids.dtype} of shape {tuple(self.ids.shape)}")

    def words(self, name: str, count: int) -> Tensor:
        """(B, count) int64, 64 independent random bits each; fewer of them are a prefix of more."""
        return _mix_(self._starts + _counters(name, count, self.ids.device))

    @cached_property
    def _starts(self) -> Tensor:
        """(B, 1) int64: where each clip's counters start."""
        key = _mix(_mix(self.seed + _GAMMA) + self.epoch)
        words = self.ids * _signed(_GAMMA)
        if isinstance(self.view, Tensor):
            words.add_(self.view * _signed(_VIEW_STEP)).add_(_signed(key))
        else:
            words.add_(_signed(key + self.view * _VIEW_STEP))
        return _mix_(words)[:, None]

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(B, *shape) float32, uniform on [low, high): ``high`` itself is never returned."""
        unit = _shift_right(self.words(name, math.prod(shape)), 40).to(torch.float32).mul_(2.0**-24)
        if (low, high) != (0.0, 1.0):
            # the affine map may round up to `high`, which a crop ratio of 1 for example must not do
            below = torch.nextafter(torch.tensor(high, dtype=torch.float32), torch.tensor(low, dtype=torch.float32))
            unit = unit.mul_(high - low).add_(low).clamp_(max=below.item())
        return unit.view(-1, *shape)

    def normal(self, name: str, *shape: int) -> Tensor:
        """(B, *shape) float32, standard normal to 16 bits: each of 2^16 quantiles (up to ±4.3) is equally likely."""
        count = math.prod(shape)
        words = self.words(name, -(-count // 4))
        # four 16-bit numbers from each word, looked up
        level = words.view(torch.int16).to(torch.int32).bitwise_and_(0xFFFF)
        drawn = _quantiles(words.device).index_select(0, level.view(-1)).view(level.shape)
        return drawn[:, :count].reshape(-1, *shape)

    def choice(self, name: str, n: int, k: int) -> Tensor:
        """(B, n) bool with exactly k true in every row, every subset equally likely.

        Raises:
            ValueError: k outside 0..n.
        """
        if not 0 <= k <= n:
            raise ValueError(f"cannot choose {k} of {n}")
        words = self.words(name, n)
        if k == 0:
            return torch.zeros_like(words, dtype=torch.bool)
        return words <= words.kthvalue(k, dim=1, keepdim=True).values

    def integers(self, name: str, high: Tensor) -> Tensor:
        """Integers uniform on [0, high), one for each element of ``high`` (B,) int64, 1 <= high <= 2^31."""
        word = _shift_right(self.words(name, 1)[:, 0], 32)
        return (word * high) >> 32

    def order(self, name: str) -> Tensor:
        """(B,) permutation of the rows of ``ids``, the same set of ids giving the same sequence of ids."""
        words = self.words(name, 1)[:, 0]
        return words.argsort(stable=True)
