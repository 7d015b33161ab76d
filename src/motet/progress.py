"""What training says while it runs: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class TrainingProgress:
    """Shows epoch, steps, ETA, clips per second, every term and the online kNN.

    Args:
        epochs, steps: epochs of the run and steps per epoch.
        done: steps done before this process started (after a resume).
        show: False shows nothing.
    """

    def __init__(self, epochs: int, steps: int, done: int, *, show: bool) -> None:
        self.epochs, self.steps, self.done, self.first = epochs, steps, done, done
        self.console = Console(stderr=True, quiet=not show, highlight=False)
        self.knn = ""
        self._started = time.monotonic()
        self._said = 0.0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[facts]}"),
            console=self.console,
            transient=True,
            disable=not (show and self.console.is_terminal),
        )
        self._task = self._bar.add_task("", total=epochs * steps, completed=done, facts="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, epoch: int, losses: Mapping[str, float], clips_per_second: float) -> None:
        """One more step is done."""
        self.done += 1
        facts = self._facts(losses, clips_per_second)
        self._bar.update(self._task, description=f"epoch {epoch + 1}/{self.epochs}", completed=self.done, facts=facts)

    def epoch(self, epoch: int, losses: Mapping[str, float], clips_per_second: float) -> None:
        """An epoch is done: where there is no live bar, say so, at most every few seconds."""
        now = time.monotonic()
        last = epoch + 1 == self.epochs
        if not self._bar.disable or (now - self._said < 5 and not last):
            return
        self._said = now
        passed = now - self._started
        left = passed / max(1, self.done - self.first) * (self.epochs * self.steps - self.done)
        facts = self._facts(losses, clips_per_second)
        self.console.print(f"epoch {epoch + 1}/{self.epochs}  {clock(passed)}, {clock(left)} left  {facts}")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text)

    def _facts(self, losses: Mapping[str, float], clips_per_second: float) -> str:
        terms = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
        return f"{clips_per_second:.0f} clips/s  {terms}{self.knn}"
