"""Features of every frame of a recording: each frame is described by the seconds around it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError, MotetNote
from motet.data.archive import MotionArchive
from motet.data.loader import resize_positions
from motet.data.preprocess import preprocess
from motet.data.worn import axis_in, to_one_side

if TYPE_CHECKING:
    from motet.methods.model import Model

SECONDS = 2.0
"""length of a window: about that of a clip of one action."""
PER_WINDOW = 8
"""windows that cover a moment; features between their centres are interpolated."""
RATE = 30.0
"""frames a second where nobody said"""
_BATCH = 256


def frame_features(
    model: Model, archive: MotionArchive, index: int | str, *, seconds: float = SECONDS
) -> npt.NDArray[np.float32]:
    """(T, F) features of every frame of one recording, all streams side by side.

    Windows of ``seconds`` are cut all along the recording, each preprocessed and resized like a clip of its own, so
    heading and place are those of the moment, and encoded. A frame's feature lies between those of the two windows
    whose centres are nearest.

    Args:
        model: the encoders.
        archive: recordings.
        index: which of them, by its number from 0 or its name.
        seconds: length of a window; all of the recording where that is shorter.

    Raises:
        ConfigError: no such recording, a length that is not positive, or another layout than the model's.

    Warns:
        MotetNote: the frame rate is unknown, and :data:`RATE` is taken.
    """
    model.check(archive)
    index = archive.row(index)
    if not seconds > 0:
        raise ConfigError(f"seconds is {seconds}; a window must have a length")
    axis = axis_in(model.recipe.preprocess, archive)  # which one recording does not show
    with model.reading(archive, [index]) as source:
        row = 0 if source is not archive else index
        frames = to_one_side(source, axis)(row, source.clip(row))
        clip = torch.from_numpy(np.array(frames, dtype=np.float32))
        rate = float(source.fps or RATE)
    if source.fps is None:
        warnings.warn(
            f"{archive.path}: the frame rate is unknown, so {round(seconds * rate)} frames are taken for {seconds:g} s;"
            " import with --fps",
            MotetNote,
            stacklevel=3,
        )
    length = min(len(clip), max(2, round(seconds * rate)))
    hop = max(1, length // PER_WINDOW)
    starts = torch.arange(0, len(clip) - length + 1, hop)
    if int(starts[-1]) != len(clip) - length:
        starts = torch.cat([starts, torch.tensor([len(clip) - length])])
    found = [_encoded(model, clip, part, length) for part in torch.split(starts, _BATCH)]
    moments = torch.arange(int(archive.lengths[index]), dtype=torch.float64) * (rate / float(archive.fps or rate))
    return _between(torch.cat(found), starts.double() + (length - 1) / 2, moments).numpy()


def _encoded(model: Model, clip: Tensor, starts: Tensor, length: int) -> Tensor:
    rows = clip[starts[:, None] + torch.arange(length)]
    lengths = torch.full((len(rows),), length)
    method = model.recipe.preprocess
    windows = preprocess(rows, lengths, model.skeleton, method)
    early, late, weight = resize_positions(lengths[:1], model.clip_frames)
    resized = torch.lerp(windows[:, early[0]], windows[:, late[0]], weight[0].float()[:, None, None, None])
    return torch.cat(model.features(resized.to(model.device)), dim=1).cpu()


def _between(features: Tensor, centres: Tensor, moment: Tensor) -> Tensor:
    """(W, F) at the centres (W,) → (T, F) at moments (T,), linear in between and constant beyond the outer ones."""
    after = torch.searchsorted(centres, moment).clamp(1, max(1, len(centres) - 1)).clamp_max(len(centres) - 1)
    before = (after - 1).clamp_min(0)
    gap = (centres[after] - centres[before]).clamp_min(1e-9)
    weight = ((moment - centres[before]) / gap).clamp(0, 1)
    weight = torch.where(after == before, 0.0, weight).float()
    return torch.lerp(features[before], features[after], weight[:, None])
