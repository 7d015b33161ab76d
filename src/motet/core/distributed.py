"""The little that motet needs of torch.distributed; every function is a no-op in a single process."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from subprocess import Popen
from textwrap import shorten
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from motet.core.errors import Interrupted, RunError
from motet.core.signals import STOPPING

T = TypeVar("T")

_GRACE = 1.0  # seconds that a process has to end by itself
# "[/pytorch/third_party/gloo/…/pair.cc:547]", "[c10d]", "/…/TCPStore.cpp:120"
_PLACE = re.compile(r"\[?[\w./+-]*\.(?:cc|cpp|cu|h|hpp):\d+\]?|\[c10d\]")
_LOST = ("Connection closed", "Connection reset", "Connection refused", "Broken pipe", "gloo", "NCCL", "imed out")


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


def largest_over_ranks(value: float, device: torch.device) -> float:
    """The largest value of any process: a signal may reach one before the others."""
    if world_size() == 1:
        return value
    largest = torch.tensor(float(value), device=device)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return largest.item()


def started() -> tuple[int, int] | None:
    """(processes on this machine, machines) as ``torchrun`` or ``srun`` started them; None where neither did."""
    found = os.environ
    if "TORCHELASTIC_RUN_ID" in found and "LOCAL_WORLD_SIZE" in found:
        here = int(found["LOCAL_WORLD_SIZE"])
        return here, int(found["WORLD_SIZE"]) // here
    if _step_of_slurm():
        machines = int(found.get("SLURM_STEP_NUM_NODES", "1"))
        return int(found["SLURM_STEP_NUM_TASKS"]) // machines, machines
    return None


def _step_of_slurm() -> bool:
    """Whether ``srun`` started this process together with others; a batch script itself is no such process."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in os.environ


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that ``torchrun`` or ``srun`` started, if one did and nobody has joined them yet."""
    if dist.is_initialized():
        yield
        return
    if _step_of_slurm() and "WORLD_SIZE" not in os.environ:
        from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

        slurm = SLURMEnvironment()
        os.environ |= {"MASTER_ADDR": slurm.main_address, "MASTER_PORT": str(slurm.main_port)}
        os.environ |= {"WORLD_SIZE": os.environ["SLURM_STEP_NUM_TASKS"], "RANK": os.environ["SLURM_PROCID"]}
        os.environ["LOCAL_RANK"] = os.environ.get("SLURM_LOCALID", "0")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
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


def from_first(compute: Callable[[], T]) -> T:
    """What the first process computes, in all of them, while these wait."""
    return agreed(compute() if rank() == 0 else None)  # type: ignore[return-value]


def own_part(rows: Tensor, dim: int = 0) -> Tensor:
    """This process's part of rows that every process knows, as ``tensor_split`` shares them."""
    return rows if world_size() == 1 else rows.tensor_split(world_size(), dim)[rank()]


def whole(part: Tensor, count: int, dim: int = 0) -> Tensor:
    """The ``count`` rows of which every process has :func:`own_part`, differentiable.

    Where every process then computes the same loss of them, the mean of its gradients over the processes is the
    gradient of a single process.
    """
    if world_size() == 1:
        return part
    before = int(own_part(torch.arange(count))[:1]) if part.shape[dim] else 0
    shape = list(part.shape)
    shape[dim] = before
    above = part.new_zeros(shape)
    shape[dim] = count - before - part.shape[dim]
    return sum_over_ranks(torch.cat([above, part, part.new_zeros(shape)], dim))


def own_share(rows: int, count: int) -> float:
    """Factor of a mean over this process's ``rows`` of ``count`` rows; the processes' mean is then that of all rows."""
    return rows * world_size() / count


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Make every gradient its mean over all processes; None counts as 0, and stays where no process has one."""
    if world_size() == 1:
        return
    for _, group in groupby(sorted(parameters, key=_kind), key=_kind):
        own = list(group)
        there = own[0].new_tensor([p.grad is not None for p in own])
        parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in own]
        flat = torch.cat([*parts, there])
        dist.all_reduce(flat)
        *means, there = torch.split(flat / world_size(), [*map(len, parts), len(own)])
        for parameter, mean, seen in zip(own, means, there.tolist(), strict=True):
            parameter.grad = mean.view_as(parameter) if seen else None


def _kind(parameter: nn.Parameter) -> str:
    return f"{parameter.dtype} {parameter.device}"


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


def own_rows(draw: Callable[[int], Tensor], rows: int) -> Tensor:
    """What ``draw(n)`` gives this process's ``rows`` clips: drawn for the whole batch by every process in the same way.

    Every process has the same generator in the same state and a contiguous part of the batch, so that the numbers are
    those that one process alone would draw.
    """
    if world_size() == 1:
        return draw(rows)
    return draw(rows * world_size())[rank() * rows : (rank() + 1) * rows]


def lost_peer(error: BaseException) -> bool:
    """Whether an error says that another process of the training is gone."""
    return world_size() > 1 and _of_connection(error)


def _of_connection(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError):
        return False
    return isinstance(error, dist.DistError) or any(word in str(error) for word in _LOST)


def reason(error: BaseException) -> str:
    """The first sentence of an error of torch.distributed, 120 characters at most, without places in C++ sources."""
    line = (str(error).strip().splitlines() or [""])[0]
    sentence = re.split(r"\.\s", _PLACE.sub("", line), maxsplit=1)[0].strip(" :;.,[]")
    return shorten(sentence or type(error).__name__, 120, placeholder=" …")


@contextmanager
def ended_at_once(children: Callable[[], list[Popen[bytes]]]) -> Iterator[None]:
    """While processes find each other, end all of them as soon as a signal comes.

    torch waits for the others in C++, where neither Ctrl-C nor SIGTERM gets through: they would wait for half
    a minute and then fail on the connection. Nothing of a training has been written by then.

    Args:
        children: the processes that this one has started; the list is emptied, so that Lightning's observer of it does
            not kill this process before it could say what happened.

    Raises:
        Interrupted: a signal to stop came.
        RunError: the processes did not find each other.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    received, left = threading.Event(), threading.Event()
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)

    def watch() -> None:
        while number := os.read(ear, 1):
            if number[0] not in STOPPING:
                continue
            caught.append(number[0])
            received.set()
            started = list(children())
            children().clear()
            for child in started:
                child.kill()
            if not left.wait(_GRACE):  # the main thread does not come back from C++
                if _first_here():
                    print(_stopped(number[0]), file=sys.stderr, flush=True)
                os._exit(128 + number[0])

    before = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, daemon=True, name="signals")
    watcher.start()
    try:
        yield
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, KeyboardInterrupt):
            received.wait(_GRACE)  # it may be here before the watcher has read the number of its signal
        if caught:
            stopped = Interrupted(_stopped(caught[0]))
            stopped.status = 128 + caught[0]
            raise stopped from error
        if isinstance(error, KeyboardInterrupt) or not _of_connection(error):
            raise
        raise RunError(
            f"the processes of the training did not find each other ({reason(error)}); start all of them again"
        ) from error
    finally:
        left.set()
        signal.set_wakeup_fd(before)
        os.close(mouth)
        watcher.join()
        os.close(ear)


def _stopped(number: int) -> str:
    return f"stopped by {signal.Signals(number).name} before the training began; the same command starts it again"


def _first_here() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0"


class _Sum(torch.autograd.Function):
    """Sum over all processes; the gradient of a sum that everybody uses is the sum of everybody's gradients."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum over all processes, differentiable; the values themselves where there is one process."""
    if world_size() == 1:
        return values
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


class SyncedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the rows of all processes, on any device (torch's own needs a GPU).

    In eval mode, and in a single process, exactly torch's batch norm. Statistics are computed in two passes, mean
    first, in float32 or better.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected rows with features, got a tensor of shape {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """(N, F, …) → the same shape."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        summed, shape = [d for d in range(x.dim()) if d != 1], [1, -1, *[1] * (x.dim() - 2)]
        own = x.new_full((1,), x.numel() // x.shape[1])
        everything: Tensor = _Sum.apply(torch.cat([x.sum(summed), own]))  # type: ignore[no-untyped-call]
        count = everything[-1].detach()
        if count < 2:  # one row has no variance; it is normalised by what was seen before
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        mean = everything[:-1] / count
        centred = x - mean.view(shape)
        variance: Tensor = _Sum.apply(centred.square().sum(summed)) / count  # type: ignore[no-untyped-call]
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp_min(1))
        out = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """torch's dropout of this process's rows (N, …); on a CPU what all processes drop is what a single one would."""
    if world_size() == 1 or not training or not rate:
        return functional.dropout(x, rate, training)
    counts = torch.zeros(world_size(), dtype=torch.int64, device=x.device)
    counts[rank()] = len(x)
    dist.all_reduce(counts)
    first, total = int(counts[: rank()].sum()), int(counts.sum())
    # torch draws in the order of memory, of which the rows are the slowest axis
    strides = x.stride()
    order = sorted(range(x.ndim), key=lambda axis: (axis > 0, -strides[axis]))
    places = sorted(range(x.ndim), key=order.__getitem__)
    noise = x.new_empty([total if axis == 0 else x.shape[axis] for axis in order]).permute(places)
    return x * noise.bernoulli_(1 - rate).div_(1 - rate)[first : first + len(x)]


class SharedDropout(nn.Dropout):
    """:func:`dropout` as a layer."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, …) → the same shape."""
        return dropout(input, self.p, self.training)


def synchronise(module: nn.Module) -> None:
    """Give all processes the first one's weights, and norms and dropouts the rows of all (:func:`see_all_rows`)."""
    for tensor in (*module.parameters(), *module.buffers()):
        dist.broadcast(tensor.detach(), src=0)
    see_all_rows(module)


def see_all_rows(module: nn.Module) -> None:
    """Let every batch norm see the rows of all processes and every dropout draw for all; names and values stay."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            synced = SyncedBatchNorm(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            synced.__dict__ |= {k: child.__dict__[k] for k in ("_parameters", "_buffers", "training")}
            setattr(module, name, synced)
        elif type(child) is nn.Dropout:
            setattr(module, name, SharedDropout(child.p).train(child.training))
        else:
            see_all_rows(child)
