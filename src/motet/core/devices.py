"""Which device to compute on, and how the processor's threads and memory are used."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from motet.core.errors import ConfigError

NAMES = ("auto", "cpu", "cuda", "mps")
_TRIM_THRESHOLD, _MMAP_MAX, _MOST = -1, -4, 2**31 - 1  # of glibc's malloc.h; 2 GiB is the most that an int can say


def usable(name: str) -> str:
    """The device that a name means here; ``auto`` takes a CUDA device where torch sees one, else the processor.

    Raises:
        ConfigError: no such name, or a device that this machine does not have.
    """
    kind = name.split(":")[0]
    if kind not in NAMES:
        raise ConfigError(f"device is {name!r}, it must be one of {', '.join(NAMES)}")
    if kind == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[kind]
    if not there:
        raise ConfigError(f"device is {name}, but torch sees no {kind} device here; use --device cpu")
    return name


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Compute on one thread, unless OMP_NUM_THREADS says otherwise.

    Small networks gain nothing from more threads (490 against 530 clips a second on two cores), and next to any other
    busy process threads that wait for each other are fifty times slower.
    """
    before = torch.get_num_threads()
    if wanted and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, as every step of a training asks for the same again.

    By default glibc gives large arrays back to the system, which must then clear each page again: a tenth to a fifth of
    the time of a small step (docs/results/benchmarks.md). Peak memory grows by less than a tenth. Who sets ``MALLOC_*``
    or ``GLIBC_TUNABLES`` knows better: nothing is changed then.

    Returns:
        Whether it was done; other systems and C libraries have no such setting.
    """
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    system: Any = ctypes.CDLL(None) if os.name == "posix" else None
    if not hasattr(system, "mallopt"):
        return False
    return bool(system.mallopt(_TRIM_THRESHOLD, _MOST) and system.mallopt(_MMAP_MAX, 0))
