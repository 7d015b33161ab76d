"""What verbs ask of encoders of clips: features block by block, and the encoders as a module of tensors."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor, nn

from motet._version import __version__
from motet.core.distributed import rank, world_size
from motet.core.errors import ConfigError, MotetNote
from motet.core.shards import Shard
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.loader import release_pages, warn_cut_off
from motet.data.worn import note_of
from motet.encoders.statistics import with_statistics
from motet.engine.model import Embedding, Network

if TYPE_CHECKING:
    from motet.methods.model import Model

BLOCK_BYTES = 256 << 20
"""preprocessed clips that are held at a time"""


def embedding(model: Model, source: MotionArchive, block_bytes: int, shard: Shard | None) -> Embedding:
    """Features of every clip, encoded a block at a time, so that archive and features may be larger than memory.

    Started by ``torchrun``, the processes share the blocks.
    """
    model.check(source)
    warn_cut_off(source, model.rate)
    note_sides(model, source)
    rows = np.arange(len(source))[slice(None) if shard is None else shard.part(len(source))]
    if not len(rows):
        raise ConfigError(
            f"{source.path} holds {counted(len(source), 'clip')}, too few for shard {shard}; use fewer shards"
        )

    def fill(into: npt.NDArray[np.float32]) -> None:
        with model.reading(source) as clips:
            for number, ids in enumerate(blocks(clips, rows, block_bytes or BLOCK_BYTES)):
                if number % world_size() == rank():
                    into[ids - rows[0]] = _encoded(model, clips, ids)
                    release_pages(clips.frames)  # otherwise the whole archive stays mapped in the end
                    release_pages(into)

    return Embedding(
        names=source.clips["name"].to_numpy()[rows].astype(np.str_),
        labels=source.labels[rows],
        class_names=source.class_names,
        streams=model.streams,
        widths=list(model.sizes.values()),
        fill=fill,
        more={} if shard is None else {"shard": np.array(str(shard))},
        facts=source.clips.select(pl.exclude("sha256", "offset")),
    )


def note_sides(model: Model, source: MotionArchive) -> None:
    """Say how sensors worn on the left are read."""
    if said := note_of(model.recipe.preprocess, source):
        warnings.warn(said, MotetNote, stacklevel=3)


def blocks(source: MotionArchive, rows: npt.NDArray[np.int64], block_bytes: int) -> Iterator[npt.NDArray[np.int64]]:
    """Consecutive archive rows of ``rows`` whose frames fit the memory, at least one clip each."""
    frame = source.persons * len(source.skeleton) * len(source.channels) * 4
    start, used = 0, 0
    for place, length in enumerate(source.lengths[rows]):
        if used and used + int(length) * frame > block_bytes:
            yield rows[start:place]
            start, used = place, 0
        used += int(length) * frame
    yield rows[start:]


def _encoded(model: Model, source: MotionArchive, ids: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    features = model.encode(model.store(source, ids), torch.from_numpy(ids))
    table: npt.NDArray[Any] = torch.cat(list(features.values()), dim=1).cpu().numpy()
    return table


class StreamEncoders(nn.Module):
    """Views, encoders and whitening of a model as one module: (B, T, P, V, C) clips → one (B, F) tensor per stream."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(model.encoders)
        self.views = model.views
        self.last = nn.ModuleList(model.whitening.get(s, nn.Identity()) for s in model.streams)
        self.statistics = model.recipe.statistics and bool(model.whitening)

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        found = []
        for encoder, view, last in zip(self.encoders, self.views, self.last, strict=True):
            seen = view(clips)
            feature = encoder(seen)
            if self.statistics:
                feature = with_statistics(feature, seen, last.mean)  # type: ignore[arg-type]
            found.append(last(feature))
        return tuple(found)


def network(model: Model) -> Network:
    """Views and encoders of all streams: clips that are preprocessed as in training and resized to the frames that the
    facts name → the features of each stream."""
    recipe, layout = model.recipe, (model.persons, len(model.skeleton), model.channels)

    def example(rows: int, steps: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.randn(rows, steps, *layout, generator=generator),)

    return Network(
        module=StreamEncoders(model).eval().cpu(),
        inputs=("clips",),
        outputs=[s.replace("[", "_").replace("]", "").replace("+", "_") for s in model.streams],
        free={"clips": {0: "batch", 1: "frames"}},
        example=example,
        facts={
            "motet": __version__,
            "recipe": recipe.recipe,
            "streams": json.dumps(list(model.streams)),
            "frames": str(model.clip_frames),
            "preprocess": recipe.preprocess,
            "persons": str(model.persons),
            "channels": str(model.channels),
            "skeleton": json.dumps(model.skeleton.to_dict()),
        },
    )
