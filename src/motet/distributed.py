"""The little that motet needs of torch.distributed; every function is a no-op in a single process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


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


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that ``torchrun`` started, if it did and nobody has joined them yet."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def agreed(value: T) -> T:
    """The first process's value, in all of them: what depends on files must not be decided twice."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather_parts(rows: Tensor, count: int) -> Tensor:
    """(n_r, …) parts of ``count`` rows, as ``tensor_split`` shares them, put together in every process."""
    if world_size() == 1:
        return rows
    longest = -(-count // world_size())
    padded = rows.new_zeros(longest, *rows.shape[1:])
    padded[: len(rows)] = rows
    everything = gather_rows(padded.cpu()).view(world_size(), longest, *rows.shape[1:])
    sizes = [len(part) for part in torch.arange(count).tensor_split(world_size())]
    return torch.cat([part[:size] for part, size in zip(everything, sizes, strict=True)]).to(rows.device)
