"""Nearest neighbours by cosine, exact, in blocks of both sides.

A first pass of matrix products keeps a few candidates per query, which are then ranked by their similarity in float64.
The products are in bfloat16 where the processor multiplies that faster, else in float32. Queries whose candidates may
not be all that matter, given what rounding can hide, are done again one precision higher, float64 at last: the
precision of the first pass decides the time, never the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from motet.core.errors import ConfigError, DataError

_SPARE = {torch.bfloat16: 11, torch.float32: 7, torch.float64: 3}  # candidates beyond k
_BLOCK_ROWS = 2048
_BLOCK_BYTES = 8 << 20  # stays in the cache, and in memory that the allocator gives again
_MEAN_ROWS = 2048
_QUERY_ROWS = 1024
_BF16_WORK = 1e10  # multiply-adds from which bfloat16 pays for its preparation
_PILOT_SHARE = 16  # one query in so many shows whether bfloat16 can decide this data


def unit_rows(x: Tensor) -> Tensor:
    """(n, F) rows of length 1; a zero row stays zero, and no square under- or overflows."""
    scale = _inverse_lengths(x)
    if not bool((scale > 0).all() and scale.isfinite().all()):  # lengths at the end of the range: scale them first
        largest = torch.linalg.vector_norm(x, torch.inf, dim=1, keepdim=True)
        x = x / largest.where(largest > 0, 1)
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        x = x / length.where(length > 0, 1)
        return x
    return x * scale


def _inverse_lengths(x: Tensor) -> Tensor:
    """(n, 1) 1 / length; not finite for a zero row, zero or not finite where squares leave the range of the dtype."""
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    low, high = torch.finfo(x.dtype).tiny ** 0.5 * x.shape[1], torch.finfo(x.dtype).max ** 0.5
    inverse: Tensor = (1 / length).where((length > low) & (length < high), torch.nan)
    return inverse


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
    ladder = [torch.float64]
    if torch.float64 not in (train.dtype, test.dtype):
        train, test = train.float(), test.float()
        ladder = [torch.float32, torch.float64]
        work = float(len(train)) * len(test) * train.shape[1]
        if work >= _BF16_WORK and _fast_bf16(train.device.type):
            ladder.insert(0, torch.bfloat16)
    similarity = torch.empty(len(test), k, dtype=torch.float64, device=train.device)
    index = torch.empty(len(test), k, dtype=torch.int64, device=train.device)
    rows = torch.arange(len(test), device=train.device)
    for dtype in ladder:
        side = _TrainingSide(train, dtype)
        if dtype == torch.bfloat16 and _one_pass(side, test[::_PILOT_SHARE], k)[2].double().mean() < 0.5:
            continue
        queries = test if len(rows) == len(test) else test[rows]
        similarity[rows], index[rows], proved = _one_pass(side, queries, k)
        rows = rows[~proved]
        if len(rows) == 0:
            break
    return similarity, index


def _check(train: Tensor, test: Tensor, k: int) -> None:
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise ConfigError(
            f"features must be (n, F) and (m, F) of one width, not {tuple(train.shape)} and {tuple(test.shape)}"
        )
    if not 1 <= k <= len(train):
        raise ConfigError(f"k is {k}; it must lie between 1 and the number of training rows, {len(train)}")
    for name, x in (("training", train), ("test", test)):
        check_finite(x, name)


def check_finite(features: Tensor, name: str) -> None:
    """Refuse (n, F) features that are not finite.

    Raises:
        DataError: names them by ``name``, and the row.
    """
    for start in range(0, len(features), _QUERY_ROWS):
        # the largest magnitude of a row is finite only if all its entries are
        largest = torch.linalg.vector_norm(features[start : start + _QUERY_ROWS], torch.inf, dim=1)
        if not largest.isfinite().all():
            row = start + int((~largest.isfinite()).nonzero()[0])
            raise DataError(f"{name} features: row {row} holds a value that is not finite")


@cache
def _fast_bf16(device: str) -> bool:
    """Whether this processor multiplies bfloat16 matrices natively."""
    if device != "cpu":
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, p)()) for p in probes if hasattr(torch.cpu, p))


class _TrainingSide:
    """The training rows in one precision, moved by their mean, which leaves smaller numbers to round.

    For unit rows x, y and any c: x·y = (x−c)·(y−c) + c·(y−c) + x·c, and the last term is one number per query.
    Features of one encoder often lie within a narrow cone; without the shift their differences drown in rounding.
    """

    def __init__(self, rows: Tensor, dtype: torch.dtype) -> None:
        self.rows, self.dtype = rows, dtype
        self.work = torch.float32 if dtype == torch.bfloat16 else dtype
        self.mean = unit_rows(rows[:: -(-len(rows) // _MEAN_ROWS)].to(self.work)).mean(dim=0)
        self.columns = rows.shape[1]
        # bfloat16 has no fused bias that keeps float32: the offset is two more columns, padded to whole registers
        self.width = -(-(self.columns + 2) // 32) * 32 if dtype == torch.bfloat16 else self.columns
        self.longest = self.offset = 0.0  # largest |y−c| and |c·(y−c)| so far
        self._kept: list[tuple[Tensor, Tensor | None]] = []

    def shifted(self, x: Tensor) -> Tensor:
        """x−c of (n, F) rows, in the working precision."""
        return unit_rows(x.to(self.work)).sub_(self.mean)

    def queries(self, x: Tensor) -> Tensor:
        """(m, width), the left factor of the scores."""
        ones = int(self.dtype == torch.bfloat16)
        out = torch.zeros(len(x), self.width, dtype=self.dtype, device=x.device)
        for at in range(0, len(x), _QUERY_ROWS):
            out[at : at + _QUERY_ROWS, : self.columns] = self.shifted(x[at : at + _QUERY_ROWS])
        out[:, self.columns : self.columns + 2] = ones
        return out

    def blocks(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The right factors, with c·(y−c) where it is not among the columns; bfloat16 is kept for the next caller."""
        if self._kept:
            yield from self._kept
            return
        rows = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (self.columns * self.rows.element_size())))
        for start in range(0, len(self.rows), rows):
            block = self._block(self.rows[start : start + rows])
            if self.dtype == torch.bfloat16:
                self._kept.append(block)
            yield block

    def _block(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        side = self.shifted(y)
        offset = side @ self.mean
        self.longest = max(self.longest, float(torch.linalg.vector_norm(side, dim=1).max()))
        self.offset = max(self.offset, float(offset.abs().max()))
        if self.dtype != torch.bfloat16:
            return side, offset
        out = torch.zeros(len(y), self.width, dtype=self.dtype)
        out[:, : self.columns] = side
        high = offset.bfloat16()
        out[:, self.columns] = high
        out[:, self.columns + 1] = offset - high.float()
        return out, None

    def rounding(self, length: Tensor, score: Tensor) -> Tensor:
        """How far a score can be from the truth: query length |x−c| (m,), score (m,), both float64.

        Both factors are rounded to the precision of the products (Cauchy-Schwarz), sums of ``width`` terms to that of
        the accumulator, the score to that of the result; unit rows are off by a few roundings themselves.
        """
        unit = torch.finfo(self.work).eps / 2
        if self.dtype == torch.bfloat16:
            factor = 2.0**-9
        elif self.dtype == torch.float32:  # torch may be set to multiply float32 less precisely
            factor = {"high": 2.0**-11, "medium": 2.0**-9}.get(torch.get_float32_matmul_precision(), 0.0)
        else:
            factor = 0.0
        sums = 8 * self.width**0.5 * unit  # the errors of a sum nearly cancel; 8 sd of them
        hidden: Tensor = (2.1 * factor + sums) * length * self.longest + (2 * factor + sums) * self.offset + 16 * unit
        if self.dtype == torch.bfloat16:
            hidden = hidden + 2.0**-16 * self.offset + 2.0**-8 * score.abs()
        return hidden


def _one_pass(side: _TrainingSide, test: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbours as :func:`nearest`, and (m,) bool: no row that was left out can be among them."""
    keep = min(k + _SPARE[side.dtype], len(side.rows))
    queries = side.queries(test)
    scores = torch.full((len(test), keep), -torch.inf, dtype=side.dtype, device=test.device)
    candidates = torch.zeros((len(test), keep), dtype=torch.int64, device=test.device)
    start = 0
    for block, offset in side.blocks():
        for at in range(0, len(test), _QUERY_ROWS):
            span = slice(at, at + _QUERY_ROWS)
            found = queries[span] @ block.T if offset is None else torch.addmm(offset, queries[span], block.T)
            value, place = found.topk(min(keep, len(block)), dim=1)
            value = torch.cat([scores[span], value], dim=1)
            row = torch.cat([candidates[span], place + start], dim=1)
            scores[span], chosen = value.topk(keep, dim=1)
            candidates[span] = row.gather(1, chosen)
        start += len(block)
    similarity, index = _rank(side.rows, test, candidates, k)
    proved = torch.ones(len(test), dtype=torch.bool, device=test.device)
    if keep < len(side.rows):
        mean = side.mean.double()
        for at in range(0, len(test), _QUERY_ROWS):
            span = slice(at, at + _QUERY_ROWS)
            unit = unit_rows(test[span].double())
            # a row that was left out scored at most `limit`; the scores lack the query's own term x·c
            limit = scores[span, -1].double()
            hidden = side.rounding(torch.linalg.vector_norm(unit - mean, dim=1), limit)
            proved[span] = similarity[span, -1] - unit @ mean > limit + hidden
    return similarity, index, proved


def _rank(train: Tensor, test: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Order candidates (m, c) by their similarity in float64, then by row; the first k."""
    similarity = torch.empty(len(test), k, dtype=torch.float64, device=train.device)
    index = torch.empty(len(test), k, dtype=torch.int64, device=train.device)
    step = max(1, _BLOCK_BYTES // (8 * candidates.shape[1] * train.shape[1]))
    for at in range(0, len(test), step):
        row = candidates[at : at + step].sort(dim=1).values
        found = unit_rows(train[row.flatten()].double()).view(*row.shape, -1)
        query = unit_rows(test[at : at + step].double())
        # rounding to 2^-48 makes equal directions equal, whatever their lengths
        value = torch.bmm(found, query[:, :, None])[:, :, 0].mul_(2.0**48).round_().mul_(2.0**-48)
        value, order = value.sort(dim=1, descending=True, stable=True)
        similarity[at : at + step] = value[:, :k]
        index[at : at + step] = row.gather(1, order[:, :k])
    return similarity, index
