"""Checkpoints: written atomically, bounded in number, read without executing anything they contain."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from motet.errors import MotetWarning, RunError
from motet.runs import Run, written

CHECKPOINT_VERSION = 1


def save_checkpoint(run: Run, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write ``checkpoints/step-<step>.pt`` and remove all but the latest ``keep``."""
    path = run.path / "checkpoints" / f"step-{step:08d}.pt"
    with written(path) as partial:
        torch.save({"version": CHECKPOINT_VERSION, **state}, partial)
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
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, BadZipFile, pickle.UnpicklingError, ValueError) as error:
            warnings.warn(f"checkpoint {path} is damaged ({error}); trying the one before", MotetWarning, stacklevel=2)
            continue
        if state.get("version") != CHECKPOINT_VERSION:
            raise RunError(f"{path} is a checkpoint of version {state.get('version')}, not {CHECKPOINT_VERSION}")
        return state
    raise RunError("no checkpoint can be read; pretrain again into a new directory")
