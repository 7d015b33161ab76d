"""Which device to compute on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from motet.core.errors import ConfigError

NAMES = ("auto", "cpu", "cuda", "mps")


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
