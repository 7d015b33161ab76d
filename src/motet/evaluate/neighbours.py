"""Nearest neighbours by cosine, exact, in blocks of both sides.

A cheap first pass (matrix products in float32, or in bfloat16 where the processor multiplies that faster) keeps a few
candidates per query; these are then ranked by their similarity in float64. A query whose candidates are not provably
enough after the bfloat16 pass is done again in float32, so the precision of the first pass never shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from motet.errors import ConfigError, DataError

_SPARE = 3  # candidates beyond k that absorb the rounding of a float32 pass
_SPARE_BF16 = 15
_BLOCK_ROWS = 8192
_BLOCK_BYTES = 64 << 20
_QUERY_ROWS = 1024
_BF16_WORK = 1e11  # multiply-adds from which a second precision is worth its preparation
_PILOT_SHARE = 16  # one query in so many shows whether bfloat16 can decide this data
_UNIT_BF16 = 2.0**-9  # unit roundoff


def unit_rows(x: Tensor) -> Tensor:
    """(n, F) rows of length 1; a zero row stays zero.

    Rows are scaled by their largest entry first, so that no square under- or overflows.
    """
    largest = x.abs().amax(dim=1, keepdim=True)
    scaled = x / largest.where(largest > 0, 1)
    return torch.nn.functional.normalize(scaled, dim=1)


def nearest(train: Tensor, test: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k training rows of largest cosine similarity with each test row.

    A zero vector has similarity 0 with everything. Equal similarities are ordered by training row.

    Args:
        train: (n, F) floating point, on any device.
        test: (m, F), same device.
        k: 1 ≤ k ≤ n.

    Returns:
        (m, k) float64 similarities in falling order, and (m, k) int64 training rows.

    Raises:
        ConfigError: shapes or k that do not fit.
        DataError: a value that is not finite.
    """
    _check(train, test, k)
    if torch.float64 in (train.dtype, test.dtype):
        train, test = train.double(), test.double()
    else:
        train, test = train.float(), test.float()
    work = float(len(train)) * len(test) * train.shape[1]
    if train.dtype == torch.float32 and work >= _BF16_WORK and _fast_bf16(train.device.type):
        return _nearest_bf16(train, test, k)
    return _nearest_plain(train, test, k)


def _check(train: Tensor, test: Tensor, k: int) -> None:
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise ConfigError(
            f"features must be (n, F) and (m, F) of one width, not {tuple(train.shape)} and {tuple(test.shape)}"
        )
    if not 1 <= k <= len(train):
        raise ConfigError(f"k is {k}; it must lie between 1 and the number of training rows, {len(train)}")
    for name, x in (("training", train), ("test", test)):
        for start in range(0, len(x), _QUERY_ROWS):
            # a sum is finite only if all terms are (float64: it cannot overflow from finite float32 terms)
            sums = x[start : start + _QUERY_ROWS].sum(dim=1, dtype=torch.float64)
            if not sums.isfinite().all():
                row = start + int((~sums.isfinite()).nonzero()[0])
                raise DataError(f"{name} features: row {row} holds a value that is not finite")


@cache
def _fast_bf16(device: str) -> bool:
    """Whether this processor multiplies bfloat16 matrices natively."""
    if device != "cpu":
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, p)()) for p in probes if hasattr(torch.cpu, p))


def _block_rows(train: Tensor) -> int:
    return max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (train.shape[1] * train.element_size())))


def _nearest_plain(train: Tensor, test: Tensor, k: int) -> tuple[Tensor, Tensor]:
    keep = min(k + _SPARE, len(train))
    best = _Candidates(len(test), keep, train)
    rows = _block_rows(train)
    for start in range(0, len(train), rows):
        block = unit_rows(train[start : start + rows])
        for at in range(0, len(test), _QUERY_ROWS):
            # a query's own length does not change the order of its neighbours, but may overflow their similarities
            best.offer(at, unit_rows(test[at : at + _QUERY_ROWS]) @ block.T, start)
    return _rank(train, test, best.rows, k)


@dataclass
class _Shift:
    """Both sides moved by the mean of the training rows, which leaves smaller numbers to round.

    For unit rows x, y and any c: x·y = (x−c)·(y−c) + c·(y−c) + x·c, and the last term is one number per query.
    Features of one encoder often lie within a narrow cone; without the shift their differences drown in bfloat16.
    """

    mean: Tensor  # (F,)
    width: int  # columns after padding
    largest: float = 0.0  # longest |y−c|
    offset: float = 0.0  # largest |c·(y−c)|

    @classmethod
    def of(cls, train: Tensor) -> _Shift:
        sample = train[:: max(1, len(train) // _BLOCK_ROWS)]
        width = train.shape[1] + 2
        return cls(unit_rows(sample).mean(dim=0), -(-width // 32) * 32)

    def side(self, x: Tensor) -> Tensor:
        """(n, width) bfloat16: x−c, two free columns, zeros."""
        out = torch.zeros(len(x), self.width, dtype=torch.bfloat16)
        out[:, : x.shape[1]] = unit_rows(x) - self.mean
        return out

    def queries(self, x: Tensor) -> Tensor:
        out = self.side(x)
        out[:, x.shape[1] : x.shape[1] + 2] = 1
        return out

    def block(self, y: Tensor) -> Tensor:
        """The training side, with c·(y−c) as the sum of two bfloat16 columns."""
        shifted = unit_rows(y) - self.mean
        offset = shifted @ self.mean
        high = offset.bfloat16()
        out = torch.zeros(len(y), self.width, dtype=torch.bfloat16)
        out[:, : y.shape[1]] = shifted
        out[:, y.shape[1]] = high
        out[:, y.shape[1] + 1] = offset - high.float()
        self.largest = max(self.largest, float(shifted.norm(dim=1).max()))
        self.offset = max(self.offset, float(offset.abs().max()))
        return out


def _first_pass_bf16(train: Tensor, test: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbours as :func:`nearest`, and (m,) whether each row is proved."""
    keep = min(k + _SPARE_BF16, len(train))
    shift = _Shift.of(train)
    best = _Candidates(len(test), keep, train)
    queries = shift.queries(test)
    rows = _block_rows(train)
    for start in range(0, len(train), rows):
        block = shift.block(train[start : start + rows])
        for at in range(0, len(test), _QUERY_ROWS):
            best.offer(at, queries[at : at + _QUERY_ROWS] @ block.T, start)
    similarity, index = _rank(train, test, best.rows, k)
    if keep == len(train):
        return similarity, index, torch.ones(len(test), dtype=torch.bool)
    unit = unit_rows(test)
    length = (unit - shift.mean).norm(dim=1).double()
    # A row that was left out scored at most `limit`, hence is truly at most `limit` + what rounding can hide:
    # of both factors (and of sums of width terms in float32) by Cauchy-Schwarz, of the offset's columns, of the score.
    limit = best.scores[:, -1].double()
    rounding = (2.1 * _UNIT_BF16 + 2.0 * shift.width * 2.0**-24) * length * shift.largest
    rounding += 2.0**-16 * shift.offset + 2 * _UNIT_BF16 * limit.abs()
    own = (unit.double() @ shift.mean.double()) - 1e-6  # the term x·c that the scores lack, and float32's slack
    return similarity, index, similarity[:, -1] - own >= limit + rounding


def _nearest_bf16(train: Tensor, test: Tensor, k: int) -> tuple[Tensor, Tensor]:
    pilot = test[::_PILOT_SHARE]
    if not _first_pass_bf16(train, pilot, k)[2].double().mean() > 0.5:
        return _nearest_plain(train, test, k)
    similarity, index, proved = _first_pass_bf16(train, test, k)
    open_rows = (~proved).nonzero()[:, 0]
    if len(open_rows):
        similarity[open_rows], index[open_rows] = _nearest_plain(train, test[open_rows], k)
    return similarity, index


class _Candidates:
    """The best ``keep`` of all scores offered so far, per query."""

    def __init__(self, queries: int, keep: int, like: Tensor) -> None:
        self.scores = torch.full((queries, keep), -torch.inf, dtype=like.dtype, device=like.device)
        self.rows = torch.zeros((queries, keep), dtype=torch.int64, device=like.device)

    def offer(self, at: int, scores: Tensor, start: int) -> None:
        """(b, n) scores of queries at…at+b with training rows start…start+n."""
        span = slice(at, at + len(scores))
        keep = self.scores.shape[1]
        value, place = scores.topk(min(keep, scores.shape[1]), dim=1)
        value = torch.cat([self.scores[span], value.to(self.scores.dtype)], dim=1)
        row = torch.cat([self.rows[span], place + start], dim=1)
        self.scores[span], chosen = value.topk(keep, dim=1)
        self.rows[span] = row.gather(1, chosen)


def _rank(train: Tensor, test: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Order candidates (m, c) by their similarity in float64, then by row; the first k."""
    similarities, rows = [], []
    step = max(1, _BLOCK_BYTES // (8 * candidates.shape[1] * train.shape[1]))
    for at in range(0, len(test), step):
        row = candidates[at : at + step].sort(dim=1).values
        found = unit_rows(train[row.flatten()].double()).view(*row.shape, -1)
        query = unit_rows(test[at : at + step].double())
        # rounding to 2^-48 makes equal directions equal, whatever their lengths
        value = torch.einsum("bcf,bf->bc", found, query).mul_(2.0**48).round_().mul_(2.0**-48)
        value, order = value.sort(dim=1, descending=True, stable=True)
        similarities.append(value[:, :k])
        rows.append(row.gather(1, order[:, :k]))
    return torch.cat(similarities), torch.cat(rows)
