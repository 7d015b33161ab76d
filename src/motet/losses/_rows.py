"""Rows of a batch that may have leading axes and a mask: lengths of one, means, and which rows are of one class."""

from __future__ import annotations

import torch
from torch import Tensor

NEVER = -1e30  # stands for minus infinity in a logit: unlike that it has a gradient, zero


def unit(rows: Tensor) -> Tensor:
    """Rows of length one along the last axis; a row of zeros has no direction: it stays zero and gets no gradient."""
    length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return torch.where(length > 1e-12, rows / length.clamp_min(1e-12), 0.0)


def every(values: Tensor, rows: Tensor | None) -> Tensor:
    """The mask ``rows``, or one of the shape of ``values`` that is all true."""
    return torch.ones_like(values, dtype=torch.bool) if rows is None else rows


def total(values: Tensor, rows: Tensor) -> Tensor:
    """(…, B) → (…) sum over the rows (…, B) that count."""
    return values.masked_fill(~rows, 0).sum(dim=-1)


def mean(values: Tensor, rows: Tensor) -> Tensor:
    """(…, B) → (…) mean over the rows (…, B) that count; 0 where none does."""
    return total(values, rows) / rows.sum(dim=-1).clamp_min(1)


def same_class(labels: Tensor, rows: Tensor) -> Tensor:
    """(…, B, B) bool: both rows count and have the same class; a row is its own positive."""
    return (labels[..., :, None] == labels[..., None, :]) & rows[..., :, None] & rows[..., None, :]


def repeated_rows(labels: Tensor, rows: Tensor) -> Tensor:
    """(…, B) bool: another row that counts has the same class (W of AMID, §3.3)."""
    return same_class(labels, rows).sum(dim=-1) > 1
