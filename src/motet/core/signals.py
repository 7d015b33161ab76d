"""Signals that ask a long work to stop: it ends at a place from which it can continue."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""signals that stop a training after its step: Ctrl-C, a scheduler, a terminal that closes."""


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect the signals of :data:`STOPPING` instead of dying; a second one takes effect at once.

    A signal that the process ignores (``nohup``) stays ignored.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    obeyed = [s for s in STOPPING if signal.getsignal(s) is not signal.SIG_IGN]
    before = {s: signal.signal(s, handler) for s in obeyed}
    try:
        yield caught
    finally:
        for number, old in before.items():
            signal.signal(number, old)
