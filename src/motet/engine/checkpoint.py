"""Checkpoints: written atomically, bounded in number, read without executing anything they contain."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from motet.core.errors import MotetWarning, RunError
from motet.core.files import written
from motet.engine.learner import Stage
from motet.engine.run import Run

CHECKPOINT_VERSION = 2
_READABLE = (1, CHECKPOINT_VERSION)
_POSITION = ("version", "stage", "epoch", "step_in_epoch", "sums", "watched", "seconds", "rng", "cuda_rng")
# all that reading a file of arbitrary bytes was seen to raise
_DAMAGED = (
    OSError,
    RuntimeError,
    EOFError,
    BadZipFile,
    pickle.UnpicklingError,
    ValueError,
    AttributeError,
    LookupError,
    TypeError,
)


def save_checkpoint(run: Run, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write ``checkpoints/step-<step>.pt`` and remove all but the latest ``keep``."""
    path = run.path / "checkpoints" / f"step-{step:08d}.pt"
    with written(path) as partial:
        torch.save({"version": CHECKPOINT_VERSION, "run": run.config.get("digest"), **state}, partial)
    for old in run.checkpoints[:-keep]:
        old.unlink()
    return path


def load_checkpoint(checkpoints: Sequence[Path]) -> dict[str, Any]:
    """The latest readable checkpoint; warns about any that is damaged and passed over.

    Raises:
        RunError: none can be read, or the latest is of another version.
    """
    for path in reversed(checkpoints):
        try:
            with ZipFile(path) as file:
                if (broken := file.testzip()) is not None:  # torch does not compare the checksums
                    raise BadZipFile(f"the checksum of {broken} differs")
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except _DAMAGED as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            warnings.warn(f"checkpoint {path} is damaged ({reason}); trying the one before", MotetWarning, stacklevel=2)
            continue
        if not isinstance(state, dict) or state.get("version") not in _READABLE:
            found = state.get("version") if isinstance(state, dict) else None
            raise RunError(f"{path} is a checkpoint of version {found}, not {CHECKPOINT_VERSION}")
        return state
    raise RunError("no checkpoint can be read; start again with another --out")


def check_of(run: Run, state: Mapping[str, Any]) -> None:
    """Refuse the checkpoint of another run; those of earlier versions do not say whose they are.

    Raises:
        RunError: names the run.
    """
    if state.get("run") not in (None, run.config.get("digest")):
        raise RunError(
            f"{run.path} holds checkpoints of another run than its config.json; restore the files of one, or "
            f"{run.renewal}"
        )


def upgraded(state: Mapping[str, Any], stages: Sequence[Stage]) -> dict[str, Any]:
    """A checkpoint of an earlier version as today's."""
    if state["version"] == CHECKPOINT_VERSION:
        return dict(state)
    epoch, step = int(state["epoch"]), int(state.get("step_in_epoch", 0))
    usual = next((i for i, stage in enumerate(stages) if epoch < stage.end), len(stages) - 1)
    terms = {name: [total, step] for name, total in state.get("sums", {}).items()}
    empty = torch.get_rng_state()
    return {
        "version": CHECKPOINT_VERSION,
        "learner": {name: value for name, value in state.items() if name not in _POSITION},
        "stage": int(state.get("stage", usual)),
        "epoch": epoch,
        "step": step,
        "means": {"terms": terms, "diagnostics": {n: list(entry) for n, entry in state.get("watched", {}).items()}},
        "seconds": state["seconds"],
        "line": None,
        "rng": state.get("rng", empty),
        "cuda_rng": state.get("cuda_rng", []),
    }
