"""What every figure of an evaluation can be given for besides the clips and the features as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from motet.core.errors import ConfigError
from motet.evaluate.centred import groups_of, note_of
from motet.evaluate.context import Context
from motet.evaluate.given import Ready

Integers = npt.NDArray[np.int64]
COPIES = "without copies"
"""what rows of ``--without-copies`` say of their test clips"""


def centring(ready: Ready, column: str | None) -> tuple[Integers, list[str]]:
    """(N,) group of each archive row, none without a column, and what a reader has to know of them.

    Raises:
        ConfigError: a column that cannot be centred by.
    """
    if column is None:
        return np.zeros(0, np.int64), []
    context = ready.context
    ids = torch.cat([context.train, context.test]).numpy()
    groups = groups_of(context.archive, column, ids)
    harm = note_of(groups[ids], np.concatenate([context.train_labels, context.test_labels]), column)
    what = f"rows centred by {column} are less the means of all clips of either side, whose labels have no part in it"
    return groups, [what, *([harm] if harm else [])]


def variants(ready: Ready, centre_by: str | None, groups: Integers) -> dict[str, Context]:
    """What every figure is given for besides the clips as they are, by what rows say of it."""
    found: dict[str, Context] = {}
    if ready.fewer is not None:
        test, labels = torch.from_numpy(ready.fewer.test), ready.fewer.test_labels
        found[COPIES] = replace(ready.context, test=test, test_labels=labels, without_copies=True)
    if centre_by is not None:
        found[f"centred by {centre_by}"] = ready.context.centred(groups)
    return found


def check_centred(centre_by: str | None, names: Sequence[str], takes: Sequence[str]) -> None:
    """Refuse protocols that need more than features.

    Raises:
        ConfigError: names the protocols whose features can be centred.
    """
    for name in names if centre_by is not None else ():
        if name not in takes:
            raise ConfigError(
                f"{name} trains on or encodes clips, and --centre-by centres features; evaluate by {', '.join(takes)}"
            )
