"""Features less the mean of those who made them: what is always there of a person says nothing of what they do."""

from __future__ import annotations

import warnings
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError, MotetNote, MotetWarning
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.evaluate.features import FeatureSet

Integers = npt.NDArray[np.int64]


def groups_of(
    archive: MotionArchive,
    column: str,
    ids: npt.ArrayLike | None = None,
    *,
    remedy: str = "name a column that several clips share, such as subject",
) -> Integers:
    """(N,) number of the group that each clip is of: clips with the same value of a column.

    Args:
        archive: the recordings.
        column: of its clips, such as ``subject``.
        ids: clips that must have a value; by default all.
        remedy: what to do where each clip has a value of its own.

    Raises:
        ConfigError: there is no such column, a clip has no value in it, or each has one of its own.
    """
    if column not in archive.clips.columns:
        raise ConfigError(
            f"{archive.path} has no column {column!r} to centre by; it has {', '.join(archive.clips.columns)}"
        )
    values = archive.clips[column]
    if values.dtype.is_float():
        values = values.fill_nan(None)
    rows = np.arange(len(values)) if ids is None else np.asarray(ids)
    if lacking := [int(i) for i in rows if values[int(i)] is None]:
        name = archive.clips["name"][lacking[0]]
        raise ConfigError(
            f"{counted(len(lacking), 'clip')} of {archive.path}, {name!r} first, lack a value of {column!r}, by which "
            "they would be centred; fill it (`motet data label`) or leave them out (`motet data select`)"
        )
    groups: Integers = values.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    if len(np.unique(groups[rows])) == len(rows):
        raise ConfigError(
            f"every clip of {archive.path} has a value of {column!r} of its own, and less the mean of itself nothing "
            f"is left of it; {remedy}"
        )
    return groups


def note_of(groups: Integers, labels: Integers, column: str) -> str | None:
    """Say, and return, where centring does harm or nothing: groups of one class, or one group.

    Args:
        groups, labels: (n,) of the same clips; -1 is an unknown class.
        column: what the groups are.
    """
    known = labels >= 0
    found = np.unique(groups[known])
    alone = [g for g in found if len(np.unique(labels[known & (groups == g)])) == 1]
    if alone and len(np.unique(labels[known])) > 1:
        said = (
            f"{len(alone)} of {counted(len(found), 'group')} by {column} have clips of one class alone: "
            "centring takes away what tells that class from others, so do not use it here"
        )
        warnings.warn(said, MotetWarning, stacklevel=5)
        return said
    if len(np.unique(groups)) == 1:
        said = f"all clips are of one group by {column}: centring takes the same from each of them"
        warnings.warn(said, MotetNote, stacklevel=5)
        return said
    return None


def less_means(features: npt.NDArray[np.float32], groups: Integers) -> None:
    """Subtract from (N, F) features the mean of their group, in place and a group at a time.

    Rows of NaN stay as they are and say nothing of their group.
    """
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        rows = rows[np.isfinite(features[rows]).all(axis=1)]
        if len(rows):
            features[rows] -= features[rows].mean(axis=0, dtype=np.float64).astype(np.float32)


class Centred:
    """Features less the mean of a group of clips: of those of one person, say. Labels have no part in it.

    Args:
        features: of every clip.
        ids: (n,) clips whose features make the means: those of both sides.
        groups: (N,) number of the group of each archive row.
    """

    def __init__(self, features: FeatureSet, ids: Tensor, groups: Integers) -> None:
        self._features, self._ids = features, ids
        self._group = torch.from_numpy(np.unique(groups, return_inverse=True)[1].reshape(-1))

    @cached_property
    def _means(self) -> dict[str, Tensor]:
        """stream → (groups, F)."""
        group = self._group[self._ids]
        sizes = torch.bincount(group, minlength=int(self._group.max()) + 1).clamp_min(1)
        return {
            s: (x.new_zeros(len(sizes), x.shape[1], dtype=torch.float64).index_add_(0, group.to(x.device), x.double()))
            / sizes.to(x.device)[:, None]
            for s, x in self._features.centre(self._ids).items()
        }

    def _less(self, found: dict[str, Tensor], ids: Tensor) -> dict[str, Tensor]:
        group = self._group[ids.cpu()]
        return {s: (x.double() - self._means[s][group.to(x.device)]).to(x.dtype) for s, x in found.items()}

    def centre(self, ids: Tensor) -> dict[str, Tensor]:
        """stream → (n, F) of the centre 95 % of each clip."""
        return self._less(self._features.centre(ids), ids)

    def crops(self, ids: Tensor, start: Tensor, length: Tensor) -> dict[str, Tensor]:
        """stream → (n, F) of one crop of each clip, less the mean of whole clips."""
        return self._less(self._features.crops(ids, start, length), ids)

    def earlier(self) -> list[FeatureSet]:
        """The same from earlier checkpoints."""
        return [Centred(f, self._ids, self._group.numpy()) for f in self._features.earlier()]
