"""Threads that decode, or none."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from motet.core.errors import ConfigError

T = TypeVar("T")


class _Here(Executor):
    """Does everything at once, in the thread that asks."""

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def decoders(workers: int) -> Executor:
    """Executor of so many threads; with 0 of them everything happens in the thread that asks."""
    return ThreadPoolExecutor(workers, thread_name_prefix="decode") if workers else _Here()


def number_of(workers: int | None) -> int:
    """Number of threads that an option means; None is one per processor.

    Raises:
        ConfigError: a negative number.
    """
    if workers is not None and workers < 0:
        raise ConfigError(f"workers is {workers}; it must be 0 or more")
    return (os.cpu_count() or 1) if workers is None else workers
