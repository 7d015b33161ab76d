"""The little that motet needs of torch.distributed; every function is a no-op in a single process."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather_rows(rows: Tensor) -> Tensor:
    """(B, …) of every process, concatenated in the order of their ranks; constants."""
    if world_size() == 1:
        return rows.detach()
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(parts, rows.detach().contiguous())
    return torch.cat(parts)


def mean_over_ranks(values: Tensor) -> Tensor:
    """Mean of a tensor over all processes."""
    if world_size() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / world_size()


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is up in any process: a signal may reach one before the others."""
    if world_size() == 1:
        return flag
    raised = torch.tensor(float(flag), device=device)
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return bool(raised.item())
