"""What moments are described by: the encoder of a model, or statistics over windows where no model fits the layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.worn import to_one_side
from motet.use.signals import Array, Layout
from motet.use.windows import Statistics

Integers = npt.NDArray[np.int64]
_BLOCK = 256  # clips that are encoded together


class Source(Protocol):
    """Features of recordings.

    Attributes:
        name: what the page calls them.
    """

    name: str

    def ticks(self, clip: int) -> Array:
        """(n, F) features at every tick of a recording, ten times a second."""

    def whole(self, clips: Integers) -> Iterator[tuple[Integers, Array]]:
        """Blocks of recordings with one row each, (k,) and (k, F)."""


class OfStatistics:
    """Means, deviations and a spectrum over windows of several lengths; any layout."""

    name = "statistics"

    def __init__(self, archive: MotionArchive) -> None:
        self.layout, self._statistics = Layout.of(archive), Statistics()
        self._turned = to_one_side(archive, self.layout.mirror)
        self.archive = archive

    def ticks(self, clip: int) -> Array:
        return self._statistics(self._turned(clip, self.archive.clip(clip)), self.layout)

    def whole(self, clips: Integers) -> Iterator[tuple[Integers, Array]]:
        for clip in clips:
            yield np.array([clip]), self.ticks(int(clip)).mean(axis=0, keepdims=True)


class OfModel:
    """Features of a model: of short recordings as a whole, of long ones frame by frame.

    Args:
        archive: recordings that the model can read.
        model: what has ``frames(archive, clip)``.
        name: of the model.

    Raises:
        ConfigError: the model describes no frames, or other recordings than these.
    """

    def __init__(self, archive: MotionArchive, model: Any, name: str) -> None:
        from motet.methods.model import Model
        from motet.methods.rocket import RocketModel

        if isinstance(model, RocketModel):
            model = model.fit(archive)
        if not callable(getattr(model, "frames", None)):
            raise ConfigError(f"{name} has no features of single frames; name a pretraining, weights or a fitted model")
        self.archive, self.layout, self.name = archive, Layout.of(archive), name
        self._model = model
        self._encoder = model if isinstance(model, Model) else None
        if self._encoder is not None:
            self._encoder.check(archive)

    def ticks(self, clip: int) -> Array:
        frames, hop = np.asarray(self._model.frames(self.archive, clip), dtype=np.float32), self.layout.hop
        edges = np.arange(0, len(frames), hop)
        counts = np.diff([*edges, len(frames)])[:, None]
        return np.asarray(np.add.reduceat(frames, edges, axis=0) / counts, dtype=np.float32)

    def whole(self, clips: Integers) -> Iterator[tuple[Integers, Array]]:
        if self._encoder is None:
            for clip in clips:
                yield np.array([clip]), self.ticks(int(clip)).mean(axis=0, keepdims=True)
            return
        with self._encoder.reading(self.archive) as source:  # brought to the model's layout once
            for at in range(0, len(clips), _BLOCK):
                block = clips[at : at + _BLOCK]
                store = self._encoder.store(source, block)
                streams = self._encoder.encode(store, store.ids).values()
                yield block, np.concatenate([rows.cpu().numpy() for rows in streams], axis=1)


def default(archive: MotionArchive) -> Source:
    """The shipped weights where they can read the recordings, statistics elsewhere."""
    from motet.methods.recipes.shipped import SKELETONS
    from motet.methods.start import Start

    found = next(Start.reading([archive], SKELETONS), None)
    return OfStatistics(archive) if found is None else OfModel(archive, found.model, found.name)
