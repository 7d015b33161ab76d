"""What every figure of an evaluation can be given for besides the clips and the features as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from motet.core.errors import ConfigError
from motet.evaluate.centred import groups_of, warn_of_one_class
from motet.evaluate.context import Context
from motet.evaluate.given import Ready

COPIES = "without copies"
"""what rows of ``--without-copies`` say of their test clips"""


def variants(ready: Ready, centre_by: str | None) -> dict[str, Context]:
    """What every figure is given for besides the clips as they are, by what rows say of it."""
    found: dict[str, Context] = {}
    if ready.fewer is not None:
        test, labels = torch.from_numpy(ready.fewer.test), ready.fewer.test_labels
        found[COPIES] = replace(ready.context, test=test, test_labels=labels, without_copies=True)
    if centre_by is not None:
        context = ready.context
        ids = torch.cat([context.train, context.test]).numpy()
        groups = groups_of(context.archive, centre_by, ids)
        warn_of_one_class(groups[ids], np.concatenate([context.train_labels, context.test_labels]), centre_by)
        found[f"centred by {centre_by}"] = context.centred(groups)
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
