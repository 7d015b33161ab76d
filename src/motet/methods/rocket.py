"""Random convolutions as a model that nothing has trained: what ``motet.load("rocket")`` gives."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from motet.core.errors import MotetNote
from motet.core.shards import Shard
from motet.data.archive import MotionArchive
from motet.data.augment import Augment
from motet.data.heading import turned_animals
from motet.data.preprocess import ANIMAL
from motet.data.splits import split
from motet.encoders.rocket import FRAMES, fit_thresholds
from motet.engine.model import Embedding
from motet.engine.model import Model as Face
from motet.engine.options import Encoder
from motet.methods import recipes
from motet.methods.fitting import fit_to_layout
from motet.methods.frames import SECONDS
from motet.methods.model import Model

if TYPE_CHECKING:
    from motet.engine.run import Run

KIND = ROCKET = "rocket"
CONFIG = RESULT = dict[str, Any]
KERNELS = 1000
"""convolutions of each stream."""
WEIGHTS: tuple[str, ...] = ()
"""files that the model is made of, besides config.json"""


def load(run: Run, device: Any = "cpu") -> RocketModel:
    """The random convolutions that come with the package; they have no weights until they meet recordings."""
    return RocketModel(device=device)


class RocketModel(Face):
    """Random convolutions of whatever layout they meet; the first recordings they see set their thresholds.

    Attributes:
        seed: of the kernels.
        model: the encoders, once :meth:`fit` or the first :meth:`transform` has made them.
    """

    trained_by = "pretrain"
    shards = True

    def __init__(self, *, seed: int = 0, device: str | torch.device = "cpu") -> None:
        self.seed, self.device = seed, device
        self.model: Model | None = None

    def fit(self, archive: MotionArchive, ids: Sequence[int] | npt.NDArray[np.int64] | None = None) -> Model:
        """Make the convolutions for a layout, and take their thresholds from some clips (all by default)."""
        base = replace(
            recipes.get("moco/small"),
            encoder=Encoder(encoder="rocket", kernels=KERNELS),
            augment=Augment.none(),
            frames=FRAMES,
        )
        recipe = fit_to_layout(base, archive, split(archive, "all"))
        if recipe.preprocess == ANIMAL:
            warnings.warn(f"{archive.path}: {turned_animals(ANIMAL, chosen=False)}", MotetNote, stacklevel=2)
        recipe = replace(recipe, recipe=ROCKET, frames=FRAMES, encode_frames=None)
        model = Model.fresh(recipe, archive, self.seed, self.device)
        store = model.store(archive, None if ids is None else np.asarray(ids, dtype=np.int64))
        fit_thresholds(model.encoders, model.views, store, store.ids, FRAMES)
        self.model = model
        return model

    def transform(self, archive: str | Path | MotionArchive) -> npt.NDArray[np.float32]:
        """(N, F) features of every clip of an archive, all streams side by side."""
        opened = MotionArchive.open(archive)
        return (self.model or self.fit(opened)).transform(opened)

    def frames(
        self, archive: str | Path | MotionArchive, index: int | str, *, seconds: float = SECONDS
    ) -> npt.NDArray[np.float32]:
        """(T, F) features of every frame of a recording, by number or name.

        See :func:`motet.methods.frames.frame_features`.
        """
        opened = MotionArchive.open(archive)
        return (self.model or self.fit(opened)).frames(opened, index, seconds=seconds)

    def embedding(self, source: str | Path, *, block_bytes: int = 0, shard: Shard | None = None) -> Embedding:
        """Features of an archive by its path; its clips set the thresholds, whatever was seen before."""
        return self.fit(MotionArchive.open(source)).embedding(source, block_bytes=block_bytes, shard=shard)
