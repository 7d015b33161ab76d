"""What long work says while it runs: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track

T = TypeVar("T")
EVERY = 5.0
"""seconds between two lines where there is no live bar; what takes less says nothing"""
INSIDE_AN_EPOCH = 20.0
"""seconds after which a line is shown although the epoch continues"""


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def say(text: str) -> None:
    """One line on stderr."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


class _Ticker:
    """Prints every few seconds what is under way, how far it is and how long it takes, until the block ends.

    The lines come from a thread of their own, because one step of the work may itself take minutes.
    """

    def __init__(self, what: str, total: int | None, console: Console) -> None:
        self.done = 0
        self._what, self._total, self._console = what, total, console
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            self._console.print(self._line(), soft_wrap=True)

    def _line(self) -> str:
        passed = time.monotonic() - self._began
        far = "" if self._total is None else f" {self.done}/{self._total}"
        if not self._total or not self.done:
            return f"{self._what}{far}  {clock(passed)} so far"
        return f"{self._what}{far}  {clock(passed)}, {clock(passed / self.done * (self._total - self.done))} left"


def tracked(items: Sequence[T], what: str, *, show: bool) -> Iterable[T]:
    """Iterate over ``items`` and show on stderr how far it is: a bar on a terminal, else a line every few seconds."""
    console = Console(stderr=True, highlight=False, markup=False)
    if not show:
        return items
    if console.is_terminal:
        return track(items, description=escape(what), console=console, transient=True)
    return _lines(items, what, console)


def _lines(items: Sequence[T], what: str, console: Console) -> Iterator[T]:
    with _Ticker(what, len(items), console) as ticker:
        for item in items:
            yield item
            ticker.done += 1


@contextmanager
def working(what: str, *, show: bool) -> Iterator[None]:
    """Show on stderr that something is under way whose end cannot be known: a spinner on a terminal, else lines."""
    console = Console(stderr=True, highlight=False, markup=False)
    if not show:
        yield
    elif console.is_terminal:
        with console.status(escape(what)):
            yield
    else:
        with _Ticker(what, None, console):
            yield


class LoopProgress:
    """Shows where a training is, the time left over all its stages, rows per second, terms and the online kNN.

    Args:
        total: steps of the whole training.
        done: steps done before this process started (after a resume).
        show: False shows nothing.
    """

    def __init__(self, total: int, done: int = 0, *, show: bool) -> None:
        self.total, self.done, self.first = total, done, done
        self.console = Console(stderr=True, quiet=not show, highlight=False, markup=False)  # joint[left_arm]
        self.knn = ""
        self._started = time.monotonic()
        self._warm = self._started, done  # since when, and from which step on, the speed is measured
        self._said = self._started - 2 * EVERY  # the first epoch says so
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[facts]}", markup=False),
            console=self.console,
            transient=True,
            disable=not (show and self.console.is_terminal),
        )
        self._task = self._bar.add_task("", total=total, completed=done, facts="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, label: str, losses: Mapping[str, float], speed: float) -> None:
        """One more step is done; where there is no live bar, a long epoch says so now and then."""
        self.done += 1
        if self.done == self.first + 1:  # the first step is slow and says nothing about the others
            self._warm = time.monotonic(), self.done
            if self._bar.disable and self.total > self.done:
                return
        if not self._bar.disable:
            self._bar.update(self._task, description=label, completed=self.done, facts=self._facts(losses, speed))
        elif time.monotonic() - self._said > INSIDE_AN_EPOCH:
            self._line(label, losses, speed)

    def epoch(
        self, label: str, losses: Mapping[str, float], speed: float, knn: Mapping[str, float] | None = None
    ) -> None:
        """An epoch is done: where there is no live bar, say so, at most every few seconds."""
        if knn:
            self.knn = "  kNN " + ", ".join(f"{stream} {100 * share:.1f} %" for stream, share in knn.items())
        if self._bar.disable and (time.monotonic() - self._said > EVERY or self.done >= self.total):
            self._line(label, losses, speed)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, soft_wrap=True)

    def _line(self, label: str, losses: Mapping[str, float], speed: float) -> None:
        self._said = time.monotonic()
        since, before = self._warm if self.done > self._warm[1] else (self._started, self.first)
        left = (self._said - since) / max(1, self.done - before) * (self.total - self.done)
        self.console.print(
            f"{label}  {clock(self._said - self._started)}, {clock(left)} left  {self._facts(losses, speed)}",
            soft_wrap=True,
        )

    def _facts(self, losses: Mapping[str, float], speed: float) -> str:
        terms = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
        return f"{speed:.0f} clips/s  {terms}{self.knn}"
