"""A finding, and the archive as the checks look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.data import splits
from motet.data.archive import MotionArchive
from motet.data.copies import sizes
from motet.data.inspection import LISTED

Array = npt.NDArray[np.float64]
Severity = Literal["error", "warning", "note"]

SAMPLED_CLIPS = 500  # clips, evenly spread, from which axes, speed and joints are evaluated
SAMPLED_BODIES = 4000
COMPARED_CLIPS = 20_000  # clips of which the size is taken, and which are compared with each other


@dataclass(frozen=True)
class Finding:
    """One reason why training would go badly.

    Attributes:
        name: short name of the check.
        severity: ``error`` (results would be wrong), ``warning`` (likely bad), ``note``.
        message: what is wrong and what follows from it.
        evidence: the figures on which it rests.
        remedy: what to do, a command where one does it.
        clips: examples by name.
        rows: all clips that it is about; none if it is about the archive.
        extra: of these the ones without which the others are sound.
    """

    name: str
    severity: Severity
    message: str
    evidence: str
    remedy: str
    clips: tuple[str, ...] = field(default=())
    rows: tuple[int, ...] = field(default=(), repr=False)
    extra: tuple[int, ...] = field(default=(), repr=False)


class View:
    """The archive, with what several checks need worked out once."""

    def __init__(self, archive: MotionArchive, rule: str | None, clips: int = SAMPLED_CLIPS) -> None:
        self.archive, self.skeleton = archive, archive.skeleton
        usual = splits.default_rule(archive) if len(archive) > 1 else "all"  # one clip cannot be split
        self.split = splits.split(archive, rule or usual)
        self.ruled = ("--split", rule) if rule else ()
        self.names: list[str] = archive.clips["name"].to_list()
        self.spatial = len(archive.channels) == 3
        self.sensor = archive.skeleton.kind == "sensor"
        self.sampled = np.unique(np.linspace(0, len(archive) - 1, clips).round().astype(int)).tolist()

    def bodies(self, index: int) -> Iterator[Array]:
        """(frames, V, C) of each person of a clip, without the frames in which nobody is there."""
        clip = self.archive.clip(index).astype(np.float64)
        for person in range(clip.shape[1]):
            found = clip[:, person]
            found = found[np.isfinite(found).all(axis=(1, 2)) & found.any(axis=(1, 2))]
            if len(found):
                yield found

    @cached_property
    def sample(self) -> Array:
        """(n, V, C) bodies, evenly from the sampled clips."""
        each = max(4, SAMPLED_BODIES // len(self.sampled))
        rows = [body[:: max(1, len(body) // each)][:each] for i in self.sampled for body in self.bodies(i)]
        return np.concatenate(rows) if rows else np.zeros((0, len(self.skeleton), len(self.archive.channels)))

    @cached_property
    def dead(self) -> list[str]:
        """Coordinates that are the same for all joints of every body."""
        if not len(self.sample):
            return []
        spread = (self.sample - self.sample.mean(axis=1, keepdims=True)).std(axis=(0, 1))
        return [self.archive.channels[i] for i in np.flatnonzero(spread < 1e-6 * max(float(spread.max()), 1e-12))]

    @cached_property
    def compared(self) -> npt.NDArray[np.int64]:
        """Rows of the clips that are compared with each other."""
        return np.unique(np.linspace(0, len(self.archive) - 1, COMPARED_CLIPS).round().astype(np.int64))

    @cached_property
    def sizes(self) -> Array:
        """(compared clips,) median over five frames of the bodies' largest extent; NaN if nobody is there."""
        return sizes(self.archive, self.compared)

    @cached_property
    def size(self) -> float:
        """Typical size of a body in the archive's unit; NaN if there is none."""
        known = self.sizes[np.isfinite(self.sizes) & (self.sizes > 0)]
        return float(np.median(known)) if len(known) else np.nan

    def listed(self, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.names[i] for i in rows[:LISTED])

    def about(self, rows: Sequence[int], extra: Sequence[int] | None = None) -> dict[str, tuple[Any, ...]]:
        """The clips of a finding: all of them and, where it is not all, those to leave out."""
        return {"clips": self.listed(rows), "rows": tuple(rows), "extra": tuple(rows if extra is None else extra)}

    def rule_that(self, suits: Callable[[splits.Split], bool]) -> str | None:
        """The first usual rule, not the one that is evaluated, that works on this archive and ``suits``."""
        folds = (f"kfold:{count}/1" for count in (5, 4, 3, 2))
        drawn = (f"random-subjects:0.3@{seed}" for seed in range(5))
        for rule in ("odd-even", "random-subjects:0.3@0", *folds, *drawn, "random:0.3@0"):
            try:
                found = splits.split(self.archive, rule)
            except ConfigError:
                continue
            if rule != self.split.name and suits(found):
                return rule
        return None
