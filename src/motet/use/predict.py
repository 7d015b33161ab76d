"""Apply a fitted model: bouts as a table, as label tracks, or moment by moment while recording."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.files import refuse_existing, written
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.clip_table import csv_text
from motet.data.worn import mirrored
from motet.use.durations import Chain
from motet.use.material import NONE
from motet.use.predictor import OF_MANY, Predictor, load_predictor
from motet.use.signals import bridged, present

STRANGE, MANY = 0.9, 10
"""share of answers that are ``none of these`` from which the recordings are doubted, of so many answers"""
LAG = 1.0  # seconds of later evidence that a streamed decision waits for


def predict(
    model: str | Path | Predictor,
    archive: str | Path | MotionArchive,
    out: str | Path | None = None,
    *,
    track: str | None = None,
    reject: float = 0.0,
    overwrite: bool = False,
    progress: bool = True,
) -> pl.DataFrame:
    """What happens when in every recording of an archive.

    Args:
        model: a folder of :func:`motet.fit`.
        archive: recordings of the model's layout, rate and unit; bodies on other axes are turned to the model's.
        out: CSV to write: recording, start, end (seconds), label, probability.
        track: also store the bouts as this label track of the archive; certainty is the probability.
        reject: share of known moments that may be given away so that activities which were never learnt are noticed as
            ``none of these``; what is noticed stands on the model's card. 0 takes only what is far from everything.
        overwrite: replace a file or track that is there.
        progress: show on stderr how far it is, where it takes long.

    Returns:
        The bouts; one row a clip where the model was learnt from clips, but for recordings of more than four times
        the length of these.

    Raises:
        ConfigError: another layout, rate or unit, axes of which one is not stated, something is there already, or
            ``reject`` is no such share or needs another model.
        DataError: all recordings are shorter than a window.

    Warns:
        MotetWarning: names recordings that are shorter than a window, of which there are no bouts; or nearly all
            answers are ``none of these``.
        MotetNote: names recordings that have bouts, of a model that learnt from clips.
    """
    if out is not None:
        refuse_existing(out, overwrite, ".csv")
    known = (model if isinstance(model, Predictor) else load_predictor(model)).rejecting(reject)
    source = MotionArchive.open(archive)
    if track is not None:
        source.tracks.refuse_existing(track, overwrite)
    bouts = known.predict(source, progress=progress)
    strange = float(np.mean(bouts["label"].to_numpy() == NONE)) if len(bouts) >= MANY else 0.0
    if strange >= STRANGE:
        warnings.warn(
            f"{strange:.0%} of the answers are {NONE!r}: the recordings are unlike those that the model learnt from, "
            "in what people do or in how they were recorded (camera, pose estimator, joints made of others, unit)",
            MotetWarning,
            stacklevel=2,
        )
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
        probability: of that class; of ``none of these``, the share of known moments that are less strange.
    """

    time: float
    label: str | None
    probability: float


@dataclass(frozen=True)
class _Held:
    """What a live recording keeps in mind.

    Attributes:
        frames: (T, P, V, C), the last ones.
        first: number of the first of them.
        seen: ticks whose probabilities are known.
        said: ticks that were decided.
        evidence: (n, K) of ticks that were seen and not decided.
        filtered: (n, S) probabilities of the states of the chain at these.
        marks: (n, 2), how strange they are, and whether anything was recorded.
        state: (1, S) filtered probabilities of the last tick that was seen; (0, S) before the first.
    """

    frames: npt.NDArray[Any]
    first: int
    seen: int
    said: int
    evidence: npt.NDArray[Any]
    filtered: npt.NDArray[Any]
    marks: npt.NDArray[Any]
    state: npt.NDArray[Any]


class Live:
    """The model frame by frame. A decision about a moment comes ``delay`` seconds later.

    >>> live = Live(model)  # doctest: +SKIP
    >>> for decision in live.push(frames):  # doctest: +SKIP
    ...     print(decision.time, decision.label)

    Args:
        model: a folder of :func:`motet.fit`.
        lag: seconds of later evidence that the smoothing waits for.
        every: seconds from one look at the recording to the next. A look costs the same however much it decides, so
            more is cheaper, and later.
        reject: of :func:`predict`; it needs more time around a moment.
        side: where a sensor is worn. Readings of the left are mirrored as the model's own (:mod:`motet.data.worn`).

    Raises:
        ConfigError: ``lag`` or ``every`` is no length of time, of ``reject`` as :func:`predict`, a model that centres
            features, or the left side of one that knows no axis to mirror it by.
    """

    def __init__(
        self,
        model: str | Path | Predictor,
        *,
        lag: float = LAG,
        every: float = 0.0,
        reject: float = 0.0,
        side: Literal["left", "right"] = "right",
    ) -> None:
        for name, seconds in (("lag", lag), ("every", every)):
            if not (math.isfinite(seconds) and seconds >= 0):
                raise ConfigError(f"{name} is {seconds}; it must be a number of seconds, 0 or more")
        self.model = (model if isinstance(model, Predictor) else load_predictor(model)).rejecting(reject)
        if self.model.config.get("centre_by"):
            raise ConfigError(OF_MANY)
        layout = self.model.layout
        self._axis = layout.mirror if side == "left" else None
        if side == "left" and self._axis is None:
            raise ConfigError(
                "the model knows no axis along which sensors worn on the left mirror those on the right, as it was not "
                "fitted on both (column side)"
            )
        self.step = layout.hop / layout.fps
        self._lag, self._every = round(lag / self.step), max(1, round(every / self.step))
        self._reach = self.model.margin
        self.delay = round(self._reach / layout.fps + (self._lag + self._every - 0.5) * self.step, 6)
        self._chain = Chain(self.model.durations)
        frames = np.zeros((0, layout.persons, len(layout.skeleton), layout.channels), dtype=np.float32)
        none, states = np.zeros((0, len(self.model.classes))), np.zeros((0, len(self._chain.owner)))
        self._held = _Held(frames, 0, 0, 0, none, states, np.zeros((0, 2)), states)

    @property
    def frames(self) -> int:
        """How many frames have come."""
        return self._held.first + len(self._held.frames)

    def push(self, frames: npt.NDArray[Any]) -> list[Decision]:
        """Take in (T, P, V, C) or (T, V, C) frames, and say what is now sure.

        Raises:
            DataError: another shape, or numbers that are not finite.
        """
        held = self._held
        held = replace(held, frames=np.concatenate([held.frames, self._checked(frames)]))
        known = (held.first + len(held.frames) - self._reach) // self.model.layout.hop // self._every * self._every
        if known > held.seen:
            held = self._looked(held, known)
        self._held, decisions = self._decided(held, len(held.evidence) - self._lag)
        return decisions

    def finish(self) -> list[Decision]:
        """What remains when the recording ends."""
        held, total = self._held, self.model.layout.ticks(self.frames)
        if total > held.seen:
            held = self._looked(held, total)
        self._held, decisions = self._decided(held, len(held.evidence))
        return decisions

    def save(self, path: str | Path) -> None:
        """Write what is held in mind, so that :meth:`resume` continues as if nothing had happened."""
        with written(Path(path)) as partial, partial.open("wb") as file:
            np.savez(file, model=self._identity, **vars(self._held))

    def resume(self, path: str | Path) -> None:
        """Continue where :meth:`save` was called.

        Raises:
            ConfigError: another model or lag.
            DataError: the file cannot be read.
        """
        try:
            with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                held = {k: file[k] for k in ("model", *vars(self._held))}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise DataError(f"{path} cannot be read ({error!s:.100}); remove it to begin a new recording") from error
        if str(held.pop("model")) != self._identity:
            said = f"{path} is of another model, lag, side or share of --reject"
            raise ConfigError(f"{said}; use those, or remove it to begin a new recording")
        numbers: dict[str, Any] = {k: v if v.ndim else int(v) for k, v in held.items()}
        self._held = _Held(**numbers)

    @property
    def _identity(self) -> str:
        more = [*[self.model.reject] * bool(self.model.reject), *["left"] * (self._axis is not None)]
        facts = [self.model.layout.fps, self.model.classes, self._lag, *more]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for name, array in sorted(self.model.arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _checked(self, frames: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        given = np.asarray(frames, dtype=np.float32)
        given = given[:, None] if given.ndim == 3 else given
        shape = self._held.frames.shape[1:]
        if given.ndim != 4 or given.shape[1:] != shape:
            raise DataError(f"frames of shape {given.shape} where (T, {', '.join(map(str, shape))}) are due")
        if not np.isfinite(given).all():
            raise DataError(
                f"frame {self.frames} or a later one has a number that is not finite; give 0 for what was not recorded"
            )
        return given if self._axis is None else mirrored(given, self.model.layout.skeleton, self._axis)

    def _looked(self, held: _Held, known: int) -> _Held:
        """With the evidence of all ticks before ``known``, and without frames that nothing will look at again."""
        hop, offset = self.model.layout.hop, held.first // self.model.layout.hop
        frames = bridged(held.frames, self.model.layout.skeleton, self.model.layout.fps)
        p, rank = self.model.moments(frames)
        rows = np.arange(held.seen - offset, known - offset)
        evidence = self._chain.evidence(p[rows])
        filtered = self._chain.forward(evidence, held.state[0] if len(held.state) else None)
        there = present(frames[np.minimum(rows * hop + hop // 2, len(frames) - 1)])
        drop = max(0, known * hop - self._reach - held.first) // self.model.layout.block * self.model.layout.block
        return replace(
            held,
            frames=held.frames[drop:],
            first=held.first + drop,
            seen=known,
            evidence=np.concatenate([held.evidence, evidence]),
            filtered=np.concatenate([held.filtered, filtered]),
            marks=np.concatenate([held.marks, np.stack([rank[rows], there], axis=1)]),
            state=filtered[-1:],
        )

    def _decided(self, held: _Held, ready: int) -> tuple[_Held, list[Decision]]:
        if ready <= 0:
            return held, []
        smooth = self._chain.backward(held.filtered, held.evidence)
        sure, names = self.model.sure(smooth, held.marks[:, 0]), [*self.model.classes, NONE]
        decisions = []
        for row, there in enumerate(held.marks[:ready, 1].tolist()):
            best = len(names) - 1 if sure[row, -1] else int(smooth[row].argmax())
            label = names[best] if there else None
            decisions.append(Decision((held.said + row + 0.5) * self.step, label, float(sure[row, best])))
        left = {k: getattr(held, k)[ready:] for k in ("evidence", "filtered", "marks")}
        return replace(held, said=held.said + ready, **left), decisions


def live_lines(
    live: Live, lines: Iterable[str | bytes], *, state: str | Path | None = None, saved_every: float = 60.0
) -> Iterator[str]:
    """Decisions as JSON lines for frames as JSON lines: one frame a line, nested (V, C) or flat; ``null`` is a frame,
    a person or a joint that was not recorded, or each of its numbers.

    Args:
        live: the model.
        lines: of frames.
        state: file of :meth:`Live.save` to write every ``saved_every`` seconds of the recording and at the end, however
            that comes; the end of ``lines`` is then not that of the recording.
        saved_every: seconds of the recording.

    Raises:
        DataError: a line is not a frame; names it. Lines before it count.
    """
    layout = live.model.layout
    shape = (1, layout.persons, len(layout.skeleton), layout.channels)
    saved = live.frames
    try:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            yield from map(_line, live.push(_frame(line, number, shape)))
            if state is not None and live.frames - saved >= saved_every * layout.fps:
                live.save(state)
                saved = live.frames
        if state is None:
            yield from map(_line, live.finish())
    finally:
        if state is not None:
            live.save(state)


def _frame(line: str | bytes, number: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    size = math.prod(shape)
    try:
        frame = np.asarray(_filled(json.loads(line), shape), dtype=np.float32).reshape(shape)
        frame[np.isnan(frame).all(axis=-1)] = 0
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        form = " × ".join(map(str, shape))
        raise DataError(f"line {number} is not a frame of {counted(size, 'number')} as a JSON list ({form})") from error
    if not np.isfinite(frame).all():
        raise DataError(f"line {number} has a number that is not finite; give 0 for what was not recorded")
    return frame


def _filled(given: Any, shape: tuple[int, ...]) -> Any:
    """Nested lists with NaN of the right form for each ``null`` in them; NaN alone where nothing else is in them."""
    deep = _depth(given)

    def fill(part: Any, form: tuple[int, ...]) -> Any:
        if part is None:
            return np.full(form, np.nan).tolist()
        return [fill(each, form[1:]) for each in part] if isinstance(part, list) else part

    return np.full(shape, np.nan) if deep < 0 else fill(given, shape[max(0, len(shape) - deep) :])


def _depth(given: Any) -> int:
    """How deep numbers lie in nested lists; negative where there are none."""
    if isinstance(given, list):
        return 1 + max(map(_depth, given), default=0)
    return -1000 if given is None else 0


def _line(decision: Decision) -> str:
    return json.dumps(
        {"time": round(decision.time, 4), "label": decision.label, "probability": round(decision.probability, 4)}
    )
