"""torch's global generators, of one computation at a time.

Initial weights and dropout draw from generators that a whole process shares. So that two threads do not take each
other's draws, and a program's own stay as they were, what motet draws from them it draws inside a :class:`Chance`.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

_TURN = threading.RLock()

States = tuple[Tensor, list[Tensor]]


def states() -> States:
    """States of torch's global generators: of the processor, and of each CUDA device that is in use."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]


def put_back(given: States) -> None:
    """Inverse of :func:`states`."""
    torch.set_rng_state(given[0])
    if given[1] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(given[1])


class Chance:
    """A computation's own place in torch's global generators, while the context lasts; other threads wait for theirs.

    It may be entered again, later and from inside; it continues where it was.

    Args:
        seed: where it begins; None is where the process is.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed, self._depth = seed, 0
        self._own: States | None = None

    def __enter__(self) -> Self:
        _TURN.acquire()
        self._depth += 1
        if self._depth > 1:
            return self
        self._before = states()
        if self._own is not None:
            put_back(self._own)
        elif self._seed is not None:
            torch.manual_seed(self._seed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if not self._depth:  # interrupted in :meth:`rest`
            return
        self._depth -= 1
        if not self._depth:
            self._own = states()
            put_back(self._before)
        _TURN.release()

    def rest(self) -> None:
        """Between two steps of something long: other threads have their turn."""
        if self._depth == 1:
            self.__exit__()
            self.__enter__()
