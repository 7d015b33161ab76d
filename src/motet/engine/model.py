"""The face of everything that was trained: features of an archive, whatever verb made the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from motet.engine.hub import found
from motet.engine.run import Run

if TYPE_CHECKING:
    import torch


class Model(Protocol):
    """What every run gives back."""

    def transform(self, data: Any) -> npt.NDArray[np.float32]:
        """(N, F) features of every clip of an archive, or of every row of what else it was trained on."""


def load(run_directory: str | Path, device: str | torch.device = "cpu", kinds: Sequence[str] = ()) -> Any:
    """Load a trained model.

    Args:
        run_directory: a run directory of any verb, a folder of weights (:func:`motet.use.weights.save_weights`), or,
            where there is no such directory, the name of what comes with the package (``"body"``;
            ``"rocket"``: random convolutions) or a hub id ``owner/name``, optionally ``@revision`` (extra ``hub``).
        device: where to put it.
        kinds: verbs whose runs are wanted; all by default.

    Returns:
        What the method keeps: a :class:`motet.methods.model.Model` for a pretraining, and for other verbs what has the
        same :meth:`Model.transform`.

    Raises:
        RunError: none of these, or no weights in it.
    """
    return Run.open(found(run_directory), *kinds).model(device)
