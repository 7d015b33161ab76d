"""Apply a fitted model: bouts as a table, as label tracks, or moment by moment while recording."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, DataError
from motet.core.files import refuse_existing, written
from motet.data.archive import MotionArchive
from motet.data.clip_table import csv_text
from motet.use.durations import Chain
from motet.use.material import NONE, SHORTEST
from motet.use.predictor import Predictor, load_predictor
from motet.use.signals import check_length, present

LAG = 1.0  # seconds of later evidence that a streamed decision waits for


def predict(
    model: str | Path | Predictor,
    archive: str | Path | MotionArchive,
    out: str | Path | None = None,
    *,
    track: str | None = None,
    overwrite: bool = False,
) -> pl.DataFrame:
    """What happens when in every recording of an archive.

    Args:
        model: a folder of :func:`motet.fit`.
        archive: recordings of the model's layout and rate.
        out: CSV to write: recording, start, end (seconds), label, probability.
        track: also store the bouts as this label track of the archive; certainty is the probability.
        overwrite: replace a file or track that is there.

    Returns:
        The bouts; one row a clip where the model was learnt from clips.

    Raises:
        ConfigError: another layout or rate, or something is there already.
        DataError: a recording shorter than a window.
    """
    if out is not None:
        refuse_existing(out, overwrite)
    known = model if isinstance(model, Predictor) else load_predictor(model)
    source = archive if isinstance(archive, MotionArchive) else MotionArchive.open(archive)
    if track is not None and track in source.tracks and not overwrite:
        raise ConfigError(f"{source.path} has a track {track!r} already; choose another --track or pass --overwrite")
    known.layout.check(source)
    for index in range(len(source)):
        check_length(source, index, SHORTEST)
    bouts = known.predict(source)
    if out is not None:
        write_table(bouts, out)
    if track is not None:
        source.tracks.save(track, bouts.rename({"probability": "certainty"}).with_columns(rater=pl.lit("motet")))
    return bouts


def write_table(table: pl.DataFrame, out: str | Path) -> None:
    """Write a CSV atomically, numbers with four decimals."""
    with written(Path(out)) as partial:
        partial.write_text(csv_text(table, float_precision=4), encoding="utf-8")


@dataclass(frozen=True)
class Decision:
    """What a live recording shows at one moment.

    Attributes:
        time: seconds since the first frame.
        label: class, ``none of these``, or None where nothing was recorded.
        probability: of that class.
    """

    time: float
    label: str | None
    probability: float


class Live:
    """The model frame by frame. A decision about a moment comes ``delay`` seconds later.

    >>> live = Live(model)  # doctest: +SKIP
    >>> for decision in live.push(frames):  # doctest: +SKIP
    ...     print(decision.time, decision.label)
    """

    def __init__(self, model: str | Path | Predictor, *, lag: float = LAG) -> None:
        self.model = model if isinstance(model, Predictor) else load_predictor(model)
        layout = self.model.layout
        self.step = layout.hop / layout.fps
        self._lag = max(0, round(lag / self.step))
        self._reach = self.model.margin
        self.delay = self._reach / layout.fps + self._lag * self.step
        self._chain = Chain(self.model.durations)
        self._frames = np.zeros((0, layout.persons, len(layout.skeleton), layout.channels), dtype=np.float32)
        self._first = 0  # frame number of the buffer's first
        self._seen = 0  # ticks whose probabilities are known
        self._said = 0  # ticks that were decided
        self._evidence = np.zeros((0, len(self.model.classes)))
        self._filtered = np.zeros((0, len(self._chain.owner)))
        self._state: npt.NDArray[np.float64] | None = None
        self._marks: list[tuple[bool, bool]] = []

    def push(self, frames: npt.NDArray[Any]) -> list[Decision]:
        """Take in (T, P, V, C) or (T, V, C) frames, and say what is now sure.

        Raises:
            DataError: another shape, or numbers that are not finite.
        """
        self._frames = np.concatenate([self._frames, self._checked(frames)])
        known = (self._first + len(self._frames) - self._reach) // self.model.layout.hop
        return self._look(known, final=False)

    def finish(self) -> list[Decision]:
        """What remains when the recording ends."""
        total = self._first + len(self._frames)
        return self._look(self.model.layout.ticks(total), final=True) if len(self._frames) else []

    def _checked(self, frames: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        given = np.asarray(frames, dtype=np.float32)
        given = given[:, None] if given.ndim == 3 else given
        if given.ndim != 4 or given.shape[1:] != self._frames.shape[1:]:
            raise DataError(
                f"frames of shape {given.shape} where (T, {', '.join(map(str, self._frames.shape[1:]))}) are due"
            )
        if not np.isfinite(given).all():
            raise DataError(f"frame {self._first + len(self._frames)} or a later one has a number that is not finite")
        return given

    def _look(self, known: int, *, final: bool) -> list[Decision]:
        layout = self.model.layout
        if known > self._seen:
            offset = self._first // layout.hop
            p, strange = self.model.moments(self._frames)
            rows = slice(self._seen - offset, known - offset)
            evidence = self._chain.evidence(p[rows])
            filtered = self._chain.forward(evidence, self._state)
            self._state = filtered[-1]
            middle = np.minimum(
                np.arange(self._seen - offset, known - offset) * layout.hop + layout.hop // 2, len(self._frames) - 1
            )
            self._marks += list(zip(strange[rows].tolist(), present(self._frames[middle]).tolist(), strict=True))
            self._evidence = np.concatenate([self._evidence, evidence])
            self._filtered = np.concatenate([self._filtered, filtered])
            self._seen = known
            drop = (known * layout.hop - self._reach - self._first) // layout.block * layout.block
            if drop > 0:
                self._frames, self._first = self._frames[drop:], self._first + drop
        return self._decide(len(self._evidence) if final else len(self._evidence) - self._lag)

    def _decide(self, ready: int) -> list[Decision]:
        if ready <= 0:
            return []
        smooth = self._chain.backward(self._filtered, self._evidence)
        decisions = []
        for row in range(ready):
            strange, there = self._marks[row]
            best = int(smooth[row].argmax())
            label = None if not there else NONE if strange else self.model.classes[best]
            sure = float(1 - smooth[row, best] if strange else smooth[row, best])
            decisions.append(Decision((self._said + row + 0.5) * self.step, label, sure))
        self._said += ready
        self._evidence, self._filtered = self._evidence[ready:], self._filtered[ready:]
        self._marks = self._marks[ready:]
        return decisions


def live_lines(model: str | Path | Predictor, lines: Iterable[str], *, lag: float = LAG) -> Iterator[str]:
    """Decisions as JSON lines for frames as JSON lines: one frame a line, nested (V, C) or flat.

    Raises:
        DataError: a line is not a frame; names it.
    """
    live = Live(model, lag=lag)
    layout = live.model.layout
    shape = (1, layout.persons, len(layout.skeleton), layout.channels)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            frame = np.asarray(json.loads(line), dtype=np.float32).reshape(shape)
        except (ValueError, TypeError) as error:
            raise DataError(f"line {number} is not a frame of {int(np.prod(shape))} numbers ({error!s:.60})") from error
        yield from map(_line, live.push(frame))
    yield from map(_line, live.finish())


def _line(decision: Decision) -> str:
    return json.dumps(
        {"time": round(decision.time, 4), "label": decision.label, "probability": round(decision.probability, 4)}
    )
