"""Features of every clip of an archive, written as one .npz file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from motet.archive import MotionArchive
from motet.devices import usable
from motet.model import load
from motet.runs import written


def embed(
    run: str | Path, archive: str | Path, out: str | Path, *, device: str | torch.device = "cpu"
) -> tuple[int, int]:
    """Encode an archive with a trained run.

    Args:
        run: run directory.
        archive: archive of the same skeleton as the run's.
        out: file to write: ``features`` (N, F) float32, ``name`` (N,), ``label`` (N,) int64 with -1 for unknown,
            ``streams`` (S,) and ``columns`` (S + 1,), the columns of each stream.
        device: where to encode.

    Returns:
        (N, F).
    """
    model, source = load(run, usable(str(device))), MotionArchive.open(archive)
    store = model.store(source)
    features = model.encode(store, store.ids)
    table = torch.cat(list(features.values()), dim=1).cpu().numpy()
    with written(Path(out)) as partial, partial.open("wb") as file:
        np.savez(
            file,
            features=table,
            name=source.clips["name"].to_numpy().astype(np.str_),
            label=source.labels,
            streams=np.array(model.streams),
            columns=np.cumsum([0, *(f.shape[1] for f in features.values())]),
        )
    return table.shape[0], table.shape[1]
